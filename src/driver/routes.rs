//! From a channel and an event to the streams that want it.

use std::{collections::HashMap, mem, sync::Arc};

use slab::Slab;
use tokio::sync::watch;

use super::{
    asks::JoinParams,
    presence::{Item, Kind, Lives, PresenceLog, SeatEnd, Told},
    queue::{Budget, Writer},
    received::Received,
};
use crate::{
    core::{ChannelId, IdMap},
    error::{JoinError, NotJoined},
    message::{LastSeen, Reply, Topic},
    presence::{PresenceNames, is_presence},
    serializer::{Incoming, Name},
    status::ChannelStatus,
    streams::feed::FeedWriter,
};

/// Finding the streams of a message takes the same time whatever the number of channels.
#[derive(Debug, Default)]
pub(super) struct Routes {
    channels: IdMap<Route>,
    streams: Slab<Stream>,
    /// Streams that this turn brought something.
    touched: Vec<usize>,
    /// Whose messages are for `wanted`: this header under this channel, until streams come or go.
    settled: Option<(u64, ChannelId)>,
    wanted: Vec<usize>,
    /// And for these.
    logs: Vec<(Arc<PresenceLog>, Kind)>,
}

#[derive(Debug)]
struct Route {
    status: watch::Sender<ChannelStatus>,
    /// By event name.
    events: Vec<(Arc<str>, Vec<usize>)>,
    index: HashMap<Arc<str>, usize>,
    all: Vec<usize>,
    /// Streams taken while the channel leaves: they belong to its next life.
    next_life: Vec<usize>,
    leaving: bool,
    topic: Topic,
    /// Those who watch how its joins come out.
    joins: Vec<FeedWriter<Result<Reply, JoinError>>>,
    presence: Arc<Lives>,
    heed: Heed,
    /// The closure that says what a join sends, and what it is told.
    asked: Option<Box<Asked>>,
}

/// Which messages the logs of presence may want: most need no look at them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heed {
    /// None before the next join.
    Nothing,
    /// Those of the default names.
    Presence,
    /// There were readers of other names.
    All,
}

#[derive(Debug)]
struct Asked {
    params: JoinParams,
    received: Received,
}

#[derive(Debug)]
struct Stream {
    writer: Writer,
    touched: bool,
}

impl Routes {
    pub(super) fn register(
        &mut self,
        channel: ChannelId,
        topic: Topic,
        status: watch::Sender<ChannelStatus>,
        presence: Arc<Lives>,
    ) {
        let route = Route {
            status,
            events: Vec::new(),
            index: HashMap::new(),
            all: Vec::new(),
            next_life: Vec::new(),
            leaving: false,
            topic,
            joins: Vec::new(),
            presence,
            heed: Heed::Presence,
            asked: None,
        };
        self.channels.insert(channel, route);
        self.unsettle();
    }

    /// Without its channel the stream has ended: the writer is dropped.
    pub(super) fn subscribe(&mut self, channel: ChannelId, writer: Writer) {
        self.unsettle();
        let Some(route) = self.channels.get_mut(&channel) else { return };
        let event = writer.event.clone();
        let key = self.streams.insert(Stream { writer, touched: false });
        match event {
            Some(event) => route.add(event, key),
            None => route.all.push(key),
        }
        if route.leaving {
            route.next_life.push(key);
        }
    }

    pub(super) fn unsubscribe(&mut self, channel: ChannelId, event: Option<&str>, id: u64) {
        let Some(route) = self.channels.get_mut(&channel) else { return };
        let streams = &self.streams;
        let is_it = |key: &usize| streams.get(*key).is_some_and(|stream| stream.writer.id == id);
        let found = match event {
            Some(event) => route.of(event).iter().copied().find(is_it),
            None => route.all.iter().copied().find(is_it),
        };
        if let Some(key) = found {
            route.remove(event, key);
            self.drop_stream(key);
        }
    }

    #[inline]
    pub(super) fn deliver(&mut self, channel: ChannelId, incoming: &Incoming<'_>) {
        if self.settled == Some((incoming.header, channel)) {
            debug_assert!(self.channels.get(&channel).is_some_and(|route| route.wanted(incoming).eq(&self.wanted)));
        } else {
            self.settle(channel, incoming);
        }
        for &key in &self.wanted {
            touch(&mut self.streams, &mut self.touched, key, incoming);
        }
        if !self.logs.is_empty() {
            self.log(channel, incoming);
        }
    }

    /// Hands a message to the logs that want it. Where none is asked for, they may want no more.
    fn log(&mut self, channel: ChannelId, incoming: &Incoming<'_>) {
        self.logs.retain(|(log, kind)| log.append(*kind, incoming));
        if self.logs.is_empty()
            && let Some(route) = self.channels.get_mut(&channel)
            && route.heed == Heed::Presence
        {
            route.heed = Heed::Nothing;
        }
    }

    /// Finds the streams that want this message, and so those behind it under the same header.
    #[inline(never)]
    fn settle(&mut self, channel: ChannelId, incoming: &Incoming<'_>) {
        self.wanted.clear();
        self.unsettle();
        let Some(route) = self.channels.get_mut(&channel) else { return };
        self.wanted.extend(route.wanted(incoming));
        if route.heeds(incoming) {
            self.logs = route.presence.wanted(incoming);
        }
        if let Some(asked) = &mut route.asked {
            asked.received.note(&route.topic, incoming);
        } else if incoming.header > 0 {
            self.settled = Some((incoming.header, channel));
        }
    }

    /// Whose messages are whose has to be found anew. What was found is not held on to.
    fn unsettle(&mut self) {
        self.settled = None;
        self.logs.clear();
    }

    /// The end of a turn: each stream gets what the turn brought it.
    pub(super) fn hand_over(&mut self) {
        for key in self.touched.drain(..) {
            if let Some(stream) = self.streams.get_mut(key) {
                stream.touched = false;
                stream.writer.hand_over();
            }
        }
    }

    pub(super) fn status(&mut self, channel: ChannelId, status: ChannelStatus) {
        if let Some(route) = self.channels.get_mut(&channel) {
            route.leaving = matches!(status, ChannelStatus::Leaving);
            if matches!(status, ChannelStatus::Leaving | ChannelStatus::Errored { .. }) {
                route.presence.mark(|| Item::Lost);
            }
            route.status.send_replace(status);
        }
    }

    pub(super) fn not_joined(&mut self, channel: ChannelId, cause: &NotJoined) {
        let Some(route) = self.channels.get(&channel) else { return };
        for key in route.keys() {
            if let Some(stream) = self.streams.get_mut(key) {
                stream.writer.not_joined(cause.clone());
            }
        }
        route.presence.mark(|| Item::NotJoined(cause.clone()));
    }

    /// Ends the streams of the channel's present life.
    pub(super) fn end_streams(&mut self, channel: ChannelId) {
        self.unsettle();
        let Some(route) = self.channels.get_mut(&channel) else { return };
        route.presence.end();
        let staying = mem::take(&mut route.next_life);
        let ended: Vec<_> = route.keys().filter(|key| !staying.contains(key)).collect();
        for (_, keys) in &mut route.events {
            keys.retain(|key| staying.contains(key));
        }
        route.all.retain(|key| staying.contains(key));
        route.tidy();
        if let Some(asked) = &mut route.asked {
            asked.received.forget();
        }
        ended.into_iter().for_each(|key| self.drop_stream(key));
    }

    pub(super) fn forget(&mut self, channel: ChannelId) {
        self.unsettle();
        if let Some(route) = self.channels.remove(&channel) {
            route.keys().for_each(|key| self.drop_stream(key));
        }
    }

    pub(super) fn watch_joins(&mut self, channel: ChannelId, feed: FeedWriter<Result<Reply, JoinError>>) {
        if let Some(route) = self.channels.get_mut(&channel) {
            route.joins.retain(|feed| !feed.is_abandoned());
            route.joins.push(feed);
        }
    }

    /// Without its channel the stream has ended: its seat's end is dropped.
    pub(super) fn watch_presence(
        &mut self,
        channel: ChannelId,
        names: PresenceNames,
        seat: SeatEnd,
        listener: Option<FeedWriter<Told>>,
    ) {
        self.unsettle();
        let Some(route) = self.channels.get_mut(&channel) else { return };
        route.heed = if names.is_default() && route.heed != Heed::All { Heed::Presence } else { Heed::All };
        route.presence.attach(names, seat, listener, route.leaving);
    }

    pub(super) fn join_sent(&mut self, channel: ChannelId) {
        // A log that was full keeps what comes from here on.
        self.unsettle();
        if let Some(route) = self.channels.get_mut(&channel) {
            if route.heed == Heed::Nothing {
                route.heed = Heed::Presence;
            }
            route.presence.mark(|| Item::JoinSent);
        }
    }

    pub(super) fn older_ended(&mut self, channel: ChannelId) {
        if let Some(route) = self.channels.get(&channel) {
            route.presence.mark(|| Item::OlderEnded);
        }
    }

    pub(super) fn joined(&mut self, channel: ChannelId, outcome: &Result<Reply, JoinError>) {
        let Some(route) = self.channels.get_mut(&channel) else { return };
        if outcome.is_ok() {
            route.presence.mark(|| Item::Joined);
        }
        route.joins.retain(|feed| !feed.is_abandoned());
        let bytes = match outcome {
            Ok(reply) | Err(JoinError::Refused(reply) | JoinError::Crashed(reply)) => reply.payload().whole().len(),
            Err(_) => 0,
        };
        route.joins.iter().for_each(|feed| feed.push(outcome.clone(), bytes));
    }

    /// From now on a closure says what a join sends; none, where it is said already.
    pub(super) fn set_params(&mut self, channel: ChannelId, params: Option<JoinParams>, budget: &Arc<Budget>) {
        self.unsettle();
        let Some(route) = self.channels.get_mut(&channel) else { return };
        match (params, &mut route.asked) {
            (Some(params), Some(asked)) => asked.params = params,
            (Some(params), None) => {
                route.asked = Some(Box::new(Asked { params, received: Received::new(budget.clone()) }));
            }
            (None, _) => route.asked = None,
        }
    }

    /// The closure of this channel, and what it is to be told.
    pub(super) fn params(&mut self, channel: ChannelId) -> Option<(&mut JoinParams, LastSeen)> {
        let asked = self.channels.get_mut(&channel)?.asked.as_mut()?;
        let last = asked.received.last_seen();
        Some((&mut asked.params, last))
    }

    pub(super) fn streams(&self) -> usize {
        self.streams.len()
    }

    fn drop_stream(&mut self, key: usize) {
        self.unsettle();
        if let Some(stream) = self.streams.try_remove(key)
            && stream.touched
        {
            self.touched.retain(|touched| *touched != key);
        }
    }
}

#[inline]
fn touch(streams: &mut Slab<Stream>, touched: &mut Vec<usize>, key: usize, incoming: &Incoming<'_>) {
    let Some(stream) = streams.get_mut(key) else { return };
    stream.writer.push(incoming);
    if !stream.touched {
        stream.touched = true;
        touched.push(key);
    }
}

impl Drop for Route {
    fn drop(&mut self) {
        // The present life, and the one that some already wait for.
        self.presence.end();
        self.presence.end();
    }
}

impl Route {
    fn heeds(&self, incoming: &Incoming<'_>) -> bool {
        match self.heed {
            Heed::Nothing => false,
            Heed::Presence => is_presence(incoming.event),
            Heed::All => true,
        }
    }

    /// The streams of this message.
    fn wanted(&self, incoming: &Incoming<'_>) -> impl Iterator<Item = &usize> {
        // The protocol's own names under a join are no messages; broadcast, they are an application's (C-27).
        let is_protocol = incoming.join_ref.is_some() && incoming.event.as_bytes().starts_with(b"phx_");
        let all = if is_protocol { &[][..] } else { &self.all[..] };
        self.named(incoming.event).iter().chain(all)
    }

    fn named(&self, event: Name<'_>) -> &[usize] {
        // A few are sooner compared than one is hashed.
        const FEW: usize = 8;
        if self.events.len() > FEW {
            return self.of(event.as_str());
        }
        self.events.iter().find(|(name, _)| event == **name).map_or(&[], |(_, keys)| keys)
    }

    fn of(&self, event: &str) -> &[usize] {
        self.index.get(event).map_or(&[], |slot| &self.events[*slot].1)
    }

    fn add(&mut self, event: Arc<str>, key: usize) {
        let slot = *self.index.entry(event.clone()).or_insert(self.events.len());
        if slot == self.events.len() {
            self.events.push((event, Vec::new()));
        }
        self.events[slot].1.push(key);
    }

    fn remove(&mut self, event: Option<&str>, key: usize) {
        match event.and_then(|event| self.index.get(event)) {
            Some(slot) => self.events[*slot].1.retain(|kept| *kept != key),
            None => self.all.retain(|kept| *kept != key),
        }
        self.next_life.retain(|kept| *kept != key);
        self.tidy();
    }

    /// Forgets events that nobody listens to.
    fn tidy(&mut self) {
        if self.events.iter().all(|(_, keys)| !keys.is_empty()) {
            return;
        }
        self.events.retain(|(_, keys)| !keys.is_empty());
        self.index = self.events.iter().enumerate().map(|(slot, (event, _))| (event.clone(), slot)).collect();
    }

    fn keys(&self) -> impl Iterator<Item = usize> {
        self.events.iter().flat_map(|(_, keys)| keys).chain(&self.all).copied()
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use bytes::Bytes;

    use super::*;
    use crate::{
        driver::queue::{Reader, queue},
        payload::Kind,
        serializer::Body,
    };

    const ROOM: ChannelId = 7;

    fn stream(routes: &mut Routes, event: Option<&str>, id: u64) -> Reader {
        let (writer, reader) = queue("room".into(), event.map(Into::into), id, 1 << 20, Budget::new(1 << 20));
        routes.subscribe(ROOM, writer);
        reader
    }

    fn deliver(routes: &mut Routes, channel: ChannelId, event: &str, header: u64) {
        let bytes = Bytes::from_static(b"{}");
        let body = Body { owner: Some(&bytes), bytes: &bytes, kind: Kind::Json };
        let (topic, event) = ("room".into(), event.into());
        routes.deliver(channel, &Incoming { join_ref: None, reference: None, topic, event, body, header });
        routes.hand_over();
    }

    fn seen(reader: &mut Reader) -> usize {
        let cx = &mut Context::from_waker(Waker::noop());
        std::iter::from_fn(|| matches!(reader.poll_next(cx), Poll::Ready(Some(Ok(_)))).then_some(())).count()
    }

    // Law 3
    #[test]
    fn streams_come_and_go_between_messages_of_one_header() {
        let mut routes = Routes::default();
        let budget = Budget::new(1 << 20);
        let presence = Lives::new("room".into(), 1 << 20, budget.clone(), budget);
        routes.register(ROOM, "room".into(), watch::Sender::new(ChannelStatus::Joined), presence.into());
        let mut first = stream(&mut routes, Some("shout"), 1);
        deliver(&mut routes, ROOM, "shout", 1);
        let (mut second, mut all) = (stream(&mut routes, Some("shout"), 2), stream(&mut routes, None, 3));
        deliver(&mut routes, ROOM, "shout", 1);
        deliver(&mut routes, ROOM, "other", 2);
        deliver(&mut routes, ROOM + 1, "shout", 1);
        assert_eq!([&mut first, &mut second, &mut all].map(seen), [2, 1, 2]);
        routes.unsubscribe(ROOM, Some("shout"), 1);
        deliver(&mut routes, ROOM, "shout", 1);
        assert_eq!([&mut first, &mut second, &mut all].map(seen), [0, 1, 1]);
        routes.end_streams(ROOM);
        deliver(&mut routes, ROOM, "shout", 1);
        let mut next = stream(&mut routes, Some("shout"), 4);
        deliver(&mut routes, ROOM, "shout", 1);
        assert_eq!([&mut second, &mut all, &mut next].map(seen), [0, 0, 1]);
        routes.forget(ROOM);
        deliver(&mut routes, ROOM, "shout", 1);
        assert_eq!(seen(&mut next), 0);
        assert_eq!(routes.streams(), 0);
    }
}
