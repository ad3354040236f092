//! The life of a channel, from the join to the end.

use std::{ops::Range, time::Duration};

use futures::{FutureExt, SinkExt, StreamExt, TryStreamExt, stream};
use phoenix_streams::{
    Backoff, Binary, Builder, Channel, ChannelStatus, JoinError, NotSent, PushError, Socket, Status, Telemetry, json,
    testing::{Response, Server},
};
use serde_json::Value;
use tokio::sync::mpsc;

use super::{is_cut, socket};

async fn server() -> Server {
    let server = Server::builder()
        .max_channels(2)
        .join("room:shut", |_, params| async move { Err(params.json::<Value>().unwrap()) })
        .join_with("room:bad", |_, _| async { Response::crash() })
        .join("room:*", |peer, params| async move {
            peer.push("welcome", json!({ "to": peer.topic() }));
            Ok(params.json::<Value>().unwrap())
        })
        .on("room:*", "echo", |_, payload| async move { payload.json().map_err(|_| json!({})) })
        .on("room:*", "no", |_, _| async { Err(json!({ "reason": "no" })) })
        .on_with("room:*", "odd", |_, _| async { Response::reply("odd", json!({})) })
        .on_with("room:*", "never", |_, _| async { Response::nothing() })
        .on_with("room:*", "crash", |_, _| async { Response::crash() })
        .on_with("room:*", "stop", |_, _| async { Response::ok(json!({})).then_stop() })
        .on_with("room:*", "binary", |peer, payload| async move {
            let bytes = Binary(payload.as_bytes().to_vec());
            peer.broadcast("binary", bytes.clone());
            Response::ok(bytes)
        })
        .on_with("room:*", "many", |peer, count| async move {
            for n in 0..count.json::<u32>().unwrap() {
                peer.push("one", json!({ "n": n }));
            }
            Response::ok(json!({}))
        });
    server.start().await.unwrap()
}

fn quickly(server: &Server) -> Builder {
    let at_once = Backoff::steps([Duration::from_millis(1)]);
    socket(server.url()).reconnect(at_once.clone()).rejoin(at_once)
}

async fn joined(server: &Server) -> (Socket, Channel) {
    let socket = quickly(server).connect().await.unwrap();
    let room = socket.channel("room:1");
    room.join(json!({})).await.unwrap();
    (socket, room)
}

// C-9, C-14, N-10, N-11, N-12
#[tokio::test]
async fn joins_are_answered() {
    let server = server().await;
    let socket = quickly(&server).connect().await.unwrap();
    let room = socket.channel("room:1");
    let mut welcomes = room.events("welcome");
    let reply = room.join(json!({ "nick": "zoë \u{1f980}\n" })).await.unwrap();
    assert_eq!(reply.json::<Value>().unwrap(), json!({ "nick": "zoë \u{1f980}\n" }));
    assert_eq!(welcomes.next().await.unwrap().unwrap().payload().to_string(), r#"{"to":"room:1"}"#);
    let refused = socket.channel("room:shut").join(json!({ "reason": "shut" })).await;
    assert!(matches!(refused, Err(JoinError::Refused(reply)) if reply.payload().to_string() == r#"{"reason":"shut"}"#));
    assert!(matches!(socket.channel("room:bad").join(()).await, Err(JoinError::Crashed(_))));
    let unmatched = socket.channel("attic").join(()).timeout(Duration::from_secs(5)).await.unwrap_err();
    assert!(unmatched.to_string().contains("unmatched topic"), "{unmatched}");
    socket.channel("room:2").join(json!({})).await.unwrap();
    let third = socket.channel("room:3").join(json!({})).await.unwrap_err();
    assert!(third.to_string().contains("too many channels"), "{third}");
}

// Q-4, Q-12, Q-13
#[tokio::test]
async fn pushes_are_answered() {
    let server = server().await;
    let (_socket, room) = joined(&server).await;
    let text = json!({ "text": "\"\\\n\r\u{2028}\u{1f980}\0" });
    assert_eq!(room.push("echo", &text).await.unwrap().json::<Value>().unwrap(), text);
    assert!(matches!(room.push("no", ()).await, Err(PushError::Rejected(_))));
    assert_eq!(room.push("odd", ()).await.unwrap().status(), "odd");
    let never = room.push("never", ()).timeout(Duration::from_millis(50)).await;
    assert!(matches!(never, Err(PushError::Timeout)), "{never:?}");
    let large = json!({ "x": "x".repeat(1 << 20) });
    assert_eq!(room.push("echo", &large).await.unwrap().json::<Value>().unwrap(), large);
}

// W-14, W-16, W-19, L-29, L-32
#[tokio::test]
async fn binary_goes_both_ways_where_it_happens_to_be_text() {
    let server = server().await;
    let (_socket, room) = joined(&server).await;
    let mut heard = room.events("binary");
    for bytes in [&b"\0\x01\x02 \"\\\n\x7f"[..], "zoë \u{1f980}".as_bytes(), b""] {
        let reply = room.push("binary", Binary(bytes.to_vec())).await.unwrap();
        assert!(reply.payload().is_binary());
        assert_eq!(reply.payload().as_bytes(), bytes);
        let message = heard.next().await.unwrap().unwrap();
        assert!(message.payload().is_binary());
        assert_eq!(message.payload().as_bytes(), bytes);
    }
    // What is no text goes to the server, at least.
    let all: Vec<u8> = (0..=255).collect();
    room.cast("never", Binary(all)).await.unwrap();
    room.push("echo", json!({})).await.unwrap();
}

// L-26, B-4
#[tokio::test]
async fn many_go_both_ways_in_their_order() {
    let server = server().await;
    let (_socket, room) = joined(&server).await;
    let mut ones = room.events_as::<Value>("one");
    let pushes = (0..500).map(|n| room.push("echo", json!({ "n": n })));
    for (n, reply) in futures::future::join_all(pushes).await.into_iter().enumerate() {
        assert_eq!(reply.unwrap().json::<Value>().unwrap()["n"], n);
    }
    room.push("many", 2_000).await.unwrap();
    let all: Vec<Value> = ones.by_ref().take(2_000).try_collect().await.unwrap();
    assert!(all.iter().enumerate().all(|(n, one)| one["n"] == n));
    let mut sink = room.sink("echo");
    sink.send_all(&mut stream::iter((0..500).map(|n| Ok(json!({ "n": n }))))).await.unwrap();
    sink.close().await.unwrap();
    server.broadcast("room:1", "one", json!({ "n": "last" }));
    assert_eq!(ones.next().await.unwrap().unwrap()["n"], "last");
}

// C-25, C-29, Q-10
#[tokio::test]
async fn a_crash_is_told_and_healed() {
    let server = server().await;
    let (socket, room) = joined(&server).await;
    let mut telemetry = socket.telemetry();
    for crash in [true, false] {
        let pushed = if crash {
            room.push("crash", ()).await
        } else {
            let mut pushed = room.push("never", ());
            assert!((&mut pushed).now_or_never().is_none());
            room.push("echo", json!({})).await.unwrap();
            server.kill_channels("room:1");
            pushed.await
        };
        assert!(matches!(pushed, Err(PushError::Disconnected)), "{pushed:?}");
        while !matches!(telemetry.next().await, Some(Ok(Telemetry::Joined { .. }))) {}
        room.push("echo", json!({})).await.unwrap();
    }
    assert_eq!(server.connections(), 1);
}

// C-26, C-38
#[tokio::test]
async fn a_channel_that_the_server_closes_ends() {
    let server = server().await;
    let (socket, room) = joined(&server).await;
    let mut all = room.events("e");
    room.push("stop", ()).await.unwrap();
    assert!(all.next().await.is_none());
    assert!(matches!(room.status().current(), ChannelStatus::Closed { .. }));
    assert!(matches!(room.push("echo", ()).await, Err(PushError::NotSent(NotSent::Closed))));
    let again = socket.channel("room:1");
    again.join(json!({})).await.unwrap();
    again.push("echo", json!({})).await.unwrap();
}

// C-32, C-35, C-38
#[tokio::test]
async fn whoever_leaves_is_gone() {
    let server = server().await;
    let (_socket, room) = joined(&server).await;
    assert_eq!(server.channels("room:1"), 1);
    room.leave().await.unwrap();
    assert_eq!(server.channels("room:1"), 0);
    assert!(matches!(room.push("echo", ()).await, Err(PushError::NotSent(NotSent::Left))));
    room.join(json!({})).await.unwrap();
    room.push("echo", json!({})).await.unwrap();
}

// S-12, C-22, Q-6, Q-10
#[tokio::test]
async fn what_a_cut_breaks_is_mended() {
    let server = server().await;
    let (socket, room) = joined(&server).await;
    let mut ones = room.events_as::<Value>("one");
    for _ in 0..3 {
        let mut telemetry = socket.telemetry();
        let mut pending = room.push("never", ());
        assert!((&mut pending).now_or_never().is_none());
        room.push("echo", json!({})).await.unwrap();
        server.drop_connections();
        assert!(matches!(pending.await, Err(PushError::Disconnected)));
        // It waits for the join.
        room.push("many", 2).await.unwrap();
        for n in 0..2 {
            assert_eq!(ones.next().await.unwrap().unwrap(), json!({ "n": n }));
        }
        let mut causes = Vec::new();
        loop {
            match telemetry.next().await.unwrap().unwrap() {
                Telemetry::Closed { cause, .. } => causes.push(cause),
                Telemetry::Opened { .. } => break,
                _ => {}
            }
        }
        assert!(matches!(&causes[..], [cause] if is_cut(cause)), "{causes:?}");
    }
}

// H-12, F-12
#[tokio::test]
async fn a_ping_is_answered() {
    let server = server().await;
    let socket = quickly(&server).connect().await.unwrap();
    socket.ping().await.unwrap();
}

// S-17, S-20, S-23
#[tokio::test]
async fn a_socket_that_disconnects_can_connect_again_and_one_that_closes_is_done() {
    let (note, mut noted) = mpsc::unbounded_channel();
    let server =
        Server::builder().join("room:*", |_, _| async { Ok(json!({})) }).on_with("room:*", "note", move |_, n| {
            note.send(n.json::<u32>().unwrap()).unwrap();
            async { Response::nothing() }
        });
    let server = server.start().await.unwrap();
    let (socket, room) = joined(&server).await;
    let note = async |numbers: Range<u32>| {
        futures::future::try_join_all(numbers.map(|n| room.cast("note", n))).await.unwrap();
    };
    note(0..250).await;
    socket.disconnect().code(4000).reason("lunch").await;
    assert!(matches!(socket.status().current(), Status::Disconnected));
    socket.connect().await.unwrap();
    note(250..500).await;
    socket.close().await;
    assert!(matches!(socket.status().current(), Status::Closed));
    // All that was written before has arrived.
    for n in 0..500 {
        assert_eq!(noted.recv().await, Some(n));
    }
}
