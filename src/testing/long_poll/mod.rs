//! The long-poll: requests that open a session, ask it, or post to it.

mod body;
mod lines;
mod session;
#[cfg(test)]
mod tests;
mod token;

use std::{future::pending, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep, sleep_until, timeout_at},
};

use self::session::Ask;
pub(super) use self::{session::Asks, token::SessionId};
use super::{
    answers::{Answer, failed, foreign, page, refuse, written},
    connect::{ConnectInfo, Denied, Refuse, connect, is_allowed, parse_query},
    server::Shared,
    tcp::{Outcome, Request},
};

/// How many bytes a POST may have.
const MAX_BODY: usize = 8_000_000;

const TOKEN: &str = "x-phoenix-longpoll-token";
const AUTH_TOKEN: &str = "x-phoenix-authtoken";

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

/// One request.
struct Exchange<'a> {
    head: &'a Parts,
    peer: SocketAddr,
    shared: &'a Arc<Shared>,
}

impl Exchange<'_> {
    async fn reply(&self, body: Body) -> Reply {
        if !is_allowed(&self.head.headers, &self.shared.app) {
            return Reply::Answer(body::status(403));
        }
        match self.head.method {
            Method::OPTIONS => Reply::Answer(self.preflight()),
            Method::GET => {
                let resumed = resume(self.token(), self.shared.clone());
                match self.detached(async { Some(poll(resumed.await?).await) }).await {
                    Some(reply) => reply,
                    None => self.open().await,
                }
            }
            Method::POST => {
                let (resumed, headers) = (resume(self.token(), self.shared.clone()), self.head.headers.clone());
                let posted = self.detached(async move { Some(post(resumed.await?, &headers, body).await) });
                posted.await.unwrap_or_else(|| Reply::Answer(body::status(410)))
            }
            _ => Reply::Answer(self.bad_request()),
        }
    }

    fn preflight(&self) -> Answer {
        let mut answer = *refuse(Refuse::new(200));
        body::allow_all(answer.headers_mut());
        let asked = self.head.headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned();
        answer.headers_mut().extend([
            (header::ACCESS_CONTROL_ALLOW_HEADERS, asked.unwrap_or(HeaderValue::from_static(""))),
            (header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("get, post, options")),
            (header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("3600")),
        ]);
        answer
    }

    fn bad_request(&self) -> Answer {
        let mut answer = *refuse(Refuse::new(400));
        body::allow_all(answer.headers_mut());
        answer
    }

    /// Where two differ, the header's.
    fn token(&self) -> Option<String> {
        let header = self.head.headers.get(TOKEN).filter(|_| self.shared.app.long_poll_token_header);
        if let Some(header) = header {
            return header.to_str().ok().map(str::to_owned);
        }
        let params = parse_query(self.head.uri.query().unwrap_or_default());
        params["token"].as_str().map(str::to_owned)
    }

    async fn open(&self) -> Reply {
        self.shared.until(|faults| !faults.hang_handshake).await;
        if let Some(refusal) = self.shared.next_refusal() {
            return Reply::Answer(foreign(refusal));
        }
        match self.connect().await {
            Ok(connect) => {
                let token = session::open(connect, self.shared).token();
                Reply::from(body::messages(410, &token, &[]))
            }
            // The handler's own answer is for WebSockets.
            Err(Denied::Refused(_)) => Reply::Answer(body::status(403)),
            Err(Denied::Crashed) => Reply::Raised(StatusCode::INTERNAL_SERVER_ERROR),
        }
    }

    async fn connect(&self) -> Result<ConnectInfo, Denied> {
        let app = &self.shared.app;
        let auth_token = self.head.headers.get(AUTH_TOKEN).filter(|_| app.auth_token);
        let auth_token = auth_token.map(|token| String::from_utf8_lossy(token.as_bytes()).into_owned());
        connect(self.head, auth_token, self.peer, app).await
    }

    /// What has begun goes on without its client, as over Bandit: what it takes from a session then is lost.
    async fn detached(&self, reply: impl Future<Output = Option<Reply>> + Send + 'static) -> Option<Reply> {
        let mut cut = self.shared.cut.subscribe();
        let task = tokio::spawn(async move {
            tokio::select! {
                reply = reply => reply,
                _ = cut.changed() => Some(Reply::Lost),
            }
        });
        task.await.unwrap_or(Some(Reply::Lost))
    }
}

/// A session that has answered this request.
struct Session {
    asks: Asks,
    token: String,
    shared: Arc<Shared>,
}

impl Session {
    fn window(&self) -> Duration {
        self.shared.app.window
    }
}

/// `None` at once for what is no token; for one whose session does not answer, only once it could have.
async fn resume(token: Option<String>, shared: Arc<Shared>) -> Option<Session> {
    let token = token?;
    let id = SessionId::read(&token)?;
    let deadline = Instant::now() + shared.app.pubsub_timeout;
    let found = async {
        let asks = shared.session(id)?;
        asks.resume().await?;
        Some(asks)
    };
    if let Ok(Some(asks)) = timeout_at(deadline, found).await {
        return Some(Session { asks, token, shared });
    }
    sleep_until(deadline).await;
    None
}

async fn poll(session: Session) -> Reply {
    let end = Instant::now() + session.window();
    let (give, mut taken) = oneshot::channel();
    session.asks.ask(Ask::Poll(give));
    let messages = match timeout_at(end, &mut taken).await {
        Ok(Ok(messages)) => messages,
        // Another poll took its place, or the session ended.
        Ok(Err(_)) => {
            sleep_until(end).await;
            Vec::new()
        }
        // What was given in this very moment is not lost.
        Err(_) => {
            taken.close();
            taken.try_recv().unwrap_or_default()
        }
    };
    if messages.is_empty() {
        return Reply::from(body::messages(204, &session.token, &[]));
    }
    if session.shared.concerns(|faults| &mut faults.lose_messages) {
        return Reply::Lost;
    }
    Reply::from(body::messages(200, &session.token, &messages))
}

/// Each line has a window's time.
async fn post(session: Session, headers: &HeaderMap, body: Body) -> Reply {
    let body = match body {
        Body::Whole(body) => body,
        Body::TooLarge => return Reply::Raised(StatusCode::BAD_REQUEST),
        Body::Broken => return Reply::Lost,
    };
    let (frames, bad) = lines::read(headers, &body);
    let count = frames.len();
    let (done, mut each) = mpsc::unbounded_channel();
    session.asks.ask(Ask::Post(frames, done));
    for _ in 0..count {
        let end = Instant::now() + session.window();
        match timeout_at(end, each.recv()).await {
            Ok(Some(())) => {}
            // The session has ended, or has too much in hand.
            late => {
                if late.is_ok() {
                    sleep_until(end).await;
                }
                return Reply::Answer(body::status(408));
            }
        }
    }
    // What came before it was handled.
    Reply::from((!bad).then(|| body::status(200)))
}

impl From<Option<Answer>> for Reply {
    /// `None` is an answer that cannot be written.
    fn from(answer: Option<Answer>) -> Self {
        answer.map_or(Reply::Raised(StatusCode::INTERNAL_SERVER_ERROR), Reply::Answer)
    }
}
