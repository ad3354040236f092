//! Who waits for room in the push lane: first come, first served, and woken only when it is their turn.
//!
//! Waking all of them for each place that comes free would cost the square of their number, and let whoever polls
//! first overtake the others for ever.

use std::{collections::BTreeMap, task::Waker};

use crate::core::Instant;

/// By the ref of the push, and so in the order of first polls.
#[derive(Debug, Default)]
pub(super) struct Room {
    waiting: BTreeMap<u64, Waiting>,
    /// How many of them were called and have not come yet: a place is kept for each.
    called: usize,
}

#[derive(Debug)]
struct Waiting {
    deadline: Instant,
    /// None once called.
    waker: Option<Waker>,
}

impl Room {
    /// Whether this push may take one of these free places.
    pub(super) fn admits(&self, id: u64, free: usize) -> bool {
        match self.waiting.get(&id) {
            Some(waiting) => waiting.waker.is_none() && free > 0,
            None => free > self.waiting.len(),
        }
    }

    pub(super) fn wait(&mut self, id: u64, deadline: Instant, waker: &Waker) {
        match self.waiting.get_mut(&id) {
            Some(Waiting { waker: Some(stored), .. }) => stored.clone_from(waker),
            Some(_) => {}
            None => drop(self.waiting.insert(id, Waiting { deadline, waker: Some(waker.clone()) })),
        }
    }

    /// This push waits no more.
    pub(super) fn remove(&mut self, id: u64) {
        if let Some(waiting) = self.waiting.remove(&id) {
            self.called -= usize::from(waiting.waker.is_none());
        }
    }

    /// Calls the first ones into these free places; they are to be woken.
    pub(super) fn call(&mut self, free: usize) -> Vec<Waker> {
        let places = free.saturating_sub(self.called);
        if places == 0 || self.called == self.waiting.len() {
            return Vec::new();
        }
        let next = self.waiting.values_mut().filter_map(|waiting| waiting.waker.take()).take(places);
        let called: Vec<_> = next.collect();
        self.called += called.len();
        called
    }

    /// Those whose deadline has passed wait no more; they are to be woken.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<Waker> {
        let mut due = Vec::new();
        let called = &mut self.called;
        self.waiting.retain(|_, waiting| {
            let stays = waiting.deadline > now;
            if !stays {
                *called -= usize::from(waiting.waker.is_none());
                due.extend(waiting.waker.take());
            }
            stays
        });
        due
    }

    pub(super) fn earliest(&self) -> Option<Instant> {
        self.waiting.values().map(|waiting| waiting.deadline).min()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn into_wakers(self) -> impl Iterator<Item = Waker> {
        self.waiting.into_values().filter_map(|waiting| waiting.waker)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::task::noop_waker;

    use super::*;

    fn room(ids: impl IntoIterator<Item = u64>) -> Room {
        let mut room = Room::default();
        for id in ids {
            room.wait(id, Instant(Duration::from_secs(id)), &noop_waker());
        }
        room
    }

    #[test]
    fn the_first_are_called_and_their_places_kept() {
        let mut room = room([3, 1, 2]);
        assert!(!room.admits(1, 1) && !room.admits(9, 3));
        assert_eq!(room.call(2).len(), 2);
        assert!(room.admits(1, 2) && room.admits(2, 1) && !room.admits(3, 2));
        assert!(!room.admits(9, 2), "a place that is kept for another");
        assert!(room.call(2).is_empty(), "both places are spoken for");
        room.remove(1);
        assert!(room.call(1).is_empty(), "it took its place");
        assert_eq!(room.call(2).len(), 1);
    }

    // T-19
    #[test]
    fn one_that_was_called_and_is_gone_leaves_its_place_to_the_next() {
        let mut room = room([1, 2]);
        assert_eq!(room.call(1).len(), 1);
        room.remove(1);
        assert_eq!(room.call(1).len(), 1);
        assert!(room.admits(2, 1));
        room.remove(2);
        assert!(room.is_empty() && room.admits(9, 1));
    }

    // T-17
    #[test]
    fn what_is_due_waits_no_more_called_or_not() {
        let mut room = room([1, 2, 3]);
        assert_eq!(room.call(1).len(), 1);
        assert_eq!(room.earliest(), Some(Instant(Duration::from_secs(1))));
        assert_eq!(room.expire(Instant(Duration::from_secs(2))).len(), 1, "the one called was woken already");
        assert_eq!(room.earliest(), Some(Instant(Duration::from_secs(3))));
        assert_eq!(room.call(1).len(), 1);
        assert!(room.admits(3, 1));
    }
}
