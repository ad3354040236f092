//! A session by itself, without a socket.

#[path = "../../../tests/long_poll/scripted.rs"]
mod scripted;

use std::sync::Arc;

use futures::{FutureExt, SinkExt, StreamExt};
use http::HeaderMap;
use serde_json::Value;

use self::scripted::{Kind, Scripted, Step, messages, within};
use super::*;
use crate::{
    endpoint::Endpoint,
    runtime::{Instant, timeout},
    transport::{Frame, Http, http::Target},
};

fn dial(url: &str) -> Dial {
    let url = Endpoint::parse(url).unwrap().with_params("").unwrap();
    let mut dial = Dial::new(url, HeaderMap::new(), Arc::from("2.0.0"), None);
    dial.http = Http::default().no_proxy();
    dial
}

async fn open(server: &mut Scripted) -> Connection {
    let mut connection = LongPoll::default().dial(dial(&server.url)).await.unwrap();
    assert!(connection.next().now_or_never().is_none());
    server.asked(Kind::Open).await;
    server.asked(Kind::Poll).await;
    connection
}

fn text(text: &'static str) -> Frame {
    Frame::Text(text.into())
}

// U-16, U-6, DEV-1
#[test]
fn golden_long_poll_urls() {
    let vectors: Value = serde_json::from_str(include_str!("../../../tests/vectors.json")).unwrap();
    let cases = vectors["longpoll_url"].as_array().unwrap();
    assert_eq!(cases.len(), 4);
    for (at, case) in cases.iter().enumerate() {
        let (given, theirs) = (case["in"].as_str().unwrap(), case["out"].as_str().unwrap());
        // phoenix.js replaces the last `/websocket` of the text, which stands in the query of the last one. Here it is
        // the path whose end is replaced, and the query stays as it is.
        let ours = if at == 3 { "https://h/s/longpoll?p=/websocket&vsn=2.0.0" } else { theirs };
        let dial = dial(given);
        let url = dial.endpoint(&LongPoll::default().path).unwrap();
        let (scheme, tls) = ours.split_once("://").map(|(scheme, _)| (scheme, scheme == "https")).unwrap();
        assert_eq!(url.to_string().split_once("://").unwrap().1, &ours[scheme.len() + 3..], "{given}");
        // No scheme goes out; it says whether TLS is spoken.
        assert_eq!(Target::of(&url).tls, tls, "{given}");
    }
}

// L-12
#[tokio::test]
async fn the_next_poll_is_at_the_server_before_any_message_is_handed_on() {
    let mut server = Scripted::start().await;
    let mut connection = open(&mut server).await;
    for _ in 0..3 {
        server.poll(messages(["[1]", "[2]"]));
        assert_eq!(within(connection.next()).await.unwrap().unwrap(), text("[1]"));
        // Nobody reads on, and it comes all the same.
        assert_eq!(server.asked(Kind::Poll).await.connection, 1);
        assert_eq!(within(connection.next()).await.unwrap().unwrap(), text("[2]"));
    }
}

// L-20
#[tokio::test]
async fn told_to_wind_down_it_brings_what_the_open_poll_brings_and_ends() {
    let mut server = Scripted::start().await;
    let mut connection = open(&mut server).await;
    connection.take_wind_down().unwrap().begin();
    server.poll(messages(["[1]", "[2]"]));
    let read: Vec<_> = within((&mut connection).map(Result::unwrap).collect()).await;
    assert_eq!(read, [text("[1]"), text("[2]")]);
    assert!(server.seen().is_empty());
    // It can be written to all the same, to its end.
    within(connection.send(text("[3]"))).await.unwrap();
    assert_eq!(server.asked(Kind::Post).await.body, "[3]");
    within(connection.send(Frame::Close { code: 1000, reason: "".into() })).await.unwrap();
    assert!(within(connection.next()).await.is_none());
    within(connection.close()).await.unwrap();
    assert!(server.seen().is_empty());
}

// L-35
#[tokio::test]
async fn a_goodbye_goes_behind_what_is_to_be_sent_and_takes_the_poll_along() {
    let mut server = Scripted::start().await;
    let mut connection = open(&mut server).await;
    server.hold_posts();
    connection.feed(text("[1]")).await.unwrap();
    let mut goodbye = Box::pin(async {
        let sent = connection.send(Frame::Close { code: 1000, reason: "".into() }).await;
        (sent, connection)
    });
    assert!((&mut goodbye).now_or_never().is_none());
    assert_eq!(
        tokio::select! {
            _ = &mut goodbye => panic!("it is not acknowledged"),
            asked = server.asked(Kind::Post) => asked.body,
        },
        "[1]"
    );
    server.acknowledge();
    let (sent, mut connection) = within(goodbye).await;
    sent.unwrap();
    assert!(within(connection.next()).await.is_none());
    assert!(connection.feed(text("[2]")).await.is_err());
    drop(connection);
    assert!(server.gone(Kind::Poll).await.is_empty());
}

// L-25, L-29
#[tokio::test]
async fn an_empty_binary_frame_makes_no_line() {
    let mut server = Scripted::start().await;
    let mut connection = open(&mut server).await;
    let empty = Frame::Binary(Default::default());
    for frame in [text("[1]"), empty.clone(), text("[2]"), empty.clone()] {
        connection.feed(frame).await.unwrap();
    }
    within(connection.flush()).await.unwrap();
    assert_eq!(server.asked(Kind::Post).await.body, "[1]\n[2]");
    connection.feed(empty).await.unwrap();
    within(connection.flush()).await.unwrap();
    assert!(server.seen().is_empty());
}

// L-30, L-33
#[tokio::test]
async fn a_text_that_cannot_be_a_line_goes_alone_as_another_type() {
    let mut server = Scripted::start().await;
    let mut connection = open(&mut server).await;
    for frame in [text("[1]"), text("{\"topic\":\"t\"}"), text("[2]")] {
        connection.feed(frame).await.unwrap();
        within(connection.flush()).await.unwrap();
    }
    for (body, kind) in
        [("[1]", "application/x-ndjson"), ("{\"topic\":\"t\"}", "application/json"), ("[2]", "application/x-ndjson")]
    {
        let post = server.asked(Kind::Post).await;
        assert_eq!((&*post.body, post.header("content-type")), (body, Some(kind)));
    }
}

// L-27
#[tokio::test]
async fn after_a_request_that_failed_nothing_is_sent() {
    let mut server = Scripted::start().await;
    let mut connection = open(&mut server).await;
    server.next(Kind::Post, Step::Says(scripted::json(r#"{"status":408}"#)));
    connection.feed(text("[1]")).await.unwrap();
    connection.feed(text("[2]")).await.unwrap();
    assert!(matches!(within(connection.flush()).await, Err(ConnectError::Refused(_))));
    assert!(within(connection.feed(text("[3]"))).await.is_err());
    assert!(within(connection.flush()).await.is_err());
    assert_eq!(server.asked(Kind::Post).await.body, "[1]\n[2]");
    drop(connection);
    assert!(server.gone(Kind::Poll).await.is_empty());
}

// L-20, L-27
#[tokio::test]
async fn a_request_that_failed_is_not_told_before_what_has_come_is_read() {
    const PATIENCE: Duration = Duration::from_millis(1_500);
    let mut server = Scripted::start().await;
    let mut connection = open(&mut server).await;
    server.poll(messages(["[1]", "[2]"]));
    assert_eq!(within(connection.next()).await.unwrap().unwrap(), text("[1]"));
    server.next(Kind::Post, Step::Stalls(scripted::json(r#"{"status":408}"#)));
    connection.feed(text("[3]")).await.unwrap();
    tokio::select! {
        failed = connection.flush() => panic!("{failed:?}"),
        _ = server.gone(Kind::Post) => {}
    }
    assert!(connection.feed(text("[4]")).now_or_never().is_none(), "it would go nowhere");
    assert!(timeout(PATIENCE, connection.flush()).await.is_err(), "something is still to be read");
    assert_eq!(connection.next().now_or_never().unwrap().unwrap().unwrap(), text("[2]"));
    // The open poll has its time from here.
    let begin = Instant::now();
    assert!(matches!(within(connection.next()).await, Some(Err(ConnectError::Refused(_)))));
    assert!(begin.elapsed() >= PATIENCE, "{:?}", begin.elapsed());
    assert!(matches!(within(connection.flush()).await, Err(ConnectError::Refused(_))));
}
