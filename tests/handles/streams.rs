//! What a reader sees: present values, decoded payloads, errors in their place.

use futures::{FutureExt, StreamExt};
use http::StatusCode;
use phoenix_streams::{
    Binary, ChannelStatus, EncodeError, EventError, IntoPayload, JoinError, NotJoined, Payload, PushError, Status,
    json,
    transport::{Frame, memory},
};
use serde::Deserialize;

use crate::support::{accept_join, builder, connected, joined, poll, sent, settle, until};

#[derive(Debug, Deserialize, PartialEq)]
struct Shout {
    body: String,
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_of_a_present_value_sees_the_newest_alone() {
    let (socket, mut peer, server) = connected().await;
    let mut status = socket.status();
    assert!(status.next().await.unwrap().is_connected(), "the present one comes first");
    server.cut();
    for _ in 0..5 {
        peer.accept().await.cut();
    }
    let _server = peer.accept().await;
    settle().await;
    assert!(status.next().await.unwrap().is_connected());
    assert!(status.next().now_or_never().is_none(), "no backlog");
    assert!(matches!(status.current(), Status::Connected { .. }));
    drop(socket);
    assert!(status.wait_for(|status| matches!(status, Status::Idle)).await.is_none(), "it ends");
}

#[tokio::test(start_paused = true)]
async fn a_payload_that_does_not_decode_is_one_error_with_its_message() {
    let (socket, _peer, mut server) = connected().await;
    let (room, join) = joined(&socket, &mut server, "room:1").await;
    let mut typed = room.events_as::<Shout>("shout");
    let mut lossy = room.events_as::<Shout>("shout").lossy();
    let mut raw = room.events("shout");
    server.push(&join, "shout", json!({ "body": "one" })).await;
    server.push(&join, "shout", json!({ "other": 1 })).await;
    server.push(&join, "shout", Payload::from_raw("{oops}", false)).await;
    server.broadcast("room:1", "shout", Binary(vec![1, 2, 3])).await;
    server.push(&join, "whisper", json!({ "body": "not asked for" })).await;
    server.push(&join, "shout", json!({ "body": "two" })).await;
    assert_eq!("one", typed.next().await.unwrap().unwrap().body);
    for wrong in [r#"{"other":1}"#, "{oops}", "<3 bytes>"] {
        let Some(Err(EventError::Decode { message, .. })) = typed.next().await else { panic!("it decoded") };
        assert_eq!((wrong, "shout", "room:1"), (&*message.payload().to_string(), message.event(), message.topic()));
    }
    assert_eq!("two", typed.next().await.unwrap().unwrap().body);
    assert_eq!(["one", "two"], [lossy.next().await.unwrap().body, lossy.next().await.unwrap().body]);
    assert_eq!(5, raw.by_ref().take(5).filter(|item| std::future::ready(item.is_ok())).count().await);
    settle().await;
    assert!(raw.next().now_or_never().is_none() && typed.next().now_or_never().is_none());
}

// DEV-16, E-5, T-2
#[tokio::test(start_paused = true)]
async fn messages_are_all_but_the_protocols_own() {
    let (socket, _peer, mut server) = connected().await;
    let (room, join) = joined(&socket, &mut server, "room:1").await;
    let mut all = room.messages();
    let mut ask = room.push("ask", ());
    assert!(poll(&mut ask).is_pending());
    let asked = server.recv().await.unwrap();
    // What looks like its reply in phoenix.js is an ordinary event.
    let spoof = format!("chan_reply_{}", asked.r#ref.as_deref().unwrap());
    server.push(&join, &spoof, json!({ "status": "ok", "response": {} })).await;
    server.broadcast("room:1", "presence_diff", json!({})).await;
    server.broadcast("room:1", "phx_error", json!({})).await;
    server.broadcast("room:2", "shout", json!({})).await;
    settle().await;
    assert!(poll(&mut ask).is_pending());
    server.reply(&asked, "whatever", 7).await;
    assert_eq!("whatever", ask.await.unwrap().status());
    for event in [&*spoof, "presence_diff", "phx_error"] {
        assert_eq!(event, all.next().await.unwrap().unwrap().event());
    }
    settle().await;
    assert!(all.next().now_or_never().is_none());
    assert!(room.status().current().is_joined());
}

// DEV-21, T-7
#[tokio::test(start_paused = true)]
async fn frames_that_are_no_messages_cost_themselves_alone() {
    let (socket, _peer, mut server) = connected().await;
    let (room, join) = joined(&socket, &mut server, "room:1").await;
    let mut all = room.messages();
    for garbage in ["", "[", "{}", "[1,2,3]", "[null,null,\"room:1\"", "\u{0}", "[[[[[[[[[["] {
        server.send(Frame::Text(garbage.into())).await;
        server.send(Frame::Binary(garbage.into())).await;
    }
    server.push(&join, "shout", 1).await;
    assert_eq!("shout", all.next().await.unwrap().unwrap().event());
    assert!(socket.status().current().is_connected());
}

// DEV-13, T-21
#[tokio::test(start_paused = true)]
async fn a_socket_that_stops_tells_each_stream_once_and_lossy_ones_skip_it() {
    let (transport, mut peer) = memory::pair();
    let socket = builder(transport).start().unwrap();
    let room = socket.channel("room:1");
    let (mut shouts, mut lossy) = (room.events("shout"), room.events("shout").lossy());
    room.join(()).detach();
    peer.refuse(StatusCode::FORBIDDEN).await;
    assert!(matches!(shouts.next().await, Some(Err(EventError::NotJoined(NotJoined::Stopped(_))))));
    until(&socket, |status| matches!(status, Status::Stopped { .. })).await;
    assert!(shouts.next().now_or_never().is_none());
    assert!(matches!(room.join(()).await, Err(JoinError::Stopped(_))));
    let mut connect = socket.connect();
    assert!(poll(&mut connect).is_pending());
    let mut server = peer.accept().await;
    connect.await.unwrap();
    let join = server.recv().await.unwrap();
    server.reply(&join, "ok", ()).await;
    server.push(&join, "shout", 1).await;
    assert_eq!("shout", lossy.next().await.unwrap().event());
}

/// Something that cannot be encoded.
struct Unfit;

impl serde::Serialize for Unfit {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("it does not fit"))
    }
}

#[tokio::test(start_paused = true)]
async fn what_does_not_encode_is_told_when_awaited() {
    let (socket, _peer, mut server) = connected().await;
    let room = socket.channel("room:1");
    assert!(matches!(Unfit.into_payload(), Err(EncodeError { .. })));
    assert!(matches!(room.join(Unfit).await, Err(JoinError::Encode(_))));
    room.join(Unfit).detach();
    settle().await;
    assert!(matches!(room.status().current(), ChannelStatus::Idle), "not wanted");
    accept_join(&room, &mut server).await;
    let refused = room.push("ask", Unfit).await.unwrap_err();
    assert!(matches!(refused, PushError::Encode(_)) && refused.is_not_sent());
    assert!(room.cast("tell", Unfit).await.is_err());
    assert_eq!(Vec::<String>::new(), sent(&mut server).await);
    assert_eq!(0, socket.stats().pending_pushes);
}

// DEV-10, B-8
#[tokio::test(start_paused = true)]
async fn what_is_wanted_when_it_opens_is_what_is_sent() {
    let (transport, mut peer) = memory::pair();
    let socket = builder(transport).start().unwrap();
    let wanted = socket.channel("room:wanted");
    let left = socket.channel("room:left");
    for _ in 0..3 {
        wanted.join(json!({ "first": true })).detach();
        left.join(()).detach();
        left.leave().await.unwrap();
        wanted.leave().await.unwrap();
        socket.channel("room:dropped").join(()).detach();
    }
    wanted.join(json!({ "last": true })).detach();
    let mut server = peer.accept().await;
    let join = server.recv().await.unwrap();
    assert_eq!(("room:wanted", r#"{"last":true}"#), (&*join.topic, &*join.payload.to_string()));
    assert_eq!(Vec::<String>::new(), sent(&mut server).await);
}

/// What happens in a room.
#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
enum RoomEvent {
    Shout(Shout),
    Typing,
    Moved { x: i32, y: i32 },
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Open {
    Typing,
    #[serde(other)]
    Other,
}

// T-7
#[tokio::test(start_paused = true)]
async fn the_events_name_picks_the_variant_and_an_unknown_one_is_told() {
    let (socket, _peer, mut server) = connected().await;
    let (room, join) = joined(&socket, &mut server, "room:1").await;
    let mut all = room.messages_as::<RoomEvent>();
    let lossy = room.messages_as::<RoomEvent>().lossy();
    let mut open = room.messages_as::<Open>();
    server.push(&join, "shout", json!({ "body": "hi" })).await;
    server.broadcast("room:1", "typing", Binary(vec![1])).await;
    server.broadcast("room:1", "moved", json!({ "x": 1, "y": -2 })).await;
    server.broadcast("room:1", "presence_diff", json!({})).await;
    server.broadcast("room:1", "later", json!({ "new": true })).await;
    server.broadcast("room:1", "moved", json!({ "x": 1 })).await;
    server.broadcast("room:1", "typing", ()).await;
    assert_eq!(all.next().await.unwrap().unwrap(), RoomEvent::Shout(Shout { body: "hi".into() }));
    assert_eq!(all.next().await.unwrap().unwrap(), RoomEvent::Typing);
    assert_eq!(all.next().await.unwrap().unwrap(), RoomEvent::Moved { x: 1, y: -2 });
    let Some(Err(EventError::Unknown(unknown))) = all.next().await else { panic!("it is known") };
    assert_eq!((unknown.event(), unknown.payload().as_str()), ("later", Some(r#"{"new":true}"#)));
    let Some(Err(EventError::Decode { message, .. })) = all.next().await else { panic!("it decodes") };
    assert_eq!(message.event(), "moved");
    assert_eq!(all.next().await.unwrap().unwrap(), RoomEvent::Typing);
    for expected in [Open::Other, Open::Typing, Open::Other, Open::Other, Open::Other, Open::Typing] {
        assert_eq!(open.next().await.unwrap().unwrap(), expected);
    }
    assert_eq!(lossy.take(4).count().await, 4);
}
