//! The handshake: an HTTP request that asks for a WebSocket, and the checks of the answer.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Request, StatusCode, Uri,
    header::{
        AUTHORIZATION, CONNECTION, HOST, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY,
        SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
    },
};
use http_body_util::Empty;
use tokio_tungstenite::tungstenite::handshake::{client::generate_key, derive_accept_key};

use crate::{
    auth,
    error::{BuildError, ConnectError},
    transport::{
        Dial,
        http::{ByteStream, Target, ask, credentials, failed},
    },
};

/// Opens one connection, up to where WebSocket frames begin.
pub(super) async fn open(dial: &Dial, path: &str) -> Result<ByteStream, ConnectError> {
    let url = dial.endpoint(path)?;
    let target = Target::of(&url);
    let failed = |error| failed(&target, error);
    let key = generate_key();
    let request = request(dial, &url, &key)?;
    let offered: Vec<String> = tokens(request.headers(), SEC_WEBSOCKET_PROTOCOL).map(str::to_owned).collect();
    let stream = dial.http.connect(&url).await?;
    let answer = ask(stream, request).await.map_err(failed)?;
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(ConnectError::Refused(Box::new(answer.refusal().await)));
    }
    check(answer.headers(), &key, &offered, dial.token.is_some())?;
    answer.upgrade().await.map_err(failed)
}

/// The user's headers, then those that are not the user's to choose.
fn request(dial: &Dial, url: &Uri, key: &str) -> Result<Request<Empty<Bytes>>, BuildError> {
    let mut request = Request::new(Empty::new());
    *request.uri_mut() = url.path_and_query().cloned().map_or_else(|| Uri::from_static("/"), Uri::from);
    let headers = request.headers_mut();
    if let Some(credentials) = credentials::of(url) {
        headers.insert(AUTHORIZATION, credentials);
    }
    headers.extend(dial.headers.clone());
    headers.insert(HOST, value(&Target::of(url).authority())?);
    headers.remove(SEC_WEBSOCKET_EXTENSIONS);
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    headers.insert(SEC_WEBSOCKET_KEY, value(key)?);
    if let Some(token) = &dial.token {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, value(&auth::subprotocols(token))?);
    }
    Ok(request)
}

fn value(text: &str) -> Result<HeaderValue, BuildError> {
    let mut value =
        HeaderValue::from_str(text).map_err(|_| BuildError::Header("a header of the handshake is not legal".into()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Whether this 101 is the answer to that key and offer (RFC 6455, 4.1); the HTTP client takes any.
fn check(headers: &HeaderMap, key: &str, offered: &[String], token: bool) -> Result<(), ConnectError> {
    if !tokens(headers, UPGRADE).any(|token| token.eq_ignore_ascii_case("websocket")) {
        return invalid("its Upgrade header does not name websocket");
    }
    if !tokens(headers, CONNECTION).any(|token| token.eq_ignore_ascii_case("upgrade")) {
        return invalid("its Connection header does not name Upgrade");
    }
    let mut accepts = headers.get_all(SEC_WEBSOCKET_ACCEPT).iter();
    let accept = accepts.next().map(|accept| accept.as_bytes().trim_ascii());
    if accept != Some(derive_accept_key(key.as_bytes()).as_bytes()) || accepts.next().is_some() {
        return invalid("its Sec-WebSocket-Accept does not answer this handshake");
    }
    if tokens(headers, SEC_WEBSOCKET_EXTENSIONS).next().is_some() {
        return invalid("it uses an extension that was not asked for");
    }
    check_subprotocol(headers, offered, token)
}

fn check_subprotocol(headers: &HeaderMap, offered: &[String], token: bool) -> Result<(), ConnectError> {
    let mut chosen = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
    let Some(choice) = chosen.next() else {
        // Without a token a server may leave an offer unanswered; with one it has not seen the token (N-18).
        return if token { Err(ConnectError::SubprotocolUnanswered) } else { Ok(()) };
    };
    let known = offered.iter().any(|offer| offer.as_bytes() == choice.as_bytes().trim_ascii());
    if known && chosen.next().is_none() { Ok(()) } else { invalid("it chose a subprotocol that was not offered") }
}

/// The parts of a header that is a list, over all lines of it.
fn tokens(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(name).into_iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim).filter(|token| !token.is_empty())
}

fn invalid(why: &str) -> Result<(), ConnectError> {
    Err(ConnectError::Handshake(why.into()))
}
