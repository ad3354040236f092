//! What must hold of any messages whatever.

use std::collections::BTreeMap;

use super::*;

const SEEDS: u64 = 1_500;

/// A list of few keys and few refs; what is said of a ref is always the same.
fn some(random: &mut fastrand::Rng) -> Value {
    let mut list = Map::new();
    for key in ["ann", "bob", "cat"] {
        let refs: Vec<_> = (0..4).filter(|_| random.u8(..3) == 0).collect();
        if !refs.is_empty() {
            let metas: Value = refs.iter().map(|n| json!({ "phx_ref": format!("{key}{n}"), "n": n })).collect();
            list.insert(key.to_owned(), json!({ "metas": metas, "name": key }));
        }
    }
    list.into()
}

/// Each key with its refs, in any order.
fn set(presence: &Presence<Value>) -> BTreeMap<String, Vec<String>> {
    let sorted = |who: &Entry<Value>| {
        let mut refs: Vec<_> = who.metas().iter().map(|meta| meta["phx_ref"].as_str().unwrap().to_owned()).collect();
        refs.sort();
        refs
    };
    presence.iter().map(|who| (who.key().to_owned(), sorted(&who))).collect()
}

/// The diff that says what these events say.
fn as_diff(events: &[PresenceEvent<Value>]) -> Value {
    let (mut joins, mut leaves) = (Map::new(), Map::new());
    for event in events {
        match event {
            PresenceEvent::Joined { joined, .. } => joins.insert(joined.key().to_owned(), people::entry(joined)),
            PresenceEvent::Left { left, .. } => leaves.insert(left.key().to_owned(), people::entry(left)),
            PresenceEvent::Synced | PresenceEvent::Stale => None,
        };
    }
    diff(joins.into(), leaves.into())
}

// P-21, P-38
#[test]
fn p_21_a_state_is_the_diff_that_leads_to_it() {
    for seed in 0..SEEDS {
        let mut random = fastrand::Rng::with_seed(seed);
        let before = present(some(&mut random));
        let state = some(&mut random);
        let (after, events) = before.sync_state(&state).unwrap();
        assert_eq!(set(&after), set(&present(state)), "seed {seed}: the server's own list");
        let (same, again) = before.sync_diff(as_diff(&events)).unwrap();
        assert_eq!((list(&same), keys(&same)), (list(&after), keys(&after)), "seed {seed}");
        let told = |events: &[_]| {
            let mut told: Vec<_> = people::all_told(events).iter().map(Value::to_string).collect();
            told.sort();
            told
        };
        assert_eq!(told(&again), told(&events), "seed {seed}");
        let at_once = before.sync_state(list(&after)).unwrap();
        assert_eq!(list(&at_once.0), list(&after), "seed {seed}");
        assert_eq!(after.sync_state(list(&after)).unwrap().1.len(), 1, "seed {seed}: twice is once");
    }
}

// P-37
#[test]
fn p_37_the_same_diff_twice_is_the_same_as_once() {
    for seed in 0..SEEDS {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut presence = present(some(&mut random));
        for _ in 0..5 {
            let diff = diff(some(&mut random), some(&mut random));
            presence = presence.sync_diff(&diff).unwrap().0;
            let again = presence.sync_diff(&diff).unwrap().0;
            assert_eq!(set(&again), set(&presence), "seed {seed}: {diff}");
        }
    }
}
