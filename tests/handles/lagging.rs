//! Slow readers: they delay nobody, and what they miss is told in its place.

use std::{cell::Cell, rc::Rc, time::Duration};

use futures::{FutureExt, Stream, StreamExt};
use phoenix_streams::{EventError, Lagged, Message, Telemetry, json, transport::Frame};
use tokio::time::advance;

use crate::support::{accept_join, connected, connected_by, joined, poll, recv_event, settle};

const FLOOD: u64 = 10_000;
const STREAM: usize = 256 << 10;

/// What a stream has ready, and how much of it was lost; the messages are numbered and in order.
#[derive(Debug, Default, PartialEq)]
struct Tally {
    received: Vec<u64>,
    lagged: u64,
    lags: usize,
}

impl Tally {
    fn sum(&self) -> u64 {
        self.received.len() as u64 + self.lagged
    }

    fn take_ready(&mut self, stream: &mut (impl Stream<Item = Result<Message, EventError>> + Unpin)) {
        while let Some(item) = stream.next().now_or_never() {
            match item.expect("the stream goes on") {
                Ok(message) => self.received.push(number(&message)),
                Err(EventError::Lagged(lost)) => {
                    assert!(lost > 0);
                    (self.lagged, self.lags) = (self.lagged + lost, self.lags + 1);
                }
                Err(other) => panic!("{other}"),
            }
        }
    }
}

fn number(message: &Message) -> u64 {
    message.json::<(u64, String)>().unwrap().0
}

fn numbered(number: u64) -> (u64, String) {
    (number, "x".repeat(100))
}

// T-13, T-15, T-16
#[tokio::test(start_paused = true)]
async fn t_16_a_stalled_reader_is_told_what_it_lost_and_where() {
    let (socket, _peer, mut server) = connected_by(|it| it.queue_limits(STREAM, 64 << 20)).await;
    let (room, _) = joined(&socket, &mut server, "room:1").await;
    let (mut stalled, mut attentive) = (room.events("tick"), room.events("tick"));
    for number in 0..FLOOD {
        server.broadcast("room:1", "tick", numbered(number)).await;
    }
    let mut largest = 0;
    for expected in 0..FLOOD {
        let message = attentive.next().await.unwrap().expect("another reader is not affected");
        assert_eq!(expected, number(&message));
        largest = largest.max(socket.stats().incoming_bytes);
    }
    assert!(largest <= 2 * STREAM, "{largest} bytes are more than both may hold");
    let mut tally = Tally::default();
    tally.take_ready(&mut stalled);
    assert_eq!((FLOOD, 1), (tally.sum(), tally.lags), "though nothing follows");
    assert!(tally.lagged > 0 && tally.received.len() > 1_000);
    assert!(tally.received.iter().copied().eq(0..tally.received.len() as u64), "the newest are dropped");
    // It goes on behind the gap.
    server.broadcast("room:1", "tick", numbered(FLOOD)).await;
    assert_eq!(FLOOD, number(&stalled.next().await.unwrap().unwrap()));
    attentive.next().await.unwrap().unwrap();
    assert!(stalled.next().now_or_never().is_none() && attentive.next().now_or_never().is_none());
    assert_eq!(0, socket.stats().incoming_bytes);
}

#[tokio::test(start_paused = true)]
async fn every_gap_is_told_where_it_is() {
    let (socket, _peer, mut server) = connected_by(|it| it.queue_limits(STREAM, 64 << 20)).await;
    let (room, _) = joined(&socket, &mut server, "room:1").await;
    let mut stream = room.events("tick");
    let mut sent = 0;
    let mut tally = Tally::default();
    for _ in 0..5 {
        for _ in 0..3_000 {
            server.broadcast("room:1", "tick", numbered(sent)).await;
            sent += 1;
        }
        settle().await;
        assert!(socket.stats().incoming_bytes <= STREAM);
        tally.take_ready(&mut stream);
        assert_eq!(sent, tally.sum());
    }
    assert_eq!(5, tally.lags);
    assert!(tally.received.is_sorted());
}

#[tokio::test(start_paused = true)]
async fn large_payloads_are_charged_too() {
    let (socket, _peer, mut server) = connected_by(|it| it.queue_limits(STREAM, 64 << 20)).await;
    let (room, _) = joined(&socket, &mut server, "room:1").await;
    let mut stream = room.messages();
    for number in 0..100 {
        server.broadcast("room:1", "tick", (number, "x".repeat(10_000))).await;
    }
    settle().await;
    let held = socket.stats().incoming_bytes;
    assert!((STREAM / 2..=STREAM).contains(&held), "{held}");
    let mut tally = Tally::default();
    tally.take_ready(&mut stream);
    assert_eq!((100, 1), (tally.sum(), tally.lags));
    assert!(tally.received.len() * 20_000 <= STREAM, "each is charged twice");
}

// T-16
#[tokio::test(start_paused = true)]
async fn a_message_larger_than_the_bound_is_held_alone() {
    let (socket, _peer, mut server) = connected_by(|it| it.queue_limits(STREAM, 64 << 20)).await;
    let (room, _) = joined(&socket, &mut server, "room:1").await;
    let mut stream = room.events("tick");
    let large = "x".repeat(STREAM);
    server.broadcast("room:1", "tick", &large).await;
    server.broadcast("room:1", "tick", &large).await;
    settle().await;
    assert_eq!(stream.next().await.unwrap().unwrap().json::<&str>().unwrap().len(), STREAM);
    assert!(matches!(stream.next().await, Some(Err(EventError::Lagged(1)))));
    server.broadcast("room:1", "tick", numbered(1)).await;
    assert!(stream.next().await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn all_streams_of_a_socket_together_are_bounded() {
    const SOCKET: usize = 512 << 10;
    const SENT: u64 = 4_000;
    let (socket, _peer, mut server) = connected_by(|it| it.queue_limits(STREAM, SOCKET)).await;
    let mut streams = Vec::new();
    for topic in ["room:1", "room:2"] {
        let (room, _) = joined(&socket, &mut server, topic).await;
        streams.extend((0..4).map(|_| room.events("tick")));
    }
    for number in 0..SENT {
        server.broadcast(["room:1", "room:2"][number as usize % 2], "tick", numbered(number)).await;
    }
    while socket.stats().incoming_bytes < SOCKET - STREAM / 4 {
        settle().await;
    }
    for _ in 0..20 {
        settle().await;
        assert!(socket.stats().incoming_bytes <= SOCKET);
    }
    let mut lagged = 0;
    for stream in &mut streams {
        let mut tally = Tally::default();
        tally.take_ready(stream);
        assert_eq!(SENT / 2, tally.sum(), "each is told of its own");
        lagged += tally.lagged;
    }
    assert!(lagged > 0);
    // There is room again, for all.
    assert_eq!(0, socket.stats().incoming_bytes);
    server.broadcast("room:2", "tick", numbered(0)).await;
    for stream in &mut streams[4..] {
        assert!(stream.next().await.unwrap().is_ok());
    }
    // What is dropped unread is given back.
    server.broadcast("room:1", "tick", numbered(0)).await;
    settle().await;
    assert!(socket.stats().incoming_bytes > 0);
    drop(streams);
    assert_eq!(0, socket.stats().incoming_bytes);
}

// T-12, T-13, H-6
#[tokio::test(start_paused = true)]
async fn t_12_a_stalled_reader_delays_no_heartbeat_and_no_reply() {
    let describe = |it: phoenix_streams::Builder| it.queue_limits(STREAM, STREAM).heartbeat(Duration::from_secs(2));
    let (socket, _peer, mut server) = connected_by(describe).await;
    let (room, _) = joined(&socket, &mut server, "room:1").await;
    let _stalled = room.messages();
    for beat in 0..3 {
        for number in 0..3_000 {
            server.broadcast("room:1", "tick", numbered(number)).await;
        }
        let mut ask = room.push("ask", beat);
        assert!(poll(&mut ask).is_pending());
        let asked = server.recv().await.unwrap();
        assert_eq!("ask", &*asked.event, "no heartbeat before it is due");
        server.reply(&asked, "ok", ()).await;
        ask.await.unwrap();
        // Neither the flood nor the push has postponed it.
        advance(Duration::from_secs(2)).await;
        let heartbeat = server.recv().await.unwrap();
        assert_eq!("heartbeat", &*heartbeat.event);
        server.reply(&heartbeat, "ok", ()).await;
        settle().await;
    }
    assert!(socket.status().current().is_connected());
}

// T-12, T-17
#[tokio::test(start_paused = true)]
async fn a_flood_lets_the_other_tasks_run() {
    const FRAMES: u64 = 20_000;
    /// What one turn may read.
    const TURN: u64 = 2_048;
    let (socket, _peer, mut server) = connected_by(|it| it).await;
    let (room, _) = joined(&socket, &mut server, "room:1").await;
    let mut ticks = room.events("tick");
    let turns = Rc::new(Cell::new(0));
    for number in 0..FRAMES {
        server.broadcast("room:1", "tick", number).await;
    }
    let counted = turns.clone();
    let other = async move {
        loop {
            counted.set(counted.get() + 1);
            tokio::task::yield_now().await;
        }
    };
    let reader = async {
        let (mut turn, mut of_this_turn) = (0, 0);
        for expected in 0..FRAMES {
            let message = ticks.next().await.unwrap().unwrap();
            assert_eq!(expected, message.json::<u64>().unwrap());
            if turn != turns.get() {
                (turn, of_this_turn) = (turns.get(), 0);
            }
            of_this_turn += 1;
            assert!(of_this_turn <= 2 * TURN, "the others were kept waiting");
        }
    };
    tokio::task::LocalSet::new()
        .run_until(async move {
            let other = tokio::task::spawn_local(other);
            reader.await;
            other.abort();
        })
        .await;
    assert!(turns.get() >= FRAMES / TURN, "{} turns", turns.get());
}

// T-12, T-17
#[tokio::test(start_paused = true)]
async fn a_flood_of_pushes_delays_nothing() {
    let (socket, _peer, mut server) = connected_by(|it| it.heartbeat(Duration::from_secs(2))).await;
    let (room, join) = joined(&socket, &mut server, "room:1").await;
    let mut shouts = room.events("shout");
    let flood = tokio::spawn({
        let room = room.clone();
        async move {
            let casts = (0..20_000).map(|number| room.cast("noise", number));
            futures::future::join_all(casts).await.into_iter().filter(Result::is_ok).count()
        }
    });
    server.push(&join, "shout", ()).await;
    shouts.next().await.unwrap().unwrap();
    advance(Duration::from_secs(2)).await;
    let (mut noise, mut next) = (0, 0);
    loop {
        let message = server.recv().await.unwrap();
        match &*message.event {
            "noise" => {
                assert_eq!(next, message.payload.json::<u64>().unwrap(), "in order");
                (noise, next) = (noise + 1, next + 1);
            }
            "heartbeat" => break server.reply(&message, "ok", ()).await,
            other => panic!("{other}"),
        }
    }
    while noise < 20_000 {
        recv_event(&mut server, "noise").await;
        noise += 1;
    }
    assert_eq!(20_000, flood.await.unwrap());
    assert!(socket.status().current().is_connected());
}

// T-16
#[tokio::test(start_paused = true)]
async fn unread_telemetry_is_bounded_and_tells_what_was_lost() {
    let (socket, _peer, mut server) = connected_by(|it| it).await;
    let mut telemetry = socket.telemetry();
    settle().await;
    for _ in 0..5_000 {
        server.send(Frame::Text("no message".into())).await;
    }
    settle().await;
    let (room, _) = joined(&socket, &mut server, "room:1").await;
    settle().await;
    let (mut undecodable, mut lost) = (0, 0);
    while let Some(Some(item)) = telemetry.next().now_or_never() {
        match item {
            Ok(Telemetry::Undecodable { .. }) => undecodable += 1,
            Err(Lagged(count)) => lost += count,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((4_096, 5_000 - 4_096 + 2), (undecodable, lost), "the join and its reply among what was lost");
    drop(room);
    assert!(matches!(telemetry.next().await, Some(Ok(Telemetry::ChannelClosed { .. }))));
}

#[tokio::test(start_paused = true)]
async fn a_stream_begins_when_it_is_taken() {
    let (socket, _peer, mut server) = connected_by(|it| it).await;
    let room = socket.channel("room:1");
    let join = accept_join(&room, &mut server).await;
    let early = room.events("tick");
    server.push(&join, "tick", json!(1)).await;
    settle().await;
    let late = room.events("tick");
    settle().await;
    server.push(&join, "tick", json!(2)).await;
    settle().await;
    let numbers = |stream: phoenix_streams::Events| {
        stream.take_until(settle()).map(|item| item.unwrap().json::<u64>().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!([1, 2], *numbers(early).await);
    assert_eq!([2], *numbers(late).await);
}

// Law 3, T-15
#[tokio::test(start_paused = true)]
async fn each_stream_has_bounds_of_its_own() {
    let (socket, _peer, mut server) = connected().await;
    let (room, _) = joined(&socket, &mut server, "room:1").await;
    let mut few = room.events("shout").max_messages(3);
    let mut small = room.events_as::<usize>("shout").max_bytes(2 << 10);
    let all = room.messages().max_messages(1).unbounded();
    for number in 0..1_000 {
        server.broadcast("room:1", "shout", number).await;
        settle().await;
    }
    for number in 0..3 {
        assert_eq!(few.next().await.unwrap().unwrap().json::<usize>().unwrap(), number);
    }
    assert!(matches!(few.next().await, Some(Err(EventError::Lagged(997)))));
    let mut kept = 0;
    let lost = loop {
        match small.next().await.unwrap() {
            Ok(number) => assert_eq!(number, kept),
            Err(EventError::Lagged(lost)) => break lost,
            Err(other) => panic!("{other}"),
        }
        kept += 1;
    };
    assert!((1..100).contains(&kept), "{kept}");
    assert_eq!(kept as u64 + lost, 1_000);
    assert_eq!(all.take(1_000).filter(|item| std::future::ready(item.is_ok())).count().await, 1_000);
}
