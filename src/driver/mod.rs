//! The one task behind a socket: one hand-written poll between the handles, the core and the connection.
//!
//! It never awaits a send: a peer that answers before it reads would deadlock that. It writes while it can, flushes
//! without waiting, always reads, and gives way after a bounded amount of work.

mod asks;
mod dialer;
mod farewell;
mod lanes;
mod parting;
pub(crate) mod presence;
pub(crate) mod queue;
mod received;
mod routes;
pub(crate) mod shared;
mod token;

use std::{
    fmt,
    future::Future,
    mem,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::{Sink, Stream};
use tokio::sync::watch;
use tracing::Span;

use self::{asks::Asks, dialer::Dialing, farewell::Farewell, parting::Parting, routes::Routes};
pub(crate) use self::{
    asks::JoinParams,
    dialer::{Dialer, Recipe, Source, Sources},
    lanes::{Control, Lanes},
    shared::Shared,
    token::Token,
};
use crate::{
    core::{Command, Core, Holdings, Instant, Join, Opening, Outcome, Output, Params, Push},
    error::{CastError, ConnectError, NotSent, PushError},
    log,
    runtime::{Sleep, sleep_until, yield_now},
    serializer::{Envelope, Incoming},
    status::Status,
    streams::feed::FeedWriter,
    telemetry::Telemetry,
    transport::{Connection, Frame, Traits},
};

/// A turn reads this many frames or bytes, whichever comes first, and gives way.
const TURN_FRAMES: usize = 2_048;
const TURN_BYTES: usize = 128 << 10;
/// Pushes are taken while less than this waits to be written.
const OUT_QUEUE: usize = 256 << 10;
/// How often a turn goes back to taking and writing.
const ROUNDS: usize = 8;

/// The future that does the work of a socket, for those who spawn it themselves:
/// [`Builder::driver`](crate::Builder::driver). It ends when the socket is closed for good.
///
/// It must be polled inside a tokio runtime with its time driver on (and its IO driver, for the WebSocket).
///
/// # Cancel safety
/// Dropped, it ends the socket at once: the connection is cut, streams end, and operations fail as on a closed socket.
#[must_use = "a socket does nothing unless its driver is polled"]
pub struct Driver {
    /// What is logged stands in it.
    span: Span,
    shared: Arc<Shared>,
    core: Core<Token>,
    dialer: Dialer,
    dialing: Option<Dialing>,
    /// Whether the attempt has not been polled yet, and so would wake nobody.
    fresh: bool,
    connection: Option<Connection>,
    /// Whether something was written and not flushed yet.
    dirty: bool,
    parting: Option<Parting>,
    farewells: Vec<Farewell>,
    routes: Routes,
    /// Until the end, with which it ends too.
    status: Option<watch::Sender<Status>>,
    latency: Option<watch::Sender<Option<Duration>>>,
    listeners: Vec<FeedWriter<Telemetry>>,
    /// Those who want every message of the socket.
    raw: Vec<FeedWriter<Envelope>>,
    asks: Asks,
    /// Made at the first poll, since only that is sure to be inside a runtime.
    timer: Option<Pin<Box<Sleep>>>,
    control: Vec<Control>,
    pushes: Vec<Push<Token>>,
    backlog: Backlog,
    finished: bool,
}

/// What may have come while this task was kept from running: until it is read nothing is late.
#[derive(Default)]
struct Backlog {
    last: Instant,
    /// Turns in which there may still be some of it.
    turns: usize,
}

impl Backlog {
    /// Longer than a turn takes, and shorter than any deadline that matters.
    const KEPT: Duration = Duration::from_millis(500);
    const TURNS: usize = 256;

    fn begin(&mut self, now: Instant) {
        if now - self.last >= Backlog::KEPT {
            self.turns = Backlog::TURNS;
        }
        self.last = now;
    }

    /// Whether what is due has to wait for what is to be read.
    fn is_ahead(&mut self, more_to_read: bool) -> bool {
        self.turns = if more_to_read { self.turns.saturating_sub(1) } else { 0 };
        self.turns > 0
    }
}

impl Driver {
    pub(crate) fn new(
        span: Span,
        shared: Arc<Shared>,
        core: Core<Token>,
        dialer: Dialer,
        status: watch::Sender<Status>,
        latency: watch::Sender<Option<Duration>>,
    ) -> Self {
        Driver {
            span,
            timer: None,
            shared,
            core,
            dialer,
            dialing: None,
            fresh: false,
            connection: None,
            dirty: false,
            parting: None,
            farewells: Vec::new(),
            routes: Routes::default(),
            status: Some(status),
            latency: Some(latency),
            listeners: Vec::new(),
            raw: Vec::new(),
            asks: Asks::default(),
            control: Vec::new(),
            pushes: Vec::new(),
            backlog: Backlog::default(),
            finished: false,
        }
    }

    /// One turn; whether there is more to do at once.
    fn turn(&mut self, cx: &mut Context<'_>) -> bool {
        let now = self.shared.now();
        self.backlog.begin(now);
        self.take_control(now, cx);
        self.apply();
        self.poll_asks(now, cx);
        self.poll_dial(now, cx);
        let more_to_read = self.read(now, cx);
        self.part(now, more_to_read, cx);
        // After reading: what has arrived is not late, however long this task was kept from running.
        if !self.backlog.is_ahead(more_to_read) {
            self.core.handle_timeout(now);
        }
        self.apply();
        // What opens only now has not been read yet, and so would wake nobody.
        let opened = self.poll_dial(now, cx);
        self.poll_asks(now, cx);
        self.routes.hand_over();
        let more_to_write = self.write(now, cx);
        self.poll_farewells(cx);
        opened || more_to_read || more_to_write || self.fresh || self.asks.is_fresh()
    }

    fn take_control(&mut self, now: Instant, cx: &mut Context<'_>) {
        let mut control = mem::take(&mut self.control);
        self.shared.lanes.take_control(&mut control, cx.waker());
        self.obey(now, &mut control);
        self.control = control;
    }

    fn obey(&mut self, now: Instant, control: &mut Vec<Control>) {
        for item in control.drain(..) {
            let Some(item) = self.hold(item) else { continue };
            match item {
                Control::Command(command) => {
                    if let Command::Join(Join { channel, params: Some(Params::Ready(_)), .. }) = &command {
                        self.routes.set_params(*channel, None, &self.shared.kept);
                    }
                    self.core.handle_command(now, command);
                }
                Control::JoinWith { params, join } => {
                    self.routes.set_params(join.channel, Some(params), &self.shared.kept);
                    self.core.handle_command(now, Command::Join(join));
                }
                Control::Register { channel, topic, status, presence } => {
                    self.routes.register(channel, topic.clone(), status, presence);
                    self.core.handle_command(now, Command::Register { channel, topic });
                }
                Control::Subscribe { channel, writer } => {
                    // What the commands before it bring about concerns the streams before it.
                    self.apply();
                    self.routes.subscribe(channel, writer);
                }
                Control::Presence { channel, names, seat, listener } => {
                    self.apply();
                    self.routes.watch_presence(channel, names, seat, listener);
                }
                Control::Unsubscribe { channel, event, id } => self.routes.unsubscribe(channel, event.as_deref(), id),
                Control::Joins { channel, feed } => {
                    self.apply();
                    self.routes.watch_joins(channel, feed);
                }
                Control::Messages(feed) => {
                    self.raw.retain(|listener| !listener.is_abandoned());
                    self.raw.push(feed);
                }
                Control::Listen(feed) => {
                    self.apply();
                    // Where nothing happens nothing else would notice those that are gone.
                    if self.listeners.len() == self.listeners.capacity() {
                        self.listeners.retain(|listener| !listener.is_abandoned());
                    }
                    self.listeners.push(feed);
                }
            }
        }
    }

    /// Keeps back what is asked while the connection is wound down, and begins that where it has to be.
    fn hold(&mut self, item: Control) -> Option<Control> {
        if let Some(parting) = &mut self.parting {
            parting.hold(item);
            return None;
        }
        if Parting::is_goodbye(&item)
            && let Some(wind_down) = self.connection.as_mut().and_then(Connection::take_wind_down)
        {
            wind_down.begin();
            self.parting = Some(Parting::new(item));
            return None;
        }
        Some(item)
    }

    /// Does what was kept back, once the connection is wound down.
    fn part(&mut self, now: Instant, more_to_read: bool, cx: &mut Context<'_>) {
        let Some(parting) = &mut self.parting else { return };
        parting.expire(now);
        if self.connection.is_some() && parting.poll(more_to_read, cx).is_pending() {
            return;
        }
        if let Some(parting) = self.parting.take() {
            self.obey(now, &mut parting.into_held());
            self.apply();
        }
    }

    /// Does what the core says.
    fn apply(&mut self) {
        while let Some(output) = self.core.poll() {
            match output {
                Output::Dial => {
                    self.dialing = Some(self.dialer.dial());
                    self.fresh = true;
                }
                Output::Abandon => {
                    self.dialing = None;
                    self.forget_replacement();
                }
                Output::Hangup { last, code, reason } => {
                    self.forget_replacement();
                    match self.connection.take() {
                        Some(connection) => self.farewells.push(Farewell::close(connection, last, code, reason)),
                        None => self.core.handle_hung_up(),
                    }
                }
                Output::Settle(token, outcome) => token.settle(outcome),
                Output::Ask(channel, number) => {
                    if let Some((params, last)) = self.routes.params(channel) {
                        self.asks.ask(channel, number, params, last);
                    }
                }
                Output::Unask(channel) => self.asks.unask(channel),
                Output::Latency(round_trip) => {
                    if let Some(latency) = &self.latency {
                        latency.send_if_modified(|present| std::mem::replace(present, round_trip) != round_trip);
                    }
                }
                Output::JoinSent(channel) => self.routes.join_sent(channel),
                Output::Joined(channel, outcome) => self.routes.joined(channel, &outcome),
                Output::OlderEnded(channel) => self.routes.older_ended(channel),
                Output::Status(status) => {
                    if let Some(present) = &self.status {
                        present.send_replace(status);
                    }
                }
                Output::Channel(channel, status) => self.routes.status(channel, status),
                Output::NotJoined(channel, cause) => self.routes.not_joined(channel, &cause),
                Output::EndStreams(channel) => self.routes.end_streams(channel),
                Output::Forgotten(channel) => self.routes.forget(channel),
                Output::Telemetry(telemetry) => {
                    log::happened(&telemetry);
                    self.listeners.retain(|listener| !listener.is_abandoned());
                    for listener in &self.listeners {
                        listener.push(telemetry.clone(), telemetry.held());
                    }
                }
                Output::Finished => self.finished = true,
            }
        }
    }

    fn poll_asks(&mut self, now: Instant, cx: &mut Context<'_>) {
        while let Some((channel, number, answer)) = self.asks.poll(cx) {
            self.core.handle_params(now, channel, number, answer);
            self.apply();
        }
    }

    /// Whether a connection has opened.
    fn poll_dial(&mut self, now: Instant, cx: &mut Context<'_>) -> bool {
        self.fresh = false;
        let Some(dialing) = &mut self.dialing else { return false };
        let Poll::Ready(outcome) = dialing.as_mut().poll(cx) else {
            self.hear();
            return false;
        };
        self.dialing = None;
        let opened = outcome.is_ok();
        self.hear();
        match outcome {
            Ok(connection) => {
                let Traits { heartbeats, fallback, .. } = connection.traits().clone();
                let transport = connection.transport(self.dialer.transport_name());
                self.connection = Some(connection);
                self.core.handle_open(now, Opening { transport, heartbeats, fallback });
            }
            Err(failure) => self.core.handle_failed(now, failure.cause, failure.stop),
        }
        self.apply();
        opened
    }

    /// It was opened for whoever this was; and it may hold what holds it.
    fn forget_replacement(&self) {
        drop(self.dialer.backchannel().replacement());
    }

    /// What the transport has told.
    fn hear(&mut self) {
        for told in self.dialer.backchannel().told() {
            self.core.handle_told(told);
        }
    }

    /// Reads a turn's worth of frames; whether there may be more.
    fn read(&mut self, now: Instant, cx: &mut Context<'_>) -> bool {
        let (mut frames, mut bytes) = (0, 0);
        while let Some(connection) = &mut self.connection
            && !self.parting.as_ref().is_some_and(|parting| parting.ended)
        {
            if frames >= TURN_FRAMES || bytes >= TURN_BYTES {
                return true;
            }
            let polled = Pin::new(connection).poll_next(cx);
            // By reference: a frame is not moved once more on its way.
            if let Poll::Ready(Some(Ok(frame @ (Frame::Text(content) | Frame::Binary(content))))) = &polled {
                frames += 1;
                bytes += content.len();
                // Whoever caused this frame may first have taken a stream for it, while this turn was under way.
                if self.shared.lanes.has_control() {
                    self.take_control(now, cx);
                    self.apply();
                }
                self.core.handle_frame(now, frame, |channel, message| {
                    if let Some(channel) = channel {
                        self.routes.deliver(channel, message);
                    }
                    if !self.raw.is_empty() {
                        tell_raw(&mut self.raw, message);
                    }
                });
                // What this frame brings about comes before the next one: an end of streams, say.
                if self.core.has_output() {
                    self.apply();
                }
                continue;
            }
            match polled {
                Poll::Ready(Some(Ok(Frame::Close { code, reason }))) => {
                    let connection = self.connection.take();
                    self.farewells.extend(connection.map(Farewell::closed_by_peer));
                    self.lose(now, ConnectError::ClosedByServer { code, reason });
                }
                Poll::Ready(Some(Ok(Frame::Text(_) | Frame::Binary(_)))) => {}
                Poll::Ready(Some(Err(cause))) => self.lose(now, cause),
                Poll::Ready(None) => match &mut self.parting {
                    Some(parting) => parting.ended = true,
                    None => self.lose(now, ConnectError::Ended),
                },
                Poll::Pending => break,
            }
        }
        self.hear();
        false
    }

    /// Takes pushes while there is room, writes while the connection takes it, flushes once; whether there is more.
    fn write(&mut self, now: Instant, cx: &mut Context<'_>) -> bool {
        self.expire_pushes(now);
        for _ in 0..ROUNDS {
            let full = self.core.outgoing_bytes() >= OUT_QUEUE;
            let taken = !full && self.parting.is_none() && self.take_pushes(now);
            let blocked = self.write_frames(now, cx);
            self.apply();
            if blocked || !(taken || full) {
                self.flush(now, cx);
                return false;
            }
        }
        self.flush(now, cx);
        true
    }

    fn take_pushes(&mut self, now: Instant) -> bool {
        let room = OUT_QUEUE.saturating_sub(self.core.outgoing_bytes());
        let (mut control, mut pushes) = (mem::take(&mut self.control), mem::take(&mut self.pushes));
        self.shared.lanes.take_pushes(room, &mut pushes, &mut control);
        let taken = !(control.is_empty() && pushes.is_empty());
        self.obey(now, &mut control);
        for push in pushes.drain(..) {
            self.core.handle_command(now, Command::Push(push));
        }
        (self.control, self.pushes) = (control, pushes);
        taken
    }

    /// Whether the connection takes no more for now.
    fn write_frames(&mut self, now: Instant, cx: &mut Context<'_>) -> bool {
        while self.core.has_outgoing()
            && let Some(connection) = &mut self.connection
        {
            let mut connection = Pin::new(connection);
            match connection.as_mut().poll_ready(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(cause)) => {
                    self.lose(now, cause);
                    return false;
                }
                Poll::Pending => return true,
            }
            let Some(frame) = self.core.poll_transmit(now) else { break };
            self.dirty = true;
            if let Err(cause) = connection.start_send(frame) {
                self.lose(now, cause);
            }
        }
        false
    }

    fn flush(&mut self, now: Instant, cx: &mut Context<'_>) {
        let Some(connection) = self.connection.as_mut().filter(|_| self.dirty) else { return };
        match Pin::new(connection).poll_flush(cx) {
            Poll::Ready(Ok(())) => self.dirty = false,
            Poll::Ready(Err(cause)) => self.lose(now, cause),
            Poll::Pending => {}
        }
    }

    /// A push whose deadline passes in the lane was never sent.
    fn expire_pushes(&mut self, now: Instant) {
        let mut due = mem::take(&mut self.pushes);
        self.shared.lanes.take_due(now, &mut due);
        for push in due.drain(..) {
            let outcome = if push.wants_reply {
                Outcome::Push(Err(PushError::NotSent(NotSent::Timeout)))
            } else {
                Outcome::Cast(Err(CastError::NotSent(NotSent::Timeout)))
            };
            push.token.settle(outcome);
        }
        self.pushes = due;
    }

    fn lose(&mut self, now: Instant, cause: ConnectError) {
        self.hear();
        self.connection = None;
        self.dirty = false;
        self.core.handle_lost(now, cause);
        self.apply();
    }

    fn poll_farewells(&mut self, cx: &mut Context<'_>) {
        let mut counted = 0;
        self.farewells.retain_mut(|farewell| {
            let ended = Pin::new(&mut *farewell).poll(cx).is_ready();
            counted += usize::from(ended && farewell.counted);
            !ended
        });
        for _ in 0..counted {
            self.core.handle_hung_up();
        }
        self.apply();
    }

    /// Sets the timer; whether something is due already.
    fn set_timer(&mut self, cx: &mut Context<'_>) -> bool {
        let held = self.parting.as_ref().and_then(Parting::earliest);
        let deadlines = [self.core.poll_timeout(), self.shared.lanes.earliest(), held];
        let Some(next) = deadlines.into_iter().flatten().min() else { return false };
        let at = self.shared.at(next);
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if timer.deadline() != at {
            timer.as_mut().reset(at);
        }
        timer.as_mut().poll(cx).is_ready()
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let me = &mut *self;
        let span = me.span.clone();
        let _entered = span.enter();
        let more = me.turn(cx);
        me.shared.publish(me.core.holdings(), me.routes.streams());
        if me.finished && me.farewells.is_empty() {
            me.end();
            return Poll::Ready(());
        }
        if me.set_timer(cx) || more {
            // Gives the others their turn first, which waking itself would not.
            let _ = pin!(yield_now()).poll(cx);
        }
        Poll::Pending
    }
}

impl Driver {
    /// Nothing is done any more, whether or not this is dropped: whoever asks is told so, and what was read has ended.
    fn end(&mut self) {
        self.shared.lanes.close();
        self.forget_replacement();
        self.routes = Routes::default();
        self.listeners.clear();
        self.raw.clear();
        self.asks.clear();
        self.latency = None;
        self.status = None;
        self.shared.publish(Holdings::default(), 0);
    }
}

/// Hands a message to those who want all of them.
fn tell_raw(listeners: &mut Vec<FeedWriter<Envelope>>, message: &Incoming<'_>) {
    listeners.retain(|listener| !listener.is_abandoned());
    let Some((last, others)) = listeners.split_last() else { return };
    let envelope = message.to_envelope();
    let bytes = envelope.held();
    others.iter().for_each(|listener| listener.push(envelope.clone(), bytes));
    last.push(envelope, bytes);
}

impl Drop for Driver {
    fn drop(&mut self) {
        let span = self.span.clone();
        let _entered = span.enter();
        if !self.finished {
            self.connection = None;
            self.core.cut(self.shared.now());
            self.apply();
        }
        self.end();
    }
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = self.status.as_ref().map(|status| status.borrow());
        f.debug_struct("Driver").field("status", &status.as_deref()).finish_non_exhaustive()
    }
}
