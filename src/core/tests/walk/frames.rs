//! What servers say, right and wrong. Each kind knows what must come of it.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{
    model::{Kind, Told},
    world::World,
};
use crate::{core::ChannelId, transport::Frame};

pub(super) const ALL: [&str; 37] = [
    "join: ok",
    "join: refused",
    "join: other status",
    "join: crashed",
    "join: unmatched topic",
    "join: stale reply",
    "push: ok",
    "push: error",
    "push: other status",
    "push: binary reply",
    "push: unmatched topic",
    "push: unmatched topic, late",
    "push: stale reply",
    "push: reply to nothing",
    "reply: malformed",
    "leave: ok",
    "leave: other status",
    "leave: stale reply",
    "heartbeat: ok",
    "heartbeat: by any message",
    "heartbeat: stale",
    "ping",
    "server push",
    "server push: stale",
    "server push: garbage join ref",
    "broadcast",
    "broadcast: to nobody",
    "binary push",
    "binary push: stale",
    "binary broadcast",
    "phx_error",
    "phx_error: stale",
    "phx_close",
    "phx_close: stale",
    "reserved name",
    "unmatched topic",
    "undecodable",
];

/// What must come of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expect {
    /// Not a thing.
    Nothing,
    /// It is handed to this channel's streams, and that is all.
    Delivered(ChannelId),
    /// The channel stands so.
    State(ChannelId, Told),
    /// This push is settled.
    Settled(u64),
    /// The leave is through.
    Left(ChannelId),
    /// The heartbeat is answered.
    Beat,
    /// This ping is.
    Pong(u64),
    /// It is told that it cannot be read.
    Undecodable,
}

impl World {
    pub(super) fn frame_step(&mut self) -> String {
        let kind = self.some_kind();
        let Some((frame, expect)) = self.some_frame(kind) else { return self.command_step() };
        let text = match &frame {
            Frame::Text(text) => String::from_utf8_lossy(text).into_owned(),
            other => format!("{other:?}"),
        };
        let quiet = matches!(expect, Expect::Nothing | Expect::Delivered(_) | Expect::Undecodable);
        let before = quiet.then(|| self.fingerprint());
        self.receive(frame);
        if let Some(before) = before {
            assert_eq!(self.fingerprint(), before, "{kind} changed something: {text}");
        }
        self.assert_expected(expect, &text);
        self.visits.count(kind);
        format!("{kind}: {text} {expect:?} {:?}", self.effects)
    }

    /// Half of the time an answer to something that waits for one, so that the walk gets deep.
    fn some_kind(&mut self) -> &'static str {
        let sent = self.model.count(|held| held.kind == Kind::Push && held.written.is_some());
        let pings = self.model.count(|held| held.kind == Kind::Ping && held.written.is_some());
        let class = match self.random.u8(0..10) {
            0..=1 if !self.channels_in(&[Told::Joining]).is_empty() => return "join: ok",
            2..=3 if sent > 0 => "push: ",
            8 if pings > 0 => return "ping",
            4 | 8 if self.model.channels.values().any(|channel| channel.leave.is_some()) => "leave: ",
            5..=6 | 9 if self.model.wire.heartbeat.is_some() => "heartbeat: ",
            7 if self.model.channels.values().any(|channel| channel.gone.is_some()) => "push: unmatched topic, late",
            _ => "",
        };
        let kinds: Vec<_> = ALL.into_iter().filter(|kind| kind.starts_with(class)).collect();
        self.pick(&kinds).unwrap_or(ALL[0])
    }

    fn assert_expected(&mut self, expect: Expect, text: &str) {
        let model = &self.model;
        let met = match expect {
            Expect::Nothing => self.effects.outputs == 0 && self.effects.delivered.is_empty(),
            Expect::Delivered(id) => {
                self.effects.outputs == 0 && self.effects.delivered.iter().all(|(to, _)| *to == id)
            }
            Expect::State(id, state) => {
                let given_up = (state, Told::Refused) == (Told::Errored, model.channels[&id].state);
                let limited = self.config.rejoin != crate::backoff::Backoff::rejoin();
                model.channels[&id].state == state || (given_up && limited)
            }
            Expect::Settled(push) => !model.held.values().any(|held| held.is_push() && held.id == push),
            Expect::Left(id) => model.channels[&id].state != Told::Leaving,
            Expect::Beat => self.effects.outputs > 0 && model.wire.heartbeat.is_none(),
            Expect::Pong(ping) => !model.held.values().any(|held| held.kind == Kind::Ping && held.id == ping),
            Expect::Undecodable => self.effects.outputs == 1 && self.effects.delivered.is_empty(),
        };
        let handed = usize::from(matches!(expect, Expect::Delivered(_)));
        assert!(met && self.effects.delivered.len() == handed, "{text} should be {expect:?}, was {:?}", self.effects);
    }

    fn some_frame(&mut self, kind: &'static str) -> Option<(Frame, Expect)> {
        let (class, detail) = kind.split_once(": ").unwrap_or((kind, ""));
        match class {
            "join" => self.join_reply(detail),
            "push" => self.push_reply(detail),
            "reply" => self.malformed_reply(),
            "leave" => self.leave_reply(detail),
            "heartbeat" => self.heartbeat_reply(detail),
            "ping" => self.pong(),
            "server push" => self.server_push(detail),
            "broadcast" => self.broadcast(detail),
            "binary push" => self.binary_push(detail),
            "binary broadcast" => self.binary_broadcast(),
            "phx_error" => self.ending("phx_error", detail),
            "phx_close" => self.ending("phx_close", detail),
            "reserved name" => self.reserved_name(),
            "unmatched topic" => self.unmatched_topic(),
            _ => self.undecodable(),
        }
    }

    fn server_push(&mut self, detail: &str) -> Option<(Frame, Expect)> {
        let id = self.known_channel()?;
        let channel = &self.model.channels[&id];
        let (topic, current) = (channel.topic.clone(), channel.current);
        let (join_ref, expect) = match detail {
            "stale" => (self.stale_ref(id), Expect::Nothing),
            "" => (self.spelled(current?), Expect::Delivered(id)),
            _ => (self.garbage_ref(), Expect::Nothing),
        };
        text(json!([join_ref, null, topic, "msg", { "n": 1 }]), expect)
    }

    fn broadcast(&mut self, detail: &str) -> Option<(Frame, Expect)> {
        let listens = detail.is_empty();
        let id = self.known_channel().filter(|id| self.model.channels[id].listens() == listens)?;
        let expect = if listens { Expect::Delivered(id) } else { Expect::Nothing };
        // An empty text is no join ref either (M-3).
        let none = if self.one_in(4) { json!("") } else { Value::Null };
        text(json!([none, null, self.model.channels[&id].topic, "shout", [1]]), expect)
    }

    fn binary_push(&mut self, detail: &str) -> Option<(Frame, Expect)> {
        let id = self.known_channel()?;
        let channel = &self.model.channels[&id];
        let (topic, current) = (channel.topic.clone(), channel.current);
        let (join_ref, expect) = match detail {
            "stale" => (self.stale_ref(id), Expect::Nothing),
            _ => (json!(current?.to_string()), Expect::Delivered(id)),
        };
        let join_ref = join_ref.as_str().map(str::to_owned).unwrap_or_else(|| join_ref.to_string());
        binary(0, &[&join_ref, &topic, "bin"], expect)
    }

    fn binary_broadcast(&mut self) -> Option<(Frame, Expect)> {
        let id = self.known_channel()?;
        let channel = &self.model.channels[&id];
        let expect = if channel.listens() { Expect::Delivered(id) } else { Expect::Nothing };
        binary(2, &[&channel.topic, "bin"], expect)
    }

    fn ending(&mut self, event: &str, detail: &str) -> Option<(Frame, Expect)> {
        let id = self.known_channel()?;
        let channel = &self.model.channels[&id];
        let (topic, current, state) = (channel.topic.clone(), channel.current, channel.state);
        if detail == "stale" {
            let stale = self.stale_ref(id);
            // The server's own channel ends with it, whatever this side makes of that.
            let live = self.model.wire.live.get(&topic).map(|live| json!(live.to_string()));
            if live.as_ref() == Some(&stale) {
                self.model.wire.live.remove(&topic);
            }
            return text(json!([stale, stale, topic, event, {}]), Expect::Nothing);
        }
        let current = current?;
        let join_ref = self.spelled(current);
        if self.model.wire.live.get(&topic) == Some(&current) {
            self.model.wire.live.remove(&topic);
        }
        let expect = match (state, event) {
            (Told::Leaving, _) => Expect::Left(id),
            (_, "phx_close") => Expect::State(id, Told::Closed),
            _ => Expect::State(id, Told::Errored),
        };
        match expect {
            Expect::Left(_) => self.cause.left = Some(id),
            Expect::State(_, Told::Closed) => self.cause.closed = Some(id),
            _ => self.cause.crashed = Some(id),
        }
        text(json!([join_ref, join_ref, topic, event, {}]), expect)
    }

    /// Applications may broadcast names of the protocol (C-27).
    fn reserved_name(&mut self) -> Option<(Frame, Expect)> {
        let id = self.known_channel()?;
        let channel = &self.model.channels[&id];
        let expect = if channel.listens() { Expect::Delivered(id) } else { Expect::Nothing };
        let topic = channel.topic.clone();
        let name = self.pick(&["phx_close", "phx_error", "phx_reply", "phx_join", "phx_leave"])?;
        text(json!([null, null, topic, name, { "status": "ok", "response": {} }]), expect)
    }

    fn unmatched_topic(&mut self) -> Option<(Frame, Expect)> {
        let topics = super::commands::topics();
        let free = topics.into_iter().find(|topic| !self.model.topics.contains_key(topic));
        let topic = free.unwrap_or_else(|| "t".to_owned());
        let event = self.pick(&["msg", "phx_close", "phx_error", "phx_reply"])?;
        let body = json!({ "status": "error", "response": { "reason": "unmatched topic" } });
        let future = self.future_ref();
        text(json!([null, future, topic, event, body]), Expect::Nothing)
    }

    fn undecodable(&mut self) -> Option<(Frame, Expect)> {
        self.cause.garbage = true;
        let frame = match self.random.u8(0..8) {
            0 => Frame::Text("{not json".into()),
            1 => Frame::Text(Bytes::new()),
            2 => Frame::Text("[null,null,\"t:0\",\"msg\"]".into()),
            3 => Frame::Text("[null,null,5,\"msg\",{}]".into()),
            4 => Frame::Binary(Bytes::new()),
            5 => Frame::Binary(Bytes::from_static(&[1, 1, 1])),
            6 => Frame::Binary(Bytes::from_static(&[9, 0, 0, 0])),
            _ => Frame::Binary(Bytes::from_static(&[2, 1, 1, 0xff, 0xfe])),
        };
        Some((frame, Expect::Undecodable))
    }

    pub(super) fn known_channel(&mut self) -> Option<ChannelId> {
        let ids: Vec<_> = self.model.channels.keys().copied().collect();
        self.pick(&ids)
    }

    /// A ref as servers repeat it; some as a number (W-5).
    pub(super) fn spelled(&mut self, reference: u64) -> Value {
        if self.one_in(5) { json!(reference) } else { json!(reference.to_string()) }
    }

    /// A join ref of this channel that is not its present one.
    pub(super) fn stale_ref(&mut self, id: ChannelId) -> Value {
        let channel = &self.model.channels[&id];
        let mut known = channel.old.clone();
        known.extend(channel.written.filter(|written| Some(*written) != channel.current));
        match self.pick(&known) {
            Some(reference) => json!(reference.to_string()),
            None => self.future_ref(),
        }
    }

    /// One that was never given out.
    pub(super) fn future_ref(&mut self) -> Value {
        json!((self.random.u64(1 << 54..1 << 60)).to_string())
    }

    pub(super) fn garbage_ref(&mut self) -> Value {
        let known = ["abc", "-1", "1.0", "007", " 1", "99999999999999999999999", "\u{0}"];
        self.pick(&known).map_or(Value::Null, Value::from)
    }
}

pub(super) fn text(message: Value, expect: Expect) -> Option<(Frame, Expect)> {
    Some((Frame::Text(message.to_string().into()), expect))
}

/// Lengths first, then the names, then some data; names that do not fit make no frame.
pub(super) fn binary(kind: u8, names: &[&str], expect: Expect) -> Option<(Frame, Expect)> {
    let mut bytes = vec![kind];
    for name in names {
        bytes.push(u8::try_from(name.len()).ok()?);
    }
    for name in names {
        bytes.extend_from_slice(name.as_bytes());
    }
    bytes.extend_from_slice(&[0, 255]);
    Some((Frame::Binary(bytes.into()), expect))
}
