//! The long-poll: requests that open a session, ask it, or post to it.

mod exchange;
mod json;
mod lines;
mod resumed;
mod session;
#[cfg(test)]
mod tests;
mod token;

use std::{future::pending, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use tokio::time::sleep;

use self::exchange::Exchange;
pub(super) use self::{session::Asks, token::SessionId};
use super::{
    answers::{Answer, failed, page, written},
    server::Shared,
    tcp::{Outcome, Request},
};

/// How many bytes a POST may have.
const MAX_BODY: usize = 8_000_000;

/// To what is asked of the long-poll's path, faults included.
pub(super) async fn answer(request: Request, peer: SocketAddr, shared: &Arc<Shared>) -> Outcome {
    shared.until(|faults| !faults.deaf).await;
    let (head, body) = request.into_parts();
    let post = head.method == Method::POST;
    let body = if post { read(body).await } else { Body::Whole(Bytes::new()) };
    let mute = shared.faults.borrow().mute;
    if mute {
        return pending().await;
    }
    if shared.concerns(|faults| &mut faults.bad_gateway) {
        return Outcome::Answer(page(StatusCode::BAD_GATEWAY));
    }
    if post && shared.concerns(|faults| &mut faults.swallow_posts) {
        return pending().await;
    }
    let lose = post && shared.concerns(|faults| &mut faults.lose_acks);
    let reply = Exchange { head: &head, peer, shared }.reply(body).await;
    if lose {
        return Outcome::Cut;
    }
    let delay = shared.faults.borrow().delay_answers;
    if let Some(delay) = delay {
        sleep(delay).await;
    }
    let (mut answer, last) = match reply {
        Reply::Answer(answer) => (answer, false),
        Reply::Raised(status) => (*failed(status), true),
        Reply::Lost => return Outcome::Cut,
    };
    let half = shared.concerns(|faults| &mut faults.half_close);
    if !half && !last {
        return Outcome::Answer(answer);
    }
    if head.headers.get(header::CONNECTION).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"close")) {
        answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    Outcome::Last(written(answer, half).await)
}

enum Body {
    Whole(Bytes),
    TooLarge,
    /// Its client is gone.
    Broken,
}

async fn read(body: Incoming) -> Body {
    match Limited::new(body, MAX_BODY).collect().await {
        Ok(body) => Body::Whole(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Body::TooLarge,
        Err(_) => Body::Broken,
    }
}

enum Reply {
    Answer(Answer),
    /// An exception in Phoenix: this HTTP status, after which Bandit ends the connection, unannounced.
    Raised(StatusCode),
    /// There was one, and it does not go out.
    Lost,
}

impl From<Option<Answer>> for Reply {
    /// `None` is an answer that cannot be written.
    fn from(answer: Option<Answer>) -> Self {
        answer.map_or(Reply::Raised(StatusCode::INTERNAL_SERVER_ERROR), Reply::Answer)
    }
}
