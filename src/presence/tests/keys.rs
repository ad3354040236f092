//! Keys are whatever strings a server chose.

use super::*;

const ODD: [&str; 10] = [
    "",
    "__proto__",
    "constructor",
    "hasOwnProperty",
    "metas",
    "h\u{e9} \u{1f600}",
    "\"quoted\" \\ \n\u{1}",
    "\u{0}",
    "7",
    "joins",
];

// P-14, T-26
#[test]
fn p_14_no_key_is_special() {
    let state: Value = ODD.iter().map(|key| ((*key).to_owned(), company([("k", &["1"])])["k"].clone())).collect();
    let (before, events) = Presence::<Value>::default().sync_state(&state).unwrap();
    assert_eq!((list(&before), events.len()), (state.clone(), ODD.len() + 1));
    for key in ODD {
        assert_eq!(before.get(key).map(|who| who.key().to_owned()).as_deref(), Some(key));
        let update = diff(company([(key, &["2"])]), company([(key, &["1"])]));
        let (after, events) = before.sync_diff(update).unwrap();
        assert_eq!(told(&events), [format!("+{key} 2 (1)"), format!("-{key} 1 (2)"), "sync".to_owned()]);
        let (after, events) = after.sync_diff(diff(json!({}), company([(key, &["2"])]))).unwrap();
        assert_eq!((told(&events)[0].clone(), after.len()), (format!("-{key} 2"), ODD.len() - 1));
    }
    let (nobody, _) = before.sync_diff(diff(json!({}), state)).unwrap();
    assert!(nobody.is_empty());
}

// P-14
#[test]
fn a_key_is_the_same_however_it_is_escaped() {
    let plain = crate::Payload::from_raw("{\"\u{e9}/\u{1f600}\":{\"metas\":[{\"phx_ref\":\"\u{e9}\"}]}}", false);
    let escaped = r#"{"joins":{},"leaves":{"\u00e9\/\ud83d\ude00":{"met\u0061s":[{"phx\u005fref":"\u00e9"}]}}}"#;
    let before = Presence::<Value>::default().sync_state(plain).unwrap().0;
    let (after, events) = before.sync_diff(crate::Payload::from_raw(escaped, false)).unwrap();
    assert!(after.is_empty(), "{events:?}");
}

// P-28, T-26
#[test]
fn t_26_no_field_beside_the_metas_is_special() {
    let fields = ODD.iter().filter(|name| **name != "metas").map(|name| ((*name).to_owned(), json!([name, null])));
    let mut who: Map<_, _> = fields.collect();
    let extra = Value::from(who.clone());
    who.insert("metas".to_owned(), json!([{ "phx_ref": "1", "": { "__proto__": 1.5e300 }, "metas": [] }]));
    let presence = present(json!({ "ann": who }));
    let ann = presence.get("ann").unwrap();
    assert_eq!(ann.json::<Value>().unwrap(), extra);
    assert_eq!(ann.metas()[0], who["metas"][0]);
}
