//! Diffs of one join under the next.

use std::time::Duration;

use tokio::time::advance;

use super::*;
use crate::support::recv_event;

fn ann() -> Value {
    diff(company([("ann", &["1"])]), json!({}))
}

// P-11, DEV-17
#[tokio::test(start_paused = true)]
async fn p_11_what_waited_under_an_older_join_is_dropped() {
    let (mut peer, mut server, _room, mut who, join) = room().await;
    broadcast(&mut server, ann()).await;
    assert_eq!(who.current().pending(), 1);
    server.error(&join, ()).await;
    let join = recv_event(&mut server, "phx_join").await;
    server.reply(&join, "ok", ()).await;
    settle().await;
    assert_eq!(who.current().pending(), 0);
    broadcast(&mut server, ann()).await;
    server.cut();
    let mut server = peer.accept().await;
    let join = recv_event(&mut server, "phx_join").await;
    server.reply(&join, "ok", ()).await;
    // Ann was there, and has left since.
    state(&mut server, &join, json!({})).await;
    assert_eq!(shown(&next(&mut who)), (PresenceState::Synced, json!({})));
}

// P-4, DEV-17
#[tokio::test(start_paused = true)]
async fn a_join_over_the_present_one_makes_it_pending_again() {
    let (_peer, mut server, room, mut who, join) = room().await;
    let mut events = room.presence_events();
    settle().await;
    state(&mut server, &join, company([("bob", &["2"])])).await;
    next(&mut who);
    told(&mut events);
    room.rejoin().detach();
    let join = recv_event(&mut server, "phx_join").await;
    settle().await;
    assert_eq!(next(&mut who).state(), PresenceState::Stale);
    // The older one is told of Ann. She leaves while the server has neither.
    broadcast(&mut server, ann()).await;
    server.reply(&join, "ok", ()).await;
    broadcast(&mut server, diff(company([("cat", &["3"])]), json!({}))).await;
    assert_eq!((shown(&who.current()).1, who.current().pending()), (json!({ "bob": ["2"] }), 1));
    assert_eq!(told(&mut events), ["stale"]);
    state(&mut server, &join, company([("bob", &["2"])])).await;
    assert_eq!(shown(&next(&mut who)), (PresenceState::Synced, json!({ "bob": ["2"], "cat": ["3"] })));
    assert_eq!(told(&mut events), ["+cat 3", "sync"]);
}

// DEV-17: a server that was too slow may hold the join that was given up.
#[tokio::test(start_paused = true)]
async fn what_comes_of_a_join_that_timed_out_is_dropped() {
    let (socket, _peer, mut server) = connected().await;
    let room = socket.channel("room:1");
    let mut who: Who = room.presence();
    room.join(()).detach();
    let first = recv_event(&mut server, "phx_join").await;
    advance(Duration::from_secs(11)).await;
    let leave = recv_event(&mut server, "phx_leave").await;
    let second = recv_event(&mut server, "phx_join").await;
    // Now it does all of that, in order. Ann leaves between the two.
    server.reply(&first, "ok", ()).await;
    broadcast(&mut server, ann()).await;
    server.reply(&leave, "ok", ()).await;
    server.reply(&second, "ok", ()).await;
    state(&mut server, &second, json!({})).await;
    assert_eq!(shown(&next(&mut who)), (PresenceState::Synced, json!({})));
}
