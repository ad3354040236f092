//! What a handler may answer.

use std::fmt;

use serde_json::Value;
use tokio::sync::mpsc::UnboundedSender;

use super::{topics::Out, wire};
use crate::{IntoPayload, Payload};

/// What most handlers answer: the response of an `ok` reply, or of an `error` reply.
pub type Answer = Result<Value, Value>;

/// What a handler can answer beyond [`Answer`]: any status and payload, nothing, later, or the channel's end.
///
/// To a join, any status but `ok` refuses it.
#[derive(Debug)]
#[must_use = "a response does nothing until a handler returns it"]
pub struct Response {
    pub(super) kind: Kind,
    pub(super) stop: bool,
}

pub(super) enum Kind {
    Reply(String, Payload),
    Nothing,
    Later(Box<dyn FnOnce(Later) + Send>),
    Crash,
}

impl Response {
    /// A reply with status `ok`.
    ///
    /// # Panics
    /// As [`reply`](Self::reply).
    pub fn ok(response: impl IntoPayload) -> Self {
        Response::reply("ok", response)
    }

    /// A reply with status `error`.
    ///
    /// # Panics
    /// As [`reply`](Self::reply).
    pub fn error(response: impl IntoPayload) -> Self {
        Response::reply("error", response)
    }

    /// A reply with any status. The response may be any JSON, or [`Binary`](crate::Binary).
    ///
    /// # Panics
    /// If the response does not serialize; inside a handler that crashes the channel.
    pub fn reply(status: &str, response: impl IntoPayload) -> Self {
        Response { kind: Kind::Reply(status.to_owned(), encoded(response)), stop: false }
    }

    /// No reply. To a join, which needs one, this is a crash.
    pub fn nothing() -> Self {
        Response { kind: Kind::Nothing, stop: false }
    }

    /// No reply yet: the closure gets what replies later, from anywhere and out of order, while the channel lives.
    /// To a join this is a crash.
    ///
    /// ```
    /// use phoenix_streams::{json, testing::{Response, Server}};
    ///
    /// # async fn start() -> std::io::Result<()> {
    /// let server = Server::builder().join("room:*", |_, _| async { Ok(json!({})) }).on_with("room:*", "slow", |_, payload| async {
    ///     Response::later(|later| drop(tokio::spawn(async move { later.reply("ok", payload) })))
    /// });
    /// # server.start().await?; Ok(()) }
    /// ```
    pub fn later(answer: impl FnOnce(Later) + Send + 'static) -> Self {
        Response { kind: Kind::Later(Box::new(answer)), stop: false }
    }

    /// The channel crashes: `phx_error`, or to a join `join crashed`. The same as a handler that panics, but quiet.
    pub fn crash() -> Self {
        Response { kind: Kind::Crash, stop: false }
    }

    /// The channel stops: `phx_close`.
    pub fn stop() -> Self {
        Response::nothing().then_stop()
    }

    /// After this response the channel stops: `phx_close`.
    pub fn then_stop(mut self) -> Self {
        self.stop = true;
        self
    }
}

impl From<Answer> for Response {
    fn from(answer: Answer) -> Self {
        let (status, response) = match answer {
            Ok(response) => ("ok", response),
            Err(response) => ("error", response),
        };
        // A JSON null stays one: as a ready payload.
        Response::reply(status, Payload::from_raw(response.to_string(), false))
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::Reply(status, payload) => f.debug_tuple("Reply").field(status).field(payload).finish(),
            Kind::Nothing => f.write_str("Nothing"),
            Kind::Later(_) => f.write_str("Later"),
            Kind::Crash => f.write_str("Crash"),
        }
    }
}

/// The right to reply to one push, once. Dropped, the push is never answered.
#[derive(Debug)]
#[must_use = "dropped, the push is never answered"]
pub struct Later {
    pub(super) to: ReplyTo,
}

impl Later {
    /// Replies, unless the channel is gone by then.
    ///
    /// # Panics
    /// If the response does not serialize, or has no binary form.
    pub fn reply(self, status: &str, response: impl IntoPayload) {
        if let Err(unsayable) = self.to.reply(status, &encoded(response)) {
            panic!("{unsayable}");
        }
    }
}

/// Where a reply goes, and as what.
#[derive(Debug)]
pub(super) struct ReplyTo {
    pub(super) id: u64,
    pub(super) transport: UnboundedSender<Out>,
    pub(super) join_ref: Value,
    pub(super) reference: Value,
    pub(super) topic: Value,
}

impl ReplyTo {
    pub(super) fn reply(&self, status: &str, response: &Payload) -> Result<(), wire::Unsayable> {
        let frame = wire::reply(&self.join_ref, &self.reference, &self.topic, status, response)?;
        // Without a connection there is nobody to tell.
        let _ = self.transport.send(Out::Frame(self.id, frame));
        Ok(())
    }
}

pub(super) fn encoded(payload: impl IntoPayload) -> Payload {
    payload.into_payload().unwrap_or_else(|error| panic!("{error}"))
}
