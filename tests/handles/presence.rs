//! Presence as a stream, over the in-memory transport.

mod held;
mod malformed;
mod model;
mod names;
#[path = "../support/people.rs"]
mod people;
mod random;
mod readers;
mod rejoining;
mod states;
mod turns;
mod wakers;

use std::iter;

use futures::{FutureExt, StreamExt};
use phoenix_streams::{
    Change, Channel, Entry, EventError, Latest, Presence, PresenceEvent, PresenceEvents, PresenceState, Value, json,
    transport::memory::{Incoming, Peer, PeerConnection},
};

use crate::support::{accept_join, connected, settle};

type Who = Latest<Presence<Value>>;

/// The list of these keys, each with a meta of the ref that stands behind it.
fn company<const N: usize>(list: [(&str, &[&str]); N]) -> Value {
    let metas = |refs: &[&str]| refs.iter().map(|phx_ref| json!({ "phx_ref": phx_ref })).collect::<Vec<_>>();
    list.iter()
        .map(|(key, refs)| ((*key).to_owned(), json!({ "metas": metas(refs) })))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn diff(joins: Value, leaves: Value) -> Value {
    json!({ "joins": joins, "leaves": leaves })
}

async fn state(server: &mut PeerConnection, join: &Incoming, list: Value) {
    server.push(join, "presence_state", list).await;
    settle().await;
}

async fn broadcast(server: &mut PeerConnection, diff: Value) {
    server.broadcast("room:1", "presence_diff", diff).await;
    settle().await;
}

/// What is to be read now.
fn next(who: &mut Who) -> Presence<Value> {
    who.next().now_or_never().expect("there is something new").expect("it goes on")
}

fn shown(presence: &Presence<Value>) -> (PresenceState, Value) {
    let list = presence.list_by(|key, entry| {
        (key.to_owned(), entry.metas().iter().map(|meta| meta["phx_ref"].clone()).collect::<Value>())
    });
    (presence.state(), list.into_iter().collect::<serde_json::Map<_, _>>().into())
}

fn changed(presence: &Presence<Value>) -> Vec<String> {
    let refs = |metas: Vec<&Value>| {
        metas.iter().map(|meta| meta["phx_ref"].as_str().unwrap().to_owned()).collect::<Vec<_>>().join(",")
    };
    presence
        .changes()
        .map(|change| {
            let what = match change {
                Change::Joined(_) => "joined",
                Change::Updated { .. } => "updated",
                Change::Left(_) => "left",
            };
            format!("{what} {} +{} -{}", change.key(), refs(change.came()), refs(change.went()))
        })
        .collect()
}

/// What is told now, in short: who came (and who was here before), who left (and who remains).
fn told(events: &mut PresenceEvents<Value>) -> Vec<String> {
    let refs = |who: &Value| {
        let metas = who["metas"].as_array().unwrap();
        metas.iter().map(|meta| meta["phx_ref"].as_str().unwrap()).collect::<Vec<_>>().join(" ")
    };
    let mut told = Vec::new();
    while let Some(event) = events.next().now_or_never() {
        let event = match event.expect("it goes on") {
            Ok(event) => people::told(&event),
            Err(EventError::Decode { message, .. }) => {
                told.push(format!("{} does not decode: {}", message.event(), message.payload()));
                continue;
            }
            Err(error) => {
                told.push(error.to_string());
                continue;
            }
        };
        let key = event["key"].as_str().unwrap_or_default();
        told.push(match event["kind"].as_str().unwrap() {
            "join" if event["current"].is_null() => format!("+{key} {}", refs(&event["new"])),
            "join" => format!("+{key} {} ({})", refs(&event["new"]), refs(&event["current"])),
            "leave" if event["current"] == people::nobody() => format!("-{key} {}", refs(&event["left"])),
            "leave" => format!("-{key} {} ({})", refs(&event["left"]), refs(&event["current"])),
            other => other.to_owned(),
        });
    }
    told
}

fn has_ended(events: &mut PresenceEvents<Value>) -> bool {
    // A list that was not closed yet was stale before.
    let mut rest = iter::from_fn(|| events.next().now_or_never().expect("it has ended"));
    rest.all(|event| matches!(event, Ok(PresenceEvent::Stale)))
}

async fn room() -> (Peer, PeerConnection, Channel, Who, Incoming) {
    let (socket, peer, mut server) = connected().await;
    let room = socket.channel("room:1");
    let who = room.presence();
    let join = accept_join(&room, &mut server).await;
    (peer, server, room, who, join)
}

// P-1, P-5, P-6, P-41
#[tokio::test(start_paused = true)]
async fn p_1_every_item_is_the_whole_list_and_says_what_has_changed() {
    let (_peer, mut server, _room, mut who, join) = room().await;
    assert_eq!(shown(&next(&mut who)), (PresenceState::Awaiting, json!({})));
    broadcast(&mut server, diff(company([("bob", &["2"])]), json!({}))).await;
    assert!(who.next().now_or_never().is_none(), "a diff before any state says nothing");
    assert_eq!(who.current().pending(), 1);
    state(&mut server, &join, company([("ann", &["1"])])).await;
    let first = next(&mut who);
    assert_eq!(shown(&first), (PresenceState::Synced, json!({ "ann": ["1"], "bob": ["2"] })));
    assert_eq!(changed(&first), ["joined ann +1 -", "joined bob +2 -"]);
    // Ann from a second place, Bob from another one than before, and nobody reads in between.
    broadcast(&mut server, diff(company([("ann", &["3"])]), json!({}))).await;
    broadcast(&mut server, diff(company([("bob", &["4"])]), company([("bob", &["2"])]))).await;
    broadcast(&mut server, diff(company([("eve", &["5"])]), json!({}))).await;
    broadcast(&mut server, diff(json!({}), company([("eve", &["5"])]))).await;
    let second = next(&mut who);
    assert_eq!(changed(&second), ["updated ann +3 -", "updated bob +4 -2"], "and Eve was never seen");
    broadcast(&mut server, diff(json!({}), company([("ann", &["1", "3"])]))).await;
    assert_eq!(changed(&next(&mut who)), ["left ann + -1,3"]);
    assert_eq!(first.len(), 2, "an old item stays as it was");
    assert!(who.next().now_or_never().is_none());
}

// P-1, P-8
#[tokio::test(start_paused = true)]
async fn a_log_of_joins_and_leaves_in_order() {
    let (_peer, mut server, room, who, join) = room().await;
    drop(who);
    let mut events = room.presence_events();
    settle().await;
    state(&mut server, &join, company([("ann", &["1"])])).await;
    broadcast(&mut server, diff(company([("ann", &["2"])]), company([("ann", &["1"])]))).await;
    assert_eq!(told(&mut events), ["+ann 1", "sync", "+ann 2 (1)", "-ann 1 (2)", "sync"]);
}
