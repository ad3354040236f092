//! Messages a second: a bare WebSocket loop, and an event stream.

use std::{hint::black_box, net::SocketAddr, thread, time::Instant};

use futures::{SinkExt, StreamExt};
use phoenix_streams::{Channel, Socket};
use tokio::net::TcpStream;
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite::Message};

use crate::{
    machine::{Kind, median, rate},
    server::{self, Flood},
};

const ROUNDS: usize = 9;

pub(crate) fn run() {
    println!("## receive: messages a second, one stream\n");
    println!("| payload | runtime | ours/bare | aim | ours | bare | the server alone |");
    println!("|--:|---|--:|--:|--:|--:|--:|");
    let server = server::address();
    for (size, frames) in [(16, 700_000), (100, 600_000), (1 << 10, 200_000), (16 << 10, 20_000)] {
        let flood = Flood::of(size, frames);
        for kind in Kind::USUAL {
            let alone = thread::spawn(move || server::raw_rate(server, flood)).join().expect("a rate");
            let (mut bares, mut ourses) = (Vec::new(), Vec::new());
            for _ in 0..ROUNDS {
                bares.push(kind.run(|| bare(server, flood)));
                ourses.push(kind.run(|| ours(server, flood)));
            }
            let ratio = median(bares.iter().zip(&ourses).map(|(bare, ours)| ours / bare));
            let aim = match (size, kind) {
                (100, Kind::Current) => "0.90",
                (100, _) => "0.75",
                _ => "",
            };
            let (ours, bare) = (median(ourses), median(bares));
            let [ours, bare, alone] = [ours, bare, alone].map(|rate| format!("{:.2} M/s", rate / 1e6));
            println!("| {size} B | {} | {ratio:.2} | {aim} | {ours} | {bare} | {alone} |", kind.name());
        }
    }
    println!();
}

/// One side, once.
pub(crate) fn alone(is_ours: bool, flood: Flood) {
    let server = server::address();
    let rate = match is_ours {
        true => Kind::Current.run(|| ours(server, flood)),
        false => Kind::Current.run(|| bare(server, flood)),
    };
    println!("{rate:.0} messages a second");
}

/// tokio-tungstenite as it comes.
pub(crate) async fn dial(server: SocketAddr) -> WebSocketStream<TcpStream> {
    let stream = TcpStream::connect(server).await.expect("the server");
    stream.set_nodelay(true).expect("a socket");
    client_async(format!("ws://{server}/"), stream).await.expect("a handshake").0
}

/// Reads, scans each header, and allocates nothing of its own.
pub(crate) async fn bare(server: SocketAddr, flood: Flood) -> f64 {
    let mut socket = dial(server).await;
    let start = Instant::now();
    socket.send(Message::text(server::go(flood))).await.expect("the word to go");
    let (mut seen, mut bytes) = (0, 0);
    while seen < flood.frames {
        if let Message::Text(text) = socket.next().await.expect("a flood").expect("a frame") {
            bytes += black_box(&scan(text.as_bytes()))[4].len();
            seen += 1;
        }
    }
    assert_eq!(bytes, flood.frames * flood.size);
    rate(seen, start)
}

/// Join ref, ref, topic, event and payload, as a careful loop would find them.
pub(crate) fn scan(text: &[u8]) -> [&[u8]; 5] {
    let blank = |mut at: usize| {
        while matches!(text[at], b' ' | b'\n' | b'\r' | b'\t') {
            at += 1;
        }
        at
    };
    let mut at = blank(0);
    assert_eq!(text[at], b'[');
    let mut found = [&text[..0]; 5];
    for name in &mut found[..4] {
        at = blank(at + 1);
        if text[at] == b'"' {
            let start = at + 1;
            let mut end = start;
            loop {
                end += memchr::memchr2(b'"', b'\\', &text[end..]).expect("the end of a string");
                if text[end] == b'"' {
                    break;
                }
                end += 2;
            }
            *name = &text[start..end];
            at = end + 1;
        } else {
            assert!(text[at..].starts_with(b"null"));
            at += 4;
        }
        at = blank(at);
        assert_eq!(text[at], b',');
    }
    let payload = text[at + 1..].trim_ascii().strip_suffix(b"]").expect("the end of an array");
    found[4] = payload.trim_ascii_end();
    found
}

/// A socket with one joined channel.
pub(crate) async fn join(server: SocketAddr) -> (Socket, Channel) {
    let socket = Socket::builder(format!("ws://{server}")).connect().await.expect("a connection");
    let room = socket.channel("room:0");
    room.join(()).await.expect("a join");
    (socket, room)
}

pub(crate) async fn ours(server: SocketAddr, flood: Flood) -> f64 {
    let (_socket, room) = join(server).await;
    read(&room, flood).await
}

/// Has this channel flooded.
pub(crate) async fn read(room: &Channel, flood: Flood) -> f64 {
    let mut messages = room.events("msg");
    let start = Instant::now();
    let go = tokio::spawn(room.cast("go", flood));
    let (mut seen, mut bytes) = (0, 0);
    while seen < flood.frames {
        // Any loss is an error, and ends this.
        let message = messages.next().await.expect("a stream").expect("a message");
        bytes += black_box(&message).payload().as_bytes().len();
        seen += 1;
    }
    assert_eq!(bytes, flood.frames * flood.size);
    go.await.expect("a task").expect("a cast");
    rate(seen, start)
}
