//! What phoenix.js does, as it was observed.

use super::*;

fn vectors(name: &str) -> Vec<Value> {
    let all: Value = serde_json::from_str(include_str!("../../../tests/vectors.json")).unwrap();
    let found = all[name].as_array().unwrap().clone();
    assert!(!found.is_empty());
    found
}

/// The events of a vector have no sync.
fn assert_told(events: &[PresenceEvent<Value>], vector: &Value) {
    let mut told = people::all_told(events);
    assert_eq!(told.pop(), Some(json!({ "kind": "sync" })), "{vector}");
    assert_eq!(Value::from(told), vector["events"], "{vector}");
}

// P-8, P-25, P-28, P-32, P-35
#[test]
fn diffs_do_what_they_do_in_phoenix_js() {
    for vector in vectors("presence_diff") {
        let (after, events) = present(vector["state"].clone()).sync_diff(&vector["diff"]).unwrap();
        assert_eq!(list(&after), vector["out"], "{vector}");
        assert_told(&events, &vector);
    }
}

// P-8, P-16, P-19, P-22
#[test]
fn states_do_what_they_do_in_phoenix_js() {
    for (number, vector) in vectors("presence_state").into_iter().enumerate() {
        let (after, events) = present(vector["state"].clone()).sync_state(&vector["new_state"]).unwrap();
        // DEV-18: the one that keeps an old body is superseded. It is the server's.
        let out = if number == 3 { &vector["new_state"] } else { &vector["out"] };
        assert_eq!(list(&after), *out, "{vector}");
        assert_told(&events, &vector);
    }
}
