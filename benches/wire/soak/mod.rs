//! A storm of faults over long-poll and over what falls back to it, and what must hold in it and behind it.
//!
//! A few sockets with many channels push and listen without a pause, while the embedded server misbehaves, and sockets
//! and channels come and go, as a seed has it. Then all is calm, all must come to rest, and nothing may be left over.

mod books;
mod clients;
mod storm;
mod talk;
mod telemetry;

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use fastrand::Rng;
use futures::future::join_all;
use phoenix_streams::testing::Server;
use tokio::{
    runtime::{Builder, Handle, Runtime},
    sync::watch,
    time::{interval, sleep, timeout},
};

use self::{books::Books, clients::Slot};
use crate::machine::{load, resident};

const SECONDS: u64 = 120;
pub(crate) const TOPICS: usize = 12;
pub(crate) const SLOTS: usize = 12;
/// The server's.
pub(crate) const WINDOW: Duration = Duration::from_millis(400);
/// Between two broadcasts of a topic.
const TICK: Duration = Duration::from_millis(25);
/// Long enough for whatever the storm has broken to be whole again.
const CALM: Duration = Duration::from_secs(8);
/// What the machine may add to anything by being busy.
pub(crate) const SLACK: Duration = Duration::from_millis(500);
/// What memory may grow by in the second half of the storm.
const GROWTH: usize = 8 << 20;

#[derive(Clone, PartialEq)]
pub(crate) enum Phase {
    Storm,
    /// No more faults, and nobody comes or goes.
    Calm,
    /// There are no more broadcasts; this was the last one of each topic.
    Last(Arc<[u64]>),
    Over,
}

/// For so many seconds, with this seed.
pub(crate) fn run(arguments: &[&str]) {
    let number = |at: usize| arguments.get(at).map(|word| word.parse::<u64>().expect("a number"));
    let (seconds, seed) = (number(0).unwrap_or(SECONDS), number(1).unwrap_or_else(|| fastrand::u64(..1 << 32)));
    println!("## soak: {seconds} s, seed {seed}, load {}\n", load());
    let books = Arc::new(Books::default());
    let (servers, clients) = (runtime(1), runtime(2));
    let server = servers.block_on(storm::server(&books)).expect("a server");
    let soak = Soak { seed, books, server, servers: servers.handle().clone() };
    clients.block_on(soak.run(Duration::from_secs(seconds)));
}

pub(crate) fn topic(number: usize) -> String {
    format!("room:{number}")
}

fn runtime(workers: usize) -> Runtime {
    Builder::new_multi_thread().worker_threads(workers).enable_all().build().expect("a runtime")
}

struct Soak {
    seed: u64,
    books: Arc<Books>,
    server: Server,
    servers: Handle,
}

impl Soak {
    async fn run(&self, time: Duration) {
        let mut rng = Rng::with_seed(self.seed);
        let (tasks, served) = (alive(&Handle::current()), alive(&self.servers));
        let (phase, phases) = watch::channel(Phase::Storm);
        let slots = (0..SLOTS).map(|number| {
            let slot = Slot::new(number, self.server.url(), rng.fork(), self.books.clone(), phases.clone());
            tokio::spawn(slot.run())
        });
        let slots: Vec<_> = slots.collect();
        let broadcasts = self.servers.spawn(broadcasts(self.server.clone(), phases.clone()));
        let storm = self.servers.spawn(storm::rage(self.server.clone(), rng.fork(), self.books.clone(), phases));
        self.watched(time / 2).await;
        let half = resident();
        self.watched(time / 2).await;
        let whole = resident();
        phase.send_replace(Phase::Calm);
        storm.await.expect("a storm");
        self.watched(CALM).await;
        // Whoever broadcasts ends with what the phase is by then.
        phase.send_replace(Phase::Last([].into()));
        let last = broadcasts.await.expect("broadcasts");
        let broadcast: u64 = last.iter().sum();
        phase.send_replace(Phase::Last(last.into()));
        self.watched(talk::ARRIVAL + SLACK).await;
        phase.send_replace(Phase::Over);
        if timeout(Duration::from_secs(20), join_all(slots)).await.is_err() {
            self.books.wrong("sockets did not come to their end");
        }
        let closed = Instant::now();
        let none = || self.server.sessions() == 0 && self.server.connections() == 0;
        if !within(3 * WINDOW + SLACK, none).await {
            let (sessions, connections) = (self.server.sessions(), self.server.connections());
            self.books.wrong(format!("{sessions} sessions of {connections} connections are left"));
        }
        let ended = closed.elapsed();
        if !within(Duration::from_secs(3), || alive(&Handle::current()) == tasks).await {
            self.books.wrong(format!("{} tasks of clients are left of {tasks}", alive(&Handle::current())));
        }
        if !within(Duration::from_secs(5), || alive(&self.servers) == served).await {
            self.books.wrong(format!("{} tasks of the server are left of {served}", alive(&self.servers)));
        }
        self.books.all_settled();
        let mb = |bytes: usize| bytes as f64 / 1e6;
        if whole.saturating_sub(half) > GROWTH {
            self.books.wrong(format!("memory grew from {:.1} to {:.1} MB", mb(half), mb(whole)));
        }
        println!("| | |\n|---|---|");
        self.books.print();
        println!("| broadcasts | {broadcast} |");
        println!("| memory at half time, and at the end of the storm | {:.1} MB, {:.1} MB |", mb(half), mb(whole));
        println!("| the server's last session ended behind the last client | {:.1} s |\n", ended.as_secs_f64());
        self.check();
    }

    /// Waits, and ends all where anything is wrong.
    async fn watched(&self, time: Duration) {
        const LOOK: Duration = Duration::from_millis(200);
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.check();
            sleep(LOOK.min(end.saturating_duration_since(Instant::now()))).await;
        }
    }

    fn check(&self) {
        let wrongs = self.books.wrongs();
        assert!(wrongs.is_empty(), "seed {}:\n{}", self.seed, wrongs.join("\n"));
    }
}

/// Broadcasts serial numbers, from 1 on; the last of each topic.
async fn broadcasts(server: Server, phases: watch::Receiver<Phase>) -> Vec<u64> {
    let mut ticks = interval(TICK / TOPICS as u32);
    let mut last = vec![0; TOPICS];
    for number in (0..TOPICS).cycle() {
        if matches!(*phases.borrow(), Phase::Last(_) | Phase::Over) {
            break;
        }
        ticks.tick().await;
        last[number] += 1;
        server.broadcast(&topic(number), "tick", phoenix_streams::json!({ "serial": last[number] }));
    }
    last
}

fn alive(runtime: &Handle) -> usize {
    runtime.metrics().num_alive_tasks()
}

async fn within(time: Duration, so: impl Fn() -> bool) -> bool {
    let waited = async {
        while !so() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(time, waited).await.is_ok()
}

/// What this is, of what `Debug` shows of it.
pub(crate) fn kind(of: &impl std::fmt::Debug) -> String {
    format!("{of:?}").chars().take_while(|letter| letter.is_alphanumeric()).collect()
}

/// Ends a wait that must end.
pub(crate) async fn must<F: Future>(books: &Books, what: &str, time: Duration, future: F) -> Option<F::Output> {
    let outcome = timeout(time + SLACK, future).await.ok();
    if outcome.is_none() {
        books.wrong(format!("{what} took longer than {time:?}"));
    }
    outcome
}
