//! Names and refs: mostly short, and kept in large numbers.

use std::{borrow::Borrow, cmp::Ordering, fmt, sync::Arc};

use crate::serializer::Name;

/// A string, which takes no allocation where it is short.
#[derive(Clone)]
pub(crate) enum Word {
    Short(u8, [u8; SHORT]),
    Long(Arc<str>),
}

const SHORT: usize = 22;

impl Word {
    pub(crate) fn name(&self) -> Name<'_> {
        match self {
            Word::Short(len, bytes) => Name::of(&bytes[..usize::from(*len)]),
            Word::Long(name) => Name::from(&**name),
        }
    }
}

impl PartialEq for Word {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Word {}

/// As bytes, and so as text.
impl Ord for Word {
    fn cmp(&self, other: &Self) -> Ordering {
        self.name().as_bytes().cmp(other.name().as_bytes())
    }
}

impl PartialOrd for Word {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Borrow<[u8]> for Word {
    fn borrow(&self) -> &[u8] {
        self.name().as_bytes()
    }
}

impl From<&str> for Word {
    fn from(name: &str) -> Self {
        let mut bytes = [0; SHORT];
        match bytes.get_mut(..name.len()) {
            Some(place) => {
                place.copy_from_slice(name.as_bytes());
                Word::Short(name.len() as u8, bytes)
            }
            None => Word::Long(name.into()),
        }
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_what_it_was_made_of() {
        for name in ["", "shout", "später", &"x".repeat(SHORT), &"x".repeat(SHORT + 1), &"ä".repeat(SHORT)] {
            assert_eq!(Word::from(name).name().as_str(), name);
            assert_eq!(format!("{:?}", Word::from(name)), format!("{name:?}"));
        }
    }
}
