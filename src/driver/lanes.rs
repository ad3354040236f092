//! The way from the handles to the driver: two lanes.
//!
//! Pushes and casts wait in one of their own, from which the driver takes only while little waits to be written: until
//! then whoever awaits them waits, which is the backpressure. It holds no more than there are pushes that somebody awaits.
//! (It had a bound once, and those beyond it waited for a place. Whoever was called to a place and did not come, being
//! busy with another push, held it shut for all.)
//!
//! Everything else is small, bounded by the number of live handles, and read first: a stream taken before a push cannot
//! miss what the push causes, and a goodbye is never lost.

use std::{
    collections::VecDeque,
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::Waker,
};

use tokio::sync::watch;

use super::{
    asks::JoinParams,
    presence::{Lives, SeatEnd, Told},
    queue::Writer,
    token::Token,
};
use crate::{
    core::{ChannelId, Command, Instant, Join, Push},
    error::JoinError,
    message::Reply,
    presence::PresenceNames,
    serializer::Envelope,
    status::{ChannelClosed, ChannelStatus},
    streams::feed::FeedWriter,
    telemetry::Telemetry,
};

/// What goes by the lane that is read first.
#[derive(Debug)]
pub(crate) enum Control {
    Command(Command<Token>),
    /// A join whose params a closure says.
    JoinWith {
        params: JoinParams,
        join: Join<Token>,
    },
    Register {
        channel: ChannelId,
        topic: Arc<str>,
        status: watch::Sender<ChannelStatus>,
        presence: Arc<Lives>,
    },
    Subscribe {
        channel: ChannelId,
        writer: Writer,
    },
    /// Reads a presence of the channel; with a listener, every join and leave.
    Presence {
        channel: ChannelId,
        names: PresenceNames,
        seat: SeatEnd,
        listener: Option<FeedWriter<Told>>,
    },
    Unsubscribe {
        channel: ChannelId,
        event: Option<Arc<str>>,
        id: u64,
    },
    /// Watches how the joins of a channel come out.
    Joins {
        channel: ChannelId,
        feed: FeedWriter<Result<Reply, JoinError>>,
    },
    Listen(FeedWriter<Telemetry>),
    /// Wants every message of the socket.
    Messages(FeedWriter<Envelope>),
}

#[derive(Debug, Default)]
pub(crate) struct Lanes {
    state: Mutex<State>,
    /// Whether the first lane holds anything, for those who ask often.
    has_control: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    control: Vec<Control>,
    /// By their refs, and so in the order of first polls.
    pushes: VecDeque<Push<Token>>,
    /// No push in the lane is due before this.
    earliest: Option<Instant>,
    driver: Option<Waker>,
    closed: bool,
}

impl Lanes {
    /// Hands something to the driver. Once that has ended it is dropped, which settles whatever waits for it.
    pub(crate) fn send(&self, control: Control) {
        let mut state = self.lock();
        if state.closed {
            drop(state);
            return drop(control);
        }
        state.control.push(control);
        self.has_control.store(true, Ordering::Release);
        wake(state);
    }

    /// Hands over a push. Once the driver has ended it is dropped, which settles it.
    pub(crate) fn push(&self, push: Push<Token>) {
        let mut state = self.lock();
        if state.closed {
            drop(state);
            return drop(push);
        }
        state.earliest = Some(state.earliest.map_or(push.deadline, |earliest| earliest.min(push.deadline)));
        if state.pushes.back().is_some_and(|last| last.id > push.id) {
            let place = state.place(push.id).unwrap_or_else(|place| place);
            state.pushes.insert(place, push);
        } else {
            state.pushes.push_back(push);
        }
        wake(state);
    }

    /// Takes a push back that the driver has not seen; otherwise tells the driver to forget it.
    pub(crate) fn cancel_push(&self, channel: Option<ChannelId>, id: u64) {
        let mut state = self.lock();
        match state.place(id) {
            Ok(index) => {
                let push = state.pushes.remove(index);
                drop(state);
                drop(push);
            }
            Err(_) if !state.closed => {
                state.control.push(Control::Command(Command::Cancel { channel, id }));
                self.has_control.store(true, Ordering::Release);
                wake(state);
            }
            Err(_) => {}
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    pub(super) fn has_control(&self) -> bool {
        self.has_control.load(Ordering::Acquire)
    }

    /// All that is in the first lane; the waker is called for what comes later, in either lane.
    pub(super) fn take_control(&self, into: &mut Vec<Control>, waker: &Waker) {
        let mut state = self.lock();
        if !state.driver.as_ref().is_some_and(|stored| stored.will_wake(waker)) {
            state.driver = Some(waker.clone());
        }
        mem::swap(&mut state.control, into);
        self.has_control.store(false, Ordering::Release);
    }

    /// Pushes, up to about this many bytes of payload, and all that is in the first lane: whoever pushed may have
    /// declared the channel or joined it just before, since the first lane was last read.
    pub(super) fn take_pushes(&self, bytes: usize, into: &mut Vec<Push<Token>>, control: &mut Vec<Control>) {
        let mut state = self.lock();
        mem::swap(&mut state.control, control);
        self.has_control.store(false, Ordering::Release);
        let mut taken = 0;
        while taken <= bytes
            && let Some(push) = state.pushes.pop_front()
        {
            taken += push.payload.as_bytes().len() + 64;
            into.push(push);
        }
        if state.pushes.is_empty() {
            state.earliest = None;
        }
    }

    /// Takes out the pushes whose deadline has passed while they waited here.
    pub(super) fn take_due(&self, now: Instant, into: &mut Vec<Push<Token>>) {
        let mut state = self.lock();
        if state.earliest.is_none_or(|earliest| earliest > now) {
            return;
        }
        let (due, rest) = mem::take(&mut state.pushes).into_iter().partition(|push| push.deadline <= now);
        state.pushes = rest;
        into.extend::<VecDeque<_>>(due);
        state.earliest = state.pushes.iter().map(|push| push.deadline).min();
    }

    /// When the first push may be due that still waits here.
    pub(super) fn earliest(&self) -> Option<Instant> {
        self.lock().earliest
    }

    pub(super) fn waiting_pushes(&self) -> (usize, usize) {
        let state = self.lock();
        (state.pushes.len(), state.pushes.iter().map(|push| push.payload.as_bytes().len()).sum())
    }

    /// The driver has ended: whatever is on its way, or still comes, is dropped.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let ended = mem::take(&mut *state);
        state.closed = true;
        drop(state);
        let State { control, pushes, .. } = ended;
        for item in &control {
            if let Control::Register { status, .. } = item {
                status.send_replace(ChannelStatus::Closed { cause: ChannelClosed::Socket });
            }
        }
        drop((control, pushes));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Where the push of this ref is, or would be.
    fn place(&self, id: u64) -> Result<usize, usize> {
        self.pushes.binary_search_by_key(&id, |push| push.id)
    }
}

fn wake(mut state: MutexGuard<'_, State>) {
    if let Some(driver) = state.driver.take() {
        drop(state);
        driver.wake();
    }
}
