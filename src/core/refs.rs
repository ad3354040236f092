//! Message refs: one counter per socket.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use crate::serializer::Name;

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
#[inline]
pub(crate) fn parse<'a>(name: impl Into<Name<'a>>) -> Option<u64> {
    let text = name.into().as_bytes();
    if text.is_empty() || (text[0] == b'0' && text.len() > 1) {
        return None;
    }
    text.iter().try_fold(0, |number: u64, byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 { None } else { number.checked_mul(10)?.checked_add(digit.into()) }
    })
}
