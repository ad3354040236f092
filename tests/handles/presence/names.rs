//! Presence under event names of its own.

use phoenix_streams::PresenceNames;

use super::*;

// P-1
#[tokio::test(start_paused = true)]
async fn p_1_both_names_are_ones_own() {
    let (_peer, mut server, room, mut default, join) = room().await;
    let names = PresenceNames::default().state("people").diff("people_diff");
    let (mut who, mut events) = (room.presence_with(names.clone()), room.presence_events_with(names));
    settle().await;
    server.push(&join, "people", company([("ann", &["1"])])).await;
    server.broadcast("room:1", "people_diff", diff(company([("bob", &["2"])]), json!({}))).await;
    state(&mut server, &join, company([("eve", &["5"])])).await;
    assert_eq!(shown(&next(&mut who)).1, json!({ "ann": ["1"], "bob": ["2"] }));
    assert_eq!(told(&mut events), ["+ann 1", "sync", "+bob 2", "sync"]);
    assert_eq!(shown(&next(&mut default)).1, json!({ "eve": ["5"] }), "beside the one of the usual names");
}

// P-2, DEV-18
#[tokio::test(start_paused = true)]
async fn p_2_each_name_has_its_own_default() {
    let (_peer, mut server, room, _default, join) = room().await;
    let mut by_state = room.presence_with(PresenceNames::default().state("people"));
    let mut by_diff = room.presence_with(PresenceNames::default().diff("people_diff"));
    settle().await;
    server.push(&join, "people", company([("ann", &["1"])])).await;
    server.push(&join, "presence_state", company([("bob", &["2"])])).await;
    server.broadcast("room:1", "people_diff", diff(company([("cat", &["3"])]), json!({}))).await;
    broadcast(&mut server, diff(company([("dan", &["4"])]), json!({}))).await;
    assert_eq!(shown(&next(&mut by_state)).1, json!({ "ann": ["1"], "dan": ["4"] }));
    assert_eq!(shown(&next(&mut by_diff)).1, json!({ "bob": ["2"], "cat": ["3"] }));
}
