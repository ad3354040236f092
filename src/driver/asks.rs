//! The closures that say what a join sends, while they are asked.

use std::{
    collections::HashMap,
    fmt,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
};

use futures::{
    FutureExt, StreamExt,
    future::{AbortHandle, Abortable},
    stream::FuturesUnordered,
};

use crate::{
    core::{ChannelId, Declined},
    error::{BoxError, Stop},
    message::LastSeen,
    payload::Payload,
};

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;
type Answer = Result<Payload, Declined>;

/// The user's closure, given what was last seen.
pub(crate) struct JoinParams(pub(crate) Box<dyn FnMut(LastSeen) -> BoxFuture<Result<Payload, BoxError>> + Send>);

impl fmt::Debug for JoinParams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JoinParams")
    }
}

impl JoinParams {
    /// The closure itself may panic, and so may its future: either costs this join only.
    fn ask(&mut self, last: LastSeen) -> BoxFuture<Answer> {
        match catch_unwind(AssertUnwindSafe(|| (self.0)(last))) {
            Ok(answer) => Box::pin(AssertUnwindSafe(answer).catch_unwind().map(|answer| match answer {
                Ok(answer) => answer.map_err(declined),
                Err(_) => Err(declined("it panicked".into())),
            })),
            Err(_) => Box::pin(std::future::ready(Err(declined("it panicked".into())))),
        }
    }
}

fn declined(error: BoxError) -> Declined {
    match error.downcast::<Stop>() {
        Ok(stop) => Declined { cause: stop.into_inner().into(), stop: true },
        Err(error) => Declined { cause: error.into(), stop: false },
    }
}

/// At most one of each channel.
#[derive(Debug, Default)]
pub(super) struct Asks {
    waiting: FuturesUnordered<BoxFuture<(ChannelId, u64, Option<Answer>)>>,
    handles: HashMap<ChannelId, (u64, AbortHandle)>,
    /// Whether one has not been polled yet, and so would wake nobody.
    fresh: bool,
}

impl Asks {
    pub(super) fn ask(&mut self, channel: ChannelId, number: u64, params: &mut JoinParams, last: LastSeen) {
        let (handle, registration) = AbortHandle::new_pair();
        let answer = Abortable::new(params.ask(last), registration);
        self.waiting.push(Box::pin(answer.map(move |answer| (channel, number, answer.ok()))));
        if let Some((_, earlier)) = self.handles.insert(channel, (number, handle)) {
            earlier.abort();
        }
        self.fresh = true;
    }

    pub(super) fn unask(&mut self, channel: ChannelId) {
        if let Some((_, handle)) = self.handles.remove(&channel) {
            handle.abort();
        }
    }

    /// The next answer that is there.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Option<(ChannelId, u64, Answer)> {
        self.fresh = false;
        while let Poll::Ready(Some((channel, number, answer))) = self.waiting.poll_next_unpin(cx) {
            if self.handles.get(&channel).is_some_and(|(present, _)| *present == number) {
                self.handles.remove(&channel);
            }
            if let Some(answer) = answer {
                return Some((channel, number, answer));
            }
        }
        None
    }

    pub(super) fn is_fresh(&self) -> bool {
        self.fresh
    }

    pub(super) fn clear(&mut self) {
        *self = Asks::default();
    }
}
