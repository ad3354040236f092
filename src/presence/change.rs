//! What became of one key between two lists.

use std::fmt;

use serde::de::DeserializeOwned;

use super::entry::Entry;

/// What is different under one key between two lists: an item of [`Presence::changes`](crate::Presence::changes).
pub enum Change<M> {
    /// Nobody was here under this key before: they came online.
    Joined(Entry<M>),
    /// They are still here, from other places than before, or with other words about them.
    Updated {
        /// As it was.
        old: Entry<M>,
        /// As it is.
        new: Entry<M>,
    },
    /// Nobody is here under this key any more: they went offline. As they were last.
    Left(Entry<M>),
}

impl<M> Change<M> {
    /// Whose it is.
    pub fn key(&self) -> &str {
        match self {
            Change::Joined(entry) | Change::Left(entry) | Change::Updated { new: entry, .. } => entry.key(),
        }
    }
}

impl<M: DeserializeOwned + Send + Sync + 'static> Change<M> {
    /// The metas that have come: all of somebody who came online, those with new refs of somebody who was here before.
    pub fn came(&self) -> Vec<&M> {
        match self {
            Change::Joined(entry) => entry.metas().iter().collect(),
            Change::Updated { old, new } => new.metas_beyond(old),
            Change::Left(_) => Vec::new(),
        }
    }

    /// The metas that are gone.
    pub fn went(&self) -> Vec<&M> {
        match self {
            Change::Joined(_) => Vec::new(),
            Change::Updated { old, new } => old.metas_beyond(new),
            Change::Left(entry) => entry.metas().iter().collect(),
        }
    }
}

impl<M> Clone for Change<M> {
    fn clone(&self) -> Self {
        match self {
            Change::Joined(entry) => Change::Joined(entry.clone()),
            Change::Updated { old, new } => Change::Updated { old: old.clone(), new: new.clone() },
            Change::Left(entry) => Change::Left(entry.clone()),
        }
    }
}

impl<M> fmt::Debug for Change<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Change::Joined(entry) => f.debug_tuple("Joined").field(entry).finish(),
            Change::Updated { old, new } => f.debug_struct("Updated").field("old", old).field("new", new).finish(),
            Change::Left(entry) => f.debug_tuple("Left").field(entry).finish(),
        }
    }
}
