//! What comes while a list is read in turns.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::*;
use crate::support::recv_event;

/// A diff that changes nothing, and takes more than a turn.
fn idle_diff() -> Value {
    let leaves = (0..8_000).map(|n| (format!("nobody:{n:08}"), json!({ "metas": [{ "phx_ref": "0" }] })));
    diff(json!({}), Value::from(leaves.collect::<serde_json::Map<_, _>>()))
}

// Law 10: what has come is read, by a reader that had begun before.
#[tokio::test(start_paused = true)]
async fn what_comes_between_two_turns_of_a_list_is_seen() {
    let (_peer, mut server, room, mut who, join) = room().await;
    state(&mut server, &join, company([("ann", &["1"])])).await;
    assert_eq!(next(&mut who).len(), 1);
    broadcast(&mut server, idle_diff()).await;
    broadcast(&mut server, diff(json!({}), json!({}))).await;
    assert!(who.next().now_or_never().is_none(), "a turn");
    broadcast(&mut server, diff(company([("bob", &["2"])]), json!({}))).await;
    let since = Instant::now();
    let seen = timeout(Duration::from_secs(5), who.next()).await;
    assert!(since.elapsed() < Duration::from_secs(1), "nothing woke it for what is there: {:?}", since.elapsed());
    assert_eq!(seen.expect("it is waited for, though it is there").unwrap().len(), 2);
    drop(room);
}

// Law 10
#[tokio::test(start_paused = true)]
async fn what_comes_between_two_turns_of_the_events_is_seen() {
    let (_peer, mut server, room, who, join) = room().await;
    drop(who);
    let mut events: PresenceEvents<Value> = room.presence_events();
    settle().await;
    state(&mut server, &join, company([("ann", &["1"])])).await;
    told(&mut events);
    // A break, and the diffs before a state: nothing is told of them.
    server.error(&join, ()).await;
    let again = recv_event(&mut server, "phx_join").await;
    server.reply(&again, "ok", ()).await;
    settle().await;
    told(&mut events);
    for _ in 0..4_000 {
        server.broadcast("room:1", "presence_diff", diff(json!({}), json!({}))).await;
    }
    settle().await;
    assert!(events.next().now_or_never().is_none(), "a turn");
    state(&mut server, &again, company([("ann", &["1"])])).await;
    let since = Instant::now();
    let seen = timeout(Duration::from_secs(5), events.next()).await;
    seen.expect("it is waited for, though it is there").unwrap().unwrap();
    assert!(since.elapsed() < Duration::from_secs(1), "nothing woke it for what is there: {:?}", since.elapsed());
}
