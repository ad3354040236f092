//! Round trips: a bare WebSocket, and pushes.

use std::{net::SocketAddr, time::Instant};

use futures::{FutureExt, SinkExt, StreamExt, future::join_all};
use phoenix_streams::Channel;
use serde::Serialize;
use tokio_tungstenite::tungstenite::Message;

use crate::{
    machine::{Kind, median, micros, quantile, rate},
    receive::{dial, join, scan},
    server,
};

pub(crate) const ROUNDS: usize = 9;
pub(crate) const ONE_BY_ONE: usize = 4_000;
pub(crate) const AT_ONCE: usize = 64;
pub(crate) const MANY: usize = 40_000;

#[derive(Clone, Copy, Serialize)]
struct Payload {
    i: usize,
    data: &'static str,
}

const PAYLOAD: Payload = Payload { i: 7, data: "xxxxxxxxxxxxxxxx" };

pub(crate) fn run() {
    println!("## trips: a push and its reply\n");
    println!("| | client on | ours/bare | aim | ours | bare |");
    println!("|---|---|--:|--:|--:|--:|");
    let server = server::address();
    for (kind, place, aim) in
        [(Kind::Beside, "the server's core", "1.00"), (Kind::Current, "a core of its own", "1.10")]
    {
        let (mut bares, mut ourses) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            bares.push(kind.run(|| bare(server)));
            ourses.push(kind.run(|| ours(server)));
        }
        for (name, share, aim) in [("p50", 0.5, format!("<= {aim}")), ("p99", 0.99, String::new())] {
            let of = |rounds: &[Vec<f64>]| median(rounds.iter().map(|round| quantile(round.iter().copied(), share)));
            let (ours, bare) = (of(&ourses), of(&bares));
            println!("| one by one, {name} | {place} | {:.2} | {aim} | {ours:.1} us | {bare:.1} us |", ours / bare);
        }
    }
    for kind in Kind::USUAL {
        let (mut bares, mut ourses) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            bares.push(kind.run(|| bare_at_once(server)));
            ourses.push(kind.run(|| ours_at_once(server)));
        }
        let ratio = median(bares.iter().zip(&ourses).map(|(bare, ours)| ours / bare));
        let [ours, bare] = [ourses, bares].map(|rates| format!("{:.0} k/s", median(rates) / 1e3));
        println!("| {AT_ONCE} at once, a second | {} | {ratio:.2} | >= 0.85 | {ours} | {bare} |", kind.name());
    }
    println!();
}

/// One side, once.
pub(crate) fn alone(is_ours: bool, at_once: bool) {
    let server = server::address();
    match (is_ours, at_once) {
        (true, true) => println!("{:.0} a second", Kind::Current.run(|| ours_at_once(server))),
        (false, true) => println!("{:.0} a second", Kind::Current.run(|| bare_at_once(server))),
        (true, false) => println!("{:.1} us", median(Kind::Current.run(|| ours(server)))),
        (false, false) => println!("{:.1} us", median(Kind::Current.run(|| bare(server)))),
    }
}

pub(crate) fn request(number: usize) -> String {
    let message = ("1", number.to_string(), "room:0", "echo", PAYLOAD);
    serde_json::to_string(&message).expect("JSON")
}

pub(crate) fn check(reply: &str) {
    assert_eq!(scan(reply.as_bytes())[3], b"phx_reply");
}

/// How long each took, in microseconds.
async fn bare(server: SocketAddr) -> Vec<f64> {
    let mut socket = dial(server).await;
    let mut took = Vec::new();
    for number in 0..ONE_BY_ONE {
        let start = Instant::now();
        socket.send(Message::text(request(number))).await.expect("a request");
        check(socket.next().await.expect("a connection").expect("a reply").to_text().expect("text"));
        took.push(micros(start.elapsed()));
    }
    took
}

async fn ours(server: SocketAddr) -> Vec<f64> {
    let (_socket, room) = join(server).await;
    one_by_one(&room).await
}

pub(crate) async fn one_by_one(room: &Channel) -> Vec<f64> {
    let mut took = Vec::new();
    for _ in 0..ONE_BY_ONE {
        let start = Instant::now();
        room.push("echo", PAYLOAD).await.expect("a reply");
        took.push(micros(start.elapsed()));
    }
    took
}

/// How many a second, gathered as well as a loop can: what may be sent is sent in one go, and what has come is read.
async fn bare_at_once(server: SocketAddr) -> f64 {
    let mut socket = dial(server).await;
    let start = Instant::now();
    let (mut sent, mut done) = (0, 0);
    while done < MANY {
        while sent < MANY && sent - done < AT_ONCE {
            socket.feed(Message::text(request(sent))).await.expect("a request");
            sent += 1;
        }
        socket.flush().await.expect("a connection");
        check(socket.next().await.expect("a connection").expect("a reply").to_text().expect("text"));
        done += 1;
        while let Some(Some(reply)) = socket.next().now_or_never() {
            check(reply.expect("a reply").to_text().expect("text"));
            done += 1;
        }
    }
    rate(MANY, start)
}

/// The same by so many callers in one task.
async fn ours_at_once(server: SocketAddr) -> f64 {
    let (_socket, room) = join(server).await;
    at_once(&room).await
}

pub(crate) async fn at_once(room: &Channel) -> f64 {
    let start = Instant::now();
    let callers = (0..AT_ONCE).map(async |_| {
        for _ in 0..MANY / AT_ONCE {
            room.push("echo", PAYLOAD).await.expect("a reply");
        }
    });
    join_all(callers).await;
    rate(MANY, start)
}
