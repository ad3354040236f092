//! The connection: dialing, open with its heartbeat, waiting, stopped, down, closed.

use std::{mem, sync::Arc, time::Duration};

use super::{
    Core, Instant, Out, Outcome, Output, Timer, Waiter,
    config::{AFTER_NORMAL_CLOSE, LONGEST_RETRY_AFTER, PROVEN_AFTER},
    event,
    retry::retry_delay,
};
use crate::{
    error::{ConnectError, EncodeError, NotSent, Refusal},
    log,
    payload::Payload,
    policy::Retry,
    serializer::{Codec, Outgoing},
    status::Status,
    telemetry::{SwitchReason, Telemetry},
    transport::Frame,
};

#[derive(Debug)]
pub(super) enum Link {
    Idle,
    Dialing { attempt: u32, deadline: Instant },
    Open { since: Instant, proven: bool, heartbeat: Heartbeat },
    Waiting { until: Instant },
    Stopped { cause: Arc<ConnectError> },
    Down,
    Closed,
}

/// The reason of the goodbye to a peer that does not answer.
pub(crate) const HEARTBEAT_TIMEOUT: &str = "heartbeat timeout";

/// What is known of a connection that has opened.
#[derive(Clone, Debug)]
pub(crate) struct Opening {
    /// What its transport is called.
    pub(crate) transport: &'static str,
    /// Whether it takes heartbeats to notice that it hangs.
    pub(crate) heartbeats: bool,
    /// Why it is not by the first choice of transports.
    pub(crate) fallback: Option<SwitchReason>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Heartbeat {
    Off,
    Idle {
        due: Instant,
    },
    /// Wanted under this ref, and written if it is known when.
    Awaiting {
        reference: u64,
        written: Option<Instant>,
        dead: Instant,
    },
}

impl Link {
    pub(super) fn is_open(&self) -> bool {
        matches!(self, Link::Open { .. })
    }

    fn deadline(&self) -> Option<Instant> {
        match *self {
            Link::Dialing { deadline, .. } => Some(deadline),
            Link::Waiting { until } => Some(until),
            Link::Open { heartbeat: Heartbeat::Idle { due }, .. } => Some(due),
            Link::Open { heartbeat: Heartbeat::Awaiting { dead, .. }, .. } => Some(dead),
            _ => None,
        }
    }
}

impl<T> Core<T> {
    /// The dialed connection is open.
    pub(crate) fn handle_open(&mut self, now: Instant, opening: Opening) {
        if !matches!(self.link, Link::Dialing { .. }) {
            return;
        }
        let Opening { transport, heartbeats, fallback } = opening;
        let interval = self.config.heartbeat.filter(|_| heartbeats);
        let heartbeat = interval.map_or(Heartbeat::Off, |interval| Heartbeat::Idle { due: now + interval });
        self.set_link(Link::Open { since: now, proven: false, heartbeat });
        self.tell(Telemetry::Opened { transport });
        self.out.push_back(Output::Status(Status::Connected { transport, fallback }));
        for waiter in self.take_connects() {
            self.settle(waiter, Outcome::Connect(Ok(())));
        }
        self.queue_raw();
        self.join_wanted(now);
    }

    /// A transport has something to say.
    pub(crate) fn handle_told(&mut self, what: Telemetry) {
        self.tell(what);
    }

    /// The attempt failed; `stop` if the user's closure said not to try again.
    pub(crate) fn handle_failed(&mut self, now: Instant, cause: ConnectError, stop: bool) {
        let Link::Dialing { attempt, .. } = self.link else { return };
        let cause = Arc::new(cause);
        self.tell(Telemetry::Failed { attempt, cause: cause.clone() });
        self.retry_after(now, cause, stop);
    }

    /// The open connection ended by itself or by the server.
    pub(crate) fn handle_lost(&mut self, now: Instant, cause: ConnectError) {
        let Link::Open { .. } = self.link else { return };
        let cause = Arc::new(cause);
        self.end_open(now, &cause);
        self.retry_after(now, cause, false);
    }

    /// A connection that was hung up has ended, or was given up.
    pub(crate) fn handle_hung_up(&mut self) {
        self.closing = self.closing.saturating_sub(1);
        self.finish_closing();
    }

    pub(super) fn connect(&mut self, now: Instant, id: u64, token: Option<T>, deadline: Instant) {
        match self.link {
            Link::Open { .. } => {
                if let Some(token) = token {
                    self.settle(token, Outcome::Connect(Ok(())));
                }
                return;
            }
            Link::Closed => {
                if let Some(token) = token {
                    self.settle(token, Outcome::Connect(Err(ConnectError::Closed)));
                }
                return;
            }
            Link::Dialing { .. } | Link::Waiting { .. } => {}
            Link::Idle | Link::Stopped { .. } | Link::Down => {
                self.tries = 0;
                self.dial(now);
            }
        }
        if let Some(token) = token {
            self.timers.arm(Some(deadline), Timer::Connect(id));
            self.connects.push(Waiter { id, token, deadline });
        }
    }

    pub(super) fn cancel_connect(&mut self, id: u64) {
        let waiter = self.take_connect(id);
        self.drop_token(waiter.map(|waiter| waiter.token));
    }

    pub(super) fn connect_timeout(&mut self, id: u64) {
        if let Some(waiter) = self.take_connect(id) {
            let cause = self.last_cause.as_deref().cloned().unwrap_or(ConnectError::Timeout);
            self.settle(waiter.token, Outcome::Connect(Err(cause)));
        }
    }

    pub(super) fn disconnect(&mut self, now: Instant, code: u16, reason: Arc<str>, token: Option<T>) {
        if !matches!(self.link, Link::Closed | Link::Down) {
            self.hang_up(now, code, reason);
            self.set_link(Link::Down);
            self.out.push_back(Output::Status(Status::Disconnected));
        }
        self.closers.extend(token);
        self.finish_closing();
    }

    pub(super) fn close(&mut self, now: Instant, token: Option<T>) {
        if !matches!(self.link, Link::Closed) {
            self.hang_up(now, 1000, "".into());
            self.set_link(Link::Closed);
            self.close_channels();
            self.fail_raw(NotSent::Closed);
            self.out.push_back(Output::Status(Status::Closed));
        }
        self.closers.extend(token);
        self.finish_closing();
    }

    /// Closed for good, without a last word: what was not handed to the connection is not sent.
    pub(crate) fn cut(&mut self, now: Instant) {
        self.end_open(now, &Arc::new(ConnectError::Closed));
        self.close(now, None);
    }

    pub(super) fn link_timeout(&mut self, now: Instant) {
        match self.link {
            Link::Dialing { attempt, .. } => {
                let cause = Arc::new(ConnectError::Timeout);
                self.out.push_back(Output::Abandon);
                self.tell(Telemetry::Failed { attempt, cause: cause.clone() });
                self.retry_after(now, cause, false);
            }
            Link::Waiting { .. } => self.dial(now),
            Link::Open { heartbeat: Heartbeat::Idle { .. }, since, proven } => {
                let reference = self.refs.next();
                // From now, not from when it was due: a process that was suspended gives its peer the whole time.
                let dead = now + self.config.heartbeat_timeout;
                let heartbeat = Heartbeat::Awaiting { reference, written: None, dead };
                self.set_link(Link::Open { since, proven, heartbeat });
                self.outbox.push(Out::Heartbeat(reference));
            }
            Link::Open { heartbeat: Heartbeat::Awaiting { .. }, .. } => {
                let cause = Arc::new(ConnectError::HeartbeatTimeout);
                self.end_open(now, &cause);
                self.closing += 1;
                let reason = HEARTBEAT_TIMEOUT.into();
                self.out.push_back(Output::Hangup { last: Vec::new(), code: 1000, reason });
                self.retry_after(now, cause, false);
            }
            _ => {}
        }
    }

    pub(super) fn write_heartbeat(&mut self, now: Instant, reference: u64) -> Option<Frame> {
        let Link::Open { heartbeat: Heartbeat::Awaiting { reference: wanted, written, .. }, .. } = &mut self.link
        else {
            return None;
        };
        if *wanted != reference {
            return None;
        }
        *written = Some(now);
        match self.heartbeat_frame(reference) {
            Ok(frame) => Some(frame),
            Err(error) => {
                log::unsendable(event::PHOENIX, event::HEARTBEAT, &error);
                None
            }
        }
    }

    pub(super) fn heartbeat_frame(&self, reference: u64) -> Result<Frame, EncodeError> {
        heartbeat(&self.codec, reference)
    }

    /// Any message that repeats the ref of the heartbeat answers it (H-4).
    pub(super) fn heartbeat_answer(&mut self, now: Instant, answered: u64) {
        let Link::Open { since, heartbeat: Heartbeat::Awaiting { reference, written: Some(written), .. }, .. } =
            self.link
        else {
            return;
        };
        if reference != answered {
            return;
        }
        let heartbeat =
            self.config.heartbeat.map_or(Heartbeat::Off, |interval| Heartbeat::Idle { due: now + interval });
        self.set_link(Link::Open { since, proven: true, heartbeat });
        self.tell(Telemetry::Heartbeat { round_trip: now - written });
        self.out.push_back(Output::Latency(Some(now - written)));
    }

    /// Something was answered: the connection has proven its health.
    pub(super) fn prove(&mut self) {
        if let Link::Open { proven, .. } = &mut self.link {
            *proven = true;
        }
    }

    pub(super) fn stopped(&self) -> Option<&Arc<ConnectError>> {
        match &self.link {
            Link::Stopped { cause } => Some(cause),
            _ => None,
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        matches!(self.link, Link::Closed)
    }

    fn dial(&mut self, now: Instant) {
        let attempt = self.tries.saturating_add(1);
        self.set_link(Link::Dialing { attempt, deadline: now + self.config.connect_timeout });
        self.tell(Telemetry::Connecting { attempt });
        self.out.push_back(Output::Status(Status::Connecting { attempt }));
        self.out.push_back(Output::Dial);
    }

    /// Ends whatever is under way, politely where something is open.
    fn hang_up(&mut self, now: Instant, code: u16, reason: Arc<str>) {
        let cause = Arc::new(ConnectError::Closed);
        match self.link {
            Link::Open { .. } => {
                self.parting = true;
                let last = std::iter::from_fn(|| self.poll_transmit(now)).collect();
                self.parting = false;
                self.end_open(now, &cause);
                self.closing += 1;
                self.out.push_back(Output::Hangup { last, code, reason });
            }
            Link::Dialing { attempt, .. } => {
                self.out.push_back(Output::Abandon);
                self.tell(Telemetry::Failed { attempt, cause });
            }
            _ => {}
        }
        self.last_cause = None;
        for waiter in self.take_connects() {
            self.settle(waiter, Outcome::Connect(Err(ConnectError::Closed)));
        }
    }

    /// The one place where an open connection ends (law 8).
    fn end_open(&mut self, now: Instant, cause: &Arc<ConnectError>) {
        let Link::Open { since, proven, .. } = self.link else { return };
        if proven || now - since >= PROVEN_AFTER {
            self.tries = 0;
        }
        self.set_link(Link::Down);
        self.tell(Telemetry::Closed { cause: cause.clone(), after: now - since });
        self.out.push_back(Output::Latency(None));
        self.unqueue();
        self.lose_pings();
        self.lose_channels(now, cause);
    }

    /// What was for this connection alone goes with it; what was not written waits for the next.
    fn unqueue(&mut self) {
        for out in self.outbox.take().into_iter().rev() {
            match out {
                Out::Push(channel, reference, _) => self.unqueue_push(channel, reference),
                Out::Raw(id, _) => self.unqueue_raw(id),
                Out::Frame(_) | Out::Heartbeat(_) | Out::Join(..) | Out::Ping(_) => {}
            }
        }
    }

    fn retry_after(&mut self, now: Instant, cause: Arc<ConnectError>, stop: bool) {
        self.last_cause = Some(cause.clone());
        // The better connection is there already.
        if matches!(*cause, ConnectError::Switched { .. }) {
            return self.dial(now);
        }
        let retry = if stop { Retry::Stop } else { self.config.reconnect_policy.decide(&cause, self.usual(&cause)) };
        if retry != Retry::Stop {
            self.tries = self.tries.saturating_add(1);
        }
        match retry_delay(retry, &self.config.reconnect, self.tries, &mut self.random) {
            Some(delay) => {
                self.set_link(Link::Waiting { until: now + delay });
                self.tell(Telemetry::Waiting { delay });
                let attempt = self.tries.saturating_add(1);
                self.out.push_back(Output::Status(Status::Waiting { attempt, delay, cause }));
            }
            None => self.stop(cause),
        }
    }

    fn stop(&mut self, cause: Arc<ConnectError>) {
        self.set_link(Link::Stopped { cause: cause.clone() });
        self.tell(Telemetry::Stopped { cause: cause.clone() });
        self.out.push_back(Output::Status(Status::Stopped { cause: cause.clone() }));
        for waiter in self.take_connects() {
            self.settle(waiter, Outcome::Connect(Err((*cause).clone())));
        }
        self.stop_channels(&cause);
    }

    /// What a cause means for the next attempt, where no policy says otherwise (law 9).
    fn usual(&self, cause: &ConnectError) -> Retry {
        match cause {
            ConnectError::Refused(refusal) => match refusal.status().as_u16() {
                401 | 403 if !self.config.dynamic => Retry::Stop,
                429 | 503 => Retry::NoSooner(asked_delay(refusal)),
                _ => Retry::Backoff,
            },
            ConnectError::ProxyRefused(refusal) => match refusal.status().as_u16() {
                // What it is told is never another, dynamic or not: that is for the server.
                407 => Retry::Stop,
                429 | 503 => Retry::NoSooner(asked_delay(refusal)),
                _ => Retry::Backoff,
            },
            ConnectError::SocksRefused(refusal) if refusal.is_login() => Retry::Stop,
            ConnectError::SubprotocolUnanswered | ConnectError::Certificate(_) | ConnectError::Build(_) => Retry::Stop,
            ConnectError::ClosedByServer { code: 1000, .. } => Retry::NoSooner(AFTER_NORMAL_CLOSE),
            _ => Retry::Backoff,
        }
    }

    fn finish_closing(&mut self) {
        if self.closing > 0 {
            return;
        }
        for token in mem::take(&mut self.closers) {
            self.settle(token, Outcome::Done);
        }
        if self.is_closed() {
            self.out.push_back(Output::Finished);
        }
    }

    fn take_connects(&mut self) -> Vec<T> {
        let waiters = mem::take(&mut self.connects);
        waiters
            .into_iter()
            .map(|waiter| {
                self.timers.disarm(Some(waiter.deadline), Timer::Connect(waiter.id));
                waiter.token
            })
            .collect()
    }

    fn take_connect(&mut self, id: u64) -> Option<Waiter<T>> {
        let index = self.connects.iter().position(|waiter| waiter.id == id)?;
        let waiter = self.connects.swap_remove(index);
        self.timers.disarm(Some(waiter.deadline), Timer::Connect(id));
        Some(waiter)
    }

    fn set_link(&mut self, link: Link) {
        self.timers.disarm(self.link.deadline(), Timer::Link);
        self.link = link;
        self.timers.arm(self.link.deadline(), Timer::Link);
    }
}

/// A heartbeat under this ref.
pub(crate) fn heartbeat(codec: &Codec, reference: u64) -> Result<Frame, EncodeError> {
    codec.encode(Outgoing {
        join_ref: None,
        reference: Some(reference),
        topic: event::PHOENIX,
        event: event::HEARTBEAT.into(),
        payload: &Payload::empty(),
    })
}

fn asked_delay(refusal: &Refusal) -> Duration {
    refusal.retry_after().unwrap_or_default().min(LONGEST_RETRY_AFTER)
}
