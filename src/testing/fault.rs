//! Misbehaviour on command.

use std::time::Duration;

use http::StatusCode;
use serde_json::Value;

/// A way in which the server misbehaves, from [`Server::misbehave`](super::Server::misbehave) until
/// [`Server::behave`](super::Server::behave).
///
/// Those with a number concern the next so many requests, `usize::MAX` all; the numbers of several add up. Of several
/// that would take the place of one answer, the first in the order given here does.
///
/// The last three are wrong on purpose: they show that a check of the server's conduct can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// TCP connections are accepted and read, handshakes never answered, nor requests that would open a long-poll
    /// session. Requests of a session that is open are.
    HangHandshake,
    /// What clients send is read and forgotten; nothing is written, broadcasts and pongs included. Over long-poll no
    /// request is ever answered, and what would be kept for the next poll is lost.
    Mute,
    /// Nothing more is read: clients that go on sending fill the TCP buffers. Over long-poll requests wait until the
    /// server behaves.
    Deaf,
    /// Every message of a client is handled this much later; the connection waits meanwhile. Over long-poll each line
    /// of a POST is, and the session waits, polls included.
    Delay(Duration),

    /// WebSocket alone: upgrades are refused as by a proxy, with this HTTP status, an HTML page and none of Phoenix'
    /// headers. What is open stays open, until [`drop_connections`](super::Server::drop_connections).
    RefuseUpgrades(u16),
    /// WebSocket alone: what [`Mute`](Self::Mute) does. Upgrades are accepted, then frames are swallowed both ways; of what
    /// is open already too.
    SwallowFrames,
    /// WebSocket alone: connections are reset this long after their upgrade; zero is at once. What is open already is not.
    ResetUpgraded(Duration),

    /// Long-poll alone: requests are answered with a proxy's `502 Bad Gateway` and an HTML page, and reach no session.
    BadGateway(usize),
    /// Long-poll alone: POSTs are read and never answered; no session hears of them.
    SwallowPosts(usize),
    /// Long-poll alone: POSTs are handled, then the connection is cut in place of the answer.
    LoseAcks(usize),
    /// Long-poll alone: polls that bring messages take them out of their session, then the connection is cut in place
    /// of the answer. The messages are gone, the session lives.
    LoseMessages(usize),
    /// Long-poll alone: every answer is held back this long once it is made. Messages in it have left their session.
    DelayAnswers(Duration),
    /// Long-poll alone: answers break off in the middle of their body. TCP ends in the server's direction; what the
    /// client sends is still read, for 2 s at most.
    HalfClose(usize),

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
    pub(super) refuse_upgrades: Option<StatusCode>,
    swallow_frames: bool,
    pub(super) reset_upgraded: Option<Duration>,
    pub(super) bad_gateway: Next,
    pub(super) swallow_posts: Next,
    pub(super) lose_acks: Next,
    pub(super) lose_messages: Next,
    pub(super) delay_answers: Option<Duration>,
    pub(super) half_close: Next,
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
            Fault::RefuseUpgrades(status) => {
                let Ok(status) = StatusCode::from_u16(status) else { panic!("{status} is no HTTP status") };
                self.refuse_upgrades = Some(status);
            }
            Fault::SwallowFrames => self.swallow_frames = true,
            Fault::ResetUpgraded(after) => self.reset_upgraded = Some(after),
            Fault::BadGateway(n) => self.bad_gateway.add(n),
            Fault::SwallowPosts(n) => self.swallow_posts.add(n),
            Fault::LoseAcks(n) => self.lose_acks.add(n),
            Fault::LoseMessages(n) => self.lose_messages.add(n),
            Fault::DelayAnswers(delay) => self.delay_answers = Some(delay),
            Fault::HalfClose(n) => self.half_close.add(n),
            Fault::BroadcastWithJoinRef => self.broadcast_with_join_ref = true,
            Fault::CloseBeforeReply => self.close_before_reply = true,
            Fault::HeartbeatRef => self.heartbeat_ref = true,
        }
    }

    /// Of WebSockets.
    pub(super) fn swallows_frames(&self) -> bool {
        self.mute || self.swallow_frames
    }

    /// The join ref of broadcasts: null, where it is right.
    pub(super) fn broadcast_join_ref(&self) -> Value {
        if self.broadcast_with_join_ref { "nobody's".into() } else { Value::Null }
    }

    pub(super) fn heartbeat_reference(&self, reference: Value) -> Value {
        if self.heartbeat_ref { "another".into() } else { reference }
    }
}

/// How many more requests a fault concerns.
#[derive(Clone, Debug, Default)]
pub(super) struct Next(usize);

impl Next {
    fn add(&mut self, n: usize) {
        self.0 = self.0.saturating_add(n);
    }

    /// Whether it concerns this one.
    pub(super) fn take(&mut self) -> bool {
        let concerned = self.0 > 0;
        if concerned && self.0 < usize::MAX {
            self.0 -= 1;
        }
        concerned
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_add_up_and_all_is_all() {
        let mut next = Next::default();
        assert!(!next.take());
        next.add(1);
        next.add(1);
        assert_eq!([next.take(), next.take(), next.take()], [true, true, false]);
        next.add(usize::MAX);
        next.add(1);
        assert!((0..9).all(|_| next.take()) && next.0 == usize::MAX);
    }
}
