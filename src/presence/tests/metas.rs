//! Metas, of whatever type a reader wants.

use serde::Deserialize;

use super::*;

#[derive(Debug, Deserialize, PartialEq)]
struct Nick {
    nick: String,
}

#[derive(Debug, Deserialize, PartialEq)]
struct Count {
    n: u8,
}

fn of<M>(presence: &Presence<Value>) -> Presence<M> {
    Presence::new(presence.people.clone(), presence.before.clone(), presence.state, presence.pending)
}

// P-42
#[test]
fn p_42_metas_that_do_not_decode_are_left_out_and_counted() {
    let presence = present(json!({
        "ann": { "metas": [
            { "phx_ref": "1", "nick": "a" }, { "phx_ref": "2", "n": 2 }, { "phx_ref": "3", "nick": "aa", "n": 3 },
        ] },
        "bob": { "metas": [{ "phx_ref": "4", "nick": 7, "n": 700 }] },
    }));
    let nicks = of::<Nick>(&presence);
    let ann = nicks.get("ann").unwrap();
    assert_eq!(ann.metas(), [Nick { nick: "a".into() }, Nick { nick: "aa".into() }]);
    assert_eq!((ann.undecodable(), nicks.undecodable()), (1, 2));
    assert!(nicks.get("bob").is_some_and(|bob| bob.metas().is_empty()), "he is here all the same");
    // Each type for itself.
    let counts = of::<Count>(&presence);
    assert_eq!(counts.get("ann").unwrap().metas(), [Count { n: 2 }, Count { n: 3 }]);
    assert_eq!((counts.undecodable(), presence.undecodable()), (2, 0));
}

// P-41
#[test]
fn what_came_and_went_is_told_by_ref_whether_others_decode_or_not() {
    let before = json!({ "ann": { "metas": [{ "phx_ref": "1" }, { "phx_ref": "2", "nick": "a" }] } });
    let after =
        json!({ "ann": { "metas": [{ "phx_ref": "1" }, { "phx_ref": "3" }, { "phx_ref": "4", "nick": "b" }] } });
    let presence = of::<Nick>(&present(before).sync_state(after).unwrap().0);
    let change = presence.changes().next().unwrap();
    assert_eq!(change.came(), [&Nick { nick: "b".into() }]);
    assert_eq!(change.went(), [&Nick { nick: "a".into() }]);
}

#[test]
fn fields_beside_the_metas_decode_by_themselves() {
    let presence = present(json!({ "ann": { "nick": "a", "metas": [{ "phx_ref": "1" }] }, "bob": { "metas": [] } }));
    assert_eq!(presence.get("ann").unwrap().json::<Nick>().unwrap(), Nick { nick: "a".into() });
    let bob = presence.get("bob").unwrap();
    assert!(bob.json::<Nick>().is_err());
    assert_eq!(bob.json::<Value>().unwrap(), json!({}));
}

// Law 12
#[test]
fn as_many_metas_under_one_key_as_a_server_likes_take_time_for_their_number() {
    let metas = |first: usize| {
        let metas: Value = (first..first + 40_000).map(|number| json!({ "phx_ref": number.to_string() })).collect();
        json!({ "ann": { "metas": metas } })
    };
    let start = std::time::Instant::now();
    let before = present(metas(0));
    let (same, _) = before.sync_state(metas(0)).unwrap();
    let (half, _) = same.sync_state(metas(20_000)).unwrap();
    assert_eq!(half.changes().map(|change| (change.came().len(), change.went().len())).last(), Some((20_000, 20_000)));
    let (joined, _) = half.sync_diff(diff(metas(40_000), json!({}))).unwrap();
    let (left, _) = joined.sync_diff(diff(json!({}), metas(10_000))).unwrap();
    assert_eq!(left.get("ann").unwrap().metas().len(), 30_000);
    // All of it takes a second, and minutes where each is looked for among all.
    assert!(start.elapsed().as_secs() < 30, "{:?}", start.elapsed());
}
