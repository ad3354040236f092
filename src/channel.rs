//! A handle to a channel.

use std::{
    fmt,
    future::Future,
    hash::{Hash, Hasher},
    marker::PhantomData,
    sync::{Arc, Mutex},
};

use serde::de::DeserializeOwned;
use tokio::sync::watch;

use crate::{
    core::{ChannelId, Command},
    driver::{Control, JoinParams, Shared, presence::Lives, shared::fresh_id},
    error::BoxError,
    message::{LastSeen, Topic},
    operation::{Cast, Given, Join, Leave, Push},
    payload::IntoPayload,
    presence::{Presence, PresenceNames},
    socket::{self, Socket},
    status::{ChannelClosed, ChannelStatus},
    streams::{
        EventSink, Events, EventsAs, Joins, Latest, Messages, MessagesAs, PresenceEvents, Subscription, Watching,
        feed::{Bounds, feed},
    },
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
    pub(crate) presence: Arc<Lives>,
}

impl Inner {
    pub(crate) fn new(topic: Topic, socket: Arc<socket::Inner>) -> Self {
        let id = fresh_id();
        let closed = socket.shared.lanes.is_closed();
        let present = if closed { ChannelStatus::Closed { cause: ChannelClosed::Socket } } else { ChannelStatus::Idle };
        let (sender, status) = watch::channel(present);
        let Shared { queue_limit, budget, kept, .. } = &*socket.shared;
        let presence = Arc::new(Lives::new(topic.clone(), *queue_limit, budget.clone(), kept.clone()));
        let registered =
            Control::Register { channel: id, topic: topic.clone(), status: sender, presence: presence.clone() };
        socket.shared.lanes.send(registered);
        Inner { id, topic, socket, status, presence }
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
    /// join's reply, or the next one's. The params given last are what is sent next: by a join that has not gone out yet,
    /// or by the next rejoin. It stays joined while something of it is held: keep a handle or a stream. A join before the
    /// socket is connected goes out when it is; a join of a refused, left or closed channel starts afresh.
    ///
    /// # Errors
    /// [`JoinError`](crate::JoinError): see there what each leaves behind.
    ///
    /// # Cancel safety
    /// Not polled, nothing happens. Dropped after its first poll, the channel stays wanted.
    pub fn join(&self, params: impl IntoPayload) -> Join {
        Join::new(self.0.clone(), Given::Ready(params.into_payload()), false)
    }

    /// Joins with params that a closure says, asked before every join and told what was last seen: so a server can be
    /// asked for what came meanwhile. Otherwise as [`join`](Channel::join); a later `join` with plain params takes its
    /// place.
    ///
    /// The socket's timeout covers the closure. An error or a panic of it is a failed join, tried again by the backoff;
    /// wrapped in [`Stop`](crate::Stop) it stops the channel until the next `join`.
    ///
    /// ```
    /// # use phoenix_streams::{LastSeen, Socket, json};
    /// # use serde::Deserialize;
    /// # async fn enter(socket: &Socket) -> Result<(), Box<dyn std::error::Error>> {
    /// #[derive(Deserialize)]
    /// struct Said {
    ///     id: u64,
    /// }
    ///
    /// let room = socket.channel("room:lobby");
    /// room.join_with(|last: LastSeen| async move {
    ///     // What does not decode is an error of this attempt.
    ///     let since = last.event("said").map(|said| said.json::<Said>()).transpose()?.map(|said| said.id);
    ///     Ok(json!({ "since": since }))
    /// })
    /// .await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`join`](Channel::join), and [`JoinError::Provider`](crate::JoinError::Provider).
    ///
    /// # Cancel safety
    /// As [`join`](Channel::join).
    pub fn join_with<F, Fut, P>(&self, mut params: F) -> Join
    where
        F: FnMut(LastSeen) -> Fut + Send + 'static,
        Fut: Future<Output = Result<P, BoxError>> + Send + 'static,
        P: IntoPayload,
    {
        let ask = JoinParams(Box::new(move |last| {
            let asked = params(last);
            Box::pin(async move { Ok(asked.await?.into_payload()?) })
        }));
        Join::new(self.0.clone(), Given::With(Mutex::new(ask)), false)
    }

    /// How each join of the channel comes out, from now on: the server's reply to the first and to every rejoin, or why
    /// there is none. It holds nothing, and ends with the channel's last holder.
    ///
    /// A reader that falls 4096 outcomes behind, or 4 MiB of replies, finds a [`JoinError::Lagged`] in their place.
    ///
    /// [`JoinError::Lagged`]: crate::JoinError::Lagged
    pub fn joins(&self) -> Joins {
        let (writer, reader) = feed(Bounds::SELDOM);
        self.0.shared().lanes.send(Control::Joins { channel: self.0.id, feed: writer });
        Joins(reader)
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
        Join::new(self.0.clone(), Given::Same, true)
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

    /// This event name as a sink of casts, with backpressure: for `stream.forward(channel.sink("reading"))`.
    ///
    /// ```
    /// # use futures::{SinkExt, StreamExt, stream};
    /// # use phoenix_streams::{Socket, json, testing::Server};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = Server::builder()
    /// #     .join("sensor:*", |_, _| async { Ok(json!({})) })
    /// #     .on("sensor:*", "celsius", |_, _| async { Ok(json!({})) })
    /// #     .start()
    /// #     .await?;
    /// # let socket = Socket::builder(server.url()).connect().await?;
    /// let sensor = socket.channel("sensor:7");
    /// sensor.join(()).await?;
    /// let readings = stream::iter([20.5, 21.0, 21.5]);
    /// readings.map(Ok).forward(sensor.sink("celsius")).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`CastError`](crate::CastError), of the item that was not sent; see [`EventSink`].
    pub fn sink<T: IntoPayload>(&self, event: impl AsRef<str>) -> EventSink<T> {
        EventSink::new(self.0.clone(), event.as_ref().into())
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

    /// All messages of the channel, from now on, each decoded into the variant of the enum `T` that its event names. `T`
    /// is externally tagged, as serde's derive makes it: a variant without fields asks nothing of the payload, one with a
    /// single field is the payload decoded, one with named fields is an object, one with several a list. `rename` and
    /// `alias` name other events, and `#[serde(other)]` stands for all that have no variant.
    ///
    /// An event without a variant is [`EventError::Unknown`], a payload that does not fit [`EventError::Decode`], and so is
    /// every message where `T` is no such enum: a struct, a `Value`, an enum with a `tag` or untagged. A binary payload
    /// fits a variant without fields alone; for its bytes take a stream of its event. Presence events are left out unless a
    /// variant is named for them.
    ///
    /// ```
    /// # use phoenix_streams::Channel;
    /// use serde::Deserialize;
    ///
    /// #[derive(Deserialize)]
    /// #[serde(rename_all = "snake_case")]
    /// enum RoomEvent {
    ///     Shout { body: String },
    ///     Typing,
    ///     #[serde(other)]
    ///     Other,
    /// }
    ///
    /// # fn listen(room: &Channel) {
    /// let events = room.messages_as::<RoomEvent>();
    /// # drop(events);
    /// # }
    /// ```
    ///
    /// [`EventError::Unknown`]: crate::EventError::Unknown
    /// [`EventError::Decode`]: crate::EventError::Decode
    pub fn messages_as<T: DeserializeOwned>(&self) -> MessagesAs<T> {
        MessagesAs(Subscription::new(self.0.clone(), None), PhantomData)
    }

    /// Who is present: the list as it is, then each later one that a reader keeps up with. Each item is the whole list, and
    /// says [what has changed](Presence::changes) since this reader's last; a slow reader misses none of it, and a late one
    /// begins with everyone as joined.
    ///
    /// The server pushes `presence_state` after the join, and broadcasts `presence_diff`. The list is kept over a
    /// disconnect, when [`state`](Presence::state) says that it is stale, and is the server's own again after the next
    /// join: nobody who left meanwhile stays behind. The stream ends when the channel is left or closed, with an item that
    /// says so. It holds the channel joined.
    ///
    /// Take it before the join, or at any time: what came is kept to a bound (256 KiB where nobody asked), and a stream
    /// taken when it was more begins with [`Awaiting`](crate::PresenceState::Awaiting).
    ///
    /// ```
    /// # use futures::StreamExt;
    /// # use phoenix_streams::{Change, PresenceState, Socket, json, testing::Server};
    /// use serde::Deserialize;
    ///
    /// #[derive(Deserialize)]
    /// struct Meta {
    ///     online_at: u64,
    /// }
    ///
    /// # async fn watch(socket: Socket) -> Result<(), Box<dyn std::error::Error>> {
    /// let room = socket.channel("room:lobby");
    /// let mut who = room.presence::<Meta>();
    /// room.join(()).await?;
    /// while let Some(present) = who.next().await {
    ///     for change in present.changes() {
    ///         match change {
    ///             Change::Joined(entry) => println!("{} came online", entry.key()),
    ///             Change::Updated { new, .. } => println!("{} is here {} times", new.key(), new.metas().len()),
    ///             Change::Left(entry) => println!("{} went offline", entry.key()),
    ///         }
    ///     }
    ///     println!("{} present", present.len());
    ///     if present.state() == PresenceState::Stale {
    ///         println!("as far as was known");
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn presence<M: DeserializeOwned + Send + Sync + 'static>(&self) -> Latest<Presence<M>> {
        self.presence_with(PresenceNames::default())
    }

    /// Who is present, by events of other names. Otherwise as [`presence`](Channel::presence).
    pub fn presence_with<M: DeserializeOwned + Send + Sync + 'static>(
        &self,
        names: PresenceNames,
    ) -> Latest<Presence<M>> {
        Latest::folded(Watching::new(self.0.clone(), names))
    }

    /// Every join and leave of those present, from now on, in order and without loss: for those who log rather than show.
    /// Taken late it does not begin with those who are here: the first item of [`presence`](Channel::presence) does. While
    /// the connection is lost nothing is known; what is different afterwards comes at once, and then a
    /// [`Synced`](crate::PresenceEvent::Synced).
    ///
    /// A reader that falls behind by the [bound of a stream](crate::Builder::queue_limits) finds an
    /// [`EventError::Lagged`](crate::EventError::Lagged) in the place of what was lost. It holds the channel joined.
    pub fn presence_events<M: DeserializeOwned + Send + Sync + 'static>(&self) -> PresenceEvents<M> {
        self.presence_events_with(PresenceNames::default())
    }

    /// Every join and leave, by events of other names. Otherwise as [`presence_events`](Channel::presence_events).
    pub fn presence_events_with<M: DeserializeOwned + Send + Sync + 'static>(
        &self,
        names: PresenceNames,
    ) -> PresenceEvents<M> {
        PresenceEvents::new(self.0.clone(), names)
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
