//! A live connection, pinned and erased.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use futures::{Sink, Stream};

use super::{ConnectError, Frame, MaybeSend};

/// A live connection: any `Stream` of frames that is also a `Sink` of frames.
///
/// The stream ends, or yields an error, once the connection is gone; a peer's close frame comes as
/// [`Frame::Close`] before that. The sink's `poll_close` ends the connection without a close frame of ours.
pub struct Connection(Pin<Box<dyn Duplex>>);

trait Duplex: Stream<Item = Result<Frame, ConnectError>> + Sink<Frame, Error = ConnectError> + MaybeSend {}

impl<C> Duplex for C where C: Stream<Item = Result<Frame, ConnectError>> + Sink<Frame, Error = ConnectError> + MaybeSend {}

impl Connection {
    /// Wraps what a transport has opened.
    pub fn new<C>(connection: C) -> Self
    where
        C: Stream<Item = Result<Frame, ConnectError>> + Sink<Frame, Error = ConnectError> + MaybeSend + 'static,
    {
        Connection(Box::pin(connection))
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
        self.0.as_mut().poll_next(cx)
    }
}

impl Sink<Frame> for Connection {
    type Error = ConnectError;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        self.0.as_mut().poll_ready(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, frame: Frame) -> Result<(), ConnectError> {
        self.0.as_mut().start_send(frame)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        self.0.as_mut().poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        self.0.as_mut().poll_close(cx)
    }
}
