//! Leaving: asked for and awaited, or because nobody is left.

use std::mem;

use super::{
    ChannelId, Core, Instant, Out, Outcome, Output, Timer,
    channel::{State, channel_state},
    event,
};
use crate::{
    error::{JoinError, LeaveError, NotSent},
    log,
    payload::Payload,
    serializer::Outgoing,
    status::ChannelClosed,
};

impl<T> Core<T> {
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

    /// The last holder is gone: leaves without waiting, and forgets.
    pub(super) fn forget(&mut self, now: Instant, id: ChannelId) {
        let Some(channel) = self.channels.get(&id) else { return };
        let topic = channel.topic.clone();
        if let (true, Some(join_ref)) = (self.link.is_open(), channel.state.held()) {
            let reference = self.refs.next();
            self.send_leave(id, join_ref, reference);
        }
        if let Some(State::Leaving { again, .. }) = self.channels.get_mut(&id).map(|channel| &mut channel.state) {
            *again = false;
            self.left(now, id, Ok(()));
        }
        if !matches!(channel_state(self, id), Some(State::Closed { .. })) {
            self.close_channel(id, ChannelClosed::Left);
        }
        self.channels.remove(&id);
        self.settled = None;
        if self.topics.get(&topic) == Some(&id) {
            self.topics.remove(&topic);
        }
        if self.last_channel == Some(id) {
            self.last_channel = None;
        }
        self.out.push_back(Output::Forgotten(id));
    }

    /// Some of those who wait for a leave wait no longer.
    pub(super) fn leave_calls_timeout(&mut self, now: Instant, id: ChannelId) {
        let Some(channel) = self.channels.get_mut(&id) else { return };
        let State::Leaving { waiters, .. } = &mut channel.state else { return };
        let due: Vec<_> = waiters.extract_if(.., |(_, deadline)| *deadline <= now).collect();
        self.timers.arm(channel.state.deadline(), Timer::Channel(id));
        for (token, _) in due {
            self.settle_leave(Some(token), Err(LeaveError::Timeout));
        }
    }

    pub(super) fn send_leave(&mut self, id: ChannelId, join_ref: u64, reference: u64) {
        let Some(channel) = self.channels.get(&id) else { return };
        let payload = Payload::empty();
        let message = Outgoing {
            join_ref: Some(join_ref),
            reference: Some(reference),
            topic: &channel.topic,
            event: event::LEAVE.into(),
            payload: &payload,
        };
        log::leaving(&channel.topic, join_ref);
        match self.codec.encode(message) {
            Ok(frame) => self.outbox.push(Out::Frame(frame)),
            Err(error) => log::unsendable(&channel.topic, event::LEAVE, &error),
        }
    }

    pub(super) fn settle_leave(&mut self, token: Option<T>, outcome: Result<(), LeaveError>) {
        if let Some(token) = token {
            self.settle(token, Outcome::Leave(outcome));
        }
    }
}
