//! What arrives on a channel: messages, and replies to what was sent.

use std::{fmt, sync::Arc};

use serde::de::Deserialize;

use crate::{batch::Part, error::DecodeError, payload::Payload};

/// A topic, such as `room:lobby`.
pub type Topic = Arc<str>;

/// A message of a channel: a push or a broadcast of the server.
///
/// Topic and event are shared with the subscription it came through, the payload with the chunk it arrived in
/// (of at most 8 KiB, or the payload's own size): a message is cheap to clone and to keep.
#[derive(Clone)]
pub struct Message {
    /// None where the payload is a part of a batch, which knows them.
    names: Option<Arc<Names>>,
    payload: Payload,
}

/// Topic and event, written once for a whole subscription.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Names {
    pub(crate) topic: Topic,
    pub(crate) event: Box<str>,
}

impl Message {
    pub(crate) fn new(names: Arc<Names>, payload: Payload) -> Self {
        Message { names: Some(names), payload }
    }

    #[inline]
    pub(crate) fn of_part(part: Part) -> Self {
        Message { names: None, payload: Payload::of_part(part) }
    }

    fn names(&self) -> Option<&Names> {
        self.names.as_deref().or_else(|| self.payload.part().map(Part::names))
    }

    /// The topic it arrived on.
    pub fn topic(&self) -> &str {
        self.names().map_or("", |names| &names.topic)
    }

    /// The event name.
    pub fn event(&self) -> &str {
        self.names().map_or("", |names| &names.event)
    }

    /// The payload, unparsed.
    #[inline]
    pub fn payload(&self) -> &Payload {
        &self.payload
    }

    /// The payload alone.
    pub fn into_payload(self) -> Payload {
        self.payload
    }

    /// Decodes the payload: [`Payload::json`].
    ///
    /// # Errors
    /// As [`Payload::json`].
    pub fn json<'a, T: Deserialize<'a>>(&'a self) -> Result<T, DecodeError> {
        self.payload.json()
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("topic", &self.topic())
            .field("event", &self.event())
            .field("payload", &self.payload)
            .finish()
    }
}

/// What a channel has received before this join: given to a [`join_with`](crate::Channel::join_with) closure, so that it
/// can ask for what came meanwhile. Received is not read: a stream may still hold it.
///
/// From when the closure is given it remembers the very last message, and the last one of up to 64 event names and 1 MiB
/// in all; where the socket has no room for that (a quarter of what it may hold for readers), an older one. What belongs to a life
/// before a leave or a close is forgotten.
#[derive(Clone, Debug, Default)]
pub struct LastSeen(Arc<[Message]>);

impl LastSeen {
    /// The most recent one is the last.
    pub(crate) fn new(messages: Arc<[Message]>) -> Self {
        LastSeen(messages)
    }

    /// The last message of all; none before the first join.
    pub fn message(&self) -> Option<&Message> {
        self.0.last()
    }

    /// The last message of this event.
    pub fn event(&self, name: impl AsRef<str>) -> Option<&Message> {
        self.0.iter().rev().find(|message| message.event() == name.as_ref())
    }
}

/// The answer of the server to a push or a join.
#[derive(Clone, PartialEq, Eq)]
pub struct Reply {
    status: Status,
    payload: Payload,
}

#[derive(Clone, PartialEq, Eq)]
enum Status {
    Ok,
    Error,
    Other(Arc<str>),
}

impl Reply {
    pub(crate) fn new(status: &str, payload: Payload) -> Self {
        let status = match status {
            "ok" => Status::Ok,
            "error" => Status::Error,
            other => Status::Other(other.into()),
        };
        Reply { status, payload }
    }

    /// The status: `ok`, `error`, or any other word the server's application chose.
    pub fn status(&self) -> &str {
        match &self.status {
            Status::Ok => "ok",
            Status::Error => "error",
            Status::Other(status) => status,
        }
    }

    /// The response, unparsed.
    pub fn payload(&self) -> &Payload {
        &self.payload
    }

    /// Decodes the response: [`Payload::json`].
    ///
    /// # Errors
    /// As [`Payload::json`].
    pub fn json<'a, T: Deserialize<'a>>(&'a self) -> Result<T, DecodeError> {
        self.payload.json()
    }

    /// The `reason` of a response `{"reason": ".."}`, as Phoenix' own refusals carry it.
    pub(crate) fn reason(&self) -> Option<String> {
        #[derive(serde::Deserialize)]
        struct Why {
            reason: String,
        }
        self.json::<Why>().ok().map(|why| why.reason)
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The server's own words, as the errors that carry them say them too; not all, where there are many.
        const SHOWN: usize = 200;
        write!(f, "Reply({}, ", self.status())?;
        match self.payload.as_str() {
            Some(text) => match text.char_indices().nth(SHOWN) {
                Some((end, _)) => write!(f, "{}...)", &text[..end]),
                None => write!(f, "{text})"),
            },
            None => write!(f, "{})", self.payload),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &'static str) -> Payload {
        Payload::from_raw(text, false)
    }

    // T-29
    #[test]
    fn a_message_names_topic_and_event_and_hides_its_payload() {
        let names = Arc::new(Names { topic: "room:1".into(), event: "shout".into() });
        let message = Message::new(names, json(r#"{"text":"secret"}"#));
        assert_eq!((message.topic(), message.event()), ("room:1", "shout"));
        assert_eq!(message.json::<serde_json::Value>().unwrap()["text"], "secret");
        let shown = format!("{message:?}");
        assert_eq!(shown, r#"Message { topic: "room:1", event: "shout", payload: Payload(json, 17 bytes) }"#);
        assert_eq!(message.into_payload(), json(r#"{"text":"secret"}"#));
    }

    // W-6, T-7
    #[test]
    fn a_reply_has_any_status() {
        for status in ["ok", "error", "timeout", "", "später"] {
            assert_eq!(Reply::new(status, Payload::empty()).status(), status);
        }
        assert_eq!(format!("{:?}", Reply::new("no", json("[1]"))), "Reply(no, [1])");
        let long = Payload::from_raw("ä".repeat(500), false);
        let long = format!("{:?}", Reply::new("no", long));
        assert!(long.ends_with("ää...)") && long.chars().count() < 230, "{long}");
    }

    #[test]
    fn the_reason_of_a_reply_is_the_one_phoenix_writes() {
        let reason = |payload| Reply::new("error", payload).reason();
        assert_eq!(reason(json(r#"{"reason":"unmatched topic"}"#)).as_deref(), Some("unmatched topic"));
        for other in [r#"{"reason":1}"#, "{}", "[]", "null", "\"reason\"", ""] {
            assert_eq!(reason(json(other)), None);
        }
        assert_eq!(reason(Payload::from_raw(r#"{"reason":"x"}"#, true)), None);
    }
}
