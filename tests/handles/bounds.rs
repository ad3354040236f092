//! What waits, is kept or is told stays bounded, and costs nobody else anything.

use std::{future::ready, pin::Pin, task::Poll, time::Duration};

use futures::{FutureExt, Sink, StreamExt, stream};
use phoenix_streams::{
    Channel, ConnectError, EventError, EventSink, LastSeen, Refusal, Socket, Status,
    http::{HeaderMap, HeaderValue, StatusCode},
    json,
    transport::memory::{self, PeerConnection},
};

use crate::support::{accept_join, builder, connected, connected_by, joined, poll, recv_event, settle, until};

/// Joined, over a connection that takes one frame until the server reads it.
async fn narrow() -> (Socket, memory::Peer, PeerConnection, Channel) {
    let (transport, mut peer) = memory::pair_with_capacity(1);
    let socket = builder(transport).start().unwrap();
    let mut server = peer.accept().await;
    until(&socket, Status::is_connected).await;
    let room = socket.channel("room:1");
    accept_join(&room, &mut server).await;
    (socket, peer, server, room)
}

/// Hands an item to the sink, and sees once whether it gets through.
fn offer<T: phoenix_streams::IntoPayload>(sink: &mut EventSink<T>, item: T) {
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(Pin::new(&mut *sink).poll_ready(&mut cx).is_ready());
    Pin::new(&mut *sink).start_send(item).unwrap();
    assert!(matches!(Pin::new(sink).poll_flush(&mut cx), Poll::Pending));
}

// T-17: those who wait and do not come keep nobody from going.
#[tokio::test(start_paused = true)]
async fn t_17_sinks_that_wait_for_room_and_are_not_polled_again_do_not_keep_a_push_from_going() {
    let (_socket, _peer, mut server, room) = narrow().await;
    let big = "x".repeat(64 << 10);
    let mut first: Vec<_> = (0..8).map(|_| room.cast("big", &big)).collect();
    first.iter_mut().for_each(|cast| assert!(poll(cast).is_pending()));
    settle().await;
    let mut lane: Vec<_> = (0..1_024).map(|_| room.cast("small", ())).collect();
    lane.iter_mut().for_each(|cast| assert!(poll(cast).is_pending()));
    settle().await;
    // Programs that offer an item, and turn to something else while there is no room.
    let mut idle: Vec<EventSink<u8>> = (0..1_100).map(|_| room.sink("reading")).collect();
    idle.iter_mut().for_each(|sink| offer(sink, 1));
    // The connection flows again.
    let flows = tokio::spawn(async move {
        let mut seen = 0;
        while let Some(message) = server.recv().await {
            seen += usize::from(&*message.event == "through");
            if seen > 0 {
                return;
            }
        }
    });
    futures::future::join_all(first).await;
    futures::future::join_all(lane).await;
    let through = room.cast("through", ()).timeout(Duration::from_secs(3_600)).await;
    assert!(through.is_ok(), "{through:?}");
    flows.await.unwrap();
    drop(idle);
}

// T-17: a pipeline that pushes behind each of its pushes, with nothing amiss at the server.
#[tokio::test(start_paused = true)]
async fn t_17_a_push_from_within_a_pipeline_of_pushes_goes_through() {
    let (socket, _peer, mut server) = connected().await;
    let (room, _) = joined(&socket, &mut server, "room:1").await;
    tokio::spawn(async move {
        while let Some(message) = server.recv().await {
            server.reply(&message, "ok", ()).await;
        }
    });
    let mut done = stream::iter(0..8_000).map(|number| room.push("add", number)).buffer_unordered(8_000);
    let mut failed = 0;
    while let Some(outcome) = done.next().await {
        failed += usize::from(outcome.is_err());
        failed += usize::from(room.push("ack", ()).await.is_err());
    }
    assert_eq!(failed, 0, "of 16 000 pushes to a server that answers each at once");
}

// Law 3, law 12: what a stream that nobody reads holds is bounded in bytes.
#[tokio::test(start_paused = true)]
async fn what_not_joined_holds_is_bounded_too() {
    const LIMIT: usize = 64 << 10;
    let (socket, _peer, mut server) = connected_by(|builder| builder.queue_limits(LIMIT, 4 * LIMIT)).await;
    let room = socket.channel("room:1");
    let mut unread = room.events("said");
    let long = "x".repeat(64 << 10);
    for _ in 0..100 {
        room.join(()).detach();
        let join = recv_event(&mut server, "phx_join").await;
        server.broadcast("room:1", "said", 1).await;
        server.reply(&join, "error", json!({ "reason": long })).await;
        settle().await;
    }
    let (mut held, mut kinds) = (0, 0);
    while let Some(Some(item)) = unread.next().now_or_never() {
        kinds += 1;
        if let Err(EventError::NotJoined(phoenix_streams::NotJoined::Refused(reply))) = item {
            held += reply.payload().as_bytes().len();
        }
    }
    assert!(held <= 4 * LIMIT, "{held} bytes in {kinds} items");
}

// Law 3: the same where the queue is full: of one item a round there is no end.
#[tokio::test(start_paused = true)]
async fn a_full_stream_that_nobody_reads_does_not_grow() {
    let (socket, _peer, mut server) = connected().await;
    let room = socket.channel("room:1");
    let mut unread = room.events("said").max_messages(0);
    for _ in 0..1_000 {
        room.join(()).detach();
        let join = recv_event(&mut server, "phx_join").await;
        server.broadcast("room:1", "said", 1).await;
        server.reply(&join, "error", ()).await;
        settle().await;
    }
    let mut items = 0;
    while let Some(Some(_)) = unread.next().now_or_never() {
        items += 1;
    }
    assert!(items < 100, "{items} items of a stream that may hold no message");
}

// Law 3: nobody is slow here.
#[tokio::test(start_paused = true)]
async fn what_is_kept_for_the_next_join_does_not_cost_prompt_readers_their_messages() {
    let (socket, _peer, mut server) = connected_by(|builder| builder.queue_limits(64 << 10, 256 << 10)).await;
    // Quiet rooms, each of which has had one message of 2 KiB.
    let mut quiet = Vec::new();
    for number in 0..100 {
        let room = socket.channel(format!("quiet:{number}"));
        room.join_with(|_| ready(Ok(json!({})))).detach();
        let join = recv_event(&mut server, "phx_join").await;
        server.reply(&join, "ok", ()).await;
        server.broadcast(&format!("quiet:{number}"), "said", "x".repeat(2_000)).await;
        settle().await;
        quiet.push(room);
    }
    let (room, _) = joined(&socket, &mut server, "room:1").await;
    let mut prompt = room.events("said");
    for number in 0..10 {
        server.broadcast("room:1", "said", json!([number, "x".repeat(2_000)])).await;
        let item = prompt.next().await.unwrap();
        assert!(item.is_ok(), "{number}: {item:?}, with {} bytes held", socket.stats().incoming_bytes);
    }
}

// README: "what a reader of telemetry or joins may be behind: 4096 items, 4 MiB". Law 12.
#[tokio::test(start_paused = true)]
async fn what_a_reader_of_telemetry_may_be_behind_is_bounded_whatever_a_refusal_is_made_of() {
    let (transport, mut peer) = memory::pair();
    let socket = builder(transport).idle().unwrap();
    let mut log = socket.telemetry();
    let mut headers = HeaderMap::new();
    headers.insert("x-long", HeaderValue::from_bytes(&[b'x'; 100 << 10]).unwrap());
    let connect = socket.connect().timeout(Duration::from_secs(1_000_000));
    let connecting = tokio::spawn(connect);
    for _ in 0..200 {
        let refusal = Refusal::new(StatusCode::BAD_GATEWAY, headers.clone(), "");
        peer.fail(ConnectError::Refused(Box::new(refusal))).await;
        settle().await;
    }
    connecting.abort();
    let mut held = 0;
    while let Some(Some(item)) = log.next().now_or_never() {
        if let Ok(phoenix_streams::Telemetry::Failed { cause, .. }) = item
            && let ConnectError::Refused(refusal) = &*cause
        {
            held += refusal.headers().values().map(HeaderValue::len).sum::<usize>();
        }
    }
    assert!(held <= 5 << 20, "{held} bytes of headers");
}

// README: a sink "holds its items back where pushes wait"; it is bounded by itself.
#[tokio::test(start_paused = true)]
async fn what_sinks_have_on_their_way_leaves_the_room_of_pushes_to_pushes() {
    let (transport, mut peer) = memory::pair();
    let socket = builder(transport).start().unwrap();
    let room = socket.channel("room:1");
    room.join(()).detach();
    let mut sinks: Vec<EventSink<u32>> = (0..8).map(|_| room.sink("reading")).collect();
    for sink in &mut sinks {
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        while let Poll::Ready(Ok(())) = Pin::new(&mut *sink).poll_ready(&mut cx) {
            Pin::new(&mut *sink).start_send(1).unwrap();
        }
    }
    settle().await;
    let mut push = room.push("one", ());
    assert!(poll(&mut push).is_pending());
    settle().await;
    let first = push.now_or_never();
    assert!(first.is_none(), "it is the only push: {first:?}");
    drop(peer.accept().await);
}

// N-15: where there is no room for the newer one the older one still says where to go on from; none says from nothing.
#[tokio::test(start_paused = true)]
async fn n_15_what_was_last_seen_is_not_forgotten_for_want_of_room() {
    let (socket, _peer, mut server) = connected_by(|builder| builder.queue_limits(1 << 20, 16 << 10)).await;
    let room = socket.channel("room:1");
    let told =
        |last: LastSeen| ready(Ok(json!({ "since": last.event("said").map(|said| said.payload().to_string()) })));
    room.join_with(told).detach();
    let join = recv_event(&mut server, "phx_join").await;
    server.reply(&join, "ok", ()).await;
    server.broadcast("room:1", "said", 7).await;
    settle().await;
    // Somebody else is slow for a while.
    let (other, _) = joined(&socket, &mut server, "room:2").await;
    let slow = other.messages();
    for number in 0..200 {
        server.broadcast("room:2", "noise", json!([number, "x".repeat(200)])).await;
        settle().await;
    }
    server.broadcast("room:1", "said", json!([8, "x".repeat(900)])).await;
    settle().await;
    room.rejoin().detach();
    let join = recv_event(&mut server, "phx_join").await;
    assert_ne!(
        join.payload.to_string(),
        r#"{"since":null}"#,
        "a server that is asked so sends nothing of what was missed"
    );
    drop(slow);
}
