//! What has arrived is not late.

use std::time::Duration;

use phoenix_streams::json;
use tokio::time::advance;

use crate::support::{connected, joined, poll, recv_event, settle};

// T-12: the answer came at once; that the process was kept from reading it is not the server's fault.
#[tokio::test(start_paused = true)]
async fn t_12_the_answer_to_a_heartbeat_is_not_late_for_standing_behind_other_frames() {
    let (socket, _peer, mut server) = connected().await;
    let beat = recv_event(&mut server, "heartbeat").await;
    for _ in 0..3_000 {
        server.broadcast("room:1", "shout", ()).await;
    }
    server.reply(&beat, "ok", ()).await;
    // The process is stopped, or its one thread busy elsewhere.
    advance(Duration::from_secs(20)).await;
    settle().await;
    assert!(socket.status().current().is_connected(), "{:?}", socket.status());
}

#[tokio::test(start_paused = true)]
async fn t_12_a_reply_is_not_late_for_standing_behind_other_frames() {
    let (socket, _peer, mut server) = connected().await;
    let (room, _) = joined(&socket, &mut server, "room:1").await;
    let mut push = room.push("add", ());
    assert!(poll(&mut push).is_pending());
    let asked = recv_event(&mut server, "add").await;
    for _ in 0..3_000 {
        server.broadcast("room:1", "shout", ()).await;
    }
    server.reply(&asked, "ok", json!({ "sum": 3 })).await;
    advance(Duration::from_secs(10)).await;
    let outcome = push.await;
    assert!(outcome.is_ok(), "{outcome:?}");
}
