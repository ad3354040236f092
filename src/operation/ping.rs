//! Pings.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use super::{Asked, deadline};
use crate::{core::Command, driver::Token, error::PingError, socket::Inner};

/// A heartbeat of one's own, and how long its answer took: [`Socket::ping`](crate::Socket::ping).
#[must_use = "a ping is sent when it is first polled"]
pub struct Ping {
    socket: Arc<Inner>,
    timeout: Option<Duration>,
    asked: Option<Asked<Result<Duration, PingError>>>,
}

impl Ping {
    pub(crate) fn new(socket: Arc<Inner>) -> Self {
        Ping { socket, timeout: None, asked: None }
    }

    /// How long to wait for the answer, in place of the socket's timeout. Valid until the first poll.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }
}

impl Future for Ping {
    type Output = Result<Duration, PingError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let me = &mut *self;
        let asked = me.asked.get_or_insert_with(|| {
            let deadline = deadline(&me.socket.shared, me.timeout);
            Asked::new(&me.socket, |id, caller| Command::Ping { id, token: Token::Ping(caller), deadline })
        });
        asked.answer.poll(cx).map(|outcome| outcome.unwrap_or(Err(PingError::NotConnected)))
    }
}

impl fmt::Debug for Ping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ping({:?})", self.socket)
    }
}
