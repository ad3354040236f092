//! A lossless stream of what happened, bounded, whose loss is told in its place.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use futures::Stream;

use crate::error::Lagged;

/// How many items may wait for their reader.
const LIMIT: usize = 4_096;

#[derive(Debug)]
struct State<T> {
    items: VecDeque<Result<T, Lagged>>,
    reader: Option<Waker>,
    ended: bool,
}

type Shared<T> = Arc<Mutex<State<T>>>;

pub(crate) fn feed<T>() -> (FeedWriter<T>, Feed<T>) {
    let state = Arc::new(Mutex::new(State { items: VecDeque::new(), reader: None, ended: false }));
    (FeedWriter(state.clone()), Feed(state))
}

/// The driver's end. Dropped, it ends the stream behind what is queued.
#[derive(Debug)]
pub(crate) struct FeedWriter<T>(Shared<T>);

/// The reader's end.
#[derive(Debug)]
pub(crate) struct Feed<T>(Shared<T>);

impl<T> FeedWriter<T> {
    pub(crate) fn push(&self, item: T) {
        let mut state = lock(&self.0);
        if state.items.len() < LIMIT {
            state.items.push_back(Ok(item));
        } else if let Some(Err(Lagged(lost))) = state.items.back_mut() {
            *lost += 1;
        } else {
            state.items.push_back(Err(Lagged(1)));
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
            Some(item) => Poll::Ready(Some(item)),
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
