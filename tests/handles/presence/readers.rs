//! Several readers of one list, at their own pace.

use serde::Deserialize;

use super::*;

#[derive(Debug, Deserialize, PartialEq)]
struct Nick {
    nick: String,
}

// P-42
#[tokio::test(start_paused = true)]
async fn readers_of_different_types_share_a_list() {
    let (_peer, mut server, room, mut who, join) = room().await;
    let mut nicks = room.presence::<Nick>();
    settle().await;
    let metas = json!([{ "phx_ref": "1", "nick": "a" }, { "phx_ref": "2" }]);
    state(&mut server, &join, json!({ "ann": { "metas": metas, "nick": "Ann" } })).await;
    let (all, typed) = (next(&mut who), nicks.next().now_or_never().unwrap().unwrap());
    assert_eq!((all.get("ann").unwrap().metas().len(), all.undecodable()), (2, 0));
    let ann = typed.get("ann").unwrap();
    assert_eq!((ann.metas(), ann.undecodable(), typed.undecodable()), (&[Nick { nick: "a".into() }][..], 1, 1));
    assert_eq!(ann.json::<Nick>().unwrap(), Nick { nick: "Ann".into() });
}

#[tokio::test(start_paused = true)]
async fn each_reader_is_told_what_has_changed_since_its_own_last() {
    let (_peer, mut server, room, mut quick, join) = room().await;
    let mut slow: Who = room.presence();
    settle().await;
    state(&mut server, &join, company([("ann", &["1"])])).await;
    assert_eq!(changed(&next(&mut quick)), ["joined ann +1 -"]);
    assert_eq!(changed(&next(&mut slow)), ["joined ann +1 -"]);
    broadcast(&mut server, diff(company([("bob", &["2"])]), json!({}))).await;
    assert_eq!(changed(&next(&mut quick)), ["joined bob +2 -"]);
    broadcast(&mut server, diff(company([("ann", &["3"])]), company([("ann", &["1"])]))).await;
    assert_eq!(changed(&next(&mut quick)), ["updated ann +3 -1"]);
    assert_eq!(changed(&slow.current()), ["updated ann +3 -1", "joined bob +2 -"], "looking is not reading");
    assert_eq!(changed(&next(&mut slow)), ["updated ann +3 -1", "joined bob +2 -"]);
    assert!(changed(&slow.current()).is_empty());
    broadcast(&mut server, diff(json!({}), company([("bob", &["2"])]))).await;
    broadcast(&mut server, diff(company([("bob", &["2"])]), json!({}))).await;
    assert_eq!(next(&mut slow).len(), 2, "who left and came back is as before");
}

// Law 10: whoever comes late, also where nobody asked before.
#[tokio::test(start_paused = true)]
async fn a_late_reader_begins_with_everyone_as_joined() {
    for asked in [true, false] {
        let (_peer, mut server, room, who, join) = room().await;
        let who = asked.then_some(who);
        settle().await;
        state(&mut server, &join, company([("ann", &["1"])])).await;
        broadcast(&mut server, diff(company([("bob", &["2"])]), json!({}))).await;
        let mut late: Who = room.presence();
        assert_eq!(late.current().len(), 2, "at once");
        settle().await;
        let first = next(&mut late);
        assert_eq!(shown(&first), (PresenceState::Synced, json!({ "ann": ["1"], "bob": ["2"] })));
        assert_eq!(changed(&first), ["joined ann +1 -", "joined bob +2 -"]);
        drop(who);
    }
}

// P-1
#[tokio::test(start_paused = true)]
async fn events_are_told_from_when_they_were_asked_for() {
    let (_peer, mut server, room, _who, join) = room().await;
    let mut first = room.presence_events();
    settle().await;
    state(&mut server, &join, company([("ann", &["1"])])).await;
    let mut second = room.presence_events();
    settle().await;
    broadcast(&mut server, diff(json!({}), company([("ann", &["1"])]))).await;
    assert_eq!(told(&mut second), ["-ann 1", "sync"], "whoever reads first folds for all");
    assert_eq!(told(&mut first), ["+ann 1", "sync", "-ann 1", "sync"]);
    drop(second);
    broadcast(&mut server, diff(json!({}), json!({}))).await;
    assert_eq!(told(&mut first), ["sync"]);
}

// DEV-18
#[tokio::test(start_paused = true)]
async fn what_changes_nothing_is_no_item() {
    let (_peer, mut server, _room, mut who, join) = room().await;
    state(&mut server, &join, company([("ann", &["1"])])).await;
    next(&mut who);
    broadcast(&mut server, diff(json!({}), json!({}))).await;
    broadcast(&mut server, diff(json!({}), company([("ann", &["2"]), ("bob", &["3"])]))).await;
    state(&mut server, &join, company([("ann", &["1"])])).await;
    assert!(who.next().now_or_never().is_none());
}

// DEV-18: a server that pushes its list behind `track` broadcasts the diff of that later. `phoenix.js` tells it too.
#[tokio::test(start_paused = true)]
async fn a_join_of_what_is_there_already_is_told_and_is_no_item() {
    let (_peer, mut server, room, mut who, join) = room().await;
    let mut events = room.presence_events();
    settle().await;
    state(&mut server, &join, company([("ann", &["1"])])).await;
    next(&mut who);
    assert_eq!(told(&mut events), ["+ann 1", "sync"]);
    broadcast(&mut server, diff(company([("ann", &["1"])]), json!({}))).await;
    assert_eq!(told(&mut events), ["+ann 1 (1)", "sync"]);
    assert!(who.next().now_or_never().is_none());
}

// Law 10: whoever waits lets other tasks run.
#[tokio::test(start_paused = true)]
async fn waiting_for_a_list_reads_a_large_one_in_turns() {
    let (_peer, mut server, _room, mut who, join) = room().await;
    let many = (0..20_000).map(|number| (format!("user:{number}"), json!({ "metas": [{ "phx_ref": "1" }] })));
    state(&mut server, &join, many.collect::<serde_json::Map<_, _>>().into()).await;
    let is_whole = |present: &Presence<Value>| present.len() == 20_000;
    let mut polls = 0;
    let mut waiting = std::pin::pin!(who.wait_for(is_whole));
    let whole = std::future::poll_fn(|cx| {
        polls += 1;
        waiting.as_mut().poll(cx)
    });
    assert!(whole.await.is_some_and(|present| present.state() == PresenceState::Synced));
    assert!(polls > 2, "{polls} polls");
}
