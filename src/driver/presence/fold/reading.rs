//! A list on its way in: the state in parts, and then the diffs that waited for it one by one.

use super::{Fold, OVERHEAD, waited::Waited};
use crate::{
    driver::presence::charge::Charge,
    log,
    presence::{PresenceState, StateSync},
};

/// A list on its way in.
#[derive(Debug)]
pub(super) enum Reading {
    State(StateSync, Charge),
    Waited(Waited),
}

/// What a turn of reading a state came to.
enum Read {
    On(StateSync),
    All(Waited),
    Nothing,
}

impl Fold {
    /// Reads on in a state and in what waited for it, as far as what is left allows; whether it is done with them.
    pub(in crate::driver::presence) fn advance(&mut self, left: &mut usize) -> bool {
        match self.reading.take().map(|reading| *reading) {
            None => true,
            Some(Reading::State(sync, charge)) => match self.read(sync, left) {
                Read::On(sync) => {
                    self.reading = Some(Box::new(Reading::State(sync, charge)));
                    false
                }
                Read::All(waited) => self.replay(waited, left),
                Read::Nothing => true,
            },
            Some(Reading::Waited(waited)) => self.replay(waited, left),
        }
    }

    fn read(&mut self, mut sync: StateSync, left: &mut usize) -> Read {
        let before = sync.progress();
        let read = sync.advance(*left);
        *left = left.saturating_sub(sync.progress() - before);
        // Until it is done both lists are held.
        let fits = sync.cost() <= self.limit && self.charge(self.people.cost() + sync.held());
        match read {
            Err(error) => {
                let told = self.undecodable(sync.state(), self.names.state_event().into(), error);
                self.charge(self.people.cost());
                self.tell_all(vec![told]);
                self.go_stale();
                Read::Nothing
            }
            Ok(_) if !fits => {
                self.refuse();
                Read::Nothing
            }
            Ok(false) => Read::On(sync),
            Ok(true) => {
                let (people, steps) = sync.finish();
                Read::All(Waited::new(people, steps, !self.gap))
            }
        }
    }

    /// A state was read: it is the list, once the diffs that waited for it are in it as well.
    fn replay(&mut self, mut waited: Waited, left: &mut usize) -> bool {
        while let Some((diff, _charge)) = self.pending.pop_front() {
            let len = diff.as_bytes().len();
            self.pending_bytes -= len + OVERHEAD;
            let mut told = Vec::new();
            let effect = self.diff(&mut waited.people, &diff, &mut told);
            let work = waited.follow(effect, told);
            if waited.told_bytes() > self.limit {
                waited.give_up_telling();
            }
            *left = left.saturating_sub(len + work);
            if *left == 0 && !self.pending.is_empty() {
                if waited.people.cost() > self.limit || !self.charge(self.people.cost() + waited.held()) {
                    self.refuse();
                    return true;
                }
                self.reading = Some(Box::new(Reading::Waited(waited)));
                return false;
            }
        }
        let (people, told, is_whole) = waited.finish();
        self.awaiting = false;
        if self.put(people, told) {
            self.set(self.people.clone(), PresenceState::Synced);
            if !is_whole {
                self.go_stale();
            }
        }
        true
    }

    /// A list that there is no room for: the next one may fit.
    fn refuse(&mut self) {
        log::presence_too_large(&self.topic, self.limit);
        let gap = self.gap;
        self.miss();
        self.gap = gap;
    }
}
