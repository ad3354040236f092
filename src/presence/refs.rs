//! The refs of metas, to be found again.

use std::collections::BTreeMap;

use smallvec::SmallVec;

use crate::word::Word;

/// Which ref is in which place. A few are looked through one by one; of many, which no server has under one key for
/// good, looking for all takes little more than their number.
pub(super) enum Refs<'a> {
    Few(SmallVec<[&'a Word; FEW]>),
    Many(BTreeMap<&'a Word, usize>),
}

const FEW: usize = 8;

impl<'a> Refs<'a> {
    pub(super) fn new(refs: impl ExactSizeIterator<Item = &'a Word>) -> Self {
        if refs.len() <= FEW {
            return Refs::Few(refs.collect());
        }
        let mut places = BTreeMap::new();
        refs.enumerate().for_each(|(place, reference)| _ = *places.entry(reference).or_insert(place));
        Refs::Many(places)
    }

    /// The first where it stands.
    pub(super) fn place(&self, reference: &Word) -> Option<usize> {
        match self {
            Refs::Few(refs) => refs.iter().position(|known| *known == reference),
            Refs::Many(places) => places.get(reference).copied(),
        }
    }

    pub(super) fn has(&self, reference: &Word) -> bool {
        self.place(reference).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_and_many_are_found_where_they_stand_first() {
        for count in [0, 1, FEW - 1, FEW, FEW + 1, 1_000] {
            let refs: Vec<_> = (0..count).map(|number| Word::from(&*(number / 2 * 2).to_string())).collect();
            let found = Refs::new(refs.iter());
            for (place, reference) in refs.iter().enumerate() {
                assert_eq!(found.place(reference), Some(place / 2 * 2));
            }
            assert!(!found.has(&Word::from("-1")));
        }
    }
}
