//! The polls: one is always at the server, and the next goes out before the messages of the last are handed on.

use std::{sync::Arc, time::Duration};

use async_stream::try_stream;
use futures::{
    Stream,
    future::{maybe_done, poll_immediate},
};

use super::{
    answer::{Answered, read},
    session::Session,
};
use crate::{
    error::ConnectError,
    runtime::Instant,
    transport::{Frame, WindDown, http::Requests},
};

/// How long it may go on, once it is told to wind down, because something is always being sent.
const WINDING_DOWN: Duration = Duration::from_secs(10);

/// Once it is told to wind down it ends after an answer: to a poll that went out after all that was sent, so that what is
/// answered at once is not lost.
pub(super) fn polls(
    requests: Requests,
    session: Arc<Session>,
    wind_down: WindDown,
) -> impl Stream<Item = Result<Frame, ConnectError>> + Send {
    try_stream! {
        let mut posts = session.posts.settled();
        let mut next = Box::pin(maybe_done(poll(requests, session.clone())));
        let mut winding_down = None;
        loop {
            next.as_mut().await;
            let Some((requests, answered)) = next.as_mut().take_output() else { break };
            let answered = answered?;
            if let Some(token) = answered.token {
                session.renew(token)?;
            }
            if wind_down.has_begun() {
                winding_down.get_or_insert_with(Instant::now);
            }
            let last = winding_down.is_some_and(|since| {
                (posts.is_some() && posts == session.posts.settled()) || since.elapsed() >= WINDING_DOWN
            });
            if !last {
                posts = session.posts.settled();
                next.set(maybe_done(poll(requests, session.clone())));
                // It is on its way before anyone takes the time to look at what has come.
                poll_immediate(next.as_mut()).await;
            }
            for message in answered.messages {
                yield message?;
            }
            if last {
                break;
            }
        }
    }
}

/// One poll; and the connection it went over, for the next.
async fn poll(mut requests: Requests, session: Arc<Session>) -> (Requests, Result<Answered, ConnectError>) {
    let answered = ask(&mut requests, &session).await;
    (requests, answered)
}

async fn ask(requests: &mut Requests, session: &Session) -> Result<Answered, ConnectError> {
    let answer = session.poll(requests).await?;
    let failed = answer.head.status == http::StatusCode::INTERNAL_SERVER_ERROR;
    match read(answer) {
        Ok(answered) => match answered.status {
            200 | 204 => Ok(answered),
            // The session is gone; the token is that of another, which is left to end by itself (L-14).
            410 => Err(ConnectError::SessionGone),
            _ => Err(answered.refused()),
        },
        Err(ConnectError::Refused(refusal)) if failed => Err(ConnectError::NotCarried(refusal)),
        Err(cause) => Err(cause),
    }
}
