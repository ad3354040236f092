//! Pushes and casts: waiting for the join, queued, sent; settled exactly once.

use super::{
    ChannelId, Core, Instant, Out, Outcome, Push, Raw, Timer, To,
    channel::{Channel, State},
};
use crate::{
    error::{CastError, NotSent, PushError},
    message::Reply,
    payload::Payload,
    serializer::{Envelope, Outgoing},
    transport::Frame,
    word::Word,
};

#[derive(Debug)]
pub(super) struct Pending<T> {
    token: T,
    deadline: Instant,
    wants_reply: bool,
    patient: bool,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// For the join.
    Waiting(Word, Payload),
    /// In the outbox.
    Queued(Word, Payload),
    /// Under this join ref, and not answered.
    Sent { join_ref: u64 },
}

/// What a waiting push is charged on top of its payload.
pub(super) const OVERHEAD: usize = 128;

impl Stage {
    fn cost(&self) -> usize {
        match self {
            Stage::Waiting(event, payload) | Stage::Queued(event, payload) => {
                payload.as_bytes().len() + event.name().as_bytes().len() + OVERHEAD
            }
            Stage::Sent { .. } => 0,
        }
    }
}

impl<T> Channel<T> {
    /// Whoever bounds by itself what waits is not counted.
    fn count(&mut self, pending: &Pending<T>) {
        if matches!(pending.stage, Stage::Waiting(..)) && !pending.patient {
            self.waiting_pushes += 1;
            self.waiting_bytes += pending.stage.cost();
        }
    }
}

impl<T> Core<T> {
    pub(super) fn push(&mut self, push: Push<T>) {
        let Push { to, id: reference, event, payload, deadline, token, wants_reply, patient } = push;
        let id = match to {
            To::Channel(id) => id,
            To::Raw(raw) => {
                let Raw { join_ref, reference: r#ref, topic } = *raw;
                let message = Envelope { join_ref, r#ref, topic, event: event.name().as_str().into(), payload };
                return self.push_raw(reference, message, deadline, token);
            }
        };
        let Some(channel) = self.channels.get_mut(&id) else {
            return self.not_sent(token, wants_reply, NotSent::Closed);
        };
        if let Some(why) = channel.state.refuses_pushes() {
            return self.not_sent(token, wants_reply, why);
        }
        let joined = channel.state.is_joined();
        let stage = if joined { Stage::Queued(event, payload) } else { Stage::Waiting(event, payload) };
        let cost = stage.cost();
        if joined {
            self.outbox.push(Out::Push(id, reference, cost));
        } else {
            let full = channel.waiting_pushes >= self.config.waiting_pushes
                || channel.waiting_bytes + cost > self.config.waiting_bytes;
            if full && !patient {
                return self.not_sent(token, wants_reply, NotSent::BufferFull);
            }
            channel.waiting.push_back(reference);
        }
        let pending = Pending { token, deadline, wants_reply, patient, stage };
        channel.count(&pending);
        channel.pushes.insert(reference, pending);
        self.pending_pushes += 1;
        self.timers.arm(Some(deadline), Timer::Push(id, reference));
    }

    /// The future of a push, cast or join was dropped.
    pub(super) fn cancel(&mut self, channel: ChannelId, id: u64) {
        if !self.cancel_join(channel, id) {
            let pending = self.take_push(channel, id);
            self.drop_token(pending.map(|pending| pending.token));
        }
    }

    pub(super) fn push_timeout(&mut self, channel: ChannelId, id: u64) {
        let Some(pending) = self.take_push(channel, id) else { return };
        match pending.stage {
            Stage::Sent { .. } => self.settle(pending.token, Outcome::Push(Err(PushError::Timeout))),
            _ => self.not_sent(pending.token, pending.wants_reply, NotSent::Timeout),
        }
    }

    /// A reply came for this ref: whether a push waited for it. The join ref must be its own, or absent.
    pub(super) fn push_answered(&mut self, id: ChannelId, reference: u64, join_ref: Option<u64>, reply: Reply) -> bool {
        let stage = self.channels.get(&id).and_then(|channel| channel.pushes.get(&reference)).map(|push| &push.stage);
        let Some(Stage::Sent { join_ref: own }) = stage else { return false };
        if join_ref.is_some_and(|given| given != *own) {
            return false;
        }
        let Some(pending) = self.take_push(id, reference) else { return false };
        let outcome = if reply.status() == "error" { Err(PushError::Rejected(reply)) } else { Ok(reply) };
        self.settle(pending.token, Outcome::Push(outcome));
        true
    }

    pub(super) fn write_push(&mut self, id: ChannelId, reference: u64) -> Option<Frame> {
        let channel = self.channels.get_mut(&id)?;
        let State::Joined { join_ref, .. } = channel.state else { return None };
        let pending = channel.pushes.get_mut(&reference)?;
        let Stage::Queued(event, payload) = &pending.stage else { return None };
        let message = Outgoing {
            join_ref: Some(join_ref),
            reference: Some(reference),
            topic: &channel.topic,
            event: event.name(),
            payload,
        };
        let encoded = self.codec.encode(message);
        if encoded.is_ok() && pending.wants_reply {
            pending.stage = Stage::Sent { join_ref };
            return encoded.ok();
        }
        let pending = self.remove_push(id, reference)?;
        match (encoded, pending.wants_reply) {
            (Ok(frame), _) => {
                let how = if self.parting { Err(CastError::Disconnected) } else { Ok(()) };
                self.settle(pending.token, Outcome::Cast(how));
                Some(frame)
            }
            (Err(error), true) => {
                self.settle(pending.token, Outcome::Push(Err(PushError::Encode(error))));
                None
            }
            (Err(error), false) => {
                self.settle(pending.token, Outcome::Cast(Err(CastError::Encode(error))));
                None
            }
        }
    }

    /// The channel is joined: what waited goes out, in order.
    pub(super) fn queue_waiting(&mut self, id: ChannelId) {
        let Some(channel) = self.channels.get_mut(&id) else { return };
        (channel.waiting_pushes, channel.waiting_bytes) = (0, 0);
        for reference in channel.waiting.take() {
            let Some(pending) = channel.pushes.get_mut(&reference) else { continue };
            if let Stage::Waiting(event, payload) = &pending.stage {
                let stage = Stage::Queued(event.clone(), payload.clone());
                self.outbox.push(Out::Push(id, reference, stage.cost()));
                pending.stage = stage;
            }
        }
    }

    /// What was queued and not written waits for the next join, before what waits already.
    pub(super) fn unqueue_pushes(&mut self, id: ChannelId) {
        for reference in self.outbox.take_pushes(id).into_iter().rev() {
            self.unqueue_push(id, reference);
        }
    }

    pub(super) fn unqueue_push(&mut self, id: ChannelId, reference: u64) {
        let Some(channel) = self.channels.get_mut(&id) else { return };
        let Some(pending) = channel.pushes.get_mut(&reference) else { return };
        if let Stage::Queued(event, payload) = &pending.stage {
            pending.stage = Stage::Waiting(event.clone(), payload.clone());
            if !pending.patient {
                channel.waiting_pushes += 1;
                channel.waiting_bytes += pending.stage.cost();
            }
            channel.waiting.push_front(reference);
        }
    }

    /// What was sent and not answered will not be.
    pub(super) fn disconnect_pushes(&mut self, id: ChannelId) {
        let Some(channel) = self.channels.get(&id) else { return };
        let mut sent: Vec<_> = channel
            .pushes
            .iter()
            .filter(|(_, pending)| matches!(pending.stage, Stage::Sent { .. }))
            .map(|(reference, _)| *reference)
            .collect();
        sent.sort_unstable();
        for reference in sent {
            if let Some(pending) = self.take_push(id, reference) {
                self.settle(pending.token, Outcome::Push(Err(PushError::Disconnected)));
            }
        }
    }

    /// Settles all pushes of a channel that is done with.
    pub(super) fn fail_pushes(&mut self, id: ChannelId, why: NotSent) {
        self.disconnect_pushes(id);
        let Some(channel) = self.channels.get(&id) else { return };
        let mut unsent: Vec<_> = channel.pushes.keys().copied().collect();
        unsent.sort_unstable();
        for reference in unsent {
            if let Some(pending) = self.take_push(id, reference) {
                self.not_sent(pending.token, pending.wants_reply, why);
            }
        }
    }

    fn not_sent(&mut self, token: T, wants_reply: bool, why: NotSent) {
        let outcome = if wants_reply {
            Outcome::Push(Err(PushError::NotSent(why)))
        } else {
            Outcome::Cast(Err(CastError::NotSent(why)))
        };
        self.settle(token, outcome);
    }

    /// One that is not wanted any more.
    fn take_push(&mut self, id: ChannelId, reference: u64) -> Option<Pending<T>> {
        let pending = self.remove_push(id, reference)?;
        if matches!(pending.stage, Stage::Queued(..)) {
            self.outbox.forget_push(id, reference);
        }
        Some(pending)
    }

    fn remove_push(&mut self, id: ChannelId, reference: u64) -> Option<Pending<T>> {
        let channel = self.channels.get_mut(&id)?;
        let pending = channel.pushes.remove(&reference)?;
        if matches!(pending.stage, Stage::Waiting(..)) {
            if !pending.patient {
                channel.waiting_pushes -= 1;
                channel.waiting_bytes -= pending.stage.cost();
            }
            let pushes = &channel.pushes;
            channel.waiting.leave(|id| pushes.contains_key(&id));
        }
        self.timers.disarm(Some(pending.deadline), Timer::Push(id, reference));
        self.pending_pushes -= 1;
        Some(pending)
    }
}
