//! Where wrong frames are tried.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use futures::{FutureExt, Stream, StreamExt};
use phoenix_streams::{
    Backoff, Builder, Channel, ChannelStatus, ConnectError, Socket, Stats, Telemetry, TelemetryStream, json,
    testing::{Later, Response, Server, ServerBuilder},
    transport::Frame,
};
use tokio::sync::mpsc;

use super::socket;

/// What a stream may hold, in bytes.
pub(crate) const LIMIT: usize = 256 << 10;

/// A socket with two channels: what is wrong is aimed at the first, the second shows that all goes on.
pub(crate) struct Bed {
    pub(crate) server: Server,
    pub(crate) socket: Socket,
    pub(crate) target: Channel,
    pub(crate) calm: Channel,
    pub(crate) telemetry: TelemetryStream,
    /// How often the target was joined.
    pub(crate) joins: Arc<AtomicUsize>,
    /// Pushes of `held` that the server has and does not answer yet.
    pub(crate) held: mpsc::UnboundedReceiver<Later>,
}

impl Bed {
    /// A busy machine takes its time over a flood. A long-poll's window is the longest that its client waits for.
    pub(crate) async fn new(describe: impl FnOnce(Builder) -> Builder) -> Self {
        Bed::with(Server::builder().window(Duration::from_secs(15)), describe).await
    }

    pub(crate) async fn with(server: ServerBuilder, describe: impl FnOnce(Builder) -> Builder) -> Self {
        let joins = Arc::new(AtomicUsize::new(0));
        let (hold, held) = mpsc::unbounded_channel();
        let counter = joins.clone();
        let server = server
            .join("room:target", move |_, _| {
                counter.fetch_add(1, SeqCst);
                async { Ok(json!({})) }
            })
            .join("room:calm", |_, _| async { Ok(json!({})) })
            .on("*", "echo", |_, payload| async move { payload.json().map_err(|_| json!({})) })
            .on_with("*", "held", move |_, _| {
                let hold = hold.clone();
                async move { Response::later(move |later| hold.send(later).unwrap()) }
            })
            .start()
            .await
            .unwrap();
        let patient = Backoff::steps([Duration::from_millis(100)]);
        let quick = Backoff::steps([Duration::from_millis(1)]);
        let builder = socket(server.url())
            .reconnect(quick)
            .rejoin(patient)
            .queue_limits(LIMIT, 4 * LIMIT)
            .timeout(Duration::from_secs(60));
        let (socket, driver) = describe(builder).driver().unwrap();
        let telemetry = socket.telemetry();
        tokio::spawn(driver);
        socket.connect().await.unwrap();
        let (target, calm) = (socket.channel("room:target"), socket.channel("room:calm"));
        target.join(()).await.unwrap();
        calm.join(()).await.unwrap();
        let mut bed = Bed { server, socket, target, calm, telemetry, joins, held };
        bed.told();
        bed
    }

    pub(crate) async fn plain() -> Self {
        Bed::new(|builder| builder).await
    }

    pub(crate) fn text(&self, text: &str) {
        self.server.send_raw(Frame::Text(text.to_owned().into()));
    }

    pub(crate) fn binary(&self, bytes: impl Into<Vec<u8>>) {
        self.server.send_raw(Frame::Binary(bytes.into().into()));
    }

    /// Nothing more has arrived, and the stream has let go of what it gave out last.
    pub(crate) async fn silent<T>(&self, stream: &mut (impl Stream<Item = T> + Unpin)) {
        self.answers().await;
        assert!(stream.next().now_or_never().is_none());
    }

    /// The second channel answers. Its reply comes behind whatever was sent before, on the same connection.
    pub(crate) async fn answers(&self) {
        let reply = self.calm.push("echo", json!({ "all": "well" })).await.unwrap();
        assert_eq!(reply.payload().to_string(), r#"{"all":"well"}"#);
    }

    /// ...and the target is joined still, by its first join, on the first connection, and nothing is kept.
    pub(crate) async fn unharmed(&mut self) {
        self.answers().await;
        assert!(self.target.status().current().is_joined());
        assert_eq!(self.joins.load(SeqCst), 1);
        let Stats { pending_pushes, callers, outgoing_bytes, incoming_bytes, .. } = self.socket.stats();
        assert_eq!((pending_pushes, callers, outgoing_bytes, incoming_bytes), (0, 0, 0, 0));
    }

    /// What telemetry tells by now.
    pub(crate) fn told(&mut self) -> Vec<Telemetry> {
        std::iter::from_fn(|| self.telemetry.next().now_or_never()).map(|item| item.unwrap().unwrap()).collect()
    }

    /// How many frames were told to be no message; anything else told is a failure.
    pub(crate) fn undecodable(&mut self) -> usize {
        let told = self.told();
        assert!(told.iter().all(|told| matches!(told, Telemetry::Undecodable { .. })), "{told:?}");
        told.len()
    }

    /// One connection ended, for this cause, and one more was opened, on which both channels are joined again.
    pub(crate) async fn cost_one_connection(&mut self, is_cause: impl Fn(&ConnectError) -> bool) {
        let mut opened = false;
        while !opened {
            match self.telemetry.next().await.unwrap().unwrap() {
                Telemetry::Closed { cause, .. } => assert!(is_cause(&cause), "{cause:?}"),
                Telemetry::Opened { .. } => opened = true,
                _ => {}
            }
        }
        self.target.status().wait_for(ChannelStatus::is_joined).await.unwrap();
        self.answers().await;
        let lost = self.told().iter().filter(|told| matches!(told, Telemetry::Closed { .. })).count();
        assert_eq!(lost, 0);
    }
}
