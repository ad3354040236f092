//! Who is present, and who comes and goes.

use std::{
    fmt, iter,
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use futures::Stream;

use super::{
    Lossy,
    feed::{Bounds, Feed, feed},
    latest::Present,
};
use crate::{
    channel::Inner,
    driver::{
        Control,
        presence::{PresenceLog, Said, Seat, Snapshot, Told},
    },
    error::{EventError, Lagged},
    presence::{People, Presence, PresenceEvent, PresenceNames, PresenceState},
    runtime::poll_proceed,
    streams::feed::FeedWriter,
};

/// A turn of a reader folds this much, in bytes, and gives way.
const TURN: usize = 256 << 10;

/// A share in the presence of a channel, and in the channel.
struct Share {
    seat: Arc<Seat>,
    names: PresenceNames,
    channel: Arc<Inner>,
    /// What is being read, up to what had come when that began.
    then: Option<u64>,
}

impl Share {
    fn new(channel: Arc<Inner>, names: PresenceNames, listener: Option<FeedWriter<Told>>) -> Self {
        let (seat, end) = Seat::new();
        let watch = Control::Presence { channel: channel.id, names: names.clone(), seat: end, listener };
        channel.shared().lanes.send(watch);
        Share { seat, names, channel, then: None }
    }

    /// The list with all that has come, in turns. None where there will be no list.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Snapshot>> {
        self.seat.register(cx.waker());
        match self.seat.log().cloned() {
            Some(log) => self.poll_log(&log, cx).map(Some),
            None if self.seat.has_ended() => Poll::Ready(None),
            None => Poll::Pending,
        }
    }

    /// As [`poll`](Self::poll), but none where there is no list yet as well.
    fn poll_current(&mut self, cx: &mut Context<'_>) -> Poll<Option<Snapshot>> {
        match self.log() {
            Some(log) => self.poll_log(&log, cx).map(Some),
            None => Poll::Ready(None),
        }
    }

    fn poll_log(&mut self, log: &PresenceLog, cx: &mut Context<'_>) -> Poll<Snapshot> {
        let then = *self.then.get_or_insert_with(|| log.now());
        match log.read(TURN, then) {
            Some(snapshot) => {
                self.then = None;
                // Its wake has gone into this turn.
                if log.now() > then {
                    cx.waker().wake_by_ref();
                }
                Poll::Ready(snapshot)
            }
            None => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    fn current(&self) -> Option<Snapshot> {
        let log = self.log()?;
        let then = log.now();
        iter::repeat_with(|| log.read(TURN, then)).flatten().next()
    }

    /// Until the driver has given a log, the one that is there is looked at.
    fn log(&self) -> Option<Arc<PresenceLog>> {
        self.seat.log().cloned().or_else(|| self.channel.presence.find(&self.names))
    }
}

impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Share").field("topic", &self.channel.topic).field("names", &self.names).finish()
    }
}

/// The list as one reader sees it.
pub(crate) struct Watching<M> {
    share: Share,
    /// What it has seen: the version, and the list.
    seen: Option<u64>,
    before: People,
    ended: bool,
    metas: PhantomData<fn() -> M>,
}

impl<M> Watching<M> {
    pub(crate) fn new(channel: Arc<Inner>, names: PresenceNames) -> Self {
        let share = Share::new(channel, names, None);
        Watching { share, seen: None, before: People::default(), ended: false, metas: PhantomData }
    }

    /// What there is, beside what was seen before.
    fn shown(&self, now: Option<Snapshot>) -> Presence<M> {
        match now {
            Some(now) => Presence::new(now.people, self.before.clone(), now.state, now.pending),
            None if self.share.seat.has_ended() => self.closed(),
            None => Presence::default(),
        }
    }

    /// There is no log, and will be none.
    fn closed(&self) -> Presence<M> {
        Presence::new(self.before.clone(), self.before.clone(), PresenceState::Closed, 0)
    }
}

impl<M> Present<Presence<M>> for Watching<M> {
    fn current(&self) -> Presence<M> {
        self.shown(self.share.current())
    }

    fn poll_current(&mut self, cx: &mut Context<'_>) -> Poll<Presence<M>> {
        let now = ready!(self.share.poll_current(cx));
        Poll::Ready(self.shown(now))
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Presence<M>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let Some(now) = ready!(self.share.poll(cx)) else {
            self.ended = true;
            return Poll::Ready(Some(self.closed()));
        };
        if self.seen == Some(now.version) {
            return Poll::Pending;
        }
        self.seen = Some(now.version);
        self.ended = now.state == PresenceState::Closed;
        let before = std::mem::replace(&mut self.before, now.people.clone());
        Poll::Ready(Some(Presence::new(now.people, before, now.state, now.pending)))
    }
}

impl<M> fmt::Debug for Watching<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Latest").field(&self.share.channel.topic).field(&self.share.names).finish()
    }
}

/// Every join and leave of those present: [`Channel::presence_events`](crate::Channel::presence_events).
///
/// The joins and leaves of a message come in its order, joins first, then a
/// [`Synced`](PresenceEvent::Synced). An error never ends the stream: a message that cannot be read is an
/// [`EventError::Decode`]. It ends when the channel is left or closed.
///
/// # Cancel safety
/// A dropped `next()` loses nothing.
#[must_use = "streams do nothing unless polled"]
pub struct PresenceEvents<M> {
    share: Share,
    told: Feed<Told>,
    metas: PhantomData<fn() -> M>,
}

impl<M> PresenceEvents<M> {
    pub(crate) fn new(channel: Arc<Inner>, names: PresenceNames) -> Self {
        let shared = channel.shared();
        let bounds = Bounds { items: usize::MAX, bytes: shared.queue_limit, budget: Some(shared.budget.clone()) };
        let (writer, told) = feed(bounds);
        PresenceEvents { share: Share::new(channel, names, Some(writer)), told, metas: PhantomData }
    }

    /// The joins and leaves alone: errors are traced and skipped.
    pub fn lossy(self) -> Lossy<Self> {
        Lossy(self)
    }
}

impl<M> Stream for PresenceEvents<M> {
    type Item = Result<PresenceEvent<M>, EventError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        // A reader of a flood gives way to other tasks.
        let turn = ready!(poll_proceed(cx));
        let mut told = Pin::new(&mut self.told).poll_next(cx);
        if told.is_pending() {
            // What is folded here is told to all listeners, this one among them.
            let _ = self.share.poll(cx);
            told = Pin::new(&mut self.told).poll_next(cx);
        }
        let told = ready!(told);
        turn.made_progress();
        Poll::Ready(told.map(|told| match told {
            Ok(Ok(Said::Step(step))) => Ok(PresenceEvent::new(step)),
            Ok(Ok(Said::Synced)) => Ok(PresenceEvent::Synced),
            Ok(Ok(Said::Stale)) => Ok(PresenceEvent::Stale),
            Ok(Err(error)) => Err(error),
            Err(Lagged(lost)) => Err(EventError::Lagged(lost)),
        }))
    }
}

impl<M> fmt::Debug for PresenceEvents<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PresenceEvents").field(&self.share.channel.topic).field(&self.share.names).finish()
    }
}
