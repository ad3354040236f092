//! Past all channels: pings, the latency, every message, and messages of one's own making.

use std::time::Duration;

use futures::{FutureExt, StreamExt};
use phoenix_streams::{
    CastError, Envelope, Lagged, NotSent, PingError, Status, json,
    transport::{Frame, memory},
};
use tokio::time::advance;

use crate::support::{accept_join, builder, connected, connected_by, joined, poll, recv_event, sent, settle, until};

// H-12, F-12
#[tokio::test(start_paused = true)]
async fn h_12_a_ping_tells_its_round_trip_and_feeds_the_latency() {
    let (socket, mut peer, mut server) = connected().await;
    let mut latency = socket.latency();
    assert_eq!(latency.next().await, Some(None), "nothing was measured yet");
    let mut ping = socket.ping();
    assert!(poll(&mut ping).is_pending());
    let asked = recv_event(&mut server, "heartbeat").await;
    assert_eq!((&*asked.topic, &*asked.payload.to_string(), asked.join_ref.as_deref()), ("phoenix", "{}", None));
    advance(Duration::from_millis(70)).await;
    server.reply(&asked, "ok", ()).await;
    assert_eq!(ping.await.unwrap(), Duration::from_millis(70));
    assert_eq!(latency.next().await, Some(Some(Duration::from_millis(70))));

    // The heartbeat measures it too, and the end of the connection ends it.
    let beat = recv_event(&mut server, "heartbeat").await;
    advance(Duration::from_millis(30)).await;
    server.reply(&beat, "ok", ()).await;
    assert_eq!(latency.next().await, Some(Some(Duration::from_millis(30))));
    server.cut();
    assert_eq!(latency.next().await, Some(None));
    let _server = peer.accept().await;
    socket.close().await;
    assert_eq!(latency.next().await, None);
}

// DEV-9
#[tokio::test(start_paused = true)]
async fn dev_9_a_ping_fails_without_a_connection_on_its_loss_and_at_its_deadline() {
    let (transport, mut peer) = memory::pair();
    let socket = builder(transport).start().unwrap();
    assert!(matches!(socket.ping().await, Err(PingError::NotConnected)));
    let mut server = peer.accept().await;
    until(&socket, Status::is_connected).await;
    assert_eq!(sent(&mut server).await, Vec::<String>::new(), "it was not kept for later");
    let unanswered = socket.ping().timeout(Duration::from_secs(3)).await;
    assert!(matches!(unanswered, Err(PingError::Timeout)));
    assert!(socket.status().current().is_connected());
    let mut lost = socket.ping();
    assert!(poll(&mut lost).is_pending());
    settle().await;
    server.cut();
    assert!(matches!(lost.await, Err(PingError::Disconnected)));
    let closing = socket.clone();
    closing.close().await;
    assert!(matches!(socket.ping().await, Err(PingError::NotConnected)));
    assert_eq!(socket.stats().callers, 0);
}

// S-27
#[tokio::test(start_paused = true)]
async fn s_27_every_message_is_seen_of_all_topics_and_replies_too() {
    let (socket, _peer, mut server) = connected().await;
    let mut all = socket.messages();
    let second = socket.messages();
    let (room, join) = joined(&socket, &mut server, "room:1").await;
    server.push(&join, "shout", json!({ "n": 1 })).await;
    server.broadcast("elsewhere", "shout", 2).await;
    server.send(Frame::Text("no message".into())).await;
    let mut ping = socket.ping();
    assert!(poll(&mut ping).is_pending());
    let asked = recv_event(&mut server, "heartbeat").await;
    server.reply(&asked, "ok", ()).await;
    let mut seen = Vec::new();
    for _ in 0..4 {
        let message = all.next().await.unwrap().unwrap();
        let refs = (message.join_ref.clone(), message.r#ref.clone());
        seen.push((message.topic.to_string(), message.event.to_string(), refs));
    }
    let text = |text: &str| text.to_owned();
    assert_eq!(
        seen,
        [
            (text("room:1"), text("phx_reply"), (join.join_ref.clone(), join.r#ref.clone())),
            (text("room:1"), text("shout"), (join.join_ref.clone(), None)),
            (text("elsewhere"), text("shout"), (None, None)),
            (text("phoenix"), text("phx_reply"), (None, asked.r#ref.clone())),
        ]
    );
    ping.await.unwrap();
    // It holds nothing, and ends with the socket.
    drop((room, socket));
    assert_eq!(second.count().await, 4);
    assert!(all.next().await.is_none());
}

// Law 3, T-16
#[tokio::test(start_paused = true)]
async fn a_reader_of_all_messages_is_bounded_as_a_stream_is() {
    let (socket, _peer, mut server) = connected_by(|builder| builder.queue_limits(10_000, 15_000)).await;
    let mut all = socket.messages();
    let other = socket.messages();
    settle().await;
    for number in 0..100 {
        server.broadcast("room:1", "shout", json!([number, "x".repeat(500)])).await;
    }
    settle().await;
    let held = socket.stats().incoming_bytes;
    assert!((10_000..=15_000).contains(&held), "{held}");
    let (mut seen, mut lost) = (0, 0);
    while let Some(Some(item)) = all.next().now_or_never() {
        match item {
            Ok(_) => seen += 1,
            Err(Lagged(n)) => lost += n,
        }
    }
    assert!(seen > 2);
    assert_eq!(seen + lost, 100);
    drop((all, other));
    assert_eq!(socket.stats().incoming_bytes, 0);
    server.broadcast("room:1", "shout", 1).await;
    settle().await;
    assert_eq!(socket.stats().incoming_bytes, 0);
}

// B-4
#[tokio::test(start_paused = true)]
async fn b_4_a_message_of_ones_own_goes_as_it_is_and_before_the_joins() {
    let (transport, mut peer) = memory::pair();
    let socket = builder(transport).start().unwrap();
    let room = socket.channel("room:1");
    room.join(()).detach();
    let mut message = Envelope::new("anywhere", "shout", json!({ "n": 1 })).unwrap();
    message.r#ref = Some(socket.next_ref());
    let mut early = socket.cast(message.clone());
    assert!(poll(&mut early).is_pending());
    let mut server = peer.accept().await;
    early.await.unwrap();
    let seen = server.recv().await.unwrap();
    assert_eq!((&*seen.topic, &*seen.event, seen.join_ref), ("anywhere", "shout", None));
    assert_eq!(seen.r#ref, message.r#ref);
    let join = server.recv().await.unwrap();
    assert_eq!(&*join.event, "phx_join");
    assert_ne!(join.r#ref, message.r#ref, "a ref is given out once");
    assert_ne!(socket.next_ref(), socket.next_ref());

    server.cut();
    settle().await;
    let late = socket.cast(message.clone()).timeout(Duration::from_millis(5)).await;
    assert!(matches!(late, Err(CastError::NotSent(NotSent::Timeout))));
    let mut server = peer.accept().await;
    accept_join(&room, &mut server).await;
    assert_eq!(sent(&mut server).await, Vec::<String>::new());
    // It holds the socket, as every operation does.
    let mut last = socket.cast(message);
    drop((socket, room));
    assert_eq!(sent(&mut server).await, ["phx_leave"]);
    assert!(poll(&mut last).is_pending());
    last.await.unwrap();
    assert_eq!(sent(&mut server).await, ["shout", "close"]);
}
