//! The present state of a socket and of a channel.

use std::{sync::Arc, time::Duration};

use crate::{
    error::{ConnectError, NotJoined},
    telemetry::SwitchReason,
};

/// The state of a socket: an item of [`Socket::status`](crate::Socket::status).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Status {
    /// Not connected yet, and not asked to.
    Idle,
    /// Connecting for the n-th time in a row, counted from 1.
    Connecting {
        /// The number of this attempt.
        attempt: u32,
    },
    /// Connected.
    Connected {
        /// The [name](crate::Transport::name) of the transport in use.
        transport: &'static str,
        /// Why that is not the first choice, where several are combined by [`or`](crate::Transport::or).
        fallback: Option<SwitchReason>,
    },
    /// Not connected; the next attempt comes after the delay.
    Waiting {
        /// The number of the attempt to come, in a row: the count begins anew only after a connection was open for 10 s
        /// or answered a heartbeat.
        attempt: u32,
        /// How long the wait is, from its beginning.
        delay: Duration,
        /// Why there is no connection.
        cause: Arc<ConnectError>,
    },
    /// Not connected, and no more attempts by itself: the cause cannot heal, or the attempts are used up.
    /// [`connect`](crate::Socket::connect) tries again.
    Stopped {
        /// Why.
        cause: Arc<ConnectError>,
    },
    /// Disconnected by [`disconnect`](crate::Socket::disconnect). [`connect`](crate::Socket::connect) tries again.
    Disconnected,
    /// Closed for good.
    Closed,
}

impl Status {
    /// Whether frames flow.
    pub fn is_connected(&self) -> bool {
        matches!(self, Status::Connected { .. })
    }

    /// Whether it was closed for good.
    pub fn is_closed(&self) -> bool {
        matches!(self, Status::Closed)
    }
}

/// The state of a channel: an item of [`Channel::status`](crate::Channel::status).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ChannelStatus {
    /// Never joined.
    Idle,
    /// Wanted; it is joining, or will once the socket is connected.
    Joining,
    /// Joined.
    Joined,
    /// A leave waits for the server's acknowledgement.
    Leaving,
    /// Not joined. The cause says what happened, and what usually follows: whether it rejoins by itself is the
    /// [rejoin policy](crate::Builder::rejoin_policy)'s to decide. Where it does,
    /// [`Telemetry::Rejoining`](crate::Telemetry::Rejoining) tells when.
    Errored {
        /// Why.
        cause: NotJoined,
    },
    /// Closed; a `join` starts afresh.
    Closed {
        /// By whom.
        cause: ChannelClosed,
    },
}

impl ChannelStatus {
    /// Whether the server has accepted the join.
    pub fn is_joined(&self) -> bool {
        matches!(self, ChannelStatus::Joined)
    }

    /// Whether it was left or closed.
    pub fn is_closed(&self) -> bool {
        matches!(self, ChannelStatus::Closed { .. })
    }
}

/// Who closed a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChannelClosed {
    /// It was left: by `leave`, or because its last holder was dropped.
    Left,
    /// The server closed it (`phx_close`).
    Server,
    /// Its socket was closed for good.
    Socket,
}
