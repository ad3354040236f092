//! A connection of the first transport: what came before it was trusted, then its own frames; and how it ends.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures::{Sink, Stream};

use super::{Options, Server};
use crate::{
    core::HEARTBEAT_TIMEOUT,
    error::ConnectError,
    runtime::Instant,
    transport::{Backchannel, Connection, Frame},
};

pub(super) struct Trusted {
    inner: Connection,
    early: VecDeque<Frame>,
    since: Instant,
    options: Options,
    server: Server,
    backchannel: Backchannel,
    ended: bool,
}

impl Trusted {
    pub(super) fn new(
        inner: Connection,
        early: VecDeque<Frame>,
        options: &Options,
        server: &Server,
        backchannel: &Backchannel,
    ) -> Self {
        server.track.opens(options, &server.url);
        let (options, server, backchannel) = (options.clone(), server.clone(), backchannel.clone());
        Trusted { inner, early, since: Instant::now(), options, server, backchannel, ended: false }
    }

    /// It dies by this cause; or ends without one, as the protocol has it or because it is not wanted any more.
    fn ends(&mut self, cause: Option<&ConnectError>) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let young = self.since.elapsed() < self.options.young;
        // One that was closed while it was young has shown nothing, but that it could be closed.
        self.server.track.ends(!young);
        self.backchannel.memo(self.options.id, |memo| match cause {
            Some(cause) if young => memo.died_young(cause),
            _ if young => {}
            _ => memo.young = None,
        });
    }
}

impl Stream for Trusted {
    type Item = Result<Frame, ConnectError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(frame) = self.early.pop_front() {
            return Poll::Ready(Some(Ok(frame)));
        }
        let item = ready!(Pin::new(&mut self.inner).poll_next(cx));
        match &item {
            Some(Ok(Frame::Text(_) | Frame::Binary(_))) => {}
            Some(Ok(Frame::Close { .. }) | Err(ConnectError::Switched { .. })) => self.ends(None),
            Some(Err(cause)) => self.ends(Some(cause)),
            None => self.ends(Some(&ConnectError::Ended)),
        }
        Poll::Ready(item)
    }
}

impl Sink<Frame> for Trusted {
    type Error = ConnectError;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Pin::new(&mut self.inner).poll_ready(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, frame: Frame) -> Result<(), ConnectError> {
        if let Frame::Close { reason, .. } = &frame {
            let cause = (&**reason == HEARTBEAT_TIMEOUT).then_some(&ConnectError::HeartbeatTimeout);
            self.ends(cause);
        }
        Pin::new(&mut self.inner).start_send(frame)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        self.ends(None);
        Pin::new(&mut self.inner).poll_close(cx)
    }
}

impl Drop for Trusted {
    fn drop(&mut self) {
        self.ends(None);
    }
}
