//! Phoenix' serializer of `vsn` 2.0.0: JSON arrays as text, and three kinds of binary frame.

use bytes::Bytes;

use super::{Body, Envelope, Incoming, Kept, Name, Outgoing, Scanner, Serializer};
use crate::{
    core::event,
    error::{DecodeError, EncodeError},
    payload::{Kind, Payload},
    transport::Frame,
};

pub(super) const VSN: &str = "2.0.0";

const PUSH: u8 = 0;
const REPLY: u8 = 1;
const BROADCAST: u8 = 2;

/// Phoenix' own serializer, `vsn` 2.0.0. The default.
///
/// Text frames are `[join_ref, ref, topic, event, payload]`; a [binary](crate::Binary) payload makes a binary frame,
/// whose topic, event and refs may have at most 255 bytes each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct V2;

impl Serializer for V2 {
    fn vsn(&self) -> &str {
        VSN
    }

    fn encode(&self, message: &Envelope) -> Result<Frame, EncodeError> {
        let (join_ref, reference) = (message.join_ref.as_deref(), message.r#ref.as_deref());
        frame(join_ref, reference, &message.topic, Name::from(&*message.event), &message.payload)
    }

    fn decode(&self, frame: Frame) -> Result<Envelope, DecodeError> {
        let mut kept = Kept::default();
        decode(&mut Scanner::default(), &frame, &mut kept).map(Incoming::to_envelope)
    }
}

pub(super) fn encode(message: Outgoing<'_>) -> Result<Frame, EncodeError> {
    let (mut join_ref, mut reference) = (itoa::Buffer::new(), itoa::Buffer::new());
    frame(
        message.join_ref.map(|number| join_ref.format(number)),
        message.reference.map(|number| reference.format(number)),
        message.topic,
        message.event,
        message.payload,
    )
}

fn frame(
    join_ref: Option<&str>,
    reference: Option<&str>,
    topic: &str,
    event: Name<'_>,
    payload: &Payload,
) -> Result<Frame, EncodeError> {
    if payload.is_binary() {
        return binary(join_ref, reference, topic, event.as_str(), payload.as_bytes()).map(Frame::Binary);
    }
    // Text that is not UTF-8 would cost the connection, here and at the server: W-34.
    let payload = payload.as_bytes();
    if payload.is_empty() {
        return Err(EncodeError::new("JSON text without a value"));
    }
    if !payload.is_ascii() && std::str::from_utf8(payload).is_err() {
        return Err(EncodeError::new("JSON text that is not UTF-8"));
    }
    // Exactly what it takes where nothing is escaped: what is left over would cost another allocation.
    let reference_len = |reference: Option<&str>| reference.map_or(2, str::len);
    let refs = reference_len(join_ref) + reference_len(reference);
    let mut text = Vec::with_capacity(refs + topic.len() + event.as_bytes().len() + payload.len() + 14);
    for (reference, before) in [(join_ref, b"["), (reference, b",")] {
        text.extend_from_slice(before);
        match reference {
            Some(reference) => write_string(&mut text, reference.into())?,
            None => text.extend_from_slice(b"null"),
        }
    }
    for name in [topic.into(), event] {
        text.push(b',');
        write_string(&mut text, name)?;
    }
    text.push(b',');
    text.extend_from_slice(payload);
    text.push(b']');
    Ok(Frame::Text(text.into()))
}

/// A JSON string. Hardly any name needs escapes.
#[inline]
fn write_string(text: &mut Vec<u8>, name: Name<'_>) -> Result<(), EncodeError> {
    let mut is_plain = true;
    for &byte in name.as_bytes() {
        is_plain &= byte >= b' ' && byte != b'"' && byte != b'\\';
    }
    if !is_plain {
        return serde_json::to_writer(text, name.as_str()).map_err(EncodeError::new);
    }
    text.push(b'"');
    text.extend_from_slice(name.as_bytes());
    text.push(b'"');
    Ok(())
}

fn binary(
    join_ref: Option<&str>,
    reference: Option<&str>,
    topic: &str,
    event: &str,
    data: &[u8],
) -> Result<Bytes, EncodeError> {
    // W-13: in a binary frame an absent join_ref reads as "", which the server drops without a word.
    let join_ref = join_ref
        .filter(|text| !text.is_empty())
        .ok_or_else(|| EncodeError::new("a binary payload outside of a joined channel"))?;
    let fields = [("join_ref", join_ref), ("ref", reference.unwrap_or_default()), ("topic", topic), ("event", event)];
    let mut bytes = Vec::with_capacity(5 + data.len() + fields.iter().map(|(_, text)| text.len()).sum::<usize>());
    bytes.push(PUSH);
    for (name, text) in fields {
        let len = u8::try_from(text.len()).map_err(|_| {
            EncodeError::new(format!("the {name} has {} bytes; with a binary payload 255 is the most", text.len()))
        })?;
        bytes.push(len);
    }
    for (_, text) in fields {
        bytes.extend_from_slice(text.as_bytes());
    }
    bytes.extend_from_slice(data);
    Ok(bytes.into())
}

#[inline]
pub(super) fn decode<'a>(
    scanner: &mut Scanner,
    frame: &'a Frame,
    kept: &'a mut Kept<'a>,
) -> Result<Incoming<'a>, DecodeError> {
    match frame {
        Frame::Text(text) => {
            let payload = scanner.scan(text).map_err(DecodeError::new)?;
            let names = if scanner.escaped {
                *kept = Kept::Names(scanner.spell(text).map_err(DecodeError::new)?);
                let Kept::Names(names) = kept else { unreachable!() };
                names.each_ref().map(|name| &**name)
            } else {
                scanner.names(text)
            };
            let body = Body { owner: Some(text), bytes: payload, kind: Kind::Json };
            Ok(Incoming::new(names, body, scanner.number))
        }
        Frame::Binary(bytes) => decode_binary(bytes).map_err(DecodeError::new),
        Frame::Close { .. } => Err(DecodeError::new("a close frame is not a message")),
    }
}

fn decode_binary(frame: &Bytes) -> Result<Incoming<'_>, &'static str> {
    let mut reader = Reader(frame);
    let (names, bytes, kind) = match reader.byte()? {
        PUSH => {
            let [join_ref, topic, event] = reader.fields()?;
            ([join_ref, "", topic, event], reader.0, Kind::Binary)
        }
        REPLY => {
            let [join_ref, reference, topic] = [reader.byte()?, reader.byte()?, reader.byte()?];
            let status = reader.byte()?;
            let [join_ref, reference, topic] = [reader.text(join_ref)?, reader.text(reference)?, reader.text(topic)?];
            let body = reader.0;
            reader.text(status)?;
            ([join_ref, reference, topic, event::REPLY], body, Kind::Reply(status))
        }
        BROADCAST => {
            let [topic, event] = reader.fields()?;
            (["", "", topic, event], reader.0, Kind::Binary)
        }
        _ => return Err("a binary frame of unknown kind"),
    };
    Ok(Incoming::new(names.map(str::as_bytes), Body { owner: Some(frame), bytes, kind }, 0))
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Result<u8, &'static str> {
        let (first, rest) = self.0.split_first().ok_or("a binary frame that is cut short")?;
        self.0 = rest;
        Ok(*first)
    }

    fn text(&mut self, len: u8) -> Result<&'a str, &'static str> {
        let (text, rest) = self.0.split_at_checked(len.into()).ok_or("a binary frame that is cut short")?;
        self.0 = rest;
        std::str::from_utf8(text).map_err(|_| "a binary frame whose names are not UTF-8")
    }

    /// Lengths first, then the texts back to back (W-10).
    fn fields<const N: usize>(&mut self) -> Result<[&'a str; N], &'static str> {
        let mut lens = [0; N];
        for len in &mut lens {
            *len = self.byte()?;
        }
        let mut texts = [""; N];
        for (text, len) in texts.iter_mut().zip(lens) {
            *text = self.text(len)?;
        }
        Ok(texts)
    }
}
