//! The streams that a program reads. All are named, owned, `Unpin` and `Send + 'static`.

mod events;
pub(crate) mod feed;
mod latest;
mod presence;
mod sink;
mod tagged;

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures::Stream;

pub(crate) use self::{events::Subscription, presence::Watching};
pub use self::{
    events::{Events, EventsAs, Lossy, Messages, MessagesAs},
    latest::Latest,
    presence::PresenceEvents,
    sink::EventSink,
};
use crate::{
    error::{JoinError, Lagged},
    message::Reply,
    runtime::poll_proceed,
    serializer::Envelope,
    telemetry::Telemetry,
};

/// How the joins of a channel come out: [`Channel::joins`](crate::Channel::joins).
#[derive(Debug)]
#[must_use = "streams do nothing unless polled"]
pub struct Joins(pub(crate) feed::Feed<Result<Reply, JoinError>>);

impl Stream for Joins {
    type Item = Result<Reply, JoinError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let item = ready!(Pin::new(&mut self.0).poll_next(cx));
        Poll::Ready(item.map(|item| item.unwrap_or_else(|Lagged(lost)| Err(JoinError::Lagged(lost)))))
    }
}

/// Every message of a socket: [`Socket::messages`](crate::Socket::messages).
///
/// Nothing is lost silently: a reader that falls behind by the [bound of a stream](crate::Builder::queue_limits) finds a
/// [`Lagged`] in the place of what was lost. It holds nothing, and ends when the socket is closed for good.
#[derive(Debug)]
#[must_use = "streams do nothing unless polled"]
pub struct SocketMessages(pub(crate) feed::Feed<Envelope>);

impl Stream for SocketMessages {
    type Item = Result<Envelope, Lagged>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        // A reader of a flood gives way to other tasks.
        let turn = ready!(poll_proceed(cx));
        let item = ready!(Pin::new(&mut self.0).poll_next(cx));
        turn.made_progress();
        Poll::Ready(item)
    }
}

/// What happened to a socket, in order, from the moment it was asked for:
/// [`Socket::telemetry`](crate::Socket::telemetry).
///
/// Nothing is lost silently: a reader that falls 4096 items behind, or 4 MiB of what servers sent with
/// crashes and refusals, finds a [`Lagged`] in their place. It holds
/// nothing, and ends when the socket is closed for good.
#[derive(Debug)]
#[must_use = "streams do nothing unless polled"]
pub struct TelemetryStream(pub(crate) feed::Feed<Telemetry>);

impl Stream for TelemetryStream {
    type Item = Result<Telemetry, Lagged>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.0).poll_next(cx)
    }
}
