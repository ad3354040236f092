//! Everything one attempt to connect needs.

use std::{fmt, sync::Arc};

use http::{HeaderMap, Uri};

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
}

impl Dial {
    pub(crate) fn new(url: Uri, headers: HeaderMap, vsn: Arc<str>, token: Option<Arc<str>>) -> Self {
        Dial { url, headers, vsn, token }
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
