//! What travels in a message: JSON text or bytes, parsed by whoever reads it.

use std::fmt;

use bytes::Bytes;
use serde::{Serialize, de::Deserialize};

use crate::error::{DecodeError, EncodeError};

/// The payload of a message, push, join or reply: JSON text or raw bytes.
///
/// A payload that arrives is *raw*: nothing has parsed or validated it before you ask. A clone shares the bytes.
/// `Debug` shows kind and size only; `Display` shows JSON text as it is and bytes as `<n bytes>`.
#[derive(Clone, PartialEq, Eq)]
pub struct Payload {
    bytes: Bytes,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Json,
    Binary,
    /// A binary `phx_reply`: this many bytes of status, then the data.
    Reply(u8),
}

impl Payload {
    /// A payload as it is: JSON text, or bytes if `binary`. Nothing is checked, and a `null` stays a `null`.
    pub fn from_raw(bytes: impl Into<Bytes>, binary: bool) -> Self {
        let kind = if binary { Kind::Binary } else { Kind::Json };
        Payload { bytes: bytes.into(), kind }
    }

    /// The payload of a binary `phx_reply`, for [serializers](crate::Serializer) that decode one.
    ///
    /// # Errors
    /// A status of more than 255 bytes.
    pub fn binary_reply(status: &str, data: &[u8]) -> Result<Self, EncodeError> {
        let len = u8::try_from(status.len())
            .map_err(|_| EncodeError::new(format!("a reply status of {} bytes; 255 is the most", status.len())))?;
        Ok(Payload { bytes: [status.as_bytes(), data].concat().into(), kind: Kind::Reply(len) })
    }

    pub(crate) fn empty() -> Self {
        Payload { bytes: Bytes::from_static(b"{}"), kind: Kind::Json }
    }

    pub(crate) fn new(bytes: Bytes, kind: Kind) -> Self {
        Payload { bytes, kind }
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// Decodes JSON into `T`, which may borrow from the payload. The first JSON value counts; what follows is ignored.
    ///
    /// # Errors
    /// Malformed JSON, JSON that does not fit `T`, or a binary payload.
    pub fn json<'a, T: Deserialize<'a>>(&'a self) -> Result<T, DecodeError> {
        if self.is_binary() {
            return Err(DecodeError::new(format!("a binary payload of {} bytes is not JSON", self.as_bytes().len())));
        }
        let mut reader = serde_json::Deserializer::from_slice(&self.bytes);
        T::deserialize(&mut reader).map_err(DecodeError::new)
    }

    /// The JSON text, or `None` for a binary payload (or one that is not UTF-8).
    pub fn as_str(&self) -> Option<&str> {
        (!self.is_binary()).then(|| std::str::from_utf8(&self.bytes).ok()).flatten()
    }

    /// The bytes: JSON text, or the binary data.
    pub fn as_bytes(&self) -> &[u8] {
        &self.whole()[self.data_start()..]
    }

    /// The bytes, shared rather than copied.
    pub fn to_bytes(&self) -> Bytes {
        self.bytes.slice(self.data_start()..)
    }

    /// Whether this is raw bytes rather than JSON text.
    pub fn is_binary(&self) -> bool {
        self.kind != Kind::Json
    }

    pub(crate) fn whole(&self) -> &Bytes {
        &self.bytes
    }

    fn data_start(&self) -> usize {
        match self.kind {
            Kind::Reply(status) => usize::from(status).min(self.bytes.len()),
            Kind::Json | Kind::Binary => 0,
        }
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_binary() { "binary" } else { "json" };
        write!(f, "Payload({kind}, {} bytes)", self.as_bytes().len())
    }
}

impl fmt::Display for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.as_str() {
            Some(text) => f.write_str(text),
            None => write!(f, "<{} bytes>", self.as_bytes().len()),
        }
    }
}

/// Bytes to be sent as a binary payload: `channel.push("frame", Binary(vec![1, 2, 3]))`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binary<B = Bytes>(pub B);

/// What can be sent: anything [`Serialize`], by value or by reference, a ready [`Payload`], or [`Binary`].
///
/// A JSON `null` (`()`, `None`) goes out as `{}`, as Phoenix expects of a push without payload; a ready [`Payload`]
/// goes out as it is.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be sent as a payload",
    label = "neither `Serialize` nor `Binary`",
    note = "derive `serde::Serialize`, use `json!({{..}})`, `()` for no payload, or wrap bytes in `Binary`"
)]
pub trait IntoPayload {
    /// The payload to send.
    ///
    /// # Errors
    /// The value does not serialize.
    fn into_payload(self) -> Result<Payload, EncodeError>;
}

impl<T: Serialize> IntoPayload for T {
    fn into_payload(self) -> Result<Payload, EncodeError> {
        let json = serde_json::to_vec(&self).map_err(EncodeError::new)?;
        Ok(if json == b"null" { Payload::empty() } else { Payload::new(json.into(), Kind::Json) })
    }
}

impl<B: Into<Bytes>> IntoPayload for Binary<B> {
    fn into_payload(self) -> Result<Payload, EncodeError> {
        Ok(Payload::new(self.0.into(), Kind::Binary))
    }
}

impl<B: Into<Bytes> + Clone> IntoPayload for &Binary<B> {
    fn into_payload(self) -> Result<Payload, EncodeError> {
        self.clone().into_payload()
    }
}

impl IntoPayload for Payload {
    fn into_payload(self) -> Result<Payload, EncodeError> {
        Ok(self)
    }
}

impl IntoPayload for &Payload {
    fn into_payload(self) -> Result<Payload, EncodeError> {
        Ok(self.clone())
    }
}
