//! What the handles and the driver share.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use super::{Lanes, queue::Budget};
use crate::{
    core::{Holdings, Instant, Refs},
    runtime,
    stats::Stats,
};

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) lanes: Lanes,
    pub(crate) refs: Refs,
    pub(crate) budget: Arc<Budget>,
    /// What is kept for the next joins, which costs readers nothing.
    pub(crate) kept: Arc<Budget>,
    /// The bound of one stream's queue, in bytes.
    pub(crate) queue_limit: usize,
    /// Of joins, pushes and leaves.
    pub(crate) timeout: Duration,
    epoch: runtime::Instant,
    published: Published,
}

/// What the driver held at the end of its last turn.
#[derive(Debug, Default)]
struct Published {
    channels: AtomicUsize,
    streams: AtomicUsize,
    pending_pushes: AtomicUsize,
    callers: AtomicUsize,
    timers: AtomicUsize,
    outgoing_bytes: AtomicUsize,
}

impl Shared {
    pub(crate) fn new(queue_limit: usize, socket_limit: usize, timeout: Duration) -> Self {
        Shared {
            lanes: Lanes::default(),
            refs: Refs::default(),
            budget: Budget::new(socket_limit),
            kept: Budget::new(socket_limit / 4),
            queue_limit,
            timeout,
            epoch: runtime::Instant::now(),
            published: Published::default(),
        }
    }

    /// That instant on the runtime's clock, as far as that reaches.
    pub(crate) fn at(&self, instant: Instant) -> runtime::Instant {
        const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);
        self.epoch + instant.0.min(FAR)
    }

    pub(crate) fn now(&self) -> Instant {
        Instant(self.epoch.elapsed())
    }

    pub(crate) fn stats(&self) -> Stats {
        let (lane, lane_bytes) = self.lanes.waiting_pushes();
        let read = |cell: &AtomicUsize| cell.load(Ordering::Relaxed);
        Stats {
            channels: read(&self.published.channels),
            streams: read(&self.published.streams),
            pending_pushes: read(&self.published.pending_pushes) + lane,
            callers: read(&self.published.callers),
            timers: read(&self.published.timers),
            outgoing_bytes: read(&self.published.outgoing_bytes) + lane_bytes,
            incoming_bytes: self.budget.used() + self.kept.used(),
        }
    }

    pub(super) fn publish(&self, holdings: Holdings, streams: usize) {
        let write = |cell: &AtomicUsize, value| cell.store(value, Ordering::Relaxed);
        write(&self.published.channels, holdings.channels);
        write(&self.published.streams, streams);
        write(&self.published.pending_pushes, holdings.pending_pushes);
        write(&self.published.callers, holdings.callers);
        write(&self.published.timers, holdings.timers);
        write(&self.published.outgoing_bytes, holdings.outgoing_bytes);
    }
}

/// An identity that is never given out again in this process.
pub(crate) fn fresh_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
