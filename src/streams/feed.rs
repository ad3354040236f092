//! A lossless stream of what happened, bounded, whose loss is told in its place.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use futures::Stream;

use crate::error::Lagged;

/// How many items may wait for their reader, and how many bytes of what a server sent they may hold together.
const LIMIT: usize = 4_096;
const LIMIT_BYTES: usize = 4 << 20;

#[derive(Debug)]
struct State<T> {
    /// With the bytes that each holds.
    items: VecDeque<(Result<T, Lagged>, usize)>,
    bytes: usize,
    reader: Option<Waker>,
    ended: bool,
}

type Shared<T> = Arc<Mutex<State<T>>>;

pub(crate) fn feed<T>() -> (FeedWriter<T>, Feed<T>) {
    let state = Arc::new(Mutex::new(State { items: VecDeque::new(), bytes: 0, reader: None, ended: false }));
    (FeedWriter(state.clone()), Feed(state))
}

/// The driver's end. Dropped, it ends the stream behind what is queued.
#[derive(Debug)]
pub(crate) struct FeedWriter<T>(Shared<T>);

/// The reader's end.
#[derive(Debug)]
pub(crate) struct Feed<T>(Shared<T>);

impl<T> FeedWriter<T> {
    /// An item, and how many bytes of what a server sent it holds. One alone may hold any number.
    pub(crate) fn push(&self, item: T, bytes: usize) {
        let mut state = lock(&self.0);
        let fits = state.items.len() < LIMIT && state.bytes.saturating_add(bytes) <= LIMIT_BYTES;
        if fits || state.items.is_empty() {
            state.bytes += bytes;
            state.items.push_back((Ok(item), bytes));
        } else if let Some((Err(Lagged(lost)), _)) = state.items.back_mut() {
            *lost += 1;
        } else {
            state.items.push_back((Err(Lagged(1)), 0));
        }
        wake(state);
    }

    /// Whether the reader is gone.
    pub(crate) fn is_abandoned(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }
}

impl<T> Drop for FeedWriter<T> {
    fn drop(&mut self) {
        let mut state = lock(&self.0);
        state.ended = true;
        wake(state);
    }
}

impl<T> Stream for Feed<T> {
    type Item = Result<T, Lagged>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut state = lock(&self.0);
        match state.items.pop_front() {
            Some((item, bytes)) => {
                state.bytes -= bytes;
                Poll::Ready(Some(item))
            }
            None if state.ended => Poll::Ready(None),
            None => {
                state.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

fn lock<T>(shared: &Shared<T>) -> MutexGuard<'_, State<T>> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wake<T>(mut state: MutexGuard<'_, State<T>>) {
    if let Some(reader) = state.reader.take() {
        drop(state);
        reader.wake();
    }
}
