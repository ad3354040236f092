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
    runtime::{Sleep, sleep, timeout},
    telemetry::{SwitchReason, Telemetry},
    transport::{Connection, Dial, Frame, Transport, WindDown, sink_through},
};

/// How long a connection that cannot be wound down may take to close.
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
    /// The first is healthy. What is under way is read to its end.
    WindingDown,
    /// The same, where all that can be done is to close: whether that was said.
    Closing(Pin<Box<Sleep>>, bool),
    /// The socket hangs up: there is nothing to get back to.
    Left,
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
        let name = connection.traits().transport.unwrap_or_default();
        let stage = Stage::Waiting(Box::pin(sleep(options.probe)));
        let healing = connection.wrap(|inner| Healing { inner, name, first, dial, options, server, goodbye, stage });
        healing.with_traits(|traits| traits.wind_down = Some(said))
    }

    fn probe(&self) -> Stage {
        let (first, renewed, limit) = (self.first.clone(), self.dial.renew(), self.dial.timeout);
        let (options, server, threshold) =
            (self.options.clone(), self.server.clone(), self.options.threshold(&self.dial));
        // An answer alone says little of one whose connections died young.
        let died_young = matches!(self.inner.traits().fallback, Some(SwitchReason::ShortLived { .. }));
        let probe = async move {
            let renewed = timeout(limit, renewed).await.unwrap_or(Err(ConnectError::Timeout));
            let dial = renewed.map_err(Untrusted::Failed)?;
            let mut answered = trial(&*first, &dial, Some(threshold)).await?;
            if died_young {
                answered.live(options.young).await?;
            }
            Ok(options.trusted(&*first, &server, answered))
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
                Stage::WindingDown | Stage::Left => return false,
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

    fn probed(&mut self, outcome: Result<Connection, Untrusted>) -> Stage {
        let backchannel = &self.dial.socket.backchannel;
        match outcome {
            Ok(connection) => {
                let to = connection.traits().transport.unwrap_or(self.first.name());
                backchannel.tell(Telemetry::Switched { from: self.name, to, reason: SwitchReason::Healed });
                backchannel.replace(connection);
                match &self.inner.traits().wind_down {
                    Some(wind_down) => {
                        wind_down.begin();
                        Stage::WindingDown
                    }
                    None => Stage::Closing(Box::pin(sleep(PATIENCE)), false),
                }
            }
            Err(untrusted) => {
                let (transport, cause) = (self.first.name(), Arc::new(untrusted.into_cause()));
                backchannel.tell(Telemetry::ProbeFailed { transport, cause });
                Stage::Waiting(Box::pin(sleep(self.options.probe)))
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
        if self.advance(cx) {
            return switched(&self.first);
        }
        let polled = Pin::new(&mut self.inner).poll_next(cx);
        let leaving = matches!(self.stage, Stage::WindingDown | Stage::Closing(..));
        match &polled {
            Poll::Ready(None | Some(Err(_) | Ok(Frame::Close { .. }))) if leaving => return switched(&self.first),
            Poll::Ready(Some(Err(ConnectError::Switched { .. }))) => self.hand_on(),
            _ => {}
        }
        polled
    }
}

sink_through!(Healing<A>, A: Transport);
