//! Who waits, in order. Whoever goes is passed over, and cleared away once there are many of them.

use std::{collections::VecDeque, mem};

#[derive(Debug, Default)]
pub(super) struct Line {
    ids: VecDeque<u64>,
    gone: usize,
}

impl Line {
    pub(super) fn push_back(&mut self, id: u64) {
        self.ids.push_back(id);
    }

    pub(super) fn push_front(&mut self, id: u64) {
        self.ids.push_front(id);
    }

    /// One of them is gone; `stays` says of the others that they are not.
    pub(super) fn leave(&mut self, stays: impl Fn(u64) -> bool) {
        self.gone += 1;
        if 2 * self.gone > self.ids.len() {
            self.ids.retain(|id| stays(*id));
            self.gone = 0;
        }
    }

    /// All of them, and perhaps some that are gone.
    pub(super) fn take(&mut self) -> impl Iterator<Item = u64> + use<> {
        self.gone = 0;
        mem::take(&mut self.ids).into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_are_gone_are_cleared_away() {
        let mut line = Line::default();
        (0..1_000).for_each(|id| line.push_back(id));
        for id in 0..990 {
            line.leave(|other| other > id);
            assert!(line.ids.len() <= 2 * (1_000 - id as usize), "{} are kept", line.ids.len());
        }
        assert_eq!(line.take().filter(|id| *id >= 990).count(), 10);
        assert_eq!(line.take().count(), 0);
    }
}
