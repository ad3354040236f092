//! A presence list, and what is told of it, as JSON: in the shapes of Phoenix' own client.
#![allow(dead_code, reason = "each test file uses a part of it")]

use serde_json::{Map, Value, json};

use super::{Entry, Presence, PresenceEvent};

/// With the fields beside its metas.
pub(crate) fn entry(entry: &Entry<Value>) -> Value {
    let mut fields: Map<String, Value> = entry.json().unwrap();
    fields.insert("metas".to_owned(), entry.metas().to_vec().into());
    fields.into()
}

pub(crate) fn list(presence: &Presence<Value>) -> Value {
    presence.list_by(|key, who| (key.to_owned(), entry(who))).into_iter().collect::<Map<_, _>>().into()
}

/// Who is left where nobody is: no metas, and no other fields.
pub(crate) fn nobody() -> Value {
    json!({ "metas": [] })
}

pub(crate) fn told(event: &PresenceEvent<Value>) -> Value {
    match event {
        PresenceEvent::Joined { before, joined } => {
            let current = before.as_ref().map(entry);
            json!({ "kind": "join", "key": joined.key(), "current": current, "new": entry(joined) })
        }
        PresenceEvent::Left { remaining, left } => {
            let current = remaining.as_ref().map_or_else(nobody, entry);
            json!({ "kind": "leave", "key": left.key(), "current": current, "left": entry(left) })
        }
        PresenceEvent::Synced => json!({ "kind": "sync" }),
        event => {
            assert!(matches!(event, PresenceEvent::Stale), "{event:?}");
            json!({ "kind": "stale" })
        }
    }
}

pub(crate) fn all_told(events: &[PresenceEvent<Value>]) -> Vec<Value> {
    events.iter().map(told).collect()
}
