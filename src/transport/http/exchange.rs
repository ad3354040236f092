//! One HTTP request over a connection of its own, and what comes of it: another protocol, or a refusal.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::Context,
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::{
    body::{Body, Incoming},
    client::conn::http1::{self, Connection},
    rt::{Read, Write},
};
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, timeout_at};

use super::{
    ByteStream,
    stream::{self, Bounded},
};
use crate::error::{BoxError, Refusal};

/// How much is kept of the body of a refusal.
pub(super) const BODY: usize = 64 * 1024;

/// How much an exchange may bring in all, and how many headers one answer may have.
const WHOLE: usize = 1024 * 1024;
/// So much is read before others have their turn.
const TURN: usize = 4 * 1024;
pub(super) const MAX_HEADERS: usize = 1024;

/// How long that may take to come. The status counts more than the words: an attempt that ran out of time for them
/// would be tried again where a refusal stops the socket.
pub(super) const BODY_PATIENCE: Duration = Duration::from_secs(1);

/// What was answered, with the connection that it came by. Dropping it ends the connection.
pub(crate) struct Answer {
    response: http::Response<Incoming>,
    work: Work<TokioIo<Bounded>, Empty<Bytes>>,
}

/// What reads and writes. Polled with whatever waits for it, so that an attempt to connect is one future, and nothing
/// of it is left behind when that is dropped.
pub(super) struct Work<S: Read + Write, B: Body + 'static> {
    pub(super) connection: Connection<S, B>,
    pub(super) done: bool,
}

/// Sends a request and waits for its answer. The read buffer bounds the answer's head, and a bound on all that is read
/// those that may come before it (1xx).
pub(crate) async fn ask(stream: ByteStream, request: Request<Empty<Bytes>>) -> Result<Answer, hyper::Error> {
    let stream = TokioIo::new(Bounded::new(stream, WHOLE, TURN));
    let (mut requests, connection) = http1::Builder::new().max_headers(MAX_HEADERS).handshake(stream).await?;
    let mut work = Work { connection, done: false };
    let response = work.until(requests.send_request(request)).await?;
    Ok(Answer { response, work })
}

impl Answer {
    pub(crate) fn status(&self) -> StatusCode {
        self.response.status()
    }

    #[cfg(feature = "websocket")]
    pub(crate) fn headers(&self) -> &http::HeaderMap {
        self.response.headers()
    }

    /// The connection, which speaks another protocol from here on, with what came of that already.
    pub(crate) async fn upgrade(mut self) -> Result<ByteStream, hyper::Error> {
        if !self.work.done {
            poll_fn(|cx| self.work.connection.poll_without_shutdown(cx)).await?;
        }
        let parts = self.work.connection.into_parts();
        Ok(stream::rewound(parts.read_buf, parts.io.into_inner().stream))
    }

    /// What was said instead, as far as it comes.
    pub(crate) async fn refusal(mut self) -> Refusal {
        let (head, mut incoming) = self.response.into_parts();
        let mut body = BytesMut::new();
        let deadline = Instant::now() + BODY_PATIENCE;
        while body.len() < BODY {
            let frame = timeout_at(deadline, self.work.until(incoming.frame())).await;
            let Ok(Some(Ok(frame))) = frame else { break };
            let Ok(chunk) = frame.into_data() else { break };
            let room = BODY - body.len();
            body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        }
        Refusal::new(head.status, head.headers, body)
    }
}

impl<S, B> Work<S, B>
where
    S: Read + Write + Unpin,
    B: Body<Data: Send, Error: Into<BoxError>> + 'static,
{
    pub(super) async fn until<T>(&mut self, outcome: impl Future<Output = T>) -> T {
        let mut outcome = pin!(outcome);
        poll_fn(|cx| {
            self.advance(cx);
            outcome.as_mut().poll(cx)
        })
        .await
    }

    /// Reads and writes what can be. How it ends is told by the outcome of what is asked.
    pub(super) fn advance(&mut self, cx: &mut Context<'_>) {
        self.done = self.done || self.connection.poll_without_shutdown(cx).is_ready();
    }
}
