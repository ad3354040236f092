//! Pushes and casts.

use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::sync::oneshot;

use super::{Answer, deadline, spent};
use crate::{
    channel::Inner,
    core::{self, ChannelId, Raw, To, event},
    driver::{Shared, Token},
    error::{CastError, EncodeError, NotSent, PushError},
    message::Reply,
    payload::Payload,
    serializer::Envelope,
    socket,
    word::Word,
};

/// A message on its way, and its reply: [`Channel::push`](crate::Channel::push).
///
/// Its one deadline, set at the first poll, covers waiting for the join, for the connection to take it, and for the reply.
#[derive(Debug)]
#[must_use = "a push is sent when it is first polled"]
pub struct Push(Sending<Result<Reply, PushError>>);

/// A message on its way, without a reply: [`Channel::cast`](crate::Channel::cast), or
/// [`Socket::cast`](crate::Socket::cast).
///
/// Its one deadline, set at the first poll, covers waiting for the join and for the connection to take it.
#[derive(Debug)]
#[must_use = "a cast is sent when it is first polled"]
pub struct Cast(Sending<Result<(), CastError>>);

impl Push {
    pub(crate) fn new(channel: Arc<Inner>, event: Word, payload: Result<Payload, EncodeError>) -> Self {
        Push(Sending::new(Target::Channel(channel), event, payload))
    }

    /// How long it may take in all, in place of the socket's timeout. Valid until the first poll.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.0.timeout(timeout);
        self
    }
}

impl Cast {
    pub(crate) fn new(channel: Arc<Inner>, event: Word, payload: Result<Payload, EncodeError>) -> Self {
        Cast(Sending::new(Target::Channel(channel), event, payload))
    }

    pub(crate) fn raw(socket: Arc<socket::Inner>, message: Envelope) -> Self {
        let Envelope { join_ref, r#ref: reference, topic, event, payload } = message;
        let raw = Box::new(Raw { join_ref, reference, topic });
        Cast(Sending::new(Target::Socket(socket, Some(raw)), (&*event).into(), Ok(payload)))
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
pub(crate) trait Outcome: Sized {
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

/// A message on its way.
pub(crate) struct Sending<O> {
    target: Target,
    patient: bool,
    stage: Stage<O>,
}

/// Where it goes, which it holds.
pub(crate) enum Target {
    Channel(Arc<Inner>),
    /// Past all channels; with what stands around it, until it is sent.
    Socket(Arc<socket::Inner>, Option<Box<Raw>>),
}

impl Target {
    fn shared(&self) -> &Arc<Shared> {
        match self {
            Target::Channel(channel) => channel.shared(),
            Target::Socket(socket, _) => &socket.shared,
        }
    }

    fn channel(&self) -> Option<ChannelId> {
        match self {
            Target::Channel(channel) => Some(channel.id),
            Target::Socket(..) => None,
        }
    }
}

enum Stage<O> {
    New { event: Word, payload: Result<Payload, EncodeError>, timeout: Option<Duration> },
    Sent { id: u64, answer: Answer<O> },
    Done,
}

impl<O: Outcome> Sending<O> {
    pub(crate) fn new(target: Target, event: Word, payload: Result<Payload, EncodeError>) -> Self {
        let payload = match (&target, event.name()) {
            (Target::Channel(_), name) if name == *event::JOIN || name == *event::LEAVE => {
                let event = name.as_str();
                Err(EncodeError::new(format!("the event `{event}` belongs to the protocol: use `join` or `leave`")))
            }
            _ => payload,
        };
        Sending { target, patient: false, stage: Stage::New { event, payload, timeout: None } }
    }

    /// As much of it may wait for the join as its sender sends: it bounds that by itself.
    pub(crate) fn patient(channel: Arc<Inner>, event: Word, payload: Payload, timeout: Duration) -> Self {
        let mut sending = Sending::new(Target::Channel(channel), event, Ok(payload));
        sending.patient = true;
        sending.timeout(timeout);
        sending
    }

    pub(crate) fn timeout(&mut self, new: Duration) {
        if let Stage::New { timeout, .. } = &mut self.stage {
            *timeout = Some(new);
        }
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<O> {
        loop {
            // The stage that it is in most often stays where it is.
            if let Stage::Sent { answer, .. } = &mut self.stage {
                let outcome = ready!(answer.poll(cx));
                self.stage = Stage::Done;
                return Poll::Ready(outcome.unwrap_or_else(|| O::not_sent(NotSent::Closed)));
            }
            match mem::replace(&mut self.stage, Stage::Done) {
                Stage::New { payload: Err(error), .. } => return Poll::Ready(O::unencodable(error)),
                Stage::New { event, payload: Ok(payload), timeout } => self.begin(event, payload, timeout),
                Stage::Sent { .. } | Stage::Done => spent(),
            }
        }
    }

    fn begin(&mut self, event: Word, payload: Payload, timeout: Option<Duration>) {
        let to = match &mut self.target {
            Target::Channel(channel) => To::Channel(channel.id),
            Target::Socket(_, raw) => match raw.take() {
                Some(raw) => To::Raw(raw),
                None => spent(),
            },
        };
        let shared = self.target.shared();
        let (caller, answer) = Answer::channel();
        let id = shared.refs.next();
        let push = core::Push {
            to,
            id,
            event,
            payload,
            deadline: deadline(shared, timeout),
            token: O::token(caller),
            wants_reply: O::WANTS_REPLY,
            patient: self.patient,
        };
        shared.lanes.push(push);
        self.stage = Stage::Sent { id, answer };
    }
}

impl<O> Drop for Sending<O> {
    fn drop(&mut self) {
        if let Stage::Sent { id, .. } = &self.stage {
            self.target.shared().lanes.cancel_push(self.target.channel(), *id);
        }
    }
}

impl<O> fmt::Debug for Sending<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match self.stage {
            Stage::New { .. } => "new",
            Stage::Sent { .. } => "sent",
            Stage::Done => "done",
        };
        match &self.target {
            Target::Channel(channel) => write!(f, "{channel:?}, {stage}"),
            Target::Socket(socket, _) => write!(f, "{socket:?}, {stage}"),
        }
    }
}
