//! What the network and the clock do.

use std::sync::Arc;

use http::{HeaderMap, StatusCode};

use super::{model::Said, world::World};
use crate::{
    core::{
        ChannelId, Declined,
        tests::sim::{OPENING, ms},
    },
    error::{ConnectError, Refusal},
    payload::Payload,
};

pub(super) const ALL: [&str; 12] = [
    "opened",
    "failed",
    "lost",
    "hung up",
    "params",
    "no params",
    "a blocked write",
    "an unblocked write",
    "a little time",
    "time to the next timer",
    "time to the heartbeat",
    "much time",
];

impl World {
    pub(super) fn event_step(&mut self) -> String {
        let before = self.core.holdings();
        let what = self.some_event();
        let told = self.effects.outputs + self.effects.frames > 0 || self.core.holdings() != before;
        // A little time and a blocked write show by what does not happen.
        if told || what == "a blocked write" {
            self.visits.count(what);
        }
        format!("{what}: {:?}", self.effects)
    }

    fn some_event(&mut self) -> &'static str {
        let roll = self.random.u8(0..100);
        let asking: Vec<_> =
            self.model.channels.iter().filter_map(|(id, channel)| Some((*id, channel.asking?))).collect();
        match roll {
            _ if !asking.is_empty() && roll < 60 => self.answer(&asking),
            _ if !self.writable && roll < 40 => {
                self.writable = true;
                self.watch(World::drain);
                "an unblocked write"
            }
            0..=54 if self.model.dialing => {
                if self.random.u8(0..10) < 6 {
                    self.open()
                } else {
                    self.fail()
                }
            }
            0..=9 if self.model.is_open() => self.lose(),
            10..=25 if self.model.closing > 0 => {
                self.hung_up();
                "hung up"
            }
            26..=45 if self.model.is_open() => {
                self.writable = false;
                "a blocked write"
            }
            46..=65 => {
                let by = self.random.u64(1..400);
                self.pass(by);
                "a little time"
            }
            66..=80 => {
                self.pass_to_next();
                "time to the next timer"
            }
            81..=97 => {
                for _ in 0..20 {
                    if self.model.is_open() && self.model.wire.heartbeat.is_none() {
                        self.pass_to_next();
                    }
                }
                "time to the heartbeat"
            }
            _ => {
                let by = self.random.u64(20_000..3_600_000);
                self.pass(by);
                "much time"
            }
        }
    }

    /// A closure says the params of a join, or fails; now and then one that was asked before.
    fn answer(&mut self, asking: &[(ChannelId, u64)]) -> &'static str {
        let (id, number) = self.pick(asking).expect("some are asked");
        let said = self.pick(&[Said::Params, Said::Params, Said::Failed, Said::Stop]).expect("there are some");
        let answer = match said {
            Said::Params => Ok(Payload::empty()),
            _ => Err(Declined { cause: Arc::new(std::io::Error::other("no")), stop: said == Said::Stop }),
        };
        if self.one_in(8) {
            let before = self.fingerprint();
            self.core.handle_params(self.now, id, number ^ 1, answer);
            assert_eq!(self.fingerprint(), before, "an answer to an earlier question");
            return self.some_event();
        }
        self.cause.said = Some((id, said));
        self.watch(|world| {
            world.core.handle_params(world.now, id, number, answer);
            world.drain();
        });
        if said == Said::Params { "params" } else { "no params" }
    }

    fn open(&mut self) -> &'static str {
        self.model.dialing = false;
        self.cause.opened = true;
        self.writable = !self.one_in(4);
        self.watch(|world| {
            world.core.handle_open(world.now, OPENING);
            world.drain();
        });
        if self.writable {
            let mut wanted: Vec<_> = self.model.channels.values().filter(|channel| channel.wanted).collect();
            wanted.retain(|channel| self.model.topics.contains_key(&channel.topic));
            // Those whose params are asked for join later.
            wanted.retain(|channel| channel.asking.is_none());
            let mut wanted: Vec<_> = wanted.iter().map(|channel| channel.topic.clone()).collect();
            wanted.sort_unstable();
            self.effects.joins.sort_unstable();
            assert_eq!(self.effects.joins, wanted, "law 7: the joins of an open connection");
        }
        "opened"
    }

    fn fail(&mut self) -> &'static str {
        self.model.dialing = false;
        self.cause.failed = true;
        let cause = match self.random.u8(0..12) {
            0 => ConnectError::SubprotocolUnanswered,
            1 => ConnectError::Certificate(Arc::new(std::io::Error::other("expired"))),
            2 => ConnectError::Timeout,
            3 => refused(401),
            4 => refused(403),
            5 => refused(429),
            6 => refused(503),
            7 => refused(500),
            8 => ConnectError::Handshake("no upgrade".into()),
            _ => ConnectError::transport("refused"),
        };
        let stop = self.one_in(8);
        self.watch(|world| {
            world.core.handle_failed(world.now, cause, stop);
            world.drain();
        });
        "failed"
    }

    fn lose(&mut self) -> &'static str {
        self.cause.ended = true;
        let cause = match self.random.u8(0..6) {
            0 => ConnectError::Ended,
            1 => ConnectError::transport("reset"),
            roll => {
                let code = [1000, 1001, 1005, 1012][usize::from(roll) - 2];
                ConnectError::ClosedByServer { code, reason: "".into() }
            }
        };
        self.watch(|world| {
            world.core.handle_lost(world.now, cause);
            world.drain();
        });
        "lost"
    }

    fn pass_to_next(&mut self) {
        let by = self.core.poll_timeout().map_or(10, |next| (next - self.now).as_micros().div_ceil(1_000));
        self.pass(u64::try_from(by).expect("fits"));
    }

    /// Time passes. Now and then a command comes first, at an instant when something is overdue.
    fn pass(&mut self, by: u64) {
        self.now = self.now + ms(by);
        self.cause.time = true;
        if self.one_in(5) {
            self.command_step();
        }
        // The heartbeat may give the connection up, and the link may stop.
        self.cause.ended = true;
        self.watch(|world| {
            world.core.handle_timeout(world.now);
            world.drain();
        });
        let next = self.core.poll_timeout();
        assert!(next.is_none_or(|next| next > self.now), "the next timer is in the past: {next:?}");
        for held in self.model.held.values() {
            let due = held.deadline.is_some_and(|deadline| deadline <= self.now);
            assert!(!due, "not settled at its deadline: {held:?}");
        }
    }
}

fn refused(status: u16) -> ConnectError {
    let mut headers = HeaderMap::new();
    headers.insert(http::header::RETRY_AFTER, http::HeaderValue::from_static("2"));
    let status = StatusCode::from_u16(status).expect("a status");
    ConnectError::Refused(Box::new(Refusal::new(status, headers, "")))
}
