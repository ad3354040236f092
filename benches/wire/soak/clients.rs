//! Sockets that come and go, and their channels, which push and listen.

use std::{collections::HashMap, future::pending, sync::Arc, time::Duration};

use fastrand::Rng;
use futures::{
    FutureExt, StreamExt,
    future::{BoxFuture, join_all, poll_immediate},
    stream::FuturesUnordered,
};
use phoenix_streams::{
    Backoff, BoxTransport, CastError, Channel, EventError, LongPoll, Message, PushError, Reply, Socket, Stats,
    WebSocket,
};
use serde::Deserialize;
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until, timeout},
};

use super::{
    Books, Phase, SLOTS, TOPICS,
    books::Fate,
    kind, must,
    storm::{Params, Pushed},
    telemetry, topic,
};

/// Of one socket.
const CHANNELS: usize = 6;
/// Within which what was broadcast last arrives where all is well.
pub(crate) const ARRIVAL: Duration = Duration::from_secs(3);
/// The longest that a push is given.
const PUSH: Duration = Duration::from_secs(5);
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
            tokio::spawn(Talk::new(self, socket.clone(), topic, stopped.clone()).run())
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
        markers: Vec<Result<(String, u64), tokio::task::JoinError>>,
        joins: Option<Result<HashMap<String, u64>, tokio::task::JoinError>>,
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

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Tick {
    /// A join has begun.
    Epoch(u64),
    Serial(u64),
}

/// One topic of one socket.
struct Talk {
    who: u64,
    topic: usize,
    socket: Socket,
    rng: Rng,
    books: Arc<Books>,
    phases: watch::Receiver<Phase>,
    stopped: watch::Receiver<bool>,
    epoch: u64,
    serial: u64,
    /// Whether anything may be next: a join, or the stream, has just begun.
    fresh: bool,
    markers: u64,
}

/// A push or cast, with its id, and what became of it.
type Sent = (usize, Result<Option<Reply>, PushError>);

impl Talk {
    fn new(slot: &mut Slot, socket: Socket, topic: usize, stopped: watch::Receiver<bool>) -> Self {
        let who = (slot.number * TOPICS + topic) as u64;
        let (rng, books, phases) = (slot.rng.fork(), slot.books.clone(), slot.phases.clone());
        Talk { who, topic, socket, rng, books, phases, stopped, epoch: 0, serial: 0, fresh: true, markers: 0 }
    }

    /// One life after the other; the topic, and how many joins were seen.
    async fn run(mut self) -> (String, u64) {
        loop {
            let goes_on = self.live().await;
            if !goes_on || *self.stopped.borrow() || *self.phases.borrow() != Phase::Storm {
                break;
            }
        }
        (topic(self.topic), self.markers)
    }

    /// From a join to a leave; whether there may be another.
    async fn live(&mut self) -> bool {
        let room = self.socket.channel(topic(self.topic));
        let mut ticks = room.events("tick");
        let (books, who) = (self.books.clone(), self.who);
        let params = move |_| {
            let params = Params { who, epoch: books.epoch() };
            async move { Ok(params) }
        };
        room.join_with(params).detach();
        self.fresh = true;
        let mut pushes = FuturesUnordered::<BoxFuture<'static, Sent>>::new();
        let end = Instant::now() + Duration::from_millis(self.rng.u64(1_000..30_000));
        let (mut next, mut arrival) = (Instant::now(), None);
        let goes_on = loop {
            let phase = self.phases.borrow_and_update().clone();
            if let Phase::Last(last) = &phase
                && let Some(last) = last.get(self.topic)
            {
                arrival = arrival.or(Some(Instant::now() + ARRIVAL));
                if self.serial == *last {
                    self.books.count("channels at the end", "up to date");
                    break self.wait().await;
                }
            }
            let pushing = matches!(phase, Phase::Storm | Phase::Calm);
            tokio::select! {
                tick = ticks.next() => match tick {
                    Some(tick) => self.tick(tick),
                    None => break false,
                },
                Some(sent) = pushes.next() => self.settle(sent),
                () = sleep_until(next), if pushing => {
                    self.push(&room, &mut pushes).await;
                    next = Instant::now() + Duration::from_millis(self.rng.u64(0..250));
                }
                _ = self.phases.changed() => {}
                _ = self.stopped.changed() => break false,
                () = sleep_until(end), if phase == Phase::Storm => break true,
                () = until(arrival) => {
                    let now = (room.status().current(), self.socket.status().current());
                    self.books.wrong(format!("{}: no tick behind {}: {now:?}", self.who, self.serial));
                    break false;
                }
            }
        };
        if goes_on && self.rng.bool() {
            let left = must(&self.books, "a leave", PUSH, room.leave()).await;
            self.books.count(
                "leaves",
                left.map_or("none".into(), |left| left.map_or_else(|error| kind(&error), |()| "ok".into())),
            );
        }
        drop((room, ticks));
        let settled = async {
            while let Some(sent) = pushes.next().await {
                self.settle(sent);
            }
        };
        timeout(PUSH + Duration::from_secs(1), settled)
            .await
            .unwrap_or_else(|_| self.books.wrong("pushes stay pending"));
        goes_on
    }

    /// For the socket's end.
    async fn wait(&mut self) -> bool {
        let _ = self.phases.wait_for(|phase| *phase == Phase::Over).await;
        false
    }

    fn tick(&mut self, tick: Result<Message, EventError>) {
        let tick = match tick {
            Ok(tick) => tick.json::<Tick>().expect("a tick"),
            Err(error) => return self.books.wrong(format!("{}: {error}", self.who)),
        };
        match tick {
            Tick::Epoch(epoch) if epoch > self.epoch => {
                (self.epoch, self.fresh) = (epoch, true);
                self.markers += 1;
                self.books.count("ticks", "joins");
            }
            Tick::Epoch(epoch) => self.books.wrong(format!("{}: join {epoch} behind {}", self.who, self.epoch)),
            Tick::Serial(serial) => {
                let (who, last) = (self.who, self.serial);
                if serial <= last {
                    self.books.wrong(format!("{who}: tick {serial} behind {last}"));
                } else if !self.fresh && serial > last + 1 {
                    self.books.wrong(format!("{who}: tick {serial} behind {last}, and nothing told between"));
                }
                (self.serial, self.fresh) = (serial, false);
                self.books.count("ticks", "seen");
            }
        }
    }

    /// A few at once, each polled in its turn.
    async fn push(&mut self, room: &Channel, pushes: &mut FuturesUnordered<BoxFuture<'static, Sent>>) {
        for _ in 0..self.rng.u32(1..6) {
            let id = self.books.push();
            let time = Duration::from_millis(self.rng.u64(300..PUSH.as_millis() as u64));
            let mut sent: BoxFuture<'static, Sent> = if self.rng.f64() < 0.2 {
                let cast = room.cast("echo", Pushed { id }).timeout(time);
                cast.map(move |outcome| (id, outcome.map(|()| None).map_err(from_cast))).boxed()
            } else {
                let push = room.push("echo", Pushed { id }).timeout(time);
                push.map(move |outcome| (id, outcome.map(Some))).boxed()
            };
            match poll_immediate(&mut sent).await {
                Some(sent) => self.settle(sent),
                None if self.rng.f64() < 0.02 => {
                    drop(sent);
                    self.books.count("pushes", "cancelled");
                    self.books.settled(id, Fate::Unknown);
                }
                None => pushes.push(sent),
            }
        }
    }

    fn settle(&self, (id, outcome): Sent) {
        let (name, fate) = match outcome {
            Ok(Some(reply)) => {
                let same = reply.json::<Pushed>().is_ok_and(|pushed| pushed.id == id);
                if !same {
                    self.books.wrong(format!("push {id} got the reply {}", reply.payload()));
                }
                ("replied".into(), Fate::Replied)
            }
            Ok(None) => ("cast".into(), Fate::Unknown),
            Err(PushError::NotSent(why)) => (format!("not sent: {}", kind(&why)), Fate::NotSent),
            Err(error) => (kind(&error), Fate::Unknown),
        };
        self.books.count("pushes", name);
        self.books.settled(id, fate);
    }
}

async fn until(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => pending().await,
    }
}

fn from_cast(error: CastError) -> PushError {
    error.into()
}
