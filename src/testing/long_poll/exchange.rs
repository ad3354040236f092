//! A request, and what it comes to.

use std::{net::SocketAddr, sync::Arc};

use http::{HeaderValue, Method, StatusCode, header, request::Parts};

use super::{
    super::{
        answers::{Answer, foreign, refuse},
        connect::{ConnectInfo, Denied, Refuse, connect, is_allowed, parse_query},
        server::Shared,
    },
    Body, Reply, json,
    resumed::{poll, post, resume},
    session,
};

const TOKEN: &str = "x-phoenix-longpoll-token";
const AUTH_TOKEN: &str = "x-phoenix-authtoken";

/// With so many no further session is opened: a client that does nothing else shall not take all memory.
pub(super) const MOST_CONNECTED: usize = 10_000;

/// One request.
pub(super) struct Exchange<'a> {
    pub(super) head: &'a Parts,
    pub(super) peer: SocketAddr,
    pub(super) shared: &'a Arc<Shared>,
}

impl Exchange<'_> {
    pub(super) async fn reply(&self, body: Body) -> Reply {
        if !is_allowed(&self.head.headers, &self.shared.app) {
            return Reply::Answer(json::status(403));
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
                posted.await.unwrap_or_else(|| Reply::Answer(json::status(410)))
            }
            _ => Reply::Answer(self.bad_request()),
        }
    }

    fn preflight(&self) -> Answer {
        let mut answer = *refuse(Refuse::new(200));
        json::allow_all(answer.headers_mut());
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
        json::allow_all(answer.headers_mut());
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
        if self.shared.connections() >= MOST_CONNECTED {
            return Reply::Raised(StatusCode::SERVICE_UNAVAILABLE);
        }
        if let Some(refusal) = self.shared.next_refusal() {
            return Reply::Answer(foreign(refusal));
        }
        match self.connect().await {
            Ok(connect) => {
                let token = session::open(connect, self.shared).token();
                Reply::from(json::messages(410, &token, &[]))
            }
            // The handler's own answer is for WebSockets.
            Err(Denied::Refused(_)) => Reply::Answer(json::status(403)),
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
