//! Everything one attempt to connect needs.

use std::{fmt, sync::Arc};

use http::{HeaderMap, Uri};

#[cfg(feature = "_http")]
use super::Http;
use crate::{endpoint, error::BuildError};

/// Everything one attempt to connect needs. `Debug` shows no secret.
#[derive(Clone)]
#[non_exhaustive]
pub struct Dial {
    /// The endpoint with the params of this attempt in its query, before the transport's own path and `vsn`:
    /// `wss://example.org/socket?user_id=7`.
    pub url: Uri,
    /// Headers to send.
    pub headers: HeaderMap,
    /// The protocol version to ask for.
    pub vsn: Arc<str>,
    /// The auth token, plain.
    pub token: Option<Arc<str>>,
    /// How HTTP connections are made: TLS and proxies.
    #[cfg(feature = "_http")]
    pub http: Http,
}

impl Dial {
    pub(crate) fn new(url: Uri, headers: HeaderMap, vsn: Arc<str>, token: Option<Arc<str>>) -> Self {
        Dial {
            url,
            headers,
            vsn,
            token,
            #[cfg(feature = "_http")]
            http: Http::default(),
        }
    }

    /// The URL to open: `path` behind the endpoint's own, then the query, in which `vsn` comes last and once.
    ///
    /// Its scheme is the endpoint's: `ws`, `wss`, `http` or `https`, whatever the transport speaks.
    /// `wss://example.org/socket?user_id=7` becomes `wss://example.org/socket/websocket?user_id=7&vsn=2.0.0`.
    ///
    /// # Errors
    /// [`BuildError::Url`] if `path` is not a legal path, or the whole is longer than 64 KiB.
    pub fn endpoint(&self, path: &str) -> Result<Uri, BuildError> {
        endpoint::transport_url(&self.url, path, &self.vsn)
    }
}

impl fmt::Debug for Dial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dial")
            .field("host", &self.url.host())
            .field("path", &self.url.path())
            .field("headers", &self.headers.len())
            .field("vsn", &self.vsn)
            .field("token", &self.token.as_ref().map(|_| "..."))
            .finish()
    }
}
