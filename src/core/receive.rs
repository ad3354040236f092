//! Frames in: whose they are, and what they answer.

use super::{
    ChannelId, Core, Instant, Output,
    channel::{Channel, State},
    event,
    refs::parse,
};
use crate::{
    error::{DecodeError, JoinError, NotJoined},
    log,
    message::Reply,
    payload::Kind,
    serializer::{Body, Incoming, Kept, Name, reply},
    telemetry::Telemetry,
    transport::Frame,
};

/// Where a message goes.
enum Route {
    /// To the streams of this channel.
    Streams(ChannelId),
    Reply(ChannelId),
    Crashed(ChannelId),
    Closed(ChannelId),
    /// It is of another join of this channel's topic.
    Outdated(ChannelId),
    Nowhere,
}

impl<T> Core<T> {
    /// One text or binary frame. Its message is handed to `deliver`, with the channel for whose streams it is, if any.
    #[inline]
    pub(crate) fn handle_frame(
        &mut self,
        now: Instant,
        frame: &Frame,
        deliver: impl FnOnce(Option<ChannelId>, &Incoming<'_>),
    ) {
        if !self.link.is_open() {
            return;
        }
        let mut kept = Kept::default();
        match self.codec.decode(frame, &mut kept) {
            Ok(incoming) => self.receive(now, &incoming, deliver),
            Err(error) => self.tell(Telemetry::Undecodable { error }),
        }
    }

    #[inline]
    fn receive(
        &mut self,
        now: Instant,
        incoming: &Incoming<'_>,
        deliver: impl FnOnce(Option<ChannelId>, &Incoming<'_>),
    ) {
        log::received(incoming);
        let streams = match self.settled {
            Some((header, id)) if header == incoming.header => {
                debug_assert!(matches!(self.route(incoming), Route::Streams(found) if found == id));
                Some(id)
            }
            _ => self.handle(now, incoming),
        };
        deliver(streams, incoming);
    }

    /// Does what the message means; the channel for whose streams it is.
    #[inline(never)]
    fn handle(&mut self, now: Instant, incoming: &Incoming<'_>) -> Option<ChannelId> {
        let reference = incoming.reference.and_then(parse);
        if let Some(reference) = reference {
            self.heartbeat_answer(now, reference);
            self.ping_answered(now, reference);
        }
        match self.route(incoming) {
            Route::Streams(id) => {
                // A message with a ref may be an answer to something else as well.
                if incoming.header > 0 && incoming.reference.is_none() {
                    self.settled = Some((incoming.header, id));
                }
                return Some(id);
            }
            Route::Reply(id) => {
                if let Some(reference) = reference {
                    self.reply(now, id, reference, incoming);
                }
            }
            Route::Crashed(id) => match self.channels[&id].state {
                State::Leaving { .. } => self.server_closed(now, id),
                _ => {
                    let payload = incoming.body.to_payload();
                    self.unanswered(id, JoinError::Crashed(Reply::new("error", payload.clone())));
                    self.fail_channel(now, id, NotJoined::Crashed(payload));
                }
            },
            Route::Closed(id) => self.server_closed(now, id),
            Route::Outdated(id) => {
                if incoming.event == *event::CLOSE || incoming.event == *event::ERROR {
                    self.out.push_back(Output::OlderEnded(id));
                }
                log::outdated(incoming);
            }
            Route::Nowhere => {}
        }
        None
    }

    /// The channel of this topic whose present join the message belongs to, or any join (M-2, C-27, C-37, DEV-11).
    #[inline]
    fn route(&mut self, incoming: &Incoming<'_>) -> Route {
        let Some((id, channel)) = self.channel_of(incoming.topic) else { return Route::Nowhere };
        if incoming.reference.is_some() && incoming.event == *event::REPLY {
            return Route::Reply(id);
        }
        let current = channel.state.join_ref();
        let Some(given) = incoming.join_ref else {
            return if channel.state.hears() { Route::Streams(id) } else { Route::Nowhere };
        };
        if current.is_none() || parse(given) != current {
            return Route::Outdated(id);
        }
        match incoming.event {
            name if name == *event::ERROR => Route::Crashed(id),
            name if name == *event::CLOSE => Route::Closed(id),
            name if name == *event::REPLY => Route::Nowhere,
            _ => Route::Streams(id),
        }
    }

    #[inline]
    fn channel_of(&mut self, topic: Name<'_>) -> Option<(ChannelId, &Channel<T>)> {
        let remembered = self.last_channel.filter(|id| self.channels.get(id).is_some_and(|last| topic == *last.topic));
        let id = match remembered {
            Some(id) => id,
            None => *self.topics.get(topic.as_str())?,
        };
        self.last_channel = Some(id);
        self.channels.get(&id).map(|channel| (id, channel))
    }

    fn reply(&mut self, now: Instant, id: ChannelId, reference: u64, incoming: &Incoming<'_>) {
        let given = incoming.join_ref;
        let join_ref = given.and_then(parse);
        // A join ref that is not ours to give cannot be the present one's.
        if given.is_some() && join_ref.is_none() {
            return;
        }
        let answer = match read_reply(incoming.body) {
            Ok(answer) => answer,
            Err(error) => return self.tell(Telemetry::Undecodable { error }),
        };
        match self.channels[&id].state {
            State::Joining { join_ref: own, deadline: Some(_), .. }
                if reference == own && join_ref.is_none_or(|given| given == own) =>
            {
                self.join_answered(now, id, answer);
            }
            State::Leaving { join_ref: own, reference: leave, .. }
                if reference == leave && join_ref.is_none_or(|given| given == own) =>
            {
                self.server_closed(now, id);
            }
            State::Joined { join_ref: own, .. } => {
                let unmatched = join_ref.is_none()
                    && answer.status() == "error"
                    && answer.reason().as_deref() == Some("unmatched topic");
                let ours = self.push_answered(id, reference, join_ref, answer) || self.refs.is_later(reference, own);
                // The server does not know the topic under the present join: it has to be joined again (T-3).
                if unmatched && ours {
                    self.fail_channel(now, id, NotJoined::UnmatchedTopic);
                }
            }
            _ => {}
        }
    }
}

/// The status is all that is read of a reply; its response stays raw.
fn read_reply(body: Body<'_>) -> Result<Reply, DecodeError> {
    match body.kind {
        Kind::Json => {
            let (status, response) = reply(body.bytes).map_err(DecodeError::new)?;
            Ok(Reply::new(&status, Body { bytes: response, ..body }.to_payload()))
        }
        Kind::Reply(len) => {
            let (status, data) = body
                .bytes
                .split_at_checked(len.into())
                .ok_or_else(|| DecodeError::new("a binary reply that is cut short"))?;
            let status = std::str::from_utf8(status).map_err(DecodeError::new)?;
            Ok(Reply::new(status, Body { bytes: data, kind: Kind::Binary, ..body }.to_payload()))
        }
        Kind::Binary => Err(DecodeError::new("a reply without a status")),
    }
}
