//! A connection of the second transport, beside which the first is tried again from time to time.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::{Future, Sink, Stream, future::BoxFuture};

use super::{
    Options, Server,
    trial::{Answered, Untrusted, trial},
};
use crate::{
    error::ConnectError,
    runtime::{Sleep, sleep},
    telemetry::{SwitchReason, Telemetry},
    transport::{Connection, Dial, Frame, Transport, sink_through},
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
    stage: Stage,
}

enum Stage {
    Waiting(Pin<Box<Sleep>>),
    Probing(BoxFuture<'static, Result<Answered, Untrusted>>),
    /// The first is healthy. What is under way is read to its end.
    WindingDown,
    /// The same, where all that can be done is to close: whether that was said.
    Closing(Pin<Box<Sleep>>, bool),
}

impl<A: Transport> Healing<A> {
    pub(super) fn new(
        inner: Connection,
        name: &'static str,
        first: Arc<A>,
        dial: Dial,
        options: Options,
        server: Server,
    ) -> Self {
        let stage = Stage::Waiting(Box::pin(sleep(options.probe)));
        Healing { inner, name, first, dial, options, server, stage }
    }

    fn probe(&self) -> Stage {
        let (first, renewed, threshold) = (self.first.clone(), self.dial.renew(), self.options.threshold(&self.dial));
        Stage::Probing(Box::pin(async move {
            let dial = renewed.await.map_err(Untrusted::Failed)?;
            trial(&*first, &dial, Some(threshold)).await
        }))
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
                Stage::WindingDown => return false,
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

    fn probed(&mut self, outcome: Result<Answered, Untrusted>) -> Stage {
        let backchannel = &self.dial.socket.backchannel;
        match outcome {
            Ok(answered) => {
                let connection = self.options.trusted(&*self.first, &self.server, answered);
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
        if self.advance(cx) {
            return switched(&self.first);
        }
        let polled = Pin::new(&mut self.inner).poll_next(cx);
        let leaving = matches!(self.stage, Stage::WindingDown | Stage::Closing(..));
        match &polled {
            Poll::Ready(None | Some(Err(_) | Ok(Frame::Close { .. }))) if leaving => switched(&self.first),
            _ => polled,
        }
    }
}

sink_through!(Healing<A>, A: Transport);
