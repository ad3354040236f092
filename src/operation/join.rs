//! Joins and leaves.

use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use super::{Answer, deadline, spent};
use crate::{
    channel::Inner,
    core::{self, Command, Params},
    driver::{Control, JoinParams, Token},
    error::{EncodeError, JoinError, LeaveError},
    log,
    message::Reply,
    payload::Payload,
};

/// A join and the server's reply to it: [`Channel::join`](crate::Channel::join).
#[must_use = "a channel is joined when its join is first polled, or detached"]
pub struct Join {
    channel: Arc<Inner>,
    stage: Stage,
}

enum Stage {
    New { params: Given, again: bool, timeout: Option<Duration> },
    Asked { id: u64, answer: Answer<Result<Reply, JoinError>> },
    Done,
}

/// What it is to send.
pub(crate) enum Given {
    /// What was sent last.
    Same,
    Ready(Result<Payload, EncodeError>),
    /// Behind a lock that nobody contends for: the closure need not be `Sync`, and the join is.
    With(Mutex<JoinParams>),
}

impl Join {
    pub(crate) fn new(channel: Arc<Inner>, params: Given, again: bool) -> Self {
        Join { channel, stage: Stage::New { params, again, timeout: None } }
    }

    /// How long to wait for the first outcome, in place of the socket's timeout; behind it the channel stays wanted.
    /// Valid until the first poll.
    pub fn timeout(mut self, new: Duration) -> Self {
        if let Stage::New { timeout, .. } = &mut self.stage {
            *timeout = Some(new);
        }
        self
    }

    /// Declares the channel wanted, now, and waits for nothing. Its outcomes show in
    /// [`status`](crate::Channel::status) and as [`NotJoined`](crate::EventError::NotJoined) in its streams. Params
    /// that do not encode are traced, and the channel is not wanted. It holds nothing: keep a handle or a stream.
    pub fn detach(mut self) {
        if let Stage::New { params, again, .. } = mem::replace(&mut self.stage, Stage::Done)
            && let Err(error) = self.ask(params, None, again)
        {
            log::undeclared(&self.channel.topic, &error);
        }
    }

    fn ask(&self, params: Given, caller: Option<(Token, core::Instant)>, again: bool) -> Result<u64, EncodeError> {
        let shared = self.channel.shared();
        let id = shared.refs.next();
        let join = |params| core::Join { channel: self.channel.id, id, params, caller, again };
        shared.lanes.send(match params {
            Given::Same => Control::Command(Command::Join(join(None))),
            Given::Ready(params) => Control::Command(Command::Join(join(Some(Params::Ready(params?))))),
            Given::With(params) => {
                let params = params.into_inner().unwrap_or_else(PoisonError::into_inner);
                Control::JoinWith { params, join: join(Some(Params::Asked)) }
            }
        });
        Ok(id)
    }
}

impl Future for Join {
    type Output = Result<Reply, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Stage::New { params, again, timeout } = &mut self.stage {
            let (params, again, timeout) = (mem::replace(params, Given::Same), *again, *timeout);
            let (caller, answer) = Answer::channel();
            let deadline = deadline(self.channel.shared(), timeout);
            self.stage = match self.ask(params, Some((Token::Join(caller), deadline)), again) {
                Ok(id) => Stage::Asked { id, answer },
                Err(error) => {
                    self.stage = Stage::Done;
                    return Poll::Ready(Err(error.into()));
                }
            };
        }
        let Stage::Asked { answer, .. } = &mut self.stage else { spent() };
        let outcome = ready!(answer.poll(cx));
        self.stage = Stage::Done;
        Poll::Ready(outcome.unwrap_or(Err(JoinError::Closed)))
    }
}

impl Drop for Join {
    fn drop(&mut self) {
        if let Stage::Asked { id, .. } = self.stage {
            let command = Command::Cancel { channel: Some(self.channel.id), id };
            self.channel.shared().lanes.send(Control::Command(command));
        }
    }
}

impl fmt::Debug for Join {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Join({:?})", self.channel)
    }
}

/// A leave and the server's acknowledgement: [`Channel::leave`](crate::Channel::leave).
#[must_use = "a channel is left when its leave is first polled"]
pub struct Leave {
    channel: Arc<Inner>,
    timeout: Option<Duration>,
    answer: Option<Answer<Result<(), LeaveError>>>,
}

impl Leave {
    pub(crate) fn new(channel: Arc<Inner>) -> Self {
        Leave { channel, timeout: None, answer: None }
    }

    /// How long to wait for the acknowledgement, in place of the socket's timeout. Valid until the first poll.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }
}

impl Future for Leave {
    type Output = Result<(), LeaveError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let me = &mut *self;
        let answer = me.answer.get_or_insert_with(|| {
            let shared = me.channel.shared();
            let (caller, answer) = Answer::channel();
            let (channel, deadline) = (me.channel.id, deadline(shared, me.timeout));
            let command = Command::Leave { channel, token: Some(Token::Leave(caller)), deadline };
            shared.lanes.send(Control::Command(command));
            answer
        });
        answer.poll(cx).map(|outcome| outcome.unwrap_or(Ok(())))
    }
}

impl fmt::Debug for Leave {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Leave({:?})", self.channel)
    }
}
