//! A way through a proxy: `CONNECT` (RFC 9110, 9.3.6), for `ws` as for `wss`.
//!
//! The request for a WebSocket could be handed to the proxy whole, but few of them let one pass that way.

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Uri,
    header::{HOST, PROXY_AUTHORIZATION},
};
use http_body_util::Empty;

use super::{ByteStream, Target, exchange::ask, failed, proxy::Proxy};
use crate::error::{BuildError, ConnectError};

/// Asks the proxy at the other end of a connection for one to this target.
pub(super) async fn open(proxy: &Proxy, target: &Target<'_>, stream: ByteStream) -> Result<ByteStream, ConnectError> {
    let request = request(proxy.authorization()?, target)?;
    let answer = ask(stream, request).await.map_err(|error| failed(&proxy.target(), error))?;
    if !answer.status().is_success() {
        return Err(ConnectError::ProxyRefused(Box::new(answer.refusal().await)));
    }
    answer.upgrade().await.map_err(|error| failed(&proxy.target(), error))
}

fn request(authorization: Option<HeaderValue>, target: &Target<'_>) -> Result<Request<Empty<Bytes>>, BuildError> {
    let illegal = || BuildError::Url("its host is not legal".into());
    let authority = target.to_string();
    let mut request = Request::new(Empty::new());
    *request.method_mut() = Method::CONNECT;
    *request.uri_mut() = Uri::try_from(authority.as_str()).map_err(|_| illegal())?;
    let headers = request.headers_mut();
    headers.insert(HOST, authority.try_into().map_err(|_| illegal())?);
    headers.extend(authorization.map(|value| (PROXY_AUTHORIZATION, value)));
    Ok(request)
}
