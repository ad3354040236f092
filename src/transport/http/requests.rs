//! Requests to one server, one after the other, over a connection that is kept for the next.

mod body;
#[cfg(test)]
mod tests;

use std::{
    future::poll_fn,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Uri, response};
use http_body_util::Full;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;

use self::body::{Body, Broken};
use super::{
    Form, Http, Line, Target,
    exchange::{MAX_HEADERS, Work},
    failed,
    stream::Bounded,
};
use crate::{
    error::ConnectError,
    runtime::{Instant, timeout_at},
};

/// A connection that was not used for longer is not used again: servers and what stands before them end such ones,
/// some of them after a minute.
const KEPT: Duration = Duration::from_secs(30);
/// So much is read before others have their turn.
const TURN: usize = 16 * 1024;
/// What stands for ever, where a time is too long to be told.
const AGE: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// Dropped, it ends its connection, and with it what is under way.
pub(crate) struct Requests {
    http: Http,
    kept: Option<Box<Kept>>,
}

/// What an answer may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Until it begins, and again for each 64 KiB of its body.
    pub(crate) time: Duration,
    /// The most that its body may have.
    pub(crate) bytes: usize,
}

pub(crate) struct Answer {
    pub(crate) head: response::Parts,
    pub(crate) body: Bytes,
}

struct Kept {
    requests: SendRequest<Full<Bytes>>,
    work: Work<TokioIo<Bounded>, Full<Bytes>>,
    form: Form,
    since: Instant,
}

impl Requests {
    pub(crate) fn new(http: Http) -> Self {
        Requests { http, kept: None }
    }

    /// Sends a request to this URL, and waits for the whole answer, whatever its status; of a refusal as far as it comes.
    /// It is sent once: what has been written to a connection that then ends is not written to another.
    ///
    /// # Errors
    /// [`ConnectError::HandshakeCut`] where the connection ends before the answer does.
    pub(crate) async fn ask(
        &mut self,
        url: &Uri,
        request: Request<Full<Bytes>>,
        limits: Limits,
    ) -> Result<Answer, ConnectError> {
        let deadline = after(limits.time);
        let mut request = Some(request);
        if let Some(kept) = self.kept.take()
            && let Some(kept) = kept.alive().await
            && let Some(answer) = self.over(kept, url, &mut request, limits, deadline).await?
        {
            return Ok(answer);
        }
        let connected = timeout_at(deadline, connect(&self.http, url)).await;
        let fresh = connected.map_err(|_| ConnectError::RequestTimeout)??;
        let answer = self.over(fresh, url, &mut request, limits, deadline).await?;
        answer.ok_or_else(|| ConnectError::transport("the connection took no request"))
    }

    /// Gives back the connection that is kept, if it has ended.
    pub(crate) fn rest(&mut self, cx: &mut Context<'_>) {
        self.kept.take_if(|kept| {
            kept.work.advance(cx);
            kept.work.done
        });
    }

    /// None if nothing was written; the request is still there then.
    async fn over(
        &mut self,
        mut kept: Box<Kept>,
        url: &Uri,
        request: &mut Option<Request<Full<Bytes>>>,
        limits: Limits,
        deadline: Instant,
    ) -> Result<Option<Answer>, ConnectError> {
        let broken = |error| failed(&Target::of(url), error);
        let Some(mut given) = request.take() else { return Ok(None) };
        kept.form.address(&mut given, url)?;
        let asked = kept.requests.try_send_request(given);
        let asked = timeout_at(deadline, kept.work.until(asked)).await;
        let response = match asked.map_err(|_| ConnectError::RequestTimeout)? {
            Ok(response) => response,
            Err(mut error) => {
                *request = error.take_message();
                return if request.is_some() { Ok(None) } else { Err(broken(error.into_error())) };
            }
        };
        let (head, incoming) = response.into_parts();
        let body = body::read(&mut kept.work, &head, incoming, limits).await;
        let Body { bytes, whole } = body.map_err(|error| match error {
            Broken::Off(error) => broken(error),
            Broken::Cause(cause) => cause,
        })?;
        kept.since = Instant::now();
        self.kept = Some(kept).filter(|_| whole);
        Ok(Some(Answer { head, body: bytes }))
    }
}

async fn connect(http: &Http, url: &Uri) -> Result<Box<Kept>, ConnectError> {
    let line = http.connect_for_requests(url).await?;
    Kept::new(line).await.map(Box::new).map_err(|error| failed(&Target::of(url), error))
}

fn after(time: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(time).unwrap_or(now + AGE)
}

impl Kept {
    async fn new(Line { stream, form }: Line) -> Result<Self, hyper::Error> {
        // How much may come in all is a matter of each answer.
        let io = TokioIo::new(Bounded::new(stream, usize::MAX, TURN));
        let mut builder = http1::Builder::new();
        let (requests, connection) = builder.max_headers(MAX_HEADERS).handshake(io).await?;
        Ok(Kept { requests, work: Work { connection, done: false }, form, since: Instant::now() })
    }

    /// If it can take another request, as far as is known.
    async fn alive(mut self: Box<Self>) -> Option<Box<Self>> {
        if self.since.elapsed() >= KEPT {
            return None;
        }
        poll_fn(|cx| {
            self.work.advance(cx);
            Poll::Ready(())
        })
        .await;
        (!self.work.done && self.requests.is_ready()).then_some(self)
    }
}
