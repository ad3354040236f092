//! What waits to be handed to the connection, in order.

use std::collections::VecDeque;

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

    /// Takes out the raw pushes, in order.
    pub(crate) fn take_raw(&mut self) -> Vec<u64> {
        let mut taken = Vec::new();
        self.queue.retain(|out| match *out {
            Out::Raw(id, size) => {
                self.bytes -= size;
                taken.push(id);
                false
            }
            _ => true,
        });
        taken
    }

    pub(crate) fn clear(&mut self) {
        self.queue.clear();
        self.bytes = 0;
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
