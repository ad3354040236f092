//! Pushes and casts.

use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::sync::oneshot;

use super::{Answer, deadline, spent};
use crate::{
    channel::Inner,
    core::{self, event},
    driver::Token,
    error::{CastError, EncodeError, NotSent, PushError},
    message::Reply,
    payload::Payload,
};

/// A message on its way, and its reply: [`Channel::push`](crate::Channel::push).
///
/// Its one deadline, set at the first poll, covers waiting for room, for the join and for the reply.
#[derive(Debug)]
#[must_use = "a push is sent when it is first polled"]
pub struct Push(Sending<Result<Reply, PushError>>);

/// A message on its way, without a reply: [`Channel::cast`](crate::Channel::cast).
///
/// Its one deadline, set at the first poll, covers waiting for room, for the join and for the connection.
#[derive(Debug)]
#[must_use = "a cast is sent when it is first polled"]
pub struct Cast(Sending<Result<(), CastError>>);

impl Push {
    pub(crate) fn new(channel: Arc<Inner>, event: Arc<str>, payload: Result<Payload, EncodeError>) -> Self {
        Push(Sending::new(channel, event, payload))
    }

    /// How long it may take in all, in place of the socket's timeout. Valid until the first poll.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.0.timeout(timeout);
        self
    }
}

impl Cast {
    pub(crate) fn new(channel: Arc<Inner>, event: Arc<str>, payload: Result<Payload, EncodeError>) -> Self {
        Cast(Sending::new(channel, event, payload))
    }

    /// How long it may take in all, in place of the socket's timeout. Valid until the first poll.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.0.timeout(timeout);
        self
    }
}

impl Future for Push {
    type Output = Result<Reply, PushError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll(cx)
    }
}

impl Future for Cast {
    type Output = Result<(), CastError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll(cx)
    }
}

/// How a push and a cast differ.
trait Outcome: Sized {
    const WANTS_REPLY: bool;
    fn token(caller: oneshot::Sender<Self>) -> Token;
    fn not_sent(why: NotSent) -> Self;
    fn unencodable(error: EncodeError) -> Self;
}

impl Outcome for Result<Reply, PushError> {
    const WANTS_REPLY: bool = true;

    fn token(caller: oneshot::Sender<Self>) -> Token {
        Token::Push(caller)
    }

    fn not_sent(why: NotSent) -> Self {
        Err(PushError::NotSent(why))
    }

    fn unencodable(error: EncodeError) -> Self {
        Err(PushError::Encode(error))
    }
}

impl Outcome for Result<(), CastError> {
    const WANTS_REPLY: bool = false;

    fn token(caller: oneshot::Sender<Self>) -> Token {
        Token::Cast(caller)
    }

    fn not_sent(why: NotSent) -> Self {
        Err(CastError::NotSent(why))
    }

    fn unencodable(error: EncodeError) -> Self {
        Err(CastError::Encode(error))
    }
}

struct Sending<O> {
    channel: Arc<Inner>,
    stage: Stage<O>,
}

enum Stage<O> {
    New {
        event: Arc<str>,
        payload: Result<Payload, EncodeError>,
        timeout: Option<Duration>,
    },
    /// The lane is full: the push waits for room, and for its deadline.
    Room {
        push: Box<core::Push<Token>>,
        answer: Answer<O>,
    },
    Sent {
        id: u64,
        answer: Answer<O>,
    },
    Done,
}

impl<O: Outcome> Sending<O> {
    fn new(channel: Arc<Inner>, event: Arc<str>, payload: Result<Payload, EncodeError>) -> Self {
        let payload = match &*event {
            event::JOIN | event::LEAVE => {
                Err(EncodeError::new(format!("the event `{event}` belongs to the protocol: use `join` or `leave`")))
            }
            _ => payload,
        };
        Sending { channel, stage: Stage::New { event, payload, timeout: None } }
    }

    fn timeout(&mut self, new: Duration) {
        if let Stage::New { timeout, .. } = &mut self.stage {
            *timeout = Some(new);
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<O> {
        loop {
            match mem::replace(&mut self.stage, Stage::Done) {
                Stage::New { payload: Err(error), .. } => return Poll::Ready(O::unencodable(error)),
                Stage::New { event, payload: Ok(payload), timeout } => self.begin(event, payload, timeout, cx),
                Stage::Room { push, answer } => {
                    if self.channel.shared().now() >= push.deadline {
                        self.channel.shared().lanes.leave_room(push.id);
                        return Poll::Ready(O::not_sent(NotSent::Timeout));
                    }
                    let id = push.id;
                    match self.channel.shared().lanes.poll_push(*push, cx) {
                        Ok(()) => self.stage = Stage::Sent { id, answer },
                        Err(push) => {
                            self.stage = Stage::Room { push, answer };
                            return Poll::Pending;
                        }
                    }
                }
                Stage::Sent { id, mut answer } => {
                    let outcome = match answer.poll(cx) {
                        Poll::Ready(outcome) => outcome,
                        Poll::Pending => {
                            self.stage = Stage::Sent { id, answer };
                            return Poll::Pending;
                        }
                    };
                    return Poll::Ready(outcome.unwrap_or_else(|| O::not_sent(NotSent::Closed)));
                }
                Stage::Done => spent(),
            }
        }
    }

    fn begin(&mut self, event: Arc<str>, payload: Payload, timeout: Option<Duration>, cx: &mut Context<'_>) {
        let shared = self.channel.shared();
        let (caller, answer) = Answer::channel();
        let id = shared.refs.next();
        let push = core::Push {
            channel: self.channel.id,
            id,
            event,
            payload,
            deadline: deadline(shared, timeout),
            token: O::token(caller),
            wants_reply: O::WANTS_REPLY,
        };
        self.stage = match shared.lanes.poll_push(push, cx) {
            Ok(()) => Stage::Sent { id, answer },
            Err(push) => Stage::Room { push, answer },
        };
    }
}

impl<O> Drop for Sending<O> {
    fn drop(&mut self) {
        match &self.stage {
            Stage::Room { push, .. } => self.channel.shared().lanes.leave_room(push.id),
            Stage::Sent { id, .. } => self.channel.shared().lanes.cancel_push(self.channel.id, *id),
            Stage::New { .. } | Stage::Done => {}
        }
    }
}

impl<O> fmt::Debug for Sending<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match self.stage {
            Stage::New { .. } => "new",
            Stage::Room { .. } => "waiting for room",
            Stage::Sent { .. } => "sent",
            Stage::Done => "done",
        };
        write!(f, "{:?}, {stage}", self.channel)
    }
}
