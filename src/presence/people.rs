//! The list itself: a persistent map, and how a state and a diff change it. Pure: the list before stays as it was.

use std::{borrow::Cow, fmt, sync::Arc};

use imbl::OrdMap;

use super::{
    person::{Given, Meta, Person},
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
    /// In bytes: of all that it keeps, even if the list has it as well.
    pub(crate) fn cost(&self) -> usize {
        let (Step::Joined { joined: person, before: other } | Step::Left { left: person, remaining: other }) = self;
        person.cost() + other.as_ref().map_or(0, |other| other.cost())
    }
}

/// What a diff did.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Effect {
    /// Whether the list is another one.
    pub(crate) changed: bool,
    /// What was gone through for it beside the diff, in bytes.
    pub(crate) work: usize,
}

/// Where the steps are written down, if anybody wants to know them.
pub(crate) type Steps<'a> = Option<&'a mut Vec<Step>>;

impl People {
    pub(crate) fn len(&self) -> usize {
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
        let before = self.map.insert(Word::from(person.key()), Shared(person)).map(|person| person.0);
        self.cost -= before.as_ref().map_or(0, |before| before.cost());
        before
    }

    fn remove(&mut self, key: &str) -> Option<Arc<Person>> {
        let person = self.map.remove(key.as_bytes())?.0;
        self.cost -= person.cost();
        Some(person)
    }

    /// Applies a `presence_diff`: all joins, then all leaves.
    pub(crate) fn sync_diff(&mut self, diff: &Payload, mut steps: Steps<'_>) -> Result<Effect, DecodeError> {
        let Diff { joins, leaves } = Diff::read(diff)?;
        let mut effect = Effect::default();
        for (key, given) in &joins {
            let joined = Arc::new(given.to_person(key));
            let before = self.insert(joined.clone());
            if let Some(before) = &before {
                let mut metas = beyond(before, given);
                metas.extend(joined.metas());
                let merged = Person::new(key, &metas, joined.extra.clone());
                effect.work += before.cost() + merged.cost();
                // Who was told of already is still the same.
                let is_same = merged.is_same(before);
                effect.changed |= !is_same;
                self.insert(if is_same { before.clone() } else { Arc::new(merged) });
            } else {
                effect.changed = true;
            }
            if let Some(steps) = &mut steps {
                steps.push(Step::Joined { before, joined });
            }
        }
        for (key, given) in &leaves {
            let Some(current) = self.get(key).cloned() else { continue };
            let metas = beyond(&current, given);
            effect.work += current.cost();
            if metas.len() == current.metas().len() && !metas.is_empty() {
                // Nobody that was here has left.
                continue;
            }
            effect.changed = true;
            let remaining = (!metas.is_empty()).then(|| Arc::new(Person::new(key, &metas, current.extra.clone())));
            match &remaining {
                Some(remaining) => self.insert(remaining.clone()),
                None => self.remove(key),
            };
            if let Some(steps) = &mut steps {
                // Most leave in the words in which they came.
                let left = if given.is(&current) { current } else { Arc::new(given.to_person(key)) };
                steps.push(Step::Left { remaining, left });
            }
        }
        Ok(effect)
    }
}

/// The metas of this person whose refs are not in what came.
fn beyond<'a>(person: &'a Person, given: &Given<'_>) -> Vec<Meta<'a>> {
    let refs = given.refs();
    person.metas().filter(|meta| !refs.has(&meta.reference)).collect()
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
    /// How far it was read, in bytes.
    at: usize,
    ended: bool,
    before: People,
    after: People,
    /// Those of `before` that have not been seen.
    unseen: People,
    /// What it has made, and what it went through beside the message, in bytes.
    made: usize,
    work: usize,
    /// Whether anybody wants to know the steps.
    steps: bool,
    joins: Vec<Step>,
    leaves: Vec<Step>,
}

impl StateSync {
    pub(crate) fn new(before: &People, state: Payload, steps: bool) -> Self {
        StateSync {
            state,
            at: 0,
            ended: false,
            after: before.clone(),
            before: before.clone(),
            unseen: before.clone(),
            made: 0,
            work: 0,
            steps,
            joins: Vec::new(),
            leaves: Vec::new(),
        }
    }

    /// Reads on until it has read this many bytes more; whether that was all.
    pub(crate) fn advance(&mut self, bytes: usize) -> Result<bool, DecodeError> {
        let state = self.state.clone();
        let mut walk = Walk::new(&state, self.at)?;
        let until = (self.at + self.work).saturating_add(bytes.max(1));
        while !self.ended && self.at + self.work < until {
            match walk.field(self.at == 0)? {
                Some(key) => self.person(&key, &Given::of(&key, &mut walk)?)?,
                None => self.ended = true,
            }
            self.at = walk.at();
        }
        Ok(self.ended)
    }

    fn person(&mut self, key: &str, given: &Given<'_>) -> Result<(), DecodeError> {
        let Some(before) = self.before.get(key).cloned() else {
            let joined = Arc::new(given.to_person(key));
            self.made += joined.cost();
            if self.after.insert(joined.clone()).is_some() {
                return Err(twice(key));
            }
            if self.steps {
                self.joins.push(Step::Joined { before: None, joined });
            }
            return Ok(());
        };
        self.unseen.remove(key).ok_or_else(|| twice(key))?;
        self.work += before.cost();
        let extra = given.extra();
        let known = before.refs();
        let (mut after, joined): (Vec<_>, Vec<_>) =
            given.metas.iter().cloned().partition(|meta| known.has(&meta.reference));
        // Those known before keep their places; what they say is the server's latest.
        after.sort_by_key(|meta| known.place(&meta.reference));
        after.extend_from_slice(&joined);
        let after = Arc::new(Person::new(key, &after, extra.clone()));
        if self.steps && !joined.is_empty() {
            let joined = Arc::new(Person::new(key, &joined, extra));
            self.made += joined.cost();
            self.joins.push(Step::Joined { before: Some(before.clone()), joined });
        }
        let left = beyond(&before, given);
        if self.steps && !left.is_empty() {
            let left = Arc::new(Person::new(key, &left, before.extra.clone()));
            self.made += left.cost();
            let remaining = (!after.is_empty()).then(|| after.clone());
            self.leaves.push(Step::Left { remaining, left });
        }
        if after.is_empty() && !before.is_empty() {
            self.after.remove(key);
        } else if !after.is_same(&before) {
            // The same as before is shared with it.
            self.made += after.cost();
            self.after.insert(after);
        }
        Ok(())
    }

    /// All was read: who is not in it has left.
    pub(crate) fn finish(mut self) -> (People, Vec<Step>) {
        for person in self.unseen.iter() {
            self.after.remove(person.key());
        }
        let mut steps = self.joins;
        if self.steps {
            steps.extend(self.unseen.iter().map(|left| Step::Left { remaining: None, left: left.clone() }));
            steps.append(&mut self.leaves);
        }
        (self.after, steps)
    }

    /// The message that it reads.
    pub(crate) fn state(&self) -> Payload {
        self.state.clone()
    }

    /// How much it has done, in bytes.
    pub(crate) fn progress(&self) -> usize {
        self.at + self.work
    }

    /// What the list would hold, as far as it was read.
    pub(crate) fn cost(&self) -> usize {
        self.after.cost - self.unseen.cost
    }

    /// What it holds beside the list before.
    pub(crate) fn held(&self) -> usize {
        self.made + (self.joins.len() + self.leaves.len()) * size_of::<Step>()
    }
}

struct Diff<'a> {
    joins: Members<'a>,
    leaves: Members<'a>,
}

/// The fields of an object, in order.
type Members<'a> = Vec<(Cow<'a, str>, Given<'a>)>;

impl<'a> Diff<'a> {
    fn read(diff: &'a Payload) -> Result<Self, DecodeError> {
        let (mut joins, mut leaves) = (None, None);
        Walk::new(diff, 0)?.fields(|walk, name| {
            let members = match &*name {
                "joins" => joins.insert(Vec::new()),
                "leaves" => leaves.insert(Vec::new()),
                _ => return walk.pass(),
            };
            walk.fields(|walk, key| {
                let given = Given::of(&key, walk)?;
                members.push((key, given));
                Ok(())
            })?;
            once_each(members)
        })?;
        match (joins, leaves) {
            (Some(joins), Some(leaves)) => Ok(Diff { joins, leaves }),
            _ => Err(DecodeError::new("a diff without `joins` or `leaves`")),
        }
    }
}

/// A key that stands twice would be gone through twice, as often as a server likes.
fn once_each(members: &Members<'_>) -> Result<(), DecodeError> {
    if members.len() < 2 {
        return Ok(());
    }
    let mut keys: Vec<&str> = members.iter().map(|(key, _)| &**key).collect();
    keys.sort_unstable();
    match keys.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(twice(pair[0])),
        None => Ok(()),
    }
}

fn twice(key: &str) -> DecodeError {
    DecodeError::new(format!("the key {key:?} stands twice"))
}
