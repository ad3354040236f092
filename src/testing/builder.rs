//! Describing a server.

use std::{fmt, future::Future, io, net::SocketAddr, sync::Arc, time::Duration};

use serde_json::Value;

use super::{
    app::{App, Handler, Pattern, Quiet},
    connect::{ConnectInfo, Refuse},
    peer::Peer,
    response::{Answer, Response},
    server::Server,
};
use crate::payload::Payload;

/// Describes a [`Server`]; [`start`](Self::start) starts it.
///
/// A pattern is an exact topic, or a prefix before a final `*`, as in `room:*`. Of several handlers that fit, the
/// first given counts. A handler that panics crashes its channel, as does an event without a handler.
#[must_use = "a server runs once it is started"]
pub struct ServerBuilder(App);

impl ServerBuilder {
    pub(super) fn new() -> Self {
        ServerBuilder(App {
            bind: SocketAddr::from(([127, 0, 0, 1], 0)),
            mount: "/socket".into(),
            websocket_path: "/websocket".into(),
            long_poll: true,
            long_poll_path: "/longpoll".into(),
            long_poll_token_header: true,
            window: Duration::from_secs(10),
            pubsub_timeout: Duration::from_secs(2),
            connect: None,
            check_origin: None,
            auth_token: false,
            max_channels: 100,
            max_frame_size: 10_000_000,
            idle_timeout: Duration::from_secs(60),
            idle_code: 1002,
            close_echo: false,
            joins: Vec::new(),
            events: Vec::new(),
            intercepts: Vec::new(),
            after_joins: Vec::new(),
            fetches: Vec::new(),
            diff_events: Vec::new(),
        })
    }

    /// Decides a join: `Ok` is the reply of one accepted, `Err` of one refused. Topics without it are unmatched.
    ///
    /// The whole connection or session waits for it, as in Phoenix. What it pushes goes out after the reply.
    pub fn join<F, Fut>(self, pattern: &str, f: F) -> Self
    where
        F: Fn(Peer, Payload) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Answer> + Send + 'static,
    {
        self.add_join(pattern, answering(f))
    }

    /// [`join`](Self::join) by a handler that can also refuse with another status, stop at once, or crash.
    pub fn join_with<F, Fut>(self, pattern: &str, f: F) -> Self
    where
        F: Fn(Peer, Payload) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Response> + Send + 'static,
    {
        self.add_join(pattern, Arc::new(move |peer, payload| Box::pin(f(peer, payload))))
    }

    /// Handles an event that clients push: `Ok` is an `ok` reply, `Err` an `error` reply.
    ///
    /// One at a time for each channel; other channels go on.
    pub fn on<F, Fut>(self, pattern: &str, event: &str, f: F) -> Self
    where
        F: Fn(Peer, Payload) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Answer> + Send + 'static,
    {
        self.add_event(pattern, event, answering(f))
    }

    /// [`on`](Self::on) by a handler that can also reply with any status and payload, later or never, stop or crash.
    pub fn on_with<F, Fut>(self, pattern: &str, event: &str, f: F) -> Self
    where
        F: Fn(Peer, Payload) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Response> + Send + 'static,
    {
        self.add_event(pattern, event, Arc::new(move |peer, payload| Box::pin(f(peer, payload))))
    }

    /// Catches an event that is broadcast, once for every channel joined: what goes to the client is what this pushes.
    /// Phoenix' `intercept` and `handle_out`.
    pub fn intercept<F, Fut>(mut self, pattern: &str, event: &str, f: F) -> Self
    where
        F: Fn(Peer, Payload) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.0.intercepts.push((Pattern::new(pattern), event.to_owned(), quiet(f)));
        self
    }

    /// Runs in the channel behind every join accepted, with the join's params: what this pushes is first behind the
    /// reply, and pushes of the client are handled after it. Phoenix' `send(self(), :after_join)`.
    ///
    /// It is where an application pushes `presence_state` and [tracks](Peer::track). Of several whose pattern fits, the
    /// first given runs, alone, whichever pattern the join's handler was given for. A join that stops at once has none.
    pub fn after_join<F, Fut>(mut self, pattern: &str, f: F) -> Self
    where
        F: Fn(Peer, Payload) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.0.after_joins.push((Pattern::new(pattern), quiet(f)));
        self
    }

    /// Gives the presences of a topic further fields beside `metas`, by their key: those of the JSON object returned.
    /// Phoenix' `fetch/2`.
    ///
    /// It is asked for every key of a list, and for the keys of every diff. What panics, or returns no object, makes
    /// that [`track`](Peer::track) or [`presences`](Peer::presences) panic; the leaves of a channel that ends go out
    /// without further fields then.
    pub fn presence_fetch(mut self, pattern: &str, f: impl Fn(&str) -> Value + Send + Sync + 'static) -> Self {
        self.0.fetches.push((Pattern::new(pattern), Arc::new(f)));
        self
    }

    /// The event of a topic's presence diffs: `presence_diff`.
    pub fn presence_diff_event(mut self, pattern: &str, event: &str) -> Self {
        self.0.diff_events.push((Pattern::new(pattern), event.to_owned()));
        self
    }

    /// Decides who may connect. Without it all may. A panic answers 500.
    ///
    /// Over long-poll it is asked for every new session, and a refusal is the status 403 in the body of a 200, whatever
    /// the handler said.
    pub fn connect<F, Fut>(mut self, f: F) -> Self
    where
        F: Fn(ConnectInfo) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), Refuse>> + Send + 'static,
    {
        self.0.connect = Some(Arc::new(move |connect| Box::pin(f(connect))));
        self
    }

    /// Whether auth tokens are taken: from the WebSocket's subprotocols, of which `phoenix` is then answered, and from
    /// the header `X-Phoenix-AuthToken` that opens a long-poll session. Phoenix' `auth_token`; off by default.
    pub fn auth_token(mut self, on: bool) -> Self {
        self.0.auth_token = on;
        self
    }

    /// Refuses, with 403, an `Origin` header whose host is none of these. By default any may come; none at all always may.
    pub fn check_origin<S: Into<String>>(mut self, hosts: impl IntoIterator<Item = S>) -> Self {
        self.0.check_origin = Some(hosts.into_iter().map(Into::into).collect());
        self
    }

    /// How many channels a connection or session may have joined: 100. Phoenix' `max_channels_per_transport`.
    pub fn max_channels(mut self, max: usize) -> Self {
        self.0.max_channels = max;
        self
    }

    /// How many bytes a client's message over WebSocket may have: 10 000 000. More closes with 1009.
    pub fn max_frame_size(mut self, bytes: usize) -> Self {
        self.0.max_frame_size = bytes;
        self
    }

    /// How long a client may send nothing before its WebSocket is closed: 60 s.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.0.idle_timeout = timeout;
        self
    }

    /// The code of that close: 1002, as Bandit has it; Cowboy closes with 1000.
    pub fn idle_code(mut self, code: u16) -> Self {
        self.0.idle_code = code;
        self
    }

    /// Whether a client's close is answered with its own code, as Cowboy does. Off by default: Bandit says 1000.
    pub fn close_echo(mut self, on: bool) -> Self {
        self.0.close_echo = on;
        self
    }

    /// Where the socket is mounted: `/socket`.
    pub fn mount(mut self, path: &str) -> Self {
        self.0.mount = path.to_owned();
        self
    }

    /// The WebSocket's path under the mount: `/websocket`.
    pub fn websocket_path(mut self, path: &str) -> Self {
        self.0.websocket_path = path.to_owned();
        self
    }

    /// Whether there is a long-poll beside the WebSocket: there is, unlike in Phoenix, where it is off by default.
    /// Without it its path is not found: 404. With 10 000 clients connected no further session is opened: 503.
    pub fn long_poll(mut self, on: bool) -> Self {
        self.0.long_poll = on;
        self
    }

    /// The long-poll's path under the mount: `/longpoll`.
    pub fn long_poll_path(mut self, path: &str) -> Self {
        self.0.long_poll_path = path.to_owned();
        self
    }

    /// How long a poll waits for a message, and a POST for each of its lines: 10 s. Phoenix' `window_ms`.
    ///
    /// A session that is not polled ends after 1.5 to 3 times as long.
    pub fn window(mut self, window: Duration) -> Self {
        self.0.window = window;
        self
    }

    /// How long a long-poll request looks for its session: 2 s. Phoenix' `pubsub_timeout_ms`.
    ///
    /// That is what a request takes whose session is gone.
    pub fn pubsub_timeout(mut self, timeout: Duration) -> Self {
        self.0.pubsub_timeout = timeout;
        self
    }

    /// Whether the long-poll token is read from the header `X-Phoenix-LongPoll-Token` before the param `token`: on.
    /// Off is as Phoenix before 1.8.10, which knows the param alone.
    pub fn long_poll_token_header(mut self, on: bool) -> Self {
        self.0.long_poll_token_header = on;
        self
    }

    /// The address to listen on: a free port of 127.0.0.1. Give one to start again where another server was.
    pub fn bind(mut self, address: impl Into<SocketAddr>) -> Self {
        self.0.bind = address.into();
        self
    }

    /// Starts listening. Takes a tokio runtime.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub async fn start(self) -> io::Result<Server> {
        Server::start(self.0).await
    }

    /// Without a socket.
    #[cfg(test)]
    pub(super) fn shared(self) -> std::sync::Arc<super::server::Shared> {
        super::server::Shared::new(self.0)
    }

    fn add_join(mut self, pattern: &str, handler: Handler) -> Self {
        self.0.joins.push((Pattern::new(pattern), handler));
        self
    }

    fn add_event(mut self, pattern: &str, event: &str, handler: Handler) -> Self {
        self.0.events.push((Pattern::new(pattern), event.to_owned(), handler));
        self
    }
}

impl fmt::Debug for ServerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerBuilder")
            .field("bind", &self.0.bind)
            .field("mount", &self.0.mount)
            .finish_non_exhaustive()
    }
}

fn quiet<F, Fut>(f: F) -> Quiet
where
    F: Fn(Peer, Payload) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    Arc::new(move |peer, payload| Box::pin(f(peer, payload)))
}

fn answering<F, Fut>(f: F) -> Handler
where
    F: Fn(Peer, Payload) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Answer> + Send + 'static,
{
    Arc::new(move |peer, payload| {
        let answer = f(peer, payload);
        Box::pin(async move { answer.await.into() })
    })
}
