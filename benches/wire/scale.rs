//! What a message costs among many channels, and for many streams.

use std::{future::Future, net::SocketAddr, time::Instant};

use futures::{StreamExt, TryStreamExt, stream};
use phoenix_streams::{Channel, Events, Socket};

use crate::{
    machine::{Kind, median},
    server::{self, Flood},
};

const ROUNDS: usize = 5;
const MANY: usize = 10_000;

pub(crate) fn run() {
    println!("## scale: the time of one delivery, 100 B, on one thread\n");
    println!("| | time | of the first |");
    println!("|---|--:|--:|");
    let server = server::address();
    let mut first = None;
    let mut row = |name: &str, time: f64| {
        let first = *first.get_or_insert(time);
        println!("| {name} | {time:.0} ns | {:.2} |", time / first);
    };
    row("1 channel", of(|| among(server, 1)));
    row(&format!("1 of {MANY} joined channels"), of(|| among(server, MANY)));
    row(&format!("{MANY} channels in turn, a task each"), of(|| in_turn(server)));
    for streams in [1, 10, 100] {
        row(&format!("{streams} streams of one event"), of(|| shared(server, streams)));
    }
    println!();
}

fn of<F: Future<Output = f64> + Send + 'static>(work: impl Fn() -> F + Send + Sync) -> f64 {
    median((0..ROUNDS).map(|_| Kind::Current.run(&work)))
}

/// So many joined channels.
async fn rooms(server: SocketAddr, count: usize) -> (Socket, Vec<Channel>) {
    let socket = Socket::builder(format!("ws://{server}")).connect().await.expect("a connection");
    let rooms: Vec<_> = (0..count).map(|number| socket.channel(format!("room:{number}"))).collect();
    let joins: Vec<_> = rooms.iter().map(|room| room.join(())).collect();
    stream::iter(joins).buffer_unordered(1_000).try_for_each(async |_| Ok(())).await.expect("joins");
    (socket, rooms)
}

async fn read(mut events: Events, count: usize) {
    for _ in 0..count {
        events.next().await.expect("a stream").expect("a message");
    }
}

/// Nanoseconds a message for one of these.
async fn among(server: SocketAddr, count: usize) -> f64 {
    let flood = Flood::of(100, 500_000);
    let (_socket, rooms) = rooms(server, count).await;
    let events = rooms[0].events("msg");
    let start = Instant::now();
    rooms[0].cast("go", flood).await.expect("a cast");
    read(events, flood.frames).await;
    start.elapsed().as_secs_f64() / flood.frames as f64 * 1e9
}

/// Nanoseconds a message where each is for another channel.
async fn in_turn(server: SocketAddr) -> f64 {
    const EACH: usize = 40;
    let flood = Flood { topics: MANY, ..Flood::of(100, EACH * MANY) };
    let (_socket, rooms) = rooms(server, MANY).await;
    let readers: Vec<_> = rooms.iter().map(|room| tokio::spawn(read(room.events("msg"), EACH))).collect();
    let start = Instant::now();
    rooms[0].cast("go", flood).await.expect("a cast");
    for reader in readers {
        reader.await.expect("a reader");
    }
    start.elapsed().as_secs_f64() / flood.frames as f64 * 1e9
}

/// Nanoseconds a delivery, where so many streams want each message.
async fn shared(server: SocketAddr, streams: usize) -> f64 {
    let flood = Flood::of(100, 500_000 / streams.min(20));
    let (_socket, rooms) = rooms(server, 1).await;
    let readers: Vec<_> = (0..streams).map(|_| tokio::spawn(read(rooms[0].events("msg"), flood.frames))).collect();
    let start = Instant::now();
    rooms[0].cast("go", flood).await.expect("a cast");
    for reader in readers {
        reader.await.expect("a reader");
    }
    start.elapsed().as_secs_f64() / (flood.frames * streams) as f64 * 1e9
}
