//! Goodbyes: what the open poll still brings is delivered, then it is given up.

use std::time::{Duration, Instant};

use futures::{FutureExt, StreamExt};
use phoenix_streams::{
    ChannelClosed, ChannelStatus, ConnectError, JoinError, LeaveError, NotSent, PingError, PushError, Status,
    Telemetry, json,
};

use super::{
    bed::{Bed, Sent},
    scripted::{Kind, NOTHING, messages, within},
};

const PATIENCE: Duration = Duration::from_millis(1_500);

impl Bed {
    /// Telemetry tells one end, by this side, and no more.
    async fn was_closed_once(&mut self) {
        let told = self.telemetry_until(|told| matches!(told, Telemetry::Closed { .. })).await;
        let Some(Telemetry::Closed { cause, .. }) = told.last() else { unreachable!() };
        assert!(matches!(**cause, ConnectError::Closed), "{cause:?}");
        let more: Vec<_> = std::iter::from_fn(|| self.telemetry.next().now_or_never()?).map(Result::unwrap).collect();
        let ends = |told: &Telemetry| matches!(told, Telemetry::Closed { .. } | Telemetry::Waiting { .. });
        assert!(!more.iter().any(ends), "{more:?}");
    }
}

// L-20, L-35
#[tokio::test]
async fn a_disconnect_delivers_what_the_open_poll_brings_and_asks_no_more() {
    let mut bed = Bed::open().await;
    let room = bed.joined("room:1").await;
    let mut events = room.events_as::<u32>("n");
    let mut disconnect = bed.socket.disconnect();
    assert!((&mut disconnect).now_or_never().is_none());
    let begin = Instant::now();
    bed.server.poll(messages([r#"[null,null,"room:1","n",1]"#, r#"[null,null,"room:1","n",2]"#]));
    within(disconnect).await;
    assert!(begin.elapsed() < PATIENCE);
    assert!(matches!(bed.socket.status().current(), Status::Disconnected));
    assert_eq!([within(events.next()).await.unwrap().unwrap(), within(events.next()).await.unwrap().unwrap()], [1, 2]);
    assert!(bed.server.seen().is_empty());
    bed.was_closed_once().await;
}

// L-20, L-35, L-36, T-18
#[tokio::test]
async fn a_poll_that_brings_nothing_is_given_up_after_a_second_and_a_half() {
    let mut bed = Bed::open().await;
    let _room = bed.joined("room:1").await;
    let begin = Instant::now();
    let (disconnects, asked) = (bed.socket.disconnect(), bed.server.gone(Kind::Poll));
    let ((), asked) = futures::join!(within(disconnects), asked);
    let took = begin.elapsed();
    assert!(took >= PATIENCE && took < PATIENCE * 2, "{took:?}");
    assert!(asked.is_empty(), "{asked:?}");
    bed.was_closed_once().await;
}

// L-20, T-18
#[tokio::test]
async fn a_close_ends_streams_behind_what_still_came() {
    let mut bed = Bed::open().await;
    let room = bed.joined("room:1").await;
    let events = room.events_as::<u32>("n");
    let push = tokio::spawn(room.push("e", ()).into_future());
    let sent = Sent::all(&bed.server.asked(Kind::Post).await).pop().unwrap();
    let (first, second) = (bed.socket.close(), bed.socket.close());
    let closes = tokio::spawn(async { futures::join!(first, second) });
    tokio::task::yield_now().await;
    bed.server.poll(messages([&*sent.reply("{}"), r#"[null,null,"room:1","n",1]"#]));
    within(closes).await.unwrap();
    within(push).await.unwrap().unwrap();
    assert_eq!(within(events.map(Result::unwrap).collect::<Vec<_>>()).await, [1]);
    assert!(matches!(bed.socket.status().current(), Status::Closed));
    assert!(matches!(within(room.push("e", ())).await, Err(PushError::NotSent(NotSent::Closed))));
    bed.was_closed_once().await;
}

// T-18
#[tokio::test]
async fn the_last_handle_dropped_says_goodbye_too() {
    let bed = Bed::open().await;
    let mut messages_of = bed.socket.messages();
    let Bed { mut server, socket, telemetry, .. } = bed;
    drop(socket);
    server.poll(messages([r#"[null,null,"room:1","n",1]"#]));
    assert_eq!(&*within(messages_of.next()).await.unwrap().unwrap().event, "n");
    let told: Vec<_> = within(telemetry.map(Result::unwrap).collect::<Vec<_>>()).await;
    let ends: Vec<_> = told
        .iter()
        .filter_map(|told| match told {
            Telemetry::Closed { cause, .. } => Some(cause),
            _ => None,
        })
        .collect();
    assert!(matches!(&ends[..], [cause] if matches!(***cause, ConnectError::Closed)), "{ends:?}");
    assert!(
        server
            .seen()
            .iter()
            .all(|seen| !matches!(seen, super::scripted::Seen::Asked(asked) if asked.kind == Kind::Poll))
    );
}

// L-35, S-20
#[tokio::test]
async fn a_request_under_way_is_acknowledged_before_the_end() {
    let mut bed = Bed::open().await;
    let room = bed.joined("room:1").await;
    bed.server.hold_posts();
    within(room.cast("e", json!({ "n": 1 }))).await.unwrap();
    within(room.cast("e", json!({ "n": 2 }))).await.unwrap();
    let first = bed.server.asked(Kind::Post).await;
    assert_eq!(Sent::all(&first).len(), 1);
    let disconnect = tokio::spawn(bed.socket.disconnect().into_future());
    bed.server.poll(NOTHING);
    // The second follows the first, though the goodbye was said.
    bed.server.acknowledge();
    let second = bed.server.asked(Kind::Post).await;
    assert_eq!(Sent::all(&second)[0].payload["n"], 2);
    assert!(!disconnect.is_finished());
    bed.server.acknowledge();
    within(disconnect).await.unwrap();
    bed.was_closed_once().await;
}

// T-18
#[tokio::test]
async fn nothing_holds_a_goodbye_for_longer_than_three_seconds() {
    let mut bed = Bed::open().await;
    let room = bed.joined("room:1").await;
    bed.server.hold_posts();
    within(room.cast("e", ())).await.unwrap();
    bed.server.asked(Kind::Post).await;
    let begin = Instant::now();
    within(bed.socket.close()).await;
    let took = begin.elapsed();
    assert!(took >= PATIENCE * 2 && took < PATIENCE * 2 + Duration::from_millis(700), "{took:?}");
    bed.was_closed_once().await;
}

// T-18
#[tokio::test]
async fn what_is_asked_meanwhile_keeps_its_order() {
    let mut bed = Bed::open().await;
    let room = bed.joined("room:1").await;
    let (disconnect, connect) = (bed.socket.disconnect(), bed.socket.connect());
    let both = tokio::spawn(async { futures::join!(disconnect, connect) });
    tokio::task::yield_now().await;
    assert!(bed.socket.status().current().is_connected());
    bed.server.poll(NOTHING);
    within(both).await.unwrap().1.unwrap();
    bed.was_closed_once_and_opened().await;
    bed.server.asked(Kind::Open).await;
    bed.server.asked(Kind::Poll).await;
    // The channel is joined anew.
    let join = Sent::all(&bed.server.asked(Kind::Post).await).pop().unwrap();
    assert_eq!((&*join.topic, &*join.event), ("room:1", "phx_join"));
    drop(room);
}

impl Bed {
    async fn was_closed_once_and_opened(&mut self) {
        let told = self.telemetry_until(|told| matches!(told, Telemetry::Opened { .. })).await;
        let closed = told.iter().filter(|told| matches!(told, Telemetry::Closed { .. })).count();
        assert_eq!(closed, 1, "{told:?}");
    }
}

// T-18, C-35
#[tokio::test]
async fn a_leave_and_a_push_behind_a_goodbye_come_after_it() {
    let mut bed = Bed::open().await;
    let room = bed.joined("room:1").await;
    let (disconnect, leave, push) = (bed.socket.disconnect(), room.leave(), room.push("e", ()));
    let all = tokio::spawn(async { futures::join!(disconnect, leave, push) });
    tokio::task::yield_now().await;
    bed.server.poll(NOTHING);
    let ((), left, pushed) = within(all).await.unwrap();
    assert!(matches!(left, Ok(()) | Err(LeaveError::Disconnected)), "{left:?}");
    assert!(matches!(pushed, Err(PushError::NotSent(_))), "{pushed:?}");
    // Neither went out: the one for want of a connection, the other for want of a channel.
    assert!(bed.server.seen().is_empty());
}

// T-18, L-20
#[tokio::test]
async fn a_poll_that_fails_within_the_goodbye_does_not_bring_the_socket_back() {
    let mut bed = Bed::open().await;
    let disconnect = tokio::spawn(bed.socket.disconnect().into_future());
    tokio::task::yield_now().await;
    bed.server.poll(r#"{"status":410}"#);
    within(disconnect).await.unwrap();
    assert!(matches!(bed.socket.status().current(), Status::Disconnected));
    let told = bed.telemetry_until(|told| matches!(told, Telemetry::Closed { .. })).await;
    assert!(
        matches!(told.last(), Some(Telemetry::Closed { cause, .. }) if matches!(**cause, ConnectError::SessionGone))
    );
    assert!(bed.server.seen().is_empty());
    assert_eq!(bed.server.connections(), 1);
}

// T-17, T-18, law 4
#[tokio::test]
async fn t_17_a_goodbye_moves_no_deadline_and_what_gave_up_is_done_in_its_turn_all_the_same() {
    const SOON: Duration = Duration::from_millis(50);
    let mut bed = Bed::open().await;
    let left = bed.joined("room:1").await;
    let room = bed.socket.channel("room:2");
    let disconnect = tokio::spawn(bed.socket.disconnect().into_future());
    tokio::task::yield_now().await;
    let (join, leave) = (room.join(()).timeout(SOON), left.leave().timeout(SOON));
    let (ping, connect) = (bed.socket.ping().timeout(SOON), bed.socket.connect().timeout(SOON));
    let (join, leave, ping, connect) = within(async { futures::join!(join, leave, ping, connect) }).await;
    assert!(!disconnect.is_finished() && bed.socket.status().current().is_connected());
    assert!(matches!(join, Err(JoinError::Timeout)), "{join:?}");
    assert!(matches!(leave, Err(LeaveError::Timeout)), "{leave:?}");
    assert!(matches!(ping, Err(PingError::Timeout)), "{ping:?}");
    assert!(matches!(connect, Err(ConnectError::Timeout)), "{connect:?}");
    bed.server.poll(NOTHING);
    within(disconnect).await.unwrap();
    bed.server.asked(Kind::Open).await;
    let joins = Sent::all(&bed.server.asked(Kind::Post).await);
    assert_eq!(joins.iter().map(|join| (&*join.topic, &*join.event)).collect::<Vec<_>>(), [("room:2", "phx_join")]);
    assert!(matches!(left.status().current(), ChannelStatus::Closed { cause: ChannelClosed::Left }));
}
