//! Raw pushes: past all channels, kept while there is no connection.

use std::collections::HashMap;

use super::{Core, Instant, Out, Outcome, Timer, line::Line, push::OVERHEAD};
use crate::{
    error::{CastError, NotSent},
    serializer::Envelope,
    transport::Frame,
};

#[derive(Debug)]
pub(super) struct Raws<T> {
    pending: HashMap<u64, Pending<T>>,
    /// Those that wait for a connection, in order.
    waiting: Line,
    waiting_count: usize,
    waiting_bytes: usize,
}

#[derive(Debug)]
struct Pending<T> {
    token: T,
    deadline: Instant,
    message: Envelope,
    waits: bool,
}

impl<T> Default for Raws<T> {
    fn default() -> Self {
        Raws { pending: HashMap::new(), waiting: Line::default(), waiting_count: 0, waiting_bytes: 0 }
    }
}

impl<T> Pending<T> {
    fn cost(&self) -> usize {
        self.message.payload.as_bytes().len() + self.message.event.len() + self.message.topic.len() + OVERHEAD
    }
}

impl<T> Core<T> {
    pub(super) fn push_raw(&mut self, id: u64, message: Envelope, deadline: Instant, token: T) {
        if self.is_closed() {
            return self.settle(token, Outcome::Cast(Err(CastError::NotSent(NotSent::Closed))));
        }
        let mut pending = Pending { token, deadline, message, waits: false };
        if self.link.is_open() {
            self.outbox.push(Out::Raw(id, pending.cost()));
        } else {
            let full = self.raws.waiting_count >= self.config.waiting_pushes
                || self.raws.waiting_bytes + pending.cost() > self.config.waiting_bytes;
            if full {
                return self.settle(pending.token, Outcome::Cast(Err(CastError::NotSent(NotSent::BufferFull))));
            }
            pending.waits = true;
            self.raws.waiting_count += 1;
            self.raws.waiting_bytes += pending.cost();
            self.raws.waiting.push_back(id);
        }
        self.timers.arm(Some(deadline), Timer::Raw(id));
        self.raws.pending.insert(id, pending);
        self.pending_pushes += 1;
    }

    pub(super) fn write_raw(&mut self, id: u64) -> Option<Frame> {
        let pending = self.remove_raw(id)?;
        let encoded = self.codec.encode_envelope(&pending.message);
        let how = match &encoded {
            Ok(_) if self.parting => Err(CastError::Disconnected),
            Ok(_) => Ok(()),
            Err(error) => Err(CastError::Encode(error.clone())),
        };
        self.settle(pending.token, Outcome::Cast(how));
        encoded.ok()
    }

    /// The connection is open: what waited goes out first, in order (B-4).
    pub(super) fn queue_raw(&mut self) {
        (self.raws.waiting_count, self.raws.waiting_bytes) = (0, 0);
        for id in self.raws.waiting.take() {
            if let Some(pending) = self.raws.pending.get_mut(&id) {
                pending.waits = false;
                self.outbox.push(Out::Raw(id, pending.cost()));
            }
        }
    }

    /// One that was queued and not written waits for the next connection, before what waits already.
    pub(super) fn unqueue_raw(&mut self, id: u64) {
        let Some(pending) = self.raws.pending.get_mut(&id) else { return };
        pending.waits = true;
        self.raws.waiting_count += 1;
        self.raws.waiting_bytes += pending.cost();
        self.raws.waiting.push_front(id);
    }

    pub(super) fn raw_timeout(&mut self, id: u64) {
        if let Some(pending) = self.take_raw(id) {
            self.settle(pending.token, Outcome::Cast(Err(CastError::NotSent(NotSent::Timeout))));
        }
    }

    pub(super) fn cancel_raw(&mut self, id: u64) {
        let pending = self.take_raw(id);
        self.drop_token(pending.map(|pending| pending.token));
    }

    pub(super) fn fail_raw(&mut self, why: NotSent) {
        let mut all: Vec<_> = self.raws.pending.keys().copied().collect();
        all.sort_unstable();
        for id in all {
            if let Some(pending) = self.take_raw(id) {
                self.settle(pending.token, Outcome::Cast(Err(CastError::NotSent(why))));
            }
        }
    }

    /// One that is not wanted any more.
    fn take_raw(&mut self, id: u64) -> Option<Pending<T>> {
        let pending = self.remove_raw(id)?;
        if !pending.waits {
            self.outbox.forget_raw(id);
        }
        Some(pending)
    }

    fn remove_raw(&mut self, id: u64) -> Option<Pending<T>> {
        let pending = self.raws.pending.remove(&id)?;
        if pending.waits {
            self.raws.waiting_count -= 1;
            self.raws.waiting_bytes -= pending.cost();
            let all = &self.raws.pending;
            self.raws.waiting.leave(|id| all.contains_key(&id));
        }
        self.timers.disarm(Some(pending.deadline), Timer::Raw(id));
        self.pending_pushes -= 1;
        Some(pending)
    }
}
