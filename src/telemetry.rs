//! What happened, in order.

use std::{fmt, sync::Arc, time::Duration};

use crate::{
    error::{ConnectError, DecodeError, NotJoined, Refusal},
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
    /// A combination of transports goes over from one to the other: down within the attempt that is under way, or back
    /// up. That is from an open connection, which then ends with [`ConnectError::Switched`]; or within an attempt, where
    /// the second has failed and the first is healthy.
    Switched {
        /// The name of the one that is left.
        from: &'static str,
        /// The name of the one that is used from here on.
        to: &'static str,
        /// Why.
        reason: SwitchReason,
    },
    /// The first choice of transports was tried again beside an open connection of another one, and is not healthy.
    ProbeFailed {
        /// The name of the one that was tried.
        transport: &'static str,
        /// Why.
        cause: Arc<ConnectError>,
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

/// Why a socket goes over from one transport to another.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum SwitchReason {
    /// It could not be opened.
    Failed(Arc<ConnectError>),
    /// It was not open within this threshold.
    Slow(Duration),
    /// It opened, and did not answer a ping within this threshold: something swallows its frames.
    Silent(Duration),
    /// It opened, and its connections died young, several in a row.
    ShortLived {
        /// How many.
        opens: u32,
        /// How the last one ended.
        cause: Arc<ConnectError>,
    },
    /// It was given up before, and the [store](crate::transport::FallbackStore) remembers.
    Remembered,
    /// It is the first choice, and healthy again.
    Healed,
}

impl fmt::Display for SwitchReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SwitchReason::Failed(cause) => cause.fmt(f),
            SwitchReason::Slow(threshold) => write!(f, "it was not open after {threshold:?}"),
            SwitchReason::Silent(threshold) => write!(f, "it opened and did not answer a ping within {threshold:?}"),
            SwitchReason::ShortLived { opens, cause } => {
                write!(f, "{opens} of its connections in a row died young, the last one so: {cause}")
            }
            SwitchReason::Remembered => f.write_str("it was given up before"),
            SwitchReason::Healed => f.write_str("the first choice is healthy again"),
        }
    }
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
            Telemetry::Failed { cause, .. }
            | Telemetry::Stopped { cause }
            | Telemetry::Closed { cause, .. }
            | Telemetry::ProbeFailed { cause, .. }
            | Telemetry::Switched { reason: SwitchReason::Failed(cause), .. } => {
                cause.refusal().map_or(0, Refusal::held)
            }
            _ => 0,
        }
    }
}
