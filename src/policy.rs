//! What follows a cause: another try, and how soon, or none.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use crate::log;

/// What follows a lost connection, a failed attempt to connect, or a channel that is not joined: the answer of a policy
/// given to [`Builder::reconnect_policy`](crate::Builder::reconnect_policy) or
/// [`Builder::rejoin_policy`](crate::Builder::rejoin_policy).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Retry {
    /// Another try, by the [`Backoff`](crate::Backoff), and none once its limit is reached.
    Backoff,
    /// As `Backoff`, but no sooner than after this.
    NoSooner(Duration),
    /// No more tries by itself: a `connect`, or a `join`, begins anew.
    Stop,
}

type Decide<C> = dyn Fn(&C, Retry) -> Retry + Send + Sync;

/// The user's word on a cause, where there is one.
pub(crate) struct Policy<C>(Option<Arc<Decide<C>>>);

impl<C> Policy<C> {
    pub(crate) fn new(decide: impl Fn(&C, Retry) -> Retry + Send + Sync + 'static) -> Self {
        Policy(Some(Arc::new(decide)))
    }

    /// One that panics has said nothing.
    pub(crate) fn decide(&self, cause: &C, usual: Retry) -> Retry {
        let Some(decide) = &self.0 else { return usual };
        catch_unwind(AssertUnwindSafe(|| decide(cause, usual))).unwrap_or_else(|_| {
            tracing::error!(target: log::SOCKET, "a policy panicked");
            usual
        })
    }
}

impl<C> Default for Policy<C> {
    fn default() -> Self {
        Policy(None)
    }
}

impl<C> Clone for Policy<C> {
    fn clone(&self) -> Self {
        Policy(self.0.clone())
    }
}

impl<C> fmt::Debug for Policy<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "own" } else { "usual" })
    }
}
