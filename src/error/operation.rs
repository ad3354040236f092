//! Errors of the operations on a channel.

use std::sync::Arc;

use super::{ConnectError, DecodeError, EncodeError, Source};
use crate::message::{Message, Reply};

/// Items of a stream that were dropped because its reader was too slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} items were lost: the reader was too slow")]
pub struct Lagged(pub u64);

/// Why a join did not succeed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// The server refused the join. The channel stops, unless the rejoin policy says otherwise; a later `join` tries
    /// again.
    #[error("the server refused the join: {}", .0.payload())]
    Refused(Reply),
    /// The server's channel crashed in `join/3`. The channel stays wanted and rejoins by its backoff, unless the rejoin
    /// policy says otherwise.
    #[error("the server's channel crashed while joining: {}", .0.payload())]
    Crashed(Reply),
    /// Not joined in time, for want of a connection or of an answer. The channel stays wanted, and joins when it can.
    #[error(
        "the join did not come through in time (the socket's status says whether it is connected); the channel stays wanted"
    )]
    Timeout,
    /// The rejoin attempts are used up, or the rejoin policy allows no more. The channel stops; a later `join` tries
    /// again.
    #[error("the channel makes no more attempts to join by itself")]
    GaveUp,
    /// The channel was left meanwhile.
    #[error("the channel was left")]
    Left,
    /// The server closed the channel, or the socket was closed for good.
    #[error("the channel was closed")]
    Closed,
    /// The socket has stopped trying, for this cause.
    #[error("the socket has stopped: {0}")]
    Stopped(#[source] Arc<ConnectError>),
    /// The params could not be encoded.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The connection was lost before the join was answered. Only in [`joins`](crate::Channel::joins): whoever awaits a
    /// join waits for the next.
    #[error("the connection was lost before the join was answered")]
    Disconnected,
    /// Your [`join_with`](crate::Channel::join_with) closure failed. The channel stays wanted and asks again by its
    /// backoff, unless the closure said [`Stop`](crate::Stop).
    #[error("a params closure failed: {0}")]
    Provider(#[source] Source),
    /// This many outcomes were lost here, because the stream was not read fast enough. Only in
    /// [`joins`](crate::Channel::joins).
    #[error("{0} outcomes of joins were lost: the stream was not read fast enough")]
    Lagged(u64),
    /// The reply was not what you decode it to; for functions of one `?` chain.
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

/// Why a push has no reply.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum PushError {
    /// The server replied with status `error`.
    #[error("the server rejected the push: {}", .0.payload())]
    Rejected(Reply),
    /// It was sent, and no reply came in time. Delivery is unknown.
    #[error("the push was sent but not answered in time")]
    Timeout,
    /// It was sent, and the connection or channel was lost before a reply. Delivery is unknown.
    #[error("the connection or channel was lost after the push was sent")]
    Disconnected,
    /// It was never sent; trying again is safe.
    #[error("the push was not sent: {0}")]
    NotSent(NotSent),
    /// The payload could not be encoded; nothing was sent.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The reply was not what you decode it to; for functions of one `?` chain.
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

impl PushError {
    /// Whether the server certainly has not seen the push, so that sending it again cannot send it twice.
    pub fn is_not_sent(&self) -> bool {
        matches!(self, PushError::NotSent(_) | PushError::Encode(_))
    }
}

/// Why a ping has no answer.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum PingError {
    /// The socket was not connected; nothing was sent.
    #[error("the socket is not connected")]
    NotConnected,
    /// The connection was lost, or closed by this side, before the answer.
    #[error("the connection ended before the ping was answered")]
    Disconnected,
    /// No answer came in time.
    #[error("the ping was not answered in time")]
    Timeout,
    /// The serializer cannot encode a heartbeat.
    #[error(transparent)]
    Encode(EncodeError),
}

/// Why something was never sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotSent {
    /// Too much already waits for the channel to join.
    #[error("too many pushes already wait for the join")]
    BufferFull,
    /// The channel was never joined, or its join was refused or given up.
    #[error("the channel is not joined, and will not be before another `join`")]
    NotJoined,
    /// The channel was left.
    #[error("the channel was left")]
    Left,
    /// The server closed the channel, the socket was closed for good, or the sink was closed.
    #[error("the channel, the socket or the sink was closed")]
    Closed,
    /// It waited for the connection or the join until its deadline.
    #[error("its deadline passed while it waited for the connection or the join")]
    Timeout,
}

/// Why a cast was not written.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum CastError {
    /// It was never sent; trying again is safe.
    #[error("the cast was not sent: {0}")]
    NotSent(NotSent),
    /// The socket was disconnected or closed while it was on its way. It is written if the connection still takes it;
    /// delivery is unknown.
    #[error("the socket was disconnected while the cast was on its way")]
    Disconnected,
    /// The payload could not be encoded; nothing was sent.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

impl CastError {
    /// Whether it certainly was not sent, so that sending it again cannot send it twice.
    pub fn is_not_sent(&self) -> bool {
        matches!(self, CastError::NotSent(_) | CastError::Encode(_))
    }
}

/// For functions that both push and cast, of one `?` chain.
impl From<CastError> for PushError {
    fn from(error: CastError) -> Self {
        match error {
            CastError::NotSent(why) => PushError::NotSent(why),
            CastError::Disconnected => PushError::Disconnected,
            CastError::Encode(error) => PushError::Encode(error),
        }
    }
}

/// Why a leave was not acknowledged. The channel is closed on this side in any case.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum LeaveError {
    /// The server did not acknowledge in time.
    #[error("the leave was not acknowledged in time; the channel is closed on this side")]
    Timeout,
    /// The connection was lost before the acknowledgement, which ends the channel too.
    #[error("the connection was lost before the leave was acknowledged; the channel is closed")]
    Disconnected,
}

/// Something to tell in a stream of events. None of these ends the stream.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum EventError {
    /// This many messages were dropped here, because the stream was not read fast enough.
    #[error("{0} messages were lost: the stream was not read fast enough")]
    Lagged(u64),
    /// The channel is not joined and will not be by itself. The stream stays, for a later `join`.
    #[error("{0}")]
    NotJoined(NotJoined),
    /// An event that the enum of a [`messages_as`](crate::Channel::messages_as) stream has no variant for.
    #[error("the event `{}` is unknown", .0.event())]
    Unknown(Message),
    /// A payload that does not decode to the stream's type.
    #[error("a payload of `{}` does not decode: {}", .message.event(), .source.why())]
    Decode {
        /// The message, for another try.
        message: Message,
        /// What was wrong.
        #[source]
        source: DecodeError,
    },
}

/// Why a channel is not joined, and what follows where the
/// [rejoin policy](crate::Builder::rejoin_policy) does not say otherwise.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum NotJoined {
    /// The connection was lost. The channel rejoins when it is back.
    #[error("the connection was lost: {0}")]
    ConnectionLost(#[source] Arc<ConnectError>),
    /// The server's channel crashed, with this payload (or this answer to the join). It rejoins by its backoff.
    #[error("the server's channel crashed: {0}")]
    Crashed(crate::Payload),
    /// The server refused the join. The channel stops until the next `join`.
    #[error("the server refused the join: {}", .0.payload())]
    Refused(Reply),
    /// The server did not answer the join in time. The channel rejoins by its backoff.
    #[error("the join was not answered in time")]
    TimedOut,
    /// The server no longer knows the channel, as its answer to a push said. It rejoins by its backoff.
    #[error("the server does not know the channel any more")]
    UnmatchedTopic,
    /// The join cannot be encoded. The channel stops until the next `join`.
    #[error(transparent)]
    Unsendable(EncodeError),
    /// The `join_with` closure failed. It is asked again by the backoff; one that said [`Stop`](crate::Stop) stops the
    /// channel until the next `join`.
    #[error("a params closure failed: {0}")]
    Provider(#[source] Source),
    /// The rejoin attempts are used up. The channel stops until the next `join`.
    #[error("the rejoin attempts are used up")]
    GaveUp,
    /// The socket has stopped trying. The channel rejoins after the next `connect`.
    #[error("the socket has stopped: {0}")]
    Stopped(#[source] Arc<ConnectError>),
}
