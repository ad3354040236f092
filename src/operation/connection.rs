//! Connecting, disconnecting, closing.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use super::{Answer, Asked};
use crate::{
    builder::Builder,
    core::Command,
    driver::{Control, Token},
    error::{BuildError, ConnectError},
    socket::{Inner, Socket},
};

/// How long a connect waits for its first success.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until the socket is connected: [`Socket::connect`].
#[must_use = "a socket is connected when its connect is first polled"]
pub struct Connecting {
    socket: Arc<Inner>,
    patience: Duration,
    asked: Option<Asked<Result<(), ConnectError>>>,
}

impl Connecting {
    pub(crate) fn new(socket: Arc<Inner>) -> Self {
        Connecting { socket, patience: PATIENCE, asked: None }
    }

    /// How long to wait for the first success, in place of 30 s. Valid until the first poll.
    pub fn timeout(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }
}

impl Future for Connecting {
    type Output = Result<(), ConnectError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let me = &mut *self;
        let asked = me.asked.get_or_insert_with(|| {
            let deadline = me.socket.shared.now() + me.patience;
            Asked::new(&me.socket, |id, caller| Command::Connect { id, token: Some(Token::Connect(caller)), deadline })
        });
        asked.answer.poll(cx).map(|outcome| outcome.unwrap_or(Err(ConnectError::Closed)))
    }
}

impl fmt::Debug for Connecting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connecting({:?})", self.socket)
    }
}

/// Builds a socket and waits until it is connected: [`Builder::connect`].
///
/// # Cancel safety
/// Not polled, nothing happens. Dropped before it is ready, the socket is closed.
#[must_use = "a socket connects when this is polled"]
pub struct Connect(Stage);

enum Stage {
    New(Box<Builder>, Duration),
    Connecting(Socket, Connecting),
    Done,
}

impl Connect {
    pub(crate) fn new(builder: Builder) -> Self {
        Connect(Stage::New(Box::new(builder), PATIENCE))
    }

    /// How long to wait for the first success, in place of 30 s. Valid until the first poll.
    pub fn timeout(mut self, new: Duration) -> Self {
        if let Stage::New(_, patience) = &mut self.0 {
            *patience = new;
        }
        self
    }
}

impl Future for Connect {
    type Output = Result<Socket, ConnectError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Stage::New(..) = self.0 {
            let Stage::New(builder, patience) = std::mem::replace(&mut self.0, Stage::Done) else { super::spent() };
            let socket = builder.idle().map_err(|error: BuildError| ConnectError::Build(error))?;
            let connecting = socket.connect().timeout(patience);
            self.0 = Stage::Connecting(socket, connecting);
        }
        let Stage::Connecting(socket, connecting) = &mut self.0 else { super::spent() };
        let outcome = ready!(Pin::new(connecting).poll(cx)).map(|()| socket.clone());
        self.0 = Stage::Done;
        Poll::Ready(outcome)
    }
}

impl fmt::Debug for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connect")
    }
}

/// Disconnects: [`Socket::disconnect`].
#[derive(Debug)]
#[must_use = "a socket disconnects when this is first polled"]
pub struct Disconnect {
    socket: Arc<Inner>,
    code: u16,
    reason: Arc<str>,
    answer: Option<Answer<()>>,
}

impl Disconnect {
    pub(crate) fn new(socket: Arc<Inner>) -> Self {
        Disconnect { socket, code: 1000, reason: "".into(), answer: None }
    }

    /// The close code, in place of 1000. One that no close frame may carry (of a WebSocket: all but 1000 to 1003, 1007
    /// to 1014 and 3000 to 4999) is left out. Valid until the first poll.
    pub fn code(self, code: u16) -> Self {
        Disconnect { code, ..self }
    }

    /// The close reason, of which at most 123 bytes are sent. Valid until the first poll.
    pub fn reason(self, reason: impl AsRef<str>) -> Self {
        let reason = reason.as_ref();
        let end = (0..=reason.len().min(123)).rev().find(|end| reason.is_char_boundary(*end)).unwrap_or(0);
        Disconnect { reason: reason[..end].into(), ..self }
    }
}

impl Future for Disconnect {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let me = &mut *self;
        let answer = me.answer.get_or_insert_with(|| {
            let (caller, answer) = Answer::channel();
            let token = Some(Token::Done(caller));
            let command = Command::Disconnect { code: me.code, reason: me.reason.clone(), token };
            me.socket.shared.lanes.send(Control::Command(command));
            answer
        });
        answer.poll(cx).map(|_| ())
    }
}

/// Closes for good: [`Socket::close`].
#[derive(Debug)]
#[must_use = "a socket closes when this is first polled"]
pub struct Close {
    socket: Arc<Inner>,
    answer: Option<Answer<()>>,
}

impl Close {
    pub(crate) fn new(socket: Arc<Inner>) -> Self {
        Close { socket, answer: None }
    }
}

impl Future for Close {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let me = &mut *self;
        let answer = me.answer.get_or_insert_with(|| {
            let (caller, answer) = Answer::channel();
            let command = Command::Close { token: Some(Token::Done(caller)) };
            me.socket.shared.lanes.send(Control::Command(command));
            answer
        });
        answer.poll(cx).map(|_| ())
    }
}
