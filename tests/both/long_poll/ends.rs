//! How a session ends, and how it does not.

use std::time::Duration;

use futures::{FutureExt, StreamExt};
use http::StatusCode;
use phoenix_streams::{
    Backoff, Builder, Channel, ConnectError, DecodeError, EncodeError, LongPoll, PushError, Socket, Telemetry, V2,
    WebSocket, json,
    serializer::{Envelope, Serializer},
    testing::{Fault, Server},
    transport::Frame,
};

use super::cases::{
    bed::{Bed, LIMIT},
    socket, waits_for,
};

/// For tests that wait for a window's end, and do not mind a session that ends too soon.
const SHORT: Duration = Duration::from_millis(100);

async fn room(server: &Server, builder: Builder) -> (Socket, Channel) {
    let socket = builder.connect().await.unwrap();
    let room = socket.channel("room:1");
    room.join(()).await.unwrap();
    assert!(server.connections() > 0);
    (socket, room)
}

// L-14, S-12, N-7, DEV-24
#[tokio::test]
async fn a_session_that_the_server_ends_is_gone_and_the_code_with_it() {
    for code in [1000, 1001, 1012, 4000] {
        let server = Server::builder().window(SHORT).pubsub_timeout(SHORT).start().await.unwrap();
        let step = Duration::from_millis(900);
        let backoff = Backoff::steps([step]).jitter(false);
        let socket = socket(server.url()).reconnect(backoff).connect().await.unwrap();
        server.close_all(code);
        let (delay, cause) = waits_for(&socket).await;
        assert!(matches!(*cause, ConnectError::SessionGone), "{code}: {cause:?}");
        // With 1000 too: nobody knows that it was that.
        assert_eq!(delay, step);
    }
}

// L-14, law 12
#[tokio::test]
async fn a_session_that_the_server_ends_costs_one_connection() {
    let mut bed = Bed::with(Server::builder().window(20 * SHORT).pubsub_timeout(5 * SHORT), |builder| builder).await;
    bed.server.send_raw(Frame::Close { code: 1001, reason: "because".into() });
    bed.cost_one_connection(|cause| matches!(cause, ConnectError::SessionGone)).await;
}

// L-14: the poll that finds the session gone would open another.
#[tokio::test]
async fn a_refusal_takes_the_place_of_the_end_before_it() {
    let server = Server::builder().window(SHORT).pubsub_timeout(SHORT).start().await.unwrap();
    let socket = socket(server.url()).params_with(|| async { Ok(json!({})) }).connect().await.unwrap();
    server.refuse_next(403, 1);
    server.close_all(1012);
    let (_, cause) = waits_for(&socket).await;
    assert!(
        matches!(&*cause, ConnectError::Refused(refusal) if refusal.status() == StatusCode::FORBIDDEN),
        "{cause:?}"
    );
}

// N-4, L-8
#[tokio::test]
async fn whoever_sends_nothing_stays() {
    let server = Server::builder().idle_timeout(SHORT).start().await.unwrap();
    let polls = socket(server.url()).connect().await.unwrap();
    let mut told = polls.telemetry();
    let beside = Socket::builder(server.url()).transport(WebSocket::default()).heartbeat(None).connect().await.unwrap();
    let (_, cause) = waits_for(&beside).await;
    assert!(matches!(*cause, ConnectError::ClosedByServer { code: 1002, .. }), "{cause:?}");
    polls.ping().await.unwrap();
    assert!(told.next().now_or_never().is_none());
}

// L-8, H-10
#[tokio::test]
async fn there_are_no_heartbeats() {
    let server = Server::builder().start().await.unwrap();
    server.misbehave(Fault::HeartbeatRef);
    let eager = |builder: Builder| builder.heartbeat(Duration::from_millis(1)).heartbeat_timeout(SHORT);
    let polls = eager(socket(server.url())).connect().await.unwrap();
    let mut told = polls.telemetry();
    let beside = eager(Socket::builder(server.url()).transport(WebSocket::default())).connect().await.unwrap();
    let (_, cause) = waits_for(&beside).await;
    assert!(matches!(*cause, ConnectError::HeartbeatTimeout), "{cause:?}");
    server.behave();
    polls.ping().await.unwrap();
    assert!(told.next().now_or_never().is_none());
}

// L-19
#[tokio::test]
async fn a_server_that_falls_silent_is_noticed_by_its_polls() {
    let server = Server::builder().window(SHORT).start().await.unwrap();
    let transport = LongPoll::default().timeout(5 * SHORT);
    let socket = socket(server.url()).transport(transport).connect().await.unwrap();
    server.misbehave(Fault::Mute);
    let (_, cause) = waits_for(&socket).await;
    assert!(matches!(*cause, ConnectError::RequestTimeout), "{cause:?}");
}

// L-34
#[tokio::test]
async fn a_message_that_is_too_large_for_the_server_costs_one_connection() {
    let server = Server::builder().join("room:*", |_, _| async { Ok(json!({})) }).start().await.unwrap();
    let (socket, room) = room(&server, socket(server.url())).await;
    let pushed = room.push("e", json!({ "x": "x".repeat(8_000_000) }));
    let (pushed, (_, cause)) = futures::join!(pushed, waits_for(&socket));
    let ConnectError::Refused(refusal) = &*cause else { panic!("{cause:?}") };
    assert_eq!(refusal.status(), StatusCode::BAD_REQUEST);
    assert!(matches!(pushed, Err(PushError::Disconnected)), "{pushed:?}");
}

// T-14
#[tokio::test]
async fn an_answer_above_the_limit_costs_one_connection() {
    let small = LongPoll::default().max_response_size(LIMIT);
    let mut bed = Bed::new(|builder| builder.transport(small)).await;
    bed.text(&format!(r#"[null,null,"room:nobody","e","{}"]"#, "x".repeat(LIMIT - 1_000)));
    bed.unharmed().await;
    bed.told();
    bed.text(&format!(r#"[null,null,"room:target","e","{}"]"#, "x".repeat(LIMIT)));
    bed.cost_one_connection(|cause| matches!(cause, ConnectError::TooLarge { limit: LIMIT })).await;
}

/// Says what is no message.
struct Garbled;

impl Serializer for Garbled {
    fn vsn(&self) -> &str {
        V2.vsn()
    }

    fn encode(&self, _: &Envelope) -> Result<Frame, EncodeError> {
        Ok(Frame::Text("[]".into()))
    }

    fn decode(&self, frame: Frame) -> Result<Envelope, DecodeError> {
        V2.decode(frame)
    }
}

// L-27
#[tokio::test]
async fn what_is_no_message_costs_the_session() {
    // By then the next poll has gone out too, and must not be the first to tell.
    let server = Server::builder().window(SHORT).pubsub_timeout(Duration::from_secs(60)).start().await.unwrap();
    let socket = socket(server.url()).serializer(Garbled).connect().await.unwrap();
    let mut told = socket.telemetry();
    let room = socket.channel("room:1");
    room.join(()).detach();
    let cause = loop {
        if let Telemetry::Closed { cause, .. } = told.next().await.unwrap().unwrap() {
            break cause;
        }
    };
    let ConnectError::Refused(refusal) = &*cause else { panic!("{cause:?}") };
    assert_eq!(refusal.status(), StatusCode::REQUEST_TIMEOUT);
}

// L-36
#[tokio::test]
async fn nobody_tells_the_server_that_a_client_is_gone() {
    let server =
        Server::builder().window(10 * SHORT).join("room:*", |_, _| async { Ok(json!({})) }).start().await.unwrap();
    let (socket, room) = room(&server, socket(server.url())).await;
    socket.close().await;
    assert_eq!((server.sessions(), server.channels("room:1")), (1, 1));
    server.wait_for_connections(0).await;
    drop(room);
}
