//! Streams of what arrives on a channel.

use std::{
    fmt,
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use futures::Stream;
use serde::de::DeserializeOwned;

use crate::{
    channel::Inner,
    driver::{
        Control,
        queue::{Item, Reader, queue},
        shared::fresh_id,
    },
    error::EventError,
    message::Message,
};

/// One queue of a channel, and a share in the channel. Dropped, both are given back.
pub(crate) struct Subscription {
    reader: Reader,
    id: u64,
    event: Option<Arc<str>>,
    channel: Arc<Inner>,
}

impl Subscription {
    /// Takes part from now on in what arrives under this event name, or in all.
    pub(crate) fn new(channel: Arc<Inner>, event: Option<&str>) -> Self {
        let shared = channel.shared();
        let (id, event) = (fresh_id(), event.map(Arc::from));
        let (writer, reader) =
            queue(channel.topic.clone(), event.clone(), id, shared.queue_limit, shared.budget.clone());
        shared.lanes.send(Control::Subscribe { channel: channel.id, writer });
        Subscription { reader, id, event, channel }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Message, EventError>>> {
        Poll::Ready(ready!(self.reader.poll_next(cx)).map(|item| match item {
            Item::Message(message) => Ok(message),
            Item::Lagged(lost) => Err(EventError::Lagged(lost)),
            Item::NotJoined(cause) => Err(EventError::NotJoined(cause)),
        }))
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let event = self.event.clone();
        self.channel.shared().lanes.send(Control::Unsubscribe { channel: self.channel.id, event, id: self.id });
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("topic", &self.channel.topic).field("event", &self.event).finish()
    }
}

macro_rules! lossy {
    () => {
        /// The items alone: errors are traced and skipped.
        pub fn lossy(self) -> Lossy<Self> {
            Lossy(self)
        }
    };
}

/// The messages of one event: [`Channel::events`](crate::Channel::events).
///
/// Each stream has its own queue, bounded by the bytes it holds: a slow reader delays nobody, and what it misses is
/// told in its place as [`EventError::Lagged`]. An error never ends the stream; it ends when the channel is left or
/// closed. It holds the channel joined.
///
/// # Cancel safety
/// A dropped `next()` loses nothing. Dropping the stream unsubscribes.
#[derive(Debug)]
#[must_use = "streams do nothing unless polled"]
pub struct Events(pub(crate) Subscription);

impl Events {
    lossy!();
}

impl Stream for Events {
    type Item = Result<Message, EventError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next(cx)
    }
}

/// All messages of a channel: [`Channel::messages`](crate::Channel::messages). Otherwise as [`Events`].
#[derive(Debug)]
#[must_use = "streams do nothing unless polled"]
pub struct Messages(pub(crate) Subscription);

impl Messages {
    lossy!();
}

impl Stream for Messages {
    type Item = Result<Message, EventError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next(cx)
    }
}

/// The payloads of one event, decoded: [`Channel::events_as`](crate::Channel::events_as). Otherwise as [`Events`].
///
/// Decoding happens in the reader's task. A payload that does not fit is [`EventError::Decode`], with the message.
#[must_use = "streams do nothing unless polled"]
pub struct EventsAs<T>(pub(crate) Subscription, pub(crate) PhantomData<fn() -> T>);

impl<T> EventsAs<T> {
    lossy!();
}

impl<T: DeserializeOwned> Stream for EventsAs<T> {
    type Item = Result<T, EventError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let item = ready!(self.0.poll_next(cx));
        Poll::Ready(item.map(|item| {
            item.and_then(|message| message.json().map_err(|source| EventError::Decode { message, source }))
        }))
    }
}

impl<T> fmt::Debug for EventsAs<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EventsAs").field(&self.0).finish()
    }
}

/// The items of an event stream alone: errors are traced and skipped.
#[derive(Debug)]
#[must_use = "streams do nothing unless polled"]
pub struct Lossy<S>(S);

impl<S: Stream<Item = Result<T, EventError>> + Unpin, T> Stream for Lossy<S> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        loop {
            match ready!(Pin::new(&mut self.0).poll_next(cx)) {
                Some(Ok(item)) => return Poll::Ready(Some(item)),
                Some(Err(error)) => tracing::warn!(%error, "skipped by a lossy stream"),
                None => return Poll::Ready(None),
            }
        }
    }
}
