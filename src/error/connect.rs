//! Why there is no connection.

use std::{error::Error as StdError, fmt, io, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, StatusCode,
    header::{CACHE_CONTROL, DATE, RETRY_AFTER},
};

use super::{BoxError, SocksRefusal, Source, causes};

/// What was described to the builder cannot be used. Told when the socket is built, not later.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The endpoint is not an absolute `ws`, `wss`, `http` or `https` URL.
    #[error("the endpoint URL cannot be used: {0}")]
    Url(Arc<str>),
    /// A header name or value is not legal HTTP.
    #[error("a header cannot be sent: {0}")]
    Header(Arc<str>),
    /// The params have a form that a query string cannot carry.
    #[error("the params cannot be sent: {0}")]
    Params(Arc<str>),
    /// A certificate or key cannot be used, or there is no TLS in this build, or no certificate in this system.
    #[error("secure connections cannot be made: {0}")]
    Tls(Arc<str>),
    /// A proxy cannot be used: its URL is none, its scheme is not spoken, or its user and password cannot be told.
    #[error("the proxy cannot be used: {0}")]
    Proxy(Arc<str>),
    /// No transport was given, and the crate was built without one of its own.
    #[error("no transport: enable the feature `websocket`, or give one with `transport(..)`")]
    NoTransport,
    /// `connect()`, `start()` and `idle()` spawn the driver, which takes a tokio runtime.
    #[error("no tokio runtime here: start the socket inside one, or spawn `driver()` yourself")]
    NoRuntime,
}

/// Why there is no connection: an attempt that failed, or a connection that ended.
///
/// The same type stands in [`Status`](crate::Status), in [`Telemetry`](crate::Telemetry) and in errors.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ConnectError {
    /// The socket could not be built.
    Build(BuildError),
    /// The server, or something before it, refused the handshake, or answered a long-poll request with anything but the
    /// protocol. It is all here: status, headers, body.
    Refused(Box<Refusal>),
    /// The proxy refused to open a way to the server. It is all here: status, headers, body.
    ProxyRefused(Box<Refusal>),
    /// The SOCKS proxy refused to open a way to the server, and why.
    SocksRefused(SocksRefusal),
    /// The auth token was offered as a subprotocol and the server did not answer it.
    SubprotocolUnanswered,
    /// The answer to the handshake is not a WebSocket's, or cannot be read as HTTP; or a proxy's, as SOCKS.
    Handshake(Arc<str>),
    /// The host's name, or that of a proxy, does not resolve to an address.
    Unresolved(Source),
    /// The host, or a proxy, cannot be reached: nothing listens at the port, there is no route, no network.
    /// [`io_kind`](Self::io_kind) says which.
    Unreachable(Source),
    /// The connection was made and ended within the handshake, before the answer was whole. A refusal whose body alone
    /// was cut is a `Refused`, with as much of it as came.
    HandshakeCut(Source),
    /// The certificate of the server, or of a proxy, does not verify. The error says why: its issuer is not known, it
    /// is for another host, it has expired, ..
    Certificate(Source),
    /// The attempt took longer than the connect timeout.
    Timeout,
    /// The long-poll session is gone: the server ended it, was restarted, or heard no poll for too long. What it held
    /// is lost, and a new one is opened.
    SessionGone,
    /// The server could not answer a poll (HTTP 500), and what it held is lost. Most often it pushed a binary message,
    /// for which long-poll has no form. It is all here: status, headers, body.
    NotCarried(Box<Refusal>),
    /// A long-poll request was not answered in time.
    RequestTimeout,
    /// More came at once than this many bytes, the limit.
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// This connection was given up for a better one, by another transport.
    Switched {
        /// The name of that transport.
        to: &'static str,
    },
    /// A params, token or header closure of yours failed.
    Provider(Source),
    /// An open connection broke, or one could not be made for a reason that none of the others names.
    Transport(Source),
    /// The server closed the connection with a close frame.
    ClosedByServer {
        /// The close code; 1005 where the frame had none.
        code: u16,
        /// The reason, often empty.
        reason: Arc<str>,
    },
    /// The connection ended without a close frame.
    Ended,
    /// No answer to a heartbeat came in time.
    HeartbeatTimeout,
    /// This side closed it: `disconnect()`, `close()`, or the last handle dropped.
    Closed,
}

impl ConnectError {
    /// A failure of the connection, around any error or sentence. For [transports](crate::Transport) of your own.
    pub fn transport(error: impl Into<BoxError>) -> Self {
        ConnectError::Transport(error.into().into())
    }

    /// What was answered, where that is the cause.
    pub(crate) fn refusal(&self) -> Option<&Refusal> {
        match self {
            ConnectError::Refused(refusal)
            | ConnectError::ProxyRefused(refusal)
            | ConnectError::NotCarried(refusal) => Some(refusal),
            _ => None,
        }
    }

    /// The kind of the I/O error behind this, where there is one: of an [`Unreachable`](Self::Unreachable) host
    /// [`ConnectionRefused`](io::ErrorKind::ConnectionRefused) if nothing listens at the port,
    /// [`NetworkUnreachable`](io::ErrorKind::NetworkUnreachable) without a network.
    pub fn io_kind(&self) -> Option<io::ErrorKind> {
        causes(self).filter_map(|error| error.downcast_ref()).last().map(io::Error::kind)
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConnectError::Build(error) => error.fmt(f),
            ConnectError::Refused(refusal) => refusal.fmt(f),
            ConnectError::ProxyRefused(refusal) => refusal.fmt_of_proxy(f),
            ConnectError::SocksRefused(refusal) => refusal.fmt(f),
            ConnectError::SubprotocolUnanswered => f.write_str(
                "the server did not accept the auth token's subprotocol: set `auth_token: true` on the socket in its \
                 endpoint (Phoenix 1.8 or later)",
            ),
            ConnectError::Handshake(what) => write!(f, "the server's handshake is not valid: {what}"),
            ConnectError::Unresolved(error) => write!(f, "the host was not found: {error}"),
            ConnectError::Unreachable(error) => write!(f, "the host cannot be reached: {error}"),
            ConnectError::HandshakeCut(error) => write!(f, "the connection ended within the handshake: {error}"),
            ConnectError::Certificate(error) => write!(f, "the server's certificate cannot be trusted: {error}"),
            ConnectError::Timeout => f.write_str("connecting took too long"),
            ConnectError::SessionGone => f.write_str("the server does not know the long-poll session any more"),
            ConnectError::NotCarried(refusal) => write!(
                f,
                "the server could not answer a poll (HTTP {}), and what it held is lost: most often it pushed a binary \
                 message, which long-poll cannot carry",
                refusal.status
            ),
            ConnectError::RequestTimeout => f.write_str("a long-poll request was not answered in time"),
            ConnectError::TooLarge { limit } => write!(f, "more than {limit} bytes came at once, which is the limit"),
            ConnectError::Switched { to } => write!(f, "it was given up for a better connection, by {to}"),
            ConnectError::Provider(error) => write!(f, "a params, token or header closure failed: {error}"),
            ConnectError::Transport(error) => write!(f, "the connection failed: {error}"),
            ConnectError::ClosedByServer { code, reason } if reason.is_empty() => {
                write!(f, "the server closed the connection with code {code}")
            }
            ConnectError::ClosedByServer { code, reason } => {
                write!(f, "the server closed the connection with code {code}: {reason}")
            }
            ConnectError::Ended => f.write_str("the connection ended without a close frame"),
            ConnectError::HeartbeatTimeout => f.write_str("the server did not answer the heartbeat in time"),
            ConnectError::Closed => f.write_str("the socket was closed by this side"),
        }
    }
}

// By hand, since a derived `source` would give the `Arc`, which cannot be downcast to what it holds.
impl StdError for ConnectError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            ConnectError::Build(error) => error.source(),
            ConnectError::Unresolved(error)
            | ConnectError::Unreachable(error)
            | ConnectError::HandshakeCut(error)
            | ConnectError::Certificate(error)
            | ConnectError::Provider(error)
            | ConnectError::Transport(error) => Some(&**error),
            _ => None,
        }
    }
}

impl From<BuildError> for ConnectError {
    fn from(error: BuildError) -> Self {
        ConnectError::Build(error)
    }
}

/// What a server answered to a refused handshake or long-poll request, or a proxy to `CONNECT`.
#[derive(Clone)]
pub struct Refusal {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
    /// It is known to be the server's, and of nothing before it.
    own: bool,
}

impl Refusal {
    /// A refusal, as a transport saw it.
    pub fn new(status: StatusCode, headers: HeaderMap, body: impl Into<Bytes>) -> Self {
        Refusal { status, headers, body: body.into(), own: false }
    }

    /// One that is the server's own, by the protocol that it is told in.
    #[cfg(feature = "long-poll")]
    pub(crate) fn of_the_server(self) -> Self {
        Refusal { own: true, ..self }
    }

    /// The HTTP status; of a long-poll answer the one in its body, where that has one.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The response's headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The response's body, of which at most 64 KiB are kept.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The bytes it keeps alive.
    pub(crate) fn held(&self) -> usize {
        let headers = self.headers.iter().map(|(name, value)| name.as_str().len() + value.len());
        headers.sum::<usize>() + self.body.len()
    }

    /// How long `Retry-After` says to wait: its seconds, or its date as seen from the response's own `Date`, so that no
    /// clock of this machine matters. A date that has passed is zero.
    pub fn retry_after(&self) -> Option<Duration> {
        let after = self.header(RETRY_AFTER)?;
        if let Ok(seconds) = after.parse() {
            return Some(Duration::from_secs(seconds));
        }
        let [after, now] = [after, self.header(DATE)?].map(httpdate::parse_http_date);
        Some(after.ok()?.duration_since(now.ok()?).unwrap_or_default())
    }

    /// Whether the server itself has said this: by its own protocol, or by a header that Phoenix sends with whatever it answers to a handshake,
    /// and few things that stand before it do.
    pub(crate) fn is_of_phoenix(&self) -> bool {
        self.own || self.header(CACHE_CONTROL) == Some("max-age=0, private, must-revalidate")
    }

    fn fmt_of_proxy(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the proxy refused the connection with HTTP {}", self.status)?;
        f.write_str(match self.status.as_u16() {
            407 => ": it asks for a user and a password, or does not accept these",
            403 => ": it lets nobody through to this server",
            502 | 504 => ": it did not reach the server",
            429 | 503 => ": it asks to come back later",
            _ => "",
        })
    }

    fn header(&self, name: HeaderName) -> Option<&str> {
        Some(self.headers.get(name)?.to_str().ok()?.trim())
    }
}

impl fmt::Debug for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refusal")
            .field("status", &self.status)
            .field("headers", &self.headers.len())
            .field("body", &format_args!("{} bytes", self.body.len()))
            .finish()
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the server refused the connection with HTTP {}", self.status)?;
        f.write_str(match self.status.as_u16() {
            403 if !self.is_of_phoenix() => {
                ": it does not accept these params, token or headers, or a proxy lets nobody through"
            }
            401 | 403 => ": it does not accept these params, token or headers",
            404 => ": there is no socket at this URL",
            408 => ": it did not get to what was sent in time",
            429 | 503 => ": it asks to come back later",
            502 | 504 => ": a proxy does not reach the server",
            200..=299 => ": what it sent is not the protocol's, so this URL may not be a socket's",
            300..=399 => ": it points elsewhere, and redirects are not followed",
            _ => "",
        })
    }
}

/// Wrapped around the error of a params, token or header closure: do not try again.
///
/// ```
/// # use phoenix_streams::{BoxError, Stop};
/// async fn token() -> Result<String, BoxError> {
///     Err(Stop::new("logged out"))?
/// }
/// ```
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Stop(BoxError);

impl Stop {
    /// Wraps an error, or a sentence.
    pub fn new(error: impl Into<BoxError>) -> Self {
        Stop(error.into())
    }

    pub(crate) fn into_inner(self) -> BoxError {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(headers: &[(HeaderName, &'static str)]) -> Refusal {
        let headers = headers.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect();
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, headers, "secret body")
    }

    // T-23
    #[test]
    fn retry_after_in_seconds() {
        assert_eq!(answered(&[(RETRY_AFTER, " 7 ")]).retry_after(), Some(Duration::from_secs(7)));
        assert_eq!(answered(&[(RETRY_AFTER, "0")]).retry_after(), Some(Duration::ZERO));
        let endless = answered(&[(RETRY_AFTER, "18446744073709551615")]);
        assert_eq!(endless.retry_after(), Some(Duration::from_secs(u64::MAX)));
        for other in ["", "-1", "1.5", "soon", "18446744073709551616", "\u{e9}"] {
            assert_eq!(answered(&[(RETRY_AFTER, other)]).retry_after(), None);
        }
        assert_eq!(answered(&[]).retry_after(), None);
    }

    // T-23
    #[test]
    fn retry_after_as_a_date_is_seen_from_the_servers_clock() {
        const DUE: (HeaderName, &str) = (RETRY_AFTER, "Wed, 21 Oct 2015 07:28:30 GMT");
        let now = |date| answered(&[DUE, (DATE, date)]).retry_after();
        assert_eq!(now("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::from_secs(30)));
        assert_eq!(now("Wed, 21 Oct 2015 08:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(now("yesterday"), None);
        assert_eq!(answered(&[DUE]).retry_after(), None);
    }

    // T-29
    #[test]
    fn a_refusal_shows_neither_headers_nor_body() {
        let refusal = answered(&[(http::header::SET_COOKIE, "secret")]);
        assert_eq!(refusal.body(), "secret body");
        assert_eq!(format!("{refusal:?}"), "Refusal { status: 503, headers: 1, body: 11 bytes }");
        let error = ConnectError::Refused(Box::new(refusal));
        let expected =
            "the server refused the connection with HTTP 503 Service Unavailable: it asks to come back later";
        assert_eq!(error.to_string(), expected);
        assert!(!format!("{error:?}").contains("secret"));
    }
}
