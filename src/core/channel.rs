//! The life of a channel: idle, joining, joined, leaving, errored, closed.

use std::{
    collections::{HashMap, VecDeque},
    mem,
    sync::Arc,
};

use super::{
    ChannelId, Core, Instant, Join, Out, Outcome, Output, Timer, Waiter, config::PROVEN_AFTER, event, push::Pending,
};
use crate::{
    error::{ConnectError, JoinError, LeaveError, NotJoined, NotSent},
    message::{Reply, Topic},
    payload::Payload,
    serializer::Outgoing,
    status::{ChannelClosed, ChannelStatus},
    telemetry::Telemetry,
    transport::Frame,
};

#[derive(Debug)]
pub(super) struct Channel<T> {
    pub(super) topic: Topic,
    pub(super) state: State<T>,
    /// What the next join sends.
    params: Payload,
    /// Joins that have failed in a row.
    tries: u32,
    joins: Vec<Waiter<T>>,
    pub(super) pushes: HashMap<u64, Pending<T>>,
    /// Pushes that wait for the join, in order; ids that are gone from `pushes` are passed over.
    pub(super) waiting: VecDeque<u64>,
    pub(super) waiting_bytes: usize,
}

#[derive(Debug)]
pub(super) enum State<T> {
    /// Never joined.
    Idle,
    /// Wanted; joins when the socket opens.
    Wanted,
    /// A join is on its way; its timeout runs once it is written. Until then `over` is the join that it replaces.
    Joining {
        join_ref: u64,
        since: Instant,
        deadline: Option<Instant>,
        over: Option<u64>,
    },
    Joined {
        join_ref: u64,
        since: Instant,
        reply: Reply,
    },
    /// A leave waits for its answer, until the last deadline; `again` if a join was asked for meanwhile.
    Leaving {
        join_ref: u64,
        reference: u64,
        deadline: Instant,
        waiters: Vec<(T, Instant)>,
        again: bool,
    },
    Errored {
        cause: NotJoined,
        rejoin: Option<Instant>,
    },
    Closed {
        cause: ChannelClosed,
    },
}

impl<T> State<T> {
    fn deadline(&self) -> Option<Instant> {
        match *self {
            State::Joining { deadline, .. } => deadline,
            State::Leaving { deadline, ref waiters, .. } => {
                waiters.iter().map(|(_, deadline)| *deadline).chain([deadline]).min()
            }
            State::Errored { rejoin, .. } => rejoin,
            _ => None,
        }
    }

    fn status(&self) -> ChannelStatus {
        match self {
            State::Idle => ChannelStatus::Idle,
            State::Wanted | State::Joining { .. } => ChannelStatus::Joining,
            State::Joined { .. } => ChannelStatus::Joined,
            State::Leaving { .. } => ChannelStatus::Leaving,
            State::Errored { cause, .. } => ChannelStatus::Errored { cause: cause.clone() },
            State::Closed { cause } => ChannelStatus::Closed { cause: *cause },
        }
    }

    /// The join ref that the server knows or is about to know.
    pub(super) fn join_ref(&self) -> Option<u64> {
        match *self {
            State::Joining { join_ref, .. } | State::Joined { join_ref, .. } | State::Leaving { join_ref, .. } => {
                Some(join_ref)
            }
            _ => None,
        }
    }

    /// The join that the server holds or is about to hold, unless it was asked to leave it.
    fn held(&self) -> Option<u64> {
        match *self {
            State::Joining { deadline: None, over, .. } => over,
            State::Joining { join_ref, .. } | State::Joined { join_ref, .. } => Some(join_ref),
            _ => None,
        }
    }

    pub(super) fn is_joined(&self) -> bool {
        matches!(self, State::Joined { .. })
    }

    /// Why a push cannot even wait here.
    pub(super) fn refuses_pushes(&self) -> Option<NotSent> {
        match self {
            State::Idle => Some(NotSent::NotJoined),
            State::Errored { cause, .. } if is_final(cause) => Some(NotSent::NotJoined),
            State::Leaving { again: false, .. } | State::Closed { cause: ChannelClosed::Left } => Some(NotSent::Left),
            State::Closed { .. } => Some(NotSent::Closed),
            _ => None,
        }
    }
}

/// Whether only another `join` heals it (DEV-13).
fn is_final(cause: &NotJoined) -> bool {
    matches!(cause, NotJoined::Refused(_) | NotJoined::GaveUp | NotJoined::Unsendable(_))
}

impl<T> Channel<T> {
    fn new(topic: Topic) -> Self {
        Channel {
            topic,
            state: State::Idle,
            params: Payload::empty(),
            tries: 0,
            joins: Vec::new(),
            pushes: HashMap::new(),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
        }
    }
}

impl<T> Core<T> {
    pub(super) fn register(&mut self, now: Instant, id: ChannelId, topic: Topic) {
        // The last handle of an earlier channel of this topic is gone, though its farewell has not come yet.
        if let Some(&earlier) = self.topics.get(&topic) {
            self.forget(now, earlier);
        }
        self.topics.insert(topic.clone(), id);
        self.channels.insert(id, Channel::new(topic));
        if self.is_closed() {
            self.set_state(id, State::Closed { cause: ChannelClosed::Socket });
            self.out.push_back(Output::EndStreams(id));
        }
    }

    pub(super) fn join(&mut self, now: Instant, join: Join<T>) {
        let Join { channel: id, id: call, params, caller, again } = join;
        let stopped = self.stopped().cloned();
        let Some(channel) = self.channels.get_mut(&id) else {
            return self.settle_join(caller.map(|(token, _)| token), Err(JoinError::Closed));
        };
        if let Some(params) = params {
            channel.params = params;
        }
        let answer = match &mut channel.state {
            State::Closed { cause: ChannelClosed::Socket } => Some(Err(JoinError::Closed)),
            State::Joined { reply, .. } if !again => Some(Ok(reply.clone())),
            _ => stopped.clone().map(|cause| Err(JoinError::Stopped(cause))),
        };
        match (answer, caller) {
            (Some(answer), caller) => self.settle_join(caller.map(|(token, _)| token), answer),
            (None, Some((token, deadline))) => {
                channel.joins.push(Waiter { id: call, token, deadline });
                self.timers.arm(Some(deadline), Timer::Join(id, call));
            }
            (None, None) => {}
        }
        let Some(channel) = self.channels.get_mut(&id) else { return };
        match &mut channel.state {
            State::Idle => self.begin(now, id),
            State::Closed { cause } if *cause != ChannelClosed::Socket => self.begin(now, id),
            State::Errored { cause, .. } if is_final(cause) => self.begin(now, id),
            State::Leaving { again, .. } => *again = true,
            State::Joining { deadline: Some(_), .. } | State::Joined { .. } if again => self.rejoin(now, id),
            State::Errored { .. } if again && self.link.is_open() => self.send_join(now, id),
            _ => {}
        }
    }

    pub(super) fn leave(&mut self, id: ChannelId, token: Option<T>, deadline: Instant) {
        let Some(channel) = self.channels.get_mut(&id) else {
            return self.settle_leave(token, Ok(()));
        };
        let before = channel.state.deadline();
        if let State::Leaving { waiters, again, deadline: last, .. } = &mut channel.state {
            waiters.extend(token.map(|token| (token, deadline)));
            *last = deadline.max(*last);
            *again = false;
            self.timers.disarm(before, Timer::Channel(id));
            self.timers.arm(channel.state.deadline(), Timer::Channel(id));
            self.fail_pushes(id, NotSent::Left);
            return self.fail_joins(id, &JoinError::Left);
        }
        let closed = matches!(channel.state, State::Closed { .. });
        match channel.state.held() {
            Some(join_ref) if self.link.is_open() => {
                self.fail_pushes(id, NotSent::Left);
                self.fail_joins(id, &JoinError::Left);
                let reference = self.refs.next();
                self.send_leave(id, join_ref, reference);
                let waiters = token.into_iter().map(|token| (token, deadline)).collect();
                self.set_state(id, State::Leaving { join_ref, reference, deadline, waiters, again: false });
            }
            // Who closed it stays true; streams taken since then end all the same.
            _ if closed => {
                self.out.push_back(Output::EndStreams(id));
                self.settle_leave(token, Ok(()));
            }
            _ => {
                self.close_channel(id, ChannelClosed::Left);
                self.settle_leave(token, Ok(()));
            }
        }
    }

    /// The last holder is gone: leaves without waiting, and forgets.
    pub(super) fn forget(&mut self, now: Instant, id: ChannelId) {
        let Some(channel) = self.channels.get(&id) else { return };
        let topic = channel.topic.clone();
        if let (true, Some(join_ref)) = (self.link.is_open(), channel.state.held()) {
            let reference = self.refs.next();
            self.send_leave(id, join_ref, reference);
        }
        if matches!(channel_state(self, id), Some(State::Leaving { .. })) {
            self.left(now, id, Ok(()));
        }
        if !matches!(channel_state(self, id), Some(State::Closed { .. })) {
            self.close_channel(id, ChannelClosed::Left);
        }
        self.channels.remove(&id);
        if self.topics.get(&topic) == Some(&id) {
            self.topics.remove(&topic);
        }
        if self.last_channel == Some(id) {
            self.last_channel = None;
        }
        self.out.push_back(Output::Forgotten(id));
    }

    pub(super) fn cancel_join(&mut self, id: ChannelId, call: u64) -> bool {
        let Some(channel) = self.channels.get_mut(&id) else { return false };
        let Some(index) = channel.joins.iter().position(|waiter| waiter.id == call) else { return false };
        let waiter = channel.joins.remove(index);
        self.timers.disarm(Some(waiter.deadline), Timer::Join(id, call));
        self.drop_token(Some(waiter.token));
        true
    }

    pub(super) fn join_call_timeout(&mut self, id: ChannelId, call: u64) {
        let Some(channel) = self.channels.get_mut(&id) else { return };
        if let Some(index) = channel.joins.iter().position(|waiter| waiter.id == call) {
            let waiter = channel.joins.remove(index);
            self.settle_join(Some(waiter.token), Err(JoinError::Timeout));
        }
    }

    pub(super) fn channel_timeout(&mut self, now: Instant, id: ChannelId) {
        match channel_state(self, id) {
            Some(State::Joining { join_ref, .. }) => {
                let (join_ref, reference) = (*join_ref, self.refs.next());
                self.send_leave(id, join_ref, reference);
                self.fail_channel(now, id, NotJoined::TimedOut);
            }
            Some(State::Leaving { deadline, .. }) if *deadline <= now => {
                self.left(now, id, Err(LeaveError::Timeout));
            }
            Some(State::Leaving { .. }) => self.leave_calls_timeout(now, id),
            Some(State::Errored { .. }) => self.send_join(now, id),
            _ => {}
        }
    }

    /// Some of those who wait for a leave wait no longer.
    fn leave_calls_timeout(&mut self, now: Instant, id: ChannelId) {
        let Some(channel) = self.channels.get_mut(&id) else { return };
        let State::Leaving { waiters, .. } = &mut channel.state else { return };
        let due: Vec<_> = waiters.extract_if(.., |(_, deadline)| *deadline <= now).collect();
        self.timers.arm(channel.state.deadline(), Timer::Channel(id));
        for (token, _) in due {
            self.settle_leave(Some(token), Err(LeaveError::Timeout));
        }
    }

    /// The connection is open: what is wanted joins (law 7, C-21).
    pub(super) fn join_wanted(&mut self, now: Instant) {
        let wanted = |state: &State<T>| match state {
            State::Wanted => true,
            State::Errored { cause, .. } => !is_final(cause),
            _ => false,
        };
        let ids: Vec<_> =
            self.channels.iter().filter(|(_, channel)| wanted(&channel.state)).map(|(id, _)| *id).collect();
        for id in ids {
            self.send_join(now, id);
        }
    }

    /// The connection is gone: nothing is in flight any more, and what was joined is errored (C-30, C-31).
    pub(super) fn lose_channels(&mut self, now: Instant, cause: &Arc<ConnectError>) {
        let ids: Vec<_> = self.channels.keys().copied().collect();
        for id in ids {
            self.unqueue_pushes(id);
            self.disconnect_pushes(id);
            let lost = NotJoined::ConnectionLost(cause.clone());
            match channel_state(self, id) {
                Some(State::Leaving { .. }) => self.left(now, id, Err(LeaveError::Disconnected)),
                Some(State::Joining { .. }) => self.error(id, lost, None),
                Some(State::Joined { since, .. }) => {
                    if now - *since >= PROVEN_AFTER {
                        self.forgive(id);
                    }
                    self.error(id, lost, None);
                }
                Some(State::Errored { cause, rejoin: Some(_) }) => {
                    let cause = cause.clone();
                    self.set_state(id, State::Errored { cause, rejoin: None });
                }
                _ => {}
            }
        }
    }

    /// The socket has stopped: whoever waits for a join is told.
    pub(super) fn stop_channels(&mut self, cause: &Arc<ConnectError>) {
        let wanted = |state: &State<T>| match state {
            State::Wanted => true,
            State::Errored { cause, .. } => !is_final(cause),
            _ => false,
        };
        let ids: Vec<_> =
            self.channels.iter().filter(|(_, channel)| wanted(&channel.state)).map(|(id, _)| *id).collect();
        for id in ids {
            self.error(id, NotJoined::Stopped(cause.clone()), None);
            self.out.push_back(Output::NotJoined(id, NotJoined::Stopped(cause.clone())));
            self.fail_joins(id, &JoinError::Stopped(cause.clone()));
        }
    }

    /// The socket is closed for good.
    pub(super) fn close_channels(&mut self) {
        let ids: Vec<_> = self.channels.keys().copied().collect();
        for id in ids {
            self.fail_pushes(id, NotSent::Closed);
            self.fail_joins(id, &JoinError::Closed);
            let ended = matches!(channel_state(self, id), Some(State::Closed { .. }));
            self.set_state(id, State::Closed { cause: ChannelClosed::Socket });
            self.out.push_back(Output::EndStreams(id));
            if let (false, Some(topic)) = (ended, self.topic(id)) {
                self.tell(Telemetry::ChannelClosed { topic, cause: ChannelClosed::Socket });
            }
        }
    }

    pub(super) fn join_answered(&mut self, now: Instant, id: ChannelId, reply: Reply) {
        let Some(State::Joining { join_ref, since, .. }) = channel_state(self, id) else { return };
        let (join_ref, took) = (*join_ref, now - *since);
        match reply.status() {
            "ok" => {
                self.set_state(id, State::Joined { join_ref, since: now, reply: reply.clone() });
                if let Some(topic) = self.topic(id) {
                    self.tell(Telemetry::Joined { topic, took });
                }
                for token in self.take_joins(id) {
                    self.settle_join(Some(token), Ok(reply.clone()));
                }
                self.queue_waiting(id);
            }
            "error" if reply.reason().as_deref() == Some("join crashed") => {
                self.fail_joins(id, &JoinError::Crashed(reply.clone()));
                self.fail_channel(now, id, NotJoined::Crashed(reply.payload().clone()));
            }
            _ => {
                self.fail_joins(id, &JoinError::Refused(reply.clone()));
                self.give_up(id, NotJoined::Refused(reply));
            }
        }
    }

    /// The channel failed while the socket is up: it rejoins by its backoff.
    pub(super) fn fail_channel(&mut self, now: Instant, id: ChannelId, cause: NotJoined) {
        self.unqueue_pushes(id);
        self.disconnect_pushes(id);
        if matches!(channel_state(self, id), Some(State::Joined { since, .. }) if now - *since >= PROVEN_AFTER) {
            self.forgive(id);
        }
        let Some(channel) = self.channels.get_mut(&id) else { return };
        channel.tries = channel.tries.saturating_add(1);
        match self.config.rejoin.delay(channel.tries, &mut self.random) {
            Some(delay) => self.error(id, cause, Some(now + delay)),
            None => {
                self.fail_joins(id, &JoinError::GaveUp);
                self.give_up(id, NotJoined::GaveUp);
            }
        }
    }

    /// The server closed the channel, or answered the leave.
    pub(super) fn server_closed(&mut self, now: Instant, id: ChannelId) {
        match channel_state(self, id) {
            Some(State::Leaving { .. }) => self.left(now, id, Ok(())),
            Some(_) => self.close_channel(id, ChannelClosed::Server),
            None => {}
        }
    }

    /// A leave is through, one way or the other.
    pub(super) fn left(&mut self, now: Instant, id: ChannelId, how: Result<(), LeaveError>) {
        let Some(channel) = self.channels.get_mut(&id) else { return };
        let deadline = channel.state.deadline();
        let State::Leaving { waiters, again, .. } = &mut channel.state else { return };
        let (waiters, again) = (mem::take(waiters), *again);
        self.timers.disarm(deadline, Timer::Channel(id));
        // A join asked for meanwhile belongs to the next life: its callers and pushes stay.
        if again {
            self.end_life(id, ChannelClosed::Left);
            self.begin(now, id);
        } else {
            self.close_channel(id, ChannelClosed::Left);
        }
        for (token, _) in waiters {
            self.settle_leave(Some(token), how.clone());
        }
    }

    pub(super) fn write_join(&mut self, now: Instant, id: ChannelId, wanted: u64) -> Option<Frame> {
        let channel = self.channels.get_mut(&id)?;
        let State::Joining { join_ref, since, deadline: None, over } = channel.state else { return None };
        if join_ref != wanted {
            return None;
        }
        let message = Outgoing {
            join_ref: Some(join_ref),
            reference: Some(join_ref),
            topic: &channel.topic,
            event: event::JOIN,
            payload: &channel.params,
        };
        let topic = channel.topic.clone();
        match self.codec.encode(message) {
            Ok(frame) => {
                let deadline = Some(now + self.config.timeout);
                self.set_state(id, State::Joining { join_ref, since, deadline, over: None });
                self.tell(Telemetry::Joining { topic });
                Some(frame)
            }
            Err(error) => {
                if let Some(old) = over {
                    let reference = self.refs.next();
                    self.send_leave(id, old, reference);
                }
                self.fail_joins(id, &JoinError::Encode(error.clone()));
                self.give_up(id, NotJoined::Unsendable(error));
                None
            }
        }
    }

    /// Wanted from now on: joins at once where the socket is up.
    fn begin(&mut self, now: Instant, id: ChannelId) {
        self.forgive(id);
        if self.link.is_open() {
            self.send_join(now, id);
        } else if let Some(cause) = self.stopped().cloned() {
            self.error(id, NotJoined::Stopped(cause.clone()), None);
            self.out.push_back(Output::NotJoined(id, NotJoined::Stopped(cause)));
        } else {
            self.set_state(id, State::Wanted);
        }
    }

    /// A fresh join over the present one: the server closes that (C-39), and its pushes are settled.
    fn rejoin(&mut self, now: Instant, id: ChannelId) {
        self.unqueue_pushes(id);
        self.disconnect_pushes(id);
        self.send_join(now, id);
    }

    fn send_join(&mut self, now: Instant, id: ChannelId) {
        let join_ref = self.refs.next();
        let over = channel_state(self, id).and_then(State::held);
        self.set_state(id, State::Joining { join_ref, since: now, deadline: None, over });
        self.outbox.push(Out::Join(id, join_ref));
    }

    fn send_leave(&mut self, id: ChannelId, join_ref: u64, reference: u64) {
        let Some(channel) = self.channels.get(&id) else { return };
        let payload = Payload::empty();
        let message = Outgoing {
            join_ref: Some(join_ref),
            reference: Some(reference),
            topic: &channel.topic,
            event: event::LEAVE,
            payload: &payload,
        };
        match self.codec.encode(message) {
            Ok(frame) => self.outbox.push(Out::Frame(frame)),
            Err(error) => tracing::error!(%error, "the serializer cannot encode a leave"),
        }
    }

    fn close_channel(&mut self, id: ChannelId, cause: ChannelClosed) {
        let (not_sent, not_joined) = match cause {
            ChannelClosed::Left => (NotSent::Left, JoinError::Left),
            _ => (NotSent::Closed, JoinError::Closed),
        };
        self.fail_pushes(id, not_sent);
        self.fail_joins(id, &not_joined);
        self.end_life(id, cause);
    }

    fn end_life(&mut self, id: ChannelId, cause: ChannelClosed) {
        self.set_state(id, State::Closed { cause });
        self.out.push_back(Output::EndStreams(id));
        if let Some(topic) = self.topic(id) {
            self.tell(Telemetry::ChannelClosed { topic, cause });
        }
    }

    /// Nothing but another `join` heals this: whatever waits is told, and the streams are.
    fn give_up(&mut self, id: ChannelId, cause: NotJoined) {
        self.fail_pushes(id, NotSent::NotJoined);
        self.error(id, cause.clone(), None);
        self.out.push_back(Output::NotJoined(id, cause));
    }

    fn error(&mut self, id: ChannelId, cause: NotJoined, rejoin: Option<Instant>) {
        if let Some(topic) = self.topic(id) {
            self.tell(Telemetry::Errored { topic, cause: cause.clone() });
        }
        self.set_state(id, State::Errored { cause, rejoin });
    }

    fn forgive(&mut self, id: ChannelId) {
        if let Some(channel) = self.channels.get_mut(&id) {
            channel.tries = 0;
        }
    }

    fn fail_joins(&mut self, id: ChannelId, error: &JoinError) {
        for token in self.take_joins(id) {
            self.settle_join(Some(token), Err(error.clone()));
        }
    }

    fn take_joins(&mut self, id: ChannelId) -> Vec<T> {
        let Some(channel) = self.channels.get_mut(&id) else { return Vec::new() };
        mem::take(&mut channel.joins)
            .into_iter()
            .map(|waiter| {
                self.timers.disarm(Some(waiter.deadline), Timer::Join(id, waiter.id));
                waiter.token
            })
            .collect()
    }

    fn settle_join(&mut self, token: Option<T>, outcome: Result<Reply, JoinError>) {
        if let Some(token) = token {
            self.settle(token, Outcome::Join(outcome));
        }
    }

    fn settle_leave(&mut self, token: Option<T>, outcome: Result<(), LeaveError>) {
        if let Some(token) = token {
            self.settle(token, Outcome::Leave(outcome));
        }
    }

    fn topic(&self, id: ChannelId) -> Option<Topic> {
        self.channels.get(&id).map(|channel| channel.topic.clone())
    }

    fn set_state(&mut self, id: ChannelId, state: State<T>) {
        let Some(channel) = self.channels.get_mut(&id) else { return };
        self.timers.disarm(channel.state.deadline(), Timer::Channel(id));
        let before = channel.state.status();
        channel.state = state;
        self.timers.arm(channel.state.deadline(), Timer::Channel(id));
        let after = channel.state.status();
        let same = match (&before, &after) {
            (ChannelStatus::Errored { .. }, ChannelStatus::Errored { .. }) => false,
            (ChannelStatus::Closed { cause: before }, ChannelStatus::Closed { cause: after }) => before == after,
            _ => mem::discriminant(&before) == mem::discriminant(&after),
        };
        if !same {
            self.out.push_back(Output::Channel(id, after));
        }
    }
}

fn channel_state<T>(core: &Core<T>, id: ChannelId) -> Option<&State<T>> {
    core.channels.get(&id).map(|channel| &channel.state)
}
