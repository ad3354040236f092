//! All of the protocol, and nothing else: no IO, no clock, no runtime, no subscribers.
//!
//! ```text
//!   Command, frame, up, down, now  -->  Core  -->  Output (poll), frames (poll_transmit), messages (deliver)
//! ```
//!
//! # The contract
//! 1. After every call, drain [`Core::poll`]. While the connection has room, drain [`Core::poll_transmit`].
//! 2. `now` never goes back. Call [`Core::handle_timeout`] no earlier than [`Core::poll_timeout`] says.
//!
//! Whoever waits for an answer is a token `T`, settled exactly once (law 4).

mod channel;
mod config;
pub(crate) mod event;
mod ids;
mod join;
mod leave;
mod line;
mod link;
mod outbox;
mod params;
mod ping;
mod push;
mod raw;
mod receive;
pub(crate) mod refs;
mod retry;
mod time;

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use self::{
    channel::Channel,
    link::Link,
    outbox::{Out, Outbox},
    ping::Pings,
    raw::Raws,
    time::{Timer, Timers},
};
pub(crate) use self::{
    config::Config,
    ids::IdMap,
    link::{HEARTBEAT_TIMEOUT, Opening, heartbeat},
    params::Declined,
    refs::Refs,
    time::Instant,
};
use crate::{
    error::{CastError, ConnectError, JoinError, LeaveError, NotJoined, PingError, PushError},
    message::{Reply, Topic},
    payload::Payload,
    serializer::Codec,
    status::{ChannelStatus, Status},
    telemetry::Telemetry,
    transport::Frame,
    word::Word,
};

/// The identity of a channel handle. Never used again.
pub(crate) type ChannelId = u64;

/// What the handles ask for. Ids are refs of the socket's own counter.
#[derive(Debug)]
pub(crate) enum Command<T> {
    Connect {
        id: u64,
        token: Option<T>,
        deadline: Instant,
    },
    Disconnect {
        code: u16,
        reason: Arc<str>,
        token: Option<T>,
    },
    Close {
        token: Option<T>,
    },
    Register {
        channel: ChannelId,
        topic: Topic,
    },
    Join(Join<T>),
    Leave {
        channel: ChannelId,
        token: Option<T>,
        deadline: Instant,
    },
    Push(Push<T>),
    Ping {
        id: u64,
        token: T,
        deadline: Instant,
    },
    /// The future of a connect, join, push, cast or ping was dropped.
    Cancel {
        channel: Option<ChannelId>,
        id: u64,
    },
    /// The last holder of the channel was dropped.
    Forget {
        channel: ChannelId,
    },
}

#[derive(Debug)]
pub(crate) struct Join<T> {
    pub(crate) channel: ChannelId,
    pub(crate) id: u64,
    /// None where a rejoin keeps the params it has.
    pub(crate) params: Option<Params>,
    /// None where nobody waits.
    pub(crate) caller: Option<(T, Instant)>,
    /// A fresh join even where one stands.
    pub(crate) again: bool,
}

/// What a join sends.
#[derive(Clone, Debug)]
pub(crate) enum Params {
    Ready(Payload),
    /// Whatever a closure says, asked before every join: see [`Output::Ask`].
    Asked,
}

/// Where a push goes.
#[derive(Debug)]
pub(crate) enum To {
    Channel(ChannelId),
    /// Past all channels, as it is.
    Raw(Box<Raw>),
}

/// What stands around a raw push.
#[derive(Debug)]
pub(crate) struct Raw {
    pub(crate) join_ref: Option<Arc<str>>,
    pub(crate) reference: Option<Arc<str>>,
    pub(crate) topic: Topic,
}

#[derive(Debug)]
pub(crate) struct Push<T> {
    pub(crate) to: To,
    /// The ref it goes out under, unless it is raw.
    pub(crate) id: u64,
    pub(crate) event: Word,
    pub(crate) payload: Payload,
    pub(crate) deadline: Instant,
    pub(crate) token: T,
    /// Settled by a reply, or as soon as it is written.
    pub(crate) wants_reply: bool,
    /// Whoever sends it bounds by itself what waits: it is not refused for want of room.
    pub(crate) patient: bool,
}

/// What the driver does next.
#[derive(Debug)]
pub(crate) enum Output<T> {
    /// Open a connection; answer with `handle_open` or `handle_failed`.
    Dial,
    /// Drop the attempt in progress.
    Abandon,
    /// Flush these frames, close with this code and reason, and answer with `handle_hung_up`.
    Hangup {
        last: Vec<Frame>,
        code: u16,
        reason: Arc<str>,
    },
    Settle(T, Outcome),
    /// Ask the channel's closure for the params of this join; answer with `handle_params`.
    Ask(ChannelId, u64),
    /// The answer is not wanted any more.
    Unask(ChannelId),
    Status(Status),
    /// The last round trip that was measured over this connection.
    Latency(Option<Duration>),
    Channel(ChannelId, ChannelStatus),
    /// A join was written.
    JoinSent(ChannelId),
    /// How a join of the channel came out.
    Joined(ChannelId, Result<Reply, JoinError>),
    /// A join of the channel before the present one is over.
    OlderEnded(ChannelId),
    /// Each stream of the channel is told once.
    NotJoined(ChannelId, NotJoined),
    /// The streams of the channel's present life end; those taken while it was leaving belong to the next.
    EndStreams(ChannelId),
    /// The channel is forgotten.
    Forgotten(ChannelId),
    Telemetry(Telemetry),
    /// Closed for good, and all is said.
    Finished,
}

/// How a token is settled.
#[derive(Debug)]
pub(crate) enum Outcome {
    Connect(Result<(), ConnectError>),
    Join(Result<Reply, JoinError>),
    Push(Result<Reply, PushError>),
    Cast(Result<(), CastError>),
    Leave(Result<(), LeaveError>),
    Ping(Result<Duration, PingError>),
    /// A disconnect or close is through.
    Done,
}

#[derive(Debug)]
pub(crate) struct Core<T> {
    config: Config,
    codec: Codec,
    random: fastrand::Rng,
    refs: Refs,
    link: Link,
    /// Attempts that have failed in a row.
    tries: u32,
    connects: Vec<Waiter<T>>,
    /// Why there is no connection, since the last one or the last disconnect.
    last_cause: Option<Arc<ConnectError>>,
    /// Connections hung up that have not ended yet, and who waits for that.
    closing: usize,
    closers: Vec<T>,
    channels: IdMap<Channel<T>>,
    topics: HashMap<Topic, ChannelId>,
    /// Where the last message went: the next one often goes there too.
    last_channel: Option<ChannelId>,
    /// The header whose messages are for the streams of this channel, until anything about a channel changes.
    settled: Option<(u64, ChannelId)>,
    pings: Pings<T>,
    raws: Raws<T>,
    timers: Timers,
    outbox: Outbox,
    out: VecDeque<Output<T>>,
    /// Tokens taken and not settled yet; pushes among them.
    unsettled: usize,
    pending_pushes: usize,
    /// Whether what is taken from the outbox goes with a goodbye, which may be given up before it is written.
    parting: bool,
}

/// Someone who waits, until a deadline of their own.
#[derive(Debug)]
struct Waiter<T> {
    id: u64,
    token: T,
    deadline: Instant,
}

/// What the core holds, for [`Stats`](crate::Stats).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Holdings {
    pub(crate) channels: usize,
    pub(crate) pending_pushes: usize,
    pub(crate) callers: usize,
    pub(crate) timers: usize,
    pub(crate) outgoing_bytes: usize,
}

impl<T> Command<T> {
    fn has_token(&self) -> bool {
        match self {
            Command::Connect { token, .. }
            | Command::Disconnect { token, .. }
            | Command::Close { token }
            | Command::Leave { token, .. } => token.is_some(),
            Command::Join(join) => join.caller.is_some(),
            Command::Push(_) | Command::Ping { .. } => true,
            Command::Register { .. } | Command::Cancel { .. } | Command::Forget { .. } => false,
        }
    }
}

impl<T> Core<T> {
    pub(crate) fn new(config: Config, codec: Codec, refs: Refs) -> Self {
        Core {
            random: fastrand::Rng::with_seed(config.seed),
            config,
            codec,
            refs,
            link: Link::Idle,
            tries: 0,
            connects: Vec::new(),
            last_cause: None,
            closing: 0,
            closers: Vec::new(),
            channels: IdMap::default(),
            topics: HashMap::new(),
            last_channel: None,
            settled: None,
            pings: Pings::default(),
            raws: Raws::default(),
            timers: Timers::default(),
            outbox: Outbox::default(),
            out: VecDeque::new(),
            unsettled: 0,
            pending_pushes: 0,
            parting: false,
        }
    }

    /// Whether there is anything to do.
    #[inline]
    pub(crate) fn has_output(&self) -> bool {
        !self.out.is_empty()
    }

    /// The next thing to do.
    pub(crate) fn poll(&mut self) -> Option<Output<T>> {
        self.out.pop_front()
    }

    /// When `handle_timeout` wants to be called next.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    pub(crate) fn handle_command(&mut self, now: Instant, command: Command<T>) {
        self.unsettled += usize::from(command.has_token());
        match command {
            Command::Connect { id, token, deadline } => self.connect(now, id, token, deadline),
            Command::Disconnect { code, reason, token } => self.disconnect(now, code, reason, token),
            Command::Close { token } => self.close(now, token),
            Command::Register { channel, topic } => self.register(now, channel, topic),
            Command::Join(join) => self.join(now, join),
            Command::Leave { channel, token, deadline } => self.leave(channel, token, deadline),
            Command::Push(push) => self.push(push),
            Command::Ping { id, token, deadline } => self.ping(id, token, deadline),
            Command::Cancel { channel: Some(channel), id } => self.cancel(channel, id),
            Command::Cancel { channel: None, id } => {
                self.cancel_connect(id);
                self.cancel_ping(id);
                self.cancel_raw(id);
            }
            Command::Forget { channel } => self.forget(now, channel),
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        while let Some(timer) = self.timers.pop_due(now) {
            match timer {
                Timer::Link => self.link_timeout(now),
                Timer::Connect(id) => self.connect_timeout(id),
                Timer::Channel(channel) => self.channel_timeout(now, channel),
                Timer::Join(channel, id) => self.join_call_timeout(channel, id),
                Timer::Push(channel, id) => self.push_timeout(channel, id),
                Timer::Ping(id) => self.ping_timeout(id),
                Timer::Raw(id) => self.raw_timeout(id),
            }
        }
    }

    /// The next frame for the connection, which must take it.
    pub(crate) fn poll_transmit(&mut self, now: Instant) -> Option<Frame> {
        if !self.link.is_open() {
            return None;
        }
        loop {
            let frame = match self.outbox.pop()? {
                Out::Frame(frame) => Some(frame),
                Out::Heartbeat(reference) => self.write_heartbeat(now, reference),
                Out::Join(channel, join_ref) => self.write_join(now, channel, join_ref),
                Out::Push(channel, id, _) => self.write_push(channel, id),
                Out::Ping(id) => self.write_ping(now, id),
                Out::Raw(id, _) => self.write_raw(id),
            };
            if frame.is_some() {
                return frame;
            }
        }
    }

    /// Bytes accepted and not yet handed to the connection.
    pub(crate) fn outgoing_bytes(&self) -> usize {
        self.outbox.bytes()
    }

    pub(crate) fn has_outgoing(&self) -> bool {
        !self.outbox.is_empty()
    }

    pub(crate) fn holdings(&self) -> Holdings {
        Holdings {
            channels: self.channels.len(),
            pending_pushes: self.pending_pushes,
            callers: self.unsettled - self.pending_pushes,
            timers: self.timers.len(),
            outgoing_bytes: self.outbox.bytes(),
        }
    }

    fn settle(&mut self, token: T, outcome: Outcome) {
        self.unsettled -= 1;
        self.out.push_back(Output::Settle(token, outcome));
    }

    /// Whoever waited has gone.
    fn drop_token(&mut self, token: Option<T>) {
        self.unsettled -= usize::from(token.is_some());
    }

    fn tell(&mut self, telemetry: Telemetry) {
        self.out.push_back(Output::Telemetry(telemetry));
    }
}

#[cfg(test)]
mod tests;
