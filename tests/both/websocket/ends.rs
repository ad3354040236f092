//! How a server ends a WebSocket.

use std::time::Duration;

use phoenix_streams::{
    Backoff, ConnectError, PushError, json,
    testing::{Fault, Server},
};

use super::cases::{socket, waits_for};

// S-12, N-7, DEV-24
#[tokio::test]
async fn every_end_that_a_server_gives_a_connection_is_told_and_waited_for() {
    for (code, delay) in
        [(Some(1001), 0), (Some(1012), 0), (Some(1002), 0), (Some(1011), 0), (Some(1000), 1), (None, 0)]
    {
        let server = Server::builder().start().await.unwrap();
        let step = Duration::from_millis(900);
        let backoff = Backoff::steps([step]).jitter(false);
        let socket = socket(server.url()).reconnect(backoff).connect().await.unwrap();
        match code {
            Some(code) => server.close_all(code),
            None => server.drop_connections(),
        }
        let (waits, cause) = waits_for(&socket).await;
        match (&*cause, code) {
            (ConnectError::ClosedByServer { code: told, reason }, Some(code)) => {
                assert_eq!((*told, &**reason), (code, ""))
            }
            (ConnectError::Ended, None) => {}
            (other, _) => panic!("{code:?}: {other:?}"),
        }
        assert_eq!(waits, step.max(Duration::from_secs(delay)), "{code:?}");
    }
}

// N-4
#[tokio::test]
async fn whoever_sends_nothing_for_too_long_is_closed() {
    let server = Server::builder().idle_timeout(Duration::from_millis(50)).start().await.unwrap();
    let socket = socket(server.url()).heartbeat(None).connect().await.unwrap();
    let (_, cause) = waits_for(&socket).await;
    assert!(matches!(*cause, ConnectError::ClosedByServer { code: 1002, .. }), "{cause:?}");
}

// H-7
#[tokio::test]
async fn a_server_that_falls_silent_is_noticed_by_its_heartbeats() {
    let server = Server::builder().start().await.unwrap();
    let (interval, patience) = (Duration::from_millis(20), Duration::from_millis(200));
    let builder = socket(server.url()).heartbeat(interval).heartbeat_timeout(patience);
    let socket = builder.connect().await.unwrap();
    server.misbehave(Fault::Mute);
    let (_, cause) = waits_for(&socket).await;
    assert!(matches!(*cause, ConnectError::HeartbeatTimeout), "{cause:?}");
}

// N-13
#[tokio::test]
async fn a_message_that_is_too_large_for_the_server_costs_one_connection() {
    let server =
        Server::builder().max_frame_size(1_000).join("room:*", |_, _| async { Ok(json!({})) }).start().await.unwrap();
    let socket = socket(server.url()).connect().await.unwrap();
    let room = socket.channel("room:1");
    room.join(()).await.unwrap();
    let pushed = room.push("e", json!({ "x": "x".repeat(1_000) }));
    let (pushed, (_, cause)) = futures::join!(pushed, waits_for(&socket));
    assert!(matches!(*cause, ConnectError::ClosedByServer { code: 1009, .. }), "{cause:?}");
    assert!(matches!(pushed, Err(PushError::Disconnected)), "{pushed:?}");
}

// S-20
#[tokio::test]
async fn a_server_is_told_that_its_client_is_gone() {
    let server = Server::builder().start().await.unwrap();
    socket(server.url()).connect().await.unwrap().close().await;
    server.wait_for_connections(0).await;
}
