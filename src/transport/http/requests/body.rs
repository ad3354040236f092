//! The body of an answer, within its limits.

use bytes::{Bytes, BytesMut};
use http::{header::CONTENT_ENCODING, response};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body as _, Incoming};
use hyper_util::rt::TokioIo;

use super::{Limits, after};
use crate::{
    error::ConnectError,
    runtime::timeout_at,
    transport::http::{
        exchange::{BODY, BODY_PATIENCE, Work},
        stream::Bounded,
    },
};

/// For each so many bytes of an answer there is the whole time again.
const STRIDE: usize = 64 * 1024;

pub(super) struct Body {
    pub(super) bytes: Bytes,
    /// Otherwise as far as it came.
    pub(super) whole: bool,
}

pub(super) enum Broken {
    Off(hyper::Error),
    Cause(ConnectError),
}

/// Reads it whole. That of a refusal is read as far as it comes, since its status counts more than the words.
pub(super) async fn read(
    work: &mut Work<TokioIo<Bounded>, Full<Bytes>>,
    head: &response::Parts,
    incoming: Incoming,
    limits: Limits,
) -> Result<Body, Broken> {
    // As long as it is said to be, as far as that is believed before it is there.
    let said = incoming.size_hint().exact().and_then(|said| usize::try_from(said).ok()).unwrap_or_default();
    let mut into = BytesMut::with_capacity(said.min(4 * STRIDE));
    if !head.status.is_success() {
        let limits = Limits { time: limits.time.min(BODY_PATIENCE), bytes: limits.bytes.min(BODY) };
        let whole = fill(&mut into, work, incoming, limits).await.is_ok();
        return Ok(Body { bytes: into.freeze(), whole });
    }
    let encoding = head.headers.get(CONTENT_ENCODING).map(|encoding| encoding.as_bytes());
    if encoding.is_some_and(|encoding| !encoding.eq_ignore_ascii_case(b"identity")) {
        let why = "its answer is compressed, which was not asked for";
        return Err(Broken::Cause(ConnectError::Handshake(why.into())));
    }
    fill(&mut into, work, incoming, limits).await?;
    Ok(Body { bytes: into.freeze(), whole: true })
}

async fn fill(
    into: &mut BytesMut,
    work: &mut Work<TokioIo<Bounded>, Full<Bytes>>,
    mut incoming: Incoming,
    limits: Limits,
) -> Result<(), Broken> {
    let (mut deadline, mut stride) = (after(limits.time), 0);
    loop {
        let next = timeout_at(deadline, work.until(incoming.frame())).await;
        let Some(frame) = next.map_err(|_| Broken::Cause(ConnectError::RequestTimeout))? else { return Ok(()) };
        let Ok(chunk) = frame.map_err(Broken::Off)?.into_data() else { continue };
        let room = limits.bytes - into.len();
        into.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if chunk.len() > room {
            return Err(Broken::Cause(ConnectError::TooLarge { limit: limits.bytes }));
        }
        stride += chunk.len();
        if stride >= STRIDE {
            (deadline, stride) = (after(limits.time), 0);
        }
    }
}
