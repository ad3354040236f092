//! What travels in a message: JSON text or bytes, parsed by whoever reads it.

use std::fmt;

use bytes::Bytes;
use serde::{Serialize, de::Deserialize};
use serde_json::de::SliceRead;

use crate::{
    batch::Part,
    error::{DecodeError, EncodeError},
};

/// The payload of a message, push, join or reply: JSON text or raw bytes.
///
/// A payload that arrives is *raw*: nothing has parsed or validated it before you ask. A clone shares the bytes.
/// `Debug` shows kind and size only; `Display` shows JSON text as it is and bytes as `<n bytes>`.
#[derive(Clone)]
pub struct Payload(Content);

#[derive(Clone)]
enum Content {
    /// With the code of its kind: a whole word, as a message is moved in.
    Own(Bytes, u64),
    Part(Part),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Json,
    Binary,
    /// A binary `phx_reply`: this many bytes of status, then the data.
    Reply(u8),
}

impl Kind {
    /// In two bytes.
    #[inline]
    pub(crate) fn code(self) -> u64 {
        match self {
            Kind::Json => 0,
            Kind::Binary => 1,
            Kind::Reply(status) => 2 | u64::from(status) << 8,
        }
    }

    #[inline]
    pub(crate) fn from_code(code: u64) -> Self {
        match code as u8 {
            0 => Kind::Json,
            1 => Kind::Binary,
            _ => Kind::Reply((code >> 8) as u8),
        }
    }
}

impl Payload {
    /// A payload as it is: JSON text, or bytes if `binary`. Nothing is checked, and a `null` stays a `null`.
    pub fn from_raw(bytes: impl Into<Bytes>, binary: bool) -> Self {
        let kind = if binary { Kind::Binary } else { Kind::Json };
        Payload::new(bytes.into(), kind)
    }

    /// The payload of a binary `phx_reply`, for [serializers](crate::Serializer) that decode one.
    ///
    /// # Errors
    /// A status of more than 255 bytes.
    pub fn binary_reply(status: &str, data: &[u8]) -> Result<Self, EncodeError> {
        let len = u8::try_from(status.len())
            .map_err(|_| EncodeError::new(format!("a reply status of {} bytes; 255 is the most", status.len())))?;
        Ok(Payload::new([status.as_bytes(), data].concat().into(), Kind::Reply(len)))
    }

    pub(crate) fn empty() -> Self {
        Payload::new(Bytes::from_static(b"{}"), Kind::Json)
    }

    pub(crate) fn new(bytes: Bytes, kind: Kind) -> Self {
        Payload(Content::Own(bytes, kind.code()))
    }

    /// A copy of these bytes.
    pub(crate) fn copied(bytes: &[u8], kind: Kind) -> Self {
        // The most common reply takes no allocation.
        if bytes == b"{}" {
            return Payload::new(Bytes::from_static(b"{}"), kind);
        }
        Payload::new(Bytes::copy_from_slice(bytes), kind)
    }

    #[inline]
    pub(crate) fn of_part(part: Part) -> Self {
        Payload(Content::Part(part))
    }

    #[inline]
    pub(crate) fn kind(&self) -> Kind {
        match &self.0 {
            Content::Own(_, code) => Kind::from_code(*code),
            Content::Part(part) => part.kind(),
        }
    }

    /// Decodes JSON into `T`, which may borrow from the payload. The first JSON value counts; what follows is ignored.
    ///
    /// # Errors
    /// Malformed JSON, JSON that does not fit `T`, or a binary payload.
    pub fn json<'a, T: Deserialize<'a>>(&'a self) -> Result<T, DecodeError> {
        self.read(|reader| T::deserialize(reader))
    }

    /// Reads the JSON text.
    pub(crate) fn read<'a, T>(
        &'a self,
        read: impl FnOnce(&mut serde_json::Deserializer<SliceRead<'a>>) -> serde_json::Result<T>,
    ) -> Result<T, DecodeError> {
        if self.is_binary() {
            return Err(DecodeError::new(format!("a binary payload of {} bytes is not JSON", self.as_bytes().len())));
        }
        let mut reader = serde_json::Deserializer::from_slice(self.whole());
        read(&mut reader).map_err(DecodeError::new)
    }

    /// The JSON text, or `None` for a binary payload (or one that is not UTF-8).
    pub fn as_str(&self) -> Option<&str> {
        (!self.is_binary()).then(|| std::str::from_utf8(self.whole()).ok()).flatten()
    }

    /// The bytes: JSON text, or the binary data.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.whole()[self.data_start()..]
    }

    /// The bytes, shared rather than copied.
    pub fn to_bytes(&self) -> Bytes {
        let whole = match &self.0 {
            Content::Own(bytes, _) => bytes.clone(),
            Content::Part(part) => Bytes::from_owner(part.clone()),
        };
        whole.slice(self.data_start()..)
    }

    /// Whether this is raw bytes rather than JSON text.
    pub fn is_binary(&self) -> bool {
        self.kind() != Kind::Json
    }

    /// The status of a binary reply, where this is one: what [`messages`](crate::Socket::messages) of a socket show of it.
    /// A reply in JSON has its status inside.
    pub fn binary_status(&self) -> Option<&str> {
        let Kind::Reply(_) = self.kind() else { return None };
        std::str::from_utf8(&self.whole()[..self.data_start()]).ok()
    }

    /// A reply's status as well.
    #[inline]
    pub(crate) fn whole(&self) -> &[u8] {
        match &self.0 {
            Content::Own(bytes, _) => bytes,
            Content::Part(part) => part.as_ref(),
        }
    }

    /// The buffer that its bytes are, unless they are a part of one.
    pub(crate) fn buffer(&self) -> Option<&Bytes> {
        match &self.0 {
            Content::Own(bytes, _) => Some(bytes),
            Content::Part(_) => None,
        }
    }

    pub(crate) fn part(&self) -> Option<&Part> {
        match &self.0 {
            Content::Own(..) => None,
            Content::Part(part) => Some(part),
        }
    }

    #[inline]
    fn data_start(&self) -> usize {
        match self.kind() {
            Kind::Reply(status) => usize::from(status).min(self.whole().len()),
            Kind::Json | Kind::Binary => 0,
        }
    }
}

impl PartialEq for Payload {
    fn eq(&self, other: &Self) -> bool {
        self.kind() == other.kind() && self.whole() == other.whole()
    }
}

impl Eq for Payload {}

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
    note = "derive `serde::Serialize`, use `json!({{..}})`, `()` for no payload, or wrap bytes in `Binary`: a `Vec<u8>`, `Bytes`, or bytes that are `'static`"
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

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::{Value, json};

    use super::*;

    fn text(payload: impl IntoPayload) -> String {
        payload.into_payload().unwrap().as_str().unwrap().to_owned()
    }

    // Q-2, DEV-15
    #[test]
    fn no_payload_is_an_empty_object_and_all_else_is_as_given() {
        assert_eq!(text(()), "{}");
        assert_eq!(text(None::<u8>), "{}");
        assert_eq!(text(Value::Null), "{}");
        assert_eq!(text(&Value::Null), "{}");
        assert_eq!(text(0), "0");
        assert_eq!(text(""), "\"\"");
        assert_eq!(text(false), "false");
        assert_eq!(text("hi"), "\"hi\"");
        assert_eq!(text([1, 2]), "[1,2]");
        assert_eq!(text(json!({ "a": null })), r#"{"a":null}"#);
        assert_eq!(text([None::<u8>]), "[null]");
    }

    // DEV-15
    #[test]
    fn a_ready_payload_goes_as_it_is() {
        let null = Payload::from_raw("null", false);
        assert_eq!(text(&null), "null");
        assert_eq!(text(null), "null");
        assert_eq!(text(Payload::from_raw(" {\"b\":1, \"a\":2}", false)), " {\"b\":1, \"a\":2}");
    }

    // W-19
    #[test]
    fn only_binary_is_binary() {
        let sent = Binary(vec![1, 2, 3]);
        for payload in [(&sent).into_payload().unwrap(), sent.clone().into_payload().unwrap()] {
            assert!(payload.is_binary());
            assert_eq!(payload.as_bytes(), [1, 2, 3]);
            assert_eq!(payload.as_str(), None);
        }
        assert!(Binary(&b""[..]).into_payload().unwrap().is_binary());
        assert_eq!(text(vec![1, 2, 3]), "[1,2,3]");
    }

    #[test]
    fn what_does_not_serialize_is_an_error() {
        let odd = std::collections::HashMap::from([((1, 2), 3)]);
        assert!(odd.into_payload().unwrap_err().to_string().starts_with("the payload cannot be encoded: "));
    }

    #[test]
    fn json_borrows_and_takes_the_first_value() {
        #[derive(Debug, PartialEq, Deserialize)]
        struct Shout<'a> {
            text: &'a str,
        }
        let payload = Payload::from_raw(r#"{"text":"hi"} ,"more""#, false);
        assert_eq!(payload.json::<Shout<'_>>().unwrap(), Shout { text: "hi" });
        assert!(payload.json::<u8>().is_err());
        for malformed in ["", "{", "nul", "}"] {
            assert!(Payload::from_raw(malformed, false).json::<Value>().is_err());
        }
        assert!(Payload::from_raw(vec![b'"', 0xff, b'"'], false).json::<Value>().is_err());
    }

    // M-11
    #[test]
    fn any_json_value_is_a_payload() {
        for value in [json!(null), json!(0), json!(""), json!([]), json!({}), json!(false)] {
            let payload = Payload::from_raw(value.to_string(), false);
            assert_eq!(payload.json::<Value>().unwrap(), value);
            assert_eq!(payload.to_string(), value.to_string());
        }
        assert_eq!(Payload::from_raw("null", false).json::<Option<u8>>().unwrap(), None);
    }

    #[test]
    fn a_binary_payload_is_not_json_and_says_its_size() {
        let error = Payload::from_raw("{}", true).json::<Value>().unwrap_err();
        assert_eq!(error.to_string(), "the payload cannot be decoded: a binary payload of 2 bytes is not JSON");
    }

    #[test]
    fn a_binary_reply_shows_only_its_data() {
        let payload = Payload::binary_reply("ok", &[7, 8]).unwrap();
        assert!(payload.is_binary());
        assert_eq!(payload.as_bytes(), [7, 8]);
        assert_eq!(payload.to_bytes(), [7, 8][..]);
        assert_eq!(payload.to_string(), "<2 bytes>");
        assert_eq!(payload.binary_status(), Some("ok"));
        assert_eq!(Payload::from_raw("ok", true).binary_status(), None);
        assert!(Payload::binary_reply(&"s".repeat(255), &[]).unwrap().as_bytes().is_empty());
        assert!(Payload::binary_reply(&"s".repeat(256), &[]).is_err());
    }

    // T-29
    #[test]
    fn debug_shows_no_content_and_display_no_bytes() {
        let secret = Payload::from_raw(r#"{"token":"secret"}"#, false);
        assert_eq!(format!("{secret:?}"), "Payload(json, 18 bytes)");
        assert_eq!(secret.to_string(), r#"{"token":"secret"}"#);
        let bytes = Payload::from_raw("secret", true);
        assert_eq!(format!("{bytes:?}"), "Payload(binary, 6 bytes)");
        assert_eq!(bytes.to_string(), "<6 bytes>");
        assert_eq!(Payload::from_raw(vec![0xff], false).to_string(), "<1 bytes>");
    }

    // T-28
    #[test]
    fn a_clone_shares_the_bytes() {
        let payload = Payload::from_raw(vec![b'1'; 100], false);
        assert_eq!(payload.clone().as_bytes().as_ptr(), payload.as_bytes().as_ptr());
        assert_eq!(payload.to_bytes().as_ptr(), payload.as_bytes().as_ptr());
    }
}
