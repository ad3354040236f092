//! What raw JSON is to each type that looks at it, made once.

use std::{any::Any, fmt, sync::OnceLock};

/// A value of each type that was asked for, in the order they were.
#[derive(Default)]
pub(super) struct Decoded(OnceLock<Box<Node>>);

struct Node {
    value: Box<dyn Any + Send + Sync>,
    next: Decoded,
}

impl Decoded {
    /// The value of this type, made now if it is the first time.
    pub(super) fn get<T: Any + Send + Sync>(&self, make: impl FnOnce() -> T) -> &T {
        let mut make = Some(make);
        let mut at = self;
        loop {
            // Whoever comes first at the end of the list makes a value of its own type there.
            let node = at.0.get_or_init(|| {
                let value: Box<dyn Any + Send + Sync> = match make.take() {
                    Some(make) => Box::new(make()),
                    None => Box::new(()),
                };
                Box::new(Node { value, next: Decoded::default() })
            });
            match node.value.downcast_ref() {
                Some(value) => return value,
                None => at = &node.next,
            }
        }
    }
}

impl fmt::Debug for Decoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Decoded")
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn each_type_is_made_once() {
        let (decoded, made) = (Decoded::default(), Cell::new(0));
        let count = || made.set(made.get() + 1);
        for _ in 0..3 {
            assert_eq!(*decoded.get(|| (count(), 1_u8).1), 1);
            assert_eq!(*decoded.get(|| (count(), 2_u16).1), 2);
            assert_eq!(*decoded.get(|| (count(), "three").1), "three");
        }
        assert_eq!(made.get(), 3);
    }
}
