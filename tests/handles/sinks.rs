//! Event names as sinks.

use std::{task::Poll, time::Duration};

use futures::{FutureExt, Sink, SinkExt, StreamExt, stream};
use phoenix_streams::{Binary, CastError, EventSink, NotSent, json, transport::memory};
use tokio::time::advance;

use crate::support::{accept_join, builder, connected, joined, poll, recv_event, sent, settle, until};

/// How many items the sink takes before it holds back.
fn fill(sink: &mut EventSink<usize>) -> usize {
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    for number in 0..100_000 {
        match std::pin::Pin::new(&mut *sink).poll_ready(&mut cx) {
            Poll::Ready(ready) => ready.unwrap(),
            Poll::Pending => return number,
        }
        std::pin::Pin::new(&mut *sink).start_send(number).unwrap();
    }
    panic!("it never holds back");
}

#[tokio::test(start_paused = true)]
async fn items_are_casts_in_order_and_a_flush_is_all_of_them_written() {
    let (socket, _peer, mut server) = connected().await;
    let (room, join) = joined(&socket, &mut server, "sensor:1").await;
    let readings = stream::iter(0..1_000).map(Ok);
    readings.forward(room.sink("reading")).await.unwrap();
    for number in 0..1_000 {
        let reading = server.recv().await.unwrap();
        assert_eq!((&*reading.event, &*reading.payload.to_string()), ("reading", &*number.to_string()));
        assert_eq!(reading.join_ref, join.join_ref);
        assert!(reading.r#ref.is_some(), "Q-13: it has a ref all the same");
    }
    let mut raw = room.sink("raw");
    raw.send(Binary(vec![1, 2, 3])).await.unwrap();
    raw.close().await.unwrap();
    let message = server.recv().await.unwrap();
    assert_eq!(message.payload.as_bytes(), [1, 2, 3]);
    let after = raw.send(Binary(vec![4])).await;
    assert!(matches!(after, Err(CastError::NotSent(NotSent::Closed))));
}

// Law 3's counterpart: it holds back, and refuses nothing.
#[tokio::test(start_paused = true)]
async fn it_holds_back_while_there_is_no_connection_and_loses_nothing() {
    let (transport, mut peer) = memory::pair();
    // Far less than the sinks have under way: they are bounded by themselves.
    let socket = builder(transport).join_buffer(1, 1).start().unwrap();
    let room = socket.channel("sensor:1");
    room.join(()).detach();
    let mut sinks: Vec<EventSink<usize>> = (0..4).map(|number| room.sink(format!("e{number}"))).collect();
    let taken: usize = sinks.iter_mut().map(fill).sum();
    settle().await;
    assert_eq!(sinks.iter_mut().map(fill).sum::<usize>(), 0);
    // Well beyond any timeout: an item waits as long as it takes.
    advance(Duration::from_secs(3_600)).await;
    settle().await;
    let mut flush =
        Box::pin(stream::iter(&mut sinks).for_each_concurrent(None, async |sink| sink.flush().await.unwrap()));
    assert!(flush.as_mut().now_or_never().is_none());
    let mut server = peer.accept().await;
    let join = recv_event(&mut server, "phx_join").await;
    server.reply(&join, "ok", ()).await;
    flush.await;
    assert_eq!(sent(&mut server).await.len(), taken);
    assert_eq!(socket.stats().pending_pushes, 0);
}

#[tokio::test(start_paused = true)]
async fn a_blocked_connection_holds_it_back_by_bytes() {
    let (transport, mut peer) = memory::pair_with_capacity(1);
    let socket = builder(transport).start().unwrap();
    let mut server = peer.accept().await;
    until(&socket, phoenix_streams::Status::is_connected).await;
    let room = socket.channel("sensor:1");
    accept_join(&room, &mut server).await;
    let mut sink = room.sink("big");
    let big = "x".repeat(40 << 10);
    let mut taken = 0;
    while taken < 1_000 && sink.feed(&big).now_or_never().is_some() {
        taken += 1;
        settle().await;
    }
    assert!((2..20).contains(&taken), "{taken}");
    let mut flush = sink.flush();
    assert!(poll(&mut flush).is_pending());
    let mut seen = 0;
    while poll(&mut flush).is_pending() {
        seen += usize::from(recv_event(&mut server, "big").await.payload.as_bytes().len() > 1_000);
        settle().await;
    }
    drop(flush);
    seen += sent(&mut server).await.len();
    assert_eq!(seen, taken);
}

#[tokio::test(start_paused = true)]
async fn an_error_is_that_of_one_item_and_the_sink_goes_on() {
    let (socket, _peer, mut server) = connected().await;
    let (room, _) = joined(&socket, &mut server, "sensor:1").await;
    let mut sink = room.sink("reading");
    let odd = json!(1);
    sink.feed(Some(odd)).await.unwrap();
    /// Something that cannot be encoded.
    struct Unfit;
    impl serde::Serialize for Unfit {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("it does not fit"))
        }
    }
    let mut unfit = room.sink("reading");
    assert!(matches!(unfit.send(Unfit).await, Err(CastError::Encode(_))));
    assert!(matches!(room.sink("phx_join").send(1).await, Err(CastError::Encode(_))));
    sink.send(None).await.unwrap();
    assert_eq!(sent(&mut server).await, ["reading", "reading"]);

    let left = room.leave();
    let (left, _) = futures::join!(left, async {
        let asked = recv_event(&mut server, "phx_leave").await;
        server.reply(&asked, "ok", ()).await;
    });
    left.unwrap();
    assert!(matches!(sink.send(None).await, Err(CastError::NotSent(NotSent::Left))));
    accept_join(&room, &mut server).await;
    sink.send(None).await.unwrap();
    assert_eq!(sent(&mut server).await, ["reading"]);
}

#[tokio::test(start_paused = true)]
async fn with_a_timeout_an_item_waits_no_longer_and_is_never_sent() {
    let (transport, mut peer) = memory::pair();
    let socket = builder(transport).start().unwrap();
    let room = socket.channel("sensor:1");
    room.join(()).detach();
    let mut sink = room.sink("reading").timeout(Duration::from_secs(2));
    sink.feed(1).await.unwrap();
    let flushed = sink.flush().await;
    assert!(matches!(flushed, Err(CastError::NotSent(NotSent::Timeout))));
    let mut server = peer.accept().await;
    let join = recv_event(&mut server, "phx_join").await;
    server.reply(&join, "ok", ()).await;
    sink.send(2).await.unwrap();
    assert_eq!(recv_event(&mut server, "reading").await.payload.to_string(), "2");
}

// T-19
#[tokio::test(start_paused = true)]
async fn t_19_dropped_it_gives_up_what_is_not_written() {
    let (transport, mut peer) = memory::pair();
    let socket = builder(transport).start().unwrap();
    let room = socket.channel("sensor:1");
    room.join(()).detach();
    let mut sink = room.sink("reading");
    fill(&mut sink);
    settle().await;
    assert!(socket.stats().pending_pushes > 100);
    drop(sink);
    settle().await;
    assert_eq!(socket.stats().pending_pushes, 0);
    let mut server = peer.accept().await;
    let join = recv_event(&mut server, "phx_join").await;
    server.reply(&join, "ok", ()).await;
    assert_eq!(sent(&mut server).await, Vec::<String>::new());
}

/// More sinks than the push lane has places, none of them looked after.
#[tokio::test(start_paused = true)]
async fn sinks_that_nobody_polls_do_not_keep_a_push_from_going() {
    let (socket, _peer, mut server) = connected().await;
    let (room, _) = joined(&socket, &mut server, "sensor:1").await;
    let mut idle: Vec<EventSink<u8>> = (0..1_500).map(|_| room.sink("reading")).collect();
    for sink in &mut idle {
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(std::pin::Pin::new(&mut *sink).poll_ready(&mut cx).is_ready());
        std::pin::Pin::new(&mut *sink).start_send(1).unwrap();
    }
    room.cast("through", ()).await.unwrap();
    assert_eq!(sent(&mut server).await, ["through"]);
}
