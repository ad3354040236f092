//! Clients that come and go, change and read who is present: each keeps three lists of its own.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::{collections::BTreeMap, time::Duration};

use futures::{FutureExt, StreamExt};
use phoenix_streams::{
    Backoff, Channel, ChannelStatus, Latest, Presence, PresenceEvent, PresenceEvents, PresenceState, Socket, Transport,
    Value, json,
};
use tokio::task::{unconstrained, yield_now};

/// Of each key the metas by their refs.
pub(crate) type List = BTreeMap<String, BTreeMap<String, Value>>;

/// Somebody present on a topic, from one connection.
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) room: Channel,
    who: Latest<Presence<Value>>,
    log: PresenceEvents<Value>,
    /// What the differences between items come to, and what the log of joins and leaves does.
    by_changes: List,
    by_events: List,
    random: fastrand::Rng,
}

impl Member {
    /// Comes to a topic of an app that takes `update_meta`, `track`, `untrack` and `list`.
    pub(crate) async fn enter(url: &str, transport: impl Transport, topic: &str, name: &str, seed: u64) -> Self {
        let quick = Backoff::steps([Duration::from_millis(1)]);
        let builder = Socket::builder(url).transport(transport).reconnect(quick.clone()).rejoin(quick);
        let socket = builder.timeout(Duration::from_secs(30)).connect().await.unwrap();
        let room = socket.channel(topic);
        let (who, log) = (room.presence(), room.presence_events());
        room.join(params(name)).await.unwrap();
        let (by_changes, by_events) = (List::new(), List::new());
        let (name, random) = (name.to_owned(), fastrand::Rng::with_seed(seed));
        Member { name, room, who, log, by_changes, by_events, random }
    }

    /// Does something, whatever comes of it.
    pub(crate) async fn act(&mut self) {
        let step = self.random.u32(..);
        match self.random.u32(..10) {
            0..=2 => drop(self.room.push("update_meta", json!({ "step": step })).await),
            3..=4 => drop(self.room.push(["track", "untrack"][step as usize % 2], ()).await),
            5 => {
                // A join over the present one.
                drop(self.room.rejoin().await);
            }
            6 => self.come_back().await,
            7..=8 => self.read(),
            _ => yield_now().await,
        }
    }

    /// Leaves and joins, with lists that begin anew.
    async fn come_back(&mut self) {
        drop(self.room.leave().await);
        (self.who, self.log) = (self.room.presence(), self.room.presence_events());
        (self.by_changes, self.by_events) = (List::new(), List::new());
        drop(self.room.join(self.params()).await);
    }

    fn params(&self) -> Value {
        params(&self.name)
    }

    /// Reads what there is, all of it.
    pub(crate) fn read(&mut self) {
        while let Some(Some(present)) = unconstrained(self.who.next()).now_or_never() {
            for change in present.changes() {
                let metas = self.by_changes.entry(change.key().to_owned()).or_default();
                change.went().into_iter().for_each(|meta| drop(metas.remove(phx_ref(meta))));
                metas.extend(change.came().into_iter().map(|meta| (phx_ref(meta).to_owned(), meta.clone())));
            }
        }
        while let Some(Some(event)) = unconstrained(self.log.next()).now_or_never() {
            match event.unwrap() {
                PresenceEvent::Joined { joined, .. } => {
                    let metas = self.by_events.entry(joined.key().to_owned()).or_default();
                    metas.extend(joined.metas().iter().map(|meta| (phx_ref(meta).to_owned(), meta.clone())));
                }
                PresenceEvent::Left { left, .. } => {
                    let metas = self.by_events.entry(left.key().to_owned()).or_default();
                    left.metas().iter().for_each(|meta| drop(metas.remove(phx_ref(meta))));
                }
                _ => {}
            }
        }
        for list in [&mut self.by_changes, &mut self.by_events] {
            list.retain(|_, metas| !metas.is_empty());
        }
    }

    /// Is joined, and present once or not at all: whatever it takes.
    pub(crate) async fn settle(&mut self, present: bool) {
        loop {
            self.room.join(self.params()).detach();
            self.room.status().wait_for(ChannelStatus::is_joined).await.unwrap();
            let untracked = self.room.push("untrack", ()).await.is_ok();
            if untracked && (!present || self.room.push("track", ()).await.is_ok()) {
                return;
            }
        }
    }

    /// The server's list, and with it this one's three, which must be the same: a reply comes behind all that was told
    /// before it.
    pub(crate) async fn agrees(&mut self) -> List {
        let list = self.room.push("list", ()).await.unwrap();
        let list = list_of(&list.json().unwrap());
        let present = self.who.current();
        assert_eq!(present.state(), PresenceState::Synced, "{}", self.name);
        let own = present.list_by(|key, entry| {
            assert_eq!(entry.undecodable(), 0);
            (key.to_owned(), entry.metas().iter().map(|meta| (phx_ref(meta).to_owned(), meta.clone())).collect())
        });
        assert_eq!(own.into_iter().collect::<List>(), list, "{}: the list", self.name);
        self.read();
        assert_eq!(self.by_changes, list, "{}: its changes", self.name);
        assert_eq!(self.by_events, list, "{}: its joins and leaves", self.name);
        list
    }
}

/// What a join says.
fn params(name: &str) -> Value {
    json!({ "user": name, "meta": { "of": name } })
}

/// As a server says it.
pub(crate) fn list_of(state: &Value) -> List {
    let metas = |entry: &Value| {
        let metas = entry["metas"].as_array().unwrap().iter();
        metas.map(|meta| (phx_ref(meta).to_owned(), meta.clone())).collect()
    };
    state.as_object().unwrap().iter().map(|(key, entry)| (key.clone(), metas(entry))).collect()
}

fn phx_ref(meta: &Value) -> &str {
    meta["phx_ref"].as_str().unwrap()
}
