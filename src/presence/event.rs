//! One step from one list to the next.

use std::fmt;

use super::{entry::Entry, people::Step};

/// One join or leave, or the end of a message with them: an item of
/// [`Channel::presence_events`](crate::Channel::presence_events).
///
/// Of one message all joins come first, then all leaves, then [`Synced`](PresenceEvent::Synced). A meta that was updated is
/// a join with the new one and a leave with the old one.
#[non_exhaustive]
pub enum PresenceEvent<M> {
    /// Metas have come; those that were known already, too, if a diff tells of them.
    Joined {
        /// Who was here under this key before; none: they came online.
        before: Option<Entry<M>>,
        /// The metas that came, and no others.
        joined: Entry<M>,
    },
    /// Metas have gone.
    Left {
        /// Who is still here under this key; none: they went offline.
        remaining: Option<Entry<M>>,
        /// The metas that went, and no others.
        left: Entry<M>,
    },
    /// A message of the server, with whatever joins and leaves were told before this, is in the list. The first one behind
    /// the beginning, or behind [`Stale`](PresenceEvent::Stale), ends what is different from what was known before; from
    /// there on each join and leave is one as it happens.
    Synced,
    /// The list is not the server's own from here on: the connection or the channel is lost, or a message. Who came and
    /// went before the next joins and leaves is not known. (Where a message could not be read, what can be is told on.)
    Stale,
}

impl<M> PresenceEvent<M> {
    pub(crate) fn new(step: Step) -> Self {
        match step {
            Step::Joined { before, joined } => {
                PresenceEvent::Joined { before: before.map(Entry::new), joined: Entry::new(joined) }
            }
            Step::Left { remaining, left } => {
                PresenceEvent::Left { remaining: remaining.map(Entry::new), left: Entry::new(left) }
            }
        }
    }

    /// Whose it is; none of [`Synced`](PresenceEvent::Synced) and [`Stale`](PresenceEvent::Stale).
    pub fn key(&self) -> Option<&str> {
        match self {
            PresenceEvent::Joined { joined: entry, .. } | PresenceEvent::Left { left: entry, .. } => Some(entry.key()),
            PresenceEvent::Synced | PresenceEvent::Stale => None,
        }
    }
}

impl<M> Clone for PresenceEvent<M> {
    fn clone(&self) -> Self {
        match self {
            PresenceEvent::Joined { before, joined } => {
                PresenceEvent::Joined { before: before.clone(), joined: joined.clone() }
            }
            PresenceEvent::Left { remaining, left } => {
                PresenceEvent::Left { remaining: remaining.clone(), left: left.clone() }
            }
            PresenceEvent::Synced => PresenceEvent::Synced,
            PresenceEvent::Stale => PresenceEvent::Stale,
        }
    }
}

impl<M> fmt::Debug for PresenceEvent<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PresenceEvent::Joined { before, joined } => {
                f.debug_struct("Joined").field("before", before).field("joined", joined).finish()
            }
            PresenceEvent::Left { remaining, left } => {
                f.debug_struct("Left").field("remaining", remaining).field("left", left).finish()
            }
            PresenceEvent::Synced => f.write_str("Synced"),
            PresenceEvent::Stale => f.write_str("Stale"),
        }
    }
}
