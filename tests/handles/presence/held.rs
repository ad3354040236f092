//! What a presence holds.

use tokio::time::advance;

use super::*;

// Law 3
#[tokio::test(start_paused = true)]
async fn nothing_is_held_once_all_is_dropped() {
    let (_peer, mut server, room, mut who, join) = room().await;
    let events: PresenceEvents<Value> = room.presence_events();
    let socket = room.socket().clone();
    settle().await;
    state(&mut server, &join, company([("ann", &["1"])])).await;
    assert_eq!(next(&mut who).len(), 1);
    broadcast(&mut server, diff(company([("bob", &["2"])]), json!({}))).await;
    assert!(socket.stats().incoming_bytes > 0);
    drop((who, events, room));
    settle().await;
    // The server never answers to the leave.
    advance(std::time::Duration::from_secs(20)).await;
    settle().await;
    assert_eq!(socket.stats().incoming_bytes, 0);
}
