//! The operations: futures that do nothing until polled, take builder steps until then, and own all they need.

mod connection;
mod join;
mod ping;
mod push;

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::sync::oneshot;

pub use self::{
    connection::{Close, Connect, Connecting, Disconnect},
    join::{Join, Leave},
    ping::Ping,
    push::{Cast, Push},
};
pub(crate) use self::{join::Given, push::Sending};
use crate::{
    core::{Command, Instant},
    driver::{Control, Shared, Token},
    socket::Inner,
};

/// The answer to a command, once it was given.
#[derive(Debug)]
struct Answer<T>(oneshot::Receiver<T>);

impl<T> Answer<T> {
    fn channel() -> (oneshot::Sender<T>, Self) {
        let (sender, receiver) = oneshot::channel();
        (sender, Answer(receiver))
    }

    /// `None` where the driver has ended.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        Pin::new(&mut self.0).poll(cx).map(Result::ok)
    }
}

/// A question to a socket, taken back when nobody waits for its answer any more.
struct Asked<T> {
    socket: Arc<Inner>,
    id: u64,
    answer: Answer<T>,
}

impl<T> Asked<T> {
    fn new(socket: &Arc<Inner>, question: impl FnOnce(u64, oneshot::Sender<T>) -> Command<Token>) -> Self {
        let (caller, answer) = Answer::channel();
        let id = socket.shared.refs.next();
        socket.shared.lanes.send(Control::Command(question(id, caller)));
        Asked { socket: socket.clone(), id, answer }
    }
}

impl<T> Drop for Asked<T> {
    fn drop(&mut self) {
        self.socket.shared.lanes.send(Control::Command(Command::Cancel { channel: None, id: self.id }));
    }
}

/// The deadline of an operation that begins now.
fn deadline(shared: &Shared, timeout: Option<Duration>) -> Instant {
    shared.now() + timeout.unwrap_or(shared.timeout)
}

/// Polled again after it was ready, which no executor does.
#[cold]
fn spent() -> ! {
    panic!("an operation was polled after it had finished")
}
