//! What all of these tests begin with.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use futures::FutureExt;
use phoenix_streams::{
    Builder, Channel, ChannelStatus, Socket, Status, Transport,
    transport::memory::{self, Incoming, Peer, PeerConnection},
};
use tokio::time::timeout;

/// A builder whose jitter is the same in every run.
pub(crate) fn builder(transport: impl Transport) -> Builder {
    Socket::builder("ws://memory/socket").transport(transport).seed(7)
}

pub(crate) async fn connected() -> (Socket, Peer, PeerConnection) {
    connected_by(|builder| builder).await
}

pub(crate) async fn connected_by(describe: impl FnOnce(Builder) -> Builder) -> (Socket, Peer, PeerConnection) {
    let (transport, mut peer) = memory::pair();
    let socket = describe(builder(transport)).start().unwrap();
    let server = peer.accept().await;
    until(&socket, Status::is_connected).await;
    (socket, peer, server)
}

/// The channel of this topic, joined, and the `phx_join` that the server saw.
pub(crate) async fn joined(socket: &Socket, server: &mut PeerConnection, topic: &str) -> (Channel, Incoming) {
    let room = socket.channel(topic);
    let join = accept_join(&room, server).await;
    (room, join)
}

/// Joins by way of a detached join, which holds nothing.
pub(crate) async fn accept_join(room: &Channel, server: &mut PeerConnection) -> Incoming {
    room.join(()).detach();
    let join = server.recv().await.unwrap();
    assert_eq!(&*join.event, "phx_join");
    server.reply(&join, "ok", ()).await;
    room.status().wait_for(ChannelStatus::is_joined).await.unwrap();
    join
}

pub(crate) async fn until(socket: &Socket, wanted: impl FnMut(&Status) -> bool) -> Status {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    let mut status = socket.status();
    timeout(DAY, status.wait_for(wanted)).await.expect("it never comes to that").expect("the socket has ended")
}

/// Lets every task do what it can without the clock moving.
pub(crate) async fn settle() {
    for _ in 0..32 {
        tokio::task::yield_now().await;
    }
}

/// The client's next message with this event name; what comes before it is passed over.
pub(crate) async fn recv_event(server: &mut PeerConnection, event: &str) -> Incoming {
    loop {
        let message = server.recv().await.unwrap_or_else(|| panic!("the client has closed, without a {event}"));
        if &*message.event == event {
            return message;
        }
    }
}

/// What the client has sent up to now and the server has not read, by event name. `close` stands for its end.
pub(crate) async fn sent(server: &mut PeerConnection) -> Vec<String> {
    settle().await;
    let mut events = Vec::new();
    while let Some(message) = server.recv().now_or_never() {
        let Some(message) = message else {
            events.push("close".to_owned());
            break;
        };
        events.push(message.event.to_string());
    }
    events
}

/// Polls once, woken by nobody.
pub(crate) fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}
