//! A lossless stream of what happened, bounded, whose loss is told in its place.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use futures::Stream;

use crate::{driver::queue::Budget, error::Lagged};

/// How much may wait for the reader.
#[derive(Clone, Debug)]
pub(crate) struct Bounds {
    pub(crate) items: usize,
    /// Of what a server sent.
    pub(crate) bytes: usize,
    /// What all queues of the socket hold together, where this is one of them.
    pub(crate) budget: Option<Arc<Budget>>,
}

impl Bounds {
    /// For what happens now and then.
    pub(crate) const SELDOM: Bounds = Bounds { items: 4_096, bytes: 4 << 20, budget: None };

    fn take(&self, bytes: usize) -> bool {
        self.budget.as_ref().is_none_or(|budget| budget.take(bytes))
    }

    fn give_back(&self, bytes: usize) {
        if let Some(budget) = &self.budget {
            budget.give_back(bytes);
        }
    }
}

#[derive(Debug)]
struct State<T> {
    bounds: Bounds,
    /// With the bytes that each holds.
    items: VecDeque<(Result<T, Lagged>, usize)>,
    bytes: usize,
    reader: Option<Waker>,
    ended: bool,
    /// The reader is gone: nothing is kept any more.
    abandoned: bool,
}

type Shared<T> = Arc<Mutex<State<T>>>;

pub(crate) fn feed<T>(bounds: Bounds) -> (FeedWriter<T>, Feed<T>) {
    let state = State { bounds, items: VecDeque::new(), bytes: 0, reader: None, ended: false, abandoned: false };
    let state = Arc::new(Mutex::new(state));
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
        if let Some(reader) = self.put(item, bytes) {
            reader.wake();
        }
    }

    /// As [`push`](Self::push), and leaves it to the caller to wake the reader.
    #[must_use = "the reader is to be woken"]
    pub(crate) fn put(&self, item: T, bytes: usize) -> Option<Waker> {
        let mut state = lock(&self.0);
        if state.abandoned {
            return None;
        }
        let fits = state.items.len() < state.bounds.items && state.bytes.saturating_add(bytes) <= state.bounds.bytes;
        if (fits || state.items.is_empty()) && state.bounds.take(bytes) {
            state.bytes += bytes;
            state.items.push_back((Ok(item), bytes));
        } else if let Some((Err(Lagged(lost)), _)) = state.items.back_mut() {
            *lost += 1;
        } else {
            state.items.push_back((Err(Lagged(1)), 0));
        }
        state.reader.take()
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
                state.bounds.give_back(bytes);
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

impl<T> Drop for Feed<T> {
    fn drop(&mut self) {
        let mut state = lock(&self.0);
        state.abandoned = true;
        let bytes = std::mem::take(&mut state.bytes);
        state.bounds.give_back(bytes);
        let left = std::mem::take(&mut state.items);
        // Nobody is to be woken for it any more.
        let reader = state.reader.take();
        drop(state);
        drop((left, reader));
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
