//! What is read of a list.

use super::*;

// P-39, P-40
#[test]
fn p_39_a_list_is_read_whole_or_by_what_is_chosen_of_each() {
    let presence = present(json!({
        "bob": { "metas": [{ "phx_ref": "2", "nick": "b" }] },
        "ann": { "metas": [{ "phx_ref": "1", "nick": "a" }, { "phx_ref": "3", "nick": "aa" }], "name": "Ann" },
    }));
    let all = presence.list();
    assert_eq!(all.iter().map(|who| (who.key(), who.metas().len())).collect::<Vec<_>>(), [("ann", 2), ("bob", 1)]);
    let chosen = presence.list_by(|key, who| format!("{key}/{}", who.metas()[0]["nick"].as_str().unwrap()));
    assert_eq!(chosen, ["ann/a", "bob/b"]);
    assert_eq!((presence.iter().len(), presence.len(), presence.is_empty()), (2, 2, false));
    assert_eq!(presence.get("ann").unwrap().json::<Value>().unwrap(), json!({ "name": "Ann" }));
    assert!(presence.get("cat").is_none());
}

// P-40
#[test]
fn p_40_the_order_is_that_of_the_keys_whenever_they_came() {
    let mut presence = present(company([("b", &["1"]), ("10", &["2"])]));
    for key in ["9", "a", "\u{e9}", "B", "", "aa"] {
        presence = presence.sync_diff(diff(company([(key, &["3"])]), json!({}))).unwrap().0;
    }
    let expected = ["", "10", "9", "B", "a", "aa", "b", "\u{e9}"];
    assert_eq!(presence.list_by(|key, _| key.to_owned()), expected);
    assert_eq!(presence.iter().map(|who| who.key().to_owned()).collect::<Vec<_>>(), expected);
    let nobody = Presence::default();
    assert_eq!(presence.changes_since(&nobody).map(|change| change.key().to_owned()).collect::<Vec<_>>(), expected);
}

// P-41
#[test]
fn p_41_who_came_online_and_who_is_still_here_from_elsewhere() {
    let before = present(company([("ann", &["1"]), ("bob", &["2", "3"]), ("cat", &["4"])]));
    let after = before.sync_state(company([("bob", &["3"]), ("cat", &["4", "5"]), ("dan", &["6"])])).unwrap().0;
    let refs = |metas: Vec<&Value>| metas.iter().map(|meta| meta["phx_ref"].clone()).collect::<Value>();
    let told: Vec<_> = after
        .changes()
        .map(|change| {
            let what = match &change {
                Change::Joined(_) => "online",
                Change::Updated { .. } => "still here",
                Change::Left(_) => "offline",
            };
            format!("{} {what} +{} -{}", change.key(), refs(change.came()), refs(change.went()))
        })
        .collect();
    assert_eq!(
        told,
        [
            r#"ann offline +[] -["1"]"#,
            r#"bob still here +[] -["2"]"#,
            r#"cat still here +["5"] -[]"#,
            r#"dan online +["6"] -[]"#
        ]
    );
}

#[test]
fn changes_are_those_since_any_older_list() {
    let first = present(company([("ann", &["1"])]));
    let second = first.sync_diff(diff(company([("bob", &["2"])]), company([("ann", &["1"])]))).unwrap().0;
    let third = second.sync_diff(diff(company([("ann", &["3"])]), json!({}))).unwrap().0;
    let since =
        |old: &Presence<Value>| third.changes_since(old).map(|change| change.key().to_owned()).collect::<Vec<_>>();
    assert_eq!(since(&first), ["ann", "bob"]);
    assert!(matches!(third.changes_since(&first).next(), Some(Change::Updated { .. })));
    assert_eq!(since(&second), ["ann"]);
    assert!(since(&third).is_empty());
    let backwards: Vec<_> = first.changes_since(&third).map(|change| change.key().to_owned()).collect();
    assert_eq!(backwards, ["ann", "bob"]);
}
