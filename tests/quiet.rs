//! Where nobody listens to what is logged, nothing is made of it: no text, and not a byte of memory.

use std::{
    error::Error,
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Waker},
    time::Duration,
};

use futures::FutureExt;
use phoenix_streams::{
    Backoff, Channel, ConnectError, Driver, Socket, Status, json,
    transport::{
        Frame,
        memory::{self, PeerConnection},
    },
};

/// An error that must not be put into words.
struct Unspeakable;

impl fmt::Debug for Unspeakable {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("it was put into words")
    }
}

impl fmt::Display for Unspeakable {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("it was put into words")
    }
}

impl Error for Unspeakable {}

// G-5
#[tokio::test(start_paused = true)]
async fn g_5_nothing_is_put_into_words_for_nobody() {
    let (transport, mut peer) = memory::pair();
    let step = Backoff::steps([Duration::from_secs(1)]);
    let builder = Socket::builder("ws://memory/socket").transport(transport).reconnect(step.limit(2));
    let socket = builder.start().unwrap();
    let room = socket.channel("room:1");
    room.join(()).detach();
    peer.fail(ConnectError::transport(Unspeakable)).await;
    peer.accept().await.fail(ConnectError::transport(Unspeakable));
    peer.fail(ConnectError::transport(Unspeakable)).await;
    let stopped = socket.status().wait_for(|status| matches!(status, Status::Stopped { .. })).await;
    assert!(matches!(stopped, Some(Status::Stopped { cause }) if matches!(*cause, ConnectError::Transport(_))));
}

/// A socket whose driver runs when it is told to, with one channel joined.
async fn driven() -> (Driver, Socket, Channel, PeerConnection) {
    let (transport, mut peer) = memory::pair();
    let (socket, mut driver) = Socket::builder("ws://memory/socket").transport(transport).driver().unwrap();
    let mut connect = socket.connect();
    assert!((&mut connect).now_or_never().is_none());
    drive(&mut driver);
    let mut server = peer.accept().await;
    drive(&mut driver);
    let room = socket.channel("room:1");
    room.join(()).detach();
    drive(&mut driver);
    let join = server.recv().await.unwrap();
    server.reply(&join, "ok", ()).await;
    drive(&mut driver);
    assert!(room.status().current().is_joined());
    (driver, socket, room, server)
}

fn drive(driver: &mut Driver) {
    assert!(Pin::new(driver).poll(&mut Context::from_waker(Waker::noop())).is_pending());
}

const MESSAGES: u64 = 1000;

// G-5
#[tokio::test(start_paused = true)]
async fn g_5_what_is_received_takes_no_memory_for_the_log() {
    let (mut driver, _socket, _room, mut server) = driven().await;
    for _ in 0..MESSAGES {
        // To a channel without a stream, and to an earlier join of it.
        server.broadcast("room:1", "shout", json!({ "body": "x".repeat(100) })).await;
        server.send(Frame::Text(r#"["0",null,"room:1","shout",{}]"#.into())).await;
    }
    let taken = allocation_counter::measure(|| drive(&mut driver));
    assert!(taken.count_total < MESSAGES / 10, "{taken:?}");
}

// G-5
#[tokio::test(start_paused = true)]
async fn g_5_what_is_sent_takes_no_memory_for_the_log() {
    const CASTS: u64 = 50;
    // No longer than what a log would show of it.
    const PAYLOAD: u64 = 4_000;
    let (mut driver, _socket, room, mut server) = driven().await;
    let text = "x".repeat(PAYLOAD as usize);
    let mut casts: Vec<_> = (0..CASTS).map(|_| room.cast("shout", json!({ "body": text }))).collect();
    assert!(casts.iter_mut().all(|cast| cast.now_or_never().is_none()));
    let taken = allocation_counter::measure(|| drive(&mut driver));
    assert!(casts.iter_mut().all(|cast| cast.now_or_never().is_some()), "all are written");
    // Once, for the frame.
    assert!(taken.bytes_total < CASTS * PAYLOAD * 3 / 2, "{taken:?}");
    assert_eq!(&*server.recv().await.unwrap().event, "shout");
}

/// Listens to an application at the finest level, and to nothing of ours: `RUST_LOG=app=trace`.
struct Elsewhere;

impl tracing::Subscriber for Elsewhere {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target().starts_with("app")
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, _: &tracing::Event<'_>) {}

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

// G-5: nobody listens to these messages, though somebody does to something.
#[tokio::test(start_paused = true)]
async fn g_5_what_is_received_takes_no_memory_where_somebody_listens_to_something_else() {
    let _listening = tracing::subscriber::set_default(Elsewhere);
    let (mut driver, _socket, _room, mut server) = driven().await;
    for _ in 0..100 {
        server.broadcast("room:1", "shout", json!({ "body": "x".repeat(5_000) })).await;
    }
    let taken = allocation_counter::measure(|| drive(&mut driver));
    assert!(taken.count_total < 10, "{taken:?}");
}
