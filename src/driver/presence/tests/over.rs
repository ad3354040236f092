//! What is over: cleared, told to nobody, held for nobody.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    task::{Context, Wake, Waker},
};

use futures::StreamExt;

use super::*;

struct Probe(Arc<PresenceLog>, AtomicBool);

impl Wake for Probe {
    fn wake(self: Arc<Self>) {
        // Whoever is woken may read at once.
        self.1.store(self.0.queue.try_lock().is_err(), Ordering::Relaxed);
    }
}

// Nothing is locked when somebody is woken: of a listener that went before it was told anything, too.
#[test]
fn what_is_cleared_wakes_where_nothing_is_locked() {
    for is_full in [false, true] {
        let bed = Bed::new(BUDGET);
        bed.join();
        let (seat, mut told) = bed.listen(1 << 20);
        let probe = Arc::new(Probe(seat.log().unwrap().clone(), AtomicBool::new(false)));
        let waker = Waker::from(probe.clone());
        assert!(told.poll_next_unpin(&mut Context::from_waker(&waker)).is_pending());
        drop((seat, told));
        if is_full {
            while bed.diff(0..100, 0..0) {}
        } else {
            bed.join();
        }
        assert!(!probe.1.load(Ordering::Relaxed), "woken under the lock of the queue; full: {is_full}");
    }
}

// DEV-18: as a short one does.
#[test]
fn a_long_diff_that_changes_nothing_is_no_news() {
    let bed = Bed::new(BUDGET);
    let seat = bed.sit();
    bed.join();
    bed.state(0..1_000);
    let version = || seat.log().unwrap().read(usize::MAX, u64::MAX).unwrap().version;
    let before = version();
    bed.diff(0..3, 0..0);
    assert_eq!(version(), before, "a short one");
    bed.diff(0..1_000, 0..0);
    assert_eq!(version(), before, "a long one");
}

// Law 10: what nobody reads is kept to a bound, also where somebody did; after another join nothing of it is of use.
#[test]
fn a_state_that_was_half_read_is_not_held_for_nobody() {
    let bed = Bed::new(BUDGET);
    let seat = bed.sit();
    bed.join();
    bed.state(0..50_000);
    assert!(seat.log().unwrap().read(1 << 20, u64::MAX).is_none());
    drop(seat);
    for _ in 0..3 {
        bed.join();
        bed.state(0..10);
    }
    assert!(bed.used() <= UNASKED, "{} bytes are charged, and nobody reads", bed.used());
}
