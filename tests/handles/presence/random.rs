//! Whatever happens, the list is the server's own in the end. `PRESENCE_SEED` goes one way again.

use std::{collections::BTreeMap, time::Duration};

use phoenix_streams::transport::memory;
use tokio::{task::yield_now, time::advance};

use super::{
    model::{Met, Server, TOPIC},
    people::{entry, list},
    *,
};
use crate::support::builder;

const SEEDS: u64 = 1_500;
const STEPS: u32 = 120;

// P-9, P-37, P-38, DEV-17
#[tokio::test(start_paused = true)]
async fn p_38_the_list_is_the_servers_own_after_whatever_happens() {
    let seed = std::env::var("PRESENCE_SEED").ok().map(|seed| seed.parse().expect("a number"));
    let seeds = seed.map_or(0..SEEDS, |seed| seed..seed + 1);
    let many = seeds.end - seeds.start == SEEDS;
    let mut met = Met::default();
    for seed in seeds {
        let mut world = World::new(seed, met).await;
        for _ in 0..2 {
            world.go_on().await;
            world.assert_quiet().await;
        }
        met = world.server.met;
    }
    let often =
        [met.joins, met.over, met.leaves, met.crashes, met.breaks, met.before, met.not_in_it, met.behind, met.late];
    assert!(!many || often.iter().all(|times| *times > 100), "{met:?}");
}

struct World {
    seed: u64,
    random: fastrand::Rng,
    server: Server,
    room: Channel,
    readers: Vec<Reader>,
    log: PresenceEvents<Value>,
    /// What the log comes to: of each key the refs, in order.
    logged: BTreeMap<String, Vec<Value>>,
}

/// A reader, and what the changes that it was told come to.
struct Reader {
    who: Who,
    seen: BTreeMap<String, Value>,
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("PRESENCE_SEED={}", self.seed);
        }
    }
}

impl World {
    async fn new(seed: u64, met: Met) -> Self {
        let (transport, peer) = memory::pair();
        let socket = builder(transport).seed(seed).start().unwrap();
        let room = socket.channel(TOPIC);
        let mut server = Server::new(peer);
        server.met = met;
        let (random, log) = (fastrand::Rng::with_seed(seed), room.presence_events());
        let mut world = World { seed, random, server, room, readers: Vec::new(), log, logged: BTreeMap::new() };
        world.read_along();
        world.room.join(()).detach();
        world
    }

    fn read_along(&mut self) {
        self.readers.push(Reader { who: self.room.presence(), seen: BTreeMap::new() });
    }

    async fn go_on(&mut self) {
        for _ in 0..self.random.u32(1..STEPS) {
            match self.random.u8(..60) {
                0..14 => self.server.change(&mut self.random),
                14..28 => drop(self.server.diff().await),
                28..36 => drop(self.server.proceed().await),
                36..44 => self.server.serve().await,
                44 => self.server.crash().await,
                45 => self.server.cut(),
                46..48 => self.room.rejoin().detach(),
                48..50 => advance(Duration::from_millis(self.random.u64(..12_000))).await,
                50 if self.readers.len() < 4 => self.read_along(),
                51..53 => {
                    let reader = self.random.usize(..self.readers.len());
                    self.readers[reader].read();
                }
                53 => self.follow_log(),
                _ => settle_some().await,
            }
            if self.random.bool() {
                settle_some().await;
            }
        }
    }

    /// Until all is told. Then everybody reads, and has the server's list.
    async fn assert_quiet(&mut self) {
        for _ in 0..1_000 {
            settle_some().await;
            self.server.serve().await;
            settle_some().await;
            while self.server.proceed().await || self.server.diff().await {}
            settle_some().await;
            if self.server.has_told_all() && self.room.status().current().is_joined() {
                break;
            }
            advance(Duration::from_secs(1)).await;
        }
        let theirs = by_ref(self.server.list());
        for reader in &mut self.readers {
            let now = reader.who.current();
            assert_eq!((now.state(), now.pending()), (PresenceState::Synced, 0));
            assert_eq!(by_ref(list(&now)), theirs);
            reader.read();
            let seen: serde_json::Map<_, _> = reader.seen.clone().into_iter().collect();
            assert_eq!(by_ref(seen.into()), theirs, "what changed comes to the same");
        }
        self.follow_log();
        // Their bodies are not told where their refs are the same (DEV-18).
        let present = self.readers[0].who.current();
        let refs: BTreeMap<_, _> = present.iter().map(|who| (who.key().to_owned(), refs(&who))).collect();
        assert_eq!(self.logged, refs, "the joins and leaves come to the same");
    }

    fn follow_log(&mut self) {
        while let Some(event) = self.log.next().now_or_never() {
            match event.expect("it goes on").expect("nothing is lost, and nothing wrong") {
                PresenceEvent::Joined { before, joined } => {
                    let (key, came) = (joined.key().to_owned(), refs(&joined));
                    let known = self.logged.remove(&key);
                    assert_eq!(before.as_ref().map(refs), known, "{key}");
                    let mut now = known.unwrap_or_default();
                    now.retain(|reference| !came.contains(reference));
                    now.extend(came);
                    self.logged.insert(key, now);
                }
                PresenceEvent::Left { remaining, left } => {
                    let (key, went) = (left.key().to_owned(), refs(&left));
                    let mut now = self.logged.remove(&key).expect("somebody was here");
                    now.retain(|reference| !went.contains(reference));
                    assert_eq!(remaining.as_ref().map_or_else(Vec::new, refs), now, "{key}");
                    if !now.is_empty() {
                        self.logged.insert(key, now);
                    }
                }
                _ => {}
            }
        }
    }
}

impl Reader {
    fn read(&mut self) {
        while let Some(item) = self.who.next().now_or_never() {
            let item = item.expect("it goes on");
            for change in item.changes() {
                let key = change.key().to_owned();
                let (old, new) = match change {
                    Change::Joined(new) => (None, Some(entry(&new))),
                    Change::Updated { old, new } => (Some(entry(&old)), Some(entry(&new))),
                    Change::Left(old) => (Some(entry(&old)), None),
                };
                assert_eq!(self.seen.remove(&key), old, "{key}");
                self.seen.extend(new.map(|new| (key, new)));
            }
        }
    }
}

fn refs(who: &Entry<Value>) -> Vec<Value> {
    who.metas().iter().map(|meta| meta["phx_ref"].clone()).collect()
}

/// Their order is the order in which they came to be known, which is nobody's but the client's.
fn by_ref(mut list: Value) -> Value {
    for (_, who) in list.as_object_mut().unwrap() {
        let metas = who["metas"].as_array_mut().unwrap();
        metas.sort_by_key(|meta| meta["phx_ref"].as_str().unwrap().to_owned());
    }
    list
}

async fn settle_some() {
    for _ in 0..4 {
        yield_now().await;
    }
}
