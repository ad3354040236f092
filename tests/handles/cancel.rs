//! Every future of the public API, polled k times and dropped, for every k until it is ready: nothing is left behind
//! but what its docs say.

mod world;

use std::{future::Future, time::Duration};

use futures::{FutureExt, SinkExt, Stream, StreamExt};
use phoenix_streams::{ChannelClosed, ChannelStatus, Envelope, NotJoined, Stats, Status, json, transport::memory};
use tokio::time::advance;

use self::world::{Case, Given, Left, Operation, Otherwise, World, run_all};
use crate::support::{builder, poll, settle};

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
            name: "join by a closure",
            given: EVERYWHERE,
            operation: |world| boxed(world.room.join_with(|_| async { Ok(json!({ "nick": "ann" })) })),
            otherwise: Otherwise::TimePasses,
            check: |left| {
                untouched(left);
                wanted(left);
                if matches!(left.given, Given::Open | Given::Left | Given::Joined | Given::Joining) {
                    let fresh = matches!(left.given, Given::Open | Given::Left);
                    assert_eq!(usize::from(fresh && left.polls > 0), left.count("phx_join"));
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
        Case {
            name: "cast past all channels",
            given: EVERYWHERE,
            operation: |world| boxed(world.socket.cast(Envelope::new("room:1", "ask", json!({ "n": 1 })).unwrap())),
            otherwise: Otherwise::TimePasses,
            check: |left| {
                left.nothing_changed();
                assert_eq!(0, left.sent_after("ask"));
                assert!(left.count("ask") <= 1);
                if left.polls == 0 {
                    assert_eq!(0, left.count("ask"));
                }
            },
        },
        Case {
            name: "send into a sink",
            given: EVERYWHERE,
            operation: |world| {
                let mut sink = world.room.sink("ask").timeout(Duration::from_secs(20));
                boxed(async move { sink.send(json!({ "n": 1 })).await })
            },
            otherwise: Otherwise::TimePasses,
            check: at_most_once,
        },
        Case {
            name: "close of a sink",
            given: EVERYWHERE,
            operation: |world| {
                let mut sink = world.room.sink("ask").timeout(Duration::from_secs(20));
                boxed(async move {
                    sink.feed(json!({ "n": 1 })).await?;
                    SinkExt::<serde_json::Value>::close(&mut sink).await
                })
            },
            otherwise: Otherwise::TimePasses,
            check: at_most_once,
        },
        Case {
            name: "ping",
            given: EVERYWHERE,
            operation: |world| boxed(world.socket.ping()),
            otherwise: Otherwise::TimePasses,
            check: |left| {
                left.nothing_changed();
                assert!(left.polls > 0 || left.count("heartbeat") == 0);
            },
        },
    ])
    .await;
}

/// Waits as `stream.next()` does.
fn next(stream: impl Stream + Unpin + 'static) -> Operation {
    let mut stream = stream;
    boxed(async move { drop(stream.next().await) })
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "snake_case")]
enum Shouted {
    Shout(#[expect(dead_code, reason = "decoded alone")] usize),
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
            name: "messages by an enum",
            given: JOINED,
            operation: |world| next(world.room.messages_as::<Shouted>()),
            otherwise: Otherwise::Broadcast,
            check: Left::nothing_changed,
        },
        Case {
            name: "bounded events",
            given: JOINED,
            operation: |world| next(world.room.events("shout").max_messages(1).max_bytes(1 << 10)),
            otherwise: Otherwise::Broadcast,
            check: Left::nothing_changed,
        },
        Case {
            name: "all messages of the socket",
            given: JOINED,
            operation: |world| next(world.socket.messages()),
            otherwise: Otherwise::Broadcast,
            check: Left::nothing_changed,
        },
        Case {
            name: "joins",
            given: &[Given::Joining],
            operation: |world| next(world.room.joins()),
            otherwise: Otherwise::TimePasses,
            check: Left::nothing_changed,
        },
        Case {
            name: "latency",
            given: EVERYWHERE,
            operation: |world| next(world.socket.latency()),
            otherwise: Otherwise::TimePasses,
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
