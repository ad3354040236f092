//! A server with people who come, change and go, and with what it tells a client of them.
//!
//! As Phoenix has it: a diff goes to whoever is subscribed when it happens, in order, and may come late. A channel
//! subscribes before its join is answered, and reads the list of its state after that: what happens between reading and
//! pushing it comes before the state, and is not in it; what happened before may come behind, and is. A join over a present
//! one ends that, and misses what happens until it has subscribed itself; what the older one was about to be told comes
//! before its close, which comes behind the answer (C-39).

use std::collections::{BTreeMap, VecDeque};

use futures::FutureExt;
use phoenix_streams::{
    Value, json,
    transport::memory::{Incoming, Peer, PeerConnection},
};

const KEYS: [&str; 5] = ["ann", "bob", "7", "__proto__", "h\u{e9}"];
pub(super) const TOPIC: &str = "room:1";

pub(super) struct Server {
    peer: Peer,
    link: Option<PeerConnection>,
    channel: Option<ServerChannel>,
    people: BTreeMap<&'static str, Person>,
    refs: u32,
    /// What the server adds to each person and meta when it tells of them. It changes while nobody listens.
    edition: u32,
    pub(super) met: Met,
}

/// What was met, and how often.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Met {
    pub(super) joins: usize,
    pub(super) over: usize,
    pub(super) leaves: usize,
    pub(super) crashes: usize,
    pub(super) breaks: usize,
    /// Diffs before the state: those that are in it, and those that are not.
    pub(super) before: usize,
    pub(super) not_in_it: usize,
    /// Diffs behind the state that are in it.
    pub(super) behind: usize,
    /// Diffs of an older join behind the answer to its successor.
    pub(super) late: usize,
}

/// The list, as it was when this many changes had happened.
type Snapshot = (Value, u32);

struct ServerChannel {
    join: Incoming,
    stage: Stage,
    /// Those it replaced, whose close was not told yet.
    older: Vec<Incoming>,
    /// So many of what is due are theirs.
    late: usize,
    /// What happened since it subscribed and was not told yet, with its number.
    due: VecDeque<(u32, Value)>,
    /// The number of the last that was told before the state.
    told: u32,
    /// What the state had in it.
    stated: u32,
}

enum Stage {
    Starting,
    Subscribed,
    Answered,
    Read(Snapshot),
    Stated,
}

struct Person {
    /// Of the fields beside its metas.
    version: u32,
    metas: Vec<(String, u32)>,
}

impl Server {
    pub(super) fn new(peer: Peer) -> Self {
        let (people, met) = (BTreeMap::new(), Met::default());
        Server { peer, link: None, channel: None, people, refs: 0, edition: 0, met }
    }

    /// The list, with the metas of each by their refs.
    pub(super) fn list(&self) -> Value {
        let all = self.people.iter().map(|(key, person)| ((*key).to_owned(), self.tell(person, |_| true)));
        all.collect::<serde_json::Map<_, _>>().into()
    }

    fn tell(&self, person: &Person, wanted: impl Fn(&str) -> bool) -> Value {
        let metas = person.metas.iter().filter(|(reference, _)| wanted(reference));
        let metas: Value =
            metas.map(|(reference, n)| json!({ "phx_ref": reference, "n": n, "edition": self.edition })).collect();
        json!({ "metas": metas, "user": { "version": person.version, "edition": self.edition } })
    }

    /// Somebody comes, changes, or leaves one place; or several do, in one diff.
    pub(super) fn change(&mut self, random: &mut fastrand::Rng) {
        let mut keys = KEYS;
        random.shuffle(&mut keys);
        let (mut joins, mut leaves) = (json!({}), json!({}));
        for key in &keys[..[1, 1, 1, 2, 3][random.usize(..5)]] {
            let there = self.people.get(key).map_or(0, |person| person.metas.len());
            match random.u8(..6) {
                0..2 if there < 3 => self.come(key, &mut joins),
                2 if there > 0 => {
                    self.go(key, random.usize(..there), &mut leaves);
                    // An update is a join and a leave of somebody who stays.
                    self.come(key, &mut joins);
                }
                3 if there > 1 => {
                    self.go(key, 0, &mut leaves);
                }
                _ if there > 0 => self.go(key, random.usize(..there), &mut leaves),
                _ => self.come(key, &mut joins),
            }
        }
        self.refs += 1;
        let number = self.refs;
        if let Some(channel) = &mut self.channel
            && !matches!(channel.stage, Stage::Starting)
        {
            channel.due.push_back((number, json!({ "joins": joins, "leaves": leaves })));
        }
    }

    fn come(&mut self, key: &'static str, joins: &mut Value) {
        self.refs += 1;
        let (number, reference) = (self.refs, format!("F{}==", self.refs));
        let person = self.people.entry(key).or_insert_with(|| Person { version: 0, metas: Vec::new() });
        person.version = number;
        person.metas.push((reference.clone(), number));
        joins[key] = self.tell(&self.people[key], |wanted| wanted == reference);
    }

    fn go(&mut self, key: &'static str, place: usize, leaves: &mut Value) {
        let gone = self.people[key].metas[place].0.clone();
        leaves[key] = self.tell(&self.people[key], |wanted| wanted == gone);
        let person = self.people.get_mut(key).unwrap();
        person.metas.remove(place);
        if person.metas.is_empty() {
            self.people.remove(key);
        }
    }

    /// Takes what the client sent, and takes the client in.
    pub(super) async fn serve(&mut self) {
        if self.link.is_none() {
            self.link = self.peer.accept().now_or_never();
        }
        while let Some(link) = &mut self.link {
            let Some(message) = link.recv().now_or_never() else { return };
            let Some(message) = message else {
                self.lose();
                return;
            };
            match &*message.event {
                "phx_join" => self.join(message),
                "phx_leave" => {
                    link.reply(&message, "ok", ()).await;
                    self.met.leaves += 1;
                    if self.channel.as_ref().is_some_and(|channel| channel.join.join_ref == message.join_ref) {
                        while self.diff().await {}
                        self.channel = None;
                    }
                }
                _ => link.reply(&message, "ok", ()).await,
            }
        }
    }

    fn join(&mut self, join: Incoming) {
        self.met.joins += 1;
        let (mut older, mut due) = (Vec::new(), VecDeque::new());
        if let Some(channel) = self.channel.take() {
            self.met.over += 1;
            (older, due) = (channel.older, channel.due);
            older.push(channel.join);
        }
        let late = due.len();
        self.channel = Some(ServerChannel { join, stage: Stage::Starting, older, late, due, told: 0, stated: 0 });
    }

    /// The next diff; false where there is none.
    pub(super) async fn diff(&mut self) -> bool {
        let (Some(link), Some(channel)) = (&mut self.link, &mut self.channel) else { return false };
        let Some((number, diff)) = channel.due.pop_front() else { return false };
        channel.late = channel.late.saturating_sub(1);
        if matches!(channel.stage, Stage::Stated) {
            self.met.behind += usize::from(number <= channel.stated);
        } else {
            self.met.before += 1;
            channel.told = number;
        }
        link.broadcast(TOPIC, "presence_diff", diff).await;
        true
    }

    /// The channel does the next of what it does on a join; false where it has done all.
    pub(super) async fn proceed(&mut self) -> bool {
        let list = self.list();
        let of_older = |channel: &ServerChannel| matches!(channel.stage, Stage::Answered) && !channel.older.is_empty();
        if self.channel.as_ref().is_some_and(of_older) {
            while self.channel.as_ref().is_some_and(|channel| channel.late > 0) {
                self.met.late += 1;
                self.diff().await;
            }
            let (Some(link), Some(channel)) = (&mut self.link, &mut self.channel) else { return false };
            link.close_channel(&channel.older.remove(0)).await;
            return true;
        }
        let (Some(link), Some(channel)) = (&mut self.link, &mut self.channel) else { return false };
        channel.stage = match std::mem::replace(&mut channel.stage, Stage::Stated) {
            Stage::Starting => Stage::Subscribed,
            Stage::Subscribed => {
                link.reply(&channel.join, "ok", ()).await;
                Stage::Answered
            }
            Stage::Answered => Stage::Read((list, self.refs)),
            Stage::Read((list, number)) => {
                self.met.not_in_it += usize::from(channel.told > number);
                channel.stated = number;
                link.push(&channel.join, "presence_state", list).await;
                Stage::Stated
            }
            Stage::Stated => return false,
        };
        true
    }

    /// The channel crashes, or its join does.
    pub(super) async fn crash(&mut self) {
        while self.diff().await {}
        let (Some(link), Some(channel)) = (&mut self.link, self.channel.take()) else { return };
        self.met.crashes += 1;
        match channel.stage {
            Stage::Starting | Stage::Subscribed => {
                link.reply(&channel.join, "error", json!({ "reason": "join crashed" })).await;
            }
            _ => link.error(&channel.join, ()).await,
        }
    }

    /// The connection breaks.
    pub(super) fn cut(&mut self) {
        self.met.breaks += usize::from(self.link.is_some());
        self.lose();
    }

    fn lose(&mut self) {
        (self.link, self.channel) = (None, None);
        self.edition += 1;
    }

    /// The join that the client is to be in, where all is told.
    pub(super) fn has_told_all(&self) -> bool {
        self.channel.as_ref().is_some_and(|channel| matches!(channel.stage, Stage::Stated) && channel.due.is_empty())
    }
}
