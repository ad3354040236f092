//! Who has left must not stay behind, whichever join their coming was told to.

use futures::StreamExt;
use phoenix_streams::{PresenceState, Value, json};

use crate::support::{accept_join, connected, poll, recv_event, settle};

fn one(key: &str) -> Value {
    json!({ key: { "metas": [{ "phx_ref": key }] } })
}

/// What was sent to the join before comes behind the new one's reply, up to the old one's close (C-39); who leaves in
/// between is not told to anyone.
// P-11, DEV-17
#[tokio::test(start_paused = true)]
async fn a_diff_of_the_join_before_brings_nobody_back() {
    let (socket, _peer, mut server) = connected().await;
    let room = socket.channel("room:1");
    let mut who = room.presence::<Value>();
    let first = accept_join(&room, &mut server).await;
    server.push(&first, "presence_state", one("ann")).await;
    let mut rejoin = room.rejoin();
    assert!(poll(&mut rejoin).is_pending());
    let second = recv_event(&mut server, "phx_join").await;
    server.reply(&second, "ok", ()).await;
    server.broadcast("room:1", "presence_diff", json!({ "joins": one("ghost"), "leaves": {} })).await;
    server.close_channel(&first).await;
    server.broadcast("room:1", "presence_diff", json!({ "joins": one("bob"), "leaves": {} })).await;
    server.push(&second, "presence_state", one("ann")).await;
    settle().await;
    let present = who.wait_for(|present| present.get("bob").is_some()).await.unwrap();
    assert_eq!(present.state(), PresenceState::Synced);
    assert_eq!(present.list_by(|key, _| key.to_owned()), ["ann", "bob"]);
    // Once the list is there, no end of an older join changes it.
    server.close_channel(&first).await;
    server.broadcast("room:1", "presence_diff", json!({ "joins": one("eve"), "leaves": {} })).await;
    settle().await;
    assert_eq!(who.next().await.unwrap().len(), 3);
}
