//! One core after another, a clock, and what comes out of them.

use std::rc::Rc;

use super::{
    model::{Cause, Chan, Effects, Held, Kind, Model, Token},
    visits::Visits,
};
use crate::{
    backoff::Backoff,
    core::{ChannelId, Command, Config, Core, Instant, Output, Refs, channel::State, link::Link, tests::sim::ms},
    serializer::{Codec, V2},
    transport::Frame,
};

#[derive(Debug)]
pub(super) struct World {
    pub(super) random: fastrand::Rng,
    pub(super) config: Config,
    pub(super) core: Core<Token>,
    pub(super) refs: Refs,
    pub(super) now: Instant,
    /// Off, it is a blocked write.
    pub(super) writable: bool,
    pub(super) model: Model,
    pub(super) cause: Cause,
    pub(super) effects: Effects,
    pub(super) visits: Visits,
    next_token: u32,
    next_channel: ChannelId,
    /// Steps left once it is closed.
    last_steps: u32,
    seen_link: &'static str,
}

impl World {
    pub(super) fn new(seed: u64, visits: Visits) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let (config, refs) = (config(&mut random), Refs::default());
        let core = Core::new(config.clone(), Codec::new(V2), refs.clone());
        let mut world = World {
            random,
            config,
            core,
            refs,
            now: Instant::default(),
            writable: true,
            model: Model::default(),
            cause: Cause::default(),
            effects: Effects::default(),
            visits,
            next_token: 0,
            next_channel: 0,
            last_steps: 0,
            seen_link: "",
        };
        world.see_link();
        world
    }

    /// A new core, which knows nothing of the old one.
    fn renew(&mut self) {
        self.config = config(&mut self.random);
        // Small and wrapping refs are tried too.
        let first = if self.random.u8(..) < 128 { 1 } else { (1 << 53) - self.random.u64(1..40) };
        self.refs = Refs::starting_at(first);
        self.core = Core::new(self.config.clone(), Codec::new(V2), self.refs.clone());
        self.now = Instant::default();
        self.writable = true;
        self.model = Model::default();
        self.see_link();
    }

    pub(super) fn step(&mut self, trace: &mut Vec<String>) {
        if self.model.closed {
            if self.last_steps == 0 {
                self.finish(trace);
                self.renew();
                return;
            }
            self.last_steps -= 1;
        }
        self.cause = Cause::default();
        self.effects = Effects::default();
        let roll = self.random.u8(0..100);
        let what = match (self.model.is_open(), roll) {
            (true, 0..=54) => self.frame_step(),
            (true, 55..=89) | (false, 0..=59) => self.command_step(),
            _ => self.event_step(),
        };
        trace.push(format!("{} {what}", self.now.0.as_millis()));
        self.assert_laws();
        self.see_link();
    }

    /// Closes for good: everyone is told, and nothing stays behind.
    pub(super) fn finish(&mut self, trace: &mut Vec<String>) {
        trace.push("close, for good".to_owned());
        self.cause = Cause { ended: true, ..Cause::default() };
        self.close();
        while self.model.closing > 0 {
            self.hung_up();
        }
        assert!(self.model.finished, "closed for good, and never said so");
        assert!(self.model.held.is_empty(), "never settled: {:?}", self.model.held);
        let holdings = self.core.holdings();
        assert_eq!((holdings.callers, holdings.pending_pushes, holdings.timers, holdings.outgoing_bytes), (0, 0, 0, 0));
        for id in self.model.channels.keys().copied().collect::<Vec<_>>() {
            self.command(Command::Forget { channel: id });
        }
        assert_eq!(self.core.holdings().channels, 0);
    }

    pub(super) fn into_visits(self) -> Visits {
        self.visits
    }

    pub(super) fn close(&mut self) {
        if !self.model.closed {
            self.last_steps = self.random.u32(0..10);
        }
        self.model.closed = true;
        let token = self.hold(Kind::Closer, None, 0, None);
        self.command(Command::Close { token: Some(token) });
    }

    pub(super) fn hung_up(&mut self) {
        self.model.closing -= 1;
        self.core.handle_hung_up();
        self.drain();
    }

    pub(super) fn hold(&mut self, kind: Kind, channel: Option<ChannelId>, id: u64, deadline: Option<Instant>) -> Token {
        self.next_token += 1;
        let token = Rc::new(self.next_token);
        let held = Held { token: Rc::downgrade(&token), kind, channel, id, deadline, written: None };
        self.model.held.insert(self.next_token, held);
        token
    }

    pub(super) fn new_channel(&mut self, topic: &str) -> ChannelId {
        self.next_channel += 1;
        self.model.topics.insert(topic.to_owned(), self.next_channel);
        self.model.channels.insert(self.next_channel, Chan::new(topic));
        self.next_channel
    }

    pub(super) fn command(&mut self, command: Command<Token>) {
        self.watch(|world| {
            world.core.handle_command(world.now, command);
            world.drain();
        });
    }

    pub(super) fn receive(&mut self, frame: Frame) {
        self.watch(|world| {
            let delivered = &mut world.effects.delivered;
            let deliver = |channel: Option<ChannelId>, message: &crate::serializer::Incoming<'_>| {
                delivered.extend(channel.map(|channel| (channel, message.event.as_str().to_owned())));
            };
            world.core.handle_frame(world.now, &frame, deliver);
            world.drain();
        });
    }

    /// Does it, and counts the channel states that it led into.
    pub(super) fn watch(&mut self, then: impl FnOnce(&mut Self)) {
        let before: Vec<_> = self.core.channels.iter().map(|(id, channel)| (*id, name(&channel.state))).collect();
        then(self);
        for (id, channel) in &self.core.channels {
            let was = before.iter().find(|(known, _)| known == id).map(|(_, name)| *name);
            if was != Some(name(&channel.state)) {
                self.visits.count(name(&channel.state));
            }
        }
    }

    /// Everything but what only remembers where the last message went.
    pub(super) fn fingerprint(&self) -> String {
        let Core { link, tries, connects, last_cause, closing, closers, channels, pings, raws, timers, outbox, .. } =
            &self.core;
        format!("{:?}", (link, tries, connects, last_cause, closing, closers, channels, (pings, raws), timers, outbox))
    }

    /// Takes all that the core says, and writes while the connection takes it.
    pub(super) fn drain(&mut self) {
        loop {
            let outputs: Vec<_> = std::iter::from_fn(|| self.core.poll()).collect();
            // That an older join is over changes nothing here: only presence asks.
            self.effects.outputs += outputs.iter().filter(|output| !matches!(output, Output::OlderEnded(_))).count();
            // What a hangup flushes was written before the connection ended.
            for output in &outputs {
                if let Output::Hangup { last, .. } = output {
                    last.iter().for_each(|frame| self.written(frame));
                    self.model.closing += 1;
                }
            }
            for output in outputs {
                self.said(output);
            }
            if !self.writable {
                return;
            }
            match self.core.poll_transmit(self.now) {
                Some(frame) => self.written(&frame),
                // What cannot be encoded is said, not written.
                None if self.core.out.is_empty() => return,
                None => {}
            }
        }
    }

    fn see_link(&mut self) {
        let name = match self.core.link {
            Link::Idle => "socket idle",
            Link::Dialing { .. } => "socket dialing",
            Link::Open { .. } => "socket open",
            Link::Waiting { .. } => "socket waiting",
            Link::Stopped { .. } => "socket stopped",
            Link::Down => "socket down",
            Link::Closed => "socket closed",
        };
        if name != self.seen_link {
            self.visits.count(name);
            self.seen_link = name;
        }
    }

    pub(super) fn one_in(&mut self, n: u32) -> bool {
        self.random.u32(0..n) == 0
    }

    pub(super) fn pick<V: Copy>(&mut self, among: &[V]) -> Option<V> {
        (!among.is_empty()).then(|| among[self.random.usize(0..among.len())])
    }
}

/// Bounds small enough to be met; limits and a quiet heartbeat now and then.
fn config(random: &mut fastrand::Rng) -> Config {
    let limited = |backoff: Backoff, random: &mut fastrand::Rng| {
        if random.u8(0..4) == 0 { backoff.limit(3) } else { backoff }
    };
    Config {
        reconnect: limited(Backoff::reconnect(), random),
        rejoin: limited(Backoff::rejoin(), random),
        heartbeat: (random.u8(0..5) > 0).then(|| ms(30_000)),
        dynamic: random.bool(),
        waiting_pushes: 4,
        waiting_bytes: 1_000,
        seed: random.u64(..),
        ..Config::default()
    }
}

fn name<T>(state: &State<T>) -> &'static str {
    match state {
        State::Idle => "channel idle",
        State::Wanted => "channel wanted",
        State::Asking { .. } => "channel asking",
        State::Joining { .. } => "channel joining",
        State::Joined { .. } => "channel joined",
        State::Leaving { .. } => "channel leaving",
        State::Errored { .. } => "channel errored",
        State::Closed { .. } => "channel closed",
    }
}
