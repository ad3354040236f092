//! A session: how it is opened, and the requests that belong to it.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Uri,
    header::{
        ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, TE,
        TRAILER, TRANSFER_ENCODING, UPGRADE,
    },
};
use http_body_util::Full;

use super::{
    LongPoll,
    answer::{Answered, read},
    batches::Batch,
    posts::Posts,
};
use crate::{
    endpoint,
    error::{BuildError, ConnectError},
    transport::{
        Dial,
        http::{Answer, Limits, Requests, credentials},
    },
};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const AUTH_TOKEN: HeaderName = HeaderName::from_static("x-phoenix-authtoken");
const SESSION_TOKEN: HeaderName = HeaderName::from_static("x-phoenix-longpoll-token");
/// A token of Phoenix has some 220 characters.
const LONGEST_TOKEN: usize = 8 * 1024;

pub(super) struct Session {
    /// With the transport's path, and no query.
    url: Uri,
    vsn: Arc<str>,
    /// The user's, with what the URL's userinfo says.
    headers: HeaderMap,
    token_in_url: bool,
    token: Mutex<Arc<str>>,
    limits: Limits,
    pub(super) posts: Posts,
}

impl Session {
    /// Opens a session at the server, and with it the connection that its polls go over.
    pub(super) async fn open(options: &LongPoll, dial: &Dial) -> Result<(Self, Requests), ConnectError> {
        let url = dial.endpoint(&options.path)?;
        let limits = Limits { time: options.timeout, bytes: options.max_response_size };
        let headers = headers(dial, &url);
        let mut opening = request(Method::GET, &headers, Bytes::new());
        opening.headers_mut().insert(ACCEPT, JSON);
        if let Some(token) = &dial.token {
            opening.headers_mut().insert(AUTH_TOKEN, secret(token)?);
        }
        let mut requests = Requests::new(dial.http.clone());
        let answer = requests.ask(&url, opening, limits).await?;
        let answer = read(answer)?;
        // 410 and a token: a session was opened. Anything else is no answer to that.
        let token = match answer {
            Answered { status: 410, token: Some(token), .. } => usable(token)?,
            other => return Err(other.refused()),
        };
        let session = Session {
            url: endpoint::without_query(&url),
            vsn: dial.vsn.clone(),
            headers,
            token_in_url: options.token_in_url,
            token: Mutex::new(token),
            limits,
            posts: Posts::default(),
        };
        Ok((session, requests))
    }

    pub(super) async fn poll(&self, requests: &mut Requests) -> Result<Answer, ConnectError> {
        let (url, mut request) = self.request(Method::GET, Bytes::new())?;
        request.headers_mut().insert(ACCEPT, JSON);
        self.ask(requests, &url, request).await
    }

    pub(super) async fn post(&self, requests: &mut Requests, batch: Batch) -> Result<Answer, ConnectError> {
        let (url, mut request) = self.request(Method::POST, batch.body.freeze())?;
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(batch.form.content_type()));
        self.ask(requests, &url, request).await
    }

    /// An answer brought this token, most often the same again.
    pub(super) fn renew(&self, token: String) -> Result<(), ConnectError> {
        let token = usable(token)?;
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = token;
        Ok(())
    }

    async fn ask(
        &self,
        requests: &mut Requests,
        url: &Uri,
        request: Request<Full<Bytes>>,
    ) -> Result<Answer, ConnectError> {
        requests.ask(url, request, self.limits).await.map_err(|cause| match cause {
            // What was open has broken.
            ConnectError::HandshakeCut(error) => ConnectError::Transport(error),
            other => other,
        })
    }

    /// A request, and the URL it goes to.
    fn request(&self, method: Method, body: Bytes) -> Result<(Uri, Request<Full<Bytes>>), ConnectError> {
        let token = self.token.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let in_url = Some(("token", &*token)).filter(|_| self.token_in_url);
        let pairs = [Some(("vsn", &*self.vsn)), in_url];
        let url = endpoint::with_query(&self.url, pairs.into_iter().flatten())?;
        let mut request = request(method, &self.headers, body);
        request.headers_mut().insert(SESSION_TOKEN, secret(&token)?);
        Ok((url, request))
    }
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The user's headers, without those that are not the user's to choose.
fn headers(dial: &Dial, url: &Uri) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Some(credentials) = credentials::of(url) {
        headers.insert(AUTHORIZATION, credentials);
    }
    headers.extend(dial.headers.clone());
    for ours in [
        ACCEPT_ENCODING,
        CONNECTION,
        CONTENT_ENCODING,
        CONTENT_LENGTH,
        CONTENT_TYPE,
        EXPECT,
        KEEP_ALIVE,
        PROXY_CONNECTION,
        TE,
        TRAILER,
        TRANSFER_ENCODING,
        UPGRADE,
        AUTH_TOKEN,
        SESSION_TOKEN,
    ] {
        headers.remove(ours);
    }
    headers
}

fn request(method: Method, headers: &HeaderMap, body: Bytes) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = method;
    *request.headers_mut() = headers.clone();
    request
}

fn secret(text: &str) -> Result<HeaderValue, BuildError> {
    let mut value = HeaderValue::from_str(text)
        .map_err(|_| BuildError::Header("the auth token cannot stand in a header".into()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// The session's token is whatever the server says, and is to go into a header and a URL.
fn usable(token: String) -> Result<Arc<str>, ConnectError> {
    if token.is_empty() || token.len() > LONGEST_TOKEN || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(ConnectError::Handshake("the session's token cannot be sent".into()));
    }
    Ok(token.into())
}
