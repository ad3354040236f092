//! Messages that came together and are kept together.

use std::{ops::Range, sync::Arc};

use crate::{message::Names, payload::Kind};

/// Small messages of one subscription, copied back to back out of what they arrived in.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) bytes: Vec<u8>,
    /// By the number of a [`Place`]; where there is none, it bears the subscription's own.
    pub(crate) names: Vec<Arc<Names>>,
    pub(crate) own: Arc<Names>,
}

/// One message of a batch: its payload and its names, held by one count of references. A second count would be felt in
/// a flood, where every message takes and gives back a share.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    batch: Arc<Batch>,
    place: Place,
}

/// What is known of one message of a batch. It is written in the words it is moved in: a processor that reads a word
/// just written in pieces waits for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// Where it begins, and where it ends.
    span: u64,
    /// The number of its name, and its kind.
    label: u64,
}

/// No batch is that long.
const BESIDE: u32 = u32::MAX;

impl Place {
    #[inline]
    pub(crate) fn new(span: Range<usize>, name: u32, kind: Kind) -> Self {
        Place { span: span.start as u64 | (span.end as u64) << 32, label: u64::from(name) | kind.code() << 32 }
    }

    /// For a payload that is kept beside the batch, under this index.
    pub(crate) fn beside(index: usize, name: u32, kind: Kind) -> Self {
        Place::new(BESIDE as usize..index, name, kind)
    }

    /// The index of a payload that is kept beside the batch.
    #[inline]
    pub(crate) fn index_beside(self) -> Option<usize> {
        (self.span as u32 == BESIDE).then_some((self.span >> 32) as usize)
    }

    #[inline]
    fn span(self) -> Range<usize> {
        (self.span as u32) as usize..(self.span >> 32) as usize
    }

    #[inline]
    pub(crate) fn kind(self) -> Kind {
        Kind::from_code(self.label >> 32)
    }
}

impl Batch {
    pub(crate) fn names(&self, place: Place) -> &Arc<Names> {
        self.names.get(place.label as u32 as usize).unwrap_or(&self.own)
    }
}

impl Part {
    #[inline]
    pub(crate) fn new(batch: Arc<Batch>, place: Place) -> Self {
        Part { batch, place }
    }

    pub(crate) fn names(&self) -> &Names {
        self.batch.names(self.place)
    }

    #[inline]
    pub(crate) fn kind(&self) -> Kind {
        self.place.kind()
    }
}

impl AsRef<[u8]> for Part {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        &self.batch.bytes[self.place.span()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // W-16
    #[test]
    fn a_place_keeps_what_it_is_given() {
        for kind in [Kind::Json, Kind::Binary, Kind::Reply(0), Kind::Reply(2), Kind::Reply(255)] {
            for (start, end) in [(0, 0), (0, 1), (7, u32::MAX as usize)] {
                let names = |event: &str| Arc::new(Names { topic: "room:1".into(), event: event.into() });
                let batch = Batch { bytes: Vec::new(), names: vec![names("0"), names("1")], own: names("own") };
                let [first, second, none] = [0, 1, u32::MAX].map(|name| Place::new(start..end, name, kind));
                assert_eq!((first.kind(), first.span(), first.index_beside()), (kind, start..end, None));
                let beside = Place::beside(end, 1, kind);
                assert_eq!((beside.kind(), beside.index_beside()), (kind, Some(end)));
                let events = [first, second, none].map(|place| &*batch.names(place).event);
                assert_eq!(events, ["0", "1", "own"]);
            }
        }
    }
}
