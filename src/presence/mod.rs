//! Presence: who is here, as a list that states and diffs of the server change.
//!
//! The list and its fold are pure, and of use without a channel: [`Presence::sync_state`], [`Presence::sync_diff`].

mod change;
mod decoded;
mod entry;
mod event;
mod names;
mod people;
mod person;
mod refs;
mod walk;

use std::{fmt, marker::PhantomData};

use imbl::ordmap::DiffItem;
use serde::de::DeserializeOwned;

pub use self::{change::Change, entry::Entry, event::PresenceEvent, names::PresenceNames};
pub(crate) use self::{
    names::is_presence,
    people::{Effect, People, StateSync, Step},
};
use crate::{error::DecodeError, payload::IntoPayload};

/// Who is present, by key, and what has changed since this reader's last item: an item of
/// [`Channel::presence`](crate::Channel::presence), or the outcome of [`sync_state`](Presence::sync_state) and
/// [`sync_diff`](Presence::sync_diff).
///
/// It is a persistent map: a clone is cheap whatever its size, and an old one that is kept costs what has changed since.
/// Its metas are decoded to `M` when somebody looks at them.
pub struct Presence<M> {
    people: People,
    /// What the reader saw before.
    before: People,
    state: PresenceState,
    pending: usize,
    metas: PhantomData<fn() -> M>,
}

/// How far a list can be relied on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum PresenceState {
    /// The server has not said yet who is here. If it stays so, the channel is not joined (see its
    /// [`status`](crate::Channel::status)), or the server does not push `presence_state` (see [`Presence::pending`]), or
    /// its list is larger than a [stream may hold](crate::Builder::queue_limits).
    #[default]
    Awaiting,
    /// It is the server's own list, as far as its messages have come.
    Synced,
    /// It was, until the connection or the channel was lost, or a message that could not be read or that there was no room
    /// for. The server's next list, which comes after a join, replaces it: [`rejoin`](crate::Channel::rejoin) asks for one.
    Stale,
    /// The channel was left or closed: it is the last there was.
    Closed,
}

impl<M> Presence<M> {
    pub(crate) fn new(people: People, before: People, state: PresenceState, pending: usize) -> Self {
        Presence { people, before, state, pending, metas: PhantomData }
    }

    /// How far it can be relied on.
    pub fn state(&self) -> PresenceState {
        self.state
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.people.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many diffs wait for a `presence_state`, without which they mean nothing. Where this grows and nothing comes, the
    /// server's channel has forgotten to push it. It alone makes no item of the stream: ask
    /// [`current`](crate::Latest::current).
    pub fn pending(&self) -> usize {
        self.pending
    }

    /// Whoever is here under this key.
    pub fn get(&self, key: impl AsRef<str>) -> Option<Entry<M>> {
        self.people.get(key.as_ref()).cloned().map(Entry::new)
    }

    /// All of them, in the order of their keys (as bytes). They come by value: what is borrowed of an entry lives as long as
    /// you keep that.
    ///
    /// ```
    /// # use phoenix_streams::{Presence, Value};
    /// # let present = Presence::<Value>::default();
    /// for entry in &present {
    ///     let first = entry.metas().first();
    ///     println!("{}: {first:?}", entry.key());
    /// }
    /// ```
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Entry<M>> {
        self.people.iter().cloned().map(Entry::new)
    }

    /// All of them, in the order of their keys (as bytes).
    pub fn list(&self) -> Vec<Entry<M>> {
        self.iter().collect()
    }

    /// What you choose of each of them, in the order of their keys (as bytes).
    pub fn list_by<T>(&self, mut choose: impl FnMut(&str, &Entry<M>) -> T) -> Vec<T> {
        self.iter().map(|entry| choose(entry.key(), &entry)).collect()
    }

    /// What is different from what this reader saw before: from its last item of the stream, or from the list that this was
    /// synced from. In the order of the keys. It takes time for what has changed, not for what there is.
    ///
    /// Whoever passes over items (by a `watch`, or by [`wait_for`](crate::Latest::wait_for)) asks for
    /// [`changes_since`](Presence::changes_since) the one they saw.
    pub fn changes(&self) -> impl Iterator<Item = Change<M>> {
        changes(&self.before, &self.people)
    }

    /// What is different from an older list. As [`changes`](Presence::changes).
    pub fn changes_since(&self, old: &Presence<M>) -> impl Iterator<Item = Change<M>> {
        changes(&old.people, &self.people)
    }

    /// The list after a `presence_state`, which is the server's own list, and the joins and leaves that lead to it, in
    /// order. This one stays as it is. `phoenix.js`' `Presence.syncState`.
    ///
    /// A payload is the [payload of a message](crate::Message::payload), or anything that serializes; JSON that is text
    /// already is a [`Payload::from_raw`](crate::Payload::from_raw).
    ///
    /// ```
    /// use phoenix_streams::{Payload, Presence, PresenceEvent, Value, json};
    ///
    /// let empty = Presence::<Value>::default();
    /// let (present, events) = empty.sync_state(json!({ "ann": { "metas": [{ "phx_ref": "1" }] } }))?;
    /// assert!(matches!(&events[..], [PresenceEvent::Joined { before: None, .. }, PresenceEvent::Synced]));
    /// let recorded = r#"{"joins":{},"leaves":{"ann":{"metas":[{"phx_ref":"1"}]}}}"#;
    /// let (present, events) = present.sync_diff(Payload::from_raw(recorded, false))?;
    /// assert!(matches!(&events[..], [PresenceEvent::Left { remaining: None, .. }, PresenceEvent::Synced]));
    /// assert!(present.is_empty());
    /// # Ok::<(), phoenix_streams::DecodeError>(())
    /// ```
    ///
    /// # Errors
    /// It is no object of presences with `metas`, each with a `phx_ref`. A meta that does not decode to `M` is no error:
    /// see [`Entry::undecodable`].
    pub fn sync_state(&self, state: impl IntoPayload) -> Result<(Self, Vec<PresenceEvent<M>>), DecodeError> {
        let state = state.into_payload().map_err(DecodeError::new)?;
        let mut sync = StateSync::new(&self.people, state, true);
        sync.advance(usize::MAX)?;
        let (people, steps) = sync.finish();
        Ok(self.synced(people, PresenceState::Synced, steps))
    }

    /// The list after a `presence_diff`, and the joins and leaves in it that were any, in order. This one stays as it is.
    /// `phoenix.js`' `Presence.syncDiff`.
    ///
    /// Its [state](Presence::state) stays what it was. Diffs that come before the first state of a join are to be kept until
    /// that has come, and synced then; those of an older join are to be dropped. A [stream](crate::Channel::presence) does
    /// that, around this.
    ///
    /// # Errors
    /// As [`sync_state`](Presence::sync_state).
    pub fn sync_diff(&self, diff: impl IntoPayload) -> Result<(Self, Vec<PresenceEvent<M>>), DecodeError> {
        let diff = diff.into_payload().map_err(DecodeError::new)?;
        let (mut people, mut steps) = (self.people.clone(), Vec::new());
        people.sync_diff(&diff, Some(&mut steps))?;
        Ok(self.synced(people, self.state, steps))
    }

    fn synced(&self, people: People, state: PresenceState, steps: Vec<Step>) -> (Self, Vec<PresenceEvent<M>>) {
        let events = steps.into_iter().map(PresenceEvent::new).chain([PresenceEvent::Synced]).collect();
        (Presence::new(people, self.people.clone(), state, 0), events)
    }
}

impl<M> IntoIterator for &Presence<M> {
    type Item = Entry<M>;
    type IntoIter = std::vec::IntoIter<Entry<M>>;

    fn into_iter(self) -> Self::IntoIter {
        self.list().into_iter()
    }
}

impl<M: DeserializeOwned + Send + Sync + 'static> Presence<M> {
    /// How many metas of all were left out because they do not decode to `M`. It decodes those that nobody has looked at.
    pub fn undecodable(&self) -> usize {
        self.iter().map(|entry| entry.undecodable()).sum()
    }
}

fn changes<M>(old: &People, new: &People) -> impl Iterator<Item = Change<M>> {
    old.map().diff(new.map()).map(|item| match item {
        DiffItem::Add(_, new) => Change::Joined(Entry::new(new.0.clone())),
        DiffItem::Update { old: (_, old), new: (_, new) } => {
            Change::Updated { old: Entry::new(old.0.clone()), new: Entry::new(new.0.clone()) }
        }
        DiffItem::Remove(_, old) => Change::Left(Entry::new(old.0.clone())),
    })
}

impl<M> Clone for Presence<M> {
    fn clone(&self) -> Self {
        Presence::new(self.people.clone(), self.before.clone(), self.state, self.pending)
    }
}

impl<M> Default for Presence<M> {
    fn default() -> Self {
        Presence::new(People::default(), People::default(), PresenceState::default(), 0)
    }
}

impl<M> fmt::Debug for Presence<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Presence").field("state", &self.state).field("keys", &self.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) mod tests;
