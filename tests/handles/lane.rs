//! Pushes on their way: the bounded lane, blocked writes, and one deadline over all of it.

use std::time::Duration;

use futures::{FutureExt, StreamExt};
use phoenix_streams::{
    CastError, Channel, ConnectError, JoinError, LeaveError, NotJoined, NotSent, Payload, Push, PushError, Socket,
    Status, json,
    transport::memory::{self, Peer, PeerConnection},
};
use tokio::time::{Instant, advance};

use crate::support::{accept_join, builder, connected, connected_by, joined, poll, recv_event, sent, settle, until};

const LANE: usize = 1_024;
const LONG: Duration = Duration::from_secs(3_600);

/// A socket whose writes are blocked: its peer has room for one frame, and reads nothing.
struct Blocked {
    socket: Socket,
    room: Channel,
    peer: Peer,
    server: PeerConnection,
    fillers: Vec<Push>,
}

impl Blocked {
    async fn new(heartbeat: impl Into<Option<Duration>>) -> Self {
        let (transport, mut peer) = memory::pair_with_capacity(1);
        let socket = builder(transport).heartbeat(heartbeat).start().unwrap();
        let mut server = peer.accept().await;
        let room = socket.channel("room:1");
        accept_join(&room, &mut server).await;
        let mut blocked = Blocked { socket, room, peer, server, fillers: Vec::new() };
        while blocked.socket.stats().outgoing_bytes < 256 << 10 {
            blocked.push(&"x".repeat(64 << 10), LONG);
            settle().await;
        }
        blocked
    }

    fn push(&mut self, payload: &str, timeout: Duration) {
        let mut push = self.room.push("filler", payload).timeout(timeout);
        assert!(poll(&mut push).is_pending());
        self.fillers.push(push);
    }

    /// Takes all room there is in the lane.
    async fn fill_lane(&mut self) {
        let before = self.socket.stats().pending_pushes;
        for _ in 0..LANE {
            self.push("", LONG);
        }
        settle().await;
        assert_eq!(before + LANE, self.socket.stats().pending_pushes, "the driver takes none while it cannot write");
    }

    /// Reads all that comes, and answers nothing: the events.
    async fn read_all(&mut self) -> Vec<String> {
        let mut events = Vec::new();
        loop {
            settle().await;
            match self.server.recv().now_or_never() {
                Some(Some(message)) => events.push(message.event.to_string()),
                Some(None) => {
                    events.push("close".to_owned());
                    return events;
                }
                None => return events,
            }
        }
    }
}

fn not_sent(outcome: &Result<phoenix_streams::Reply, PushError>) -> Option<NotSent> {
    match outcome {
        Err(error @ PushError::NotSent(why)) if error.is_not_sent() => Some(*why),
        _ => None,
    }
}

// T-13, T-17, T-19
#[tokio::test(start_paused = true)]
async fn t_17_a_push_behind_many_keeps_its_deadline() {
    let mut blocked = Blocked::new(None).await;
    blocked.fill_lane().await;
    let begun = Instant::now();
    let mut late = tokio::spawn(blocked.room.push("late", ()).timeout(Duration::from_secs(5)));
    let mut cast = tokio::spawn(blocked.room.cast("late", ()).timeout(Duration::from_secs(7)));
    let patient = tokio::spawn(blocked.room.push("patient", ()).timeout(LONG));
    settle().await;
    let counted = blocked.socket.stats().pending_pushes;
    assert!((&mut late).now_or_never().is_none() && (&mut cast).now_or_never().is_none());
    assert_eq!(Some(NotSent::Timeout), not_sent(&late.await.unwrap()));
    assert_eq!(Duration::from_secs(5), begun.elapsed());
    assert!(matches!(cast.await.unwrap(), Err(CastError::NotSent(NotSent::Timeout))));
    assert_eq!(Duration::from_secs(7), begun.elapsed());
    assert_eq!(counted - 2, blocked.socket.stats().pending_pushes, "nothing of them is kept");
    // Once the peer reads, all the others go out, in order.
    let events = blocked.read_all().await;
    assert_eq!(0, events.iter().filter(|event| *event == "late").count());
    assert_eq!(Some("patient"), events.last().map(String::as_str));
    assert_eq!(blocked.fillers.len(), events.len() - 1);
    patient.abort();
}

// T-17, T-19
#[tokio::test(start_paused = true)]
async fn a_push_in_the_lane_keeps_its_deadline() {
    let mut blocked = Blocked::new(None).await;
    let begun = Instant::now();
    let mut late = blocked.room.push("late", ()).timeout(Duration::from_secs(5));
    let mut cast = blocked.room.cast("late", ()).timeout(Duration::from_secs(5));
    assert!(poll(&mut late).is_pending() && poll(&mut cast).is_pending());
    assert_eq!(Some(NotSent::Timeout), not_sent(&late.await));
    assert!(matches!(cast.await, Err(CastError::NotSent(NotSent::Timeout))));
    assert_eq!(Duration::from_secs(5), begun.elapsed());
    assert!(!blocked.read_all().await.contains(&"late".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_go_once_the_connection_takes_them() {
    let mut blocked = Blocked::new(None).await;
    blocked.fill_lane().await;
    let mut waiting: Vec<_> = (0..10).map(|_| Box::pin(blocked.room.cast("waiting", ()).timeout(LONG))).collect();
    for cast in &mut waiting {
        assert!(poll(cast).is_pending());
    }
    // One that is dropped while it waits takes nobody's place.
    waiting.pop();
    let all = tokio::spawn(futures::future::join_all(waiting));
    let events = blocked.read_all().await;
    assert_eq!(9, events.iter().filter(|event| *event == "waiting").count());
    assert!(all.await.unwrap().iter().all(Result::is_ok));
}

// T-17, Q-5, DEV-15
#[tokio::test(start_paused = true)]
async fn one_deadline_covers_the_join_and_the_reply() {
    let (socket, _peer, mut server) = connected().await;
    let room = socket.channel("room:1");
    room.join(()).detach();
    let join = server.recv().await.unwrap();
    let begun = Instant::now();
    let never_polled = room.push("ask", ());
    let mut ask = room.push("ask", ());
    assert!(poll(&mut ask).is_pending());
    advance(Duration::from_secs(6)).await;
    server.reply(&join, "ok", ()).await;
    recv_event(&mut server, "ask").await;
    assert!(matches!(ask.await, Err(PushError::Timeout)));
    assert_eq!(Duration::from_secs(10), begun.elapsed(), "it is not begun anew when the push is sent");
    // Another one's begins when it is polled first.
    let begun = Instant::now();
    assert!(matches!(never_polled.await, Err(PushError::Timeout)));
    assert_eq!(Duration::from_secs(10), begun.elapsed());
}

// T-17
#[tokio::test(start_paused = true)]
async fn one_deadline_covers_the_lane_and_the_reply() {
    let mut blocked = Blocked::new(None).await;
    blocked.fill_lane().await;
    let begun = Instant::now();
    let ask = tokio::spawn(blocked.room.push("ask", ()));
    settle().await;
    advance(Duration::from_secs(6)).await;
    assert!(blocked.read_all().await.contains(&"ask".to_owned()));
    assert!(matches!(ask.await.unwrap(), Err(PushError::Timeout)), "sent, and not answered");
    assert_eq!(Duration::from_secs(10), begun.elapsed());
}

// T-12, T-13, H-7
#[tokio::test(start_paused = true)]
async fn t_13_a_blocked_write_ends_at_the_heartbeat_deadline_and_reading_goes_on() {
    let mut blocked = Blocked::new(Duration::from_secs(30)).await;
    let mut shouts = blocked.room.events("shout");
    let sent_before = tokio::spawn(blocked.fillers.remove(0));
    let mut waits = blocked.room.push("waits", ()).timeout(LONG);
    assert!(poll(&mut waits).is_pending());
    settle().await;
    for number in 0..100 {
        blocked.server.broadcast("room:1", "shout", number).await;
        assert_eq!(number, shouts.next().await.unwrap().unwrap().json::<i32>().unwrap());
    }
    let begun = Instant::now();
    let lost = until(&blocked.socket, |status| matches!(status, Status::Waiting { .. })).await;
    assert!(matches!(lost, Status::Waiting { cause, .. } if matches!(*cause, ConnectError::HeartbeatTimeout)));
    assert!(begun.elapsed() <= Duration::from_secs(45));
    assert!(matches!(sent_before.await.unwrap(), Err(PushError::Disconnected)));
    blocked.server = blocked.peer.accept().await;
    let join = recv_event(&mut blocked.server, "phx_join").await;
    blocked.server.reply(&join, "ok", ()).await;
    blocked.server.broadcast("room:1", "shout", "on").await;
    assert_eq!("on", shouts.next().await.unwrap().unwrap().json::<String>().unwrap());
    assert!(blocked.read_all().await.contains(&"waits".to_owned()), "what was never sent goes out now");
}

// T-18
#[tokio::test(start_paused = true)]
async fn t_18_a_full_lane_refuses_no_goodbye() {
    // A leave.
    let mut blocked = Blocked::new(None).await;
    blocked.fill_lane().await;
    let mut waits = Box::pin(blocked.room.push("waits", ()).timeout(LONG));
    assert!(poll(&mut waits).is_pending());
    let leave = tokio::spawn(blocked.room.leave());
    let events = blocked.read_all().await;
    assert_eq!(1, events.iter().filter(|event| *event == "phx_leave").count());
    assert_eq!(Some(NotSent::Left), not_sent(&waits.await));
    for filler in std::mem::take(&mut blocked.fillers) {
        let outcome = filler.await;
        assert!(matches!(outcome, Err(PushError::Disconnected | PushError::NotSent(NotSent::Left))), "{outcome:?}");
    }
    assert!(matches!(leave.await.unwrap(), Err(LeaveError::Timeout)));

    // The drop of the last holder of a channel.
    let mut blocked = Blocked::new(None).await;
    blocked.fill_lane().await;
    let other = blocked.socket.channel("room:2");
    blocked.fillers.clear();
    blocked.room = other;
    let events = blocked.read_all().await;
    assert!(events.contains(&"phx_leave".to_owned()) && events.len() < LANE, "{}", events.len());
}

// T-18, S-20
#[tokio::test(start_paused = true)]
async fn t_18_blocked_writes_delay_no_end_for_longer_than_three_seconds() {
    for which in 0..3 {
        let mut blocked = Blocked::new(None).await;
        blocked.fill_lane().await;
        let begun = Instant::now();
        let Blocked { socket, room, mut peer, server, fillers } = blocked;
        let mut status = socket.status();
        match which {
            0 => {
                socket.disconnect().await;
                assert!(matches!(socket.status().current(), Status::Disconnected));
            }
            1 => {
                socket.close().await;
                for filler in fillers {
                    let outcome = filler.await;
                    let settled = matches!(outcome, Err(PushError::Disconnected | PushError::NotSent(NotSent::Closed)));
                    assert!(settled, "{outcome:?}");
                }
            }
            _ => {
                drop((socket.clone(), room.clone()));
                drop((socket, room, fillers));
                while status.next().await.is_some() {}
            }
        }
        assert!(begun.elapsed() <= Duration::from_secs(3), "{which}: {:?}", begun.elapsed());
        drop(server);
        advance(Duration::from_secs(120)).await;
        settle().await;
        assert!(peer.dialed().now_or_never().is_none(), "nothing reconnects");
    }
}

// T-15, T-17
#[tokio::test(start_paused = true)]
async fn a_stream_taken_before_a_push_sees_what_the_push_causes() {
    let mut blocked = Blocked::new(None).await;
    blocked.fill_lane().await;
    // Behind a full lane of others; the driver sees the stream first.
    let mut before = blocked.room.events("shout");
    let ask = tokio::spawn(blocked.room.push("ask", ()).timeout(LONG));
    settle().await;
    loop {
        let message = recv_event(&mut blocked.server, "ask").now_or_never();
        settle().await;
        if let Some(asked) = message {
            blocked.server.broadcast("room:1", "shout", "caused").await;
            blocked.server.reply(&asked, "ok", ()).await;
            break;
        }
    }
    ask.await.unwrap().unwrap();
    assert_eq!("caused", before.next().now_or_never().unwrap().unwrap().unwrap().json::<String>().unwrap());

    // In one breath, on an idle driver.
    let (socket, _peer, mut server) = connected().await;
    let (room, _) = joined(&socket, &mut server, "room:1").await;
    let mut push = room.push("ask", ());
    assert!(poll(&mut push).is_pending());
    let mut after = room.messages();
    let asked = server.recv().await.unwrap();
    server.broadcast("room:1", "shout", "caused").await;
    server.reply(&asked, "ok", ()).await;
    push.await.unwrap();
    assert!(after.next().await.unwrap().is_ok());
}

// DEV-10, B-9
#[tokio::test(start_paused = true)]
async fn what_waits_for_a_join_is_bounded_and_the_newest_is_refused() {
    let (socket, _peer, mut server) = connected_by(|it| it.join_buffer(3, 10_000)).await;
    let room = socket.channel("room:1");
    room.join(()).detach();
    let join = server.recv().await.unwrap();
    let mut asks: Vec<_> = (0..3).map(|number| room.push("ask", number)).collect();
    for ask in &mut asks {
        assert!(poll(ask).is_pending());
    }
    assert_eq!(Some(NotSent::BufferFull), not_sent(&room.push("refused", ()).await));
    assert!(matches!(room.cast("refused", ()).await, Err(CastError::NotSent(NotSent::BufferFull))));
    asks.pop();
    assert_eq!(Some(NotSent::BufferFull), not_sent(&room.push("refused", "x".repeat(10_000)).await), "by size");
    server.reply(&join, "ok", ()).await;
    assert_eq!(["ask", "ask"], *sent(&mut server).await);
}

// Q-1, T-20
#[tokio::test(start_paused = true)]
async fn a_push_without_a_join_is_not_sent_at_all() {
    let (socket, _peer, mut server) = connected().await;
    let room = socket.channel("room:1");
    assert_eq!(Some(NotSent::NotJoined), not_sent(&room.push("ask", ()).await));
    let mut join = room.join(());
    assert!(poll(&mut join).is_pending());
    let asked = server.recv().await.unwrap();
    let mut ask = room.push("ask", ());
    assert!(poll(&mut ask).is_pending());
    server.reply(&asked, "error", json!({ "reason": "no" })).await;
    assert!(matches!(join.await, Err(JoinError::Refused(_))));
    assert_eq!(Some(NotSent::NotJoined), not_sent(&ask.await));
    assert_eq!(Vec::<String>::new(), sent(&mut server).await);
}

// DEV-13, DEV-21
#[tokio::test(start_paused = true)]
async fn errors_end_a_call_and_never_a_stream() {
    let (socket, mut peer, mut server) = connected().await;
    let room = socket.channel("room:1");
    let mut streams = [room.events("shout"), room.events("shout")];
    room.join(()).detach();
    let asked = server.recv().await.unwrap();
    server.reply(&asked, "error", json!({ "reason": "no" })).await;
    for stream in &mut streams {
        let told = stream.next().await.unwrap().unwrap_err();
        assert!(matches!(told, phoenix_streams::EventError::NotJoined(NotJoined::Refused(_))));
        settle().await;
        assert!(stream.next().now_or_never().is_none(), "told once");
    }
    let join = accept_join(&room, &mut server).await;
    server.error(&join, json!({ "reason": "channel_crash" })).await;
    let again = server.recv().await.unwrap();
    server.reply(&again, "ok", ()).await;
    server.push(&again, "shout", 1).await;
    server.cut();
    let mut server = peer.accept().await;
    let again = server.recv().await.unwrap();
    server.reply(&again, "ok", ()).await;
    server.push(&again, "shout", Payload::from_raw("{oops", false)).await;
    server.push(&again, "shout", 2).await;
    for stream in &mut streams {
        assert!(stream.next().await.unwrap().is_ok());
        let malformed = stream.next().await.unwrap().unwrap();
        assert!(malformed.json::<serde_json::Value>().is_err(), "the reader's own error");
        assert_eq!(2, stream.next().await.unwrap().unwrap().json::<i32>().unwrap());
    }
    server.close_channel(&again).await;
    for stream in &mut streams {
        assert!(stream.next().await.is_none(), "ended by phx_close");
    }
}

#[tokio::test(start_paused = true)]
async fn what_joins_and_leaves_is_no_event_to_push() {
    let (socket, _peer, mut server) = connected().await;
    let (room, _) = joined(&socket, &mut server, "room:1").await;
    for event in ["phx_join", "phx_leave"] {
        assert!(matches!(room.push(event, ()).await, Err(PushError::Encode(_))), "{event}");
        assert!(matches!(room.cast(event, ()).await, Err(CastError::Encode(_))), "{event}");
    }
    assert!(server.recv().now_or_never().is_none());
}
