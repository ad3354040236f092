//! Everything one attempt to connect needs.

use std::{fmt, pin::Pin, sync::Arc, time::Duration};

use futures::Future;
use http::{HeaderMap, Uri};

#[cfg(feature = "_http")]
use super::Http;
use super::{Backchannel, Frame, MaybeSend};
use crate::{
    endpoint,
    error::{BuildError, ConnectError},
};

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
    /// How long the attempt may still take, of the connect timeout.
    pub timeout: Duration,
    /// How HTTP connections are made: TLS and proxies.
    #[cfg(feature = "_http")]
    pub http: Http,
    pub(crate) socket: SocketSide,
}

/// What a transport can ask of the socket that dials.
#[derive(Clone, Default)]
pub(crate) struct SocketSide {
    pub(crate) backchannel: Backchannel,
    pub(crate) asks: Option<Arc<dyn Asks>>,
}

/// A socket, as far as a transport asks it anything.
pub(crate) trait Asks: Send + Sync {
    /// A heartbeat under a ref of its own, and a test for its answer; None where the serializer has no form for it.
    fn ping(&self) -> Option<(Frame, Answers)>;
    /// The same again, with params, token and headers asked for anew.
    fn renew(&self) -> Renewed;
}

pub(crate) type Answers = Box<dyn FnMut(&Frame) -> bool + Send>;
pub(crate) type Renewed = Pin<Box<dyn Future<Output = Result<Dial, ConnectError>> + Send>>;

impl Dial {
    #[cfg(test)]
    pub(crate) fn new(url: Uri, headers: HeaderMap, vsn: Arc<str>, token: Option<Arc<str>>) -> Self {
        Dial {
            url,
            headers,
            vsn,
            token,
            timeout: Duration::from_secs(10),
            #[cfg(feature = "_http")]
            http: Http::default(),
            socket: SocketSide::default(),
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

    /// A heartbeat, and a test for its answer: what a transport takes to see for itself that its peer answers, without a
    /// serializer. The answer is not to be passed on.
    ///
    /// None where the serializer has no form for it.
    pub fn ping(&self) -> Option<(Frame, impl FnMut(&Frame) -> bool + MaybeSend + 'static)> {
        self.socket.asks.as_ref()?.ping()
    }

    /// The same again for another attempt, perhaps much later: the socket's params, token and header closures are asked
    /// anew.
    ///
    /// # Errors
    /// [`ConnectError::Provider`] if one of them fails, [`ConnectError::Timeout`] if they take longer than the connect
    /// timeout, and [`ConnectError::Build`] if an answer cannot be sent.
    ///
    /// # Cancel safety
    /// Dropped, what the closures made is dropped too.
    pub fn renew(&self) -> impl Future<Output = Result<Dial, ConnectError>> + MaybeSend + 'static {
        let renewed = self.socket.asks.as_ref().map(|asks| asks.renew());
        let same = self.clone();
        async move {
            match renewed {
                Some(renewed) => renewed.await,
                None => Ok(same),
            }
        }
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
