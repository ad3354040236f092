//! What a channel has received last, for those who ask at its next join.

use std::sync::Arc;

use bytes::Bytes;

use super::queue::Budget;
use crate::{
    message::{LastSeen, Message, Names, Topic},
    payload::{Kind, Payload},
    serializer::Incoming,
};

/// Of so many event names the last message is kept.
const EVENTS: usize = 64;
/// Their bytes together, beyond the very last message.
const BYTES: usize = 1 << 20;
/// Shorter payloads are copied, so that keeping one keeps nothing of the buffer it was read into.
const COPIED: usize = 64 << 10;
/// What an entry is charged on top of its bytes.
const OVERHEAD: usize = 128;

/// The last message of each event, the most recent at the end. What it holds is charged to the socket.
#[derive(Debug)]
pub(super) struct Received {
    entries: Vec<Entry>,
    bytes: usize,
    budget: Arc<Budget>,
}

#[derive(Debug)]
struct Entry {
    names: Arc<Names>,
    body: Body,
    kind: Kind,
    cost: usize,
}

#[derive(Debug)]
enum Body {
    /// A buffer that the next message of this event fills anew.
    Small(Vec<u8>),
    Large(Bytes),
}

impl Received {
    pub(super) fn new(budget: Arc<Budget>) -> Self {
        Received { entries: Vec::new(), bytes: 0, budget }
    }

    /// Where there is no room for it, what was there stays: it is better to ask for too much than from the beginning.
    pub(super) fn note(&mut self, topic: &Topic, incoming: &Incoming<'_>) {
        let (bytes, kind) = (incoming.body.bytes, incoming.body.kind);
        let at = self.entries.iter().rposition(|entry| incoming.event == *entry.names.event);
        let before = at.map(|at| &self.entries[at]);
        let held = match before {
            _ if bytes.len() >= COPIED => 2 * bytes.len(),
            Some(Entry { body: Body::Small(buffer), .. }) => buffer.capacity().max(bytes.len()),
            _ => bytes.len(),
        };
        let cost = held + incoming.event.as_bytes().len() + OVERHEAD;
        let paid = before.map_or(0, |entry| entry.cost);
        if !self.budget.take(cost.saturating_sub(paid)) {
            return;
        }
        self.budget.give_back(paid.saturating_sub(cost));
        self.bytes = self.bytes + cost - paid;
        let (names, mut buffer) = match at.map(|at| self.entries.remove(at)) {
            Some(Entry { names, body: Body::Small(buffer), .. }) => (names, buffer),
            Some(Entry { names, .. }) => (names, Vec::new()),
            None => (Arc::new(Names { topic: topic.clone(), event: incoming.event.as_str().into() }), Vec::new()),
        };
        let body = if bytes.len() < COPIED {
            buffer.clear();
            buffer.reserve_exact(bytes.len());
            buffer.extend_from_slice(bytes);
            Body::Small(buffer)
        } else {
            Body::Large(incoming.body.to_large())
        };
        while self.entries.len() >= EVENTS || (self.bytes > BYTES && !self.entries.is_empty()) {
            let oldest = self.entries.remove(0);
            self.bytes -= oldest.cost;
            self.budget.give_back(oldest.cost);
        }
        self.entries.push(Entry { names, body, kind, cost });
    }

    pub(super) fn last_seen(&self) -> LastSeen {
        let message = |entry: &Entry| {
            let bytes = match &entry.body {
                Body::Small(buffer) => Bytes::copy_from_slice(buffer),
                Body::Large(bytes) => bytes.clone(),
            };
            Message::new(entry.names.clone(), Payload::new(bytes, entry.kind))
        };
        LastSeen::new(self.entries.iter().map(message).collect())
    }

    /// What came belongs to a life that has ended.
    pub(super) fn forget(&mut self) {
        self.entries.clear();
        self.budget.give_back(std::mem::take(&mut self.bytes));
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        self.budget.give_back(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serializer::Body as Payloads;

    fn note(received: &mut Received, event: &str, payload: &str) {
        let owner = Bytes::from(payload.to_owned());
        let body = Payloads { owner: Some(&owner), bytes: &owner, kind: Kind::Json };
        let incoming =
            Incoming { join_ref: None, reference: None, topic: "room:1".into(), event: event.into(), body, header: 0 };
        received.note(&"room:1".into(), &incoming);
    }

    fn text(message: Option<&Message>) -> Option<&str> {
        message?.payload().as_str()
    }

    // N-15
    #[test]
    fn the_last_of_all_and_the_last_of_each_event() {
        let mut received = Received::new(Budget::new(1 << 20));
        assert!(received.last_seen().message().is_none());
        note(&mut received, "a", "1");
        note(&mut received, "b", "2");
        note(&mut received, "a", "3");
        let before = received.last_seen();
        note(&mut received, "b", "40");
        let now = received.last_seen();
        assert_eq!(
            (text(now.message()), text(now.event("a")), text(now.event("b"))),
            (Some("40"), Some("3"), Some("40"))
        );
        assert_eq!(now.message().map(|message| (message.topic(), message.event())), Some(("room:1", "b")));
        assert_eq!((text(before.message()), text(before.event("b"))), (Some("3"), Some("2")), "one's own");
        assert!(now.event("c").is_none());
    }

    // Law 12: names and bytes are bounded, whatever a server makes up.
    #[test]
    fn it_is_bounded_in_names_and_bytes_and_charged() {
        let budget = Budget::new(64 << 20);
        let mut received = Received::new(budget.clone());
        for number in 0..10 * EVENTS {
            note(&mut received, &number.to_string(), "1");
        }
        assert_eq!(received.entries.len(), EVENTS);
        let large = "x".repeat(BYTES / 8);
        for number in 0..100 {
            note(&mut received, &number.to_string(), &large);
        }
        assert!(received.bytes <= BYTES && received.entries.len() >= 2, "{} bytes", received.bytes);
        note(&mut received, "huge", &"x".repeat(4 * BYTES));
        assert_eq!(received.entries.len(), 1, "the very last is kept, whatever its size");
        assert_eq!(budget.used(), received.bytes);
        drop(received);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn where_the_socket_holds_all_it_may_the_last_is_not_kept() {
        let budget = Budget::new(1_000);
        let mut received = Received::new(budget.clone());
        note(&mut received, "a", "1");
        assert!(budget.take(1_000 - budget.used()));
        note(&mut received, "b", "2");
        assert_eq!(text(received.last_seen().message()), Some("1"));
        assert!(received.last_seen().event("b").is_none());
        note(&mut received, "a", &"3".repeat(500));
        assert_eq!(text(received.last_seen().event("a")), Some("1"), "the older one says where to go on from");
        note(&mut received, "a", "4");
        assert_eq!(text(received.last_seen().event("a")), Some("4"));
    }
}
