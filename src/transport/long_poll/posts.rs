//! How many posts there were: a poll that went out after the last of them brings what they led to, as far as it was
//! there at once.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

#[derive(Debug, Default)]
pub(super) struct Posts {
    begun: AtomicU64,
    ended: AtomicU64,
}

impl Posts {
    pub(super) fn begin(&self) {
        self.begun.fetch_add(1, Relaxed);
    }

    pub(super) fn end(&self) {
        self.ended.fetch_add(1, Relaxed);
    }

    /// How many there were, if none is under way.
    pub(super) fn settled(&self) -> Option<u64> {
        let (begun, ended) = (self.begun.load(Relaxed), self.ended.load(Relaxed));
        (begun == ended).then_some(begun)
    }
}
