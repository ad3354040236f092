//! Disconnecting and closing while it is about to go back.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use futures::future::ready;
use phoenix_streams::{
    Socket, Status, json,
    testing::{Fault, Server},
};

use crate::support::{Log, builder, in_time, ms, rooms, transport, words};

#[tokio::test]
async fn a_disconnect_ends_a_probe() {
    let server = rooms().start().await.unwrap();
    server.misbehave(Fault::SwallowFrames);
    let socket = builder(&server, transport()).idle().unwrap();
    let mut log = Log::of(&socket);
    in_time(socket.connect()).await.unwrap();
    log.until("probe failed").await;
    // The session, and another probe.
    in_time(server.wait_for_connections(1)).await;
    in_time(server.wait_for_connections(2)).await;
    in_time(socket.disconnect()).await;
    assert_eq!(words(&log.until("closed").await), ["closed"]);
    assert!(matches!(socket.status().current(), Status::Disconnected));
    in_time(server.wait_for_connections(0)).await;

    server.behave();
    in_time(socket.connect()).await.unwrap();
    let happened = log.until("opened websocket").await;
    assert_eq!(
        words(&happened),
        ["connecting", "opened long-poll", "heals", "switched", "connecting", "opened websocket"]
    );
}

/// On its way back: the WebSocket is open, and the last poll too.
async fn winding_down(server: &Server, asked: Arc<AtomicUsize>) -> (Socket, Log) {
    server.misbehave(Fault::RefuseUpgrades(502));
    let builder = builder(server, transport()).params_with(move || {
        asked.fetch_add(1, SeqCst);
        ready(Ok(json!({})))
    });
    let socket = builder.idle().unwrap();
    let mut log = Log::of(&socket);
    in_time(socket.connect()).await.unwrap();
    log.until("opened long-poll").await;
    server.behave();
    log.until("heals").await;
    in_time(server.wait_for_connections(2)).await;
    (socket, log)
}

#[tokio::test]
async fn a_disconnect_on_the_way_back_leaves_no_connection_behind() {
    let server = rooms().window(ms(10_000)).start().await.unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let (socket, mut log) = winding_down(&server, asked.clone()).await;
    in_time(socket.disconnect()).await;
    assert_eq!(words(&log.until("closed").await), ["closed"]);
    assert!(matches!(socket.status().current(), Status::Disconnected));
    // But for the session, of which nobody can take leave.
    in_time(server.wait_for_connections(1)).await;
    assert_eq!(server.sessions(), 1);

    // What was opened for another user, say, is not what the next connect brings.
    let before = asked.load(SeqCst);
    in_time(socket.connect()).await.unwrap();
    assert_eq!(words(&log.until("opened websocket").await), ["connecting", "opened websocket"]);
    assert_eq!(asked.load(SeqCst), before + 1);
}

#[tokio::test]
async fn a_close_on_the_way_back_closes_both() {
    let server = rooms().window(ms(10_000)).start().await.unwrap();
    let (socket, mut log) = winding_down(&server, Arc::default()).await;
    in_time(socket.close()).await;
    assert_eq!(words(&log.until("closed").await), ["closed"]);
    in_time(server.wait_for_connections(1)).await;
    assert_eq!(server.sessions(), 1);
}
