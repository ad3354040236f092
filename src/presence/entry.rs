//! One key of a presence list, as its reader sees it.

use std::{fmt, marker::PhantomData, sync::Arc};

use serde::de::{Deserialize, DeserializeOwned};

use super::person::{Meta, Person};
use crate::{error::DecodeError, log};

/// Whoever is present under one key, with a meta for each place they are present from: an entry of a
/// [`Presence`](crate::Presence).
///
/// A clone is the same entry, and cheap. Its metas are decoded when somebody looks, once for all readers of this type.
pub struct Entry<M> {
    person: Arc<Person>,
    metas: PhantomData<fn() -> M>,
}

/// The metas of one type.
struct Typed<M> {
    metas: Vec<M>,
    /// Which of the person's they are, in order.
    places: Vec<usize>,
}

impl<M> Entry<M> {
    pub(super) fn new(person: Arc<Person>) -> Self {
        Entry { person, metas: PhantomData }
    }

    /// The key under which they are tracked: whatever string the server chose.
    pub fn key(&self) -> &str {
        self.person.key()
    }

    /// Decodes the fields beside `metas`, which a server's `fetch/2` adds, as a JSON object; `{}` where there are none.
    ///
    /// # Errors
    /// They do not fit `T`.
    pub fn json<'a, T: Deserialize<'a>>(&'a self) -> Result<T, DecodeError> {
        serde_json::from_str(self.person.extra.as_deref().unwrap_or("{}")).map_err(DecodeError::new)
    }
}

impl<M: DeserializeOwned + Send + Sync + 'static> Entry<M> {
    /// The metas that decode, in the order of Phoenix' own client: those known for longer first.
    pub fn metas(&self) -> &[M] {
        &self.typed().metas
    }

    /// How many metas were left out because they do not decode to `M`. Why is logged, at TRACE.
    pub fn undecodable(&self) -> usize {
        self.person.metas().len() - self.typed().metas.len()
    }

    /// The metas whose refs the other entry does not have.
    pub(super) fn metas_beyond(&self, other: &Entry<M>) -> impl Iterator<Item = &M> {
        let Typed { metas, places } = self.typed();
        let others = other.person.refs();
        let is_new = move |place: &usize| !others.has(self.person.reference(*place));
        metas.iter().zip(places).filter(move |(_, place)| is_new(place)).map(|(meta, _)| meta)
    }

    fn typed(&self) -> &Typed<M> {
        self.person.decoded(|person| {
            let metas = person.metas();
            let mut typed = Typed { metas: Vec::with_capacity(metas.len()), places: Vec::new() };
            for (place, Meta { text, .. }) in metas.enumerate() {
                match serde_json::from_str(text) {
                    Ok(meta) => {
                        typed.metas.push(meta);
                        typed.places.push(place);
                    }
                    Err(error) => log::undecodable_meta(&error),
                }
            }
            typed
        })
    }
}

impl<M> Clone for Entry<M> {
    fn clone(&self) -> Self {
        Entry::new(self.person.clone())
    }
}

impl<M> fmt::Debug for Entry<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("key", &self.key()).field("metas", &self.person.metas().len()).finish()
    }
}
