//! A connection for requests, and how they are written there.

use http::{
    HeaderValue, Request, Uri,
    header::{HOST, PROXY_AUTHORIZATION},
};

use super::{ByteStream, Target};
use crate::error::BuildError;

/// Where requests go out and answers come in.
pub(crate) struct Line {
    pub(crate) stream: ByteStream,
    pub(crate) form: Form,
}

/// How a request says what it is for (RFC 9112, 3.2).
#[derive(Clone)]
pub(crate) enum Form {
    /// `GET /socket`: to the server itself, perhaps through a tunnel.
    Origin,
    /// `GET http://example.org/socket`: to a proxy, which is told this in `Proxy-Authorization`. An answer of 407 is
    /// the proxy's: [`ConnectError::ProxyRefused`](crate::ConnectError::ProxyRefused).
    Absolute(Option<HeaderValue>),
}

impl Form {
    /// Writes into a request where it goes: its URI, `Host`, and what the proxy is told. The URL's userinfo, which is
    /// the server's, is in none of them.
    ///
    /// # Errors
    /// [`BuildError::Url`]: its host cannot be sent.
    pub(crate) fn address<B>(&self, request: &mut Request<B>, url: &Uri) -> Result<(), BuildError> {
        let illegal = || BuildError::Url("its host is not legal".into());
        let authority = Target::of(url).authority();
        let path = url.path_and_query().map_or("/", |path| path.as_str());
        let uri = match self {
            Form::Origin => Uri::try_from(path),
            Form::Absolute(_) => Uri::try_from(format!("http://{authority}{path}")),
        };
        *request.uri_mut() = uri.map_err(|_| illegal())?;
        let headers = request.headers_mut();
        headers.insert(HOST, HeaderValue::try_from(authority).map_err(|_| illegal())?);
        headers.remove(PROXY_AUTHORIZATION);
        if let Form::Absolute(Some(told)) = self {
            headers.insert(PROXY_AUTHORIZATION, told.clone());
        }
        Ok(())
    }
}
