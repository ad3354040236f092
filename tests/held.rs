//! What one message keeps alive.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Waker},
};

use futures::{FutureExt, StreamExt};
use phoenix_streams::{Socket, json, transport::memory};

// T-32: a small message of a catch-all stream keeps the names of all that came with it, which are the server's to choose.
#[tokio::test(start_paused = true)]
async fn t_32_a_small_message_keeps_nothing_large_of_its_neighbours() {
    let (transport, mut peer) = memory::pair();
    let (socket, mut driver) = Socket::builder("ws://memory/socket").transport(transport).driver().unwrap();
    let mut drive = || assert!(Pin::new(&mut driver).poll(&mut Context::from_waker(Waker::noop())).is_pending());
    let mut connect = socket.connect();
    assert!((&mut connect).now_or_never().is_none());
    drive();
    let mut server = peer.accept().await;
    drive();
    let room = socket.channel("room:1");
    let mut all = room.messages();
    room.join(()).detach();
    drive();
    let join = server.recv().await.unwrap();
    server.reply(&join, "ok", ()).await;
    drive();
    server.broadcast("room:1", "small", json!(1)).await;
    server.broadcast("room:1", &"x".repeat(60 << 10), json!(2)).await;
    server.broadcast("room:1", &"y".repeat(60 << 10), json!(3)).await;
    drive();
    let small = all.next().await.unwrap().unwrap();
    assert_eq!(small.event(), "small");
    for _ in 0..2 {
        all.next().await.unwrap().unwrap();
    }
    // The stream lets go of what it gave out.
    assert!(all.next().now_or_never().is_none());
    let kept = allocation_counter::measure(|| drop(small));
    assert!(kept.bytes_current.abs() < 10_000, "a message of one byte kept {} bytes", -kept.bytes_current);
}
