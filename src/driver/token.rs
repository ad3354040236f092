//! Who waits for the answer to a command.

use std::time::Duration;

use tokio::sync::oneshot::Sender;

use crate::{
    core::Outcome,
    error::{CastError, ConnectError, JoinError, LeaveError, PingError, PushError},
    message::Reply,
};

#[derive(Debug)]
pub(crate) enum Token {
    Connect(Sender<Result<(), ConnectError>>),
    Join(Sender<Result<Reply, JoinError>>),
    Push(Sender<Result<Reply, PushError>>),
    Cast(Sender<Result<(), CastError>>),
    Leave(Sender<Result<(), LeaveError>>),
    Ping(Sender<Result<Duration, PingError>>),
    Done(Sender<()>),
}

impl Token {
    /// Whoever waited may have gone: then nobody is told.
    pub(super) fn settle(self, outcome: Outcome) {
        match (self, outcome) {
            (Token::Connect(caller), Outcome::Connect(how)) => drop(caller.send(how)),
            (Token::Join(caller), Outcome::Join(how)) => drop(caller.send(how)),
            (Token::Push(caller), Outcome::Push(how)) => drop(caller.send(how)),
            (Token::Cast(caller), Outcome::Cast(how)) => drop(caller.send(how)),
            (Token::Leave(caller), Outcome::Leave(how)) => drop(caller.send(how)),
            (Token::Ping(caller), Outcome::Ping(how)) => drop(caller.send(how)),
            (Token::Done(caller), Outcome::Done) => drop(caller.send(())),
            (token, outcome) => unreachable!("{token:?} settled with {outcome:?}"),
        }
    }
}
