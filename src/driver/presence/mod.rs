//! The presence of a channel, from the driver to whoever reads it.
//!
//! The driver appends the raw messages to a log and parses none of them; whoever reads folds what the log holds into the
//! one list that all readers share. A log that nobody reads is kept to a bound: where somebody holds a stream the driver
//! folds as much of it as makes room, in bounded steps; where nobody asked, it is dropped.

mod charge;
mod fold;
mod lives;
mod seat;

use std::{
    collections::VecDeque,
    mem,
    ops::{Add, Sub},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use super::queue::Budget;
use crate::{
    error::{EventError, NotJoined},
    message::Topic,
    payload::Payload,
    presence::{PresenceNames, Step},
    serializer::{Incoming, SLICE_FROM},
    streams::feed::FeedWriter,
};

use self::{charge::Charge, fold::Fold};
pub(crate) use self::{
    fold::Snapshot,
    lives::Lives,
    seat::{Seat, SeatEnd},
};

/// What a log holds that nobody reads, in bytes: where a stream is held, and where nobody asked.
const HELD: usize = 1 << 20;
const UNASKED: usize = 256 << 10;
/// What diffs may hold that are more work than is done to make room for them.
const BEHIND: usize = 4 << 20;
/// The driver folds twice as much as comes, and this much more.
const RELIEF: usize = 64 << 10;
/// What an item is charged on top of its payload.
const OVERHEAD: usize = 96;

/// What those are told who want to know all.
pub(crate) type Told = Result<Said, EventError>;

#[derive(Clone, Debug)]
pub(crate) enum Said {
    Step(Step),
    /// A message ends.
    Synced,
    /// What comes and goes is not known from here on.
    Stale,
}

/// The messages of a presence, in order, and what the driver knows of their joins.
#[derive(Debug)]
pub(crate) struct PresenceLog {
    names: PresenceNames,
    /// Taken before the queue, where both are.
    fold: Mutex<Fold>,
    queue: Mutex<Queue>,
    /// What all readers of the socket may hold.
    budget: Arc<Budget>,
    /// What is held for nobody in particular.
    kept: Arc<Budget>,
}

#[derive(Debug, Default)]
struct Queue {
    items: VecDeque<Queued>,
    bytes: usize,
    /// What the diffs among them hold. A large state is read at the driver's leisure.
    diffs: usize,
    /// How many have ever come.
    come: u64,
    seats: Vec<Weak<Seat>>,
    /// It was more than is held for nobody: nothing is kept until the next join.
    dropped: bool,
}

#[derive(Debug)]
struct Queued {
    number: u64,
    item: Item,
    charge: Charge,
}

/// What happened, as far as presence is concerned.
#[derive(Debug)]
pub(super) enum Item {
    State(Payload),
    Diff(Payload),
    /// There was no room for a message.
    Missed,
    /// A join was sent. Of an older one, which the server may still hold, some diffs may be on their way.
    JoinSent,
    /// It was answered: what comes from here on is of this join.
    Joined,
    /// A join before it is over.
    OlderEnded,
    /// The channel is not joined any more.
    Lost,
    NotJoined(NotJoined),
    /// Somebody wants every join and leave from here on.
    Listen(FeedWriter<Told>),
    Closed,
}

/// Which of the two events it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    State,
    Diff,
}

impl PresenceLog {
    /// `limit` is what its list may hold, in bytes.
    fn new(names: PresenceNames, topic: Topic, limit: usize, budget: Arc<Budget>, kept: Arc<Budget>) -> Self {
        let fold = Mutex::new(Fold::new(topic, names.clone(), limit, budget.clone()));
        PresenceLog { names, fold, queue: Mutex::default(), budget, kept }
    }

    fn is_asked(&self) -> bool {
        lock(&self.queue).is_asked()
    }

    /// Which of its events this is, if any.
    pub(super) fn kind(&self, incoming: &Incoming<'_>) -> Option<Kind> {
        if incoming.event == *self.names.state_event() {
            Some(Kind::State)
        } else if incoming.event == *self.names.diff_event() {
            Some(Kind::Diff)
        } else {
            None
        }
    }

    /// Keeps a message. False: it keeps none until the next join.
    pub(super) fn append(&self, kind: Kind, incoming: &Incoming<'_>) -> bool {
        let len = incoming.body.bytes.len();
        let cost = OVERHEAD + if len < SLICE_FROM { len } else { 2 * len };
        let mut queue = lock(&self.queue);
        if queue.dropped {
            return false;
        }
        let asked = queue.is_asked();
        if asked && queue.bytes > 0 && queue.bytes + cost > HELD {
            drop(queue);
            self.fold(|fold| self.fold_some(fold, RELIEF + 2 * cost, u64::MAX));
            queue = lock(&self.queue);
        }
        let budget = if asked { &self.budget } else { &self.kept };
        let fits = match asked {
            true => kind == Kind::State || queue.diffs + cost <= BEHIND,
            false => queue.bytes + cost <= UNASKED,
        };
        let charge = if fits { Charge::take(budget, cost) } else { None };
        let Some(charge) = charge else {
            if asked {
                self.push(queue, Item::Missed, Charge::default());
                return true;
            }
            queue.dropped = true;
            let cleared = queue.clear();
            drop(queue);
            drop(cleared);
            self.fold(Fold::forget);
            return false;
        };
        let payload = incoming.body.to_payload();
        let item = if kind == Kind::State { Item::State(payload) } else { Item::Diff(payload) };
        self.push(queue, item, charge);
        true
    }

    /// Says what has become of the channel.
    pub(super) fn mark(&self, item: Item) {
        let mut queue = lock(&self.queue);
        if !queue.is_asked() {
            match item {
                // The list that is to come needs nothing of what came before it.
                Item::JoinSent => {
                    let cleared = queue.clear();
                    queue.dropped = false;
                    drop(queue);
                    drop(cleared);
                    self.fold(Fold::give_up_reading);
                    queue = lock(&self.queue);
                }
                Item::NotJoined(_) => return,
                _ => {}
            }
        }
        let full = queue.bytes + OVERHEAD > HELD;
        self.push(queue, item, Charge::default());
        if full {
            self.fold(|fold| self.fold_some(fold, RELIEF, u64::MAX));
        }
    }

    /// Whoever sits there reads this log from now on; with a listener, what comes from now on is told to that.
    fn attach(self: &Arc<Self>, seat: SeatEnd, listener: Option<FeedWriter<Told>>) {
        let mut queue = lock(&self.queue);
        queue.seats.retain(|seat| seat.strong_count() > 0);
        queue.seats.push(seat.weak());
        queue.dropped = false;
        let gone = queue.take_gone();
        if let Some(listener) = listener {
            self.push(queue, Item::Listen(listener), Charge::default());
        } else {
            drop(queue);
        }
        drop(gone);
        seat.give(self.clone());
    }

    fn push(&self, mut queue: MutexGuard<'_, Queue>, item: Item, charge: Charge) {
        let queued = Queued { number: queue.come, item, charge };
        queue.come += 1;
        queue.count(&queued, Add::add);
        queue.items.push_back(queued);
        let seats: Vec<_> = queue.seats.iter().filter_map(Weak::upgrade).collect();
        drop(queue);
        seats.iter().for_each(|seat| seat.wake());
    }

    /// How much has come up to now: what a reader wants to see. What comes meanwhile is for the next time.
    pub(crate) fn now(&self) -> u64 {
        lock(&self.queue).come
    }

    /// The list with all that had come [then](Self::now); none where this much of the log, in bytes, does not reach it.
    pub(crate) fn read(&self, bytes: usize, then: u64) -> Option<Snapshot> {
        self.fold(|fold| self.fold_some(fold, bytes, then).then(|| fold.snapshot()))
    }

    fn fold<T>(&self, work: impl FnOnce(&mut Fold) -> T) -> T {
        let mut fold = lock(&self.fold);
        let done = work(&mut fold);
        let aftermath = fold.aftermath();
        drop(fold);
        aftermath.follow();
        done
    }

    /// Folds this much of the log, in bytes, or a little more; whether it reached what had come then, or the end.
    fn fold_some(&self, fold: &mut Fold, bytes: usize, then: u64) -> bool {
        let mut left = bytes;
        loop {
            if !fold.advance(&mut left) {
                return false;
            }
            let mut queue = lock(&self.queue);
            if queue.items.front().is_none_or(|next| next.number >= then) {
                return true;
            }
            if left == 0 {
                return false;
            }
            let Some(next) = queue.items.pop_front() else { return true };
            queue.count(&next, Sub::sub);
            drop(queue);
            left = left.saturating_sub(OVERHEAD);
            fold.take(next.item, next.charge, &mut left);
        }
    }
}

impl Queued {
    /// What it counts against the bounds of a log. Listeners are bounded by those who hold them.
    fn weight(&self) -> usize {
        if matches!(self.item, Item::Listen(_)) { 0 } else { self.charge.bytes().max(OVERHEAD) }
    }
}

impl Queue {
    fn is_asked(&self) -> bool {
        self.seats.iter().any(|seat| seat.strong_count() > 0)
    }

    fn count(&mut self, queued: &Queued, with: impl Fn(usize, usize) -> usize) {
        self.bytes = with(self.bytes, queued.weight());
        if matches!(queued.item, Item::Diff(_)) {
            self.diffs = with(self.diffs, queued.weight());
        }
    }

    /// Takes all out, to be dropped where nothing is locked: that wakes.
    fn clear(&mut self) -> VecDeque<Queued> {
        (self.bytes, self.diffs) = (0, 0);
        mem::take(&mut self.items)
    }

    /// Listeners that are gone before they were told anything, to be dropped where nothing is locked: that wakes.
    fn take_gone(&mut self) -> Vec<Queued> {
        let is_gone = |queued: &Queued| matches!(&queued.item, Item::Listen(listener) if listener.is_abandoned());
        if !self.items.iter().any(is_gone) {
            return Vec::new();
        }
        let (gone, kept) = mem::take(&mut self.items).into_iter().partition::<Vec<_>, _>(is_gone);
        self.items = kept.into();
        gone
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
