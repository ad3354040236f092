//! The way from the handles to the driver: two lanes.
//!
//! Pushes and casts wait in a bounded one, which is the backpressure. Everything else is small, bounded by the number
//! of live handles, never refused, and read first: a stream taken before a push cannot miss what the push causes, and
//! a goodbye is never lost.

use std::{
    collections::{BTreeMap, VecDeque},
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Waker},
};

use tokio::sync::watch;

use super::{queue::Writer, token::Token};
use crate::{
    core::{ChannelId, Command, Instant, Push},
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
    Register { channel: ChannelId, topic: Arc<str>, status: watch::Sender<ChannelStatus> },
    Subscribe { channel: ChannelId, writer: Writer },
    Unsubscribe { channel: ChannelId, event: Option<Arc<str>>, id: u64 },
    Listen(FeedWriter<Telemetry>),
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
    /// Pushes that wait for room, by their ids and so in the order of their first polls, and until when they wait.
    room: BTreeMap<u64, (Waker, Instant)>,
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

    /// Hands over a push, or gives it back while there is no room; the waker is called when there is, or when the push
    /// is due.
    pub(crate) fn poll_push(&self, push: Push<Token>, cx: &mut Context<'_>) -> Result<(), Box<Push<Token>>> {
        let mut state = self.lock();
        if state.closed {
            drop(state);
            drop(push);
            return Ok(());
        }
        if state.pushes.len() >= PUSH_LANE {
            state.room.insert(push.id, (cx.waker().clone(), push.deadline));
            // The driver minds the deadline of those who wait here too: they may be in no runtime.
            if state.is_due_before(push.deadline) {
                wake(state);
            }
            return Err(Box::new(push));
        }
        state.is_due_before(push.deadline);
        state.pushes.push_back(push);
        wake(state);
        Ok(())
    }

    /// Takes a push back that the driver has not seen; otherwise tells the driver to forget it.
    pub(crate) fn cancel_push(&self, channel: ChannelId, id: u64) {
        let mut state = self.lock();
        match state.pushes.iter().position(|push| push.id == id) {
            Some(index) => {
                let push = state.pushes.remove(index);
                let called = state.called();
                drop(state);
                drop(push);
                called.into_iter().for_each(Waker::wake);
            }
            None if !state.closed => {
                state.control.push(Control::Command(Command::Cancel { channel: Some(channel), id }));
                self.has_control.store(true, Ordering::Release);
                wake(state);
            }
            None => {}
        }
    }

    /// A push waits for room no longer. If it was called already, the next one is in its place.
    pub(crate) fn leave_room(&self, id: u64) {
        let mut state = self.lock();
        if state.room.remove(&id).is_none() {
            let called = state.called();
            drop(state);
            called.into_iter().for_each(Waker::wake);
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

    /// Pushes, up to about this many bytes of payload.
    pub(super) fn take_pushes(&self, bytes: usize, into: &mut Vec<Push<Token>>) {
        let mut state = self.lock();
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
        let called = state.called();
        drop(state);
        called.into_iter().for_each(Waker::wake);
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
        let mut called = state.called();
        state.room.retain(|_, (waker, deadline)| {
            let waits = *deadline > now;
            if !waits {
                called.push(waker.clone());
            }
            waits
        });
        let deadlines = state.pushes.iter().map(|push| push.deadline);
        state.earliest = deadlines.chain(state.room.values().map(|(_, deadline)| *deadline)).min();
        drop(state);
        called.into_iter().for_each(Waker::wake);
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
        room.into_values().for_each(|(waker, _)| waker.wake());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// As many of those who wait for room as there is room for, the first ones first.
    fn called(&mut self) -> Vec<Waker> {
        let room = PUSH_LANE.saturating_sub(self.pushes.len());
        let called = std::iter::from_fn(|| self.room.pop_first()).take(room);
        called.map(|(_, (waker, _))| waker).collect()
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
