//! Against the embedded server: whole sessions, in which nothing is wrong.

use std::time::{Duration, Instant};

use futures::{StreamExt, future::join_all};
use phoenix_streams::{
    Binary, ChannelStatus, ConnectError, LongPoll, Socket, Status, Telemetry, json,
    testing::{Server, ServerBuilder},
    transport::Frame,
};

use super::{bed::builder, scripted::within};

const WINDOW: Duration = Duration::from_millis(300);

pub(crate) fn rooms() -> ServerBuilder {
    Server::builder()
        .join("room:*", |_, _| async { Ok(json!({ "motd": "hi" })) })
        .on("room:*", "shout", |peer, said| async move {
            peer.broadcast("shout", said);
            Ok(json!({ "heard": true }))
        })
        .on("room:*", "size", |_, payload| async move { Ok(json!({ "bytes": payload.as_bytes().to_vec() })) })
        .window(WINDOW)
        .pubsub_timeout(Duration::from_millis(50))
}

async fn connect(server: &Server) -> Socket {
    within(builder(server.url()).connect()).await.unwrap()
}

// L-10, L-12, L-26, L-31
#[tokio::test]
async fn a_session_joins_pushes_and_hears() {
    let server = rooms().start().await.unwrap();
    let socket = connect(&server).await;
    let room = socket.channel("room:lobby");
    let mut shouts = room.events_as::<serde_json::Value>("shout");
    assert_eq!(within(room.join(())).await.unwrap().payload().to_string(), r#"{"motd":"hi"}"#);
    let pushes = within(join_all((0..250).map(|n| room.push("shout", json!({ "n": n }))))).await;
    assert!(pushes.iter().all(|reply| reply.as_ref().is_ok_and(|reply| reply.status() == "ok")), "{pushes:?}");
    for n in 0..250 {
        assert_eq!(within(shouts.next()).await.unwrap().unwrap(), json!({ "n": n }));
    }
    assert_eq!((server.connections(), server.sessions()), (1, 1));
    within(room.leave()).await.unwrap();
    assert_eq!(server.channels("room:lobby"), 0);
}

// L-13, L-36
#[tokio::test]
async fn a_session_lives_for_as_long_as_it_is_polled_and_a_while_longer() {
    let server = rooms().start().await.unwrap();
    let socket = connect(&server).await;
    let room = socket.channel("room:1");
    within(room.join(())).await.unwrap();
    let begin = Instant::now();
    // Several windows in which nothing is said: polls keep it alive.
    while begin.elapsed() < WINDOW * 5 {
        within(socket.ping()).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert!(room.status().current().is_joined());
    within(socket.close()).await;
    // Nothing tells it.
    assert_eq!((server.sessions(), server.channels("room:1")), (1, 1));
    let begin = Instant::now();
    within(server.wait_for_connections(0)).await;
    assert!(begin.elapsed() < WINDOW * 4, "{:?}", begin.elapsed());
    assert_eq!(server.channels("room:1"), 0);
}

// L-29, W-9, W-20
#[tokio::test]
async fn binary_goes_up_in_base64_and_comes_down_where_it_is_text() {
    let server = rooms().start().await.unwrap();
    let socket = connect(&server).await;
    let room = socket.channel("room:1");
    within(room.join(())).await.unwrap();
    for bytes in [&b""[..], b"a", b"ab", b"abc", b"\0\xff\xfe\x80"] {
        let reply = within(room.push("size", Binary(bytes.to_vec()))).await.unwrap();
        assert_eq!(reply.json::<serde_json::Value>().unwrap(), json!({ "bytes": bytes }));
    }
    let mut all = room.events("b");
    server.broadcast("room:1", "b", Binary(b"ascii".to_vec()));
    let event = within(all.next()).await.unwrap().unwrap();
    assert!(event.payload().is_binary() && event.payload().as_bytes() == b"ascii");
}

// L-32
#[tokio::test]
async fn binary_that_is_no_text_costs_the_session_and_is_told() {
    let server = rooms().start().await.unwrap();
    let quick = phoenix_streams::Backoff::steps([Duration::ZERO]);
    let socket = within(builder(server.url()).reconnect(quick).connect()).await.unwrap();
    let room = socket.channel("room:1");
    within(room.join(())).await.unwrap();
    let mut telemetry = socket.telemetry();
    server.broadcast("room:1", "b", Binary(b"\xff".to_vec()));
    let cause = loop {
        if let Telemetry::Closed { cause, .. } = within(telemetry.next()).await.unwrap().unwrap() {
            break cause;
        }
    };
    let ConnectError::NotCarried(refusal) = &*cause else { panic!("{cause:?}") };
    assert_eq!(refusal.status(), 500);
    within(room.status().wait_for(ChannelStatus::is_joined)).await.unwrap();
    within(room.push("shout", json!({}))).await.unwrap();
}

// L-14, L-22, L-38
#[tokio::test]
async fn a_session_that_the_server_ended_is_opened_anew() {
    let server = rooms().start().await.unwrap();
    let quick = phoenix_streams::Backoff::steps([Duration::ZERO]);
    let socket = within(builder(server.url()).reconnect(quick).connect()).await.unwrap();
    let room = socket.channel("room:1");
    within(room.join(())).await.unwrap();
    let (mut telemetry, mut joins) = (socket.telemetry(), room.joins());
    server.close_all(1001);
    // The poll at hand comes to the end of its window; the next hears that the session is gone.
    let cause = loop {
        if let Telemetry::Closed { cause, .. } = within(telemetry.next()).await.unwrap().unwrap() {
            break cause;
        }
    };
    assert!(matches!(*cause, ConnectError::SessionGone), "{cause:?}");
    within(joins.next()).await.unwrap().unwrap();
    within(room.push("shout", json!({}))).await.unwrap();
    // The answer that told of it opened one that nobody uses, and that ends by itself.
    within(server.wait_for_connections(1)).await;
    within(room.push("shout", json!({}))).await.unwrap();
}

// L-38
#[tokio::test]
async fn a_session_does_not_outlive_its_server() {
    let server = rooms().start().await.unwrap();
    let address: std::net::SocketAddr = server.url()["ws://".len()..].split('/').next().unwrap().parse().unwrap();
    let steps = phoenix_streams::Backoff::steps([Duration::from_millis(5)]);
    let socket = within(builder(server.url()).reconnect(steps).connect()).await.unwrap();
    let room = socket.channel("room:1");
    within(room.join(())).await.unwrap();
    let mut joins = room.joins();
    drop(server);
    within(socket.status().wait_for(|status| !status.is_connected())).await.unwrap();
    let server = loop {
        if let Ok(server) = rooms().bind(address).start().await {
            break server;
        }
        tokio::task::yield_now().await;
    };
    within(joins.next()).await.unwrap().unwrap();
    assert_eq!((server.sessions(), server.channels("room:1")), (1, 1));
}

// L-6
#[tokio::test]
async fn servers_that_know_no_token_header_are_understood_while_the_token_is_in_the_url() {
    let server = rooms().long_poll_token_header(false).start().await.unwrap();
    let socket = connect(&server).await;
    within(socket.channel("room:1").join(())).await.unwrap();
    let options = LongPoll::default().token_in_url(false);
    let only_header = within(builder(server.url()).transport(options.clone()).connect()).await.unwrap();
    let gone = |status: &Status| matches!(status, Status::Waiting { cause, .. } if matches!(**cause, ConnectError::SessionGone));
    assert!(within(only_header.status().wait_for(gone)).await.is_some());
    let modern = rooms().start().await.unwrap();
    let socket = within(builder(modern.url()).transport(options).connect()).await.unwrap();
    within(socket.channel("room:1").join(())).await.unwrap();
}

// L-1, U-16
#[tokio::test]
async fn a_param_named_token_reaches_the_server_and_is_not_taken_for_a_sessions() {
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let connect = move |info: phoenix_streams::testing::ConnectInfo| {
        let _ = tell.send((info.params().clone(), info.auth_token().map(str::to_owned)));
        async { Ok(()) }
    };
    let server = rooms().auth_token(true).connect(connect).start().await.unwrap();
    let describe =
        builder(&format!("{}?x=1", server.url())).params(json!({ "token": "mine" })).auth_token("s\u{e9}same");
    let socket = within(describe.connect()).await.unwrap();
    within(socket.channel("room:1").join(())).await.unwrap();
    let (params, auth_token) = told.recv().await.unwrap();
    assert_eq!(params["token"], "mine");
    assert_eq!((&params["x"], auth_token.as_deref()), (&json!("1"), Some("s\u{e9}same")));
    assert!(told.try_recv().is_err());
}

// L-15
#[tokio::test]
async fn a_refused_session_stops_the_socket_unless_its_params_may_change() {
    let refuse = |_| async { Err(phoenix_streams::testing::Refuse::new(429)) };
    let server = rooms().connect(refuse).start().await.unwrap();
    let ends = |status: &Status| matches!(status, Status::Waiting { .. } | Status::Stopped { .. });
    let socket = builder(server.url()).params(json!({ "user": 7 })).start().unwrap();
    let Some(Status::Stopped { cause }) = within(socket.status().wait_for(ends)).await else { panic!("it goes on") };
    assert!(matches!(&*cause, ConnectError::Refused(refusal) if refusal.status() == 403), "{cause:?}");
    let socket = builder(server.url()).params_with(|| async { Ok(json!({ "user": 7 })) }).start().unwrap();
    let Some(Status::Waiting { cause, .. }) = within(socket.status().wait_for(ends)).await else { panic!("it stops") };
    assert!(matches!(&*cause, ConnectError::Refused(refusal) if refusal.status() == 403), "{cause:?}");
}

// T-7, DEV-21
#[tokio::test]
async fn a_frame_that_is_no_message_costs_that_frame() {
    let server = rooms().start().await.unwrap();
    let socket = connect(&server).await;
    let room = socket.channel("room:1");
    within(room.join(())).await.unwrap();
    let mut telemetry = socket.telemetry();
    server.send_raw(Frame::Text("[]".into()));
    server.send_raw(Frame::Binary("\u{1}".into()));
    for _ in 0..2 {
        let told = within(telemetry.next()).await.unwrap().unwrap();
        assert!(matches!(told, Telemetry::Undecodable { .. }), "{told:?}");
    }
    within(room.push("shout", json!({}))).await.unwrap();
}
