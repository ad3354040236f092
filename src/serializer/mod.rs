//! Messages to frames and back.

mod scan;
mod v2;

use std::{any::Any, borrow::Cow, fmt, sync::Arc};

use bytes::Bytes;

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
    pub(crate) event: &'a str,
    pub(crate) payload: &'a Payload,
}

/// A message just received, borrowed from its frame.
#[derive(Clone, Debug)]
pub(crate) struct Incoming<'a> {
    pub(crate) join_ref: Option<Cow<'a, str>>,
    pub(crate) reference: Option<Cow<'a, str>>,
    pub(crate) topic: Cow<'a, str>,
    pub(crate) event: Cow<'a, str>,
    pub(crate) body: Body<'a>,
}

impl Incoming<'_> {
    /// The whole message, to be kept.
    pub(crate) fn to_envelope(&self) -> Envelope {
        Envelope {
            join_ref: self.join_ref.as_deref().map(Arc::from),
            r#ref: self.reference.as_deref().map(Arc::from),
            topic: Arc::from(&*self.topic),
            event: Arc::from(&*self.event),
            payload: self.body.to_payload(),
        }
    }
}

/// A payload within the bytes it arrived in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Body<'a> {
    pub(crate) owner: &'a Bytes,
    pub(crate) bytes: &'a [u8],
    pub(crate) kind: Kind,
}

/// Payloads shorter than this are copied out of what they arrived in, so that keeping one keeps little else.
pub(crate) const SLICE_FROM: usize = 1024;

impl Body<'_> {
    /// A payload that may be kept.
    pub(crate) fn to_payload(self) -> Payload {
        let small = self.bytes.len() < SLICE_FROM;
        Payload::new(if small { Bytes::copy_from_slice(self.bytes) } else { self.to_large() }, self.kind)
    }

    /// The bytes of a large payload, to be kept: a slice of what they arrived in, unless most of that is something
    /// else, such as a ref of megabytes or blanks, which would be kept with it unseen.
    pub(crate) fn to_large(self) -> Bytes {
        if self.owner.len() > 2 * self.bytes.len() {
            return Bytes::copy_from_slice(self.bytes);
        }
        self.owner.slice_ref(self.bytes)
    }
}

/// The serializer in use. The built-in one has a path of its own that allocates nothing.
#[derive(Clone)]
pub(crate) enum Codec {
    V2,
    Custom(Arc<dyn Serializer>),
}

impl Codec {
    pub(crate) fn new<S: Serializer>(serializer: S) -> Self {
        if (&serializer as &dyn Any).is::<V2>() { Codec::V2 } else { Codec::Custom(Arc::new(serializer)) }
    }

    pub(crate) fn vsn(&self) -> &str {
        match self {
            Codec::V2 => v2::VSN,
            Codec::Custom(serializer) => serializer.vsn(),
        }
    }

    pub(crate) fn encode(&self, message: Outgoing<'_>) -> Result<Frame, EncodeError> {
        log::pushed(&message);
        match self {
            Codec::V2 => v2::encode(message),
            Codec::Custom(serializer) => serializer.encode(&Envelope {
                join_ref: message.join_ref.map(|number| number.to_string().into()),
                r#ref: message.reference.map(|number| number.to_string().into()),
                topic: message.topic.into(),
                event: message.event.into(),
                payload: message.payload.clone(),
            }),
        }
    }

    /// A message of the user's own making.
    pub(crate) fn encode_envelope(&self, message: &Envelope) -> Result<Frame, EncodeError> {
        log::pushed_raw(message);
        match self {
            Codec::V2 => V2.encode(message),
            Codec::Custom(serializer) => serializer.encode(message),
        }
    }

    /// Decodes a frame and hands the message on while it is borrowed.
    pub(crate) fn decode<R>(&self, frame: Frame, then: impl FnOnce(Incoming<'_>) -> R) -> Result<R, DecodeError> {
        match self {
            Codec::V2 => v2::decode(&frame).map(then),
            Codec::Custom(serializer) => serializer.decode(frame).map(|message| {
                then(Incoming {
                    join_ref: message.join_ref.as_deref().map(Cow::Borrowed),
                    reference: message.r#ref.as_deref().map(Cow::Borrowed),
                    topic: Cow::Borrowed(&message.topic),
                    event: Cow::Borrowed(&message.event),
                    body: Body {
                        owner: message.payload.whole(),
                        bytes: message.payload.whole(),
                        kind: message.payload.kind(),
                    },
                })
            }),
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
