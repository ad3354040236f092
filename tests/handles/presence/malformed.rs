//! What a server may say wrongly.

use phoenix_streams::{Binary, Payload};

use super::*;

// P-42
#[tokio::test(start_paused = true)]
async fn p_42_a_message_that_cannot_be_read_is_told_and_the_list_stays() {
    let (_peer, mut server, room, mut who, join) = room().await;
    let mut events = room.presence_events();
    settle().await;
    state(&mut server, &join, company([("ann", &["1"])])).await;
    assert_eq!(next(&mut who).len(), 1);
    told(&mut events);
    let mut is_first = true;
    for payload in [
        "[]",
        r#"{"ann":{}}"#,
        r#"{"bob":{"metas":[{"phx_ref":"2"}]},"ann":{"metas":[{}]}}"#,
        r#"{"bob":{"metas":[{"phx_ref":"2"}]}"#,
    ] {
        for (event, payload) in [
            ("presence_state", payload.to_owned()),
            ("presence_diff", format!(r#"{{"joins":{payload},"leaves":{{}}}}"#)),
            ("presence_diff", format!(r#"{{"joins":{{"bob":{{"metas":[{{"phx_ref":"2"}}]}}}},"leaves":{payload}}}"#)),
        ] {
            server.push(&join, event, Payload::from_raw(payload.clone(), false)).await;
            settle().await;
            let mut expected = vec![format!("{event} does not decode: {payload}")];
            if std::mem::take(&mut is_first) {
                expected.push("stale".to_owned());
            }
            assert_eq!(told(&mut events), expected);
            // As it was; but whom it told of is not known.
            assert_eq!(shown(&who.current()), (PresenceState::Stale, json!({ "ann": ["1"] })));
        }
    }
    server.push(&join, "presence_state", Binary("{}")).await;
    server.broadcast("room:1", "presence_diff", Binary(r#"{"joins":{},"leaves":{}}"#)).await;
    settle().await;
    assert_eq!(told(&mut events).len(), 2, "binary is not JSON");
    assert_eq!(changed(&next(&mut who)), [""; 0]);
    assert!(who.next().now_or_never().is_none(), "nothing else of that is news");
    broadcast(&mut server, diff(company([("bob", &["2"])]), json!({}))).await;
    assert_eq!(told(&mut events), ["+bob 2", "sync"], "it goes on");
    assert_eq!(changed(&next(&mut who)), ["joined bob +2 -"]);
    state(&mut server, &join, company([("ann", &["1"])])).await;
    assert_eq!(shown(&next(&mut who)), (PresenceState::Synced, json!({ "ann": ["1"] })), "what can be read heals it");
}

// P-42
#[tokio::test(start_paused = true)]
async fn a_state_that_cannot_be_read_leaves_it_awaiting_the_next() {
    let (_peer, mut server, room, mut who, join) = room().await;
    let mut events = room.presence_events();
    settle().await;
    broadcast(&mut server, diff(company([("bob", &["2"])]), json!({}))).await;
    state(&mut server, &join, json!([])).await;
    assert_eq!(told(&mut events), ["presence_state does not decode: []"]);
    assert_eq!((shown(&next(&mut who)), who.current().pending()), ((PresenceState::Awaiting, json!({})), 1));
    state(&mut server, &join, company([("ann", &["1"])])).await;
    assert_eq!(shown(&next(&mut who)), (PresenceState::Synced, json!({ "ann": ["1"], "bob": ["2"] })));
}
