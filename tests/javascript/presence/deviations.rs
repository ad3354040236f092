//! Where ours differs from the official client's, on purpose: its answers, made into what ours have to be.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::{Shown, Step, sequences::Members};
use crate::people::nobody;

/// How often each was met.
#[derive(Debug, Default)]
pub(super) struct Allowed {
    pub(super) leaves_of_nobody: usize,
    pub(super) bodies: usize,
}

/// DEV-18: a leave of refs that are not there is told by theirs and not by ours. It leaves behind what was there before.
pub(super) fn without_leaves_of_nobody(list: &Value, told: &mut Vec<Value>, allowed: &mut Allowed) {
    let mut refs_now: HashMap<String, Vec<Value>> =
        list.as_object().unwrap().iter().map(|(key, who)| (key.clone(), refs(who))).collect();
    told.retain_mut(|event| {
        let Some(key) = event["key"].as_str().map(str::to_owned) else { return true };
        if event["kind"] == "join" {
            let joined = refs(&event["new"]);
            let mut now = refs(&event["current"]);
            now.retain(|before| !joined.contains(before));
            now.extend(joined);
            refs_now.insert(key, now);
            return true;
        }
        let now = refs(&event["current"]);
        if now.is_empty() {
            // Theirs has the other fields still; of ours nobody remains.
            event["current"] = nobody();
            refs_now.remove(&key);
            return true;
        }
        let nobody_left = refs_now.get(&key) == Some(&now);
        refs_now.insert(key, now);
        allowed.leaves_of_nobody += usize::from(nobody_left);
        !nobody_left
    });
}

/// Of several leaves that a state brings, theirs come in the order of insertion, ours by key.
pub(super) fn in_any_order(told: &mut [Value]) {
    let is_leave = |event: &Value| event["kind"] == "leave";
    let first = told.iter().position(is_leave).unwrap_or(told.len());
    let many = told[first..].iter().take_while(|event| is_leave(event)).count();
    told[first..first + many].sort_by_key(|event| event["key"].as_str().unwrap().to_owned());
}

/// DEV-18: what is said about refs that were there before is passed over by theirs, and taken over by ours. So: what was
/// said last, of each meta and of the fields beside them.
#[derive(Clone, Default)]
pub(super) struct Refreshed {
    metas: HashMap<(String, String), Value>,
    fields: HashMap<String, Map<String, Value>>,
}

impl Refreshed {
    pub(super) fn apply(&mut self, step: &Step, theirs: &mut Shown, allowed: &mut Allowed) {
        let before = self.clone();
        let is_state = match step {
            Step::State(state) => {
                self.note(state.value());
                true
            }
            Step::Diff(diff) => {
                self.note(&diff.value()["joins"]);
                false
            }
            other => panic!("{other:?}"),
        };
        for event in &mut theirs.told {
            let Some(key) = event["key"].as_str().map(str::to_owned) else { continue };
            if event["kind"] == "join" {
                before.put(&key, &mut event["current"], allowed);
                continue;
            }
            if event["current"] != nobody() {
                self.put(&key, &mut event["current"], allowed);
            }
            // The words of a diff are the server's, those of a state are what was there before.
            if is_state {
                before.put(&key, &mut event["left"], allowed);
            }
        }
        for (key, who) in theirs.list.as_object_mut().unwrap() {
            self.put(key, who, allowed);
        }
    }

    fn note(&mut self, said: &Value) {
        for (key, who) in said.as_object().unwrap() {
            let mut fields: Members = who.as_object().unwrap().clone();
            for meta in fields.remove("metas").unwrap().as_array().unwrap() {
                self.metas.insert((key.clone(), meta["phx_ref"].as_str().unwrap().to_owned()), meta.clone());
            }
            self.fields.insert(key.clone(), fields);
        }
    }

    fn put(&self, key: &str, who: &mut Value, allowed: &mut Allowed) {
        if who.is_null() {
            return;
        }
        let metas = refs(who)
            .into_iter()
            .map(|phx_ref| self.metas[&(key.to_owned(), phx_ref.as_str().unwrap().to_owned())].clone());
        let mut fields = self.fields[key].clone();
        fields.insert("metas".to_owned(), metas.collect());
        allowed.bodies += usize::from(who.as_object() != Some(&fields));
        *who = fields.into();
    }
}

fn refs(who: &Value) -> Vec<Value> {
    who["metas"].as_array().map_or_else(Vec::new, |metas| metas.iter().map(|meta| meta["phx_ref"].clone()).collect())
}
