//! A list whose state was read, with what is to be told of it, while the diffs that waited for it follow.

use super::{Told, step_told};
use crate::{
    error::EventError,
    presence::{Effect, People, Step},
};

#[derive(Debug)]
pub(super) struct Waited {
    pub(super) people: People,
    told: Vec<(Told, usize)>,
    told_bytes: usize,
    /// What is not told, for it was too much.
    lost: u64,
    /// Whether no diff was lost that may not be in the state.
    pub(super) is_whole: bool,
}

impl Waited {
    pub(super) fn new(people: People, steps: Vec<Step>, is_whole: bool) -> Self {
        let mut waited = Waited { people, told: Vec::new(), told_bytes: 0, lost: 0, is_whole };
        waited.tell(steps.into_iter().map(step_told).collect());
        waited
    }

    pub(super) fn tell(&mut self, told: Vec<(Told, usize)>) {
        self.told_bytes += told.iter().map(|(_, bytes)| bytes).sum::<usize>();
        self.told.extend(told);
        if self.lost > 0 {
            self.give_up_telling();
        }
    }

    /// What a diff did, which could not be read if there is no effect; the work of it.
    pub(super) fn follow(&mut self, effect: Option<Effect>, told: Vec<(Told, usize)>) -> usize {
        self.tell(told);
        self.is_whole &= effect.is_some();
        effect.map_or(0, |effect| effect.work)
    }

    /// What it holds, in bytes.
    pub(super) fn held(&self) -> usize {
        self.people.cost() + self.told_bytes
    }

    pub(super) fn told_bytes(&self) -> usize {
        self.told_bytes
    }

    /// Tells no more than that there was too much to be told; and what went wrong, which is little.
    pub(super) fn give_up_telling(&mut self) {
        let before = self.told.len();
        self.told.retain(|(told, _)| told.is_err());
        self.lost += (before - self.told.len()) as u64;
        self.told_bytes = self.told.iter().map(|(_, bytes)| bytes).sum();
    }

    /// The list, what is to be told of it, and whether it is the server's own.
    pub(super) fn finish(mut self) -> (People, Vec<(Told, usize)>, bool) {
        if self.lost > 0 {
            self.told.push((Err(EventError::Lagged(self.lost)), 0));
        }
        (self.people, self.told, self.is_whole)
    }
}
