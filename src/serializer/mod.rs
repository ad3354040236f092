//! Messages to frames and back.

mod scan;
mod v2;

use std::{any::Any, borrow::Cow, fmt, sync::Arc};

use bytes::Bytes;

use scan::Scanner;
pub(crate) use scan::reply;
pub use v2::V2;

use crate::{
    error::{DecodeError, EncodeError},
    log,
    message::Topic,
    payload::{IntoPayload, Kind, Payload},
    transport::Frame,
};

/// One message, with all that stands around its payload.
#[derive(Clone, Debug)]
pub struct Envelope {
    /// The ref of the join this belongs to.
    pub join_ref: Option<Arc<str>>,
    /// The ref that a reply repeats.
    pub r#ref: Option<Arc<str>>,
    /// The topic.
    pub topic: Topic,
    /// The event name.
    pub event: Arc<str>,
    /// The payload; of a `phx_reply` it is `{"status": .., "response": ..}`, or [`Payload::binary_reply`].
    pub payload: Payload,
}

impl Envelope {
    /// A message without refs.
    ///
    /// # Errors
    /// The payload does not encode.
    pub fn new(topic: impl AsRef<str>, event: impl AsRef<str>, payload: impl IntoPayload) -> Result<Self, EncodeError> {
        let (topic, event) = (topic.as_ref().into(), event.as_ref().into());
        Ok(Envelope { join_ref: None, r#ref: None, topic, event, payload: payload.into_payload()? })
    }
}

impl Envelope {
    /// The bytes it keeps alive.
    pub(crate) fn held(&self) -> usize {
        let payload = self.payload.whole().len();
        let refs = [&self.join_ref, &self.r#ref].into_iter().flatten().map(|text| text.len()).sum::<usize>();
        // A large payload may be a slice of up to twice its length.
        let shared = if payload < SLICE_FROM { payload } else { 2 * payload };
        shared + refs + self.topic.len() + self.event.len() + size_of::<Envelope>()
    }
}

/// Turns messages into frames and frames into messages. [`V2`] is Phoenix' own; implement it for a server that
/// speaks another encoding.
///
/// A serializer that is not JSON hands its payloads over as JSON text or as bytes.
pub trait Serializer: Send + Sync + 'static {
    /// The protocol version asked of the server, as `vsn`.
    fn vsn(&self) -> &str;

    /// The frame to send.
    ///
    /// # Errors
    /// A message that this encoding cannot express; the push or join it belongs to fails with it.
    fn encode(&self, message: &Envelope) -> Result<Frame, EncodeError>;

    /// The message in a received frame.
    ///
    /// # Errors
    /// A frame that is none; it is dropped and told in the telemetry, and the connection stays.
    fn decode(&self, frame: Frame) -> Result<Envelope, DecodeError>;
}

/// A message about to be sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outgoing<'a> {
    pub(crate) join_ref: Option<u64>,
    pub(crate) reference: Option<u64>,
    pub(crate) topic: &'a str,
    pub(crate) event: Name<'a>,
    pub(crate) payload: &'a Payload,
}

/// A message just received, borrowed from its frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Incoming<'a> {
    pub(crate) join_ref: Option<Name<'a>>,
    pub(crate) reference: Option<Name<'a>>,
    pub(crate) topic: Name<'a>,
    pub(crate) event: Name<'a>,
    pub(crate) body: Body<'a>,
    /// The number of its header: messages of the same one agree in all but the body. Zero where that is not known.
    pub(crate) header: u64,
}

impl<'a> Incoming<'a> {
    /// Join ref, ref, topic and event, of which a ref that is empty means none (M-3, W-17).
    #[inline]
    fn new([join_ref, reference, topic, event]: [&'a [u8]; 4], body: Body<'a>, header: u64) -> Self {
        let present = |name: &'a [u8]| (!name.is_empty()).then_some(Name(name));
        let (join_ref, reference) = (present(join_ref), present(reference));
        Incoming { join_ref, reference, topic: Name(topic), event: Name(event), body, header }
    }

    /// The whole message, to be kept.
    pub(crate) fn to_envelope(self) -> Envelope {
        Envelope {
            join_ref: self.join_ref.map(|name| name.as_str().into()),
            r#ref: self.reference.map(|name| name.as_str().into()),
            topic: self.topic.as_str().into(),
            event: self.event.as_str().into(),
            payload: self.body.to_payload(),
        }
    }
}

/// What a message borrows from that is not in its frame.
#[derive(Default)]
pub(crate) enum Kept<'a> {
    #[default]
    Nothing,
    Names([Cow<'a, [u8]>; 4]),
    Envelope(Envelope),
}

/// A ref, topic or event name: UTF-8, which comparing it need not prove again.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Name<'a>(&'a [u8]);

impl<'a> Name<'a> {
    /// These bytes, which came from a string.
    pub(crate) fn of(bytes: &'a [u8]) -> Self {
        Name(bytes)
    }

    pub(crate) fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// As text, which takes a look at every byte.
    pub(crate) fn as_str(self) -> &'a str {
        std::str::from_utf8(self.0).unwrap_or_default()
    }
}

impl<'a> From<&'a str> for Name<'a> {
    fn from(text: &'a str) -> Self {
        Name(text.as_bytes())
    }
}

impl PartialEq<str> for Name<'_> {
    fn eq(&self, text: &str) -> bool {
        self.0 == text.as_bytes()
    }
}

impl fmt::Debug for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

/// A payload within the bytes it arrived in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Body<'a> {
    /// None where they are a part of something else.
    pub(crate) owner: Option<&'a Bytes>,
    pub(crate) bytes: &'a [u8],
    pub(crate) kind: Kind,
}

/// Payloads shorter than this are copied out of what they arrived in, so that keeping one keeps little else. Up to this
/// size copying is cheaper, too: a connection whose read buffer lives on in slices has to make another, and fills it by
/// two reads in place of one.
pub(crate) const SLICE_FROM: usize = 4096;

impl Body<'_> {
    /// A payload that may be kept.
    pub(crate) fn to_payload(self) -> Payload {
        if self.bytes.len() < SLICE_FROM {
            return Payload::copied(self.bytes, self.kind);
        }
        Payload::new(self.to_large(), self.kind)
    }

    /// The bytes of a large payload, to be kept: a slice of what they arrived in, unless most of that is something
    /// else, such as a ref of megabytes or blanks, which would be kept with it unseen.
    pub(crate) fn to_large(self) -> Bytes {
        match self.owner {
            Some(owner) if owner.len() <= 2 * self.bytes.len() => owner.slice_ref(self.bytes),
            _ => Bytes::copy_from_slice(self.bytes),
        }
    }
}

/// The serializer in use. The built-in one has a path of its own that allocates nothing.
#[derive(Clone)]
pub(crate) enum Codec {
    V2(Scanner),
    Custom(Arc<dyn Serializer>),
}

impl Codec {
    pub(crate) fn new<S: Serializer>(serializer: S) -> Self {
        if (&serializer as &dyn Any).is::<V2>() {
            Codec::V2(Scanner::default())
        } else {
            Codec::Custom(Arc::new(serializer))
        }
    }

    pub(crate) fn vsn(&self) -> &str {
        match self {
            Codec::V2(_) => v2::VSN,
            Codec::Custom(serializer) => serializer.vsn(),
        }
    }

    pub(crate) fn encode(&self, message: Outgoing<'_>) -> Result<Frame, EncodeError> {
        log::pushed(&message);
        match self {
            Codec::V2(_) => v2::encode(message),
            Codec::Custom(serializer) => serializer.encode(&Envelope {
                join_ref: message.join_ref.map(|number| number.to_string().into()),
                r#ref: message.reference.map(|number| number.to_string().into()),
                topic: message.topic.into(),
                event: message.event.as_str().into(),
                payload: message.payload.clone(),
            }),
        }
    }

    /// A message of the user's own making.
    pub(crate) fn encode_envelope(&self, message: &Envelope) -> Result<Frame, EncodeError> {
        log::pushed_raw(message);
        match self {
            Codec::V2(_) => V2.encode(message),
            Codec::Custom(serializer) => serializer.encode(message),
        }
    }

    /// The message in a frame, borrowed from it and from what is kept beside it.
    #[inline]
    pub(crate) fn decode<'a>(&mut self, frame: &'a Frame, kept: &'a mut Kept<'a>) -> Result<Incoming<'a>, DecodeError> {
        match self {
            Codec::V2(scanner) => v2::decode(scanner, frame, kept),
            Codec::Custom(serializer) => {
                *kept = Kept::Envelope(serializer.decode(frame.clone())?);
                let Kept::Envelope(message) = kept else { unreachable!() };
                Ok(Incoming {
                    join_ref: message.join_ref.as_deref().map(Name::from),
                    reference: message.r#ref.as_deref().map(Name::from),
                    topic: Name::from(&*message.topic),
                    event: Name::from(&*message.event),
                    body: Body {
                        owner: message.payload.buffer(),
                        bytes: message.payload.whole(),
                        kind: message.payload.kind(),
                    },
                    header: 0,
                })
            }
        }
    }
}

impl fmt::Debug for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Codec({})", self.vsn())
    }
}

#[cfg(test)]
mod tests;
