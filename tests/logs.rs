//! What is logged, over the in-memory transport and under a paused clock.

#[path = "support/recorder.rs"]
mod recorder;

use std::time::Duration;

use futures::FutureExt;
use http::StatusCode;
use phoenix_streams::{
    Backoff, Binary, Builder, ChannelStatus, Socket, Status, json,
    transport::{
        Frame,
        memory::{self, Peer},
    },
};
use tracing::{Level, subscriber::DefaultGuard};

use recorder::{Line, Recorder};

/// The words that fields are named by.
const WORDS: [&str; 18] = [
    "after",
    "attempt",
    "cause",
    "code",
    "delay",
    "error",
    "event",
    "host",
    "id",
    "join_ref",
    "payload",
    "reason",
    "ref",
    "round_trip",
    "status",
    "took",
    "topic",
    "transport",
];

struct Bed {
    log: Recorder,
    socket: Socket,
    peer: Peer,
    _listening: DefaultGuard,
}

fn bed(describe: impl FnOnce(Builder) -> Builder) -> Bed {
    let log = Recorder::default();
    let listening = tracing::subscriber::set_default(log.clone());
    let (transport, peer) = memory::pair();
    let step = Backoff::steps([Duration::from_secs(1)]).jitter(false);
    let builder =
        Socket::builder("ws://ann:pw@memory:4000/socket").transport(transport).reconnect(step.clone()).rejoin(step);
    let socket = describe(builder).start().unwrap();
    Bed { log, socket, peer, _listening: listening }
}

/// Lets every task do what it can without the clock moving.
async fn settle() {
    for _ in 0..32 {
        tokio::task::yield_now().await;
    }
}

impl Bed {
    /// What was logged since, shortened to what is the crate's own to say.
    async fn logged(&self) -> Vec<String> {
        settle().await;
        self.log.take().iter().map(short).collect()
    }

    async fn until(&self, wanted: impl FnMut(&Status) -> bool) {
        self.socket.status().wait_for(wanted).await.unwrap();
    }
}

fn short(line: &Line) -> String {
    let target = line.target.strip_prefix("phoenix_streams::").expect("a target of the crate");
    let fields = line.fields.iter().map(|(name, value)| {
        assert!(WORDS.contains(&&**name), "{name}");
        format!(" {name}={value}")
    });
    let fields: String = fields.collect();
    assert!(line.level == Level::TRACE || !fields.contains(['{', '<']), "a payload above the finest level: {line}");
    let [span] = &line.spans[..] else { panic!("not in the socket's span: {line}") };
    assert!(span.starts_with("socket{id=") && span.ends_with(" host=memory:4000}"), "{span}");
    format!("{} {target} {}{}", line.level, line.message, fields)
}

// G-3, G-4, DEV-3
#[tokio::test(start_paused = true)]
async fn g_3_what_becomes_of_a_connection_is_logged() {
    let mut bed = bed(|builder| builder.heartbeat_timeout(Duration::from_secs(15)));
    bed.peer.refuse(StatusCode::SERVICE_UNAVAILABLE).await;
    let mut server = bed.peer.accept().await;
    assert_eq!(
        bed.logged().await,
        [
            "DEBUG transport connecting attempt=1",
            "WARN transport not connected attempt=1 status=503 cause=the server refused the connection with HTTP 503 \
             Service Unavailable: it asks to come back later",
            "DEBUG transport waiting to reconnect delay=1s",
            "DEBUG transport connecting attempt=2",
            "INFO transport connected transport=memory",
        ]
    );

    let heartbeat = server.recv().await.unwrap();
    server.reply(&heartbeat, "ok", ()).await;
    assert_eq!(
        bed.logged().await,
        [
            "TRACE push push topic=phoenix event=heartbeat ref=1 payload={}",
            "TRACE receive receive status=ok topic=phoenix event=phx_reply ref=1 payload={}",
            "DEBUG transport heartbeat round_trip=0ns",
        ]
    );

    server.recv().await.unwrap();
    bed.until(|status| matches!(status, Status::Waiting { .. })).await;
    assert_eq!(
        bed.logged().await,
        [
            "TRACE push push topic=phoenix event=heartbeat ref=2 payload={}",
            "WARN transport heartbeat timeout after=75s",
            "DEBUG transport waiting to reconnect delay=1s",
        ]
    );

    bed.peer.accept().await.close(1012);
    bed.peer.accept().await.cut();
    bed.until(|status| matches!(status, Status::Waiting { attempt: 4, .. })).await;
    assert_eq!(
        bed.logged().await,
        [
            "DEBUG transport connecting attempt=2",
            "INFO transport connected transport=memory",
            "WARN transport closed by the server code=1012 reason= after=0ns",
            "DEBUG transport waiting to reconnect delay=1s",
            "DEBUG transport connecting attempt=3",
            "INFO transport connected transport=memory",
            "WARN transport connection lost cause=the connection ended without a close frame after=0ns",
            "DEBUG transport waiting to reconnect delay=1s",
        ]
    );

    let attempt = bed.peer.dialed().await;
    bed.socket.disconnect().await;
    drop(attempt);
    let connect = tokio::spawn(bed.socket.connect());
    let _server = bed.peer.accept().await;
    connect.await.unwrap().unwrap();
    let disconnect = tokio::spawn(bed.socket.disconnect());
    bed.until(|status| matches!(status, Status::Disconnected)).await;
    disconnect.abort();
    let connect = tokio::spawn(bed.socket.connect());
    bed.peer.refuse(StatusCode::FORBIDDEN).await;
    connect.await.unwrap().unwrap_err();
    let refused = "the server refused the connection with HTTP 403 Forbidden: it does not accept these params, token \
                   or headers, or a proxy lets nobody through";
    assert_eq!(
        bed.logged().await,
        [
            "DEBUG transport connecting attempt=4",
            "DEBUG transport gave up connecting attempt=4",
            "DEBUG transport connecting attempt=1",
            "INFO transport connected transport=memory",
            "INFO transport disconnected after=0ns",
            "DEBUG transport connecting attempt=1",
            &format!("WARN transport not connected attempt=1 status=403 cause={refused}"),
            &format!("ERROR transport stopped cause={refused}"),
        ]
    );
}

// G-3, M-2, C-15, C-25
#[tokio::test(start_paused = true)]
async fn g_3_what_becomes_of_a_channel_is_logged() {
    let mut bed = bed(|builder| builder.heartbeat(None));
    let mut server = bed.peer.accept().await;
    bed.logged().await;
    let room = bed.socket.channel("room:1");

    room.join(json!({ "nick": "ann" })).detach();
    let join = server.recv().await.unwrap();
    server.reply(&join, "ok", json!({ "motd": "hi" })).await;
    let hello = [
        "TRACE push push topic=room:1 event=phx_join join_ref=2 ref=2 payload={\"nick\":\"ann\"}",
        "DEBUG channel joining topic=room:1",
        "TRACE receive receive status=ok topic=room:1 event=phx_reply join_ref=2 ref=2 payload={\"motd\":\"hi\"}",
        "DEBUG channel joined topic=room:1 took=0ns",
    ];
    assert_eq!(bed.logged().await, hello);

    let push = tokio::spawn(room.push("shout", json!({ "body": "hey" })));
    let cast = tokio::spawn(room.cast("frame", Binary(vec![0; 9])));
    let message = server.recv().await.unwrap();
    server.recv().await.unwrap();
    server.reply(&message, "error", Binary(vec![1; 3])).await;
    server.push(&join, "shout", json!({ "body": "ho" })).await;
    server.send(Frame::Text("no message".into())).await;
    server.send(Frame::Text(r#"["9",null,"room:1","late",{"body":"late"}]"#.into())).await;
    push.await.unwrap().unwrap_err();
    cast.await.unwrap().unwrap();
    assert_eq!(
        bed.logged().await,
        [
            "TRACE push push topic=room:1 event=shout join_ref=2 ref=3 payload={\"body\":\"hey\"}",
            "TRACE push push topic=room:1 event=frame join_ref=2 ref=4 payload=<9 bytes>",
            "TRACE receive receive status=error topic=room:1 event=phx_reply join_ref=2 ref=3 payload=<3 bytes>",
            "TRACE receive receive topic=room:1 event=shout join_ref=2 payload={\"body\":\"ho\"}",
            "DEBUG receive dropped a frame that is no message",
            "TRACE receive why that frame is no message error=the payload cannot be decoded: a frame that is not an array",
            "TRACE receive receive topic=room:1 event=late join_ref=9 payload={\"body\":\"late\"}",
            "DEBUG channel dropping outdated message topic=room:1 event=late join_ref=9",
        ]
    );

    server.error(&join, json!({ "reason": "secret" })).await;
    let join = server.recv().await.unwrap();
    server.reply(&join, "error", json!({ "reason": "secret" })).await;
    room.status().wait_for(|status| matches!(status, ChannelStatus::Errored { .. })).await.unwrap();
    settle().await;
    let quiet = |lines: Vec<String>| lines.into_iter().filter(|line| !line.starts_with("TRACE")).collect::<Vec<_>>();
    assert_eq!(
        quiet(bed.logged().await),
        [
            "WARN channel error topic=room:1 reason=crashed",
            "DEBUG channel waiting to rejoin topic=room:1 delay=1s",
            "DEBUG channel joining topic=room:1",
            "WARN channel error topic=room:1 reason=refused status=error",
        ]
    );

    // Nobody answers it.
    room.join(()).detach();
    server.recv().await.unwrap();
    room.status().wait_for(|status| matches!(status, ChannelStatus::Errored { .. })).await.unwrap();
    server.recv().await.unwrap();
    let join = server.recv().await.unwrap();
    server.reply(&join, "ok", ()).await;
    room.status().wait_for(ChannelStatus::is_joined).await.unwrap();
    let leave = tokio::spawn(room.leave());
    let left = server.recv().await.unwrap();
    server.reply(&left, "ok", ()).await;
    leave.await.unwrap().unwrap();
    let mut again = std::pin::pin!(room.join(()));
    assert!(again.as_mut().now_or_never().is_none());
    let join = server.recv().await.unwrap();
    server.close_channel(&join).await;
    again.await.unwrap_err();
    assert_eq!(
        quiet(bed.logged().await),
        [
            "DEBUG channel joining topic=room:1",
            "DEBUG channel leaving topic=room:1 join_ref=7",
            "WARN channel error topic=room:1 reason=timeout",
            "DEBUG channel waiting to rejoin topic=room:1 delay=1s",
            "DEBUG channel joining topic=room:1",
            "DEBUG channel joined topic=room:1 took=0ns",
            "DEBUG channel leaving topic=room:1 join_ref=9",
            "DEBUG channel closed topic=room:1 reason=left",
            "DEBUG channel joining topic=room:1",
            "DEBUG channel closed topic=room:1 reason=server",
        ]
    );
}

// P-10, T-29
#[tokio::test(start_paused = true)]
async fn p_10_what_is_wrong_with_a_presence_is_said_without_what_it_says() {
    let mut bed = bed(|builder| builder);
    let mut server = bed.peer.accept().await;
    let room = bed.socket.channel("room:1");
    let mut who = room.presence::<bool>();
    room.join(()).detach();
    let join = server.recv().await.unwrap();
    server.reply(&join, "ok", ()).await;
    bed.logged().await;
    let secret = json!({ "hunter2": { "metas": [{ "phx_ref": "hunter2" }] } });
    for _ in 0..200 {
        server.broadcast("room:1", "presence_diff", json!({ "joins": secret, "leaves": {} })).await;
    }
    server.push(&join, "presence_state", json!({ "hunter2": "hunter2" })).await;
    server.push(&join, "presence_state", secret).await;
    settle().await;
    let present = who.wait_for(|present| !present.is_empty()).await.unwrap();
    assert_eq!(present.undecodable(), 1);
    let lines = bed.log.take();
    let warned: Vec<_> = lines
        .iter()
        .filter(|line| line.level < Level::TRACE)
        .map(|line| {
            let fields: String = line.fields.iter().map(|(name, value)| format!(" {name}={value}")).collect();
            format!("{} {} {}{fields}", line.level, line.target, line.message)
        })
        .collect();
    assert_eq!(
        warned,
        [
            "WARN phoenix_streams::channel presence diffs wait for a state: does the server push it? topic=room:1 \
             event=presence_state pending=100",
            "WARN phoenix_streams::channel a presence that does not decode is passed over topic=room:1 \
             event=presence_state",
        ]
    );
    let meta = lines.iter().filter(|line| line.message.contains("a meta of a presence"));
    assert_eq!(meta.count(), 1, "why a meta is left out is said at the finest level");
}
