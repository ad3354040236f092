//! The server's own reading and writing of `vsn` 2.0.0, apart from the client's: a misreading shared by both would
//! not be seen.

use bytes::Bytes;
use serde_json::{Value, value::RawValue};

use crate::{payload::Payload, transport::Frame};

/// What a client sent. Refs, topic and event are any JSON: a number stays a number, as Phoenix keeps it.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) join_ref: Value,
    pub(super) reference: Value,
    pub(super) topic: Value,
    pub(super) event: Value,
    pub(super) payload: Payload,
}

/// A message that its form cannot carry.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unsayable {
    #[error("a {0} of {1} bytes in a binary message; 255 is the most")]
    TooLong(&'static str, usize),
    #[error("the payload of a push or a broadcast must be a JSON object, or binary: {0}")]
    NotAMap(Payload),
}

/// `[join_ref, ref, topic, event, payload, ..]`; whatever follows the first five is ignored, fewer are fatal.
pub(super) fn parse_text(text: &[u8]) -> Option<Incoming> {
    let elements: Vec<&RawValue> = serde_json::from_slice(text).ok()?;
    let [join_ref, reference, topic, event, payload, ..] = elements.as_slice() else { return None };
    let value = |raw: &RawValue| serde_json::from_str(raw.get()).ok();
    Some(Incoming {
        join_ref: value(join_ref)?,
        reference: value(reference)?,
        topic: value(topic)?,
        event: value(event)?,
        payload: Payload::from_raw(payload.get().to_owned(), false),
    })
}

/// Kind 0, four sizes, four texts, the data. An empty join ref is `""` and not null, as Phoenix has it.
pub(super) fn parse_binary(frame: &Bytes) -> Option<Incoming> {
    let [0, join_ref, reference, topic, event, ..] = frame[..] else { return None };
    let mut at = 5;
    let mut text = |len: u8| {
        let bytes = frame.get(at..at + usize::from(len))?;
        at += usize::from(len);
        Some(Value::from(std::str::from_utf8(bytes).ok()?))
    };
    let [join_ref, reference, topic, event] = [text(join_ref)?, text(reference)?, text(topic)?, text(event)?];
    Some(Incoming { join_ref, reference, topic, event, payload: Payload::from_raw(frame.slice(at..), true) })
}

pub(super) fn reply(
    join_ref: &Value,
    reference: &Value,
    topic: &Value,
    status: &str,
    response: &Payload,
) -> Result<Frame, Unsayable> {
    if response.is_binary() {
        let [join_ref, reference, topic] = [text_of(join_ref), text_of(reference), text_of(topic)];
        let fields = [("join_ref", &*join_ref), ("ref", &*reference), ("topic", &*topic), ("status", status)];
        return binary(1, &fields, response);
    }
    let payload =
        [&br#"{"response":"#[..], response.as_bytes(), br#","status":"#, quoted(status).as_bytes(), b"}"].concat();
    Ok(text(join_ref, reference, topic, "phx_reply", &payload))
}

pub(super) fn push(join_ref: &Value, topic: &str, event: &str, payload: &Payload) -> Result<Frame, Unsayable> {
    if payload.is_binary() {
        return binary(0, &[("join_ref", &text_of(join_ref)), ("topic", topic), ("event", event)], payload);
    }
    only_maps(payload)?;
    Ok(json_push(join_ref, topic, event, payload))
}

pub(super) fn broadcast(topic: &str, event: &str, payload: &Payload) -> Result<Frame, Unsayable> {
    if payload.is_binary() {
        return binary(2, &[("topic", topic), ("event", event)], payload);
    }
    push(&Value::Null, topic, event, payload)
}

/// A push or, without a join ref, a broadcast of a JSON object, which always has a form.
pub(super) fn json_push(join_ref: &Value, topic: &str, event: &str, object: &Payload) -> Frame {
    text(join_ref, &Value::Null, &topic.into(), event, object.as_bytes())
}

pub(super) fn close(join_ref: &Value, topic: &str) -> Frame {
    text(join_ref, join_ref, &topic.into(), "phx_close", b"{}")
}

pub(super) fn error(join_ref: &Value, topic: &str) -> Frame {
    text(join_ref, join_ref, &topic.into(), "phx_error", br#"{"reason":"channel_crash"}"#)
}

/// A JSON reply, which always has a form.
pub(super) fn json_reply(join_ref: &Value, reference: &Value, topic: &Value, status: &str, response: &str) -> Frame {
    let payload = format!(r#"{{"response":{response},"status":{}}}"#, quoted(status));
    text(join_ref, reference, topic, "phx_reply", payload.as_bytes())
}

/// W-7: Phoenix refuses to push or broadcast anything but maps.
pub(super) fn only_maps(payload: &Payload) -> Result<(), Unsayable> {
    let map = payload.is_binary() || payload.as_bytes().trim_ascii_start().starts_with(b"{");
    if map { Ok(()) } else { Err(Unsayable::NotAMap(payload.clone())) }
}

fn text(join_ref: &Value, reference: &Value, topic: &Value, event: &str, payload: &[u8]) -> Frame {
    let head = format!("[{join_ref},{reference},{topic},{},", quoted(event));
    Frame::Text([head.as_bytes(), payload, b"]"].concat().into())
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

fn text_of(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn binary(kind: u8, fields: &[(&'static str, &str)], data: &Payload) -> Result<Frame, Unsayable> {
    let mut frame = vec![kind];
    for (name, text) in fields {
        frame.push(u8::try_from(text.len()).map_err(|_| Unsayable::TooLong(name, text.len()))?);
    }
    for (_, text) in fields {
        frame.extend_from_slice(text.as_bytes());
    }
    frame.extend_from_slice(data.as_bytes());
    Ok(Frame::Binary(frame.into()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn text_frame(frame: Frame) -> String {
        let Frame::Text(bytes) = frame else { panic!("not text: {frame:?}") };
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[test]
    fn refs_keep_their_json_type() {
        let read = parse_text(br#"[7,"7","a:b","e",null,"more",5]"#).unwrap();
        assert_eq!((read.join_ref, read.reference), (json!(7), json!("7")));
        assert_eq!(read.payload.as_str(), Some("null"));
    }

    #[test]
    fn what_is_no_array_of_five_is_fatal() {
        for text in ["", "null", "{}", "[1,2,3,4]", "[1,2,3,4,5] 6", "[1,2,3,4,", r#"{"topic":"a"}"#] {
            assert!(parse_text(text.as_bytes()).is_none(), "{text}");
        }
    }

    #[test]
    fn what_is_no_whole_binary_push_is_fatal() {
        for bytes in [
            &b""[..],
            b"\0",
            b"\0\x01",
            b"\0\x01\x01\x01\x0111x",
            b"\x01\0\0\0\0",
            b"\0\x01\x01\x02\x0111\xff\xfeedata",
        ] {
            assert!(parse_binary(&Bytes::from_static(bytes)).is_none(), "{bytes:?}");
        }
        let read = parse_binary(&Bytes::from_static(b"\0\0\x01\x01\x01rte")).unwrap();
        assert_eq!((read.join_ref, read.reference), (json!(""), json!("r")));
        assert!(read.payload.as_bytes().is_empty());
    }

    #[test]
    fn a_number_reads_as_text_in_a_binary_reply() {
        let frame = reply(&json!(7), &Value::Null, &json!("t"), "ok", &Payload::from_raw("d", true)).unwrap();
        assert_eq!(frame, Frame::Binary(Bytes::from_static(b"\x01\x01\0\x01\x027tokd")));
    }

    #[test]
    fn a_name_of_256_bytes_has_no_binary_form() {
        let event = "e".repeat(256);
        assert!(broadcast("t", &event, &Payload::from_raw("d", true)).is_err());
        assert!(broadcast("t", &event[1..], &Payload::from_raw("d", true)).is_ok());
        assert!(broadcast("t", &event, &Payload::from_raw("{}", false)).is_ok());
    }

    // W-7
    #[test]
    fn only_maps_are_pushed_but_anything_is_replied() {
        let list = Payload::from_raw("[1]", false);
        assert!(push(&json!("1"), "t", "e", &list).is_err());
        assert!(broadcast("t", "e", &list).is_err());
        let frame = reply(&json!("1"), &json!("2"), &json!("t"), "ok", &list).unwrap();
        assert_eq!(text_frame(frame), r#"["1","2","t","phx_reply",{"response":[1],"status":"ok"}]"#);
    }

    #[test]
    fn names_are_quoted() {
        let frame = broadcast("a\"b", "\n", &Payload::from_raw("{}", false)).unwrap();
        assert_eq!(text_frame(frame), r#"[null,null,"a\"b","\n",{}]"#);
    }
}
