//! A handle to a socket.

use std::{
    collections::HashMap,
    fmt,
    hash::{Hash, Hasher},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use tokio::sync::watch;

use crate::{
    builder::Builder,
    channel::{self, Channel},
    core::Command,
    driver::{Control, Shared, shared::fresh_id},
    message::Topic,
    operation::{Close, Connecting, Disconnect},
    stats::Stats,
    status::Status,
    streams::{Latest, TelemetryStream, feed::feed},
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
    /// The channels that somebody holds, so that a topic is one channel.
    channels: Mutex<HashMap<Topic, Weak<channel::Inner>>>,
}

impl Inner {
    pub(crate) fn new(shared: Arc<Shared>, status: watch::Receiver<Status>) -> Self {
        Inner { id: fresh_id(), shared, status, channels: Mutex::default() }
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
        let (writer, reader) = feed();
        self.0.shared.lanes.send(Control::Listen(writer));
        TelemetryStream(reader)
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
