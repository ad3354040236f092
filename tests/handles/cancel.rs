//! Every future of the public API, polled k times and dropped, for every k until it is ready: nothing is left behind
//! but what its docs say.

use std::{collections::VecDeque, future::Future, pin::Pin, sync::Arc, time::Duration};

use futures::{FutureExt, Stream, StreamExt};
use phoenix_streams::{
    ChannelClosed, ChannelStatus, Events, NotJoined, Push, Socket, Stats, Status, json,
    transport::memory::{self, Incoming, Peer, PeerConnection},
};
use tokio::{sync::Mutex, time::advance};

use crate::support::{accept_join, builder, poll, settle, until};

type Operation = Pin<Box<dyn Future<Output = ()>>>;

/// How far the world has come when the operation begins.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Given {
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

struct World {
    socket: Socket,
    room: phoenix_streams::Channel,
    events: Arc<Mutex<Events>>,
    peer: Peer,
    server: Option<PeerConnection>,
    unanswered: VecDeque<Incoming>,
    /// The event names of what the client has sent since the operation began, without heartbeats.
    seen: Vec<String>,
    /// The server neither reads nor answers.
    silent: bool,
    broadcasts: usize,
    fillers: Vec<Push>,
}

impl World {
    async fn at(given: Given) -> World {
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

    fn is_joined(&self) -> bool {
        self.room.status().current().is_joined()
    }
}

/// What happens between two polls when the server is asked for nothing.
#[derive(Clone, Copy)]
enum Otherwise {
    TimePasses,
    Broadcast,
}

struct Case {
    name: &'static str,
    given: &'static [Given],
    operation: fn(&World) -> Operation,
    otherwise: Otherwise,
    check: fn(&Left),
}

/// What was left behind.
struct Left {
    given: Given,
    /// How often it was polled.
    polls: usize,
    ready: bool,
    before: Stats,
    after: Stats,
    seen: Vec<String>,
    /// How many of these were sent before it was dropped.
    sent_before: usize,
    socket: Status,
    was: ChannelStatus,
    channel: ChannelStatus,
}

impl Left {
    fn count(&self, event: &str) -> usize {
        self.seen.iter().filter(|seen| *seen == event).count()
    }

    fn sent_after(&self, event: &str) -> usize {
        self.seen[self.sent_before..].iter().filter(|seen| *seen == event).count()
    }

    fn nothing_changed(&self) {
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

async fn run_all(cases: &[Case]) {
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

const EVERYWHERE: &[Given] = &[
    Given::Idle,
    Given::Dialing,
    Given::Open,
    Given::Joining,
    Given::Joined,
    Given::Left,
    Given::Waiting,
    Given::Disconnected,
];

fn boxed(future: impl Future + 'static) -> Operation {
    Box::pin(future.map(drop))
}

// S-1, S-18, T-18
#[tokio::test(start_paused = true)]
async fn connections() {
    run_all(&[
        Case {
            name: "connect",
            given: EVERYWHERE,
            operation: |world| boxed(world.socket.connect()),
            otherwise: Otherwise::TimePasses,
            check: |left| {
                left.nothing_changed();
                let on = left.polls > 0 || !matches!(left.given, Given::Idle | Given::Disconnected);
                assert_eq!(on, left.socket.is_connected(), "dropped after its first poll, it goes on connecting");
                assert_eq!(0, left.count("close"));
            },
        },
        Case {
            name: "disconnect",
            given: EVERYWHERE,
            operation: |world| boxed(world.socket.disconnect()),
            otherwise: Otherwise::TimePasses,
            check: |left| {
                left.nothing_changed();
                let connected = matches!(left.given, Given::Open | Given::Joining | Given::Joined | Given::Left);
                if left.polls > 0 {
                    assert!(matches!(left.socket, Status::Disconnected));
                    assert_eq!(usize::from(connected), left.count("close"));
                } else {
                    assert_eq!(0, left.count("close"));
                }
                if left.polls > 0 && left.given == Given::Joined {
                    assert!(matches!(left.channel, ChannelStatus::Errored { cause: NotJoined::ConnectionLost(_) }));
                }
            },
        },
        Case {
            name: "close",
            given: EVERYWHERE,
            operation: |world| boxed(world.socket.close()),
            otherwise: Otherwise::TimePasses,
            check: |left| {
                if left.polls > 0 {
                    assert!(left.socket.is_closed());
                    assert_eq!(Stats::default(), left.after);
                    assert!(matches!(left.channel, ChannelStatus::Closed { cause: ChannelClosed::Socket }));
                } else {
                    left.nothing_changed();
                }
            },
        },
    ])
    .await;
}

/// A join dropped after its first poll leaves the channel wanted.
fn wanted(left: &Left) {
    left.nothing_changed();
    if left.polls == 0 {
        return;
    }
    if left.socket.is_connected() {
        assert!(left.channel.is_joined());
    } else if left.given == Given::Idle {
        assert!(matches!(left.channel, ChannelStatus::Joining));
        assert_eq!(0, left.seen.len());
    }
}

// Nothing is sent before the first poll.
fn untouched(left: &Left) {
    if left.polls == 0 && matches!(left.given, Given::Open | Given::Joined | Given::Left | Given::Idle) {
        assert_eq!(0, left.seen.len());
        assert_eq!(std::mem::discriminant(&left.was), std::mem::discriminant(&left.channel));
    }
}

// T-18, T-20
#[tokio::test(start_paused = true)]
async fn joins_and_leaves() {
    run_all(&[
        Case {
            name: "join",
            given: EVERYWHERE,
            operation: |world| boxed(world.room.join(json!({ "nick": "ann" }))),
            otherwise: Otherwise::TimePasses,
            check: |left| {
                untouched(left);
                wanted(left);
                let fresh = matches!(left.given, Given::Open | Given::Left);
                let expected = usize::from(fresh && left.polls > 0);
                if matches!(left.given, Given::Open | Given::Left | Given::Joined | Given::Joining) {
                    assert_eq!(expected, left.count("phx_join"));
                }
                assert_eq!(0, left.count("phx_leave"));
            },
        },
        Case {
            name: "rejoin",
            given: EVERYWHERE,
            operation: |world| boxed(world.room.rejoin()),
            otherwise: Otherwise::TimePasses,
            check: |left| {
                untouched(left);
                wanted(left);
                if matches!(left.given, Given::Open | Given::Left | Given::Joined) {
                    assert_eq!(usize::from(left.polls > 0), left.count("phx_join"));
                }
                assert_eq!(0, left.count("phx_leave"));
            },
        },
        Case {
            name: "leave",
            given: EVERYWHERE,
            operation: |world| boxed(world.room.leave()),
            otherwise: Otherwise::TimePasses,
            check: |left| {
                untouched(left);
                if left.polls == 0 {
                    return left.nothing_changed();
                }
                assert!(matches!(left.channel, ChannelStatus::Closed { cause: ChannelClosed::Left }));
                let joined = matches!(left.given, Given::Joining | Given::Joined);
                assert_eq!(usize::from(joined), left.count("phx_leave"));
                assert_eq!((1, 0), (left.after.channels, left.after.streams), "its streams end, its handles stay");
            },
        },
    ])
    .await;
}

/// What was not sent when it was dropped is never sent, and what was is sent once.
fn at_most_once(left: &Left) {
    left.nothing_changed();
    assert_eq!(0, left.sent_after("ask"));
    assert!(left.count("ask") <= 1);
    if left.polls == 0 {
        assert_eq!(0, left.count("ask"));
    }
    if left.ready && left.given == Given::Joined {
        assert_eq!(1, left.count("ask"));
    }
}

const PUSHED: &[Given] = &[
    Given::Idle,
    Given::Dialing,
    Given::Open,
    Given::Joining,
    Given::Joined,
    Given::Left,
    Given::Waiting,
    Given::Disconnected,
    Given::Full,
];

// T-19
#[tokio::test(start_paused = true)]
async fn pushes_and_casts() {
    run_all(&[
        Case {
            name: "push",
            given: PUSHED,
            operation: |world| boxed(world.room.push("ask", json!({ "n": 1 }))),
            otherwise: Otherwise::TimePasses,
            check: at_most_once,
        },
        Case {
            name: "cast",
            given: PUSHED,
            operation: |world| boxed(world.room.cast("ask", json!({ "n": 1 }))),
            otherwise: Otherwise::TimePasses,
            check: at_most_once,
        },
    ])
    .await;
}

/// Waits as `stream.next()` does.
fn next(stream: impl Stream + Unpin + 'static) -> Operation {
    let mut stream = stream;
    boxed(async move { drop(stream.next().await) })
}

/// The stream of the world, which outlives its `next()`.
fn next_of_held(world: &World) -> Operation {
    let events = world.events.clone();
    boxed(async move { drop(events.lock().await.next().await) })
}

#[tokio::test(start_paused = true)]
async fn streams() {
    const JOINED: &[Given] = &[Given::Joined];
    run_all(&[
        Case {
            name: "next of events",
            given: JOINED,
            operation: next_of_held,
            otherwise: Otherwise::Broadcast,
            check: Left::nothing_changed,
        },
        Case {
            name: "messages",
            given: JOINED,
            operation: |world| next(world.room.messages()),
            otherwise: Otherwise::Broadcast,
            check: Left::nothing_changed,
        },
        Case {
            name: "decoded events",
            given: JOINED,
            operation: |world| next(world.room.events_as::<usize>("shout")),
            otherwise: Otherwise::Broadcast,
            check: Left::nothing_changed,
        },
        Case {
            name: "lossy events",
            given: JOINED,
            operation: |world| next(world.room.events("shout").lossy()),
            otherwise: Otherwise::Broadcast,
            check: Left::nothing_changed,
        },
        Case {
            name: "telemetry",
            given: JOINED,
            operation: |world| next(world.socket.telemetry()),
            otherwise: Otherwise::TimePasses,
            check: Left::nothing_changed,
        },
        Case {
            name: "status",
            given: EVERYWHERE,
            operation: |world| next(world.socket.status()),
            otherwise: Otherwise::TimePasses,
            check: Left::nothing_changed,
        },
        Case {
            name: "wait for connected",
            given: &[Given::Dialing, Given::Waiting, Given::Joined],
            operation: |world| {
                let mut status = world.socket.status();
                boxed(async move { drop(status.wait_for(Status::is_connected).await) })
            },
            otherwise: Otherwise::TimePasses,
            check: Left::nothing_changed,
        },
        Case {
            name: "wait for joined",
            given: &[Given::Joining, Given::Waiting, Given::Joined],
            operation: |world| {
                let mut status = world.room.status();
                boxed(async move { drop(status.wait_for(ChannelStatus::is_joined).await) })
            },
            otherwise: Otherwise::TimePasses,
            check: |left| {
                left.nothing_changed();
                assert!(left.channel.is_joined(), "not wanted any less");
            },
        },
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_dropped_next_loses_nothing() {
    let mut world = World::at(Given::Joined).await;
    assert!(world.is_joined());
    for number in 0..20 {
        let mut operation = next_of_held(&world);
        if number % 2 == 0 {
            assert!(poll(&mut operation).is_pending());
        }
        world.server.as_mut().unwrap().broadcast("room:1", "shout", number).await;
        settle().await;
        drop(operation);
        let message = world.events.lock().await.next().await.unwrap().unwrap();
        assert_eq!(number, message.json::<i32>().unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_wait_for_can_be_asked_again() {
    let world = World::at(Given::Dialing).await;
    let (mut status, mut peer) = (world.socket.status(), world.peer);
    for _ in 0..3 {
        assert!(Box::pin(status.wait_for(Status::is_connected)).as_mut().now_or_never().is_none());
    }
    let _server = peer.accept().await;
    assert!(status.wait_for(Status::is_connected).await.is_some());
}

// T-18
#[tokio::test(start_paused = true)]
async fn a_dropped_first_connect_closes_the_socket() {
    for polls in 0..4 {
        for drop_at_once in [false, true] {
            let (transport, mut peer) = memory::pair();
            let mut connect = builder(transport).connect();
            let mut server = None;
            for number in 0..polls {
                let ready = poll(&mut connect).is_ready();
                assert!(!ready || server.is_some());
                if ready || (drop_at_once && number + 1 == polls) {
                    break;
                }
                settle().await;
                if number == 1 {
                    server = Some(peer.accept().await);
                    settle().await;
                }
            }
            drop(connect);
            settle().await;
            assert!(peer.dialed().now_or_never().is_none(), "nobody waits for an answer any more");
            if let Some(mut server) = server {
                assert!(server.recv().await.is_none());
            }
            advance(Duration::from_secs(60)).await;
            settle().await;
            assert!(peer.dialed().now_or_never().is_none(), "and nothing reconnects");
        }
    }
}
