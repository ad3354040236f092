//! Describing a socket.

use std::{
    fmt,
    future::Future,
    sync::{Arc, Mutex},
    time::Duration,
};

use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;
use tokio::sync::watch;

#[cfg(feature = "_http")]
use crate::transport::Http;
use crate::{
    backoff::Backoff,
    core::{Command, Config, Core, Instant},
    driver::{Control, Dialer, Driver, Recipe, Shared, Source, Sources, shared::fresh_id},
    endpoint::{Endpoint, query},
    error::{BoxError, BuildError, ConnectError, NotJoined},
    log,
    operation::Connect,
    policy::{Policy, Retry},
    runtime,
    serializer::{Codec, Serializer, V2},
    socket::{Inner, Socket},
    status::Status,
    transport::{Backchannel, BoxTransport, Transport},
};

/// A socket, described. It ends in [`connect`](Builder::connect), [`start`](Builder::start),
/// [`idle`](Builder::idle) or [`driver`](Builder::driver).
///
/// What cannot be used, such as a bad URL or header, is an error of that ending, not later. `Debug` shows no secret.
#[must_use = "a socket is built by `connect()`, `start()`, `idle()` or `driver()`"]
pub struct Builder {
    endpoint: Result<Endpoint, BuildError>,
    parts: Option<Parts>,
    params: Source<String>,
    token: Source<Option<Arc<str>>>,
    headers: HeaderMap,
    more_headers: Source<HeaderMap>,
    transport: Option<BoxTransport>,
    #[cfg(feature = "_http")]
    http: Http,
    codec: Codec,
    config: Config,
    queue_limit: usize,
    socket_limit: usize,
    /// The first thing that cannot be used.
    error: Option<BuildError>,
}

/// An endpoint that is given in parts.
#[derive(Clone, Debug)]
struct Parts {
    host: String,
    path: String,
    port: u16,
    tls: bool,
}

impl Builder {
    pub(crate) fn new(url: &str) -> Self {
        Builder::at(Endpoint::parse(url), None)
    }

    /// Describes a socket at `ws://localhost:4000/socket`, whose parts [`host`](Builder::host),
    /// [`path`](Builder::path), [`port`](Builder::port) and [`tls`](Builder::tls) change.
    pub fn local() -> Self {
        let parts = Parts {
            host: Endpoint::HOST.to_owned(),
            path: Endpoint::PATH.to_owned(),
            port: Endpoint::PORT,
            tls: false,
        };
        Builder::at(Err(BuildError::Url("none was given".into())), Some(parts))
    }

    fn at(endpoint: Result<Endpoint, BuildError>, parts: Option<Parts>) -> Self {
        Builder {
            endpoint,
            parts,
            params: Source::Value(String::new()),
            token: Source::Value(None),
            headers: HeaderMap::new(),
            more_headers: Source::Value(HeaderMap::new()),
            transport: default_transport(),
            #[cfg(feature = "_http")]
            http: Http::default(),
            codec: Codec::new(V2),
            config: Config { seed: fastrand::u64(..), ..Config::default() },
            queue_limit: 64 << 20,
            socket_limit: 256 << 20,
            error: None,
        }
    }

    /// The host, of an endpoint given in parts. Default `localhost`.
    pub fn host(self, host: impl Into<String>) -> Self {
        self.part(|parts| parts.host = host.into())
    }

    /// The path of the socket, of an endpoint given in parts. Default `/socket`.
    pub fn path(self, path: impl Into<String>) -> Self {
        self.part(|parts| parts.path = path.into())
    }

    /// The port, of an endpoint given in parts. Default 4000.
    pub fn port(self, port: u16) -> Self {
        self.part(|parts| parts.port = port)
    }

    /// Whether to use TLS, of an endpoint given in parts. Off by default.
    pub fn tls(self, on: bool) -> Self {
        self.part(|parts| parts.tls = on)
    }

    /// Params of the connection: a map, nested as Plug reads it back (`a[b]=1`, `c[]=2`). `null`, `{}` and `[]` are
    /// left out, and so is a `vsn`, which is the serializer's.
    ///
    /// They stand in the URL of the handshake, and never in an error, a log or `Debug`; an error may name the one that
    /// cannot be sent, without its value.
    pub fn params(mut self, params: impl Serialize) -> Self {
        match query(&params) {
            Ok(params) => self.params = Source::Value(params),
            Err(error) => self.fail(error),
        }
        self
    }

    /// Params from a closure that is asked before every attempt. An error is a failed attempt, tried again by the
    /// backoff; wrapped in [`Stop`](crate::Stop) it stops the socket. A panic is an error. The connect timeout covers
    /// it: a future that is not ready by then is dropped. They take the place of those given as values.
    ///
    /// What the closure captures is cloned for each future that it makes:
    ///
    /// ```
    /// use std::sync::{Arc, Mutex};
    /// use phoenix_streams::{Socket, json};
    ///
    /// let session = Arc::new(Mutex::new("abc".to_owned()));
    /// let builder = Socket::builder("wss://example.org/socket").params_with(move || {
    ///     let session = session.clone();
    ///     async move {
    ///         let session = session.lock().map_err(|_| "poisoned")?.clone();
    ///         Ok(json!({ "session": session }))
    ///     }
    /// });
    /// # drop(builder);
    /// ```
    pub fn params_with<F, Fut, P>(mut self, mut params: F) -> Self
    where
        F: FnMut() -> Fut + Send + 'static,
        Fut: Future<Output = Result<P, BoxError>> + Send + 'static,
        P: Serialize,
    {
        self.params = Source::Provider(Box::new(move || {
            let asked = params();
            Box::pin(async move { Ok(query(&asked.await?)?) })
        }));
        self
    }

    /// The auth token, which Phoenix 1.8 knows as `connect_info.auth_token`. It travels as a WebSocket subprotocol,
    /// out of the URL.
    pub fn auth_token(mut self, token: impl Into<String>) -> Self {
        self.token = Source::Value(Some(token.into().into()));
        self
    }

    /// The auth token from a closure, as [`params_with`](Builder::params_with).
    pub fn auth_token_with<F, Fut, T>(mut self, mut token: F) -> Self
    where
        F: FnMut() -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, BoxError>> + Send + 'static,
        T: Into<String>,
    {
        self.token = Source::Provider(Box::new(move || {
            let asked = token();
            Box::pin(async move { Ok(Some(asked.await?.into().into())) })
        }));
        self
    }

    /// A header of the handshake. Said again, the later value holds.
    pub fn header<K, V>(mut self, name: K, value: V) -> Self
    where
        K: TryInto<HeaderName, Error: Into<http::Error>>,
        V: TryInto<HeaderValue, Error: Into<http::Error>>,
    {
        let header = name
            .try_into()
            .map_err(Into::<http::Error>::into)
            .and_then(|name| Ok((name, value.try_into().map_err(Into::<http::Error>::into)?)));
        match header {
            Ok((name, mut value)) => {
                value.set_sensitive(true);
                self.headers.insert(name, value);
            }
            Err(error) => self.fail(BuildError::Header(error.to_string().into())),
        }
        self
    }

    /// Headers from a closure, as [`params_with`](Builder::params_with), on top of those given as values.
    pub fn headers_with<F, Fut>(mut self, mut headers: F) -> Self
    where
        F: FnMut() -> Fut + Send + 'static,
        Fut: Future<Output = Result<HeaderMap, BoxError>> + Send + 'static,
    {
        self.more_headers = Source::Provider(Box::new(move || Box::pin(headers())));
        self
    }

    /// What carries the frames. Default: the WebSocket. Two can be combined by [`or`](Transport::or).
    pub fn transport(mut self, transport: impl Transport) -> Self {
        self.transport = Some(transport.boxed());
        self
    }

    /// How HTTP connections are made: TLS and proxies. Default: whom the system trusts, and the proxies that its
    /// variables name.
    #[cfg(feature = "_http")]
    pub fn http(mut self, http: Http) -> Self {
        self.http = http;
        self
    }

    /// How messages become frames. Default: [`V2`].
    pub fn serializer(mut self, serializer: impl Serializer) -> Self {
        self.codec = Codec::new(serializer);
        self
    }

    /// How long to wait before each attempt to reconnect. Default: 10, 50, 100, 150, 200, 250, 500, 1000, 2000, then
    /// 5000 ms, with jitter, without a limit. The count begins anew after 10 s open or an answered heartbeat.
    pub fn reconnect(mut self, backoff: Backoff) -> Self {
        self.config.reconnect = backoff;
        self
    }

    /// How long to wait before each attempt to rejoin a channel that crashed or was not answered. Default: 1, 2, 5,
    /// then 10 s, with jitter, without a limit. The count begins anew after 10 s joined.
    pub fn rejoin(mut self, backoff: Backoff) -> Self {
        self.config.rejoin = backoff;
        self
    }

    /// What follows a lost connection or a failed attempt, by its cause: told the cause and what is usual, the policy
    /// answers what is to be done. It is asked before every attempt, must not block, and is not asked where a closure
    /// of yours said [`Stop`](crate::Stop), nor where a better connection is at hand
    /// ([`Switched`](ConnectError::Switched)).
    ///
    /// Usual is [`Retry::Stop`] for what cannot heal by itself: 401 and 403 while params, token and headers are values,
    /// an unanswered auth subprotocol, a certificate that does not verify, a proxy's 407, and what cannot be built. 429
    /// and 503 come back no sooner than their `Retry-After`, at most 5 min; a close with 1000 no sooner than after 1 s; all
    /// else by the backoff.
    ///
    /// ```
    /// use std::time::Duration;
    /// use phoenix_streams::{ConnectError, Retry, Socket};
    ///
    /// let builder = Socket::builder("wss://example.org/socket").reconnect_policy(|cause, usual| match cause {
    ///     // As phoenix.js has it: a normal closure is the server's last word.
    ///     ConnectError::ClosedByServer { code: 1000, .. } => Retry::Stop,
    ///     // It drains before a deploy: give the new node a moment.
    ///     ConnectError::ClosedByServer { code: 1012, .. } => Retry::NoSooner(Duration::from_secs(2)),
    ///     _ => usual,
    /// });
    /// # drop(builder);
    /// ```
    pub fn reconnect_policy(mut self, policy: impl Fn(&ConnectError, Retry) -> Retry + Send + Sync + 'static) -> Self {
        self.config.reconnect_policy = Policy::new(policy);
        self
    }

    /// What follows when a channel is not joined while the socket is up, by the cause: told the cause and what is usual,
    /// the policy answers what is to be done. It must not block.
    ///
    /// Usual is [`Retry::Stop`] for a refused join, and the backoff for a crash, an unanswered join, an unmatched topic and
    /// a `join_with` closure that failed. It is not asked where that closure said [`Stop`](crate::Stop), and not of what
    /// was lost with the connection, which is joined when that is back.
    ///
    /// ```
    /// use phoenix_streams::{NotJoined, Retry, Socket};
    ///
    /// let builder = Socket::builder("wss://example.org/socket").rejoin_policy(|cause, usual| match cause {
    ///     // This server refuses while a room is being made.
    ///     NotJoined::Refused(reply) if reply.json::<&str>().is_ok_and(|reason| reason == "not yet") => Retry::Backoff,
    ///     _ => usual,
    /// });
    /// # drop(builder);
    /// ```
    pub fn rejoin_policy(mut self, policy: impl Fn(&NotJoined, Retry) -> Retry + Send + Sync + 'static) -> Self {
        self.config.rejoin_policy = Policy::new(policy);
        self
    }

    /// The timeout of joins, pushes, casts and leaves that are given none of their own. Default 10 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.config.timeout = timeout;
        self
    }

    /// How long one attempt to connect may take, closures included. Default 10 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.config.connect_timeout = timeout;
        self
    }

    /// How often a heartbeat is sent; `None` or zero sends none, and then nothing notices a connection that hangs. Default
    /// 30 s; Phoenix closes a connection that is silent for 60 s. Long-poll needs none, and none are sent over it.
    pub fn heartbeat(mut self, interval: impl Into<Option<Duration>>) -> Self {
        self.config.heartbeat = interval.into().filter(|interval| !interval.is_zero());
        self
    }

    /// How long after it was due a heartbeat may stay unanswered before the connection is given up. It is the write
    /// deadline too. Default 15 s.
    pub fn heartbeat_timeout(mut self, timeout: Duration) -> Self {
        self.config.heartbeat_timeout = timeout;
        self
    }

    /// What may wait for one channel's join: this many pushes and casts, and this many bytes of them, with some 130 bytes
    /// for each. The newest is refused; what a sink has on its way does not count. Default 1 000 and 8 MiB.
    pub fn join_buffer(mut self, pushes: usize, bytes: usize) -> Self {
        (self.config.waiting_pushes, self.config.waiting_bytes) = (pushes, bytes);
        self
    }

    /// What one stream may hold for its reader, and what all of the socket may together, in bytes. The newest is
    /// dropped, and told in its place. Default 64 MiB and 256 MiB.
    pub fn queue_limits(mut self, stream: usize, socket: usize) -> Self {
        (self.queue_limit, self.socket_limit) = (stream, socket);
        self
    }

    /// The seed of the jitter, for a run that is to repeat exactly. Default: random.
    pub fn seed(mut self, seed: u64) -> Self {
        self.config.seed = seed;
        self
    }

    /// Starts the socket and waits for the first open connection: a future of the socket.
    ///
    /// # Errors
    /// At once what cannot be used, and a cause that stops the socket; after 30 s without success the last cause. The
    /// socket is closed then.
    pub fn connect(self) -> Connect {
        Connect::new(self)
    }

    /// Starts the socket, which connects behind.
    ///
    /// # Errors
    /// What cannot be used; and [`BuildError::NoRuntime`] outside of a tokio runtime.
    pub fn start(self) -> Result<Socket, BuildError> {
        let socket = self.idle()?;
        let (id, deadline) = (0, Instant::default());
        let command = Command::Connect { id, token: None, deadline };
        socket.0.shared.lanes.send(Control::Command(command));
        Ok(socket)
    }

    /// Starts the socket, which waits for [`Socket::connect`].
    ///
    /// # Errors
    /// As [`start`](Builder::start).
    pub fn idle(self) -> Result<Socket, BuildError> {
        let (socket, driver) = self.driver()?;
        runtime::spawn(driver)?;
        Ok(socket)
    }

    /// The socket, which waits for [`Socket::connect`], and the future that does its work, to be spawned by you.
    ///
    /// # Errors
    /// What cannot be used.
    pub fn driver(self) -> Result<(Socket, Driver), BuildError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let endpoint = match self.parts {
            Some(Parts { host, path, port, tls }) => Endpoint::parts(&host, &path, port, tls)?,
            None => self.endpoint?,
        };
        let transport = self.transport.ok_or(BuildError::NoTransport)?;
        #[cfg(feature = "_http")]
        self.http.check()?;
        let sources = Sources { params: self.params, token: self.token, headers: self.more_headers };
        let config = Config { dynamic: sources.is_dynamic(), ..self.config };
        let shared = Arc::new(Shared::new(self.queue_limit, self.socket_limit, config.timeout));
        let dialer = Dialer::new(Recipe {
            endpoint,
            sources: Mutex::new(sources),
            headers: self.headers,
            timeout: config.connect_timeout,
            #[cfg(feature = "_http")]
            http: self.http,
            transport,
            codec: self.codec.clone(),
            refs: shared.refs.clone(),
            backchannel: Backchannel::default(),
        });
        let core = Core::new(config, self.codec, shared.refs.clone());
        let (tell_status, status) = watch::channel(Status::Idle);
        let (tell_latency, latency) = watch::channel(None);
        let id = fresh_id();
        let span = log::socket(id, dialer.endpoint());
        let driver = Driver::new(span, shared.clone(), core, dialer, tell_status, tell_latency);
        Ok((Socket(Arc::new(Inner::new(id, shared, status, latency))), driver))
    }

    fn part(mut self, change: impl FnOnce(&mut Parts)) -> Self {
        match &mut self.parts {
            Some(parts) => change(parts),
            None => self.fail(BuildError::Url("it is given whole already: its parts cannot be changed".into())),
        }
        self
    }

    fn fail(&mut self, error: BuildError) {
        self.error.get_or_insert(error);
    }
}

#[cfg(feature = "websocket")]
fn default_transport() -> Option<BoxTransport> {
    Some(crate::transport::WebSocket::default().boxed())
}

#[cfg(not(feature = "websocket"))]
fn default_transport() -> Option<BoxTransport> {
    None
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("endpoint", &self.endpoint)
            .field("transport", &self.transport)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
