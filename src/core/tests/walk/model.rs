//! What the walk itself knows: who waits, what is wanted, and what the server was told.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    rc::{Rc, Weak},
};

use crate::core::{ChannelId, Instant};

/// A token that cannot be copied: whoever holds it can be counted.
pub(super) type Token = Rc<u32>;

#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) phase: Phase,
    pub(super) dialing: bool,
    pub(super) closed: bool,
    pub(super) stopped: bool,
    pub(super) finished: bool,
    /// Connections hung up whose end was not told yet.
    pub(super) closing: usize,
    pub(super) held: BTreeMap<u32, Held>,
    pub(super) channels: BTreeMap<ChannelId, Chan>,
    pub(super) topics: BTreeMap<String, ChannelId>,
    /// Ids of channels that are forgotten.
    pub(super) dead: Vec<ChannelId>,
    /// Refs that went out over the life of the socket.
    pub(super) refs: HashSet<u64>,
    pub(super) wire: Wire,
}

/// What one connection was told, as its server has it.
#[derive(Debug, Default)]
pub(super) struct Wire {
    /// The joins that stand, by topic.
    pub(super) live: BTreeMap<String, u64>,
    /// Every join written, and every one of them left.
    pub(super) joined: BTreeSet<u64>,
    pub(super) left: BTreeSet<u64>,
    pub(super) heartbeat: Option<u64>,
}

/// The telemetry so far: law 8.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Phase {
    #[default]
    Off,
    Connecting,
    Open,
}

/// A token not settled yet.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) token: Weak<u32>,
    pub(super) kind: Kind,
    pub(super) channel: Option<ChannelId>,
    /// The ref it goes out under, or the id it is cancelled by.
    pub(super) id: u64,
    pub(super) deadline: Option<Instant>,
    /// The join ref it was written under.
    pub(super) written: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Connect,
    Closer,
    Join,
    Leave,
    Push,
    Cast,
    Raw,
    Ping,
}

#[derive(Debug)]
pub(super) struct Chan {
    pub(super) topic: String,
    pub(super) state: Told,
    pub(super) wanted: bool,
    /// The join ref whose messages count, if it was written.
    pub(super) current: Option<u64>,
    /// The join ref written last, and those before it.
    pub(super) written: Option<u64>,
    pub(super) old: Vec<u64>,
    /// Whether a `rejoin` was asked for and not written yet.
    pub(super) again: bool,
    /// Whether a closure says its params.
    pub(super) asks: bool,
    /// The closure that was asked for its params, by the number of the join.
    pub(super) asking: Option<u64>,
    /// Whether a rejoin timer runs.
    pub(super) backoff: bool,
    pub(super) leave: Option<u64>,
    /// A push that was written under the present join and has been given up since.
    pub(super) gone: Option<u64>,
}

/// The channel's state, as it was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Idle,
    Joining,
    Joined,
    Leaving,
    Errored,
    Refused,
    Closed,
}

/// What happened in this step, which alone may explain what the core says.
#[derive(Debug, Default)]
pub(super) struct Cause {
    pub(super) time: bool,
    /// The connection was lost, or somebody ended it.
    pub(super) ended: bool,
    pub(super) opened: bool,
    pub(super) failed: bool,
    pub(super) joined: Option<ChannelId>,
    pub(super) refused: Option<ChannelId>,
    pub(super) crashed: Option<ChannelId>,
    pub(super) unmatched: Option<ChannelId>,
    pub(super) closed: Option<ChannelId>,
    pub(super) leaving: Option<ChannelId>,
    pub(super) left: Option<ChannelId>,
    /// The push that a reply came for.
    pub(super) answered: Option<u64>,
    /// The ping that was answered.
    pub(super) pinged: Option<u64>,
    /// The channel whose closure answered, and how.
    pub(super) said: Option<(ChannelId, Said)>,
    pub(super) heartbeat: bool,
    pub(super) garbage: bool,
}

/// What a closure said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    Params,
    Failed,
    Stop,
}

/// What came of a step.
#[derive(Debug, Default)]
pub(super) struct Effects {
    pub(super) outputs: usize,
    pub(super) frames: usize,
    pub(super) delivered: Vec<(ChannelId, String)>,
    pub(super) joins: Vec<String>,
}

impl Chan {
    pub(super) fn new(topic: &str) -> Self {
        Chan {
            topic: topic.to_owned(),
            state: Told::Idle,
            wanted: false,
            current: None,
            written: None,
            old: Vec::new(),
            again: false,
            asks: false,
            asking: None,
            backoff: false,
            leave: None,
            gone: None,
        }
    }

    /// Where broadcasts are for its streams.
    pub(super) fn listens(&self) -> bool {
        // A join whose params are asked for hears what the one that it will replace hears.
        let nothing_yet = self.asking.is_some() && self.current.is_none();
        self.state == Told::Joined || (self.state == Told::Joining && !nothing_yet)
    }
}

impl Model {
    pub(super) fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    pub(super) fn count(&self, of: impl Fn(&Held) -> bool) -> usize {
        self.held.values().filter(|held| of(held)).count()
    }
}

impl Held {
    pub(super) fn is_push(&self) -> bool {
        matches!(self.kind, Kind::Push | Kind::Cast | Kind::Raw)
    }
}
