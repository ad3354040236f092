//! Message refs: one counter per socket.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// Refs, unique over the life of a socket and shared by joins, pushes, leaves and heartbeats.
///
/// A push takes its ref when it is first polled, so that whoever holds it can name it.
#[derive(Clone, Debug)]
pub(crate) struct Refs(Arc<AtomicU64>);

/// What a server written in JavaScript could still count to.
const MODULUS: u64 = 1 << 53;

impl Refs {
    pub(crate) fn starting_at(first: u64) -> Self {
        Refs(Arc::new(AtomicU64::new(first)))
    }

    pub(crate) fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed) % MODULUS
    }

    /// Whether this ref was given out after the other one.
    pub(crate) fn is_later(&self, reference: u64, than: u64) -> bool {
        let end = self.0.load(Ordering::Relaxed) % MODULUS;
        let age = |reference: u64| end.wrapping_sub(reference) % MODULUS;
        age(reference) != 0 && age(reference) < age(than)
    }
}

impl Default for Refs {
    fn default() -> Self {
        Refs::starting_at(1)
    }
}

/// A ref as the server repeats it: decimal, and spelled as we spell it.
pub(crate) fn parse(text: &str) -> Option<u64> {
    let canonical = text == "0" || (!text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit()));
    canonical.then(|| text.parse().ok()).flatten()
}
