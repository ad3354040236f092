//! The life of a channel: idle, joining, joined, leaving, errored, closed.

use std::{mem, sync::Arc, time::Duration};

use super::{
    ChannelId, Core, IdMap, Instant, Output, Params, Timer, Waiter, config::PROVEN_AFTER, line::Line, push::Pending,
    retry::retry_delay,
};
use crate::{
    error::{ConnectError, JoinError, LeaveError, NotJoined, NotSent},
    message::{Reply, Topic},
    payload::Payload,
    policy::Retry,
    status::{ChannelClosed, ChannelStatus},
    telemetry::Telemetry,
};

#[derive(Debug)]
pub(super) struct Channel<T> {
    pub(super) topic: Topic,
    pub(super) state: State<T>,
    /// What the next join sends.
    pub(super) params: Params,
    /// What its closure said for the join that is about to be written.
    pub(super) asked: Option<Payload>,
    /// Joins that have failed in a row.
    tries: u32,
    pub(super) joins: Vec<Waiter<T>>,
    pub(super) pushes: IdMap<Pending<T>>,
    /// Pushes that wait for the join, in order.
    pub(super) waiting: Line,
    /// Of those whose sender does not bound them by itself.
    pub(super) waiting_pushes: usize,
    pub(super) waiting_bytes: usize,
}

#[derive(Debug)]
pub(super) enum State<T> {
    /// Never joined.
    Idle,
    /// Wanted; joins when the socket opens.
    Wanted,
    /// The params of a join are asked for, until the deadline; `over` is the join that it will replace.
    Asking {
        attempt: u64,
        deadline: Instant,
        over: Option<u64>,
    },
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
        rejoin: Rejoin,
    },
    Closed {
        cause: ChannelClosed,
    },
}

/// When an errored channel joins again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rejoin {
    /// Then, if the connection stays; on a new one at once, but no sooner than `least`.
    At { then: Instant, least: Instant },
    /// When the socket opens, but no sooner than then.
    OnOpen { least: Instant },
    /// Only another `join` heals it (DEV-13).
    Never,
}

/// When the socket opens, at once.
pub(super) const ON_OPEN: Rejoin = Rejoin::OnOpen { least: Instant(Duration::ZERO) };

impl<T> State<T> {
    pub(super) fn deadline(&self) -> Option<Instant> {
        match *self {
            State::Asking { deadline, .. } => Some(deadline),
            State::Joining { deadline, .. } => deadline,
            State::Leaving { deadline, ref waiters, .. } => {
                waiters.iter().map(|(_, deadline)| *deadline).chain([deadline]).min()
            }
            State::Errored { rejoin: Rejoin::At { then, .. }, .. } => Some(then),
            _ => None,
        }
    }

    fn status(&self) -> ChannelStatus {
        match self {
            State::Idle => ChannelStatus::Idle,
            State::Wanted | State::Asking { .. } | State::Joining { .. } => ChannelStatus::Joining,
            State::Joined { .. } => ChannelStatus::Joined,
            State::Leaving { .. } => ChannelStatus::Leaving,
            State::Errored { cause, .. } => ChannelStatus::Errored { cause: cause.clone() },
            State::Closed { cause } => ChannelStatus::Closed { cause: *cause },
        }
    }

    /// The join ref of the latest join that was sent (M-4).
    pub(super) fn join_ref(&self) -> Option<u64> {
        match *self {
            State::Joining { deadline: None, over, .. } => over,
            State::Joining { join_ref, .. } | State::Joined { join_ref, .. } | State::Leaving { join_ref, .. } => {
                Some(join_ref)
            }
            State::Asking { over, .. } => over,
            _ => None,
        }
    }

    /// Whether broadcasts are for its streams.
    pub(super) fn hears(&self) -> bool {
        match self {
            State::Joining { .. } | State::Joined { .. } => true,
            State::Asking { over, .. } => over.is_some(),
            _ => false,
        }
    }

    /// The join that the server holds or is about to hold, unless it was asked to leave it.
    pub(super) fn held(&self) -> Option<u64> {
        match *self {
            State::Asking { over, .. } | State::Joining { deadline: None, over, .. } => over,
            State::Joining { join_ref, .. } | State::Joined { join_ref, .. } => Some(join_ref),
            _ => None,
        }
    }

    fn is_joining(&self) -> bool {
        matches!(self, State::Joining { .. })
    }

    pub(super) fn is_joined(&self) -> bool {
        matches!(self, State::Joined { .. })
    }

    /// Why a push cannot even wait here.
    pub(super) fn refuses_pushes(&self) -> Option<NotSent> {
        match self {
            State::Idle => Some(NotSent::NotJoined),
            State::Errored { rejoin: Rejoin::Never, .. } => Some(NotSent::NotJoined),
            State::Leaving { again: false, .. } | State::Closed { cause: ChannelClosed::Left } => Some(NotSent::Left),
            State::Closed { .. } => Some(NotSent::Closed),
            _ => None,
        }
    }
}

impl<T> Channel<T> {
    fn new(topic: Topic) -> Self {
        Channel {
            topic,
            state: State::Idle,
            params: Params::Ready(Payload::empty()),
            asked: None,
            tries: 0,
            joins: Vec::new(),
            pushes: IdMap::default(),
            waiting: Line::default(),
            waiting_pushes: 0,
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
        self.settled = None;
        if self.is_closed() {
            self.set_state(id, State::Closed { cause: ChannelClosed::Socket });
            self.out.push_back(Output::EndStreams(id));
        }
    }

    pub(super) fn channel_timeout(&mut self, now: Instant, id: ChannelId) {
        match channel_state(self, id) {
            Some(State::Asking { .. } | State::Joining { .. }) => {
                self.abandon_join(id);
                self.out.push_back(Output::Joined(id, Err(JoinError::Timeout)));
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

    /// The connection is gone: nothing is in flight any more, and what was joined is errored (C-30, C-31).
    pub(super) fn lose_channels(&mut self, now: Instant, cause: &Arc<ConnectError>) {
        for id in self.channels_where(|_| true) {
            self.disconnect_pushes(id);
            let lost = NotJoined::ConnectionLost(cause.clone());
            match channel_state(self, id) {
                Some(State::Leaving { .. }) => self.left(now, id, Err(LeaveError::Disconnected)),
                Some(State::Asking { .. } | State::Joining { .. }) => {
                    self.unanswered(id, JoinError::Disconnected);
                    self.error(id, lost, ON_OPEN);
                }
                Some(State::Joined { .. }) => {
                    self.judge_joined(now, id);
                    self.error(id, lost, ON_OPEN);
                }
                Some(State::Errored { cause, rejoin: Rejoin::At { least, .. } }) => {
                    let (cause, least) = (cause.clone(), *least);
                    self.set_state(id, State::Errored { cause, rejoin: Rejoin::OnOpen { least } });
                }
                _ => {}
            }
        }
    }

    /// The socket has stopped: whoever waits for a join is told.
    pub(super) fn stop_channels(&mut self, cause: &Arc<ConnectError>) {
        for id in self.wanted() {
            self.error(id, NotJoined::Stopped(cause.clone()), ON_OPEN);
            self.out.push_back(Output::NotJoined(id, NotJoined::Stopped(cause.clone())));
            self.fail_joins(id, &JoinError::Stopped(cause.clone()));
        }
    }

    /// The socket is closed for good.
    pub(super) fn close_channels(&mut self) {
        for id in self.channels_where(|_| true) {
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

    /// The channel failed while the socket is up: it rejoins by its backoff, unless the policy says otherwise.
    pub(super) fn fail_channel(&mut self, now: Instant, id: ChannelId, cause: NotJoined) {
        self.unqueue_pushes(id);
        self.disconnect_pushes(id);
        self.judge_joined(now, id);
        self.rejoin_after(now, id, cause, Retry::Backoff);
    }

    /// A join that has lasted has proven itself, however it ends.
    pub(super) fn judge_joined(&mut self, now: Instant, id: ChannelId) {
        if matches!(channel_state(self, id), Some(State::Joined { since, .. }) if now - *since >= PROVEN_AFTER) {
            self.forgive(id);
        }
    }

    /// A join that was sent ends without an answer of its own.
    pub(super) fn unanswered(&mut self, id: ChannelId, why: JoinError) {
        if let Some(State::Joining { deadline: Some(_), .. }) = channel_state(self, id) {
            self.out.push_back(Output::Joined(id, Err(why)));
        }
    }

    /// Whether and when it joins again, by its cause (DEV-13); `usual` where no policy says otherwise.
    pub(super) fn rejoin_after(&mut self, now: Instant, id: ChannelId, cause: NotJoined, usual: Retry) {
        let Some(channel) = self.channels.get_mut(&id) else { return };
        let retry = self.config.rejoin_policy.decide(&cause, usual);
        if retry == Retry::Stop {
            self.fail_joins(id, &JoinError::GaveUp);
            return self.give_up(id, cause);
        }
        channel.tries = channel.tries.saturating_add(1);
        match retry_delay(retry, &self.config.rejoin, channel.tries, &mut self.random) {
            Some(delay) => {
                let least = match retry {
                    Retry::NoSooner(least) => now + least,
                    _ => Instant::default(),
                };
                self.error(id, cause, Rejoin::At { then: now + delay, least });
                if let Some(topic) = self.topic(id) {
                    self.tell(Telemetry::Rejoining { topic, delay });
                }
            }
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
            Some(_) => {
                self.unanswered(id, JoinError::Closed);
                self.close_channel(id, ChannelClosed::Server);
            }
            None => {}
        }
    }

    pub(super) fn close_channel(&mut self, id: ChannelId, cause: ChannelClosed) {
        let (not_sent, not_joined) = match cause {
            ChannelClosed::Left => (NotSent::Left, JoinError::Left),
            _ => (NotSent::Closed, JoinError::Closed),
        };
        self.fail_pushes(id, not_sent);
        self.fail_joins(id, &not_joined);
        self.end_life(id, cause);
    }

    pub(super) fn end_life(&mut self, id: ChannelId, cause: ChannelClosed) {
        self.set_state(id, State::Closed { cause });
        self.out.push_back(Output::EndStreams(id));
        if let Some(topic) = self.topic(id) {
            self.tell(Telemetry::ChannelClosed { topic, cause });
        }
    }

    /// Nothing but another `join` heals this: whatever waits is told, and the streams are.
    pub(super) fn give_up(&mut self, id: ChannelId, cause: NotJoined) {
        self.fail_pushes(id, NotSent::NotJoined);
        self.error(id, cause.clone(), Rejoin::Never);
        self.out.push_back(Output::NotJoined(id, cause));
    }

    pub(super) fn error(&mut self, id: ChannelId, cause: NotJoined, rejoin: Rejoin) {
        if let Some(topic) = self.topic(id) {
            self.tell(Telemetry::Errored { topic, cause: cause.clone() });
        }
        self.set_state(id, State::Errored { cause, rejoin });
    }

    pub(super) fn forgive(&mut self, id: ChannelId) {
        if let Some(channel) = self.channels.get_mut(&id) {
            channel.tries = 0;
        }
    }

    /// The channels that join at the next open.
    pub(super) fn wanted(&self) -> Vec<ChannelId> {
        self.channels_where(|state| match state {
            State::Wanted => true,
            State::Errored { rejoin, .. } => *rejoin != Rejoin::Never,
            _ => false,
        })
    }

    /// The channels of such a state, in the order they were made.
    fn channels_where(&self, state: impl Fn(&State<T>) -> bool) -> Vec<ChannelId> {
        let found = self.channels.iter().filter(|(_, channel)| state(&channel.state));
        let mut ids: Vec<_> = found.map(|(id, _)| *id).collect();
        ids.sort_unstable();
        ids
    }

    pub(super) fn topic(&self, id: ChannelId) -> Option<Topic> {
        self.channels.get(&id).map(|channel| channel.topic.clone())
    }

    pub(super) fn set_state(&mut self, id: ChannelId, state: State<T>) {
        let Some(channel) = self.channels.get_mut(&id) else { return };
        self.timers.disarm(channel.state.deadline(), Timer::Channel(id));
        let before = channel.state.status();
        if matches!(channel.state, State::Asking { .. }) {
            self.out.push_back(Output::Unask(id));
        }
        // A join that was not written, and will not be, leaves nothing behind.
        if let (State::Joining { join_ref, deadline: None, .. }, false) = (&channel.state, state.is_joining()) {
            self.outbox.forget_join(id, *join_ref);
        }
        channel.state = state;
        self.settled = None;
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

pub(super) fn channel_state<T>(core: &Core<T>, id: ChannelId) -> Option<&State<T>> {
    core.channels.get(&id).map(|channel| &channel.state)
}
