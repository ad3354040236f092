//! Requests to one server, one after the other, over a connection that is kept for the next.

use std::{future::poll_fn, task::Poll, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{
    Request, Uri,
    header::{CONTENT_ENCODING, HeaderMap},
    response,
};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::{Body, Incoming},
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;

use super::{
    ByteStream, Form, Http, Line, Target,
    exchange::{MAX_HEADERS, Work},
    failed,
};
use crate::{
    error::ConnectError,
    runtime::{Instant, timeout_at},
};

/// A connection that was not used for longer is not used again: servers and what stands before them end such ones,
/// some of them after a minute.
const KEPT: Duration = Duration::from_secs(30);
/// For each so many bytes of an answer there is the whole time again.
const STRIDE: usize = 64 * 1024;

/// Dropped, it ends its connection, and with it what is under way.
pub(crate) struct Requests {
    http: Http,
    kept: Option<Kept>,
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
    work: Work<TokioIo<ByteStream>, Full<Bytes>>,
    form: Form,
    since: Instant,
}

impl Requests {
    pub(crate) fn new(http: Http) -> Self {
        Requests { http, kept: None }
    }

    /// Sends a request to this URL, and waits for the whole answer, whatever its status. It is sent once: what has been
    /// written to a connection that then ends is not written to another.
    pub(crate) async fn ask(
        &mut self,
        url: &Uri,
        request: Request<Full<Bytes>>,
        limits: Limits,
    ) -> Result<Answer, ConnectError> {
        let deadline = Instant::now() + limits.time;
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

    /// None if nothing was written; the request is still there then.
    async fn over(
        &mut self,
        mut kept: Kept,
        url: &Uri,
        request: &mut Option<Request<Full<Bytes>>>,
        limits: Limits,
        deadline: Instant,
    ) -> Result<Option<Answer>, ConnectError> {
        let broken = |error| match failed(&Target::of(url), error) {
            ConnectError::HandshakeCut(error) => ConnectError::Transport(error),
            other => other,
        };
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
        let body = kept.body(&head.headers, incoming, limits).await.map_err(|error| match error {
            Broken::Off(error) => broken(error),
            Broken::Cause(cause) => cause,
        })?;
        kept.since = Instant::now();
        self.kept = Some(kept);
        Ok(Some(Answer { head, body }))
    }
}

async fn connect(http: &Http, url: &Uri) -> Result<Kept, ConnectError> {
    let Line { stream, form } = http.connect_for_requests(url).await?;
    let mut builder = http1::Builder::new();
    let handshake = builder.max_headers(MAX_HEADERS).handshake(TokioIo::new(stream));
    let (requests, connection) = handshake.await.map_err(|error| failed(&Target::of(url), error))?;
    Ok(Kept { requests, work: Work { connection, done: false }, form, since: Instant::now() })
}

enum Broken {
    Off(hyper::Error),
    Cause(ConnectError),
}

impl Kept {
    /// If it can take another request, as far as is known.
    async fn alive(mut self) -> Option<Self> {
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

    async fn body(&mut self, headers: &HeaderMap, mut incoming: Incoming, limits: Limits) -> Result<Bytes, Broken> {
        let encoding =
            headers.get(CONTENT_ENCODING).filter(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity"));
        if encoding.is_some() {
            let why = "its answer is compressed, which was not asked for";
            return Err(Broken::Cause(ConnectError::Handshake(why.into())));
        }
        // As long as it says it will be, as far as that is believed before it is there.
        let said = incoming.size_hint().exact().and_then(|size| usize::try_from(size).ok()).unwrap_or_default();
        let mut body = BytesMut::with_capacity(said.min(STRIDE));
        let (mut deadline, mut stride) = (Instant::now() + limits.time, 0);
        loop {
            let next = timeout_at(deadline, self.work.until(incoming.frame())).await;
            let Some(frame) = next.map_err(|_| Broken::Cause(ConnectError::RequestTimeout))? else { break };
            let Ok(chunk) = frame.map_err(Broken::Off)?.into_data() else { continue };
            if chunk.len() > limits.bytes - body.len() {
                return Err(Broken::Cause(ConnectError::TooLarge { limit: limits.bytes }));
            }
            body.extend_from_slice(&chunk);
            stride += chunk.len();
            if stride >= STRIDE {
                (deadline, stride) = (Instant::now() + limits.time, 0);
            }
        }
        Ok(body.freeze())
    }
}
