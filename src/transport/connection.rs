//! A live connection, pinned and erased.

use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use futures::{Sink, Stream};

use super::{ConnectError, Frame, MaybeSend};
use crate::telemetry::SwitchReason;

/// What a transport is called that has no name of its own.
pub(super) const UNNAMED: &str = "custom";

/// A live connection: any `Stream` of frames that is also a `Sink` of frames.
///
/// The stream ends, or yields an error, once the connection is gone; a peer's close frame comes as
/// [`Frame::Close`] before that. The sink's `poll_close` ends the connection without a close frame of ours.
pub struct Connection {
    duplex: Pin<Box<dyn Duplex>>,
    traits: Traits,
}

/// What else is known of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Traits {
    /// Whether it takes heartbeats to notice that it hangs.
    pub(crate) heartbeats: bool,
    /// What its transport is called, where that was chosen of several.
    pub(crate) transport: Option<&'static str>,
    /// What the transport is called that opened it, whatever it is wrapped in.
    pub(crate) origin: Option<&'static str>,
    /// Why it is not by the first choice of transports.
    pub(crate) fallback: Option<SwitchReason>,
    /// How it is told to bring what is under way, and then to end.
    pub(crate) wind_down: Option<WindDown>,
}

trait Duplex: Stream<Item = Result<Frame, ConnectError>> + Sink<Frame, Error = ConnectError> + MaybeSend {}

impl<C> Duplex for C where C: Stream<Item = Result<Frame, ConnectError>> + Sink<Frame, Error = ConnectError> + MaybeSend {}

impl Connection {
    /// Wraps what a transport has opened.
    pub fn new<C>(connection: C) -> Self
    where
        C: Stream<Item = Result<Frame, ConnectError>> + Sink<Frame, Error = ConnectError> + MaybeSend + 'static,
    {
        let traits = Traits { heartbeats: true, transport: None, origin: None, fallback: None, wind_down: None };
        Connection { duplex: Box::pin(connection), traits }
    }

    /// A connection that notices by itself when its peer is gone: no heartbeats are sent over it.
    #[must_use]
    pub fn without_heartbeats(mut self) -> Self {
        self.traits.heartbeats = false;
        self
    }

    /// Wraps a connection in another that changes its frames, and stays what it is in all else: what it is called, how
    /// it is ended, whether it takes heartbeats. [`new`](Self::new) around it makes one of which nothing is known.
    #[must_use]
    pub fn wrap<C>(self, wrap: impl FnOnce(Connection) -> C) -> Self
    where
        C: Stream<Item = Result<Frame, ConnectError>> + Sink<Frame, Error = ConnectError> + MaybeSend + 'static,
    {
        let traits = self.traits.clone();
        Connection { duplex: Box::pin(wrap(self)), traits }
    }

    /// What its transport is called: the one that was chosen of several; or by the name that whoever dialed it has; or by
    /// that of whoever opened it.
    pub(crate) fn transport(&self, dialed: &'static str) -> &'static str {
        let named = Some(dialed).filter(|name| *name != UNNAMED);
        self.traits.transport.or(named).or(self.traits.origin).unwrap_or(UNNAMED)
    }

    pub(crate) fn traits(&self) -> &Traits {
        &self.traits
    }

    /// How it is told to wind down, if it can be and was not yet.
    pub(crate) fn take_wind_down(&mut self) -> Option<WindDown> {
        self.traits.wind_down.take()
    }

    pub(crate) fn with_traits(mut self, change: impl FnOnce(&mut Traits)) -> Self {
        change(&mut self.traits);
        self
    }
}

/// Tells a connection to bring what its peer has handed over already, and to ask for no more. It can be written to
/// until its stream ends.
#[derive(Clone, Debug, Default)]
pub(crate) struct WindDown(Arc<AtomicBool>);

impl WindDown {
    pub(crate) fn begin(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connection")
    }
}

impl Stream for Connection {
    type Item = Result<Frame, ConnectError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.duplex.as_mut().poll_next(cx)
    }
}

impl Sink<Frame> for Connection {
    type Error = ConnectError;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        self.duplex.as_mut().poll_ready(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, frame: Frame) -> Result<(), ConnectError> {
        self.duplex.as_mut().start_send(frame)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        self.duplex.as_mut().poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        self.duplex.as_mut().poll_close(cx)
    }
}
