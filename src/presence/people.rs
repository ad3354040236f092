//! The list itself: a persistent map, and how a state and a diff change it. Pure: the list before stays as it was.

use std::{collections::HashSet, fmt, marker::PhantomData, sync::Arc};

use imbl::OrdMap;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};

use super::{
    person::{Given, Person, Text},
    walk::Walk,
};
use crate::{error::DecodeError, payload::Payload, word::Word};

/// Everyone present, by key. A clone costs nothing, whatever its size, and shares all that has not changed since.
#[derive(Clone, Default)]
pub(crate) struct People {
    /// The keys stand in the map itself: most are short, and then neither looking for one nor a new version of the nodes
    /// above it has to reach for those beside it.
    map: OrdMap<Word, Shared>,
    /// What it holds, in bytes.
    cost: usize,
}

/// Equal is what is the same: so two lists are compared by what they do not share.
#[derive(Clone)]
pub(super) struct Shared(pub(super) Arc<Person>);

impl PartialEq for Shared {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// What a message did to one person.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// They came, or came once more; with who was here under this key before.
    Joined { before: Option<Arc<Person>>, joined: Arc<Person> },
    /// They left, or one of their places did; with who is left under this key.
    Left { remaining: Option<Arc<Person>>, left: Arc<Person> },
}

impl Step {
    /// In bytes.
    pub(crate) fn cost(&self) -> usize {
        let (Step::Joined { joined: person, .. } | Step::Left { left: person, .. }) = self;
        person.cost()
    }
}

/// Where the steps are written down, if anybody wants to know them.
pub(crate) type Steps<'a> = Option<&'a mut Vec<Step>>;

impl People {
    pub(super) fn len(&self) -> usize {
        self.map.len()
    }

    pub(crate) fn cost(&self) -> usize {
        self.cost
    }

    pub(super) fn get(&self, key: &str) -> Option<&Arc<Person>> {
        self.map.get(key.as_bytes()).map(|person| &person.0)
    }

    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<Person>> {
        self.map.values().map(|person| &person.0)
    }

    pub(super) fn map(&self) -> &OrdMap<Word, Shared> {
        &self.map
    }

    pub(crate) fn is_same(&self, other: &People) -> bool {
        self.map.ptr_eq(&other.map)
    }

    fn insert(&mut self, person: Arc<Person>) -> Option<Arc<Person>> {
        self.cost += person.cost();
        let before = self.map.insert(Word::from(&*person.key), Shared(person)).map(|person| person.0);
        self.cost -= before.as_ref().map_or(0, |before| before.cost());
        before
    }

    fn remove(&mut self, key: &str) -> Option<Arc<Person>> {
        let person = self.map.remove(key.as_bytes())?.0;
        self.cost -= person.cost();
        Some(person)
    }

    /// Applies a `presence_diff`: all joins, then all leaves.
    pub(crate) fn sync_diff(&mut self, diff: &Payload, mut steps: Steps<'_>) -> Result<(), DecodeError> {
        let Diff { joins, leaves } = diff.json()?;
        for (key, given) in &joins.0 {
            let joined = Arc::new(given.to_person((*key.0).into()));
            let before = self.insert(joined.clone());
            if let Some(before) = &before {
                let mut metas: Vec<_> =
                    before.metas.iter().filter(|meta| !given.has(&meta.reference)).cloned().collect();
                metas.extend_from_slice(&joined.metas);
                self.insert(Arc::new(Person::new(before.key.clone(), metas, joined.extra.clone())));
            }
            if let Some(steps) = &mut steps {
                steps.push(Step::Joined { before, joined });
            }
        }
        for (key, given) in &leaves.0 {
            let Some(current) = self.remove(&key.0) else { continue };
            let metas: Vec<_> = current.metas.iter().filter(|meta| !given.has(&meta.reference)).cloned().collect();
            if metas.len() == current.metas.len() && !metas.is_empty() {
                // Nobody that was here has left.
                self.insert(current);
                continue;
            }
            let remaining =
                (!metas.is_empty()).then(|| Arc::new(Person::new(current.key.clone(), metas, current.extra.clone())));
            if let Some(remaining) = &remaining {
                self.insert(remaining.clone());
            }
            if let Some(steps) = &mut steps {
                let left = Arc::new(given.to_person(current.key.clone()));
                steps.push(Step::Left { remaining, left });
            }
        }
        Ok(())
    }
}

impl fmt::Debug for People {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "People({})", self.len())
    }
}

/// A `presence_state` on its way into a list, in steps of any size. Not finished, it has changed nothing.
#[derive(Debug)]
pub(crate) struct StateSync {
    state: Payload,
    walk: Walk,
    before: People,
    after: People,
    seen: HashSet<Arc<str>>,
    /// Those of `before` that were seen.
    known: usize,
    /// Whether anybody wants to know the steps.
    steps: bool,
    joins: Vec<Step>,
    leaves: Vec<Step>,
}

impl StateSync {
    pub(crate) fn new(before: &People, state: Payload, steps: bool) -> Self {
        StateSync {
            state,
            walk: Walk::default(),
            after: before.clone(),
            before: before.clone(),
            seen: HashSet::new(),
            known: 0,
            steps,
            joins: Vec::new(),
            leaves: Vec::new(),
        }
    }

    /// Reads on until it has read this many bytes more; whether that was all.
    pub(crate) fn advance(&mut self, bytes: usize) -> Result<bool, DecodeError> {
        let state = self.state.clone();
        let until = self.walk.at().saturating_add(bytes.max(1));
        while self.walk.at() < until {
            match self.walk.next::<Given<'_>>(&state)? {
                Some((key, given)) => self.person(&key.0, &given),
                None => return Ok(true),
            }
        }
        Ok(false)
    }

    fn person(&mut self, key: &str, given: &Given<'_>) {
        let before = self.before.get(key).cloned();
        let key = before.as_ref().map_or_else(|| key.into(), |before| before.key.clone());
        let is_first = self.seen.insert(key.clone());
        let Some(before) = before else {
            let joined = Arc::new(given.to_person(key));
            self.after.insert(joined.clone());
            if self.steps {
                self.joins.push(Step::Joined { before: None, joined });
            }
            return;
        };
        self.known += usize::from(is_first);
        let (metas, extra) = (given.metas(), given.extra());
        let (mut after, joined): (Vec<_>, Vec<_>) = metas.into_iter().partition(|meta| before.has(&meta.reference));
        // Those known before keep their places; what they say is the server's latest.
        let place = |reference: &Word| before.metas.iter().position(|meta| meta.reference == *reference);
        after.sort_by_key(|meta| place(&meta.reference));
        after.extend_from_slice(&joined);
        let after = Arc::new(Person::new(key.clone(), after, extra.clone()));
        if self.steps && !joined.is_empty() {
            let joined = Arc::new(Person::new(key.clone(), joined, extra));
            self.joins.push(Step::Joined { before: Some(before.clone()), joined });
        }
        let left: Vec<_> = before.metas.iter().filter(|meta| !given.has(&meta.reference)).cloned().collect();
        if self.steps && !left.is_empty() {
            let left = Arc::new(Person::new(key, left, before.extra.clone()));
            let remaining = (!after.metas.is_empty()).then(|| after.clone());
            self.leaves.push(Step::Left { remaining, left });
        }
        if after.metas.is_empty() && !before.metas.is_empty() {
            self.after.remove(&after.key);
        } else if is_first && after.is_same(&before) {
            // The same as before is shared with it.
        } else {
            self.after.insert(after);
        }
    }

    /// All was read: who is not in it has left.
    pub(crate) fn finish(mut self) -> (People, Vec<Step>) {
        let mut gone = Vec::new();
        if self.known < self.before.len() {
            gone.extend(self.before.iter().filter(|person| !self.seen.contains(&person.key)).cloned());
        }
        for person in &gone {
            self.after.remove(&person.key);
        }
        let mut steps = self.joins;
        if self.steps {
            steps.extend(gone.into_iter().map(|left| Step::Left { remaining: None, left }));
            steps.append(&mut self.leaves);
        }
        (self.after, steps)
    }

    /// How far it has read, in bytes.
    pub(crate) fn at(&self) -> usize {
        self.walk.at()
    }

    /// The message that it reads.
    pub(crate) fn state(&self) -> Payload {
        self.state.clone()
    }

    /// What it would hold, so far.
    pub(crate) fn cost(&self) -> usize {
        self.after.cost
    }
}

#[derive(Deserialize)]
struct Diff<'a> {
    #[serde(borrow)]
    joins: Members<'a>,
    #[serde(borrow)]
    leaves: Members<'a>,
}

/// The fields of an object, in order.
struct Members<'a>(Vec<(Text<'a>, Given<'a>)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor(PhantomData)).map(Members)
    }
}

struct MembersVisitor<'a>(PhantomData<&'a ()>);

impl<'de: 'a, 'a> Visitor<'de> for MembersVisitor<'a> {
    type Value = Vec<(Text<'a>, Given<'a>)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("presences by their keys")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(members)
    }
}
