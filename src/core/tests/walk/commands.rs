//! What programs do.

use serde_json::json;

use super::{
    model::{Kind, Told},
    world::World,
};
use crate::{
    core::{ChannelId, Command, Instant, Join, Params, Push, Raw, To, tests::sim::ms},
    payload::{Binary, IntoPayload, Payload},
};

pub(super) const ALL: [&str; 18] = [
    "connect",
    "disconnect",
    "close",
    "register",
    "join",
    "detached join",
    "rejoin",
    "leave",
    "push",
    "cast",
    "raw push",
    "ping",
    "cancelled raw push",
    "cancelled ping",
    "cancelled connect",
    "cancelled join",
    "cancelled push",
    "forget",
];

/// The last is too long for a binary frame.
pub(super) fn topics() -> [String; 4] {
    ["t:0".to_owned(), "t:1".to_owned(), "t:2".to_owned(), format!("t:{}", "x".repeat(300))]
}

impl World {
    pub(super) fn command_step(&mut self) -> String {
        let before = self.core.holdings();
        let what = self.some_command();
        let told = self.effects.outputs + self.effects.frames > 0 || self.core.holdings() != before;
        if told {
            self.visits.count(what);
        }
        format!("{what}: {:?}", self.effects)
    }

    fn some_command(&mut self) -> &'static str {
        let up = self.model.is_open() || self.model.dialing;
        match self.random.u8(0..100) {
            0 => {
                self.cause.ended = true;
                self.close();
                "close"
            }
            1..=2 => self.disconnect(),
            3..=13 if self.model.count(|held| held.kind == Kind::Connect) > 0 => {
                self.cancel(&[Kind::Connect], "cancelled connect")
            }
            3..=39 if !up => self.connect(),
            3..=6 => self.connect(),
            7..=11 => self.cancel(&[Kind::Join], "cancelled join"),
            12..=16 => self.cancel(&[Kind::Push, Kind::Cast], "cancelled push"),
            17..=22 => self.register(),
            23..=24 => self.forget(),
            25..=31 => self.leave(),
            32..=45 => self.join(true, false),
            46..=50 => self.join(false, false),
            51..=54 => self.join(true, true),
            55..=61 => self.push(false),
            62..=67 => self.raw(),
            68..=71 => self.ping(),
            72..=74 => self.cancel(&[Kind::Raw], "cancelled raw push"),
            75..=77 => self.cancel(&[Kind::Ping], "cancelled ping"),
            _ => self.push(true),
        }
    }

    fn connect(&mut self) -> &'static str {
        let (id, deadline) = (self.refs.next(), self.deadline());
        let token = (!self.one_in(4)).then(|| self.hold(Kind::Connect, None, id, Some(deadline)));
        self.command(Command::Connect { id, token, deadline });
        "connect"
    }

    fn disconnect(&mut self) -> &'static str {
        self.cause.ended = true;
        let token = self.random.bool().then(|| self.hold(Kind::Closer, None, 0, None));
        self.command(Command::Disconnect { code: 4000, reason: "lunch".into(), token });
        "disconnect"
    }

    /// A topic in use is taken over now and then: its last handle is gone, and its farewell is late.
    fn register(&mut self) -> &'static str {
        let topics = topics();
        let free: Vec<_> = topics.iter().filter(|topic| !self.model.topics.contains_key(*topic)).collect();
        let topic = match self.pick(&free) {
            Some(topic) => topic.clone(),
            None if !self.one_in(4) => return self.push(true),
            None => topics[self.random.usize(0..topics.len())].clone(),
        };
        if let Some(earlier) = self.model.topics.get(&topic) {
            self.cause.leaving = Some(*earlier);
            self.unwant(*earlier);
        }
        let channel = self.new_channel(&topic);
        self.command(Command::Register { channel, topic: topic.as_str().into() });
        "register"
    }

    fn join(&mut self, waits: bool, again: bool) -> &'static str {
        let Some(channel) = self.some_channel() else { return self.register() };
        let (id, deadline) = (self.refs.next(), self.deadline());
        let params = (!again || self.random.bool()).then(|| self.params());
        if let Some(known) = self.model.channels.get_mut(&channel)
            && !self.model.closed
        {
            known.wanted = true;
            known.asks = params.as_ref().map_or(known.asks, |params| matches!(params, Params::Asked));
            let written = known.current.is_some() && known.listens();
            if again && written {
                known.again = true;
                known.gone = None;
            }
        }
        let caller = waits.then(|| (self.hold(Kind::Join, Some(channel), id, Some(deadline)), deadline));
        self.command(Command::Join(Join { channel, id, params, caller, again }));
        match (waits, again) {
            (_, true) => "rejoin",
            (true, _) => "join",
            (false, _) => "detached join",
        }
    }

    fn leave(&mut self) -> &'static str {
        let Some(channel) = self.some_channel() else { return self.register() };
        let deadline = self.deadline();
        self.cause.leaving = Some(channel);
        self.unwant(channel);
        let token = self.random.bool().then(|| self.hold(Kind::Leave, Some(channel), 0, Some(deadline)));
        self.command(Command::Leave { channel, token, deadline });
        "leave"
    }

    fn forget(&mut self) -> &'static str {
        let Some(channel) = self.some_channel() else { return self.register() };
        self.cause.leaving = Some(channel);
        self.unwant(channel);
        self.command(Command::Forget { channel });
        "forget"
    }

    fn push(&mut self, wants_reply: bool) -> &'static str {
        let Some(channel) = self.some_channel() else { return self.register() };
        let (id, deadline, payload) = (self.refs.next(), self.deadline(), self.payload());
        let kind = if wants_reply { Kind::Push } else { Kind::Cast };
        let token = self.hold(kind, Some(channel), id, Some(deadline));
        let event = "do".into();
        let (to, patient) = (To::Channel(channel), self.one_in(4));
        self.command(Command::Push(Push { to, id, event, payload, deadline, token, wants_reply, patient }));
        if wants_reply { "push" } else { "cast" }
    }

    fn raw(&mut self) -> &'static str {
        let (id, deadline, payload) = (self.refs.next(), self.deadline(), self.payload());
        let token = self.hold(Kind::Raw, None, id, Some(deadline));
        // Its own words stand for its ref, so that it is known again.
        let to = To::Raw(Box::new(Raw { join_ref: None, reference: Some(id.to_string().into()), topic: "raw".into() }));
        let (event, wants_reply, patient) = ("raw".into(), false, false);
        self.command(Command::Push(Push { to, id, event, payload, deadline, token, wants_reply, patient }));
        "raw push"
    }

    fn ping(&mut self) -> &'static str {
        let (id, deadline) = (self.refs.next(), self.deadline());
        let token = self.hold(Kind::Ping, None, id, Some(deadline));
        self.command(Command::Ping { id, token, deadline });
        "ping"
    }

    /// The future of a caller is dropped; now and then one that is settled already. Nobody is told.
    fn cancel(&mut self, kinds: &[Kind], name: &'static str) -> &'static str {
        let held: Vec<_> = self.model.held.iter().filter(|(_, held)| kinds.contains(&held.kind)).collect();
        let all: Vec<_> = held.iter().map(|(token, held)| (**token, held.channel, held.id)).collect();
        let said = self.effects.outputs;
        match self.pick(&all) {
            Some((token, channel, id)) => {
                let held = self.model.held.remove(&token).expect("it is held");
                self.given_up(&held);
                self.command(Command::Cancel { channel, id });
                assert_eq!(held.token.strong_count(), 0, "a cancelled token is still held");
            }
            None => {
                let channel = self.some_channel();
                self.command(Command::Cancel { channel, id: u64::MAX });
            }
        }
        assert_eq!(self.effects.outputs, said, "a cancel said something");
        name
    }

    fn unwant(&mut self, channel: ChannelId) {
        if let Some(known) = self.model.channels.get_mut(&channel) {
            known.wanted = false;
        }
    }

    /// Mostly one that is there; now and then one that is forgotten.
    pub(super) fn some_channel(&mut self) -> Option<ChannelId> {
        if self.one_in(40)
            && let Some(id) = self.model.dead.last()
        {
            return Some(*id);
        }
        let ids: Vec<_> = self.model.channels.keys().copied().collect();
        self.pick(&ids)
    }

    pub(super) fn channels_in(&self, states: &[Told]) -> Vec<ChannelId> {
        let found = self.model.channels.iter().filter(|(_, channel)| states.contains(&channel.state));
        found.map(|(id, _)| *id).collect()
    }

    fn deadline(&mut self) -> Instant {
        let within = match self.random.u8(0..10) {
            0 => 0,
            1..=4 => self.random.u64(1..2_000),
            _ => 10_000,
        };
        self.now + ms(within)
    }

    /// A closure says them, now and then.
    fn params(&mut self) -> Params {
        if self.one_in(3) { Params::Asked } else { Params::Ready(self.payload()) }
    }

    fn payload(&mut self) -> Payload {
        let payload = match self.random.u8(0..6) {
            0 => Binary(vec![0, 255]).into_payload(),
            1 => json!("x".repeat(400)).into_payload(),
            _ => json!({ "n": 1 }).into_payload(),
        };
        payload.expect("encodes")
    }
}
