//! What a socket holds at this moment.

/// What a socket holds: a snapshot of [`Socket::stats`](crate::Socket::stats), as of the driver's last turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Channels that somebody holds, joined or not.
    pub channels: usize,
    /// Event and message streams.
    pub streams: usize,
    /// Pushes and casts that are not settled.
    pub pending_pushes: usize,
    /// Joins, leaves, connects and disconnects that somebody waits for.
    pub callers: usize,
    /// Deadlines that are waited for.
    pub timers: usize,
    /// Bytes accepted and not yet handed to the connection.
    pub outgoing_bytes: usize,
    /// Bytes received that streams hold for their readers.
    pub incoming_bytes: usize,
}
