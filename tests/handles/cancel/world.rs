//! A socket and its peer, brought to some state, and an operation begun in it and dropped.

use std::{collections::VecDeque, future::Future, pin::Pin, sync::Arc, time::Duration};

use futures::FutureExt;
use phoenix_streams::{
    Channel, ChannelStatus, Events, Push, Socket, Stats, Status, json,
    transport::memory::{self, Incoming, Peer, PeerConnection},
};
use tokio::{sync::Mutex, time::advance};

use crate::support::{accept_join, builder, poll, settle, until};

pub(super) type Operation = Pin<Box<dyn Future<Output = ()>>>;

/// How far the world has come when the operation begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Given {
    /// The socket is not asked to connect.
    Idle,
    /// The attempt to connect is not answered yet.
    Dialing,
    /// Connected; the channel was never joined.
    Open,
    /// The join is sent and not answered yet.
    Joining,
    Joined,
    Left,
    /// The connection was cut, and the socket waits for its next attempt.
    Waiting,
    Disconnected,
    /// Joined; writes are blocked, and the push lane is full.
    Full,
}

pub(super) struct World {
    pub(super) socket: Socket,
    pub(super) room: Channel,
    pub(super) events: Arc<Mutex<Events>>,
    pub(super) peer: Peer,
    pub(super) server: Option<PeerConnection>,
    pub(super) unanswered: VecDeque<Incoming>,
    /// The event names of what the client has sent since the operation began, without heartbeats.
    pub(super) seen: Vec<String>,
    /// The server neither reads nor answers.
    pub(super) silent: bool,
    pub(super) broadcasts: usize,
    pub(super) fillers: Vec<Push>,
}

impl World {
    pub(super) async fn at(given: Given) -> World {
        let (transport, peer) = if given == Given::Full { memory::pair_with_capacity(1) } else { memory::pair() };
        let socket = builder(transport).idle().unwrap();
        let room = socket.channel("room:1");
        let events = Arc::new(Mutex::new(room.events("shout")));
        let mut world = World {
            socket,
            room,
            events,
            peer,
            server: None,
            unanswered: VecDeque::new(),
            seen: Vec::new(),
            silent: false,
            broadcasts: 0,
            fillers: Vec::new(),
        };
        world.bring_to(given).await;
        settle().await;
        world
    }

    async fn bring_to(&mut self, given: Given) {
        if given == Given::Idle {
            return;
        }
        let mut connecting = self.socket.connect();
        assert!(poll(&mut connecting).is_pending());
        drop(connecting);
        settle().await;
        if given == Given::Dialing {
            return;
        }
        let mut server = self.peer.accept().await;
        until(&self.socket, Status::is_connected).await;
        match given {
            Given::Joining => {
                self.room.join(()).detach();
                self.unanswered.push_back(server.recv().await.unwrap());
            }
            Given::Joined | Given::Left | Given::Waiting | Given::Disconnected | Given::Full => {
                accept_join(&self.room, &mut server).await;
            }
            _ => {}
        }
        match given {
            Given::Left => {
                let mut leave = self.room.leave();
                assert!(poll(&mut leave).is_pending());
                let asked = server.recv().await.unwrap();
                server.reply(&asked, "ok", ()).await;
                leave.await.unwrap();
                self.events = Arc::new(Mutex::new(self.room.events("shout")));
            }
            Given::Waiting => {
                server.cut();
                until(&self.socket, |status| matches!(status, Status::Waiting { .. })).await;
                return;
            }
            Given::Disconnected => {
                let mut disconnect = self.socket.disconnect();
                assert!(poll(&mut disconnect).is_pending());
                assert!(server.recv().await.is_none());
                server.close(1000);
                disconnect.await;
                return;
            }
            Given::Full => self.fill().await,
            _ => {}
        }
        self.server = Some(server);
    }

    /// Blocks the writes, then fills the lane, with pushes that wait for long.
    async fn fill(&mut self) {
        self.silent = true;
        while self.socket.stats().outgoing_bytes < 256 << 10 {
            self.push_filler(&"x".repeat(100 << 10));
            settle().await;
        }
        for _ in 0..1_024 {
            self.push_filler("");
        }
        settle().await;
    }

    fn push_filler(&mut self, payload: &str) {
        let mut push = self.room.push("filler", payload).timeout(Duration::from_secs(3_600));
        assert!(poll(&mut push).is_pending());
        self.fillers.push(push);
    }

    /// Takes note of what the client has sent.
    fn read(&mut self) {
        if self.silent {
            return;
        }
        while let Some(server) = &mut self.server {
            match server.recv().now_or_never() {
                Some(Some(message)) => {
                    if &*message.event != "heartbeat" {
                        self.seen.push(message.event.to_string());
                    }
                    self.unanswered.push_back(message);
                }
                Some(None) => {
                    self.seen.push("close".to_owned());
                    self.server.take().unwrap().close(1000);
                    self.unanswered.clear();
                }
                None => break,
            }
        }
    }

    /// The server does one thing that it is asked for; whether there was one.
    async fn step(&mut self) -> bool {
        if self.silent {
            return false;
        }
        settle().await;
        self.read();
        settle().await;
        if let Some((server, asked)) = self.server.as_mut().zip(self.unanswered.pop_front()) {
            server.reply(&asked, "ok", ()).await;
        } else if let Some(attempt) = self.peer.dialed().now_or_never() {
            self.server = Some(attempt.accept());
        } else {
            return false;
        }
        settle().await;
        true
    }

    /// Until nothing is asked for any more, and no attempt to connect is to come.
    async fn serve(&mut self) {
        loop {
            while self.step().await {}
            if self.silent || !matches!(self.socket.status().current(), Status::Waiting { .. }) {
                return;
            }
            advance(Duration::from_secs(6)).await;
            settle().await;
        }
    }

    pub(super) fn is_joined(&self) -> bool {
        self.room.status().current().is_joined()
    }
}

/// What happens between two polls when the server is asked for nothing.
#[derive(Clone, Copy)]
pub(super) enum Otherwise {
    TimePasses,
    Broadcast,
}

pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) given: &'static [Given],
    pub(super) operation: fn(&World) -> Operation,
    pub(super) otherwise: Otherwise,
    pub(super) check: fn(&Left),
}

/// What was left behind.
pub(super) struct Left {
    pub(super) given: Given,
    /// How often it was polled.
    pub(super) polls: usize,
    pub(super) ready: bool,
    pub(super) before: Stats,
    pub(super) after: Stats,
    pub(super) seen: Vec<String>,
    /// How many of these were sent before it was dropped.
    pub(super) sent_before: usize,
    pub(super) socket: Status,
    pub(super) was: ChannelStatus,
    pub(super) channel: ChannelStatus,
}

impl Left {
    pub(super) fn count(&self, event: &str) -> usize {
        self.seen.iter().filter(|seen| *seen == event).count()
    }

    pub(super) fn sent_after(&self, event: &str) -> usize {
        self.seen[self.sent_before..].iter().filter(|seen| *seen == event).count()
    }

    pub(super) fn nothing_changed(&self) {
        assert_eq!((self.before.channels, self.before.streams), (self.after.channels, self.after.streams));
    }
}

async fn run(case: &Case, given: Given, polls: usize, drop_at_once: bool) -> bool {
    let mut world = World::at(given).await;
    let before = world.socket.stats();
    let was = world.room.status().current();
    let mut operation = (case.operation)(&world);
    let mut ready = false;
    for number in 0..polls {
        ready = poll(&mut operation).is_ready();
        if ready || (drop_at_once && number + 1 == polls) {
            break;
        }
        settle().await;
        if !world.step().await {
            match case.otherwise {
                Otherwise::TimePasses => advance(Duration::from_secs(4)).await,
                Otherwise::Broadcast => {
                    world.server.as_mut().unwrap().broadcast("room:1", "shout", json!(world.broadcasts)).await;
                    world.broadcasts += 1;
                }
            }
            settle().await;
        }
    }
    world.read();
    let sent_before = world.seen.len();
    drop(operation);
    world.serve().await;
    let after = world.socket.stats();
    let name = format!("{} in {given:?}, polled {polls} times, {after:?}", case.name);
    if world.broadcasts == 0 {
        assert_eq!(before.incoming_bytes, after.incoming_bytes, "{name}");
    }
    assert_eq!(before.pending_pushes, after.pending_pushes, "{name}");
    assert_eq!(before.callers, after.callers, "{name}");
    assert_eq!(before.outgoing_bytes, after.outgoing_bytes, "{name}");
    // Of all that could be waited for, only the next heartbeat is left.
    let heartbeat = usize::from(world.socket.status().current().is_connected());
    let timers = if given == Given::Full { before.timers } else { heartbeat };
    assert_eq!(timers, after.timers, "{name}");
    if given == Given::Full {
        // The peer reads again: what was forgotten while it did not is not among it.
        world.silent = false;
        world.serve().await;
    }
    let left = Left {
        given,
        polls,
        ready,
        before,
        after,
        seen: world.seen.clone(),
        sent_before,
        socket: world.socket.status().current(),
        was,
        channel: world.room.status().current(),
    };
    let note = std::panic::AssertUnwindSafe(|| (case.check)(&left));
    if std::panic::catch_unwind(note).is_err() {
        panic!("{name}: was {:?}, is {:?} on {:?}, saw {:?}", left.was, left.channel, left.socket, left.seen);
    }
    ready
}

pub(super) async fn run_all(cases: &[Case]) {
    for case in cases {
        for given in case.given {
            for drop_at_once in [false, true] {
                let mut ready = false;
                for polls in 0..40 {
                    ready = run(case, *given, polls, drop_at_once).await;
                    if ready {
                        break;
                    }
                }
                assert!(ready, "{} in {given:?} is never ready", case.name);
            }
        }
    }
}
