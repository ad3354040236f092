//! A connection that can be wound down is, before it is hung up: what its peer has handed over is read first.

use std::{
    future::Future,
    mem,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use super::{Control, Token};
use crate::{
    core::{Command, Instant, Outcome},
    error::{ConnectError, JoinError, LeaveError, PingError},
    runtime::{self, Sleep, sleep},
};

/// How long the peer may take to bring it.
const PATIENCE: Duration = Duration::from_millis(1_500);

/// Between the word to hang up and the hanging up. What is asked meanwhile waits, in its order.
pub(super) struct Parting {
    held: Vec<Control>,
    /// All has been read.
    pub(super) ended: bool,
    patience: Pin<Box<Sleep>>,
}

impl Parting {
    pub(super) fn new(goodbye: Control) -> Self {
        Parting { held: vec![goodbye], ended: false, patience: Box::pin(sleep(PATIENCE)) }
    }

    /// Whether this ends the connection.
    pub(super) fn is_goodbye(control: &Control) -> bool {
        matches!(control, Control::Command(Command::Disconnect { .. } | Command::Close { .. }))
    }

    pub(super) fn hold(&mut self, control: Control) {
        self.held.push(control);
    }

    /// What was asked, in its order.
    pub(super) fn into_held(self) -> Vec<Control> {
        self.held
    }

    /// When the first of those that wait gives up.
    pub(super) fn earliest(&self) -> Option<Instant> {
        self.held.iter().filter_map(deadline).min()
    }

    /// Whoever has waited for as long as they would is told. What they asked is done all the same, in its order.
    pub(super) fn expire(&mut self, now: Instant) {
        if self.earliest().is_some_and(|earliest| earliest <= now) {
            let is_due = |control: &Control| deadline(control).is_some_and(|deadline| deadline <= now);
            let held = mem::take(&mut self.held).into_iter();
            self.held =
                held.filter_map(|control| if is_due(&control) { give_up(control) } else { Some(control) }).collect();
        }
    }

    /// What has come is read, however long that takes: the peer's time counts from where there was nothing to read.
    pub(super) fn poll(&mut self, more_to_read: bool, cx: &mut Context<'_>) -> Poll<()> {
        if more_to_read {
            self.patience.as_mut().reset(runtime::Instant::now() + PATIENCE);
        }
        if self.ended { Poll::Ready(()) } else { self.patience.as_mut().poll(cx) }
    }
}

/// Until when somebody waits for it.
fn deadline(control: &Control) -> Option<Instant> {
    match control {
        Control::Command(Command::Join(join)) | Control::JoinWith { join, .. } => {
            join.caller.as_ref().map(|(_, deadline)| *deadline)
        }
        Control::Command(
            Command::Connect { token: Some(_), deadline, .. }
            | Command::Leave { token: Some(_), deadline, .. }
            | Command::Ping { deadline, .. },
        ) => Some(*deadline),
        _ => None,
    }
}

/// Tells whoever waits for it that it takes too long. A ping is for those alone; all else stays asked for.
fn give_up(mut control: Control) -> Option<Control> {
    let settle = |token: Option<Token>, outcome| {
        if let Some(token) = token {
            token.settle(outcome);
        }
    };
    match &mut control {
        Control::Command(Command::Join(join)) | Control::JoinWith { join, .. } => {
            settle(join.caller.take().map(|(token, _)| token), Outcome::Join(Err(JoinError::Timeout)));
        }
        Control::Command(Command::Connect { token, .. }) => {
            settle(token.take(), Outcome::Connect(Err(ConnectError::Timeout)));
        }
        Control::Command(Command::Leave { token, .. }) => {
            settle(token.take(), Outcome::Leave(Err(LeaveError::Timeout)));
        }
        _ => {}
    }
    match control {
        Control::Command(Command::Ping { token, .. }) => {
            token.settle(Outcome::Ping(Err(PingError::Timeout)));
            None
        }
        other => Some(other),
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;
    use serde_json::json;

    use super::*;
    use crate::{
        Socket,
        runtime::timeout,
        transport::{
            Connection, Dial, Transport, WindDown,
            memory::{self, Memory},
        },
    };

    /// Its connections can be told to wind down, of which they take no notice.
    struct WindsDown(Memory);

    impl Transport for WindsDown {
        async fn dial(&self, dial: Dial) -> Result<Connection, ConnectError> {
            let connection = self.0.dial(dial).await?;
            Ok(connection.with_traits(|traits| traits.wind_down = Some(WindDown::default())))
        }
    }

    // L-20
    #[tokio::test(start_paused = true)]
    async fn all_that_has_come_is_read_however_long_that_takes() {
        const COUNT: u32 = 10_000;
        let (transport, mut peer) = memory::pair();
        let socket = Socket::builder("ws://memory/socket").transport(WindsDown(transport)).start().unwrap();
        let room = socket.channel("room:1");
        let mut events = room.events_as::<u32>("n");
        room.join(()).detach();
        let mut connection = peer.accept().await;
        let join = connection.recv().await.unwrap();
        connection.reply(&join, "ok", json!({})).await;
        let disconnect = tokio::spawn(socket.disconnect().into_future());
        for n in 0..COUNT {
            connection.broadcast("room:1", "n", json!(n)).await;
        }
        for n in 0..COUNT {
            let event = timeout(PATIENCE, events.next()).await.expect("it is cut off");
            assert_eq!(event.unwrap().unwrap(), n);
            // It is read in turns, each of which takes for ever.
            if n % 100 == 0 {
                tokio::time::advance(PATIENCE).await;
            }
        }
        disconnect.await.unwrap();
    }
}
