//! An open WebSocket: frames out of bytes and into bytes.
//!
//! tungstenite is driven directly rather than through `WebSocketStream`, which registers two wakers for every message.
//! One waker serves both directions: whoever polls the stream also polls the sink.

use std::{
    io::{self, Read, Write},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

use bytes::Bytes;
use futures::{Sink, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::tungstenite::{
    Error, Message, Utf8Bytes,
    error::{CapacityError, ProtocolError},
    protocol::{
        CloseFrame, Role, WebSocket, WebSocketConfig,
        frame::{
            self,
            coding::{CloseCode, Data, OpCode},
        },
    },
};

use crate::{error::ConnectError, serializer::SLICE_FROM, transport::Frame};

/// How much may wait to be written before [`Sink::poll_ready`] holds back.
const MAX_BUFFERED: usize = 128 * 1024;
/// How many pings and pongs are read at once: they are no frames to whoever counts those.
const MAX_CONTROL: usize = 256;
const TEXT: OpCode = OpCode::Data(Data::Text);
/// The most that a frame's header takes.
const HEADER: usize = 14;
/// The most that the reason of a close frame takes.
const MAX_REASON: usize = 123;

pub(super) struct Open<S> {
    socket: WebSocket<Adapter<S>>,
    /// Nothing more is read: a close frame, an error or the end was told.
    ended: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Open<S> {
    pub(super) fn new(io: S, role: Role, config: WebSocketConfig) -> Self {
        let adapter = Adapter { io, waker: Waker::noop().clone(), buffered: 0 };
        Open { socket: WebSocket::from_raw_socket(adapter, role, Some(config)), ended: false }
    }

    fn wake(&mut self, cx: &Context<'_>) {
        let waker = &mut self.socket.get_mut().waker;
        if !waker.will_wake(cx.waker()) {
            waker.clone_from(cx.waker());
        }
    }

    /// Says goodbye to a peer that broke the protocol, as far as that can be written at once (RFC 6455, 7.1.7).
    fn fail(&mut self, error: &Error) {
        let code = match error {
            Error::Capacity(_) => CloseCode::Size,
            Error::Utf8(_) => CloseCode::Invalid,
            Error::Protocol(_) => CloseCode::Protocol,
            _ => return,
        };
        let _ = self.socket.close(Some(CloseFrame { code, reason: Utf8Bytes::default() }));
    }

    fn check_sendable(&self) -> Result<(), ConnectError> {
        if self.ended || !self.socket.can_write() {
            return Err(ConnectError::transport("it is closing, and nothing more can be sent"));
        }
        Ok(())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for Open<S> {
    type Item = Result<Frame, ConnectError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.ended {
            return Poll::Ready(None);
        }
        this.wake(cx);
        for _ in 0..MAX_CONTROL {
            let item = match this.socket.read() {
                Ok(Message::Text(text)) => return Poll::Ready(Some(Ok(Frame::Text(owned(text.into()))))),
                Ok(Message::Binary(bytes)) => return Poll::Ready(Some(Ok(Frame::Binary(owned(bytes))))),
                // The next `read` writes and flushes the pong before it reads on.
                Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => continue,
                Ok(Message::Close(close)) => {
                    let _ = this.socket.flush();
                    Some(Ok(received(close)))
                }
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) if is_end(&error) => None,
                Err(error) => {
                    this.fail(&error);
                    Some(Err(broken(error)))
                }
            };
            this.ended = true;
            return Poll::Ready(item);
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Sink<Frame> for Open<S> {
    type Error = ConnectError;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        self.check_sendable()?;
        if self.socket.get_ref().buffered >= MAX_BUFFERED
            && let Poll::Ready(Err(error)) = self.as_mut().poll_flush(cx)
        {
            return Poll::Ready(Err(error));
        }
        if self.socket.get_ref().buffered < MAX_BUFFERED { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn start_send(self: Pin<&mut Self>, frame: Frame) -> Result<(), ConnectError> {
        let this = self.get_mut();
        this.check_sendable()?;
        let len = frame.len();
        let message = outgoing(frame)?;
        this.socket.get_mut().buffered += len + HEADER;
        match this.socket.write(message) {
            // It is in the buffer then, and goes out with the next write or flush.
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            other => other.map_err(broken),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        let this = self.get_mut();
        this.wake(cx);
        match this.socket.flush() {
            Ok(()) => {
                this.socket.get_mut().buffered = 0;
                Poll::Ready(Ok(()))
            }
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
            Err(error) => Poll::Ready(Err(broken(error))),
        }
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        // What cannot be written any more does not keep the connection from being closed.
        let _ = ready!(self.as_mut().poll_flush(cx));
        Pin::new(&mut self.socket.get_mut().io).poll_shutdown(cx).map_err(ConnectError::transport)
    }
}

/// What may be kept in slices gets a buffer of its own, for all its readers: in the one it was read into a few KiB would
/// keep megabytes, unseen by the bounds of those who hold them. (And a read buffer that lives on has to be made anew.)
fn owned(bytes: Bytes) -> Bytes {
    if bytes.len() < SLICE_FROM { bytes } else { Bytes::copy_from_slice(&bytes) }
}

fn received(close: Option<CloseFrame>) -> Frame {
    match close {
        Some(close) => Frame::Close { code: close.code.into(), reason: Arc::from(close.reason.as_str()) },
        None => Frame::Close { code: CloseCode::Status.into(), reason: Arc::from("") },
    }
}

fn outgoing(frame: Frame) -> Result<Message, ConnectError> {
    Ok(match frame {
        // ASCII is seen to be text sooner than it is taken for a string.
        Frame::Text(text) if text.is_ascii() => Message::Frame(frame::Frame::message(text, TEXT, true)),
        Frame::Text(text) => Message::Text(text.try_into().map_err(ConnectError::transport)?),
        Frame::Binary(bytes) => Message::Binary(bytes),
        Frame::Close { code, reason } => match CloseCode::from(code) {
            CloseCode::Status => Message::Close(None),
            code if code.is_allowed() => Message::Close(Some(CloseFrame { code, reason: shortened(&reason).into() })),
            code => return Err(ConnectError::transport(format!("{code} is no close code that can be sent"))),
        },
    })
}

/// As much of a reason as a close frame can hold.
fn shortened(reason: &str) -> &str {
    let mut end = reason.len().min(MAX_REASON);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    &reason[..end]
}

/// Whether this is merely the end of the connection, clean or not; a peer may leave without TLS's own goodbye.
fn is_end(error: &Error) -> bool {
    match error {
        Error::ConnectionClosed | Error::AlreadyClosed => true,
        Error::Protocol(error) => *error == ProtocolError::ResetWithoutClosingHandshake,
        Error::Io(error) => error.kind() == io::ErrorKind::UnexpectedEof,
        _ => false,
    }
}

fn broken(error: Error) -> ConnectError {
    match error {
        Error::Io(error) => ConnectError::transport(error),
        Error::Capacity(CapacityError::MessageTooLong { size, max_size }) => {
            ConnectError::transport(format!("a message of {size} bytes came, and the limit is {max_size}"))
        }
        other => ConnectError::transport(other.to_string()),
    }
}

/// What tungstenite reads from and writes to. What would wait is `WouldBlock` instead, and wakes the task later.
struct Adapter<S> {
    io: S,
    waker: Waker,
    /// At most this much waits in tungstenite to be written.
    buffered: usize,
}

impl<S: AsyncRead + Unpin> Read for Adapter<S> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut buf = ReadBuf::new(buf);
        match Pin::new(&mut self.io).poll_read(&mut Context::from_waker(&self.waker), &mut buf) {
            Poll::Ready(result) => result.map(|()| buf.filled().len()),
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

impl<S: AsyncWrite + Unpin> Write for Adapter<S> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match Pin::new(&mut self.io).poll_write(&mut Context::from_waker(&self.waker), buf) {
            Poll::Ready(result) => result.inspect(|written| self.buffered = self.buffered.saturating_sub(*written)),
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match Pin::new(&mut self.io).poll_flush(&mut Context::from_waker(&self.waker)) {
            Poll::Ready(result) => result,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}
