//! The refs of one person, to be looked up.

use std::collections::HashMap;

use smallvec::SmallVec;

use crate::word::Word;

/// Most have one, and few are sooner compared than hashed; where there are many, none takes longer for it.
pub(super) struct Refs<'a> {
    few: SmallVec<[&'a Word; FEW]>,
    many: Option<HashMap<&'a [u8], usize>>,
}

const FEW: usize = 8;

impl<'a> Refs<'a> {
    pub(super) fn new(refs: impl Iterator<Item = &'a Word>) -> Self {
        let few: SmallVec<[_; FEW]> = refs.collect();
        // Of one that stands twice the first place counts.
        let index = || few.iter().enumerate().rev().map(|(place, word)| (word.name().as_bytes(), place)).collect();
        let many = (few.len() > FEW).then(index);
        Refs { few, many }
    }

    pub(super) fn has(&self, word: &Word) -> bool {
        self.place(word).is_some()
    }

    /// Where it stands among them.
    pub(super) fn place(&self, word: &Word) -> Option<usize> {
        match &self.many {
            Some(many) => many.get(word.name().as_bytes()).copied(),
            None => self.few.iter().position(|known| *known == word),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_and_many_are_found_in_their_places() {
        for count in [0, 1, FEW, FEW + 1, 1_000] {
            let words: Vec<_> = (0..count).map(|number| Word::from(&*number.to_string())).collect();
            let refs = Refs::new(words.iter().chain(&words));
            for (place, word) in words.iter().enumerate() {
                assert_eq!(refs.place(word), Some(place));
            }
            assert!(!refs.has(&Word::from("other")));
        }
    }
}
