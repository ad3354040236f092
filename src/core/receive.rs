//! Frames in: whose they are, and what they answer.

use super::{
    ChannelId, Core, Instant,
    channel::{Channel, State},
    event,
    refs::parse,
};
use crate::{
    error::{DecodeError, NotJoined},
    log,
    message::Reply,
    payload::Kind,
    serializer::{Body, Incoming, reply},
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
    /// It is of another join of the topic.
    Outdated,
    Nowhere,
}

impl<T> Core<T> {
    /// One text or binary frame. A message for the streams of a channel is handed to `deliver` with it, and every message
    /// without one, behind that.
    pub(crate) fn handle_frame(
        &mut self,
        now: Instant,
        frame: Frame,
        deliver: impl FnMut(Option<ChannelId>, &Incoming<'_>),
    ) {
        if !self.link.is_open() {
            return;
        }
        let codec = self.codec.clone();
        if let Err(error) = codec.decode(frame, |incoming| self.receive(now, &incoming, deliver)) {
            self.tell(Telemetry::Undecodable { error });
        }
    }

    fn receive(
        &mut self,
        now: Instant,
        incoming: &Incoming<'_>,
        mut deliver: impl FnMut(Option<ChannelId>, &Incoming<'_>),
    ) {
        log::received(incoming);
        if let Some(reference) = incoming.reference.as_deref().and_then(parse) {
            self.heartbeat_answer(now, reference);
            self.ping_answered(now, reference);
        }
        match self.route(incoming) {
            Route::Streams(id) => deliver(Some(id), incoming),
            Route::Reply(id) => self.reply(now, id, incoming),
            Route::Crashed(id) => match self.channels[&id].state {
                State::Leaving { .. } => self.server_closed(now, id),
                _ => self.fail_channel(now, id, NotJoined::Crashed(incoming.body.to_payload())),
            },
            Route::Closed(id) => self.server_closed(now, id),
            Route::Outdated => log::outdated(incoming),
            Route::Nowhere => {}
        }
        deliver(None, incoming);
    }

    /// The channel of this topic whose present join the message belongs to, or any join (M-2, C-27, C-37, DEV-11).
    fn route(&mut self, incoming: &Incoming<'_>) -> Route {
        let Some((id, channel)) = self.channel_of(&incoming.topic) else { return Route::Nowhere };
        if incoming.reference.is_some() && &*incoming.event == event::REPLY {
            return Route::Reply(id);
        }
        let current = channel.state.join_ref();
        let Some(given) = incoming.join_ref.as_deref() else {
            return if channel.state.hears() { Route::Streams(id) } else { Route::Nowhere };
        };
        if current.is_none() || parse(given) != current {
            return Route::Outdated;
        }
        match &*incoming.event {
            event::ERROR => Route::Crashed(id),
            event::CLOSE => Route::Closed(id),
            event::REPLY => Route::Nowhere,
            _ => Route::Streams(id),
        }
    }

    fn channel_of(&mut self, topic: &str) -> Option<(ChannelId, &Channel<T>)> {
        let remembered = self.last_channel.filter(|id| self.channels.get(id).is_some_and(|last| &*last.topic == topic));
        let id = match remembered {
            Some(id) => id,
            None => *self.topics.get(topic)?,
        };
        self.last_channel = Some(id);
        self.channels.get(&id).map(|channel| (id, channel))
    }

    fn reply(&mut self, now: Instant, id: ChannelId, incoming: &Incoming<'_>) {
        let given = incoming.join_ref.as_deref();
        let join_ref = given.and_then(parse);
        // A join ref that is not ours to give cannot be the present one's.
        if given.is_some() && join_ref.is_none() {
            return;
        }
        let Some(reference) = incoming.reference.as_deref().and_then(parse) else { return };
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
