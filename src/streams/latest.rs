//! The present value, and then every later one that a reader keeps up with.

use std::{
    fmt,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures::{Stream, StreamExt};
use tokio::sync::watch;
use tokio_stream::wrappers::WatchStream;

use crate::runtime::poll_proceed;

/// A present value as a stream: first the value as it is now, then each later one. A slow reader sees the newest and
/// never a backlog. It ends when nothing can change any more.
///
/// Take it once, outside of a loop: each new one begins with the present value again.
///
/// # Cancel safety
/// `next()` and [`wait_for`](Latest::wait_for) lose nothing when dropped.
#[must_use = "streams do nothing unless polled"]
pub struct Latest<T>(Source<T>);

enum Source<T> {
    /// Written by the driver.
    Watched { present: watch::Receiver<T>, stream: WatchStream<T> },
    /// Made by whoever reads.
    Folded(Box<dyn Present<T>>),
}

/// A present value that its reader makes of what has come.
pub(crate) trait Present<T>: fmt::Debug + Send + Sync {
    fn current(&self) -> T;

    /// The same, made in turns.
    fn poll_current(&mut self, cx: &mut Context<'_>) -> Poll<T>;

    /// The present value, once it is another than the one before.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>>;
}

impl<T: Clone + Send + Sync + 'static> Latest<T> {
    pub(crate) fn new(present: watch::Receiver<T>) -> Self {
        Latest(Source::Watched { stream: WatchStream::new(present.clone()), present })
    }

    pub(crate) fn folded(present: impl Present<T> + 'static) -> Self {
        Latest(Source::Folded(Box::new(present)))
    }

    /// The value now, without waiting and without marking it seen.
    pub fn current(&self) -> T {
        match &self.0 {
            Source::Watched { present, .. } => present.borrow().clone(),
            Source::Folded(present) => present.current(),
        }
    }

    /// Waits until the value, now or later, is what `wanted` wants. `None` if the stream ends before. The values that it
    /// passes over are seen then; the one that is there when it begins is not, and comes again as an item if it is new.
    pub async fn wait_for(&mut self, mut wanted: impl FnMut(&T) -> bool) -> Option<T> {
        let mut value = match &mut self.0 {
            Source::Watched { present, .. } => present.borrow().clone(),
            Source::Folded(present) => poll_fn(|cx| present.poll_current(cx)).await,
        };
        while !wanted(&value) {
            value = self.next().await?;
        }
        Some(value)
    }
}

impl<T: Clone + Send + Sync + 'static> Stream for Latest<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        // A present value is always there: a loop that asks for a new stream every time would never give way.
        let turn = ready!(poll_proceed(cx));
        let item = ready!(match &mut self.0 {
            Source::Watched { stream, .. } => stream.poll_next_unpin(cx),
            Source::Folded(present) => present.poll_next(cx),
        });
        turn.made_progress();
        Poll::Ready(item)
    }
}

impl<T: fmt::Debug> fmt::Debug for Latest<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Source::Watched { present, .. } => f.debug_tuple("Latest").field(&*present.borrow()).finish(),
            Source::Folded(present) => present.fmt(f),
        }
    }
}
