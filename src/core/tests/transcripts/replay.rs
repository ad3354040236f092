//! A transcript's lines, given to a core as commands and frames.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::Value;

use super::{
    super::sim::{Sim, Token, ms},
    NOT_OURS,
};
use crate::{
    core::ChannelId,
    error::{JoinError, PushError},
    message::Reply,
    payload::Payload,
    status::ChannelStatus,
    transport::Frame,
};

/// One client of a transcript. Its refs are the transcript's; the core's own stand behind them.
pub(super) struct Replay {
    pub(super) sim: Sim,
    sections: VecDeque<(&'static str, Vec<&'static str>)>,
    /// What the core calls the transcript's refs.
    aliases: BTreeMap<String, String>,
    /// The caller of what was sent under each ref.
    tokens: BTreeMap<String, Token>,
    topics: BTreeMap<String, ChannelId>,
    passed: BTreeSet<&'static str>,
}

/// A message as the transcript has it, text or binary.
struct Line {
    join_ref: Value,
    reference: Value,
    topic: String,
    event: String,
    payload: Payload,
    binary: bool,
}

impl Replay {
    pub(super) fn new(transcript: &'static str) -> Self {
        let mut sections: VecDeque<(&str, Vec<&str>)> = VecDeque::new();
        for line in transcript.lines().filter(|line| !line.is_empty()) {
            match line.strip_prefix("#### ") {
                Some(title) => sections.push_back((title, Vec::new())),
                None => sections.back_mut().expect("a title comes first").1.push(line),
            }
        }
        Replay {
            sim: Sim::open(),
            sections,
            aliases: BTreeMap::new(),
            tokens: BTreeMap::new(),
            topics: BTreeMap::new(),
            passed: BTreeSet::new(),
        }
    }

    /// The lines of the next section, which has this title.
    pub(super) fn take(&mut self, title: &str) -> Vec<&'static str> {
        let (found, lines) = self.sections.pop_front().expect("a section");
        assert!(found.starts_with(title), "{found}");
        self.sim.delivered.clear();
        self.tokens.clear();
        lines
    }

    /// Replays a section without prose.
    pub(super) fn section(&mut self, title: &str) {
        for line in self.take(title) {
            self.line(line);
        }
    }

    pub(super) fn line(&mut self, line: &'static str) {
        if NOT_OURS.iter().any(|(listed, _)| *listed == line) {
            self.passed.insert(line);
            return;
        }
        match line.split_at(2) {
            ("> ", sent) => self.sent(sent),
            ("< ", "!! TCP FIN") => self.sim.lost(crate::error::ConnectError::Ended),
            ("< ", received) => self.received(received),
            ("= ", _) | ("--", _) => {}
            _ => panic!("what is {line}"),
        }
    }

    /// Does what makes the core send this line; what it wrote must be the line, under its own refs.
    pub(super) fn sent(&mut self, text: &str) {
        let line = Line::read(text, true);
        let key = name(&line.reference);
        let channel = self.channel(&line.topic);
        let before = (self.sim.written.len(), self.sim.binary.len());
        let token = match &*line.event {
            "heartbeat" => {
                self.until_the_heartbeat();
                None
            }
            "phx_join" => {
                let stands =
                    matches!(self.sim.channel_status(channel), ChannelStatus::Joined | ChannelStatus::Errored { .. });
                Some(self.sim.ask_join(channel, Some(line.payload.clone()), ms(10_000), stands).0)
            }
            "phx_leave" => Some(self.sim.leave(channel)),
            event => Some(self.sim.push_within(channel, event, line.payload.clone(), ms(10_000)).0),
        };
        let written = if line.binary {
            assert_eq!((self.sim.written.len(), self.sim.binary.len()), (before.0, before.1 + 1), "{text}");
            let frame = self.sim.binary.last().expect("it was written").clone();
            Line::read_binary(&frame, true)
        } else {
            assert!(self.sim.written.len() > before.0, "nothing was written for {text}");
            let message = self.sim.last(&line.event);
            Line::read_text(&message.to_string())
        };
        let ours = name(&written.reference);
        self.aliases.insert(key.clone(), ours.clone());
        if line.event == "phx_join" {
            self.aliases.insert(name(&line.join_ref), ours);
        }
        assert_eq!(written.join_ref, self.alias(&line.join_ref, true), "{text}");
        assert_eq!((&written.topic, &written.event), (&line.topic, &line.event));
        assert!(written.carries(&line.payload), "{text}");
        self.tokens.extend(token.map(|token| (key, token)));
    }

    pub(super) fn received(&mut self, text: &str) {
        // The time at which it came.
        let text = text.strip_prefix("+0.30s ").or(text.strip_prefix("+2.00s ")).unwrap_or(text);
        if let Some(code) = close_code(text) {
            return self.sim.server_closes(code);
        }
        let line = Line::read(text, false);
        let (join_ref, reference) = (self.alias(&line.join_ref, false), self.alias(&line.reference, false));
        self.sim.receive_frame(line.frame(text, &join_ref, &reference));
    }

    /// A ref of the core's own for one of the transcript. One that was never sent is nobody's.
    fn alias(&self, reference: &Value, sent: bool) -> Value {
        match reference {
            Value::Null => Value::Null,
            Value::Number(_) if !sent => match self.aliases.get(&name(reference)) {
                Some(ours) => Value::Number(ours.parse::<u64>().expect("a number").into()),
                None => Value::from(u64::MAX),
            },
            _ => {
                let nobody = || format!("nobody's {}", name(reference));
                Value::String(self.aliases.get(&name(reference)).cloned().unwrap_or_else(nobody))
            }
        }
    }

    fn channel(&mut self, topic: &str) -> ChannelId {
        if topic == "phoenix" {
            return 0;
        }
        let sim = &mut self.sim;
        *self.topics.entry(topic.to_owned()).or_insert_with(|| sim.channel(topic))
    }

    pub(super) fn until_the_heartbeat(&mut self) {
        let heartbeats = |sim: &Sim| sim.written.iter().filter(|(_, message)| message[3] == "heartbeat").count();
        let before = heartbeats(&self.sim);
        while heartbeats(&self.sim) == before {
            let next = self.sim.core.poll_timeout().expect("a heartbeat is due");
            self.sim.advance(next - self.sim.now);
        }
    }

    // What a test asks, by the transcript's names.

    pub(super) fn joined(&self, reference: &str) -> &Result<Reply, JoinError> {
        self.sim.joined_as(self.tokens[reference])
    }

    pub(super) fn pushed(&self, reference: &str) -> &Result<Reply, PushError> {
        self.sim.pushed_as(self.tokens[reference])
    }

    pub(super) fn left(&self, reference: &str) -> bool {
        self.sim.left_as(self.tokens[reference]).is_ok()
    }

    pub(super) fn is_pending(&self, reference: &str) -> bool {
        self.sim.is_pending(self.tokens[reference])
    }

    pub(super) fn token(&self, reference: &str) -> Token {
        self.tokens[reference]
    }

    pub(super) fn id(&self, topic: &str) -> ChannelId {
        self.topics[topic]
    }

    pub(super) fn status(&self, topic: &str) -> &ChannelStatus {
        self.sim.channel_status(self.topics[topic])
    }

    /// What the streams of this section got: event and payload.
    pub(super) fn delivered(&self) -> Vec<(&str, &str)> {
        self.sim.delivered.iter().map(|(_, event, payload)| (&**event, &**payload)).collect()
    }

    pub(super) fn finish(self) -> BTreeSet<&'static str> {
        assert!(self.sections.is_empty(), "not replayed: {:?}", self.sections);
        self.passed
    }
}

impl Line {
    fn read(text: &str, sent: bool) -> Self {
        match text.strip_prefix("BIN ") {
            Some(hex) => Line::read_binary(&bytes(hex), sent),
            None => Line::read_text(text),
        }
    }

    fn read_text(text: &str) -> Self {
        let (join_ref, reference, topic, event, payload): (
            Value,
            Value,
            String,
            String,
            Box<serde_json::value::RawValue>,
        ) = serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let payload = Payload::from_raw(payload.get().to_owned(), false);
        Line { join_ref, reference, topic, event, payload, binary: false }
    }

    fn read_binary(frame: &[u8], sent: bool) -> Self {
        let count = match (frame[0], sent) {
            (0, true) | (1, false) => 4,
            (0, false) => 3,
            _ => 2,
        };
        let mut rest = &frame[1 + count..];
        let mut names = frame[1..=count].iter().map(|len| {
            let (name, after) = rest.split_at(usize::from(*len));
            rest = after;
            std::str::from_utf8(name).expect("UTF-8").to_owned()
        });
        let mut next = || names.next().expect("a name");
        let optional = |text: String| if text.is_empty() { Value::Null } else { Value::String(text) };
        let (join_ref, reference) = match count {
            4 => (optional(next()), optional(next())),
            3 => (optional(next()), Value::Null),
            _ => (Value::Null, Value::Null),
        };
        let (topic, event) = (next(), next());
        drop(names);
        Line { join_ref, reference, topic, event, payload: Payload::from_raw(rest.to_vec(), true), binary: true }
    }

    fn carries(&self, payload: &Payload) -> bool {
        let json = |payload: &Payload| payload.json::<Value>().ok();
        self.payload == *payload || (json(payload).is_some() && json(&self.payload) == json(payload))
    }

    /// The frame with other refs.
    fn frame(&self, text: &str, join_ref: &Value, reference: &Value) -> Frame {
        if !self.binary {
            let names = (&self.topic, &self.event);
            let names = serde_json::to_string(&names).expect("encodes");
            let names = &names[1..names.len() - 1];
            let payload = self.payload.as_str().expect("text");
            return Frame::Text(format!("[{join_ref},{reference},{names},{payload}]").into());
        }
        let kind = bytes(&text["BIN ".len()..])[0];
        let plain = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let names = match kind {
            0 => vec![plain(join_ref), self.topic.clone(), self.event.clone()],
            1 => vec![plain(join_ref), plain(reference), self.topic.clone(), self.event.clone()],
            _ => vec![self.topic.clone(), self.event.clone()],
        };
        let mut frame = vec![kind];
        frame.extend(names.iter().map(|name| u8::try_from(name.len()).expect("short")));
        names.iter().for_each(|name| frame.extend_from_slice(name.as_bytes()));
        frame.extend_from_slice(self.payload.as_bytes());
        Frame::Binary(frame.into())
    }
}

/// The code in a line like `CLOSE 1011 ''`.
pub(super) fn close_code(text: &str) -> Option<u16> {
    let after = &text[text.find("CLOSE ")? + "CLOSE ".len()..];
    after.split(' ').next()?.parse().ok()
}

fn name(reference: &Value) -> String {
    reference.as_str().map_or_else(|| reference.to_string(), str::to_owned)
}

fn bytes(hex: &str) -> Vec<u8> {
    hex.split(' ').map(|byte| u8::from_str_radix(byte, 16).expect("hex")).collect()
}
