//! The log against its bounds, by hand.

mod charges;
mod listeners;
mod over;
mod turns;

use std::fmt::Write;

use bytes::Bytes;

use super::*;
use crate::{
    payload,
    presence::PresenceState,
    serializer::{Body, Name},
    streams::feed::{Bounds, Feed, feed},
};

const BUDGET: usize = 64 << 20;

struct Bed {
    lives: Lives,
    budget: Arc<Budget>,
    kept: Arc<Budget>,
}

impl Bed {
    fn new(limit: usize) -> Self {
        let (budget, kept) = (Budget::new(BUDGET), Budget::new(BUDGET));
        Bed { lives: Lives::new("room:1".into(), limit, budget.clone(), kept.clone()), budget, kept }
    }

    /// As the driver does it; false where the log keeps nothing.
    fn say(&self, event: &str, payload: &str) -> bool {
        let bytes = Bytes::from(payload.to_owned());
        let body = Body { owner: Some(&bytes), bytes: &bytes, kind: payload::Kind::Json };
        let (topic, event) = (Name::from("room:1"), Name::from(event));
        let incoming = crate::serializer::Incoming { join_ref: None, reference: None, topic, event, body, header: 0 };
        let mut kept = true;
        for (log, kind) in self.lives.wanted(&incoming) {
            kept &= log.append(kind, &incoming);
        }
        kept
    }

    fn state(&self, people: std::ops::Range<usize>) -> bool {
        self.say("presence_state", &list(people))
    }

    fn diff(&self, joins: std::ops::Range<usize>, leaves: std::ops::Range<usize>) -> bool {
        self.say("presence_diff", &format!(r#"{{"joins":{},"leaves":{}}}"#, list(joins), list(leaves)))
    }

    fn sit(&self) -> Arc<Seat> {
        let (seat, end) = Seat::new();
        self.lives.attach(PresenceNames::default(), end, None, false);
        seat
    }

    /// Who is told all, and may be so many bytes behind.
    fn listen(&self, limit: usize) -> (Arc<Seat>, Feed<Told>) {
        let (writer, told) = feed(Bounds { items: usize::MAX, bytes: limit, budget: Some(self.budget.clone()) });
        let (seat, end) = Seat::new();
        self.lives.attach(PresenceNames::default(), end, Some(writer), false);
        (seat, told)
    }

    fn join(&self) {
        self.lives.mark(|| Item::JoinSent);
        self.lives.mark(|| Item::Joined);
    }

    fn used(&self) -> usize {
        self.budget.used() + self.kept.used()
    }
}

fn list(people: std::ops::Range<usize>) -> String {
    let mut list = String::from("{");
    for number in people {
        let comma = if list.len() > 1 { "," } else { "" };
        write!(list, r#"{comma}"user:{number}":{{"metas":[{{"phx_ref":"ref:{number}"}}]}}"#).unwrap();
    }
    list + "}"
}

/// One key, with these metas.
fn crowd(metas: std::ops::Range<usize>) -> String {
    let metas: Vec<_> = metas.map(|number| format!(r#"{{"phx_ref":"ref:{number}"}}"#)).collect();
    format!(r#"{{"all":{{"metas":[{}]}}}}"#, metas.join(","))
}

fn read(seat: &Seat) -> (PresenceState, usize) {
    let now = seat.log().unwrap().read(usize::MAX, u64::MAX).unwrap();
    (now.state, now.people.len())
}

fn queued(seat: &Seat) -> usize {
    lock(&seat.log().unwrap().queue).bytes
}

// Law 10: where nobody asked it is dropped, and whoever comes then waits for the next join.
#[test]
fn what_nobody_asked_for_is_kept_to_its_bound_and_then_not_at_all() {
    let bed = Bed::new(BUDGET);
    bed.join();
    assert!(bed.state(0..10) && bed.diff(10..11, 0..0));
    assert_eq!(read(&bed.sit()), (PresenceState::Synced, 11), "a late reader misses nothing");
    bed.join();
    let mut kept = 0;
    while bed.diff(kept..kept + 1, 0..0) {
        kept += 1;
        assert!(bed.kept.used() <= UNASKED);
    }
    assert!(kept > 1_000 && bed.used() == 0, "{kept} kept, {} bytes", bed.used());
    assert!(!bed.diff(0..1, 0..0));
    assert_eq!(read(&bed.sit()), (PresenceState::Awaiting, 0));
    bed.join();
    assert!(bed.state(0..3));
    assert_eq!(read(&bed.sit()), (PresenceState::Synced, 3), "the next join begins anew");
}

// Law 10: also if nobody asks until then.
#[test]
fn what_was_dropped_is_kept_again_from_the_next_join_on() {
    let bed = Bed::new(BUDGET);
    bed.join();
    while bed.diff(0..100, 0..0) {}
    bed.join();
    assert!(bed.state(0..3));
    assert_eq!(read(&bed.sit()), (PresenceState::Synced, 3));
}

// Law 10: where somebody holds a stream it is folded by the append that would exceed the bound.
#[test]
fn what_a_held_stream_does_not_read_is_folded_to_make_room() {
    let bed = Bed::new(BUDGET);
    let seat = bed.sit();
    bed.join();
    bed.state(0..100);
    for number in 100..40_000 {
        assert!(bed.diff(number..number + 1, number - 100..number - 99));
        assert!(queued(&seat) <= HELD, "{} bytes after {number}", queued(&seat));
    }
    let log = seat.log().unwrap();
    assert!(
        lock(&log.fold).snapshot().people.cost() > 0 && queued(&seat) > HELD / 2,
        "it was folded while nobody read"
    );
    assert_eq!(read(&seat), (PresenceState::Synced, 100));
    drop((seat, bed.lives));
    assert_eq!((bed.budget.used(), bed.kept.used()), (0, 0));
}

// Law 10: in bounded steps, also a state larger than the bound.
#[test]
fn a_large_state_that_nobody_reads_is_folded_in_steps() {
    let bed = Bed::new(BUDGET);
    let seat = bed.sit();
    bed.join();
    bed.state(0..100_000);
    let log = seat.log().unwrap().clone();
    assert!(queued(&seat) > HELD, "one alone may be of any size");
    let mut steps = 0;
    while queued(&seat) > HELD || lock(&log.fold).is_reading() {
        let before = lock(&log.fold).progress();
        bed.diff(0..1, 0..1);
        let read = lock(&log.fold).progress().saturating_sub(before);
        assert!(read <= RELIEF + 4 * OVERHEAD + 4_096, "{read} bytes in one step");
        steps += 1;
        if steps > 100_000 {
            break;
        }
    }
    assert!(steps > 10);
    assert_eq!(read(&seat), (PresenceState::Synced, 99_999));
}

// Law 12
#[test]
fn a_list_beyond_its_bound_is_stale_until_one_fits() {
    let bed = Bed::new(100 << 10);
    let seat = bed.sit();
    bed.join();
    bed.state(0..10);
    assert_eq!(read(&seat), (PresenceState::Synced, 10));
    bed.diff(10..1_000, 0..0);
    assert_eq!(read(&seat), (PresenceState::Stale, 10), "the list stays as it was");
    bed.diff(10..11, 0..0);
    assert_eq!(read(&seat), (PresenceState::Stale, 10), "what comes behind means nothing any more");
    bed.join();
    bed.state(0..1_000);
    assert_eq!(read(&seat), (PresenceState::Stale, 10));
    bed.state(5..20);
    assert_eq!(read(&seat), (PresenceState::Synced, 15));
    drop((seat, bed.lives));
    assert_eq!((bed.budget.used(), bed.kept.used()), (0, 0));
}

// P-10: the newest are held, since what is older is in the state that may still come.
#[test]
fn diffs_without_a_state_are_held_to_a_bound() {
    let bed = Bed::new(BUDGET);
    let seat = bed.sit();
    bed.join();
    for number in 0..50_000 {
        bed.diff(number..number + 1, 0..0);
    }
    let now = seat.log().unwrap().read(usize::MAX, u64::MAX).unwrap();
    assert_eq!((now.state, now.people.len()), (PresenceState::Awaiting, 0));
    assert!(now.pending > 1_000 && now.pending < 50_000, "{} pending", now.pending);
    assert!(bed.used() < 4 * HELD, "{} bytes", bed.used());
    bed.state(0..50_000 - now.pending);
    assert_eq!(read(&seat), (PresenceState::Stale, 50_000));
    drop((seat, bed.lives));
    assert_eq!((bed.budget.used(), bed.kept.used()), (0, 0));
}

#[test]
fn where_a_socket_may_hold_no_more_the_list_says_so() {
    let bed = Bed::new(BUDGET);
    let seat = bed.sit();
    bed.join();
    bed.state(0..10);
    assert_eq!(read(&seat), (PresenceState::Synced, 10));
    let rest = BUDGET - bed.budget.used();
    assert!(bed.budget.take(rest));
    bed.diff(10..11, 0..0);
    assert_eq!(read(&seat), (PresenceState::Stale, 10));
    bed.budget.give_back(rest);
    bed.state(0..12);
    assert_eq!(read(&seat), (PresenceState::Synced, 12));
}

// Law 10: who left by what was lost must not come by what waited before it.
#[test]
fn what_waited_before_a_missed_diff_makes_no_ghost() {
    let bed = Bed::new(BUDGET);
    let seat = bed.sit();
    bed.join();
    bed.diff(0..1, 0..0);
    // Other streams hold all there may be.
    let rest = BUDGET - bed.budget.used();
    assert!(bed.budget.take(rest));
    bed.diff(0..0, 0..1);
    bed.budget.give_back(rest);
    bed.diff(1..2, 0..0);
    bed.state(0..0);
    assert_eq!(read(&seat), (PresenceState::Stale, 1), "what waited behind it came; what was lost may be missing");
}

#[test]
fn a_flapping_connection_leaves_no_trail() {
    let bed = Bed::new(BUDGET);
    bed.join();
    bed.state(0..10);
    for _ in 0..10_000 {
        bed.lives.mark(|| Item::Lost);
        bed.join();
    }
    let seat = bed.sit();
    assert!(queued(&seat) < 1_000);
    for _ in 0..100_000 {
        bed.lives.mark(|| Item::Lost);
        bed.join();
    }
    assert!(queued(&seat) <= HELD);
}
