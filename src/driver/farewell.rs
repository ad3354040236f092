//! A connection on its way out: flushed, closed, and waited for, each for a bounded time.

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures::{Sink, Stream};

use crate::{
    runtime::{Sleep, sleep},
    transport::{Connection, Frame},
};

/// For the flush of what was accepted, and again for the peer's close frame.
const PATIENCE: Duration = Duration::from_millis(1_500);

/// Stands for a close frame without a code.
const NO_CODE: u16 = 1005;

/// Ends in at most three seconds.
pub(super) struct Farewell {
    connection: Connection,
    frames: VecDeque<Frame>,
    stage: Stage,
    patience: Pin<Box<Sleep>>,
    /// The peer has closed, or the connection has ended: it is not read again.
    ended: bool,
    /// Whether the core waits for its end.
    pub(super) counted: bool,
}

#[derive(PartialEq, Eq)]
enum Stage {
    Writing,
    Closing,
}

impl Farewell {
    /// Flushes these frames, then closes.
    pub(super) fn close(connection: Connection, last: Vec<Frame>, code: u16, reason: Arc<str>) -> Self {
        let mut frames = VecDeque::from(last);
        frames.push_back(Frame::Close { code, reason });
        Farewell {
            connection,
            frames,
            stage: Stage::Writing,
            patience: Box::pin(sleep(PATIENCE)),
            ended: false,
            counted: true,
        }
    }

    /// The peer has closed: its close frame is answered, and nobody waits for it.
    pub(super) fn closed_by_peer(connection: Connection) -> Self {
        Farewell {
            connection,
            frames: VecDeque::new(),
            stage: Stage::Writing,
            patience: Box::pin(sleep(PATIENCE)),
            ended: false,
            counted: false,
        }
    }

    fn write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ()>> {
        while !self.frames.is_empty() {
            ready!(Pin::new(&mut self.connection).poll_ready(cx)).map_err(drop)?;
            if let Some(frame) = self.frames.pop_front() {
                let closing = matches!(frame, Frame::Close { .. });
                let mut sent = Pin::new(&mut self.connection).start_send(frame);
                if closing && sent.is_err() {
                    // A code that cannot be sent: the goodbye goes without one, behind all that was accepted.
                    let bare = Frame::Close { code: NO_CODE, reason: "".into() };
                    sent = Pin::new(&mut self.connection).start_send(bare);
                }
                sent.map_err(drop)?;
            }
        }
        Pin::new(&mut self.connection).poll_flush(cx).map_err(drop)
    }

    /// Reads what still comes, so that the peer is not kept from answering; whether the end was reached.
    fn drain(&mut self, cx: &mut Context<'_>) -> bool {
        const AT_ONCE: usize = 256;
        for _ in 0..AT_ONCE {
            match Pin::new(&mut self.connection).poll_next(cx) {
                Poll::Ready(Some(Ok(Frame::Close { .. })) | Some(Err(_)) | None) => return true,
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Pending => return false,
            }
        }
        cx.waker().wake_by_ref();
        false
    }
}

impl Future for Farewell {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.ended = self.ended || self.drain(cx);
        if self.stage == Stage::Writing {
            match self.write(cx) {
                Poll::Ready(Ok(())) => {
                    self.stage = Stage::Closing;
                    self.patience.set(sleep(PATIENCE));
                }
                Poll::Ready(Err(())) => return Poll::Ready(()),
                Poll::Pending => {}
            }
        }
        if self.ended && self.stage == Stage::Closing {
            // The answer to a close frame may still be on its way out.
            let _ = Pin::new(&mut self.connection).poll_flush(cx);
            return Poll::Ready(());
        }
        if self.patience.as_mut().poll(cx).is_ready() {
            return self.give_up(cx);
        }
        Poll::Pending
    }
}

impl Farewell {
    /// A peer that does not read gets its close frame tried once all the same. One that has ended is not waited for.
    fn give_up(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.stage == Stage::Closing {
            return Poll::Ready(());
        }
        self.stage = Stage::Closing;
        self.patience.set(sleep(PATIENCE));
        let close = self.frames.pop_back();
        self.frames.clear();
        self.frames.extend(close);
        let _ = self.write(cx);
        if self.ended { Poll::Ready(()) } else { self.patience.as_mut().poll(cx) }
    }
}
