//! A connection of the first transport: what came before it was trusted, then its own frames; and how it ends.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures::Stream;

use super::track::Track;
use crate::{
    error::ConnectError,
    runtime::Instant,
    transport::{Connection, Frame, sink_through},
};

pub(super) struct Trusted {
    inner: Connection,
    early: VecDeque<Frame>,
    since: Instant,
    young: Duration,
    /// Until its end is told.
    track: Option<Track>,
}

impl Trusted {
    pub(super) fn new(inner: Connection, early: VecDeque<Frame>, young: Duration, track: Track) -> Self {
        Trusted { inner, early, since: Instant::now(), young, track: Some(track) }
    }

    /// It ends by itself, by this cause; or by a close frame, which is no sign of ill health.
    fn ends(&mut self, cause: Option<&ConnectError>) {
        let Some(track) = self.track.take() else { return };
        match cause {
            Some(cause) if self.since.elapsed() < self.young => track.died_young(cause),
            _ => track.lived(),
        }
    }
}

impl Stream for Trusted {
    type Item = Result<Frame, ConnectError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(frame) = self.early.pop_front() {
            return Poll::Ready(Some(Ok(frame)));
        }
        let item = ready!(Pin::new(&mut self.inner).poll_next(cx));
        match &item {
            Some(Ok(Frame::Text(_) | Frame::Binary(_))) => {}
            Some(Ok(Frame::Close { .. })) => self.ends(None),
            Some(Err(cause)) => self.ends(Some(cause)),
            None => self.ends(Some(&ConnectError::Ended)),
        }
        Poll::Ready(item)
    }
}

sink_through!(Trusted);
