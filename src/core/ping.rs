//! Pings: heartbeats of the user's own, each with its round trip.

use std::{collections::BTreeMap, time::Duration};

use super::{Core, Instant, Out, Outcome, Output, Timer};
use crate::{error::PingError, transport::Frame};

/// By ref, and so in the order they were asked for.
pub(super) type Pings<T> = BTreeMap<u64, Ping<T>>;

#[derive(Debug)]
pub(super) struct Ping<T> {
    token: T,
    deadline: Instant,
    written: Option<Instant>,
}

impl<T> Core<T> {
    /// Never buffered: without a connection it fails at once (DEV-9).
    pub(super) fn ping(&mut self, id: u64, token: T, deadline: Instant) {
        if !self.link.is_open() {
            return self.settle(token, Outcome::Ping(Err(PingError::NotConnected)));
        }
        self.timers.arm(Some(deadline), Timer::Ping(id));
        self.pings.insert(id, Ping { token, deadline, written: None });
        self.outbox.push(Out::Ping(id));
    }

    pub(super) fn write_ping(&mut self, now: Instant, id: u64) -> Option<Frame> {
        let ping = self.pings.get_mut(&id)?;
        ping.written = Some(now);
        match self.heartbeat_frame(id) {
            Ok(frame) => Some(frame),
            Err(error) => {
                self.settle_ping(id, Err(PingError::Encode(error)));
                None
            }
        }
    }

    /// Any message that repeats the ref of a ping answers it (H-4, H-12).
    pub(super) fn ping_answered(&mut self, now: Instant, id: u64) {
        let Some(Ping { written: Some(written), .. }) = self.pings.get(&id) else { return };
        let round_trip = now - *written;
        self.prove();
        self.out.push_back(Output::Latency(Some(round_trip)));
        self.settle_ping(id, Ok(round_trip));
    }

    pub(super) fn ping_timeout(&mut self, id: u64) {
        self.settle_ping(id, Err(PingError::Timeout));
    }

    pub(super) fn cancel_ping(&mut self, id: u64) {
        let ping = self.take_ping(id);
        self.drop_token(ping.map(|ping| ping.token));
    }

    /// The connection is gone: no answer comes.
    pub(super) fn lose_pings(&mut self) {
        while let Some(id) = self.pings.keys().next().copied() {
            self.settle_ping(id, Err(PingError::Disconnected));
        }
    }

    fn settle_ping(&mut self, id: u64, outcome: Result<Duration, PingError>) {
        if let Some(ping) = self.take_ping(id) {
            self.settle(ping.token, Outcome::Ping(outcome));
        }
    }

    fn take_ping(&mut self, id: u64) -> Option<Ping<T>> {
        let ping = self.pings.remove(&id)?;
        if ping.written.is_none() {
            self.outbox.forget_ping(id);
        }
        self.timers.disarm(Some(ping.deadline), Timer::Ping(id));
        Some(ping)
    }
}
