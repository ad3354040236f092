//! The event names that belong to the protocol.

pub(crate) const JOIN: &str = "phx_join";
pub(crate) const LEAVE: &str = "phx_leave";
pub(crate) const REPLY: &str = "phx_reply";
pub(crate) const ERROR: &str = "phx_error";
pub(crate) const CLOSE: &str = "phx_close";
pub(crate) const HEARTBEAT: &str = "heartbeat";
/// The topic of heartbeats.
pub(crate) const PHOENIX: &str = "phoenix";
