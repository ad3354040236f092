//! The laws: of every word, of every frame, and of what stands after every step.

use super::{
    model::{Held, Kind, Phase, Said, Token, Told, Wire},
    world::World,
};
use crate::{
    core::{ChannelId, Outcome, Output},
    error::{CastError, JoinError, NotJoined, NotSent, PingError, PushError},
    status::{ChannelClosed, ChannelStatus, Status},
    telemetry::Telemetry,
    transport::Frame,
};

/// A frame as the server reads it.
struct Read {
    join_ref: Option<u64>,
    reference: u64,
    topic: String,
    event: String,
}

impl World {
    pub(super) fn said(&mut self, output: Output<Token>) {
        match output {
            Output::Dial => self.model.dialing = true,
            Output::Abandon => self.model.dialing = false,
            Output::Hangup { .. } => {}
            Output::Settle(token, outcome) => self.settled(token, &outcome),
            Output::Ask(channel, number) => {
                assert!(self.model.is_open(), "asked without a connection");
                let known = self.model.channels.get_mut(&channel).expect("it is registered");
                assert!(known.wanted, "asked, and not wanted");
                assert_eq!(known.asking.replace(number), None, "asked twice");
            }
            Output::Unask(channel) => {
                if let Some(known) = self.model.channels.get_mut(&channel) {
                    assert!(known.asking.take().is_some(), "not asked");
                }
            }
            Output::Latency(round_trip) => {
                assert_eq!(round_trip.is_some(), self.cause.heartbeat || self.cause.pinged.is_some());
            }
            Output::JoinSent(channel) | Output::OlderEnded(channel) | Output::Joined(channel, _) => {
                assert!(self.model.channels.contains_key(&channel))
            }
            Output::Status(status) => {
                self.model.stopped = matches!(status, Status::Stopped { .. });
                assert_eq!(status.is_connected(), self.model.is_open());
                assert_eq!(status.is_closed(), self.model.closed);
            }
            Output::Channel(channel, status) => self.channel_said(channel, &status),
            Output::NotJoined(channel, _) => assert!(self.model.channels.contains_key(&channel)),
            Output::EndStreams(channel) => assert_eq!(self.model.channels[&channel].state, Told::Closed),
            Output::Forgotten(channel) => {
                let known = self.model.channels.remove(&channel).expect("forgotten once");
                if self.model.topics.get(&known.topic) == Some(&channel) {
                    self.model.topics.remove(&known.topic);
                }
                self.model.dead.push(channel);
            }
            Output::Telemetry(telemetry) => self.happened(&telemetry),
            Output::Finished => {
                assert!(self.model.closed && self.model.closing == 0);
                self.model.finished = true;
            }
        }
    }

    /// Law 8: each open has its close, each attempt its outcome, and nothing else comes between.
    fn happened(&mut self, telemetry: &Telemetry) {
        let model = &mut self.model;
        let (from, to) = match telemetry {
            Telemetry::Connecting { .. } => (Phase::Off, Phase::Connecting),
            Telemetry::Failed { .. } => (Phase::Connecting, Phase::Off),
            Telemetry::Opened { .. } => {
                assert!(self.cause.opened);
                model.wire = Wire::default();
                (Phase::Connecting, Phase::Open)
            }
            Telemetry::Closed { .. } => {
                assert!(self.cause.ended, "a connection ended for no reason");
                model.wire = Wire::default();
                for channel in model.channels.values_mut() {
                    channel.backoff = false;
                }
                (Phase::Open, Phase::Off)
            }
            Telemetry::Waiting { .. } | Telemetry::Stopped { .. } => (Phase::Off, Phase::Off),
            Telemetry::Heartbeat { .. } => {
                assert!(self.cause.heartbeat);
                model.wire.heartbeat = None;
                (Phase::Open, Phase::Open)
            }
            Telemetry::Switched { .. } | Telemetry::ProbeFailed { .. } => panic!("no transport tells anything here"),
            Telemetry::Undecodable { .. } => {
                assert!(self.cause.garbage);
                (Phase::Open, Phase::Open)
            }
            Telemetry::Joining { .. } | Telemetry::Joined { .. } | Telemetry::Rejoining { .. } => {
                (Phase::Open, Phase::Open)
            }
            Telemetry::Errored { .. } | Telemetry::ChannelClosed { .. } => (model.phase, model.phase),
        };
        assert_eq!(model.phase, from, "law 8: {telemetry:?}");
        model.phase = to;
    }

    fn channel_said(&mut self, id: ChannelId, status: &ChannelStatus) {
        let (cause, open, closed) = (&self.cause, self.model.is_open(), self.model.closed);
        let limited = self.config.rejoin != crate::backoff::Backoff::rejoin();
        let channel = self.model.channels.get_mut(&id).expect("it is registered");
        let before = channel.state;
        channel.again &= matches!(status, ChannelStatus::Joining);
        channel.leave = None;
        channel.backoff = false;
        let (state, because) = match status {
            ChannelStatus::Idle => (Told::Idle, false),
            ChannelStatus::Joining => (Told::Joining, channel.wanted || cause.leaving == Some(id)),
            ChannelStatus::Joined => (Told::Joined, cause.joined == Some(id)),
            ChannelStatus::Leaving => (Told::Leaving, cause.leaving == Some(id)),
            ChannelStatus::Errored { cause: why } => {
                let retried = matches!(
                    why,
                    NotJoined::Crashed(_) | NotJoined::TimedOut | NotJoined::UnmatchedTopic | NotJoined::Provider(_)
                );
                channel.backoff = open && retried && cause.said != Some((id, Said::Stop));
                match why {
                    NotJoined::ConnectionLost(_) => (Told::Errored, cause.ended),
                    NotJoined::Stopped(_) => (Told::Errored, true),
                    // A connection that ends takes the rejoin timer away, and says so.
                    NotJoined::Crashed(_) => (Told::Errored, cause.crashed == Some(id) || !open),
                    NotJoined::UnmatchedTopic => (Told::Errored, cause.unmatched == Some(id) || !open),
                    NotJoined::TimedOut => (Told::Errored, cause.time || !open),
                    NotJoined::Provider(_) if cause.said == Some((id, Said::Stop)) => (Told::Refused, true),
                    NotJoined::Provider(_) => (Told::Errored, cause.said == Some((id, Said::Failed)) || !open),
                    NotJoined::Refused(_) => (Told::Refused, cause.refused == Some(id)),
                    NotJoined::GaveUp => (Told::Refused, limited),
                    NotJoined::Unsendable(_) => (Told::Refused, channel.topic.len() > 255),
                }
            }
            ChannelStatus::Closed { cause: how } => {
                let because = match how {
                    ChannelClosed::Left => {
                        cause.leaving == Some(id) || cause.left == Some(id) || before == Told::Leaving
                    }
                    ChannelClosed::Server => cause.closed == Some(id),
                    ChannelClosed::Socket => closed,
                };
                channel.wanted &= *how == ChannelClosed::Left;
                (Told::Closed, because)
            }
        };
        assert!(because, "{status:?} for no reason");
        channel.state = state;
        match state {
            Told::Leaving => channel.current = channel.written,
            Told::Joined => {}
            // Until the new join is written, the one that it replaces stands.
            Told::Joining if channel.again => {}
            _ => {
                channel.current = None;
                channel.gone = None;
            }
        }
        channel.wanted &= state != Told::Refused;
    }

    /// Law 4: once, and for a reason.
    fn settled(&mut self, token: Token, outcome: &Outcome) {
        let held = self.model.held.remove(&*token).unwrap_or_else(|| panic!("law 4: {token} again, {outcome:?}"));
        drop(token);
        assert_eq!(held.token.strong_count(), 0, "law 4: settled and still held");
        let due = held.deadline.is_some_and(|deadline| deadline <= self.now);
        let written = held.written.is_some();
        let answered = self.cause.answered == Some(held.id);
        let because = match (held.kind, outcome) {
            (Kind::Connect, Outcome::Connect(Ok(()))) => self.model.is_open(),
            (Kind::Connect, Outcome::Connect(Err(_))) => due || !self.model.is_open(),
            (Kind::Closer, Outcome::Done) => self.model.closing == 0,
            (Kind::Join, Outcome::Join(outcome)) => match outcome {
                Ok(_) => self.told(&held) == Some(Told::Joined),
                Err(JoinError::Timeout) => due,
                Err(JoinError::Stopped(_)) => self.model.stopped,
                Err(_) => true,
            },
            (Kind::Leave, Outcome::Leave(outcome)) => outcome.is_ok() || due || !self.model.is_open(),
            (Kind::Push, Outcome::Push(outcome)) => match outcome {
                Ok(_) | Err(PushError::Rejected(_)) => written && answered,
                Err(PushError::Timeout) => written && due,
                Err(PushError::Disconnected) => written,
                Err(PushError::NotSent(NotSent::Timeout)) => !written && due,
                Err(PushError::NotSent(_) | PushError::Encode(_)) => !written,
                Err(PushError::Decode(_)) => false,
            },
            (Kind::Ping, Outcome::Ping(outcome)) => match outcome {
                Ok(_) => self.cause.pinged == Some(held.id),
                Err(PingError::Timeout) => due,
                Err(_) => !self.model.is_open(),
            },
            (Kind::Cast | Kind::Raw, Outcome::Cast(outcome)) => match outcome {
                Ok(()) => written,
                // It goes with a goodbye.
                Err(CastError::Disconnected) => written && self.cause.ended,
                Err(CastError::NotSent(NotSent::Timeout)) => !written && due,
                Err(_) => !written,
            },
            _ => false,
        };
        assert!(because, "{held:?} was settled as {outcome:?} for no reason");
        if matches!(outcome, Outcome::Push(Err(PushError::Timeout))) {
            self.given_up(&held);
        }
    }

    /// A push that was written and is waited for no more. Only one that took its ref after the join did is known, by
    /// its ref alone, to have been written under it.
    pub(super) fn given_up(&mut self, held: &Held) {
        if let (Some(join_ref), Some(id)) = (held.written, held.channel)
            && self.refs.is_later(held.id, join_ref)
            && let Some(channel) = self.model.channels.get_mut(&id)
        {
            channel.gone = Some(held.id);
        }
    }

    fn told(&self, held: &Held) -> Option<Told> {
        self.model.channels.get(&held.channel?).map(|channel| channel.state)
    }

    /// Law 7: what goes out follows from what is wanted. Law 4: what was settled does not go out.
    pub(super) fn written(&mut self, frame: &Frame) {
        self.effects.frames += 1;
        assert!(self.model.is_open(), "written to a connection that has ended");
        let read = read(frame);
        assert!(self.model.refs.insert(read.reference), "ref {} was used twice", read.reference);
        match &*read.event {
            "heartbeat" => {
                assert_eq!((read.join_ref, &*read.topic), (None, "phoenix"));
                if let Some(ping) =
                    self.model.held.values_mut().find(|held| held.kind == Kind::Ping && held.id == read.reference)
                {
                    ping.written = Some(0);
                    return;
                }
                self.model.wire.heartbeat = Some(read.reference);
            }
            "phx_join" => self.join_written(&read),
            "phx_leave" => {
                let wire = &mut self.model.wire;
                let join_ref = read.join_ref.expect("a leave names its join");
                assert!(wire.joined.contains(&join_ref), "a leave of a join that was not written");
                assert!(wire.left.insert(join_ref), "left twice");
                wire.live.retain(|_, live| *live != join_ref);
                let id = self.model.topics.get(&read.topic);
                if let Some(channel) = id.and_then(|id| self.model.channels.get_mut(id))
                    && channel.state == Told::Leaving
                {
                    channel.leave = Some(read.reference);
                }
            }
            _ => self.push_written(&read),
        }
    }

    fn join_written(&mut self, read: &Read) {
        let id = self.model.topics.get(&read.topic).expect("joined by nobody");
        let channel = self.model.channels.get_mut(id).expect("it is registered");
        assert_eq!(read.join_ref, Some(read.reference));
        assert!(channel.wanted, "joined, and not wanted");
        let stands = self.model.wire.live.insert(read.topic.clone(), read.reference);
        assert!(stands.is_none() || channel.again, "law 7: a second join of a topic");
        self.model.wire.joined.insert(read.reference);
        self.effects.joins.push(read.topic.clone());
        channel.old.extend(channel.written.replace(read.reference));
        channel.current = Some(read.reference);
        channel.again = false;
    }

    fn push_written(&mut self, read: &Read) {
        let mut pushes = self.model.held.values_mut().filter(|held| held.is_push());
        let push = pushes.find(|held| held.id == read.reference).expect("law 4: written after it was settled");
        assert_eq!(push.written, None, "law 4: written twice");
        if push.kind == Kind::Raw {
            push.written = Some(0);
            return assert_eq!((read.join_ref, &*read.topic), (None, "raw"));
        }
        push.written = read.join_ref;
        let channel = &self.model.channels[&push.channel.expect("pushes have one")];
        assert_eq!((channel.state, &channel.topic), (Told::Joined, &read.topic));
        assert!(read.join_ref.is_some() && read.join_ref == channel.current, "not the present join ref");
    }

    pub(super) fn assert_laws(&self) {
        let (model, holdings) = (&self.model, self.core.holdings());
        assert_eq!(model.dialing, model.phase == Phase::Connecting);
        assert_eq!(holdings.channels, model.channels.len());
        assert_eq!(holdings.pending_pushes, model.count(Held::is_push));
        assert_eq!(holdings.callers, model.count(|held| !held.is_push()));
        assert_eq!(holdings.timers, self.timers());
        for (token, held) in &model.held {
            assert_eq!(held.token.strong_count(), 1, "law 4: token {token} is lost: {held:?}");
            self.assert_waits(held);
        }
        if !model.is_open() {
            assert_eq!(holdings.outgoing_bytes, 0, "something waits for a connection that has ended");
        } else if self.writable {
            assert_eq!(holdings.outgoing_bytes, 0);
            for topic in super::commands::topics() {
                self.assert_wire(&topic);
            }
        }
    }

    fn timers(&self) -> usize {
        let model = &self.model;
        let beats = model.is_open() && self.config.heartbeat.is_some();
        let waits = model.phase == Phase::Off && matches!(self.core.link, crate::core::link::Link::Waiting { .. });
        let callers = model.count(|held| held.deadline.is_some() && held.kind != Kind::Leave);
        let channels = model.channels.values().filter(|channel| match channel.state {
            Told::Joining => (channel.current.is_some() && !channel.again) || channel.asking.is_some(),
            Told::Leaving => true,
            _ => channel.backoff,
        });
        usize::from(model.dialing) + usize::from(beats) + usize::from(waits) + callers + channels.count()
    }

    /// Whoever waits has something to wait for.
    fn assert_waits(&self, held: &Held) {
        let channel = held.channel.map(|id| &self.model.channels[&id]);
        let hopes = match (held.kind, channel) {
            (Kind::Connect, _) => {
                self.model.dialing || matches!(self.core.link, crate::core::link::Link::Waiting { .. })
            }
            (Kind::Ping, _) => self.model.is_open(),
            // Until it is written, which settles it.
            (Kind::Raw, _) => held.written.is_none() && !(self.model.is_open() && self.writable),
            (Kind::Closer, _) => self.model.closing > 0,
            (Kind::Join, Some(channel)) => channel.wanted && !self.model.stopped && channel.state != Told::Joined,
            (Kind::Leave, Some(channel)) => channel.state == Told::Leaving,
            (_, Some(channel)) if held.written.is_some() => {
                channel.state == Told::Joined && held.written == channel.current && held.kind == Kind::Push
            }
            (_, Some(channel)) => {
                let later = matches!(channel.state, Told::Joining | Told::Errored | Told::Leaving);
                later || (channel.state == Told::Joined && !self.writable)
            }
            (_, None) => false,
        };
        assert!(hopes, "waits for nothing: {held:?} of {channel:?}");
    }

    /// Law 7, once all is written.
    fn assert_wire(&self, topic: &str) {
        let live = self.model.wire.live.get(topic).copied();
        let Some(id) = self.model.topics.get(topic) else {
            return assert_eq!(live, None, "law 7: joined, and nobody is there: {topic}");
        };
        let channel = &self.model.channels[id];
        let (joins, states): (_, &[Told]) = match channel.wanted {
            true => (channel.current, &[Told::Joining, Told::Joined, Told::Errored, Told::Leaving]),
            false => (None, &[Told::Idle, Told::Refused, Told::Leaving, Told::Closed]),
        };
        assert!(states.contains(&channel.state), "law 7: {channel:?}");
        let expected = if channel.listens() { joins } else { None };
        assert_eq!(live, expected, "law 7: what the server has of {channel:?}");
        assert!(!channel.listens() || live.is_some(), "law 7: wanted and not said: {channel:?}");
        assert!(channel.state != Told::Errored || channel.backoff, "law 7: wanted and nothing is done: {channel:?}");
    }
}

fn read(frame: &Frame) -> Read {
    let number = |text: &str| text.parse().expect("a ref of ours");
    match frame {
        Frame::Text(text) => {
            let (join_ref, reference, topic, event, _): (
                Option<String>,
                String,
                String,
                String,
                serde::de::IgnoredAny,
            ) = serde_json::from_slice(text).expect("what is written is a message");
            Read { join_ref: join_ref.as_deref().map(number), reference: number(&reference), topic, event }
        }
        Frame::Binary(bytes) => {
            let (lens, mut rest) = bytes[1..].split_at(4);
            let mut field = |len: u8| {
                let (text, after) = rest.split_at(len.into());
                rest = after;
                String::from_utf8(text.to_vec()).expect("UTF-8")
            };
            let [join_ref, reference, topic, event] = [lens[0], lens[1], lens[2], lens[3]].map(&mut field);
            Read { join_ref: Some(number(&join_ref)), reference: number(&reference), topic, event }
        }
        Frame::Close { .. } => panic!("the core writes no close frame"),
    }
}
