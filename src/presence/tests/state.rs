//! A state in the place of what was there.

use std::sync::Arc;

use super::*;

// P-15
#[test]
fn p_15_the_list_before_stays_as_it_was() {
    let before = present(company([("ann", &["1"]), ("bob", &["2"])]));
    let after = before.sync_state(company([("ann", &["3"])])).unwrap().0;
    assert_eq!((keys(&before), keys(&after)), (vec!["ann: 1".into(), "bob: 2".into()], vec!["ann: 3".into()]));
    let after = before.sync_diff(diff(company([("cat", &["4"])]), company([("ann", &["1"])]))).unwrap().0;
    assert_eq!((keys(&before).len(), keys(&after)), (2, vec!["bob: 2".into(), "cat: 4".into()]));
}

// P-16, P-17
#[test]
fn p_16_who_is_in_one_of_them_only_has_come_or_gone_with_all_their_metas() {
    let before = present(company([("ann", &["1", "2"])]));
    let (after, events) = before.sync_state(company([("bob", &["3", "4"])])).unwrap();
    assert_eq!(told(&events), ["+bob 3 4", "-ann 1 2", "sync"]);
    assert_eq!(keys(&after), ["bob: 3 4"]);
}

// P-18, P-29, T-25
#[test]
fn p_18_of_who_is_in_both_only_the_metas_that_came_and_went_are_told() {
    let before = present(company([("ann", &["1", "2"]), ("bob", &["3"]), ("cat", &["5", "6"])]));
    let (after, events) =
        before.sync_state(company([("ann", &["2", "4"]), ("bob", &["3", "7"]), ("cat", &["6"])])).unwrap();
    assert_eq!(told(&events), ["+ann 4 (1 2)", "+bob 7 (3)", "-ann 1 (2 4)", "-cat 5 (6)", "sync"]);
    assert_eq!(keys(&after), ["ann: 2 4", "bob: 3 7", "cat: 6"]);
}

// P-19
#[test]
fn p_19_a_ref_that_was_replaced_is_a_join_with_the_old_then_a_leave_with_the_new() {
    let (after, events) = present(company([("ann", &["1"])])).sync_state(company([("ann", &["2"])])).unwrap();
    assert_eq!(told(&events), ["+ann 2 (1)", "-ann 1 (2)", "sync"]);
    assert_eq!(keys(&after), ["ann: 2"]);
}

// P-20, DEV-18
#[test]
fn p_20_what_is_said_of_the_same_refs_is_the_servers_latest_and_no_news() {
    let said = |n: u8| json!({ "ann": { "metas": [{ "phx_ref": "1", "n": n }], "name": n } });
    let (after, events) = present(said(1)).sync_state(said(2)).unwrap();
    assert_eq!((list(&after), told(&events)), (said(2), vec!["sync".to_owned()]));
    let changes: Vec<_> = after.changes().collect();
    let [Change::Updated { old, new }] = &changes[..] else { panic!("{changes:?}") };
    assert_eq!((old.metas()[0]["n"].clone(), new.metas()[0]["n"].clone()), (json!(1), json!(2)));
    assert_eq!((changes[0].came().len(), changes[0].went().len()), (0, 0));
    // Also beside refs that came and went, and in what is told of those.
    let fuller = json!({ "ann": { "metas": [{ "phx_ref": "2" }, { "phx_ref": "1", "n": 3 }], "name": 3 } });
    let (after, _) = after.sync_state(&fuller).unwrap();
    assert_eq!((keys(&after), &list(&after)["ann"]["name"]), (vec!["ann: 1 2".to_owned()], &json!(3)));
    let (_, events) = after.sync_state(said(4)).unwrap();
    let left = &people::all_told(&events)[0];
    assert_eq!((&left["current"], &left["left"]["name"]), (&said(4)["ann"], &json!(3)), "{left}");
}

// P-22, T-25
#[test]
fn p_22_who_was_there_before_keeps_their_place_before_those_who_came() {
    let before = present(company([("ann", &["1", "2", "3"])]));
    let (after, events) = before.sync_state(company([("ann", &["5", "3", "4", "1"])])).unwrap();
    assert_eq!(keys(&after), ["ann: 1 3 5 4"]);
    assert_eq!(told(&events), ["+ann 5 4 (1 2 3)", "-ann 2 (1 3 5 4)", "sync"]);
    // Another order alone is no news.
    let (same, events) = after.sync_state(company([("ann", &["4", "5", "3", "1"])])).unwrap();
    assert_eq!((keys(&same), told(&events)), (keys(&after), vec!["sync".to_owned()]));
}

// P-23
#[test]
fn p_23_an_equal_state_is_one_sync_and_nothing_else() {
    let state = json!({ "ann": { "metas": [{ "phx_ref": "1", "n": [1, {}] }], "name": "Ann" } });
    let before = present(state.clone());
    let (after, events) = before.sync_state(state).unwrap();
    assert_eq!((told(&events), after.changes().count()), (vec!["sync".to_owned()], 0));
    let (nobody, events) = Presence::<Value>::default().sync_state(json!({})).unwrap();
    assert_eq!((told(&events), nobody.state()), (vec!["sync".to_owned()], PresenceState::Synced));
}

// T-26
#[test]
fn t_26_no_message_copies_the_list() {
    let many = |n: usize| (0..n).map(|at| (format!("user:{at}"), company([("k", &["1"])])["k"].clone()));
    let state = |n| Value::from(many(n).collect::<Map<_, _>>());
    let before = present(state(1_000));
    let shared = |after: &Presence<Value>| {
        after.people.iter().filter(|who| before.people.get(who.key()).is_some_and(|old| Arc::ptr_eq(old, who))).count()
    };
    let by_diff = before.sync_diff(diff(company([("user:7", &["2"])]), company([("user:8", &["1"])]))).unwrap().0;
    assert_eq!((shared(&by_diff), by_diff.len()), (998, 999));
    assert_eq!(by_diff.changes().count(), 2);
    let by_state = before.sync_state(state(1_001)).unwrap().0;
    assert_eq!((shared(&by_state), by_state.changes().count()), (1_000, 1));
}
