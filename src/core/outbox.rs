//! What waits to be handed to the connection, in order.

use std::{collections::VecDeque, mem};

use super::ChannelId;
use crate::transport::Frame;

/// Joins and pushes wait as what is wanted, not as frames: one that is wanted no more is not sent (law 7, T-19).
#[derive(Debug)]
pub(crate) enum Out {
    Frame(Frame),
    Heartbeat(u64),
    Join(ChannelId, u64),
    Push(ChannelId, u64, usize),
    Ping(u64),
    Raw(u64, usize),
}

#[derive(Debug, Default)]
pub(crate) struct Outbox {
    queue: VecDeque<Out>,
    bytes: usize,
}

impl Outbox {
    pub(crate) fn push(&mut self, out: Out) {
        self.bytes += cost(&out);
        self.queue.push_back(out);
    }

    pub(crate) fn pop(&mut self) -> Option<Out> {
        let out = self.queue.pop_front()?;
        self.bytes -= cost(&out);
        Some(out)
    }

    /// Takes out the pushes of one channel, in order.
    pub(crate) fn take_pushes(&mut self, channel: ChannelId) -> Vec<u64> {
        let mut taken = Vec::new();
        self.queue.retain(|out| match *out {
            Out::Push(owner, id, size) if owner == channel => {
                self.bytes -= size;
                taken.push(id);
                false
            }
            _ => true,
        });
        taken
    }

    /// A push that is not wanted any more. The latest are looked at first: it may just have come.
    pub(crate) fn forget_push(&mut self, channel: ChannelId, id: u64) {
        self.forget(|out| matches!(*out, Out::Push(owner, other, _) if (owner, other) == (channel, id)));
    }

    pub(crate) fn forget_join(&mut self, channel: ChannelId, id: u64) {
        self.forget(|out| matches!(*out, Out::Join(owner, other) if (owner, other) == (channel, id)));
    }

    pub(crate) fn forget_ping(&mut self, id: u64) {
        self.forget(|out| matches!(*out, Out::Ping(other) if other == id));
    }

    pub(crate) fn forget_raw(&mut self, id: u64) {
        self.forget(|out| matches!(*out, Out::Raw(other, _) if other == id));
    }

    fn forget(&mut self, is_it: impl Fn(&Out) -> bool) {
        if let Some(out) = self.queue.iter().rposition(is_it).and_then(|at| self.queue.remove(at)) {
            self.bytes -= cost(&out);
        }
    }

    /// All of it, in order.
    pub(crate) fn take(&mut self) -> VecDeque<Out> {
        self.bytes = 0;
        mem::take(&mut self.queue)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

fn cost(out: &Out) -> usize {
    match out {
        Out::Frame(frame) => frame.len(),
        Out::Push(_, _, size) | Out::Raw(_, size) => *size,
        Out::Heartbeat(_) | Out::Ping(_) | Out::Join(..) => 64,
    }
}
