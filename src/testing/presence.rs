//! Who is present on a topic, as Phoenix.Presence has it.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    time::{SystemTime, UNIX_EPOCH},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Serialize;
use serde_json::{Map, Value};

use super::{peer::Process, response::encoded, server::Shared};
use crate::IntoPayload;

/// What every channel of a topic tracks, in the order of tracking.
#[derive(Clone, Debug, Default)]
pub(super) struct Presences(Vec<Tracked>);

#[derive(Clone, Debug)]
struct Tracked {
    owner: u64,
    key: String,
    meta: Meta,
}

/// What changed, as it is told.
#[derive(Debug, Default, Serialize)]
pub(super) struct Diff {
    joins: State,
    leaves: State,
}

type State = BTreeMap<String, Presence>;

#[derive(Debug, Default, Serialize)]
struct Presence {
    metas: Vec<Meta>,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

/// Its own fields are the last, as Phoenix has them.
#[derive(Clone, Debug, Serialize)]
struct Meta {
    phx_ref: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    phx_ref_prev: Option<String>,
    #[serde(flatten)]
    fields: Map<String, Value>,
}

impl Presences {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn find(&mut self, owner: u64, key: &str) -> Option<&mut Tracked> {
        self.0.iter_mut().find(|tracked| tracked.owner == owner && tracked.key == key)
    }

    fn take(&mut self, which: impl Fn(&Tracked) -> bool) -> Vec<Tracked> {
        self.0.extract_if(.., |tracked| which(tracked)).collect()
    }

    fn list(self, mut extra: impl FnMut(&str) -> Map<String, Value>) -> State {
        let mut state = State::new();
        for Tracked { key, meta, .. } in self.0 {
            let new = |key: &String| Presence { metas: Vec::new(), extra: extra(key) };
            state.entry(key).or_insert_with_key(new).metas.push(meta);
        }
        state
    }
}

impl Shared {
    pub(super) fn presences(&self, topic: &str) -> Value {
        // The application's own code runs in none of the hub's steps: it may ask the hub.
        let now = self.hub.presences(topic, Presences::clone);
        let state = now.list(|key| self.app.extra(topic, key));
        serde_json::to_value(state).unwrap_or_default()
    }

    /// One that no other meta has: 16 characters, as Phoenix', of the time and a count.
    fn phx_ref(&self) -> String {
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
        let count = self.key.wrapping_add(self.next_id()) as u32;
        URL_SAFE_NO_PAD.encode([&time.to_be_bytes()[..], &count.to_be_bytes()].concat())
    }
}

/// Each with whether it could be done.
impl Process {
    pub(super) fn track(&self, key: &str, meta: impl IntoPayload) -> (String, bool) {
        let meta = self.meta(meta);
        let phx_ref = meta.phx_ref.clone();
        let tracked = self.present(key, |presences, extra| {
            if presences.find(self.id, key).is_some() {
                return None;
            }
            presences.0.push(Tracked { owner: self.id, key: key.to_owned(), meta: meta.clone() });
            Some(Diff { joins: one(key, meta, extra), ..Diff::default() })
        });
        (phx_ref, tracked)
    }

    pub(super) fn update(&self, key: &str, meta: impl IntoPayload) -> (String, bool) {
        let mut meta = self.meta(meta);
        let phx_ref = meta.phx_ref.clone();
        let updated = self.present(key, |presences, extra| {
            let tracked = presences.find(self.id, key)?;
            meta.phx_ref_prev = Some(tracked.meta.phx_ref.clone());
            let old = std::mem::replace(&mut tracked.meta, meta.clone());
            Some(Diff { joins: one(key, meta, extra.clone()), leaves: one(key, old, extra) })
        });
        (phx_ref, updated)
    }

    pub(super) fn untrack(&self, key: &str) {
        self.present(key, |presences, extra| {
            let left = presences.take(|tracked| tracked.owner == self.id && tracked.key == key).pop()?;
            Some(Diff { leaves: one(key, left.meta, extra), ..Diff::default() })
        });
    }

    /// The end of its channel: it listens no more and is present no more.
    pub(super) fn vanish(&self) {
        let (shared, topic) = (&self.shared, &self.topic);
        // None is added from here on: its inbox is closed.
        let keys = shared.hub.presences(topic, |presences| {
            let own = presences.0.iter().filter(|tracked| tracked.owner == self.id);
            own.map(|tracked| tracked.key.clone()).collect::<Vec<_>>()
        });
        // This may run in the midst of a panic, and another must not come of it.
        let extra = |key: &str| catch_unwind(AssertUnwindSafe(|| shared.app.extra(topic, key))).unwrap_or_default();
        let mut extras: BTreeMap<_, _> = keys.iter().map(|key| (key.as_str(), extra(key))).collect();

        let join_ref = shared.faults.borrow().broadcast_join_ref();
        shared.hub.unsubscribe(topic, self.id, (shared.app.diff_event(topic), &join_ref), |presences| {
            let left = Presences(presences.take(|tracked| tracked.owner == self.id));
            let leaves = left.list(|key| extras.remove(key).unwrap_or_default());
            (!leaves.is_empty()).then(|| Diff { leaves, ..Diff::default() })
        });
    }

    /// Of a channel that is gone nothing changes, and nothing is wrong.
    fn present(&self, key: &str, change: impl FnOnce(&mut Presences, Map<String, Value>) -> Option<Diff>) -> bool {
        let (shared, topic) = (&self.shared, &self.topic);
        let extra = shared.app.extra(topic, key);
        let join_ref = shared.faults.borrow().broadcast_join_ref();
        shared.hub.present(topic, (shared.app.diff_event(topic), &join_ref), |presences| {
            // A channel's inbox closes before `vanish` looks: what is tracked before is found by it.
            if self.inbox.is_closed() {
                return (None, true);
            }
            let diff = change(presences, extra);
            let done = diff.is_some();
            (diff, done)
        })
    }

    fn meta(&self, meta: impl IntoPayload) -> Meta {
        let meta = encoded(meta);
        let Ok(mut fields) = meta.json::<Map<String, Value>>() else {
            panic!("the meta of a presence must be a JSON object: {meta}")
        };
        fields.retain(|name, _| !["phx_ref", "phx_ref_prev"].contains(&name.as_str()));
        Meta { phx_ref: self.shared.phx_ref(), phx_ref_prev: None, fields }
    }
}

fn one(key: &str, meta: Meta, extra: Map<String, Value>) -> State {
    State::from([(key.to_owned(), Presence { metas: vec![meta], extra })])
}
