//! A server of rooms, a transport in a hurry, and what a socket tells, in words.

use std::{future::Future, time::Duration};

use futures::{StreamExt, future::ready};
use phoenix_streams::{
    Backoff, Builder, ConnectError, LongPoll, Or, Socket, SwitchReason, Telemetry, TelemetryStream, Transport,
    WebSocket, json,
    testing::{Server, ServerBuilder},
};
use tokio::time::timeout;

pub(crate) const THRESHOLD: Duration = ms(400);

pub(crate) const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub(crate) async fn in_time<T>(wanted: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(20), wanted).await.expect("it comes in time")
}

pub(crate) fn rooms() -> ServerBuilder {
    let rooms = Server::builder().join("room:*", |_, _| ready(Ok(json!({})))).window(ms(250));
    rooms.on("room:*", "shout", |peer, said| {
        peer.broadcast("shout", said);
        ready(Ok(json!({})))
    })
}

/// Nothing of the past counts, but what is asked for.
pub(crate) fn transport() -> Or<WebSocket, LongPoll> {
    let transport = WebSocket::default().or(LongPoll::default()).threshold(THRESHOLD).probe_every(ms(50));
    transport.short_lived(2, ms(500)).trust_for(ms(0))
}

pub(crate) fn builder(server: &Server, transport: impl Transport) -> Builder {
    Socket::builder(server.url()).transport(transport).reconnect(Backoff::steps([ms(1)])).heartbeat(None)
}

pub(crate) struct Log(TelemetryStream);

impl Log {
    pub(crate) fn of(socket: &Socket) -> Self {
        Log(socket.telemetry())
    }

    /// What happens, to the first of this word.
    pub(crate) async fn until(&mut self, wanted: &str) -> Vec<Telemetry> {
        let mut happened = Vec::new();
        let read = async {
            while happened.last().is_none_or(|last| word(last) != wanted) {
                happened.push(self.0.next().await.expect("it goes on").expect("nothing is lost"));
            }
        };
        if timeout(Duration::from_secs(20), read).await.is_err() {
            panic!("no `{wanted}` behind {happened:?}");
        }
        happened
    }
}

pub(crate) fn words(happened: &[Telemetry]) -> Vec<&'static str> {
    happened.iter().map(word).collect()
}

pub(crate) fn word(happened: &Telemetry) -> &'static str {
    match happened {
        Telemetry::Connecting { .. } => "connecting",
        Telemetry::Failed { .. } => "failed",
        Telemetry::Waiting { .. } => "waiting",
        Telemetry::Stopped { .. } => "stopped",
        Telemetry::Opened { transport: "websocket" } => "opened websocket",
        Telemetry::Opened { transport: "long-poll" } => "opened long-poll",
        Telemetry::Switched { from: "websocket", to: "long-poll", .. } => "falls",
        Telemetry::Switched { from: "long-poll", to: "websocket", reason: SwitchReason::Healed } => "heals",
        Telemetry::ProbeFailed { .. } => "probe failed",
        Telemetry::Closed { cause, .. } => match **cause {
            ConnectError::Switched { to: "websocket" } => "switched",
            ConnectError::Closed => "closed",
            _ => "lost",
        },
        Telemetry::Heartbeat { .. } => "heartbeat",
        Telemetry::Joining { .. } => "joining",
        Telemetry::Joined { .. } => "joined",
        Telemetry::Errored { .. } => "errored",
        Telemetry::ChannelClosed { .. } => "channel closed",
        _ => "other",
    }
}
