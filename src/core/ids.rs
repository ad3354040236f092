//! Maps from ids that this process numbers itself.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

/// From a channel id, or from a ref of ours.
///
/// Nobody outside chooses which ids stand in it, so it needs no secret hash, which would cost more than all else that
/// finding a message's channel takes. Its order is none.
pub(crate) type IdMap<V> = HashMap<u64, V, BuildHasherDefault<IdHasher>>;

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct IdHasher(u64);

impl Hasher for IdHasher {
    #[inline]
    fn write_u64(&mut self, id: u64) {
        // Fibonacci hashing, whose high bits are the good ones; a map looks at the low ones first.
        self.0 = id.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32);
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(self.0 ^ u64::from(*byte)));
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }
}
