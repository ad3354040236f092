//! What a server may say wrongly.

use super::*;
use crate::Payload;

fn raw(text: &str) -> Payload {
    Payload::from_raw(text.to_owned(), false)
}

const PEOPLE: [&str; 20] = [
    "",
    "null",
    "[]",
    "7",
    "\"ann\"",
    "{",
    r#"{"ann"}"#,
    r#"{"ann":null}"#,
    r#"{"ann":[]}"#,
    r#"{"ann":{}}"#,
    r#"{"ann":{"name":"Ann"}}"#,
    r#"{"ann":{"metas":null}}"#,
    r#"{"ann":{"metas":{}}}"#,
    r#"{"ann":{"metas":[7]}}"#,
    r#"{"ann":{"metas":[{}]}}"#,
    r#"{"ann":{"metas":[{"phx_ref":null}]}}"#,
    r#"{"ann":{"metas":[{"phx_ref":7}]}}"#,
    r#"{"ann":{"metas":[{"phx_ref":"1"},{}]}}"#,
    r#"{"bob":{"metas":[{"phx_ref":"3"}]},"ann":{"metas":[{"phx_ref":"1"}"#,
    r#"{"bob":{"metas":[{"phx_ref":"3"}]},"ann":{"metas":[{"phx_ref":"1"}]},}"#,
];

// P-42
#[test]
fn p_42_what_is_no_message_of_presences_is_an_error_and_changes_nothing() {
    let before = present(company([("ann", &["1"]), ("cat", &["2"])]));
    let untouched = list(&before);
    for people in PEOPLE {
        assert!(before.sync_state(raw(people)).is_err(), "{people}");
        for diff in [format!(r#"{{"joins":{people},"leaves":{{}}}}"#), format!(r#"{{"joins":{{}},"leaves":{people}}}"#)]
        {
            assert!(before.sync_diff(raw(&diff)).is_err(), "{diff}");
        }
    }
    for diff in ["", "null", "[]", "7", "{}", r#"{"joins":{}}"#, r#"{"leaves":{}}"#, r#"{"joins":{},"leaves":{}"#] {
        assert!(before.sync_diff(raw(diff)).is_err(), "{diff}");
    }
    assert!(before.sync_state(crate::Binary("{}")).is_err());
    assert!(before.sync_diff(crate::Binary(r#"{"joins":{},"leaves":{}}"#)).is_err());
    assert_eq!(list(&before), untouched);
}

// P-42
#[test]
fn what_is_odd_but_sayable_is_no_error() {
    let odd = [
        r#"{"ann":{"metas":[]}}"#,
        r#"{"ann":{"metas":[{"phx_ref":""}]}}"#,
        r#"{"ann":{"metas":[{"phx_ref":"1"},{"phx_ref":"1"}]}}"#,
        r#"{"ann":{"metas":null,"metas":[{"phx_ref":"1"}]}}"#,
        r#" { "ann" : { "metas" : [ { "phx_ref" : "1" } ] } } "#,
    ];
    for state in odd.iter().filter(|state| !state.contains("null")) {
        for before in [Presence::default(), present(company([("ann", &["1", "3"])]))] {
            let after = before.sync_state(raw(state)).unwrap().0;
            // Whatever it was, the next state puts it right.
            let next = company([("ann", &["4"]), ("bob", &["5"])]);
            assert_eq!(list(&after.sync_state(&next).unwrap().0), next, "{state}");
        }
    }
}

// P-42: it would be gone through as often as a server likes.
#[test]
fn a_key_that_stands_twice_is_an_error() {
    let twice = r#"{"ann":{"metas":[{"phx_ref":"1"}]},"bob":{"metas":[]},"ann":{"metas":[{"phx_ref":"2"}]}}"#;
    for before in [Presence::default(), present(company([("ann", &["1", "3"])]))] {
        for outcome in [
            before.sync_state(raw(twice)),
            before.sync_diff(raw(&format!(r#"{{"joins":{twice},"leaves":{{}}}}"#))),
            before.sync_diff(raw(&format!(r#"{{"joins":{{}},"leaves":{twice}}}"#))),
        ] {
            assert!(outcome.unwrap_err().to_string().contains("the key \"ann\" stands twice"));
        }
    }
}
