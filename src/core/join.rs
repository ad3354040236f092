//! Joining: who asks, what goes out, and what the answer means.

use std::mem;

use super::{
    ChannelId, Core, Instant, Join, Out, Outcome, Output, Params, Timer, Waiter,
    channel::{ON_OPEN, Rejoin, State, channel_state},
    event,
};
use crate::{
    error::{JoinError, NotJoined},
    message::Reply,
    payload::Payload,
    policy::Retry,
    serializer::Outgoing,
    status::ChannelClosed,
    telemetry::Telemetry,
    transport::Frame,
};

impl<T> Core<T> {
    pub(super) fn join(&mut self, now: Instant, join: Join<T>) {
        let Join { channel: id, id: call, params, caller, again } = join;
        let stopped = self.stopped().cloned();
        let Some(channel) = self.channels.get_mut(&id) else {
            return self.settle_join(caller.map(|(token, _)| token), Err(JoinError::Closed));
        };
        let given = params.is_some();
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
            State::Errored { rejoin: Rejoin::Never, .. } => self.begin(now, id),
            State::Leaving { again, .. } => *again = true,
            // What is to be sent has just been given: nothing else has to be asked for.
            State::Asking { .. } if given => self.send_join(now, id),
            State::Joining { deadline: Some(_), .. } | State::Joined { .. } if again => self.rejoin(now, id),
            State::Errored { .. } if again && self.link.is_open() => self.send_join(now, id),
            _ => {}
        }
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

    pub(super) fn join_answered(&mut self, now: Instant, id: ChannelId, reply: Reply) {
        let Some(State::Joining { join_ref, since, .. }) = channel_state(self, id) else { return };
        let (join_ref, took) = (*join_ref, now - *since);
        match reply.status() {
            "ok" => {
                self.out.push_back(Output::Joined(id, Ok(reply.clone())));
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
                self.join_failed(id, &JoinError::Crashed(reply.clone()));
                self.fail_channel(now, id, NotJoined::Crashed(reply.payload().clone()));
            }
            _ => {
                self.join_failed(id, &JoinError::Refused(reply.clone()));
                self.rejoin_after(now, id, NotJoined::Refused(reply), Retry::Stop);
            }
        }
    }

    pub(super) fn write_join(&mut self, now: Instant, id: ChannelId, wanted: u64) -> Option<Frame> {
        let channel = self.channels.get_mut(&id)?;
        let State::Joining { join_ref, since, deadline: None, .. } = channel.state else { return None };
        if join_ref != wanted {
            return None;
        }
        let payload = match (channel.asked.take(), &channel.params) {
            (Some(asked), _) => asked,
            (None, Params::Ready(payload)) => payload.clone(),
            (None, Params::Asked) => Payload::empty(),
        };
        let message = Outgoing {
            join_ref: Some(join_ref),
            reference: Some(join_ref),
            topic: &channel.topic,
            event: event::JOIN.into(),
            payload: &payload,
        };
        let topic = channel.topic.clone();
        match self.codec.encode(message) {
            Ok(frame) => {
                let deadline = Some(now + self.config.timeout);
                self.set_state(id, State::Joining { join_ref, since, deadline, over: None });
                self.out.push_back(Output::JoinSent(id));
                self.tell(Telemetry::Joining { topic });
                Some(frame)
            }
            Err(error) => {
                self.abandon_join(id);
                self.join_failed(id, &JoinError::Encode(error.clone()));
                self.give_up(id, NotJoined::Unsendable(error));
                None
            }
        }
    }

    /// The connection is open: what is wanted joins (law 7, C-21).
    pub(super) fn join_wanted(&mut self, now: Instant) {
        for id in self.wanted() {
            match channel_state(self, id) {
                Some(State::Errored { cause, rejoin: Rejoin::OnOpen { least } }) if *least > now => {
                    let (cause, least) = (cause.clone(), *least);
                    self.set_state(id, State::Errored { cause, rejoin: Rejoin::At { then: least, least } });
                }
                _ => self.send_join(now, id),
            }
        }
    }

    /// Wanted from now on: joins at once where the socket is up.
    pub(super) fn begin(&mut self, now: Instant, id: ChannelId) {
        self.forgive(id);
        if self.link.is_open() {
            self.send_join(now, id);
        } else if let Some(cause) = self.stopped().cloned() {
            self.error(id, NotJoined::Stopped(cause.clone()), ON_OPEN);
            self.out.push_back(Output::NotJoined(id, NotJoined::Stopped(cause)));
        } else {
            self.set_state(id, State::Wanted);
        }
    }

    /// A fresh join over the present one: the server closes that (C-39), and its pushes are settled.
    fn rejoin(&mut self, now: Instant, id: ChannelId) {
        self.judge_joined(now, id);
        self.unqueue_pushes(id);
        self.disconnect_pushes(id);
        self.send_join(now, id);
    }

    pub(super) fn send_join(&mut self, now: Instant, id: ChannelId) {
        let Some(channel) = self.channels.get_mut(&id) else { return };
        let over = channel.state.held();
        channel.asked = None;
        match channel.params {
            Params::Asked => self.ask_params(now, id, over),
            Params::Ready(_) => self.queue_join(now, id, over),
        }
    }

    pub(super) fn queue_join(&mut self, now: Instant, id: ChannelId, over: Option<u64>) {
        let join_ref = self.refs.next();
        self.set_state(id, State::Joining { join_ref, since: now, deadline: None, over });
        self.outbox.push(Out::Join(id, join_ref));
    }

    /// A join that came to nothing: the server is told to leave the one that it holds.
    pub(super) fn abandon_join(&mut self, id: ChannelId) {
        if let Some(held) = channel_state(self, id).and_then(State::held) {
            let reference = self.refs.next();
            self.send_leave(id, held, reference);
        }
    }

    /// Whoever waits for a join, or watches all of them, is told how this one came out.
    pub(super) fn join_failed(&mut self, id: ChannelId, error: &JoinError) {
        self.out.push_back(Output::Joined(id, Err(error.clone())));
        self.fail_joins(id, error);
    }

    pub(super) fn fail_joins(&mut self, id: ChannelId, error: &JoinError) {
        for token in self.take_joins(id) {
            self.settle_join(Some(token), Err(error.clone()));
        }
    }

    pub(super) fn take_joins(&mut self, id: ChannelId) -> Vec<T> {
        let Some(channel) = self.channels.get_mut(&id) else { return Vec::new() };
        mem::take(&mut channel.joins)
            .into_iter()
            .map(|waiter| {
                self.timers.disarm(Some(waiter.deadline), Timer::Join(id, waiter.id));
                waiter.token
            })
            .collect()
    }

    pub(super) fn settle_join(&mut self, token: Option<T>, outcome: Result<Reply, JoinError>) {
        if let Some(token) = token {
            self.settle(token, Outcome::Join(outcome));
        }
    }
}
