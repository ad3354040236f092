//! The streams that a program reads. All are named, owned, `Unpin` and `Send + 'static`.

mod events;
pub(crate) mod feed;
mod latest;

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use futures::Stream;

pub(crate) use self::events::Subscription;
pub use self::{
    events::{Events, EventsAs, Lossy, Messages},
    latest::Latest,
};
use crate::{error::Lagged, telemetry::Telemetry};

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
