//! Misbehaviour on command.

use std::time::Duration;

use serde_json::Value;

/// A way in which the server misbehaves, from [`Server::misbehave`](super::Server::misbehave) until
/// [`Server::behave`](super::Server::behave).
///
/// The last three are wrong on purpose: they show that a check of the server's conduct can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// TCP connections are accepted and read, handshakes never answered.
    HangHandshake,
    /// What clients send is read and forgotten; nothing is written, broadcasts and pongs included.
    Mute,
    /// Nothing more is read: clients that go on sending fill the TCP buffers.
    Deaf,
    /// Every message of a client is handled this much later; the connection waits meanwhile.
    Delay(Duration),
    /// Broadcasts carry a join ref that is nobody's.
    BroadcastWithJoinRef,
    /// At a second join of a topic the `phx_close` of the first goes out before the second's reply.
    CloseBeforeReply,
    /// Heartbeats are answered with another ref.
    HeartbeatRef,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Faults {
    pub(super) hang_handshake: bool,
    pub(super) mute: bool,
    pub(super) deaf: bool,
    pub(super) delay: Option<Duration>,
    pub(super) broadcast_with_join_ref: bool,
    pub(super) close_before_reply: bool,
    pub(super) heartbeat_ref: bool,
}

impl Faults {
    pub(super) fn add(&mut self, fault: Fault) {
        match fault {
            Fault::HangHandshake => self.hang_handshake = true,
            Fault::Mute => self.mute = true,
            Fault::Deaf => self.deaf = true,
            Fault::Delay(delay) => self.delay = Some(delay),
            Fault::BroadcastWithJoinRef => self.broadcast_with_join_ref = true,
            Fault::CloseBeforeReply => self.close_before_reply = true,
            Fault::HeartbeatRef => self.heartbeat_ref = true,
        }
    }

    /// The join ref of broadcasts: null, where it is right.
    pub(super) fn broadcast_join_ref(&self) -> Value {
        if self.broadcast_with_join_ref { "nobody's".into() } else { Value::Null }
    }

    pub(super) fn heartbeat_reference(&self, reference: Value) -> Value {
        if self.heartbeat_ref { "another".into() } else { reference }
    }
}
