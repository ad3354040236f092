//! What a request was answered: the status in its body counts, and where there is none, that of HTTP.

use bytes::Bytes;
use http::{StatusCode, response};
use memchr::memmem;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::messages::Messages;
use crate::{
    error::{ConnectError, Refusal},
    transport::http::Answer,
};

/// How much is kept of a body that is not the protocol's.
const KEPT: usize = 64 * 1024;

/// An answer of the protocol.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) status: u16,
    pub(super) token: Option<String>,
    pub(super) messages: Messages,
    head: response::Parts,
    body: Bytes,
}

/// Everything but the status may be missing, or null.
#[derive(Deserialize)]
struct Body<'a> {
    status: u16,
    #[serde(default)]
    token: Option<String>,
    #[serde(default, borrow)]
    messages: Option<&'a RawValue>,
}

/// # Errors
/// Whatever is no answer of the protocol, whole.
pub(super) fn read(answer: Answer) -> Result<Answered, ConnectError> {
    let Answer { head, body } = answer;
    let parsed = serde_json::from_slice::<Body<'_>>(&body).ok().and_then(|Body { status, token, messages }| {
        let messages = Messages::new(&body, messages.map(RawValue::get)).ok()?;
        Some((status, token, messages))
    });
    match parsed {
        Some((status, token, messages)) => Ok(Answered { status, token, messages, head, body }),
        None => Err(foreign(head, &body)),
    }
}

impl Answered {
    /// An answer that is none to what was asked. It may hold a token, and so is kept without its body.
    pub(super) fn refused(self) -> ConnectError {
        let status = StatusCode::from_u16(self.status).unwrap_or(self.head.status);
        let body = if self.token.is_some() { Bytes::new() } else { kept(&self.body) };
        ConnectError::Refused(Box::new(Refusal::new(status, self.head.headers, body).of_the_server()))
    }
}

/// From something before the server, most often; or the server has failed.
fn foreign(head: response::Parts, body: &Bytes) -> ConnectError {
    let status = head.status;
    let refusal = Box::new(Refusal::new(status, head.headers, kept(body)));
    match status {
        StatusCode::PROXY_AUTHENTICATION_REQUIRED => ConnectError::ProxyRefused(refusal),
        _ => ConnectError::Refused(refusal),
    }
}

/// Not a slice of what may be large; and nothing of what may hold a token.
fn kept(body: &Bytes) -> Bytes {
    let kept = &body[..body.len().min(KEPT)];
    if memmem::find(kept, b"\"token\"").is_some() { Bytes::new() } else { Bytes::copy_from_slice(kept) }
}
