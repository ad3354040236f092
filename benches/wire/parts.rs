//! Parts alone, without a network.

use std::{hint::black_box, time::Instant};

use futures::StreamExt;
use phoenix_streams::{
    Envelope, Serializer, Socket, V2, json,
    transport::{Frame, memory},
};

use crate::machine::{Kind, median};

const ROUNDS: usize = 9;
const TIMES: usize = 100_000;

pub(crate) fn run() {
    println!("## parts: alone, without a network\n");
    println!("| | time |");
    println!("|---|--:|");
    let payload = json!({ "n": 1000, "text": "x".repeat(80) });
    let text = format!(r#"[null,null,"room:0","msg",{payload}]"#);
    let frame = Frame::Text(text.into());
    row("V2 decodes a broadcast of 100 B", || V2.decode(frame.clone()).expect("a message"));
    let envelope: Envelope = V2.decode(frame.clone()).expect("a message");
    row("V2 encodes a push of 100 B", || V2.encode(&envelope).expect("a frame"));
    let message = envelope.payload;
    row("its payload becomes a `serde_json::Value`", || message.json::<serde_json::Value>().expect("JSON"));
    let time = median((0..ROUNDS).map(|_| Kind::Current.run(|| stream(frame.clone()))));
    println!("| from a frame in memory to the reader of a stream | {time:.0} ns |");
    let time = median((0..ROUNDS).map(|_| Kind::Current.run(pushes)));
    println!("| a push and its reply, through memory | {time:.0} ns |\n");
}

fn row<T>(name: &str, work: impl Fn() -> T) {
    let time = median((0..ROUNDS).map(|_| {
        let start = Instant::now();
        (0..TIMES).for_each(|_| drop(black_box(work())));
        nanos(start)
    }));
    println!("| {name} | {time:.0} ns |");
}

fn nanos(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() / TIMES as f64 * 1e9
}

/// A socket over memory, its server's end, and a joined channel.
async fn joined() -> (memory::PeerConnection, phoenix_streams::Channel) {
    let (transport, mut peer) = memory::pair();
    let socket = Socket::builder("ws://memory").transport(transport).start().expect("a socket");
    let room = socket.channel("room:0");
    let join = tokio::spawn(room.join(()));
    let mut server = peer.accept().await;
    let asked = server.recv().await.expect("a join");
    server.reply(&asked, "ok", ()).await;
    join.await.expect("a task").expect("a reply");
    // The peer answers no further attempt, and the socket lives as long as its channel.
    (server, room)
}

async fn stream(frame: Frame) -> f64 {
    const AT_ONCE: usize = 1_000;
    let (mut server, room) = joined().await;
    let mut messages = room.events("msg");
    let start = Instant::now();
    for _ in 0..TIMES / AT_ONCE {
        for _ in 0..AT_ONCE {
            server.send(frame.clone()).await;
        }
        for _ in 0..AT_ONCE {
            black_box(messages.next().await.expect("a stream").expect("a message"));
        }
    }
    nanos(start)
}

async fn pushes() -> f64 {
    let (mut server, room) = joined().await;
    let serving = tokio::spawn(async move {
        for _ in 0..TIMES {
            let asked = server.recv().await.expect("a push");
            server.reply(&asked, "ok", ()).await;
        }
        server
    });
    let start = Instant::now();
    for _ in 0..TIMES {
        room.push("echo", ()).await.expect("a reply");
    }
    let time = nanos(start);
    drop(serving.await.expect("a server"));
    time
}
