//! The list that the readers of a channel share: what came, folded in order.
//!
//! It follows the joins: diffs before the state of the present join are held until that has come, and those of an older
//! join are dropped, since the state that is to come has them in it already (DEV-17).

mod reading;
mod waited;

use std::{collections::VecDeque, mem, sync::Arc, task::Waker};

use self::reading::Reading;
use super::{Charge, Item, OVERHEAD, Said, Told};
use crate::{
    driver::queue::Budget,
    error::{DecodeError, EventError},
    log,
    message::{Message, Names, Topic},
    payload::Payload,
    presence::{Effect, People, PresenceNames, PresenceState, StateSync, Step},
    streams::feed::FeedWriter,
};

/// What diffs that wait for a state may hold, in bytes. The oldest are dropped; that a state has them in it is likely,
/// and not sure.
const PENDING: usize = 1 << 20;
/// What a byte of a diff may add to what a list holds: somebody without metas takes 15 of them.
const MOST: usize = 16;
/// For that much of a diff, in bytes, there is room set aside while it is folded; a larger one pays for a copy.
const SMALL: usize = 4 << 10;
/// So many of them are more than a server is late by.
const SUSPICIOUS: usize = 100;

#[derive(Debug)]
pub(super) struct Fold {
    topic: Topic,
    names: PresenceNames,
    people: People,
    state: PresenceState,
    /// Counts what readers want to see.
    version: u64,
    /// The state of the present join has not come.
    awaiting: bool,
    pending: VecDeque<(Payload, Charge)>,
    pending_bytes: usize,
    warned: bool,
    /// A large state on its way in.
    reading: Option<Box<Reading>>,
    listeners: Vec<FeedWriter<Told>>,
    /// What is to be done once this is not locked any more.
    aftermath: Aftermath,
    /// Nothing is heard before the next join.
    deaf: bool,
    /// A diff was lost that the state to come may not have in it.
    gap: bool,
    limit: usize,
    budget: Arc<Budget>,
    /// For the list itself.
    charged: usize,
}

/// Who is to be woken, and whose end is to be dropped, which wakes too: whoever is woken may read at once.
#[derive(Debug, Default)]
pub(super) struct Aftermath {
    wakers: Vec<Waker>,
    ended: Vec<FeedWriter<Told>>,
}

impl Aftermath {
    pub(super) fn follow(self) {
        drop(self.ended);
        self.wakers.into_iter().for_each(Waker::wake);
    }
}

/// The list as it is.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(crate) people: People,
    pub(crate) state: PresenceState,
    pub(crate) pending: usize,
    /// Another one is another list, or another state.
    pub(crate) version: u64,
}

impl Fold {
    pub(super) fn new(topic: Topic, names: PresenceNames, limit: usize, budget: Arc<Budget>) -> Self {
        Fold {
            topic,
            names,
            people: People::default(),
            state: PresenceState::default(),
            version: 0,
            awaiting: true,
            pending: VecDeque::new(),
            pending_bytes: 0,
            warned: false,
            reading: None,
            listeners: Vec::new(),
            aftermath: Aftermath::default(),
            deaf: false,
            gap: false,
            limit,
            budget,
            charged: 0,
        }
    }

    pub(super) fn aftermath(&mut self) -> Aftermath {
        mem::take(&mut self.aftermath)
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let (people, state, pending) = (self.people.clone(), self.state, self.pending.len());
        Snapshot { people, state, pending, version: self.version }
    }

    /// Nobody reads what is on its way in, and another list will come.
    pub(super) fn give_up_reading(&mut self) {
        self.reading = None;
        self.drop_pending();
        self.charge(self.people.cost());
    }

    /// Nobody asked, and it was too much to keep: as if nothing had come.
    pub(super) fn forget(&mut self) {
        self.give_up_reading();
        self.awaiting = true;
        self.set(People::default(), PresenceState::Awaiting);
    }

    /// What happened next. A state may have to be [read on](Self::advance).
    pub(super) fn take(&mut self, item: Item, charge: Charge, left: &mut usize) {
        match item {
            // A channel that leaves hears no diffs: a list would be the server's own for a moment at most.
            Item::State(_) | Item::Diff(_) if self.deaf => {}
            Item::State(state) => {
                let sync = StateSync::new(&self.people, state, !self.listeners.is_empty());
                self.reading = Some(Box::new(Reading::State(sync, charge)));
            }
            Item::Diff(diff) if self.awaiting => self.hold(diff, charge),
            Item::Diff(diff) => {
                *left = left.saturating_sub(diff.as_bytes().len());
                self.change(&diff, left);
            }
            Item::Missed => {
                log::presence_missed(&self.topic);
                self.miss();
            }
            Item::JoinSent => {
                (self.awaiting, self.deaf, self.warned) = (true, false, false);
                self.drop_pending();
                self.go_stale();
            }
            // Until here they may have been of an older join, whose messages come up to its end. The state is made behind
            // both, with all of them in it (C-39).
            Item::Joined | Item::OlderEnded => {
                self.gap = false;
                self.drop_pending();
            }
            Item::Lost => {
                self.deaf = true;
                self.go_stale();
            }
            Item::NotJoined(cause) => self.tell_all(vec![(Err(EventError::NotJoined(cause)), 0)]),
            Item::Listen(listener) => {
                // Where nothing is told, those that come and go would stay.
                self.forget_listeners();
                self.listeners.push(listener);
            }
            Item::Closed => {
                self.drop_pending();
                self.aftermath.ended.append(&mut self.listeners);
                self.set(self.people.clone(), PresenceState::Closed);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn is_reading(&self) -> bool {
        self.reading.is_some()
    }

    #[cfg(test)]
    pub(super) fn listeners(&self) -> usize {
        self.listeners.len()
    }

    /// How far it has read into a state, in bytes.
    #[cfg(test)]
    pub(super) fn progress(&self) -> usize {
        match self.reading.as_deref() {
            Some(Reading::State(sync, _)) => sync.progress(),
            _ => 0,
        }
    }

    /// A diff on top of the present list.
    fn change(&mut self, diff: &Payload, left: &mut usize) {
        let mut told = Vec::new();
        // With room for the most that it may bring the list changes where it is, and only what readers have of it is
        // copied; else a copy does, which may come out too large.
        let (len, cost) = (diff.as_bytes().len(), self.people.cost());
        let most = cost + MOST * len;
        if len > SMALL || most > self.limit || !self.charge(most) {
            let mut people = self.people.clone();
            match self.diff(&mut people, diff, &mut told) {
                Some(effect) => {
                    *left = left.saturating_sub(effect.work);
                    let people = if effect.changed { people } else { self.people.clone() };
                    self.put(people, told);
                }
                None => {
                    self.tell_all(told);
                    self.go_stale();
                }
            }
            return;
        }
        let mut people = mem::take(&mut self.people);
        let effect = self.diff(&mut people, diff, &mut told);
        self.charge(people.cost());
        self.people = people;
        if let Some(Effect { changed, work }) = effect {
            *left = left.saturating_sub(work);
            self.version += u64::from(changed);
            told.push((Ok(Said::Synced), 0));
        }
        self.tell_all(told);
        if effect.is_none() {
            self.go_stale();
        }
    }

    /// What the diff did to the list; none where it could not be read, and the list is as it was.
    fn diff(&self, people: &mut People, diff: &Payload, told: &mut Vec<(Told, usize)>) -> Option<Effect> {
        let mut steps = Vec::new();
        let wanted = (!self.listeners.is_empty()).then_some(&mut steps);
        match people.sync_diff(diff, wanted) {
            Ok(effect) => {
                told.extend(steps.into_iter().map(step_told));
                Some(effect)
            }
            Err(error) => {
                told.push(self.undecodable(diff.clone(), self.names.diff_event().into(), error));
                None
            }
        }
    }

    fn hold(&mut self, diff: Payload, charge: Charge) {
        self.pending_bytes += diff.as_bytes().len() + OVERHEAD;
        self.pending.push_back((diff, charge));
        while self.pending_bytes > PENDING && self.pending.len() > 1 {
            self.gap = true;
            if let Some((oldest, _)) = self.pending.pop_front() {
                self.pending_bytes -= oldest.as_bytes().len() + OVERHEAD;
            }
        }
        if self.pending.len() >= SUSPICIOUS && !mem::replace(&mut self.warned, true) {
            log::presence_without_state(&self.topic, self.names.state_event(), self.pending.len());
        }
    }

    fn drop_pending(&mut self) {
        self.pending.clear();
        self.pending_bytes = 0;
    }

    /// The list is not the server's any more.
    fn go_stale(&mut self) {
        if self.state == PresenceState::Synced {
            self.set(self.people.clone(), PresenceState::Stale);
            self.tell_all(vec![(Ok(Said::Stale), 0)]);
        }
    }

    /// Something of the list is not known. What comes now would be folded into a wrong one.
    fn miss(&mut self) {
        // A list may be read at the server before a diff and pushed behind it.
        self.gap |= self.awaiting;
        self.awaiting = true;
        // Those who leave by what is lost must not come by what waited before it.
        self.drop_pending();
        self.charge(self.people.cost());
        self.tell_all(vec![(Err(EventError::Lagged(1)), 0)]);
        self.go_stale();
    }

    /// Puts a list in the place of the present one and tells how it came to be, if there is room for it.
    fn put(&mut self, people: People, mut told: Vec<(Told, usize)>) -> bool {
        let room = self.has_room(&people);
        if room {
            self.set(people, self.state);
            told.push((Ok(Said::Synced), 0));
        } else {
            told.retain(|(told, _)| told.is_err());
        }
        self.tell_all(told);
        if !room {
            self.miss();
        }
        room
    }

    fn has_room(&mut self, people: &People) -> bool {
        let fits = people.cost() <= self.limit && self.charge(people.cost());
        if !fits {
            log::presence_too_large(&self.topic, self.limit);
        }
        fits
    }

    fn charge(&mut self, cost: usize) -> bool {
        if cost > self.charged && !self.budget.take(cost - self.charged) {
            return false;
        }
        self.budget.give_back(self.charged.saturating_sub(cost));
        self.charged = cost;
        true
    }

    fn set(&mut self, people: People, state: PresenceState) {
        if !self.people.is_same(&people) || self.state != state {
            self.version += 1;
        }
        self.charge(people.cost());
        (self.people, self.state) = (people, state);
    }

    fn undecodable(&self, payload: Payload, event: Box<str>, source: DecodeError) -> (Told, usize) {
        log::presence_undecodable(&self.topic, &event, &source);
        let bytes = payload.as_bytes().len();
        let message = Message::new(Arc::new(Names { topic: self.topic.clone(), event }), payload);
        (Err(EventError::Decode { message, source }), bytes)
    }

    fn forget_listeners(&mut self) {
        self.aftermath.ended.extend(self.listeners.extract_if(.., |listener| listener.is_abandoned()));
    }

    fn tell_all(&mut self, told: Vec<(Told, usize)>) {
        self.forget_listeners();
        for (told, bytes) in told {
            let woken = self.listeners.iter().filter_map(|listener| listener.put(told.clone(), bytes + OVERHEAD));
            self.aftermath.wakers.extend(woken);
        }
    }
}

/// With the bytes that it holds.
fn step_told(step: Step) -> (Told, usize) {
    let bytes = step.cost();
    (Ok(Said::Step(step)), bytes)
}

impl Drop for Fold {
    fn drop(&mut self) {
        self.budget.give_back(self.charged);
    }
}

#[cfg(test)]
mod tests;
