//! Who holds a channel joined, and a socket open; and what a topic is.

use std::{
    collections::HashSet,
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use futures::{FutureExt, StreamExt};
use phoenix_streams::{
    Channel, ChannelClosed, ChannelStatus, Socket, json,
    transport::{
        Frame,
        memory::{Incoming, PeerConnection},
    },
};
use tokio::time::advance;

use crate::support::{accept_join, connected, joined, poll, recv_event, sent, settle};

/// A part of a channel that holds it.
type Part = fn(&Channel) -> Box<dyn Send>;

fn polled<F: Future + Unpin + Send + 'static>(mut future: F) -> Box<dyn Send> {
    assert!(poll(&mut future).is_pending());
    Box::new(future)
}

const HOLDERS: &[(&str, Part)] = &[
    ("handle", |room| Box::new(room.clone())),
    ("events", |room| Box::new(room.events("shout"))),
    ("lossy events", |room| Box::new(room.events("shout").lossy())),
    ("decoded events", |room| Box::new(room.events_as::<u8>("shout"))),
    ("messages", |room| Box::new(room.messages())),
    ("decoded messages", |room| Box::new(room.messages_as::<u8>())),
    ("presence", |room| Box::new(room.presence::<u8>())),
    ("presence events", |room| Box::new(room.presence_events::<u8>())),
    ("sink", |room| Box::new(room.sink::<u8>("tell"))),
    ("join by a closure, not polled", |room| Box::new(room.join_with(|_| std::future::ready(Ok(()))))),
    ("join, not polled", |room| Box::new(room.join(()))),
    ("rejoin, not polled", |room| Box::new(room.rejoin())),
    ("push, not polled", |room| Box::new(room.push("ask", ()))),
    ("push, waiting for its reply", |room| polled(room.push("ask", ()).timeout(Duration::from_secs(600)))),
    ("cast, not polled", |room| Box::new(room.cast("tell", ()))),
    ("leave, not polled", |room| Box::new(room.leave())),
];

#[tokio::test(start_paused = true)]
async fn each_kind_of_holder_keeps_the_channel_joined() {
    for (name, hold) in HOLDERS {
        let (socket, mut peer, mut server) = connected().await;
        let (room, _) = joined(&socket, &mut server, "room:1").await;
        let part = hold(&room);
        drop(room);
        assert!(!sent(&mut server).await.contains(&"phx_leave".to_owned()), "{name}");
        // And over a reconnect.
        server.cut();
        let mut server = peer.accept().await;
        let rejoin = recv_event(&mut server, "phx_join").await;
        server.reply(&rejoin, "ok", ()).await;
        assert!(!sent(&mut server).await.contains(&"phx_leave".to_owned()), "{name}");
        assert_eq!(1, socket.stats().channels, "{name}");
        drop(part);
        let leave = recv_event(&mut server, "phx_leave").await;
        assert_eq!(rejoin.join_ref, leave.join_ref, "{name}");
        settle().await;
        assert_eq!(0, socket.stats().channels, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_pending_join_holds_what_it_asks_for() {
    let (socket, _peer, mut server) = connected().await;
    let mut join = socket.channel("room:1").join(());
    assert!(poll(&mut join).is_pending());
    let asked = server.recv().await.unwrap();
    assert_eq!(Vec::<String>::new(), sent(&mut server).await);
    server.reply(&asked, "ok", ()).await;
    join.await.unwrap();
    assert_eq!(asked.join_ref, recv_event(&mut server, "phx_leave").await.join_ref);
}

#[tokio::test(start_paused = true)]
async fn a_cast_holds_until_it_is_written() {
    let (socket, mut peer, mut server) = connected().await;
    let (room, _) = joined(&socket, &mut server, "room:1").await;
    server.cut();
    settle().await;
    let mut cast = room.cast("tell", ());
    assert!(poll(&mut cast).is_pending());
    drop(room);
    let mut server = peer.accept().await;
    let rejoin = server.recv().await.unwrap();
    server.reply(&rejoin, "ok", ()).await;
    cast.await.unwrap();
    assert_eq!(["tell", "phx_leave"], *sent(&mut server).await);
}

#[tokio::test(start_paused = true)]
async fn what_only_observes_holds_nothing() {
    let (socket, _peer, mut server) = connected().await;
    let (room, _) = joined(&socket, &mut server, "room:1").await;
    let mut status = room.status();
    let telemetry = socket.telemetry();
    let on = (socket.status(), socket.latency(), socket.messages(), room.joins());
    room.join(json!({ "again": true })).detach();
    drop(room);
    assert_eq!(["phx_leave"], *sent(&mut server).await);
    let closed = |status: &ChannelStatus| matches!(status, ChannelStatus::Closed { cause: ChannelClosed::Left });
    assert!(status.wait_for(closed).await.is_some());
    assert!(status.next().now_or_never().flatten().is_none_or(|last| closed(&last)));
    drop(socket);
    assert!(matches!(server.recv_frame().await, Some(Frame::Close { code: 1000, .. })));
    drop((telemetry, on));
}

// T-18
#[tokio::test(start_paused = true)]
async fn the_last_part_of_a_socket_closes_it_with_1000() {
    for (name, hold) in HOLDERS {
        let (socket, mut peer, mut server) = connected().await;
        let (room, _) = joined(&socket, &mut server, "room:1").await;
        let part = hold(&room);
        let mut status = socket.status();
        drop((room, socket));
        assert!(!sent(&mut server).await.contains(&"close".to_owned()), "{name} holds its socket");
        drop(part);
        let mut leaves = 0;
        let code = loop {
            match server.recv_frame().await.unwrap() {
                Frame::Close { code, .. } => break code,
                Frame::Text(text) => leaves += usize::from(text.windows(9).any(|part| part == b"phx_leave")),
                Frame::Binary(_) => {}
            }
        };
        assert_eq!((1000, 1), (code, leaves), "{name}");
        server.close(1000);
        assert!(status.wait_for(|status| status.is_closed()).await.is_some(), "{name}");
        while status.next().await.is_some() {}
        advance(Duration::from_secs(60)).await;
        settle().await;
        assert!(peer.dialed().now_or_never().is_none(), "nothing reconnects");
    }
}

// T-20, M-8, E-1
#[tokio::test(start_paused = true)]
async fn a_topic_is_one_channel_while_it_is_held() {
    let (socket, _peer, mut server) = connected().await;
    let (room, join) = joined(&socket, &mut server, "room:1").await;
    let again = socket.channel("room:1");
    assert_eq!(room, again);
    assert_ne!(room, socket.channel("room:2"));
    assert_eq!(1, HashSet::from([room.clone(), again.clone()]).len());
    let mut streams = [room.events("shout"), again.events("shout"), again.events("shout")];
    let mut all = again.messages();
    let reply = again.join(json!({ "other": "params" })).await.unwrap();
    assert_eq!("ok", reply.status());
    assert_eq!(Vec::<String>::new(), sent(&mut server).await, "no second join on the wire");
    server.broadcast("room:1", "shout", 1).await;
    server.push(&join, "shout", 2).await;
    settle().await;
    for stream in &mut streams {
        for expected in [1, 2] {
            assert_eq!(expected, stream.next().await.unwrap().unwrap().json::<i32>().unwrap());
        }
        assert!(stream.next().now_or_never().is_none(), "each sees each message once");
    }
    for _ in 0..2 {
        assert_eq!("shout", all.next().await.unwrap().unwrap().event());
    }
    assert!(all.next().now_or_never().is_none());
    drop(room);
    assert_eq!(Vec::<String>::new(), sent(&mut server).await, "the other handle and the streams hold it");
}

// T-20, T-5
#[tokio::test(start_paused = true)]
async fn a_topic_that_nobody_held_any_more_is_another_channel() {
    let (socket, _peer, mut server) = connected().await;
    let (old, first) = joined(&socket, &mut server, "room:1").await;
    drop(old);
    let fresh = socket.channel("room:1");
    let mut shouts = fresh.events("shout");
    let mut join = fresh.join(json!({ "fresh": true }));
    assert!(poll(&mut join).is_pending());
    let leave = server.recv().await.unwrap();
    assert_eq!(("phx_leave", &first.join_ref), (&*leave.event, &leave.join_ref));
    let asked = server.recv().await.unwrap();
    assert_eq!("phx_join", &*asked.event);
    assert_ne!(first.join_ref, asked.join_ref);
    // The old one's end comes first, and is nobody's any more.
    server.reply(&leave, "ok", ()).await;
    server.close_channel(&first).await;
    server.reply(&asked, "ok", json!({ "fresh": true })).await;
    assert_eq!(r#"{"fresh":true}"#, join.await.unwrap().payload().to_string());
    server.push(&first, "shout", "stale").await;
    server.push(&asked, "shout", "present").await;
    assert_eq!("present", shouts.next().await.unwrap().unwrap().json::<String>().unwrap());
    assert!(fresh.status().current().is_joined());
}

#[tokio::test(start_paused = true)]
async fn identities_are_never_used_again() {
    let (socket, _peer, _server) = connected().await;
    let mut seen = HashSet::new();
    let hasher = RandomState::new();
    let hash = |room: &Channel| hasher.hash_one(room);
    for _ in 0..50 {
        let room = socket.channel("room:1");
        assert_eq!(hash(&room), hash(&socket.channel("room:1")));
        assert!(seen.insert(hash(&room)), "a UI may keep the hash only");
    }
    assert_eq!(socket, socket.clone());
    let (other, _peer, _server) = connected().await;
    assert_ne!(socket, other);
    assert_ne!(other.channel("room:1"), socket.channel("room:1"));
}

// T-20
#[tokio::test(start_paused = true)]
async fn leave_is_for_all_holders_and_a_join_starts_afresh() {
    let (socket, _peer, mut server) = connected().await;
    let (room, first) = joined(&socket, &mut server, "room:1").await;
    let other = room.clone();
    let mut before = room.events("shout");
    let mut leave = room.leave();
    assert!(poll(&mut leave).is_pending());
    let asked = server.recv().await.unwrap();
    assert!(matches!(other.status().current(), ChannelStatus::Leaving));
    // A stream taken now belongs to the next life.
    let mut next_life = other.events("shout");
    server.reply(&asked, "ok", ()).await;
    leave.await.unwrap();
    assert!(before.next().await.is_none());
    assert!(next_life.next().now_or_never().is_none());
    assert_eq!(other, socket.channel("room:1"), "the same identity while an old handle is held");
    let second = accept_join(&other, &mut server).await;
    assert_ne!(first.join_ref, second.join_ref);
    server.push(&second, "shout", 1).await;
    assert!(next_life.next().await.unwrap().is_ok());
}

// T-20
#[tokio::test(start_paused = true)]
async fn a_further_join_waits_for_the_present_one_and_its_params_are_for_the_next() {
    let (socket, mut peer, mut server) = connected().await;
    let room = socket.channel("room:1");
    let mut joins = [room.join(json!({ "n": 1 })), room.join(json!({ "n": 2 }))];
    for join in &mut joins {
        assert!(poll(join).is_pending());
        settle().await;
    }
    let asked = server.recv().await.unwrap();
    assert_eq!(Vec::<String>::new(), sent(&mut server).await);
    server.reply(&asked, "ok", json!({ "motd": "hi" })).await;
    for join in joins {
        assert_eq!(r#"{"motd":"hi"}"#, join.await.unwrap().payload().to_string());
    }
    server.cut();
    let mut server = peer.accept().await;
    assert_eq!(r#"{"n":2}"#, server.recv().await.unwrap().payload.to_string());
}

async fn rejoined(room: &Channel, server: &mut PeerConnection) -> Incoming {
    let mut rejoin = room.rejoin();
    assert!(poll(&mut rejoin).is_pending());
    let asked = recv_event(server, "phx_join").await;
    server.reply(&asked, "ok", ()).await;
    rejoin.await.unwrap();
    asked
}

// C-39, DEV-12
#[tokio::test(start_paused = true)]
async fn rejoin_forces_a_fresh_join_without_a_leave() {
    let (socket, _peer, mut server) = connected().await;
    let (room, first) = joined(&socket, &mut server, "room:1").await;
    let mut shouts = room.events("shout");
    let mut ask = room.push("ask", ());
    assert!(poll(&mut ask).is_pending());
    recv_event(&mut server, "ask").await;
    let second = rejoined(&room, &mut server).await;
    assert!(matches!(ask.await, Err(phoenix_streams::PushError::Disconnected)));
    assert_ne!(first.join_ref, second.join_ref);
    // The server closes the old one behind its answer to the new one.
    server.close_channel(&first).await;
    server.push(&second, "shout", 1).await;
    assert!(shouts.next().await.unwrap().is_ok());
    assert!(room.status().current().is_joined());
    assert_eq!(Vec::<String>::new(), sent(&mut server).await);
}

// T-20, C-7
#[tokio::test(start_paused = true)]
async fn a_join_before_the_connection_goes_out_when_it_opens() {
    let (transport, mut peer) = phoenix_streams::transport::memory::pair();
    let socket: Socket = crate::support::builder(transport).idle().unwrap();
    let room = socket.channel("room:1");
    let mut shouts = room.events("shout");
    let mut join = room.join(json!({ "nick": "ann" }));
    let mut ask = room.push("ask", ());
    assert!(poll(&mut join).is_pending());
    assert!(poll(&mut ask).is_pending());
    settle().await;
    let mut connecting = socket.connect();
    assert!(poll(&mut connecting).is_pending());
    let mut server = peer.accept().await;
    connecting.await.unwrap();
    let asked = server.recv().await.unwrap();
    assert_eq!(("phx_join", r#"{"nick":"ann"}"#), (&*asked.event, &*asked.payload.to_string()));
    assert_eq!(Vec::<String>::new(), sent(&mut server).await, "the push waits for the answer");
    server.reply(&asked, "ok", ()).await;
    server.push(&asked, "shout", 1).await;
    join.await.unwrap();
    let pushed = server.recv().await.unwrap();
    assert_eq!(("ask", &asked.join_ref), (&*pushed.event, &pushed.join_ref));
    server.reply(&pushed, "ok", ()).await;
    ask.await.unwrap();
    assert!(shouts.next().await.unwrap().is_ok());
}
