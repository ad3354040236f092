//! Over long-poll: a bare loop of reqwest, and ours.

use std::{hint::black_box, net::SocketAddr, pin::pin, thread, time::Instant};

use futures::future::{Fuse, FusedFuture, FutureExt};
use phoenix_streams::{Channel, LongPoll, Socket};
use reqwest::Client;
use serde::Deserialize;

use crate::{
    machine::{Kind, median, micros, quantile, rate},
    receive::{read, scan},
    server::{self, Flood},
    session,
    trips::{AT_ONCE, MANY, ONE_BY_ONE, ROUNDS, at_once, check, one_by_one, request},
};

pub(crate) fn run() {
    println!("## polls: over long-poll, the server with many messages ready\n");
    println!("| | runtime | ours/bare | aim | ours | bare | the server alone |");
    println!("|---|---|--:|--:|--:|--:|--:|");
    let server = session::address();
    for (size, answers) in [(100, 600), (1 << 10, 1_500)] {
        let flood = flood(size, answers);
        for kind in Kind::USUAL {
            let alone = thread::spawn(move || session::raw_rate(server, flood)).join().expect("a rate");
            let rates = in_turn(|| (kind.run(|| bare(server, flood)), kind.run(|| ours(server, flood))));
            row(&format!("messages of {size} B a second"), kind, rates, alone);
        }
    }
    for kind in Kind::USUAL {
        let alone = thread::spawn(move || session::raw_trips(server, AT_ONCE, MANY)).join().expect("a rate");
        let rates = in_turn(|| (kind.run(|| bare_at_once(server)), kind.run(|| ours_at_once(server))));
        row(&format!("pushes with replies a second, {AT_ONCE} at once"), kind, rates, alone);
    }
    let p50 = |took: Vec<f64>| quantile(took, 0.5);
    let kind = Kind::Current;
    let (bares, ourses) = in_turn(|| (p50(kind.run(|| bare_trips(server))), p50(kind.run(|| ours_trips(server)))));
    let ratio = median(bares.iter().zip(&ourses).map(|(bare, ours)| ours / bare));
    let [ours, bare] = [ourses, bares].map(|times| format!("{:.1} us", median(times)));
    println!(
        "| a push and its reply, one by one, p50 | {} | {ratio:.2} | <= 1.25 | {ours} | {bare} | |\n",
        kind.name()
    );
}

/// So many answers full of messages.
pub(crate) fn flood(size: usize, answers: usize) -> Flood {
    Flood::of(size, answers * session::at_once(size))
}

fn in_turn(both: impl Fn() -> (f64, f64)) -> (Vec<f64>, Vec<f64>) {
    (0..ROUNDS).map(|_| both()).unzip()
}

fn row(name: &str, kind: Kind, (bares, ourses): (Vec<f64>, Vec<f64>), alone: f64) {
    let ratio = median(bares.iter().zip(&ourses).map(|(bare, ours)| ours / bare));
    let [ours, bare, alone] = [median(ourses), median(bares), alone].map(|rate| format!("{:.0} k", rate / 1e3));
    println!("| {name} | {} | {ratio:.2} | >= 0.80 | {ours} | {bare} | {alone} |", kind.name());
}

/// One side, once.
pub(crate) fn alone(is_ours: bool, flood: Option<Flood>) {
    let server = session::address();
    let rate = match (is_ours, flood) {
        (true, Some(flood)) => Kind::Current.run(|| ours(server, flood)),
        (false, Some(flood)) => Kind::Current.run(|| bare(server, flood)),
        (true, None) => Kind::Current.run(|| ours_at_once(server)),
        (false, None) => Kind::Current.run(|| bare_at_once(server)),
    };
    println!("{rate:.0} a second");
}

/// A session by reqwest as it comes.
struct Bare {
    client: Client,
    url: String,
    token: String,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    messages: Vec<String>,
}

impl Bare {
    async fn open(server: SocketAddr) -> Self {
        let client = Client::builder().no_proxy().build().expect("a client");
        let url = format!("http://{server}/longpoll?vsn=2.0.0");
        let opened = client.get(&url).send().await.expect("a server").bytes().await.expect("an answer");
        let token = serde_json::from_slice::<Answer>(&opened).expect("JSON").token.expect("a token");
        Bare { client, url: format!("{url}&token={token}"), token }
    }

    async fn poll(&self) -> Vec<String> {
        let asked = self.client.get(&self.url).header("x-phoenix-longpoll-token", &self.token);
        let answer = asked.send().await.expect("a server").bytes().await.expect("an answer");
        serde_json::from_slice::<Answer>(&answer).expect("JSON").messages
    }

    async fn post(&self, lines: String) {
        let posted = self.client.post(&self.url).header("x-phoenix-longpoll-token", &self.token);
        let posted = posted.header("content-type", "application/x-ndjson").body(lines);
        let answer = posted.send().await.expect("a server").bytes().await.expect("an answer");
        serde_json::from_slice::<Answer>(&answer).expect("JSON");
    }
}

/// Reads, and scans each header.
async fn bare(server: SocketAddr, flood: Flood) -> f64 {
    let bare = Bare::open(server).await;
    let start = Instant::now();
    bare.post(server::go(flood)).await;
    let (mut seen, mut bytes) = (0, 0);
    while seen < flood.frames {
        for message in bare.poll().await {
            bytes += black_box(&scan(message.as_bytes()))[4].len();
            seen += 1;
        }
    }
    assert_eq!(bytes, flood.frames * flood.size);
    rate(seen, start)
}

/// Each in a request of its own, while a poll waits.
async fn bare_trips(server: SocketAddr) -> Vec<f64> {
    let bare = Bare::open(server).await;
    let mut took = Vec::new();
    for number in 0..ONE_BY_ONE {
        let start = Instant::now();
        let polled = async {
            let replies = bare.poll().await;
            replies.iter().for_each(|reply| check(reply));
            micros(start.elapsed())
        };
        took.push(tokio::join!(polled, bare.post(request(number))).0);
    }
    took
}

/// Whatever may be sent goes into the next request, and a poll waits all the while.
async fn bare_at_once(server: SocketAddr) -> f64 {
    const LINES: usize = 100;
    let bare = Bare::open(server).await;
    let start = Instant::now();
    let (mut sent, mut done) = (0, 0);
    let (mut poll, mut post) = (pin!(bare.poll()), pin!(Fuse::terminated()));
    while done < MANY {
        let more = (MANY - sent).min(AT_ONCE - (sent - done)).min(LINES);
        if more > 0 && post.is_terminated() {
            let lines: Vec<_> = (sent..sent + more).map(request).collect();
            post.set(bare.post(lines.join("\n")).fuse());
            sent += more;
        }
        tokio::select! {
            replies = &mut poll => {
                replies.iter().for_each(|reply| check(reply));
                done += replies.len();
                poll.set(bare.poll());
            }
            () = &mut post => {}
        }
    }
    rate(MANY, start)
}

/// A socket with one joined channel.
async fn join(server: SocketAddr) -> (Socket, Channel) {
    let builder = Socket::builder(format!("ws://{server}")).transport(LongPoll::default());
    let socket = builder.connect().await.expect("a connection");
    let room = socket.channel("room:0");
    room.join(()).await.expect("a join");
    (socket, room)
}

async fn ours(server: SocketAddr, flood: Flood) -> f64 {
    let (_socket, room) = join(server).await;
    read(&room, flood).await
}

async fn ours_trips(server: SocketAddr) -> Vec<f64> {
    let (_socket, room) = join(server).await;
    one_by_one(&room).await
}

async fn ours_at_once(server: SocketAddr) -> f64 {
    let (_socket, room) = join(server).await;
    at_once(&room).await
}
