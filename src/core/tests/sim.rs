//! A core, a clock moved by hand, and a record of all that it said.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde_json::{Value, json};

use crate::{
    core::{
        ChannelId, Command, Config, Core, Declined, Instant, Join, Opening, Outcome, Output, Params, Push, Raw, Refs,
        To,
    },
    error::{CastError, ConnectError, JoinError, LeaveError, PushError},
    message::Reply,
    payload::{IntoPayload, Payload},
    serializer::{Codec, Envelope, V2},
    status::{ChannelStatus, Status},
    telemetry::Telemetry,
    transport::Frame,
};

/// By a transport that wants heartbeats and is the first choice.
pub(super) const OPENING: Opening = Opening { transport: "memory", heartbeats: true, fallback: None };

/// A token: a plain number.
pub(super) type Token = u32;

/// The core under test. Every call drains what the core says; frames are written at once while `writable`.
pub(super) struct Sim {
    pub(super) core: Core<Token>,
    pub(super) now: Instant,
    refs: Refs,
    next_token: Token,
    next_channel: ChannelId,
    /// Whether the connection takes frames; off, it is a blocked write.
    pub(super) writable: bool,
    /// Text frames written, with the millisecond.
    pub(super) written: Vec<(u128, Value)>,
    pub(super) binary: Vec<Vec<u8>>,
    /// How each token was settled. A token settled twice panics.
    pub(super) settled: BTreeMap<Token, Outcome>,
    pub(super) statuses: Vec<Status>,
    pub(super) channels: BTreeMap<ChannelId, Vec<ChannelStatus>>,
    pub(super) telemetry: Vec<Telemetry>,
    /// Messages handed to streams: channel, event, payload text.
    pub(super) delivered: Vec<(ChannelId, String, String)>,
    /// Every message, as it came.
    pub(super) seen: Vec<Envelope>,
    /// Closures asked for the params of a join: channel and number. One that is not wanted any more is taken out.
    pub(super) asked: Vec<(ChannelId, u64)>,
    pub(super) latencies: Vec<Option<Duration>>,
    /// How joins came out: the payload, or the error in words.
    pub(super) outcomes: Vec<(ChannelId, String)>,
    /// `NotJoined` told to the streams of a channel.
    pub(super) not_joined: Vec<(ChannelId, String)>,
    pub(super) ended: Vec<ChannelId>,
    /// Dial, Abandon, Hangup (with what is flushed), Finished; with the millisecond.
    pub(super) acts: Vec<(u128, Act)>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Act {
    Dial,
    Abandon,
    Hangup { last: Vec<Value>, code: u16, reason: String },
    Finished,
}

pub(super) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// No jitter, so that times are exact.
pub(super) fn config() -> Config {
    let base = Config::default();
    Config { reconnect: base.reconnect.clone().jitter(false), rejoin: base.rejoin.clone().jitter(false), ..base }
}

impl Sim {
    pub(super) fn new() -> Self {
        Sim::with(config())
    }

    pub(super) fn with(config: Config) -> Self {
        Sim::counting(config, Refs::default())
    }

    /// With refs of one's own.
    pub(super) fn counting(config: Config, refs: Refs) -> Self {
        Sim {
            core: Core::new(config, Codec::new(V2), refs.clone()),
            now: Instant::default(),
            refs,
            next_token: 1,
            next_channel: 1,
            writable: true,
            written: Vec::new(),
            binary: Vec::new(),
            settled: BTreeMap::new(),
            statuses: Vec::new(),
            channels: BTreeMap::new(),
            telemetry: Vec::new(),
            delivered: Vec::new(),
            seen: Vec::new(),
            asked: Vec::new(),
            latencies: Vec::new(),
            outcomes: Vec::new(),
            not_joined: Vec::new(),
            ended: Vec::new(),
            acts: Vec::new(),
        }
    }

    /// Connected, with nothing written yet.
    pub(super) fn open() -> Self {
        let mut sim = Sim::new();
        sim.connect();
        sim.up();
        sim
    }

    /// Connected, with `topic` joined; the second is the channel, the third its join ref.
    pub(super) fn joined(topic: &str) -> (Self, ChannelId, String) {
        let mut sim = Sim::open();
        let channel = sim.channel(topic);
        sim.join(channel, json!({}));
        let join_ref = sim.accept(channel);
        sim.written.clear();
        (sim, channel, join_ref)
    }

    pub(super) fn millis(&self) -> u128 {
        self.now.0.as_millis()
    }

    // What the handles would do.

    pub(super) fn connect(&mut self) -> Token {
        let token = self.token();
        let (id, deadline) = (self.refs.next(), self.now + ms(30_000));
        self.command(Command::Connect { id, token: Some(token), deadline });
        token
    }

    pub(super) fn disconnect(&mut self, code: u16, reason: &str) -> Token {
        let token = self.token();
        self.command(Command::Disconnect { code, reason: reason.into(), token: Some(token) });
        token
    }

    pub(super) fn close(&mut self) -> Token {
        let token = self.token();
        self.command(Command::Close { token: Some(token) });
        token
    }

    pub(super) fn channel(&mut self, topic: &str) -> ChannelId {
        let channel = self.next_channel;
        self.next_channel += 1;
        self.command(Command::Register { channel, topic: topic.into() });
        channel
    }

    pub(super) fn join(&mut self, channel: ChannelId, params: impl IntoPayload) -> Token {
        self.join_within(channel, params, ms(10_000))
    }

    pub(super) fn join_within(&mut self, channel: ChannelId, params: impl IntoPayload, within: Duration) -> Token {
        let params = Some(params.into_payload().expect("encodes"));
        self.ask_join(channel, params, within, false).0
    }

    /// With params that a closure says.
    pub(super) fn join_with(&mut self, channel: ChannelId) -> Token {
        self.join_within_asked(channel, ms(10_000))
    }

    pub(super) fn join_within_asked(&mut self, channel: ChannelId, within: Duration) -> Token {
        self.declare(channel, Some(Params::Asked), within, false).0
    }

    /// The closure that was asked last says this.
    pub(super) fn say(&mut self, answer: Result<Value, Declined>) {
        let (channel, number) = *self.asked.last().expect("nothing was asked");
        let answer = answer.map(|params| params.into_payload().expect("encodes"));
        self.core.handle_params(self.now, channel, number, answer);
        self.drain();
    }

    pub(super) fn ping(&mut self, within: Duration) -> (Token, u64) {
        let (token, id) = (self.token(), self.refs.next());
        self.command(Command::Ping { id, token, deadline: self.now + within });
        (token, id)
    }

    /// A message past all channels; its token, and the id by which it is cancelled.
    pub(super) fn raw(&mut self, event: &str, payload: impl IntoPayload, within: Duration) -> (Token, u64) {
        let (token, id) = (self.token(), self.refs.next());
        let (event, payload) = (event.into(), payload.into_payload().expect("encodes"));
        let to = To::Raw(Box::new(Raw { join_ref: None, reference: Some("mine".into()), topic: "raw:1".into() }));
        let deadline = self.now + within;
        self.command(Command::Push(Push {
            to,
            id,
            event,
            payload,
            deadline,
            token,
            wants_reply: false,
            patient: false,
        }));
        (token, id)
    }

    pub(super) fn rejoin(&mut self, channel: ChannelId) -> Token {
        self.ask_join(channel, None, ms(10_000), true).0
    }

    /// The token of the caller, and the id by which it cancels.
    pub(super) fn ask_join(
        &mut self,
        channel: ChannelId,
        params: Option<Payload>,
        within: Duration,
        again: bool,
    ) -> (Token, u64) {
        self.declare(channel, params.map(Params::Ready), within, again)
    }

    fn declare(&mut self, channel: ChannelId, params: Option<Params>, within: Duration, again: bool) -> (Token, u64) {
        let (token, id) = (self.token(), self.refs.next());
        let caller = Some((token, self.now + within));
        self.command(Command::Join(Join { channel, id, params, caller, again }));
        (token, id)
    }

    pub(super) fn leave(&mut self, channel: ChannelId) -> Token {
        let token = self.token();
        let deadline = self.now + ms(10_000);
        self.command(Command::Leave { channel, token: Some(token), deadline });
        token
    }

    pub(super) fn push(&mut self, channel: ChannelId, event: &str, payload: impl IntoPayload) -> Token {
        self.push_within(channel, event, payload, ms(10_000)).0
    }

    /// The token of the push, and the ref it goes out under.
    pub(super) fn push_within(
        &mut self,
        channel: ChannelId,
        event: &str,
        payload: impl IntoPayload,
        within: Duration,
    ) -> (Token, u64) {
        self.send(channel, event, payload, within, true)
    }

    pub(super) fn cast(&mut self, channel: ChannelId, event: &str, payload: impl IntoPayload) -> Token {
        self.send(channel, event, payload, ms(10_000), false).0
    }

    fn send(
        &mut self,
        channel: ChannelId,
        event: &str,
        payload: impl IntoPayload,
        within: Duration,
        wants_reply: bool,
    ) -> (Token, u64) {
        let (token, id) = (self.token(), self.refs.next());
        let payload = payload.into_payload().expect("encodes");
        let deadline = self.now + within;
        let event: Arc<str> = event.into();
        let to = To::Channel(channel);
        self.command(Command::Push(Push {
            to,
            id,
            event: (&*event).into(),
            payload,
            deadline,
            token,
            wants_reply,
            patient: false,
        }));
        (token, id)
    }

    pub(super) fn cancel(&mut self, channel: ChannelId, id: u64) {
        self.command(Command::Cancel { channel: Some(channel), id });
    }

    pub(super) fn forget(&mut self, channel: ChannelId) {
        self.command(Command::Forget { channel });
    }

    pub(super) fn command(&mut self, command: Command<Token>) {
        self.core.handle_command(self.now, command);
        self.drain();
    }

    // What the connection and the server would do.

    pub(super) fn up(&mut self) {
        self.core.handle_open(self.now, OPENING);
        self.drain();
    }

    pub(super) fn dial_fails(&mut self, cause: ConnectError) {
        self.core.handle_failed(self.now, cause, false);
        self.drain();
    }

    pub(super) fn lost(&mut self, cause: ConnectError) {
        self.core.handle_lost(self.now, cause);
        self.drain();
    }

    pub(super) fn server_closes(&mut self, code: u16) {
        self.lost(ConnectError::ClosedByServer { code, reason: "".into() });
    }

    pub(super) fn hung_up(&mut self) {
        self.core.handle_hung_up();
        self.drain();
    }

    pub(super) fn receive(&mut self, message: Value) {
        self.receive_frame(Frame::Text(message.to_string().into()));
    }

    pub(super) fn receive_frame(&mut self, frame: Frame) {
        let (delivered, seen) = (&mut self.delivered, &mut self.seen);
        self.core.handle_frame(self.now, &frame, |channel, message| {
            if let Some(channel) = channel {
                let payload = String::from_utf8_lossy(message.body.bytes).into_owned();
                delivered.push((channel, message.event.as_str().to_owned(), payload));
            }
            seen.push(message.to_envelope());
        });
        self.drain();
    }

    /// The reply to the last written message of this event.
    pub(super) fn reply(&mut self, event: &str, status: &str, response: Value) {
        let asked = self.last(event);
        self.receive(json!([
            asked[0],
            asked[1],
            asked[2],
            "phx_reply",
            { "response": response, "status": status }
        ]));
    }

    /// Accepts the last join written for this channel's topic; its join ref.
    pub(super) fn accept(&mut self, _channel: ChannelId) -> String {
        let join_ref = self.last("phx_join")[0].as_str().expect("a ref").to_owned();
        self.reply("phx_join", "ok", json!({}));
        join_ref
    }

    /// Moves the clock, stopping at every instant that something waits for.
    pub(super) fn advance(&mut self, by: Duration) {
        let end = self.now + by;
        while let Some(next) = self.core.poll_timeout().filter(|next| *next <= end) {
            self.now = self.now.max(next);
            self.core.handle_timeout(self.now);
            self.drain();
        }
        self.now = end;
    }

    pub(super) fn drain(&mut self) {
        self.listen();
        while self.writable
            && let Some(frame) = self.core.poll_transmit(self.now)
        {
            match frame {
                Frame::Text(text) => {
                    let value = serde_json::from_slice(&text).expect("what is written is JSON");
                    self.written.push((self.now.0.as_millis(), value));
                }
                Frame::Binary(bytes) => self.binary.push(bytes.to_vec()),
                Frame::Close { .. } => panic!("the core writes no close frame"),
            }
            self.listen();
        }
        // What could not be encoded is told though nothing was written.
        self.listen();
    }

    fn listen(&mut self) {
        while let Some(output) = self.core.poll() {
            self.record(output);
        }
    }

    fn record(&mut self, output: Output<Token>) {
        let at = self.now.0.as_millis();
        match output {
            Output::Dial => self.acts.push((at, Act::Dial)),
            Output::Abandon => self.acts.push((at, Act::Abandon)),
            Output::Hangup { last, code, reason } => {
                let text = |frame: Frame| match frame {
                    Frame::Text(text) => serde_json::from_slice(&text).expect("JSON"),
                    other => json!(format!("{other:?}")),
                };
                let last = last.into_iter().map(text).collect();
                self.acts.push((at, Act::Hangup { last, code, reason: reason.to_string() }));
            }
            Output::Settle(token, outcome) => {
                let before = self.settled.insert(token, outcome);
                assert!(before.is_none(), "token {token} was settled twice: {before:?}");
            }
            Output::Ask(channel, number) => self.asked.push((channel, number)),
            Output::Unask(channel) => self.asked.retain(|(asked, _)| *asked != channel),
            Output::Latency(round_trip) => self.latencies.push(round_trip),
            Output::JoinSent(..) | Output::OlderEnded(_) => {}
            Output::Joined(channel, outcome) => {
                let outcome = outcome.map_or_else(|error| error.to_string(), |reply| reply.payload().to_string());
                self.outcomes.push((channel, outcome));
            }
            Output::Status(status) => self.statuses.push(status),
            Output::Channel(channel, status) => self.channels.entry(channel).or_default().push(status),
            Output::NotJoined(channel, cause) => self.not_joined.push((channel, cause.to_string())),
            Output::EndStreams(channel) => self.ended.push(channel),
            Output::Forgotten(_) => {}
            Output::Telemetry(telemetry) => self.telemetry.push(telemetry),
            Output::Finished => self.acts.push((at, Act::Finished)),
        }
    }

    // What a test asks.

    /// The last written message of this event.
    pub(super) fn last(&self, event: &str) -> Value {
        let found = self.written.iter().rev().find(|(_, message)| message[3] == event);
        found.unwrap_or_else(|| panic!("no {event} among {:?}", self.written)).1.clone()
    }

    /// The event names written, with the millisecond, since the last call.
    pub(super) fn take_written(&mut self) -> Vec<(u128, String)> {
        let name = |message: &Value| message[3].as_str().expect("an event").to_owned();
        self.written.drain(..).map(|(at, message)| (at, name(&message))).collect()
    }

    /// When it dialed.
    pub(super) fn dials(&self) -> Vec<u128> {
        self.acts.iter().filter(|(_, act)| *act == Act::Dial).map(|(at, _)| *at).collect()
    }

    pub(super) fn status(&self) -> &Status {
        self.statuses.last().expect("a status")
    }

    pub(super) fn channel_status(&self, channel: ChannelId) -> &ChannelStatus {
        self.channels.get(&channel).and_then(|all| all.last()).unwrap_or(&ChannelStatus::Idle)
    }

    pub(super) fn joined_as(&self, token: Token) -> &Result<Reply, JoinError> {
        match self.settled.get(&token) {
            Some(Outcome::Join(outcome)) => outcome,
            other => panic!("the join is {other:?}"),
        }
    }

    pub(super) fn pushed_as(&self, token: Token) -> &Result<Reply, PushError> {
        match self.settled.get(&token) {
            Some(Outcome::Push(outcome)) => outcome,
            other => panic!("the push is {other:?}"),
        }
    }

    pub(super) fn cast_as(&self, token: Token) -> &Result<(), CastError> {
        match self.settled.get(&token) {
            Some(Outcome::Cast(outcome)) => outcome,
            other => panic!("the cast is {other:?}"),
        }
    }

    pub(super) fn left_as(&self, token: Token) -> &Result<(), LeaveError> {
        match self.settled.get(&token) {
            Some(Outcome::Leave(outcome)) => outcome,
            other => panic!("the leave is {other:?}"),
        }
    }

    pub(super) fn connected_as(&self, token: Token) -> &Result<(), ConnectError> {
        match self.settled.get(&token) {
            Some(Outcome::Connect(outcome)) => outcome,
            other => panic!("the connect is {other:?}"),
        }
    }

    /// The round trip, or the name of the error.
    pub(super) fn pinged_as(&self, token: Token) -> Result<Duration, String> {
        match self.settled.get(&token) {
            Some(Outcome::Ping(outcome)) => outcome.clone().map_err(|error| format!("{error:?}")),
            other => panic!("the ping is {other:?}"),
        }
    }

    pub(super) fn is_pending(&self, token: Token) -> bool {
        !self.settled.contains_key(&token)
    }

    fn token(&mut self) -> Token {
        self.next_token += 1;
        self.next_token
    }
}
