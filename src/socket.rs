//! A handle to a socket.

use std::{
    collections::HashMap,
    fmt,
    hash::{Hash, Hasher},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use tokio::sync::watch;

use crate::{
    builder::Builder,
    channel::{self, Channel},
    core::Command,
    driver::{Control, Shared},
    message::Topic,
    operation::{Cast, Close, Connecting, Disconnect, Ping},
    serializer::Envelope,
    stats::Stats,
    status::Status,
    streams::{
        Latest, SocketMessages, TelemetryStream,
        feed::{Bounds, feed},
    },
};

/// A connection to a Phoenix socket that keeps itself up: a cheap clone, equal and hashed by an identity that is never
/// used again.
///
/// It stays while anyone holds any part of it: a handle, or any holding part of one of its channels. The last part
/// dropped closes it with code 1000; dropping needs no runtime.
#[derive(Clone)]
pub struct Socket(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    id: u64,
    pub(crate) shared: Arc<Shared>,
    status: watch::Receiver<Status>,
    latency: watch::Receiver<Option<Duration>>,
    /// The channels that somebody holds, so that a topic is one channel.
    channels: Mutex<HashMap<Topic, Weak<channel::Inner>>>,
}

impl Inner {
    pub(crate) fn new(
        id: u64,
        shared: Arc<Shared>,
        status: watch::Receiver<Status>,
        latency: watch::Receiver<Option<Duration>>,
    ) -> Self {
        Inner { id, shared, status, latency, channels: Mutex::default() }
    }

    /// The last part of this channel is gone.
    pub(crate) fn forget(&self, channel: &channel::Inner) {
        let mut channels = self.channels();
        let is_it = |kept: &Weak<channel::Inner>| std::ptr::eq(kept.as_ptr(), channel);
        if channels.get(&channel.topic).is_some_and(is_it) {
            channels.remove(&channel.topic);
        }
    }

    fn channels(&self) -> MutexGuard<'_, HashMap<Topic, Weak<channel::Inner>>> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.lanes.send(Control::Command(Command::Close { token: None }));
    }
}

impl Socket {
    /// Describes a socket at this endpoint, as given in the Phoenix endpoint's `socket` line: `ws://host:4000/socket`.
    /// `ws`, `wss`, `http` and `https` are all accepted, with or without a trailing slash, a query, or `/websocket`.
    ///
    /// A user and password in it are sent as an `Authorization` header; a fragment is ignored. A URL that cannot be used
    /// is an error when the socket is built.
    pub fn builder(url: impl AsRef<str>) -> Builder {
        Builder::new(url.as_ref())
    }

    /// The channel of this topic. Asking again while a part of it is held gives another handle to the same channel.
    /// Nothing is sent before its [`join`](Channel::join).
    pub fn channel(&self, topic: impl AsRef<str>) -> Channel {
        let topic = topic.as_ref();
        let mut channels = self.0.channels();
        if let Some(held) = channels.get(topic).and_then(Weak::upgrade) {
            drop(channels);
            return Channel(held);
        }
        let topic: Topic = topic.into();
        let fresh = Arc::new(channel::Inner::new(topic.clone(), self.0.clone()));
        channels.insert(topic, Arc::downgrade(&fresh));
        Channel(fresh)
    }

    /// The state of the connection: the present one, then each later one. It holds nothing. Take it once, outside of a
    /// loop: each new stream begins with the present state again.
    pub fn status(&self) -> Latest<Status> {
        Latest::new(self.0.status.clone())
    }

    /// What happens from now on, in order and without loss: each opening with its closing and cause, each join. It
    /// holds nothing, and costs nothing where nobody asks.
    pub fn telemetry(&self) -> TelemetryStream {
        let (writer, reader) = feed(Bounds::SELDOM);
        self.0.shared.lanes.send(Control::Listen(writer));
        TelemetryStream(reader)
    }

    /// The last round trip that was measured over the present connection, by heartbeats and [pings](Socket::ping), then
    /// each later one. `None` while there is none: the first heartbeat goes out one interval after the connection opened.
    /// It holds nothing.
    pub fn latency(&self) -> Latest<Option<Duration>> {
        Latest::new(self.0.latency.clone())
    }

    /// Sends a heartbeat, now, and measures how long its answer takes: proof that the server is there.
    ///
    /// # Errors
    /// [`PingError`](crate::PingError): at once where the socket is not connected, since a heartbeat is never kept for
    /// later; when the connection is lost; and when its timeout has passed, which leaves the connection as it is.
    ///
    /// # Cancel safety
    /// Not polled, nothing is sent. Dropped, its answer is forgotten.
    pub fn ping(&self) -> Ping {
        Ping::new(self.0.clone())
    }

    /// Every message of the socket from now on, as it came, behind its dispatch to channels: of all topics, joined or
    /// not, replies and heartbeats' answers too. For logs, bridges and debugging; it costs nothing where nobody asks,
    /// and holds nothing.
    pub fn messages(&self) -> SocketMessages {
        let shared = &self.0.shared;
        let (bytes, budget) = (shared.queue_limit, Some(shared.budget.clone()));
        let (writer, reader) = feed(Bounds { items: usize::MAX, bytes, budget });
        shared.lanes.send(Control::Messages(writer));
        SocketMessages(reader)
    }

    /// Sends a message of your own making as it is, past all channels: a future that is ready when it was written to the
    /// connection. While there is none it waits for it, bounded as a channel's pushes are, and goes out before any join.
    ///
    /// The server takes a `join_ref` that is absent, or that of the topic's present join, which a binary payload must have:
    /// the server drops one without in silence, and so it is an error here. An answer to a message with a
    /// [`ref`](Socket::next_ref) arrives among the [`messages`](Socket::messages). Nothing keeps you from joining a
    /// topic behind its channel's back; you will not like it.
    ///
    /// ```
    /// # use futures::{StreamExt, future::ready};
    /// # use phoenix_streams::{Envelope, Socket, json, testing::Server};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = Server::builder().start().await?;
    /// # let socket = Socket::builder(server.url()).connect().await?;
    /// let mut message = Envelope::new("nowhere", "shout", json!({ "body": "hi" }))?;
    /// message.r#ref = Some(socket.next_ref());
    /// let answers = socket.messages();
    /// socket.cast(message.clone()).await?;
    /// let mut mine = answers.filter(|answer| ready(answer.as_ref().is_ok_and(|answer| answer.r#ref == message.r#ref)));
    /// assert_eq!(mine.next().await.unwrap()?.payload.as_str(), Some(
    ///     r#"{"response":{"reason":"unmatched topic"},"status":"error"}"#
    /// ));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`CastError`](crate::CastError): it was not sent.
    ///
    /// # Cancel safety
    /// Not polled, nothing is sent. Dropped while it waits, it is never sent.
    pub fn cast(&self, message: Envelope) -> Cast {
        Cast::raw(self.0.clone(), message)
    }

    /// A ref that this socket gives to nothing else: for a message of your own making.
    pub fn next_ref(&self) -> Arc<str> {
        self.0.shared.refs.next().to_string().into()
    }

    /// What the socket holds at this moment.
    pub fn stats(&self) -> Stats {
        self.0.shared.stats()
    }

    /// Connects, where the socket is idle, stopped or disconnected: a future that is ready once it is connected.
    /// Where it is connecting or waiting to, this only waits too; where it is connected it is ready at once.
    ///
    /// # Errors
    /// At once a cause that stops the socket; after 30 s without success the last cause, while the socket goes on
    /// trying.
    ///
    /// # Cancel safety
    /// Not polled, nothing happens. Dropped after its first poll, the socket goes on connecting.
    pub fn connect(&self) -> Connecting {
        Connecting::new(self.0.clone())
    }

    /// Disconnects: a future that is ready when the connection has ended, in at most three seconds. Channels and
    /// streams stay; [`connect`](Socket::connect) turns it on again.
    ///
    /// # Cancel safety
    /// Not polled, nothing happens. Dropped after its first poll, it goes on behind.
    pub fn disconnect(&self) -> Disconnect {
        Disconnect::new(self.0.clone())
    }

    /// Closes for good, for all holders: streams end, operations fail. Ready when the connection has ended, in at most
    /// three seconds.
    ///
    /// # Cancel safety
    /// Not polled, nothing happens. Dropped after its first poll, it goes on behind.
    pub fn close(&self) -> Close {
        Close::new(self.0.clone())
    }
}

impl PartialEq for Socket {
    fn eq(&self, other: &Self) -> bool {
        self.0.id == other.0.id
    }
}

impl Eq for Socket {}

impl Hash for Socket {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.id.hash(state);
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket").field("status", &*self.0.status.borrow()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Socket({})", self.id)
    }
}
