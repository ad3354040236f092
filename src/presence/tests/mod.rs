//! The fold, without a channel.

mod diff;
mod keys;
mod list;
mod malformed;
mod metas;
mod random;
mod state;
mod vectors;

use serde_json::{Map, Value, json};

use super::*;

#[path = "../../../tests/support/people.rs"]
pub(crate) mod people;

use people::list;

/// The list of these keys, each with a meta of every ref that stands behind it.
fn company<const N: usize>(list: [(&str, &[&str]); N]) -> Value {
    let metas = |refs: &[&str]| refs.iter().map(|phx_ref| json!({ "phx_ref": phx_ref })).collect::<Value>();
    list.iter().map(|(key, refs)| ((*key).to_owned(), json!({ "metas": metas(refs) }))).collect::<Map<_, _>>().into()
}

fn present(state: Value) -> Presence<Value> {
    Presence::default().sync_state(state).unwrap().0
}

fn diff(joins: Value, leaves: Value) -> Value {
    json!({ "joins": joins, "leaves": leaves })
}

/// The refs of a person, in order.
fn refs(who: &Value) -> String {
    let metas = who["metas"].as_array().unwrap();
    metas.iter().map(|meta| meta["phx_ref"].as_str().unwrap()).collect::<Vec<_>>().join(" ")
}

/// Each key with its refs.
fn keys(presence: &Presence<Value>) -> Vec<String> {
    presence.list_by(|key, who| format!("{key}: {}", refs(&people::entry(who))))
}

/// What was told, in short: who came (and who was here before), who left (and who remains).
fn told(events: &[PresenceEvent<Value>]) -> Vec<String> {
    let told = people::all_told(events).into_iter().map(|event| {
        let key = event["key"].as_str().unwrap_or_default();
        match event["kind"].as_str().unwrap() {
            "join" if event["current"].is_null() => format!("+{key} {}", refs(&event["new"])),
            "join" => format!("+{key} {} ({})", refs(&event["new"]), refs(&event["current"])),
            "leave" if event["current"] == people::nobody() => format!("-{key} {}", refs(&event["left"])),
            "leave" => format!("-{key} {} ({})", refs(&event["left"]), refs(&event["current"])),
            other => other.to_owned(),
        }
    });
    told.collect()
}
