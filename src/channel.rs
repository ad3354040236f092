//! A handle to a channel.

use std::{
    fmt,
    hash::{Hash, Hasher},
    marker::PhantomData,
    sync::Arc,
};

use serde::de::DeserializeOwned;
use tokio::sync::watch;

use crate::{
    core::{ChannelId, Command},
    driver::{Control, Shared, shared::fresh_id},
    message::Topic,
    operation::{Cast, Join, Leave, Push},
    payload::IntoPayload,
    socket::{self, Socket},
    status::{ChannelClosed, ChannelStatus},
    streams::{Events, EventsAs, Latest, Messages, Subscription},
};

/// A channel of a socket: a cheap clone, equal and hashed by an identity that is never used again.
///
/// Describe first, then join: streams taken before [`join`](Channel::join) miss nothing.
///
/// From its first `join` on the channel is *wanted*: it joins whenever the socket opens, and rejoins after every
/// reconnect and crash, until it is left. It stays joined while anyone holds any part of it: a handle, a stream, a
/// pending operation. The last part dropped leaves it; dropping needs no runtime.
#[derive(Clone)]
pub struct Channel(pub(crate) Arc<Inner>);

/// What all parts of a channel hold.
pub(crate) struct Inner {
    pub(crate) id: ChannelId,
    pub(crate) topic: Topic,
    socket: Arc<socket::Inner>,
    status: watch::Receiver<ChannelStatus>,
}

impl Inner {
    pub(crate) fn new(topic: Topic, socket: Arc<socket::Inner>) -> Self {
        let id = fresh_id();
        let closed = socket.shared.lanes.is_closed();
        let present = if closed { ChannelStatus::Closed { cause: ChannelClosed::Socket } } else { ChannelStatus::Idle };
        let (sender, status) = watch::channel(present);
        socket.shared.lanes.send(Control::Register { channel: id, topic: topic.clone(), status: sender });
        Inner { id, topic, socket, status }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.socket.shared
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.socket.forget(self);
        self.socket.shared.lanes.send(Control::Command(Command::Forget { channel: self.id }));
    }
}

impl Channel {
    /// The topic.
    pub fn topic(&self) -> &str {
        &self.0.topic
    }

    /// The socket it belongs to.
    pub fn socket(&self) -> Socket {
        Socket(self.0.socket.clone())
    }

    /// Joins: a future of the server's reply. With [`detach`](Join::detach) it declares the channel wanted where
    /// nothing can be awaited.
    ///
    /// The channel has one subscription however many handles join it: a further `join` resolves with the present
    /// join's reply, or the next one's, and the params given to it are what the next rejoin sends. A join before the
    /// socket is connected goes out when it is; a join of a refused, left or closed channel starts afresh.
    ///
    /// # Errors
    /// [`JoinError`](crate::JoinError): see there what each leaves behind.
    ///
    /// # Cancel safety
    /// Not polled, nothing happens. Dropped after its first poll, the channel stays wanted.
    pub fn join(&self, params: impl IntoPayload) -> Join {
        Join::new(self.0.clone(), Some(params.into_payload()), false)
    }

    /// Joins afresh even where the channel is joined, with the params it was last given: a new `phx_join` without a
    /// leave before it. Pushes of the old join that wait for a reply are settled as disconnected.
    ///
    /// # Errors
    /// As [`join`](Channel::join).
    ///
    /// # Cancel safety
    /// As [`join`](Channel::join).
    pub fn rejoin(&self) -> Join {
        Join::new(self.0.clone(), None, true)
    }

    /// Leaves, for all holders: a future of the server's acknowledgement. Behind it the channel's streams end; a later
    /// `join` on a handle still held starts afresh, with streams taken anew.
    ///
    /// Where nothing is joined, or the socket is down, it is done at once. It does not wait for pushes and casts that
    /// are still on their way: await them first.
    ///
    /// # Errors
    /// [`LeaveError`](crate::LeaveError): not acknowledged. The channel is closed on this side all the same.
    ///
    /// # Cancel safety
    /// Not polled, nothing happens. Dropped after its first poll, it goes on behind.
    pub fn leave(&self) -> Leave {
        Leave::new(self.0.clone())
    }

    /// Sends a message: a future of its reply, which any status but `error` makes `Ok`.
    ///
    /// While the channel is not joined it waits for the join, as far as its deadline and the channel's bounds allow.
    /// It is sent at most once.
    ///
    /// # Errors
    /// [`PushError`](crate::PushError), also for `phx_join` and `phx_leave`, which belong to the protocol;
    /// [`is_not_sent`](crate::PushError::is_not_sent) says whether sending it again
    /// is safe.
    ///
    /// # Cancel safety
    /// Not polled, nothing is sent. Dropped while it waits, it is never sent; dropped after it was sent, the reply is
    /// forgotten.
    pub fn push(&self, event: impl AsRef<str>, payload: impl IntoPayload) -> Push {
        Push::new(self.0.clone(), event.as_ref().into(), payload.into_payload())
    }

    /// Sends a message that needs no reply: a future that is ready when it was written to the connection.
    ///
    /// # Errors
    /// [`CastError`](crate::CastError): it was not sent.
    ///
    /// # Cancel safety
    /// Not polled, nothing is sent. Dropped while it waits, it is never sent.
    pub fn cast(&self, event: impl AsRef<str>, payload: impl IntoPayload) -> Cast {
        Cast::new(self.0.clone(), event.as_ref().into(), payload.into_payload())
    }

    /// The messages of this event, from now on. It ends when the channel is left or closed; taken on a channel that is
    /// so already, it waits for the next join, and on a closed socket it ends at once. Any number of streams may ask for the same event; each sees each
    /// message once.
    pub fn events(&self, event: impl AsRef<str>) -> Events {
        Events(Subscription::new(self.0.clone(), Some(event.as_ref())))
    }

    /// The payloads of this event decoded to `T`, from now on. `T` owns what it holds; to borrow from the payload, use
    /// [`events`](Channel::events) and [`Message::json`](crate::Message::json).
    pub fn events_as<T: DeserializeOwned>(&self, event: impl AsRef<str>) -> EventsAs<T> {
        EventsAs(Subscription::new(self.0.clone(), Some(event.as_ref())), PhantomData)
    }

    /// All messages of the channel, from now on: presence events too, but not the protocol's own (`phx_reply` and its
    /// like). Such a name broadcast by an application is an ordinary message.
    pub fn messages(&self) -> Messages {
        Messages(Subscription::new(self.0.clone(), None))
    }

    /// The state of the channel: the present one, then each later one. It holds nothing.
    pub fn status(&self) -> Latest<ChannelStatus> {
        Latest::new(self.0.status.clone())
    }
}

impl PartialEq for Channel {
    fn eq(&self, other: &Self) -> bool {
        self.0.id == other.0.id
    }
}

impl Eq for Channel {}

impl Hash for Channel {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.id.hash(state);
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel").field("topic", &self.0.topic).field("status", &*self.0.status.borrow()).finish()
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.topic)
    }
}
