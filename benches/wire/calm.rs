//! What a flood does to the rest of the program, and to its memory.

use std::{future::Future, net::SocketAddr, pin::Pin, time::Duration};

use futures::StreamExt;
use phoenix_streams::{EventError, Socket};
use tokio::{
    runtime::Builder,
    time::{Instant, MissedTickBehavior, interval},
};

use crate::{
    machine::{Kind, fresh, micros, quantile, resident},
    receive::{bare, join, ours},
    server::{self, Flood},
};

const ROUNDS: usize = 5;
/// What the stalled stream may hold.
const BOUND: usize = 64 << 20;
/// One message of so many is kept.
const KEPT: usize = 1_000;

const FLOOD: Flood = Flood::of(100, 1_500_000);

pub(crate) fn run() {
    println!("## calm: under a flood of messages of 100 B, on one thread\n");
    println!("| | figure | aim |");
    println!("|---|--:|--:|");
    let server = server::address();
    // Of the calmest round: whatever else the machine does only adds to it.
    let lateness = |flood: fn(SocketAddr, Flood) -> Work| {
        quantile((0..ROUNDS).map(|_| Kind::Current.run(|| latest(flood(server, FLOOD)))), 0.0)
    };
    let (ours, bare) = (
        lateness(|server, flood| Box::pin(async move { ours(server, flood).await })),
        lateness(|server, flood| Box::pin(async move { bare(server, flood).await })),
    );
    println!("| a 10 ms timer is late by at most (bare: {:.1} ms) | {:.1} ms | < 5 ms |", bare / 1e3, ours / 1e3);
    let here = server.to_string();
    println!(
        "| memory behind a stream that nobody reads, of its bound | {} | 0.90 to 1.10 |",
        fresh(&["stalled", &here])
    );
    println!("| memory for one message kept of {KEPT} | {} | < 10 KB |\n", fresh(&["held", &here]));
}

type Work = Pin<Box<dyn Future<Output = f64> + Send>>;

/// By how many microseconds a timer was late at most while this ran.
async fn latest(work: Work) -> f64 {
    const EVERY: Duration = Duration::from_millis(10);
    let work = tokio::spawn(work);
    let mut timer = interval(EVERY);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut late = Duration::ZERO;
    while !work.is_finished() {
        let due = timer.tick().await;
        late = late.max(Instant::now() - due);
    }
    micros(late)
}

/// A stream that nobody reads while the flood comes.
pub(crate) fn stalled(server: SocketAddr) {
    Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(async {
        let builder = Socket::builder(format!("ws://{server}")).queue_limits(BOUND, 4 * BOUND);
        let socket = builder.connect().await.expect("a connection");
        let room = socket.channel("room:0");
        room.join(()).await.expect("a join");
        let mut messages = room.events("msg");
        let before = resident();
        room.cast("go", FLOOD).await.expect("a cast");
        // Its reply comes behind the flood.
        room.push("echo", ()).timeout(Duration::from_secs(60)).await.expect("a reply");
        let grown = resident() - before;
        let (mut kept, mut lost) = (0, 0);
        while kept + lost < FLOOD.frames {
            match messages.next().await.expect("a stream") {
                Ok(_) => kept += 1,
                Err(EventError::Lagged(count)) => lost += count as usize,
                Err(error) => panic!("{error}"),
            }
        }
        assert!(kept > 0 && lost > 0, "{kept} kept, {lost} lost");
        println!("{:.2}", grown as f64 / BOUND as f64);
    });
}

/// A reader that keeps a message now and then.
pub(crate) fn held(server: SocketAddr) {
    Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(async {
        let (_socket, room) = join(server).await;
        let mut messages = room.events("msg");
        let before = resident();
        room.cast("go", FLOOD).await.expect("a cast");
        let mut kept = Vec::new();
        for number in 0..FLOOD.frames {
            let message = messages.next().await.expect("a stream").expect("a message");
            if number % KEPT == 0 {
                kept.push(message);
            }
        }
        println!("{:.1} KB", (resident() - before) as f64 / kept.len() as f64 / 1e3);
    });
}
