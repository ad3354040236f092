//! The server's half of the protocol's version 2: what Phoenix' `V2.JSONSerializer` writes and reads.

use std::sync::Arc;

use super::Incoming;
use crate::{
    core::event,
    error::DecodeError,
    payload::Payload,
    serializer::{Envelope, Serializer, V2},
    transport::Frame,
};

const PUSH: u8 = 0;
const REPLY: u8 = 1;
const BROADCAST: u8 = 2;

pub(super) fn decode(frame: Frame) -> Result<Incoming, DecodeError> {
    match frame {
        Frame::Binary(bytes) => {
            decode_push(&bytes).ok_or_else(|| DecodeError::new(format!("no binary push: {bytes:02x?}")))
        }
        frame => {
            let Envelope { join_ref, r#ref, topic, event, payload } = V2.decode(frame)?;
            Ok(Incoming { join_ref, r#ref, topic, event, payload })
        }
    }
}

/// A client's binary push has four names, a server's three: W-9.
fn decode_push(bytes: &[u8]) -> Option<Incoming> {
    let ([PUSH, lens @ ..], mut rest) = bytes.split_first_chunk::<5>()? else { return None };
    let mut names = [""; 4];
    for (name, len) in names.iter_mut().zip(lens) {
        let (text, after) = rest.split_at_checked(usize::from(*len))?;
        *name = std::str::from_utf8(text).ok()?;
        rest = after;
    }
    let present = |name: &str| (!name.is_empty()).then(|| Arc::from(name));
    let [join_ref, r#ref, topic, event] = names;
    Some(Incoming {
        join_ref: present(join_ref),
        r#ref: present(r#ref),
        topic: topic.into(),
        event: event.into(),
        payload: Payload::from_raw(rest.to_vec(), true),
    })
}

pub(super) fn reply(to: &Incoming, status: &str, payload: &Payload) -> Frame {
    if payload.is_binary() {
        let names = [text(&to.join_ref), text(&to.r#ref), &to.topic, status];
        return binary(REPLY, &names, payload.as_bytes());
    }
    let body = [b"{\"response\":", payload.as_bytes(), b",\"status\":", quoted(status).as_bytes(), b"}"].concat();
    json(to.join_ref.as_ref(), to.r#ref.as_ref(), &to.topic, event::REPLY, &Payload::from_raw(body, false))
}

pub(super) fn push(join: &Incoming, event: &str, payload: &Payload) -> Frame {
    if payload.is_binary() {
        return binary(PUSH, &[text(&join.join_ref), &join.topic, event], payload.as_bytes());
    }
    json(join.join_ref.as_ref(), None, &join.topic, event, payload)
}

pub(super) fn broadcast(topic: &str, event: &str, payload: &Payload) -> Frame {
    if payload.is_binary() {
        return binary(BROADCAST, &[topic, event], payload.as_bytes());
    }
    json(None, None, topic, event, payload)
}

/// `phx_error` and `phx_close` carry the join ref twice (W-4).
pub(super) fn lifecycle(join: &Incoming, event: &str, payload: &Payload) -> Frame {
    assert!(!payload.is_binary(), "Phoenix has no binary {event}");
    json(join.join_ref.as_ref(), join.join_ref.as_ref(), &join.topic, event, payload)
}

fn json(
    join_ref: Option<&Arc<str>>,
    reference: Option<&Arc<str>>,
    topic: &str,
    event: &str,
    payload: &Payload,
) -> Frame {
    let message = Envelope {
        join_ref: join_ref.cloned(),
        r#ref: reference.cloned(),
        topic: topic.into(),
        event: event.into(),
        payload: payload.clone(),
    };
    V2.encode(&message).unwrap_or_else(|error| panic!("{error}"))
}

/// Kind, lengths, names, data.
fn binary(kind: u8, names: &[&str], data: &[u8]) -> Frame {
    let mut bytes = vec![kind];
    for name in names {
        bytes
            .push(u8::try_from(name.len()).unwrap_or_else(|_| panic!("more than 255 bytes in a binary frame: {name}")));
    }
    for name in names {
        bytes.extend_from_slice(name.as_bytes());
    }
    bytes.extend_from_slice(data);
    Frame::Binary(bytes.into())
}

fn text(reference: &Option<Arc<str>>) -> &str {
    reference.as_deref().unwrap_or_default()
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
