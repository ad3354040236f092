//! One key of a presence list, as it came: metas by their refs, and whatever stands beside them.

use std::{any::Any, borrow::Cow, collections::BTreeMap, fmt, ops::Range, sync::Arc};

use smallvec::SmallVec;

use super::{decoded::Decoded, refs::Refs, walk::Walk};
use crate::{error::DecodeError, word::Word};

/// Whoever is present under one key, raw. Decoded by those who look at it, once for each type.
pub(crate) struct Person {
    /// The key, and behind it the JSON of each meta.
    text: Box<str>,
    key: usize,
    metas: SmallVec<[Place; 1]>,
    /// The JSON object of the fields beside `metas`, where there are any.
    pub(super) extra: Option<Arc<str>>,
    decoded: Decoded,
}

/// Where the JSON of a meta is, and the `phx_ref` in it.
struct Place {
    text: Range<usize>,
    reference: Word,
}

/// One tracked process: its JSON object, and the `phx_ref` in it.
#[derive(Clone, Debug)]
pub(super) struct Meta<'a> {
    pub(super) text: &'a str,
    pub(super) reference: Word,
}

impl<'a> Meta<'a> {
    fn read(walk: &mut Walk<'a>) -> Result<Self, DecodeError> {
        let mut reference = None;
        let text = walk.text(|walk| {
            walk.fields(|walk, name| {
                if name != "phx_ref" {
                    return walk.pass();
                }
                reference = Some(Word::from(&*walk.string()?));
                Ok(())
            })
        })?;
        let reference = reference.ok_or_else(|| DecodeError::new("a meta without a `phx_ref`"))?;
        Ok(Meta { text, reference })
    }
}

/// What is held for a person, and for a meta, beyond the bytes that came; rounded up.
const PERSON: usize = 200;
const META: usize = 80;

impl Person {
    pub(super) fn new(key: &str, metas: &[Meta<'_>], extra: Option<Arc<str>>) -> Self {
        let len = key.len() + metas.iter().map(|meta| meta.text.len()).sum::<usize>();
        let mut text = String::with_capacity(len);
        text += key;
        let place = |meta: &Meta<'_>| {
            let start = text.len();
            text += meta.text;
            Place { text: start..text.len(), reference: meta.reference.clone() }
        };
        let metas = metas.iter().map(place).collect();
        Person { text: text.into(), key: key.len(), metas, extra, decoded: Decoded::default() }
    }

    pub(super) fn key(&self) -> &str {
        &self.text[..self.key]
    }

    pub(super) fn metas(&self) -> impl ExactSizeIterator<Item = Meta<'_>> {
        self.metas.iter().map(|meta| Meta { text: &self.text[meta.text.clone()], reference: meta.reference.clone() })
    }

    /// Whether they are here from nowhere.
    pub(super) fn is_empty(&self) -> bool {
        self.metas.is_empty()
    }

    /// That of the meta in this place.
    pub(super) fn reference(&self, place: usize) -> &Word {
        &self.metas[place].reference
    }

    /// In bytes.
    pub(crate) fn cost(&self) -> usize {
        let extra = self.extra.as_ref().map_or(0, |extra| extra.len());
        self.text.len() + extra + self.metas.len() * META + PERSON
    }

    pub(super) fn refs(&self) -> Refs<'_> {
        Refs::new(self.metas.iter().map(|meta| &meta.reference))
    }

    /// Whether nothing tells them apart.
    pub(super) fn is_same(&self, other: &Person) -> bool {
        self.extra == other.extra && self.metas().map(|meta| meta.text).eq(other.metas().map(|meta| meta.text))
    }

    /// What it is to readers of this type.
    pub(super) fn decoded<T: Any + Send + Sync>(&self, decode: impl FnOnce(&Self) -> T) -> &T {
        self.decoded.get(|| decode(self))
    }
}

impl fmt::Debug for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Person({:?}, {} metas)", self.key(), self.metas.len())
    }
}

/// A person in a message that is being read, borrowed from it.
#[derive(Debug)]
pub(super) struct Given<'a> {
    pub(super) metas: SmallVec<[Meta<'a>; 1]>,
    extra: BTreeMap<Cow<'a, str>, &'a str>,
}

impl<'a> Given<'a> {
    pub(super) fn read(walk: &mut Walk<'a>) -> Result<Self, DecodeError> {
        let (mut metas, mut extra) = (None, BTreeMap::new());
        walk.fields(|walk, name| {
            if name != "metas" {
                // As elsewhere in JSON, of a field that stands twice the last counts.
                extra.insert(name, walk.text(Walk::pass)?);
                return Ok(());
            }
            let metas = metas.insert(SmallVec::new());
            walk.list(|walk| {
                metas.push(Meta::read(walk)?);
                Ok(())
            })
        })?;
        let metas = metas.ok_or_else(|| DecodeError::new("a presence without `metas`"))?;
        Ok(Given { metas, extra })
    }

    pub(super) fn refs(&self) -> Refs<'_> {
        Refs::new(self.metas.iter().map(|meta| &meta.reference))
    }

    pub(super) fn extra(&self) -> Option<Arc<str>> {
        if self.extra.is_empty() {
            return None;
        }
        let mut object = String::from("{");
        for (name, value) in &self.extra {
            if object.len() > 1 {
                object.push(',');
            }
            object += &serde_json::Value::from(&**name).to_string();
            object.push(':');
            object += value;
        }
        object.push('}');
        Some(object.into())
    }

    /// Whether that person is as this one says.
    pub(super) fn is(&self, person: &Person) -> bool {
        let texts = self.metas.iter().map(|meta| meta.text);
        self.extra.is_empty() && person.extra.is_none() && texts.eq(person.metas().map(|meta| meta.text))
    }

    pub(super) fn to_person(&self, key: &str) -> Person {
        Person::new(key, &self.metas, self.extra())
    }
}
