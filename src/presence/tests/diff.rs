//! A diff on top of what was there.

use super::*;

fn synced(before: Value, joins: Value, leaves: Value) -> (Vec<String>, Vec<String>) {
    let (after, events) = present(before).sync_diff(diff(joins, leaves)).unwrap();
    (keys(&after), told(&events))
}

// P-24
#[test]
fn p_24_all_joins_come_before_all_leaves_each_in_the_order_of_the_message() {
    let text = r#"{"leaves":{"cat":{"metas":[{"phx_ref":"3"}]},"bob":{"metas":[{"phx_ref":"2"}]}},
        "joins":{"eve":{"metas":[{"phx_ref":"5"}]},"dan":{"metas":[{"phx_ref":"4"}]}}}"#;
    let payload = crate::Payload::from_raw(text, false);
    let (_, events) = present(company([("bob", &["2"]), ("cat", &["3"])])).sync_diff(payload).unwrap();
    assert_eq!(told(&events), ["+eve 5", "+dan 4", "-cat 3", "-bob 2", "sync"]);
}

// P-25
#[test]
fn p_25_who_was_unknown_comes_online() {
    let (keys, told) = synced(json!({}), company([("ann", &["1", "2"])]), json!({}));
    assert_eq!((keys, told), (vec!["ann: 1 2".into()], vec!["+ann 1 2".into(), "sync".into()]));
}

// P-26, P-29, T-25
#[test]
fn p_26_who_was_known_comes_once_more_behind_their_other_metas() {
    let (keys, told) = synced(company([("ann", &["1", "2"])]), company([("ann", &["3", "4"])]), json!({}));
    assert_eq!(keys, ["ann: 1 2 3 4"]);
    assert_eq!(told, ["+ann 3 4 (1 2)", "sync"], "the metas that came, and not all of them");
}

// P-27, T-25
#[test]
fn p_27_a_ref_that_was_there_is_replaced_by_what_came_and_moves_to_the_end() {
    let before = json!({ "ann": { "metas": [{ "phx_ref": "1", "n": 1 }, { "phx_ref": "2" }] } });
    let joins = json!({ "ann": { "metas": [{ "phx_ref": "1", "n": 2 }] } });
    let (after, events) = present(before).sync_diff(diff(joins, json!({}))).unwrap();
    let metas = json!([{ "phx_ref": "2" }, { "phx_ref": "1", "n": 2 }]);
    assert_eq!(list(&after), json!({ "ann": { "metas": metas } }));
    assert_eq!(told(&events), ["+ann 1 (1 2)", "sync"]);
}

// P-28, T-26
#[test]
fn p_28_the_fields_beside_the_metas_are_those_of_whoever_came_last() {
    let before = json!({ "ann": { "metas": [{ "phx_ref": "1" }], "name": "Ann", "old": true } });
    let joins = json!({ "ann": { "metas": [{ "phx_ref": "2" }], "name": "Anna" } });
    let (after, events) = present(before).sync_diff(diff(joins, json!({}))).unwrap();
    assert_eq!(
        list(&after),
        json!({ "ann": { "metas": [{ "phx_ref": "1" }, { "phx_ref": "2" }], "name": "Anna" } }),
        "all of them, and none of the old"
    );
    let join = &people::all_told(&events)[0];
    assert_eq!((&join["current"]["old"], &join["new"]["name"]), (&json!(true), &json!("Anna")));
    // Who leaves takes none of them along; and who comes without any has none.
    let leaves = json!({ "ann": { "metas": [{ "phx_ref": "2" }], "name": "?" } });
    let (left, _) = after.sync_diff(diff(json!({}), leaves)).unwrap();
    assert_eq!(list(&left), json!({ "ann": { "metas": [{ "phx_ref": "1" }], "name": "Anna" } }));
    let (bare, _) = left.sync_diff(diff(company([("ann", &["3"])]), json!({}))).unwrap();
    assert_eq!(list(&bare), company([("ann", &["1", "3"])]));
}

// P-30, P-36, T-25
#[test]
fn p_30_who_was_unknown_cannot_leave_and_all_others_do() {
    let before = company([("bob", &["2"]), ("dan", &["4"])]);
    let leaves = company([("ann", &["1"]), ("bob", &["2"]), ("cat", &["3"]), ("dan", &["4"])]);
    let (keys, told) = synced(before, json!({}), leaves);
    assert_eq!(told, ["-bob 2", "-dan 4", "sync"]);
    assert!(keys.is_empty());
}

// P-31, P-32, P-41
#[test]
fn p_31_who_leaves_one_place_is_still_here_from_the_others() {
    let (keys, told) = synced(company([("ann", &["1", "2", "3"])]), json!({}), company([("ann", &["2"])]));
    assert_eq!(keys, ["ann: 1 3"]);
    assert_eq!(told, ["-ann 2 (1 3)", "sync"]);
}

// P-32
#[test]
fn p_32_who_left_is_told_in_the_words_of_the_leave() {
    let leaves = json!({ "ann": { "metas": [{ "phx_ref": "1", "why": "bye" }, { "phx_ref": "9" }], "name": "A" } });
    let before = json!({ "ann": { "metas": [{ "phx_ref": "1" }, { "phx_ref": "2" }], "name": "Ann" } });
    let (_, events) = present(before).sync_diff(diff(json!({}), leaves.clone())).unwrap();
    let leave = &people::all_told(&events)[0];
    assert_eq!(leave["left"], leaves["ann"], "all of them, as they were said");
    assert_eq!(leave["current"], json!({ "metas": [{ "phx_ref": "2" }], "name": "Ann" }));
}

// P-33, P-41
#[test]
fn p_33_who_left_the_last_place_is_gone() {
    let (after, events) =
        present(company([("ann", &["1", "2"])])).sync_diff(diff(json!({}), company([("ann", &["2", "1"])]))).unwrap();
    assert!(after.is_empty() && after.get("ann").is_none());
    let [PresenceEvent::Left { remaining: None, left }, PresenceEvent::Synced] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!((left.key(), left.metas().len()), ("ann", 2));
}

// P-34, DEV-18
#[test]
fn p_34_a_leave_of_refs_that_are_not_here_is_no_news() {
    let before = present(company([("ann", &["1"])]));
    let (after, events) = before.sync_diff(diff(json!({}), company([("ann", &["2"])]))).unwrap();
    assert_eq!((keys(&after), told(&events)), (vec!["ann: 1".to_owned()], vec!["sync".to_owned()]));
    assert_eq!(after.changes().count(), 0);
}

// P-35, P-41, T-25
#[test]
fn p_35_an_update_replaces_a_meta_and_its_owner_stays() {
    let before = present(json!({ "ann": { "metas": [{ "phx_ref": "1", "n": 1 }, { "phx_ref": "7" }] } }));
    let joins = json!({ "ann": { "metas": [{ "phx_ref": "2", "phx_ref_prev": "1", "n": 2 }] } });
    let (after, events) = before.sync_diff(diff(joins, company([("ann", &["1"])]))).unwrap();
    assert_eq!(keys(&after), ["ann: 7 2"]);
    assert_eq!(told(&events), ["+ann 2 (1 7)", "-ann 1 (7 2)", "sync"], "at no time offline");
    let changes: Vec<_> = after.changes().collect();
    let [Change::Updated { .. }] = &changes[..] else { panic!("{changes:?}") };
    let one = |metas: Vec<&Value>| metas.iter().map(|meta| meta["n"].clone()).collect::<Vec<_>>();
    assert_eq!((one(changes[0].came()), one(changes[0].went())), (vec![json!(2)], vec![json!(1)]));
}

// P-36
#[test]
fn p_36_every_key_of_a_diff_counts() {
    let before = company([("ann", &["1"]), ("bob", &["2"]), ("cat", &["3"])]);
    let joins = company([("dan", &["4"]), ("eve", &["5"]), ("fay", &["6"])]);
    let (keys, told) = synced(before.clone(), joins, before);
    assert_eq!(keys, ["dan: 4", "eve: 5", "fay: 6"]);
    assert_eq!(told, ["+dan 4", "+eve 5", "+fay 6", "-ann 1", "-bob 2", "-cat 3", "sync"]);
}
