//! A connection that can be wound down is, before it is hung up: what its peer has handed over is read first.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use super::Control;
use crate::{
    core::Command,
    runtime::{Sleep, sleep},
};

/// How long the peer may take to bring it.
const PATIENCE: Duration = Duration::from_millis(1_500);

/// Between the word to hang up and the hanging up. What is asked meanwhile waits, in its order.
pub(super) struct Parting {
    pub(super) held: Vec<Control>,
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

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.ended { Poll::Ready(()) } else { self.patience.as_mut().poll(cx) }
    }
}
