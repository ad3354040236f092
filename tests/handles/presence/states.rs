//! How far a list can be relied on, and how its streams end.

use phoenix_streams::NotJoined;
use tokio::time::advance;

use super::*;
use crate::support::recv_event;

use PresenceState::{Awaiting, Closed, Stale, Synced};

/// A list with Ann and Bob in it, which was read.
async fn two() -> (Peer, PeerConnection, Channel, Who, PresenceEvents<Value>, Incoming) {
    let (peer, mut server, room, mut who, join) = room().await;
    let mut events = room.presence_events();
    settle().await;
    state(&mut server, &join, company([("ann", &["1"]), ("bob", &["2"])])).await;
    assert_eq!(shown(&next(&mut who)), (Synced, json!({ "ann": ["1"], "bob": ["2"] })));
    assert_eq!(told(&mut events), ["+ann 1", "+bob 2", "sync"]);
    (peer, server, room, who, events, join)
}

/// The last item of each: the list as it was, and nothing.
fn assert_closed(who: &mut Who, events: &mut PresenceEvents<Value>) {
    let mut last = next(who);
    if last.state() == Stale {
        last = next(who);
    }
    assert_eq!(shown(&last), (Closed, json!({ "ann": ["1"], "bob": ["2"] })));
    assert!(last.changes().next().is_none());
    assert!(matches!(who.next().now_or_never(), Some(None)) && has_ended(events));
    assert_eq!(who.current().state(), Closed);
}

// P-9, DEV-18
#[tokio::test(start_paused = true)]
async fn p_9_a_list_is_stale_from_a_break_to_the_next_state() {
    let (mut peer, server, _room, mut who, mut events, _) = two().await;
    server.cut();
    settle().await;
    let stale = next(&mut who);
    assert_eq!(shown(&stale), (Stale, json!({ "ann": ["1"], "bob": ["2"] })));
    assert!(stale.changes().next().is_none());
    let mut server = peer.accept().await;
    let join = recv_event(&mut server, "phx_join").await;
    server.reply(&join, "ok", ()).await;
    settle().await;
    assert!(who.next().now_or_never().is_none(), "joined is not synced");
    state(&mut server, &join, company([("bob", &["2"]), ("cat", &["3"])])).await;
    let synced = next(&mut who);
    assert_eq!(shown(&synced), (Synced, json!({ "bob": ["2"], "cat": ["3"] })));
    assert_eq!(changed(&synced), ["left ann + -1", "joined cat +3 -"]);
    assert_eq!(told(&mut events), ["stale", "+cat 3", "-ann 1", "sync"]);
}

// P-9
#[tokio::test(start_paused = true)]
async fn a_list_is_stale_from_a_crash_to_the_next_state() {
    let (_peer, mut server, _room, mut who, _events, join) = two().await;
    server.error(&join, ()).await;
    settle().await;
    assert_eq!(next(&mut who).state(), Stale);
    let join = recv_event(&mut server, "phx_join").await;
    server.reply(&join, "ok", ()).await;
    state(&mut server, &join, company([("ann", &["1"]), ("bob", &["2"])])).await;
    let synced = next(&mut who);
    assert_eq!((synced.state(), changed(&synced)), (Synced, vec![]), "the same, and known to be");
}

// DEV-18
#[tokio::test(start_paused = true)]
async fn a_leave_by_the_user_ends_both_streams() {
    let (_peer, mut server, room, mut who, mut events, _) = two().await;
    let leaving = tokio::spawn(room.leave().into_future());
    let leave = recv_event(&mut server, "phx_leave").await;
    server.reply(&leave, "ok", ()).await;
    leaving.await.unwrap().unwrap();
    assert_closed(&mut who, &mut events);
    // Its next life begins with nothing.
    let mut who: Who = room.presence();
    assert_eq!(shown(&who.current()), (Awaiting, json!({})));
    let join = accept_join(&room, &mut server).await;
    assert_eq!(shown(&next(&mut who)), (Awaiting, json!({})));
    state(&mut server, &join, company([("ann", &["9"])])).await;
    assert_eq!(changed(&next(&mut who)), ["joined ann +9 -"]);
}

// Law 10: while it leaves it hears no broadcasts, so that no list is the server's own.
#[tokio::test(start_paused = true)]
async fn a_state_while_it_leaves_is_not_synced() {
    let (_peer, mut server, room, mut who, join) = room().await;
    let mut leave = room.leave();
    assert!((&mut leave).now_or_never().is_none());
    settle().await;
    state(&mut server, &join, company([("ann", &["1"])])).await;
    broadcast(&mut server, diff(json!({}), company([("ann", &["1"])]))).await;
    assert_eq!(shown(&next(&mut who)), (Awaiting, json!({})));
}

// DEV-18
#[tokio::test(start_paused = true)]
async fn a_close_by_the_server_ends_both_streams() {
    let (_peer, mut server, _room, mut who, mut events, join) = two().await;
    server.close_channel(&join).await;
    settle().await;
    assert_closed(&mut who, &mut events);
}

// DEV-18
#[tokio::test(start_paused = true)]
async fn a_socket_that_is_closed_ends_both_streams() {
    let (_peer, mut server, room, mut who, mut events, _) = two().await;
    let socket = room.socket().clone();
    let closing = tokio::spawn(async move { socket.close().await });
    while server.recv().await.is_some() {}
    server.close(1000);
    closing.await.unwrap();
    assert_closed(&mut who, &mut events);
    let (mut who, mut events): (Who, _) = (room.presence(), room.presence_events());
    settle().await;
    assert_eq!(shown(&next(&mut who)), (Closed, json!({})), "too late");
    assert!(matches!(who.next().now_or_never(), Some(None)) && has_ended(&mut events));
}

#[tokio::test(start_paused = true)]
async fn a_refused_join_is_told_once_and_the_streams_stay() {
    let (socket, _peer, mut server) = connected().await;
    let room = socket.channel("room:1");
    let (mut who, mut events): (Who, PresenceEvents<Value>) = (room.presence(), room.presence_events());
    room.join(()).detach();
    let join = recv_event(&mut server, "phx_join").await;
    server.reply(&join, "error", json!({ "reason": "no" })).await;
    settle().await;
    let refused = events.next().now_or_never().unwrap().unwrap().unwrap_err();
    assert!(matches!(refused, EventError::NotJoined(NotJoined::Refused(_))), "{refused}");
    assert!(events.next().now_or_never().is_none(), "once");
    assert_eq!(shown(&next(&mut who)), (Awaiting, json!({})));
    let join = accept_join(&room, &mut server).await;
    state(&mut server, &join, company([("ann", &["1"])])).await;
    assert_eq!(shown(&next(&mut who)), (Synced, json!({ "ann": ["1"] })));
    assert_eq!(told(&mut events), ["+ann 1", "sync"]);
}

// P-10
#[tokio::test(start_paused = true)]
async fn p_10_without_a_state_it_awaits_for_ever_and_says_how_much_waits() {
    let (_peer, mut server, room, mut who, _join) = room().await;
    let mut events = room.presence_events();
    assert_eq!(next(&mut who).state(), Awaiting);
    for number in 0..150 {
        broadcast(&mut server, diff(company([("ann", &[&number.to_string()])]), json!({}))).await;
    }
    advance(std::time::Duration::from_secs(10)).await;
    settle().await;
    assert!(who.next().now_or_never().is_none() && told(&mut events).is_empty());
    assert_eq!((shown(&who.current()), who.current().pending()), ((Awaiting, json!({})), 150));
}
