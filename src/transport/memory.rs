//! Both ends in one process: an application's tests without a network, under a paused clock.
//!
//! [`pair`] gives a [`Memory`] for the socket and a [`Peer`] that plays the server. Nothing happens on the peer's side
//! by itself: it answers each attempt to connect as you say, reads when you say, and replies to what you say. A peer
//! that does nothing is a server that hangs, which is how timeouts are tested.
//!
//! ```
//! use phoenix_streams::{Socket, json, transport::memory};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (transport, mut peer) = memory::pair();
//! let socket = Socket::builder("ws://memory/socket").transport(transport).start()?;
//! let room = socket.channel("room:1");
//! let app = tokio::spawn(async move { room.join(json!({ "nick": "ann" })).await });
//!
//! let mut connection = peer.accept().await;
//! let join = connection.recv().await.expect("the client is there");
//! assert_eq!(&*join.event, "phx_join");
//! connection.reply(&join, "ok", json!({ "motd": "hi" })).await;
//! assert_eq!(app.await??.payload().as_str(), Some(r#"{"motd":"hi"}"#));
//!
//! connection.close(1012);
//! let _again = peer.accept().await;
//! # Ok(())
//! # }
//! ```
//!
//! A `Peer` and a [`PeerConnection`] know only frames and wakers, and no timer: with `tokio::time::pause()` whatever
//! the socket waits for comes at once. What a test does wrong (a payload that does not serialize, say) panics.

mod wire;

use std::{
    future::{Future, pending},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use futures::{
    Sink, SinkExt, Stream, StreamExt,
    channel::{mpsc, oneshot},
};
use http::{HeaderMap, StatusCode};

use super::{Connection, Dial, Frame, Transport};
use crate::{
    core::event,
    error::{ConnectError, Refusal},
    message::Topic,
    payload::{IntoPayload, Payload},
};

/// A transport and its peer, with room for any number of frames between them.
pub fn pair() -> (Memory, Peer) {
    pair_with_capacity(BOUNDLESS)
}

/// A transport and its peer, with room for this many frames (at least one) in each direction of a connection.
///
/// Once the peer has left so many frames unread, the socket can write no more: back-pressure. Likewise what the peer
/// sends then waits for the socket to read.
pub fn pair_with_capacity(frames: usize) -> (Memory, Peer) {
    let (attempts, dialed) = mpsc::unbounded();
    (Memory { attempts, frames: frames.clamp(1, BOUNDLESS) }, Peer { dialed })
}

/// More frames than a test has, and few enough for a channel's counter everywhere.
const BOUNDLESS: usize = 1 << 24;

/// The transport: give it to the builder. Clones, and so several sockets, share one [`Peer`].
///
/// Once the peer is dropped, attempts to connect fail.
#[derive(Clone, Debug)]
pub struct Memory {
    attempts: mpsc::UnboundedSender<Attempt>,
    frames: usize,
}

impl Transport for Memory {
    async fn dial(&self, dial: Dial) -> Result<Connection, ConnectError> {
        let gone = || ConnectError::transport("the peer of this memory transport was dropped");
        let (answer, answered) = oneshot::channel();
        self.attempts.unbounded_send(Attempt { dial, answer, frames: self.frames }).map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }

    fn name(&self) -> &'static str {
        "memory"
    }
}

/// The server's part: answers the attempts to connect, one after the other, for as long as it lives.
///
/// Every method waits for the next attempt that its socket has not given up, and for ever once all sockets are gone.
/// Dropping one of these futures takes nothing away: the attempt is answered by the next call.
#[derive(Debug)]
pub struct Peer {
    dialed: mpsc::UnboundedReceiver<Attempt>,
}

impl Peer {
    /// Accepts the next attempt to connect.
    pub async fn accept(&mut self) -> PeerConnection {
        self.dialed().await.accept()
    }

    /// Refuses the next attempt with this HTTP status, as a server that answers the handshake with an error page.
    /// Headers and a body go by [`fail`](Self::fail) with a [`ConnectError::Refused`].
    pub async fn refuse(&mut self, status: StatusCode) {
        self.dialed().await.refuse(status);
    }

    /// Makes the next attempt fail with this error.
    pub async fn fail(&mut self, error: ConnectError) {
        self.dialed().await.fail(error);
    }

    /// The next attempt, to be looked at and then answered, or kept unanswered.
    pub async fn dialed(&mut self) -> Attempt {
        while let Some(attempt) = self.dialed.next().await {
            if !attempt.answer.is_canceled() {
                return attempt;
            }
        }
        pending().await
    }
}

/// An attempt to connect that waits for its answer. Dropped, it fails.
#[derive(Debug)]
#[must_use = "dropped, the attempt fails"]
pub struct Attempt {
    dial: Dial,
    answer: oneshot::Sender<Result<Connection, ConnectError>>,
    frames: usize,
}

impl Attempt {
    /// What the socket asked for: URL with params, headers, token.
    pub fn dial(&self) -> &Dial {
        &self.dial
    }

    /// Accepts it. Where the socket has given it up meanwhile, the connection has ended already.
    pub fn accept(self) -> PeerConnection {
        // A channel of futures holds one frame more than it is told, for its one sender.
        let (to_peer, from_client) = mpsc::channel(self.frames - 1);
        let (to_client, from_peer) = mpsc::channel(self.frames - 1);
        let (end, ended) = oneshot::channel();
        let connection = Connection::new(ClientEnd { incoming: from_peer, ended, outgoing: to_peer });
        // Not delivered, it is dropped, which ends the connection on this side too.
        let _ = self.answer.send(Ok(connection));
        PeerConnection { dial: self.dial, incoming: from_client, outgoing: to_client, end }
    }

    /// Refuses it with this HTTP status.
    pub fn refuse(self, status: StatusCode) {
        self.fail(ConnectError::Refused(Box::new(Refusal::new(status, HeaderMap::new(), Vec::new()))));
    }

    /// Makes it fail with this error.
    pub fn fail(self, error: ConnectError) {
        // A socket that gave up needs no answer.
        let _ = self.answer.send(Err(error));
    }
}

/// One accepted connection, from the server's side. Dropping it is [`cut`](Self::cut).
#[derive(Debug)]
pub struct PeerConnection {
    dial: Dial,
    incoming: mpsc::Receiver<Frame>,
    outgoing: mpsc::Sender<Frame>,
    end: oneshot::Sender<Result<Frame, ConnectError>>,
}

/// A message of the client, decoded.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// The ref of the join it belongs to; of a join, its own.
    pub join_ref: Option<Arc<str>>,
    /// The ref that a reply repeats.
    pub r#ref: Option<Arc<str>>,
    /// The topic.
    pub topic: Topic,
    /// The event name.
    pub event: Arc<str>,
    /// The payload.
    pub payload: Payload,
}

impl PeerConnection {
    /// What the socket asked for when it connected: URL with params, headers, token.
    pub fn dial(&self) -> &Dial {
        &self.dial
    }

    /// The client's next message of any kind: joins, pushes, leaves and heartbeats. `None` once the client has closed
    /// the connection, with or without a close frame.
    ///
    /// # Panics
    /// A frame that is not of the protocol's version 2: read those of another serializer by
    /// [`recv_frame`](Self::recv_frame).
    ///
    /// # Cancel safety
    /// Dropped, it has taken nothing.
    pub async fn recv(&mut self) -> Option<Incoming> {
        match self.recv_frame().await? {
            Frame::Close { .. } => None,
            frame => Some(wire::decode(frame).unwrap_or_else(|error| panic!("a frame of the client: {error}"))),
        }
    }

    /// The client's next frame as it is, its close frame included. `None` once it has ended the connection.
    ///
    /// # Cancel safety
    /// Dropped, it has taken nothing.
    pub async fn recv_frame(&mut self) -> Option<Frame> {
        self.incoming.next().await
    }

    /// Replies to a push, join, leave or heartbeat.
    ///
    /// # Panics
    /// The payload does not serialize, or is binary and a name has more than 255 bytes.
    pub async fn reply(&mut self, to: &Incoming, status: &str, payload: impl IntoPayload) {
        self.send(wire::reply(to, status, &ready_made(payload))).await;
    }

    /// Pushes to one joined channel: `join` is the `phx_join` it was joined by, or any later message of it.
    ///
    /// # Panics
    /// As [`reply`](Self::reply).
    pub async fn push(&mut self, join: &Incoming, event: &str, payload: impl IntoPayload) {
        self.send(wire::push(join, event, &ready_made(payload))).await;
    }

    /// Broadcasts on a topic, to whichever join of it there is.
    ///
    /// # Panics
    /// As [`reply`](Self::reply).
    pub async fn broadcast(&mut self, topic: &str, event: &str, payload: impl IntoPayload) {
        self.send(wire::broadcast(topic, event, &ready_made(payload))).await;
    }

    /// Crashes a joined channel: `phx_error`, as Phoenix tells it.
    ///
    /// # Panics
    /// The payload does not serialize, or is binary.
    pub async fn error(&mut self, join: &Incoming, payload: impl IntoPayload) {
        self.send(wire::lifecycle(join, event::ERROR, &ready_made(payload))).await;
    }

    /// Closes a joined channel, and not the connection: `phx_close`, as after a leave or `{:stop, :normal, socket}`.
    pub async fn close_channel(&mut self, join: &Incoming) {
        self.send(wire::lifecycle(join, event::CLOSE, &Payload::empty())).await;
    }

    /// Sends a frame as it is, right or wrong. Waits while the client has not read what was sent before, if the
    /// capacity is used up; what a client that is gone would have read is lost.
    ///
    /// # Cancel safety
    /// Dropped while it waits, the frame is not sent.
    pub async fn send(&mut self, frame: Frame) {
        // Not flushed: a channel is flushed only once it has room again, and this frame is where it belongs.
        let _ = self.outgoing.feed(frame).await;
    }

    /// Closes the connection with a close frame of this code, after all that was sent. The answer to a close frame of
    /// the client, or the server's own will.
    pub fn close(self, code: u16) {
        let _ = self.end.send(Ok(Frame::Close { code, reason: Arc::default() }));
    }

    /// Ends the connection without a close frame, after all that was sent: the server is gone.
    pub fn cut(self) {}

    /// Breaks the connection with this error, after all that was sent: the network is gone.
    pub fn fail(self, error: ConnectError) {
        let _ = self.end.send(Err(error));
    }
}

fn ready_made(payload: impl IntoPayload) -> Payload {
    payload.into_payload().unwrap_or_else(|error| panic!("{error}"))
}

/// The client's end, which becomes a [`Connection`].
struct ClientEnd {
    incoming: mpsc::Receiver<Frame>,
    ended: oneshot::Receiver<Result<Frame, ConnectError>>,
    outgoing: mpsc::Sender<Frame>,
}

impl Stream for ClientEnd {
    type Item = Result<Frame, ConnectError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match ready!(self.incoming.poll_next_unpin(cx)) {
            Some(frame) => Poll::Ready(Some(Ok(frame))),
            None => Pin::new(&mut self.ended).poll(cx).map(Result::ok),
        }
    }
}

/// Like a socket whose peer has just gone, it takes what nobody will read: how the connection ended is told once, by
/// the stream.
impl Sink<Frame> for ClientEnd {
    type Error = ConnectError;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        self.outgoing.poll_ready(cx).map(|_| Ok(()))
    }

    fn start_send(mut self: Pin<&mut Self>, frame: Frame) -> Result<(), ConnectError> {
        match self.outgoing.start_send(frame) {
            Err(error) if error.is_full() => Err(ConnectError::transport("a frame sent without room for it")),
            _ => Ok(()),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        self.outgoing.close_channel();
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests;
