//! One topic of one socket: what is pushed, and whether what is heard is all, once and in order.

use std::{future::pending, sync::Arc, time::Duration};

use fastrand::Rng;
use futures::{
    FutureExt, StreamExt,
    future::{BoxFuture, poll_immediate},
    stream::FuturesUnordered,
};
use phoenix_streams::{Channel, EventError, Message, PushError, Reply, Socket};
use serde::Deserialize;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout},
};

use super::{
    Books, Phase,
    books::Fate,
    kind, must,
    storm::{Params, Pushed},
    topic,
};

/// Within which what was broadcast last arrives where all is well.
pub(crate) const ARRIVAL: Duration = Duration::from_secs(3);
/// The longest that a push is given.
pub(crate) const PUSH: Duration = Duration::from_secs(5);

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Tick {
    /// A join has begun.
    Epoch(u64),
    Serial(u64),
}

pub(crate) struct Talk {
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
    pub(crate) fn new(
        who: u64,
        topic: usize,
        socket: Socket,
        rng: Rng,
        books: Arc<Books>,
        phases: watch::Receiver<Phase>,
        stopped: watch::Receiver<bool>,
    ) -> Self {
        Talk { who, topic, socket, rng, books, phases, stopped, epoch: 0, serial: 0, fresh: true, markers: 0 }
    }

    /// One life after the other; the topic, and how many joins were seen.
    pub(crate) async fn run(mut self) -> (String, u64) {
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
        if goes_on
            && self.rng.bool()
            && let Some(left) = must(&self.books, "a leave", PUSH, room.leave()).await
        {
            self.books.count("leaves", left.map_or_else(|error| kind(&error), |()| "ok".into()));
        }
        drop((room, ticks));
        let settled = async {
            while let Some(sent) = pushes.next().await {
                self.settle(sent);
            }
        };
        let settled = timeout(PUSH + Duration::from_secs(1), settled).await;
        settled.unwrap_or_else(|_| self.books.wrong("pushes stay pending"));
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
                cast.map(move |outcome| (id, outcome.map(|()| None).map_err(PushError::from))).boxed()
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
