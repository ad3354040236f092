//! Joins whose params a closure says, and the stream of how joins come out.

use std::{
    future::pending,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::{FutureExt, StreamExt, future::ready};
use phoenix_streams::{
    BoxError, ChannelStatus, JoinError, LastSeen, NotJoined, Retry, Stop, json, transport::memory::PeerConnection,
};
use tokio::time::advance;

use crate::support::{connected, connected_by, joined, poll, recv_event, sent, settle};

async fn accept(server: &mut PeerConnection, reply: serde_json::Value) -> String {
    let join = recv_event(server, "phx_join").await;
    server.reply(&join, "ok", reply).await;
    join.payload.to_string()
}

/// What the server is told was last seen: of all, and of one event.
fn seen(last: LastSeen) -> serde_json::Value {
    json!([last.message().map(|message| message.event()), last.event("said").map(|said| said.payload().to_string())])
}

// C-2, N-15
#[tokio::test(start_paused = true)]
async fn c_2_the_closure_is_asked_at_every_rejoin_and_told_what_was_last_seen() {
    let (socket, mut peer, mut server) = connected().await;
    let room = socket.channel("room:1");
    let said = room.events("said");
    let mut join = room.join_with(|last| ready(Ok(seen(last))));
    assert!(poll(&mut join).is_pending());
    assert_eq!(accept(&mut server, json!({})).await, "[null,null]");
    join.await.unwrap();
    server.broadcast("room:1", "said", 1).await;
    server.broadcast("room:1", "said", 2).await;
    server.broadcast("room:1", "typing", ()).await;
    settle().await;
    server.cut();
    let mut server = peer.accept().await;
    assert_eq!(accept(&mut server, json!({})).await, r#"["typing","2"]"#, "received, though nobody has read it");
    // A later join's plain params take its place.
    room.join(json!("plain")).await.unwrap();
    server.cut();
    let mut server = peer.accept().await;
    assert_eq!(accept(&mut server, json!({})).await, r#""plain""#);
    assert_eq!(said.take(2).count().await, 2);
}

#[tokio::test(start_paused = true)]
async fn what_was_seen_before_a_leave_is_forgotten() {
    let (socket, _peer, mut server) = connected().await;
    let room = socket.channel("room:1");
    room.join_with(|last| ready(Ok(seen(last)))).detach();
    accept(&mut server, json!({})).await;
    server.broadcast("room:1", "said", 1).await;
    settle().await;
    assert!(socket.stats().incoming_bytes > 0, "what is kept is charged");
    let mut leave = room.leave();
    assert!(poll(&mut leave).is_pending());
    let asked = recv_event(&mut server, "phx_leave").await;
    server.reply(&asked, "ok", ()).await;
    leave.await.unwrap();
    assert_eq!(socket.stats().incoming_bytes, 0);
    room.rejoin().detach();
    assert_eq!(accept(&mut server, json!({})).await, "[null,null]");
}

// T-24, DEV-22
#[tokio::test(start_paused = true)]
async fn t_24_a_closure_that_fails_panics_or_sends_nonsense_is_asked_again() {
    let (socket, _peer, mut server) = connected().await;
    let room = socket.channel("room:1");
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let closure = move |_: LastSeen| {
        let number = count.fetch_add(1, Ordering::Relaxed);
        assert_ne!(number, 1, "in the closure itself");
        async move {
            assert_ne!(number, 2, "in its future");
            match number {
                0 => Err("no session".into()),
                3 => Ok(json!({ "n": number })),
                _ => Err(BoxError::from("once more")),
            }
        }
    };
    let error = room.join_with(closure).await.unwrap_err();
    assert_eq!(error.to_string(), "a params closure failed: no session");
    let mut status = room.status();
    for why in ["it panicked", "it panicked"] {
        advance(Duration::from_secs(5)).await;
        settle().await;
        let ChannelStatus::Errored { cause } = status.current() else { panic!("{status:?}") };
        assert_eq!(cause.to_string(), format!("a params closure failed: {why}"));
    }
    advance(Duration::from_secs(5)).await;
    assert_eq!(accept(&mut server, json!({})).await, r#"{"n":3}"#);
    status.wait_for(ChannelStatus::is_joined).await.unwrap();
    assert_eq!(asked.load(Ordering::Relaxed), 4);
}

// T-24
#[tokio::test(start_paused = true)]
async fn t_24_stop_stops_and_what_does_not_encode_is_a_failure() {
    let (socket, _peer, mut server) = connected().await;
    let room = socket.channel("room:1");
    let mut events = room.events("said");
    let stopped = room.join_with(|_| async { Err::<(), _>(Stop::new("logged out").into()) }).await.unwrap_err();
    let JoinError::Provider(cause) = &stopped else { panic!("{stopped:?}") };
    assert_eq!(cause.to_string(), "logged out");
    assert!(matches!(events.next().await, Some(Err(phoenix_streams::EventError::NotJoined(NotJoined::Provider(_))))));
    advance(Duration::from_secs(60)).await;
    assert!(!sent(&mut server).await.contains(&"phx_join".to_owned()));

    let odd = std::collections::HashMap::from([((1, 2), 3)]);
    let unfit = room.join_with(move |_| ready(Ok(odd.clone()))).await.unwrap_err();
    assert!(unfit.to_string().contains("cannot be encoded"), "{unfit}");
}

// T-24: never a hang, and dropped as soon as it is not wanted.
#[tokio::test(start_paused = true)]
async fn t_24_a_closure_that_never_answers_is_given_up_and_dropped() {
    let (socket, mut peer, server) = connected().await;
    let room = socket.channel("room:1");
    let alive = Arc::new(());
    let held = alive.clone();
    let mut join = room.join_with(move |_| {
        let held = held.clone();
        async move {
            pending::<()>().await;
            drop(held);
            Ok(())
        }
    });
    assert!(poll(&mut join).is_pending());
    settle().await;
    assert_eq!(Arc::strong_count(&alive), 3);
    advance(Duration::from_secs(10)).await;
    assert!(matches!(join.await, Err(JoinError::Timeout)));
    settle().await;
    assert_eq!(Arc::strong_count(&alive), 2, "the closure stays, what it was asked does not");
    server.cut();
    let _server = peer.accept().await;
    settle().await;
    assert_eq!(Arc::strong_count(&alive), 3, "asked again");
    room.join(()).detach();
    settle().await;
    assert_eq!(Arc::strong_count(&alive), 1, "plain params take its place");
}

#[tokio::test(start_paused = true)]
async fn a_closure_may_take_its_time_and_nothing_else_waits_for_it() {
    let (socket, _peer, mut server) = connected().await;
    let (other, _) = joined(&socket, &mut server, "room:2").await;
    let room = socket.channel("room:1");
    let (answer, answered) = futures::channel::oneshot::channel::<u8>();
    let answered = Mutex::new(Some(answered));
    let mut join = room.join_with(move |_| {
        let answered = answered.lock().unwrap().take();
        async move { Ok(answered.ok_or("asked twice")?.await?) }
    });
    assert!(poll(&mut join).is_pending());
    let mut push = room.push("early", ());
    assert!(poll(&mut push).is_pending());
    other.cast("meanwhile", ()).await.unwrap();
    assert_eq!(sent(&mut server).await, ["meanwhile"]);
    answer.send(7).unwrap();
    assert_eq!(accept(&mut server, json!({})).await, "7");
    join.await.unwrap();
    assert_eq!(sent(&mut server).await, ["early"]);
}

// C-10
#[tokio::test(start_paused = true)]
async fn c_10_joins_are_the_replies_of_the_first_and_of_every_rejoin() {
    let (socket, mut peer, mut server) = connected_by(|builder| {
        builder.rejoin_policy(|cause, usual| match cause {
            NotJoined::Refused(_) => Retry::Backoff,
            _ => usual,
        })
    })
    .await;
    let room = socket.channel("room:1");
    let (mut joins, gone) = (room.joins(), room.joins());
    drop(gone);
    room.join(()).detach();
    accept(&mut server, json!(1)).await;
    assert_eq!(joins.next().await.unwrap().unwrap().payload().as_str(), Some("1"));
    server.cut();
    let mut server = peer.accept().await;
    let join = recv_event(&mut server, "phx_join").await;
    server.reply(&join, "error", json!({ "reason": "full" })).await;
    assert!(matches!(joins.next().await, Some(Err(JoinError::Refused(_)))));
    accept(&mut server, json!(2)).await;
    assert_eq!(joins.next().await.unwrap().unwrap().payload().as_str(), Some("2"));
    assert!(joins.next().now_or_never().is_none());
    drop(room);
    recv_event(&mut server, "phx_leave").await;
    assert!(joins.next().await.is_none(), "it held nothing, and ends with the last holder");
}

// T-15, T-16: bounded, and what is lost is told, also when nothing follows.
#[tokio::test(start_paused = true)]
async fn t_16_a_reader_of_joins_that_falls_behind_is_told() {
    let (socket, _peer, mut server) = connected().await;
    let room = socket.channel("room:1");
    let mut joins = room.joins();
    let large = json!("x".repeat(1 << 20));
    for _ in 0..6 {
        room.rejoin().detach();
        accept(&mut server, large.clone()).await;
        settle().await;
    }
    let mut seen = 0;
    loop {
        match joins.next().await.unwrap() {
            Ok(_) => seen += 1,
            Err(JoinError::Lagged(lost)) => break assert_eq!(seen + lost, 6),
            Err(other) => panic!("{other}"),
        }
    }
    assert!((1..6).contains(&seen));
}
