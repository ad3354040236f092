//! The presence of a channel, from the driver to whoever reads it.
//!
//! The driver appends the raw messages to a log and parses none of them; whoever reads folds what the log holds into the
//! one list that all readers share. A log that nobody reads is kept to a bound: where somebody holds a stream the driver
//! folds as much of it as makes room, in bounded steps; where nobody asked, it is dropped.

mod fold;
mod lives;
mod seat;

use std::{
    collections::VecDeque,
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

use self::fold::Fold;
pub(crate) use self::{
    fold::Snapshot,
    lives::Lives,
    seat::{Seat, SeatEnd},
};

/// What a log holds that nobody reads, in bytes: where a stream is held, and where nobody asked.
const HELD: usize = 1 << 20;
const UNASKED: usize = 256 << 10;
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
    items: VecDeque<(Item, Charge)>,
    bytes: usize,
    seats: Vec<Weak<Seat>>,
    /// It was more than is held for nobody: nothing is kept until the next join.
    dropped: bool,
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
            self.fold_some(&mut lock(&self.fold), RELIEF + 2 * cost);
            queue = lock(&self.queue);
        }
        let budget = if asked { &self.budget } else { &self.kept };
        let charge = if asked || queue.bytes + cost <= UNASKED { Charge::take(budget, cost) } else { None };
        let Some(charge) = charge else {
            if asked {
                self.push(queue, Item::Missed, Charge::default());
                return true;
            }
            queue.dropped = true;
            queue.clear();
            drop(queue);
            lock(&self.fold).forget();
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
                    queue.clear();
                    queue.dropped = false;
                }
                Item::NotJoined(_) => return,
                _ => {}
            }
        }
        let full = queue.bytes + OVERHEAD > HELD;
        self.push(queue, item, Charge::default());
        if full {
            self.fold_some(&mut lock(&self.fold), RELIEF);
        }
    }

    /// Whoever sits there reads this log from now on; with a listener, what comes from now on is told to that.
    fn attach(self: &Arc<Self>, seat: SeatEnd, listener: Option<FeedWriter<Told>>) {
        let mut queue = lock(&self.queue);
        queue.seats.retain(|seat| seat.strong_count() > 0);
        queue.seats.push(seat.weak());
        queue.dropped = false;
        if let Some(listener) = listener {
            self.push(queue, Item::Listen(listener), Charge::default());
        } else {
            drop(queue);
        }
        seat.give(self.clone());
    }

    fn push(&self, mut queue: MutexGuard<'_, Queue>, item: Item, charge: Charge) {
        queue.bytes += charge.bytes().max(OVERHEAD);
        queue.items.push_back((item, charge));
        let seats: Vec<_> = queue.seats.iter().filter_map(Weak::upgrade).collect();
        drop(queue);
        seats.iter().for_each(|seat| seat.wake());
    }

    /// The list with all that has come; none where this much of the log, in bytes, was not all of it.
    pub(crate) fn read(&self, bytes: usize) -> Option<Snapshot> {
        let mut fold = lock(&self.fold);
        self.fold_some(&mut fold, bytes).then(|| fold.snapshot())
    }

    /// Folds this much of the log, in bytes, or a little more; whether that was all.
    fn fold_some(&self, fold: &mut Fold, bytes: usize) -> bool {
        let mut left = bytes;
        loop {
            if !fold.advance(&mut left) || left == 0 {
                return false;
            }
            let mut queue = lock(&self.queue);
            let Some((item, charge)) = queue.items.pop_front() else { return true };
            queue.bytes -= charge.bytes().max(OVERHEAD);
            drop(queue);
            left = left.saturating_sub(OVERHEAD);
            fold.take(item, charge, &mut left);
        }
    }
}

impl Queue {
    fn is_asked(&self) -> bool {
        self.seats.iter().any(|seat| seat.strong_count() > 0)
    }

    fn clear(&mut self) {
        self.items.clear();
        self.bytes = 0;
    }
}

/// Bytes taken from a budget, until this is dropped.
#[derive(Debug, Default)]
pub(super) struct Charge {
    budget: Option<Arc<Budget>>,
    bytes: usize,
}

impl Charge {
    fn take(budget: &Arc<Budget>, bytes: usize) -> Option<Self> {
        budget.take(bytes).then(|| Charge { budget: Some(budget.clone()), bytes })
    }

    fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        if let Some(budget) = &self.budget {
            budget.give_back(self.bytes);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
