//! A connection of the second transport, beside which the first is tried again from time to time.

use std::{
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::{Future, FutureExt, Sink, Stream, future::BoxFuture};

use super::{
    Options, Server,
    trial::{Untrusted, trial},
};
use crate::{
    error::ConnectError,
    runtime::{Sleep, sleep},
    telemetry::{SwitchReason, Telemetry},
    transport::{Connection, Dial, Frame, Transport, WindDown},
};

/// How long something may always be sent while a connection is wound down.
const STEADY: Duration = Duration::from_secs(2);
/// How long a connection may take to close; and to bring the answers to what was sent last.
const PATIENCE: Duration = Duration::from_millis(1_500);

pub(super) struct Healing<A> {
    inner: Connection,
    name: &'static str,
    first: Arc<A>,
    dial: Dial,
    options: Options,
    server: Server,
    /// How the socket says that it will hang up.
    goodbye: WindDown,
    stage: Stage,
}

enum Stage {
    Waiting(Pin<Box<Sleep>>),
    Probing(BoxFuture<'static, Result<Connection, Untrusted>>),
    /// The first is healthy. What is under way is read to its end; but where something is always being sent, nothing more
    /// is after a while, and then it ends.
    WindingDown(Pin<Box<Sleep>>, Steady),
    /// The old connection is closed: whether that was said.
    Closing(Pin<Box<Sleep>>, bool),
    /// The socket hangs up: there is nothing to get back to.
    Left,
}

#[derive(PartialEq)]
enum Steady {
    /// Nothing was sent since.
    No,
    Yes,
    /// What is to be sent waits for the new connection.
    Held,
}

impl<A: Transport> Healing<A> {
    /// Puts one of these around a connection of the second.
    pub(super) fn around(
        connection: Connection,
        first: Arc<A>,
        dial: Dial,
        options: Options,
        server: Server,
    ) -> Connection {
        let goodbye = WindDown::default();
        let said = goodbye.clone();
        let name = connection.transport("");
        let stage = Stage::Waiting(Box::pin(sleep(server.track.until_probe(&options))));
        let healing = connection.wrap(|inner| Healing { inner, name, first, dial, options, server, goodbye, stage });
        healing.with_traits(|traits| traits.wind_down = Some(said))
    }

    fn probe(&self) -> Stage {
        self.server.track.probes();
        let (first, renewed) = (self.first.clone(), self.dial.renew());
        let (options, server) = (self.options.clone(), self.server.clone());
        let backchannel = self.dial.socket.backchannel.clone();
        // An answer alone says little of one whose connections died young.
        let died_young = matches!(self.inner.traits().fallback, Some(SwitchReason::ShortLived { .. }));
        let probe = async move {
            let mut dial = renewed.await.map_err(Untrusted::Failed)?;
            let muted = backchannel.muted();
            dial.socket.backchannel = muted.clone();
            let mut answered = trial(&*first, &dial, options.threshold(&dial), true).await?;
            if died_young {
                answered.live(options.young).await?;
            }
            muted.unmute();
            Ok(options.trusted(&*first, &server, &dial, answered))
        };
        Stage::Probing(Box::pin(AssertUnwindSafe(probe).catch_unwind().map(|outcome| {
            outcome.unwrap_or_else(|_| {
                Err(Untrusted::Failed(ConnectError::transport("the transport panicked while dialing")))
            })
        })))
    }

    /// The socket will hang up, and there is nothing to get back to. Whether there is something to wait for.
    fn leave(&mut self) -> bool {
        self.stage = Stage::Left;
        let wind_down = self.inner.traits().wind_down.as_ref();
        wind_down.map(WindDown::begin).is_some()
    }

    /// What is within has handed over a better connection of its own: it is not yet one of the first.
    fn hand_on(&self) {
        let backchannel = &self.dial.socket.backchannel;
        if let Some(connection) = backchannel.replacement() {
            let reason = self.inner.traits().fallback.clone();
            let connection = connection.with_traits(|traits| traits.fallback = reason);
            let (first, dial, options) = (self.first.clone(), self.dial.clone(), self.options.clone());
            backchannel.replace(Healing::around(connection, first, dial, options, self.server.clone()));
        }
    }

    /// Whether the old connection has been given up.
    fn advance(&mut self, cx: &mut Context<'_>) -> bool {
        loop {
            self.stage = match &mut self.stage {
                Stage::Waiting(timer) => match timer.as_mut().poll(cx) {
                    Poll::Ready(()) => self.probe(),
                    Poll::Pending => return false,
                },
                Stage::Probing(probe) => match probe.as_mut().poll(cx) {
                    Poll::Ready(outcome) => self.probed(outcome),
                    Poll::Pending => return false,
                },
                Stage::WindingDown(_, Steady::No) | Stage::Left => return false,
                Stage::WindingDown(timer, steady) => match (timer.as_mut().poll(cx), steady) {
                    (Poll::Pending, _) => return false,
                    (Poll::Ready(()), Steady::Held) => Stage::closing(),
                    (Poll::Ready(()), _) => Stage::WindingDown(Box::pin(sleep(PATIENCE)), Steady::Held),
                },
                Stage::Closing(patience, said) => {
                    let expired = patience.as_mut().poll(cx).is_ready();
                    if !*said && let Poll::Ready(ready) = Pin::new(&mut self.inner).poll_ready(cx) {
                        let close = Frame::Close { code: 1000, reason: "".into() };
                        *said = true;
                        let said = ready.and_then(|()| Pin::new(&mut self.inner).start_send(close));
                        if said.is_err() {
                            return true;
                        }
                    }
                    let flushed = Pin::new(&mut self.inner).poll_flush(cx);
                    return expired || matches!(flushed, Poll::Ready(Err(_)));
                }
            }
        }
    }

    /// Whether what is to be sent waits for the new connection.
    fn holds(&self) -> bool {
        matches!(self.stage, Stage::WindingDown(_, Steady::Held) | Stage::Closing(..))
    }

    fn probed(&mut self, outcome: Result<Connection, Untrusted>) -> Stage {
        let backchannel = &self.dial.socket.backchannel;
        match outcome {
            Ok(connection) => {
                let to = connection.transport(self.first.name());
                self.options.uses(&self.dial, to);
                backchannel.tell(Telemetry::Switched { from: self.name, to, reason: SwitchReason::Healed });
                backchannel.replace(connection);
                match &self.inner.traits().wind_down {
                    Some(wind_down) => {
                        wind_down.begin();
                        Stage::WindingDown(Box::pin(sleep(STEADY)), Steady::No)
                    }
                    None => Stage::closing(),
                }
            }
            Err(untrusted) => {
                let (transport, cause) = (self.first.name(), Arc::new(untrusted.into_cause()));
                backchannel.tell(Telemetry::ProbeFailed { transport, cause });
                Stage::Waiting(Box::pin(sleep(self.server.track.until_probe(&self.options))))
            }
        }
    }
}

impl<A: Transport> Stream for Healing<A> {
    type Item = Result<Frame, ConnectError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let switched = |first: &A| Poll::Ready(Some(Err(ConnectError::Switched { to: first.name() })));
        if self.goodbye.has_begun() && !matches!(self.stage, Stage::Left) && !self.leave() {
            return Poll::Ready(None);
        }
        loop {
            if self.advance(cx) {
                return switched(&self.first);
            }
            let polled = Pin::new(&mut self.inner).poll_next(cx);
            match (&polled, &self.stage) {
                (Poll::Ready(None), Stage::WindingDown(..)) => self.stage = Stage::closing(),
                (
                    Poll::Ready(None | Some(Err(_) | Ok(Frame::Close { .. }))),
                    Stage::WindingDown(..) | Stage::Closing(..),
                ) => {
                    return switched(&self.first);
                }
                (Poll::Ready(Some(Err(ConnectError::Switched { .. }))), _) => {
                    self.hand_on();
                    return polled;
                }
                _ => return polled,
            }
        }
    }
}

impl<A: Transport> Sink<Frame> for Healing<A> {
    type Error = ConnectError;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        // The stream ends soon, and so wakes whoever waits for this.
        if self.holds() { Poll::Pending } else { Pin::new(&mut self.inner).poll_ready(cx) }
    }

    fn start_send(mut self: Pin<&mut Self>, frame: Frame) -> Result<(), ConnectError> {
        if let Frame::Close { .. } = &frame {
            // The socket hangs up, and there is nothing to get back to.
            self.stage = Stage::Left;
        } else if let Stage::WindingDown(_, steady @ Steady::No) = &mut self.stage {
            *steady = Steady::Yes;
        }
        Pin::new(&mut self.inner).start_send(frame)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        self.stage = Stage::Left;
        Pin::new(&mut self.inner).poll_close(cx)
    }
}

impl Stage {
    fn closing() -> Self {
        Stage::Closing(Box::pin(sleep(PATIENCE)), false)
    }
}
