//! What the core is told at its making.

use std::time::Duration;

use crate::{
    backoff::Backoff,
    error::{ConnectError, NotJoined},
    policy::Policy,
};

#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) reconnect: Backoff,
    pub(crate) rejoin: Backoff,
    pub(crate) reconnect_policy: Policy<ConnectError>,
    pub(crate) rejoin_policy: Policy<NotJoined>,
    /// Of one attempt to connect, the user's closures included.
    pub(crate) connect_timeout: Duration,
    /// Of a join frame.
    pub(crate) timeout: Duration,
    pub(crate) heartbeat: Option<Duration>,
    /// How long after it was due a heartbeat may stay unanswered.
    pub(crate) heartbeat_timeout: Duration,
    /// Whether params, token or headers are asked for before every attempt, so that a 401 or 403 can heal.
    pub(crate) dynamic: bool,
    /// Bounds of what waits for one channel's join.
    pub(crate) waiting_pushes: usize,
    pub(crate) waiting_bytes: usize,
    pub(crate) seed: u64,
}

/// An open connection, or a joined channel, has proven its health after this long.
pub(crate) const PROVEN_AFTER: Duration = Duration::from_secs(10);
/// The shortest wait after the server closed with 1000 (DEV-24).
pub(crate) const AFTER_NORMAL_CLOSE: Duration = Duration::from_secs(1);
/// The longest `Retry-After` that is obeyed.
pub(crate) const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(5 * 60);

impl Default for Config {
    fn default() -> Self {
        Config {
            reconnect: Backoff::reconnect(),
            rejoin: Backoff::rejoin(),
            reconnect_policy: Policy::default(),
            rejoin_policy: Policy::default(),
            connect_timeout: Duration::from_secs(10),
            timeout: Duration::from_secs(10),
            heartbeat: Some(Duration::from_secs(30)),
            heartbeat_timeout: Duration::from_secs(15),
            dynamic: false,
            waiting_pushes: 1_000,
            waiting_bytes: 8 << 20,
            seed: 0,
        }
    }
}
