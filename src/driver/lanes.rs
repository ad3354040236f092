//! The way from the handles to the driver: two lanes.
//!
//! Pushes and casts wait in a bounded one, which is the backpressure. Everything else is small, bounded by the number
//! of live handles, never refused, and read first: a stream taken before a push cannot miss what the push causes, and
//! a goodbye is never lost.

use std::{
    collections::VecDeque,
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Waker},
};

use tokio::sync::watch;

use super::{asks::JoinParams, queue::Writer, room::Room, token::Token};
use crate::{
    core::{ChannelId, Command, Instant, Join, Push},
    error::JoinError,
    message::Reply,
    serializer::Envelope,
    status::{ChannelClosed, ChannelStatus},
    streams::feed::FeedWriter,
    telemetry::Telemetry,
};

/// How many pushes may wait for the driver.
const PUSH_LANE: usize = 1_024;

/// What goes by the lane that is never full.
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
    },
    Subscribe {
        channel: ChannelId,
        writer: Writer,
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
    pushes: VecDeque<Push<Token>>,
    /// No push in the lane, and none that waits for room, is due before this.
    earliest: Option<Instant>,
    room: Room,
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

    /// Hands over a push, or gives it back while there is no room; the waker is called when it is its turn, or when it
    /// is due. A push given back takes its turn until it is handed over or [gone](Lanes::leave_room).
    pub(crate) fn poll_push(&self, push: Push<Token>, cx: &mut Context<'_>) -> Result<(), Box<Push<Token>>> {
        let mut state = self.lock();
        if state.closed {
            drop(state);
            drop(push);
            return Ok(());
        }
        // The driver minds the deadline of those who wait for room too: they may be in no runtime.
        let due_first = state.is_due_before(push.deadline);
        if !state.room.admits(push.id, state.free()) {
            state.room.wait(push.id, push.deadline, cx.waker());
            if due_first {
                wake(state);
            }
            return Err(Box::new(push));
        }
        state.room.remove(push.id);
        state.pushes.push_back(push);
        wake(state);
        Ok(())
    }

    /// A push that was given back is not wanted any more.
    pub(crate) fn leave_room(&self, id: u64) {
        let mut state = self.lock();
        state.room.remove(id);
        call(state);
    }

    /// Takes a push back that the driver has not seen; otherwise tells the driver to forget it.
    pub(crate) fn cancel_push(&self, channel: Option<ChannelId>, id: u64) {
        let mut state = self.lock();
        match state.pushes.iter().position(|push| push.id == id) {
            Some(index) => {
                let push = state.pushes.remove(index);
                call(state);
                drop(push);
            }
            None if !state.closed => {
                state.control.push(Control::Command(Command::Cancel { channel, id }));
                self.has_control.store(true, Ordering::Release);
                wake(state);
            }
            None => {}
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
        if taken == 0 {
            return;
        }
        if state.pushes.is_empty() && state.room.is_empty() {
            state.earliest = None;
        }
        call(state);
    }

    /// Takes out the pushes whose deadline has passed while they waited here, and wakes those that waited for room.
    pub(super) fn take_due(&self, now: Instant, into: &mut Vec<Push<Token>>) {
        let mut state = self.lock();
        if state.earliest.is_none_or(|earliest| earliest > now) {
            return;
        }
        let (due, rest) = mem::take(&mut state.pushes).into_iter().partition(|push| push.deadline <= now);
        state.pushes = rest;
        into.extend::<VecDeque<_>>(due);
        let late = state.room.expire(now);
        let waiting = state.pushes.iter().map(|push| push.deadline).min();
        state.earliest = waiting.into_iter().chain(state.room.earliest()).min();
        call(state);
        late.into_iter().for_each(Waker::wake);
    }

    /// When the first push may be due that still waits here, or for room.
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
        let State { control, pushes, room, .. } = ended;
        for item in &control {
            if let Control::Register { status, .. } = item {
                status.send_replace(ChannelStatus::Closed { cause: ChannelClosed::Socket });
            }
        }
        drop((control, pushes));
        room.into_wakers().for_each(Waker::wake);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// How many pushes the lane can take.
    fn free(&self) -> usize {
        PUSH_LANE.saturating_sub(self.pushes.len())
    }

    /// Whether this is the earliest deadline by now.
    fn is_due_before(&mut self, deadline: Instant) -> bool {
        let first = self.earliest.is_none_or(|earliest| deadline < earliest);
        if first {
            self.earliest = Some(deadline);
        }
        first
    }
}

fn wake(mut state: MutexGuard<'_, State>) {
    if let Some(driver) = state.driver.take() {
        drop(state);
        driver.wake();
    }
}

/// Calls those whose turn it is.
fn call(mut state: MutexGuard<'_, State>) {
    let free = state.free();
    let called = state.room.call(free);
    drop(state);
    called.into_iter().for_each(Waker::wake);
}
