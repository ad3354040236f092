//! What happened, in order.

use std::{sync::Arc, time::Duration};

use crate::{
    error::{ConnectError, DecodeError, NotJoined},
    message::Topic,
    status::ChannelClosed,
};

/// One thing that happened: an item of [`Socket::telemetry`](crate::Socket::telemetry).
///
/// Every `Opened` is followed by exactly one `Closed`, every `Connecting` by exactly one `Opened` or `Failed`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Telemetry {
    /// An attempt to connect begins.
    Connecting {
        /// Its number in a row, counted from 1.
        attempt: u32,
    },
    /// The attempt failed, or was given up.
    Failed {
        /// Its number in a row, counted from 1.
        attempt: u32,
        /// Why.
        cause: Arc<ConnectError>,
    },
    /// The connection is open.
    Opened {
        /// The [name](crate::Transport::name) of the transport.
        transport: &'static str,
    },
    /// The connection has ended.
    Closed {
        /// Why.
        cause: Arc<ConnectError>,
        /// How long it was open.
        after: Duration,
    },
    /// The socket waits before the next attempt.
    Waiting {
        /// How long.
        delay: Duration,
    },
    /// The socket makes no more attempts by itself.
    Stopped {
        /// Why.
        cause: Arc<ConnectError>,
    },
    /// A heartbeat was answered.
    Heartbeat {
        /// The time from its writing to its answer.
        round_trip: Duration,
    },
    /// A join was sent.
    Joining {
        /// The topic.
        topic: Topic,
    },
    /// The server accepted the join.
    Joined {
        /// The topic.
        topic: Topic,
        /// The time from asking to the reply.
        took: Duration,
    },
    /// A channel is not joined any more, or could not be.
    Errored {
        /// The topic.
        topic: Topic,
        /// Why.
        cause: NotJoined,
    },
    /// The channel will be joined again, behind a crash, a join that came to nothing, or a closure that failed.
    Rejoining {
        /// The topic.
        topic: Topic,
        /// How long it waits, if the connection stays; on a new one it joins at once.
        delay: Duration,
    },
    /// A channel was left or closed.
    ChannelClosed {
        /// The topic.
        topic: Topic,
        /// By whom.
        cause: ChannelClosed,
    },
    /// A frame that is no message was dropped; the connection stays.
    Undecodable {
        /// What is wrong with it.
        error: DecodeError,
    },
}

impl Telemetry {
    /// The bytes of what a server sent that this keeps alive.
    pub(crate) fn held(&self) -> usize {
        match self {
            Telemetry::Errored { cause, .. } => match cause {
                NotJoined::Crashed(payload) => payload.whole().len(),
                NotJoined::Refused(reply) => reply.payload().whole().len(),
                _ => 0,
            },
            Telemetry::Failed { cause, .. } | Telemetry::Stopped { cause } => match &**cause {
                ConnectError::Refused(refusal) | ConnectError::ProxyRefused(refusal) => refusal.held(),
                _ => 0,
            },
            _ => 0,
        }
    }
}
