//! Sockets that come and go, and their ends.

use std::{collections::HashMap, sync::Arc, time::Duration};

use fastrand::Rng;
use futures::future::{join_all, poll_immediate};
use phoenix_streams::{Backoff, BoxTransport, LongPoll, Socket, Stats, WebSocket};
use tokio::{
    sync::watch,
    task::JoinError,
    time::{Instant, sleep, timeout},
};

use super::{
    Books, Phase, SLOTS, TOPICS, must,
    talk::{PUSH, Talk},
    telemetry,
};

/// Of one socket.
const CHANNELS: usize = 6;
/// What `close` and `disconnect` promise.
const CLOSE: Duration = Duration::from_secs(3);

/// A place for one socket after the other.
pub(crate) struct Slot {
    number: usize,
    url: String,
    transport: BoxTransport,
    name: &'static str,
    rng: Rng,
    books: Arc<Books>,
    phases: watch::Receiver<Phase>,
}

impl Slot {
    pub(crate) fn new(number: usize, url: &str, rng: Rng, books: Arc<Books>, phases: watch::Receiver<Phase>) -> Self {
        let polls = LongPoll::default().timeout(Duration::from_secs(2));
        let (name, transport) = if number < SLOTS / 2 {
            ("sockets over LongPoll", polls.boxed())
        } else {
            let both = WebSocket::default().or(polls).threshold(Duration::from_millis(300));
            let both = both.short_lived(2, Duration::from_secs(1)).trust_for(Duration::from_millis(500));
            ("sockets over WebSocket or LongPoll", both.probe_every(Duration::from_secs(1)).boxed())
        };
        Slot { number, url: url.to_owned(), transport, name, rng, books, phases }
    }

    pub(crate) async fn run(mut self) {
        while *self.phases.borrow() == Phase::Storm {
            self.live().await;
        }
    }

    /// One socket, from its beginning to its end.
    async fn live(&mut self) {
        let (number, name, books) = (self.number, self.name, self.books.clone());
        let millis = |range: &[u64]| Backoff::steps(range.iter().copied().map(Duration::from_millis));
        let socket = Socket::builder(&self.url)
            .transport(self.transport.clone())
            .reconnect(millis(&[10, 50, 100, 200]))
            .rejoin(millis(&[50, 200, 500]))
            .heartbeat(Duration::from_millis(500))
            .heartbeat_timeout(Duration::from_secs(1))
            .connect_timeout(Duration::from_secs(2))
            .timeout(PUSH)
            .seed(self.rng.u64(..))
            .idle()
            .expect("a socket");
        books.count(name, "born");
        let told = tokio::spawn(telemetry::watch(socket.telemetry(), name, books.clone()));
        // It goes on connecting.
        let _ = poll_immediate(socket.connect()).await;
        let (stop, stopped) = watch::channel(false);
        let channels = (0..CHANNELS).map(|channel| {
            let topic = (number + channel * 5) % TOPICS;
            let (who, rng) = ((number * TOPICS + topic) as u64, self.rng.fork());
            let (books, phases) = (books.clone(), self.phases.clone());
            tokio::spawn(Talk::new(who, topic, socket.clone(), rng, books, phases, stopped.clone()).run())
        });
        let channels: Vec<_> = channels.collect();
        let end = Instant::now() + Duration::from_millis(self.rng.u64(1_000..20_000));
        while self.stays(end).await {
            if self.rng.f64() < 0.5 {
                must(&self.books, "a disconnect", CLOSE, socket.disconnect()).await;
                self.books.count(self.name, "disconnected");
                let _ = poll_immediate(socket.connect()).await;
            }
        }
        let closes = *self.phases.borrow() == Phase::Over || self.rng.bool();
        if closes {
            must(&self.books, "a close", CLOSE, socket.close()).await;
        } else {
            stop.send_replace(true);
        }
        let markers = must(&self.books, "the end of the channels", PUSH, join_all(channels)).await;
        if closes {
            let is_empty = async {
                while socket.stats() != Stats::default() {
                    sleep(Duration::from_millis(10)).await;
                }
            };
            if timeout(Duration::from_secs(1), is_empty).await.is_err() {
                self.books.wrong(format!("a closed socket holds {:?}", socket.stats()));
            }
        }
        drop(socket);
        let joins = must(&self.books, "the end of telemetry", CLOSE, told).await;
        self.compare(markers.unwrap_or_default(), joins);
    }

    /// Whether its end has not come yet; not all at once.
    async fn stays(&mut self, end: Instant) -> bool {
        let some = Instant::now() + Duration::from_millis(self.rng.u64(500..10_000));
        let over = self.phases.wait_for(|phase| *phase == Phase::Over);
        if timeout(some.min(end).saturating_duration_since(Instant::now()), over).await.is_ok() {
            return false;
        }
        let storm = *self.phases.borrow() == Phase::Storm;
        if !storm {
            let _ = self.phases.wait_for(|phase| *phase == Phase::Over).await;
        }
        storm && Instant::now() < end
    }

    /// The joins that the streams have shown are among those that were told.
    fn compare(
        &self,
        markers: Vec<Result<(String, u64), JoinError>>,
        joins: Option<Result<HashMap<String, u64>, JoinError>>,
    ) {
        let Some(Ok(joins)) = joins else { return self.books.wrong("no telemetry") };
        for marker in markers {
            let Ok((topic, seen)) = marker else { return self.books.wrong("a channel panicked") };
            let told = joins.get(&topic).copied().unwrap_or_default();
            if seen > told {
                self.books.wrong(format!("{}: {seen} joins of {topic} were seen, {told} told", self.name));
            }
        }
    }
}
