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
        queue::{Reader, queue},
        shared::fresh_id,
    },
    error::EventError,
    log::CHANNEL,
    message::Message,
    streams::tagged::{Tagged, tagged},
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

    #[inline]
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Message, EventError>>> {
        self.reader.poll_next(cx)
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

macro_rules! steps {
    () => {
        /// From now on it holds this many bytes at most for its reader, in place of the
        /// [socket's bound](crate::Builder::queue_limits) for each stream; or one message, whatever its size. What it costs
        /// to hold them counts: some 50 bytes with each message, and a payload of 4 KiB and more twice. What the socket
        /// may hold in all stays.
        pub fn max_bytes(mut self, bytes: usize) -> Self {
            self.0.reader.limit_bytes(bytes);
            self
        }

        /// From now on it holds this many unread messages at most, besides its bound in bytes. The newest is dropped, and
        /// told in its place.
        pub fn max_messages(mut self, messages: usize) -> Self {
            self.0.reader.limit_messages(Some(messages));
            self
        }

        /// Without a bound of its own. What the socket may hold in all stays.
        pub fn unbounded(mut self) -> Self {
            self.0.reader.limit_bytes(usize::MAX);
            self.0.reader.limit_messages(None);
            self
        }

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
    steps!();
}

impl Stream for Events {
    type Item = Result<Message, EventError>;

    #[inline]
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next(cx)
    }
}

/// All messages of a channel: [`Channel::messages`](crate::Channel::messages). Otherwise as [`Events`].
#[derive(Debug)]
#[must_use = "streams do nothing unless polled"]
pub struct Messages(pub(crate) Subscription);

impl Messages {
    steps!();
}

impl Stream for Messages {
    type Item = Result<Message, EventError>;

    #[inline]
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
    steps!();
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

/// All messages of a channel, each decoded into the variant of `T` that its event names:
/// [`Channel::messages_as`](crate::Channel::messages_as). Otherwise as [`EventsAs`].
#[must_use = "streams do nothing unless polled"]
pub struct MessagesAs<T>(pub(crate) Subscription, pub(crate) PhantomData<fn() -> T>);

impl<T> MessagesAs<T> {
    steps!();
}

impl<T: DeserializeOwned> Stream for MessagesAs<T> {
    type Item = Result<T, EventError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let message = match ready!(self.0.poll_next(cx)) {
                Some(Ok(message)) => message,
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            };
            return Poll::Ready(Some(match tagged(&message) {
                Tagged::PassedOver => continue,
                Tagged::Is(value) => Ok(value),
                Tagged::Unknown => Err(EventError::Unknown(message)),
                Tagged::Malformed(source) => Err(EventError::Decode { message, source }),
            }));
        }
    }
}

impl<T> fmt::Debug for MessagesAs<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MessagesAs").field(&self.0).finish()
    }
}

/// The items of an event stream alone: errors are traced and skipped.
#[derive(Debug)]
#[must_use = "streams do nothing unless polled"]
pub struct Lossy<S>(pub(super) S);

impl<S: Stream<Item = Result<T, EventError>> + Unpin, T> Stream for Lossy<S> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        loop {
            match ready!(Pin::new(&mut self.0).poll_next(cx)) {
                Some(Ok(item)) => return Poll::Ready(Some(item)),
                Some(Err(error)) => trace(&error),
                None => return Poll::Ready(None),
            }
        }
    }
}

/// Says what was skipped, and only at the finest level in words that may repeat what the server sent (T-29).
fn trace(error: &EventError) {
    match error {
        EventError::Lagged(lost) => tracing::warn!(target: CHANNEL, lost, "a lossy stream was not read fast enough"),
        EventError::NotJoined(_) => tracing::warn!(target: CHANNEL, "the channel of a lossy stream is not joined"),
        EventError::Unknown(message) => {
            let (topic, event) = (message.topic(), message.event());
            tracing::warn!(target: CHANNEL, topic, event, "a lossy stream skipped an event that its enum does not know");
        }
        EventError::Decode { message, .. } => {
            let (topic, event) = (message.topic(), message.event());
            tracing::warn!(target: CHANNEL, topic, event, "a lossy stream skipped a payload that does not decode");
        }
    }
    tracing::trace!(target: CHANNEL, error = error.to_string(), "skipped by a lossy stream");
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use futures::{FutureExt, StreamExt, stream};
    use tracing::{Event, Level, Metadata, Subscriber, field, span};

    use super::*;
    use crate::{Payload, error::NotJoined, message::Names};

    /// Keeps what is said above the finest level.
    #[derive(Default)]
    struct Log(Mutex<Vec<String>>);

    impl Subscriber for Log {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }

        fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
            span::Id::from_u64(1)
        }

        fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

        fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

        fn event(&self, event: &Event<'_>) {
            if *event.metadata().level() < Level::TRACE {
                let mut line = String::new();
                event.record(&mut |field: &field::Field, value: &dyn fmt::Debug| {
                    line += &format!("{field}={value:?} ");
                });
                self.0.lock().unwrap().push(line);
            }
        }

        fn enter(&self, _: &span::Id) {}

        fn exit(&self, _: &span::Id) {}
    }

    // T-29
    #[test]
    fn a_lossy_stream_logs_no_payload() {
        let names = Arc::new(Names { topic: "room:1".into(), event: "shout".into() });
        let message = Message::new(names, Payload::from_raw("\"hunter2\"", false));
        let source = message.json::<u8>().unwrap_err();
        let errors = [
            EventError::NotJoined(NotJoined::Crashed(message.payload().clone())),
            EventError::Decode { message, source },
            EventError::Lagged(7),
        ];
        let log = Arc::new(Log::default());
        tracing::subscriber::with_default(log.clone(), || {
            let mut lossy = Lossy(stream::iter(errors.map(Err::<Message, _>)));
            assert!(lossy.next().now_or_never().unwrap().is_none());
        });
        let said = log.0.lock().unwrap();
        assert_eq!(said.len(), 3, "each is told");
        assert!(!said.iter().any(|line| line.contains("hunter2")), "{said:?}");
        assert!(said[1].contains("room:1") && said[2].contains("lost=7"), "{said:?}");
    }
}
