//! Where a reader sits: it is told there which log it reads, and woken when something has come.

use std::{
    fmt,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, Ordering},
    },
    task::Waker,
};

use futures::task::AtomicWaker;

use super::PresenceLog;

/// The reader's end, and all that the driver knows of it.
#[derive(Default)]
pub(crate) struct Seat {
    log: OnceLock<Arc<PresenceLog>>,
    waker: AtomicWaker,
    /// There will be no log.
    ended: AtomicBool,
}

/// The driver's end. Dropped before it has given a log, it ends the reader.
#[derive(Debug)]
pub(crate) struct SeatEnd(Arc<Seat>);

impl Seat {
    pub(crate) fn new() -> (Arc<Self>, SeatEnd) {
        let seat = Arc::new(Seat::default());
        (seat.clone(), SeatEnd(seat))
    }

    /// The log that is read here, once the driver has given one.
    pub(crate) fn log(&self) -> Option<&Arc<PresenceLog>> {
        self.log.get()
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Who is to be woken, from now on.
    pub(crate) fn register(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    pub(super) fn wake(&self) {
        self.waker.wake();
    }
}

impl SeatEnd {
    pub(super) fn weak(&self) -> Weak<Seat> {
        Arc::downgrade(&self.0)
    }

    pub(super) fn give(self, log: Arc<PresenceLog>) {
        // There is one end, and it gives once.
        let _ = self.0.log.set(log);
    }
}

impl Drop for SeatEnd {
    fn drop(&mut self) {
        if self.0.log().is_none() {
            self.0.ended.store(true, Ordering::Release);
        }
        self.0.wake();
    }
}

impl fmt::Debug for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seat").field("log", &self.log.get().is_some()).field("ended", &self.has_ended()).finish()
    }
}
