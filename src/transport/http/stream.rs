//! The bytes below HTTP: a connection, whatever it goes through.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes in both directions: TCP, a tunnel, TLS, or these over one another.
pub(crate) type ByteStream = Box<dyn Duplex>;

pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A stream whose peer may never come to an end: of what it sends only so much is read, and others have their turn.
pub(super) struct Bounded {
    pub(super) stream: ByteStream,
    /// How many bytes may still come, and how many came since others had their turn.
    left: usize,
    come: usize,
    turn: usize,
}

impl Bounded {
    /// So many bytes in all, and in one turn.
    pub(super) fn new(stream: ByteStream, bytes: usize, turn: usize) -> Self {
        Bounded { stream, left: bytes, come: 0, turn }
    }
}

impl AsyncRead for Bounded {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.come >= self.turn {
            self.come = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let room = into.remaining().min(self.turn);
        let mut part = ReadBuf::new(into.initialize_unfilled_to(room));
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut part))?;
        let come = part.filled().len();
        into.advance(come);
        self.come += come;
        match self.left.checked_sub(come) {
            Some(left) => {
                self.left = left;
                Poll::Ready(Ok(()))
            }
            None => Poll::Ready(Err(io::Error::other("its answer has no end"))),
        }
    }
}

impl AsyncWrite for Bounded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// The stream with these bytes, read from it already, in front.
pub(super) fn rewound(front: Bytes, stream: ByteStream) -> ByteStream {
    if front.is_empty() { stream } else { Box::new(Rewound { front, stream }) }
}

struct Rewound {
    front: Bytes,
    stream: ByteStream,
}

impl AsyncRead for Rewound {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.front.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, into);
        }
        let count = self.front.len().min(into.remaining());
        into.put_slice(&self.front[..count]);
        self.front.advance(count);
        if self.front.is_empty() {
            // What it was cut from is not kept for as long as the connection lives.
            self.front = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Rewound {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
