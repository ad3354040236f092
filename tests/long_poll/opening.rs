//! How a session is opened, and what its requests carry.

use std::time::Duration;

use phoenix_streams::{BuildError, ConnectError, LongPoll, Status, Telemetry, json};

use super::{
    bed::{Bed, Next, builder},
    scripted::{Kind, Request, Scripted, Seen, Step, answer, json as says, opened, within},
};

/// What a session asks in its first moments: its opening, its first poll, and the POST of a join.
async fn asked(describe: impl FnOnce(phoenix_streams::Builder) -> phoenix_streams::Builder) -> [Request; 3] {
    let server = Scripted::start().await;
    let mut bed = Bed::before(server, describe);
    let open = bed.server.asked(Kind::Open).await;
    let poll = bed.server.asked(Kind::Poll).await;
    let room = bed.socket.channel("room:1");
    room.join(()).detach();
    let post = bed.server.asked(Kind::Post).await;
    [open, poll, post]
}

// U-16, L-1, L-3, L-10
#[tokio::test]
async fn params_and_the_endpoints_query_go_with_the_opening_request_alone() {
    let mut server = Scripted::start().await;
    server.url += "/websocket?x=1&vsn=9";
    let params = json!({ "token": "mine & hidden", "user": 7, "vsn": "3" });
    let mut bed = Bed::before(server, |builder| builder.params(params));
    let open = bed.server.asked(Kind::Open).await;
    assert_eq!(open.line, "GET /socket/longpoll?x=1&token=mine%20%26%20hidden&user=7&vsn=2.0.0 HTTP/1.1");
    assert_eq!((open.header("accept"), open.header("host")), (Some("application/json"), Some(&*bed.server.address)));
    let poll = bed.server.asked(Kind::Poll).await;
    assert_eq!(poll.line, "GET /socket/longpoll?vsn=2.0.0&token=token-1 HTTP/1.1");
    assert_eq!(poll.header("accept"), Some("application/json"));
    let room = bed.socket.channel("room:1");
    room.join(()).detach();
    let post = bed.server.asked(Kind::Post).await;
    assert_eq!(post.line, "POST /socket/longpoll?vsn=2.0.0&token=token-1 HTTP/1.1");
}

// L-3, L-5, A-9
#[tokio::test]
async fn the_auth_token_goes_plain_with_the_opening_request_alone() {
    let [open, poll, post] = asked(|builder| builder.auth_token("t?>~ \u{fc}")).await;
    assert_eq!(open.header("x-phoenix-authtoken"), Some("t?>~ \u{fc}"));
    assert_eq!([poll.header("x-phoenix-authtoken"), post.header("x-phoenix-authtoken")], [None, None]);
    let [open, ..] = asked(|builder| builder).await;
    assert_eq!(open.header("x-phoenix-authtoken"), None);
}

// A-9
#[tokio::test]
async fn an_auth_token_that_no_header_takes_stops_the_socket() {
    let mut bed = Bed::before(Scripted::start().await, |builder| builder.auth_token("two\r\nlines"));
    let (cause, next) = bed.failed().await;
    assert!(matches!(&*cause, ConnectError::Build(BuildError::Header(_))), "{cause:?}");
    assert!(!cause.to_string().contains("lines"));
    assert_eq!((next, bed.server.connections()), (Next::Stops, 0));
}

// L-6
#[tokio::test]
async fn the_sessions_token_stands_in_header_and_url_or_in_the_header_alone() {
    let [open, poll, post] = asked(|builder| builder).await;
    assert_eq!(open.header("x-phoenix-longpoll-token"), None);
    for request in [poll, post] {
        assert_eq!(request.header("x-phoenix-longpoll-token"), Some("token-1"));
        assert!(request.line.contains("?vsn=2.0.0&token=token-1 "), "{}", request.line);
    }
    let [_, poll, post] = asked(|builder| builder.transport(LongPoll::default().token_in_url(false))).await;
    for request in [poll, post] {
        assert_eq!(request.header("x-phoenix-longpoll-token"), Some("token-1"));
        assert!(request.line.contains("/socket/longpoll?vsn=2.0.0 "), "{}", request.line);
    }
}

// U-17
#[tokio::test]
async fn the_path_is_of_ones_own() {
    let [open, poll, post] = asked(|builder| builder.transport(LongPoll::default().path("/v1/lp/"))).await;
    assert_eq!(open.line, "GET /socket/v1/lp?vsn=2.0.0 HTTP/1.1");
    assert_eq!(poll.line, "GET /socket/v1/lp?vsn=2.0.0&token=token-1 HTTP/1.1");
    assert_eq!(post.line, "POST /socket/v1/lp?vsn=2.0.0&token=token-1 HTTP/1.1");
}

// A-1
#[tokio::test]
async fn headers_of_ones_own_and_the_urls_userinfo_go_with_every_request() {
    const OURS: [&str; 6] =
        ["x-phoenix-authtoken", "x-phoenix-longpoll-token", "content-type", "content-encoding", "expect", "host"];
    const HOP_BY_HOP: [&str; 9] = [
        "connection",
        "keep-alive",
        "proxy-connection",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "accept-encoding",
    ];
    let mut server = Scripted::start().await;
    let address = server.address.clone();
    server.url = format!("ws://ann:s%40fe@{address}/socket");
    let describe = |mut builder: phoenix_streams::Builder| {
        for name in OURS.iter().chain(&HOP_BY_HOP) {
            builder = builder.header(*name, "planted");
        }
        builder.header("content-length", "7").header("x-own", "1").header("cookie", "a=b")
    };
    let mut bed = Bed::before(server, describe);
    let room = bed.socket.channel("room:1");
    for kind in [Kind::Open, Kind::Poll, Kind::Post] {
        if kind == Kind::Post {
            room.join(()).detach();
        }
        let request = bed.server.asked(kind).await;
        assert_eq!((request.header("x-own"), request.header("cookie")), (Some("1"), Some("a=b")));
        assert_eq!(request.header("authorization"), Some("Basic YW5uOnNAZmU="));
        assert!(!request.headers.iter().any(|(_, value)| value == "planted"), "{request:?}");
        assert!(HOP_BY_HOP.iter().all(|name| request.header(name).is_none()), "{request:?}");
        assert_eq!(request.header("host"), Some(&*address));
        assert!(!request.line.contains("ann"));
        let length = (kind == Kind::Post).then(|| request.body.len().to_string());
        assert_eq!(request.header("content-length"), length.as_deref());
    }
}

// A-1
#[tokio::test]
async fn an_authorization_of_ones_own_counts_before_the_urls() {
    let mut server = Scripted::start().await;
    server.url = format!("ws://ann:x@{}/socket", server.address);
    let mut bed = Bed::before(server, |builder| builder.header("authorization", "Bearer b"));
    assert_eq!(bed.server.asked(Kind::Open).await.header("authorization"), Some("Bearer b"));
    assert_eq!(bed.server.asked(Kind::Poll).await.header("authorization"), Some("Bearer b"));
}

// L-2, L-10
#[tokio::test]
async fn it_is_connected_once_there_is_a_session() {
    let server = Scripted::start().await;
    let head = opened("t");
    let (front, rest) = head.split_at(head.len() - 1);
    server.next(Kind::Open, Step::Stalls(front.to_vec()));
    let mut bed = Bed::before(server, |builder| builder.connect_timeout(Duration::from_millis(300)));
    bed.server.asked(Kind::Open).await;
    assert!(matches!(bed.socket.status().current(), Status::Connecting { attempt: 1 }));
    let (cause, _) = bed.failed().await;
    assert!(matches!(*cause, ConnectError::Timeout), "{cause:?}");
    bed.server.gone(Kind::Open).await;
    bed.socket.disconnect().await;
    bed.server.next(Kind::Open, Step::Says([front, rest].concat()));
    within(bed.socket.connect()).await.unwrap();
    assert!(matches!(bed.socket.status().current(), Status::Connected { transport: "long-poll", .. }));
    assert_eq!(bed.server.asked(Kind::Poll).await.header("x-phoenix-longpoll-token"), Some("t"));
}

// U-4, A-2
#[tokio::test]
async fn closures_are_asked_anew_for_each_session_and_for_nothing_else() {
    let server = Scripted::start().await;
    let mut number = 0;
    let mut bed = Bed::before(server, move |builder| {
        builder.reconnect(phoenix_streams::Backoff::steps([Duration::ZERO])).params_with(move || {
            number += 1;
            async move { Ok(json!({ "n": number })) }
        })
    });
    assert!(bed.server.asked(Kind::Open).await.line.contains("?n=1&vsn"));
    bed.server.poll(r#"{"status":204}"#);
    bed.server.poll(r#"{"status":410}"#);
    assert!(bed.server.asked(Kind::Open).await.line.contains("?n=2&vsn"));
}

// L-7
#[tokio::test]
async fn cookies_are_not_kept_and_redirects_not_followed() {
    let server = Scripted::start().await;
    let cookie = String::from_utf8(opened("t")).unwrap().replacen("\r\n", "\r\nset-cookie: a=b\r\n", 1);
    server.next(Kind::Open, Step::Says(cookie.into_bytes()));
    let mut bed = Bed::before(server, |builder| builder);
    assert_eq!(bed.server.asked(Kind::Poll).await.header("cookie"), None);
    let elsewhere = Scripted::start().await;
    let location = format!("location: http://{}/socket/longpoll\r\n", elsewhere.address);
    for status in ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let server = Scripted::start().await;
        server.next(Kind::Open, Step::Says(answer(status, &location, "")));
        let (cause, next) = Bed::before(server, |builder| builder).failed().await;
        assert!(cause.to_string().contains("redirects are not followed"), "{cause}");
        assert_eq!(next, Next::Waits(super::bed::STEP));
    }
    assert_eq!(elsewhere.connections(), 0);
}

// L-10, L-11
#[tokio::test]
async fn a_token_that_cannot_be_sent_is_no_session() {
    let long = "t".repeat(8 * 1024 + 1);
    for token in ["", "two words", "two\nlines", "a\0b", "\u{fc}", &long] {
        let server = Scripted::start().await;
        server.next(Kind::Open, Step::Says(opened(token)));
        let mut bed = Bed::before(server, |builder| builder);
        let (cause, next) = bed.failed().await;
        assert!(matches!(&*cause, ConnectError::Handshake(_)), "{token:?}: {cause:?}");
        assert!(cause.to_string().contains("token cannot be sent"), "{cause}");
        assert_eq!(next, Next::Waits(super::bed::STEP));
    }
    for token in [&long[1..], r#"%&=?#+"\<>"#] {
        let server = Scripted::start().await;
        server.next(Kind::Open, Step::Says(opened(token)));
        let mut bed = Bed::before(server, |builder| builder);
        let poll = bed.server.asked(Kind::Poll).await;
        assert_eq!(poll.header("x-phoenix-longpoll-token"), Some(token));
        assert!(!poll.line.contains(['"', '#', '<', '\\']), "{}", poll.line);
    }
}

// L-10
#[tokio::test]
async fn what_says_no_410_or_has_no_token_opens_no_session() {
    for body in [
        r#"{"status":200,"token":"t"}"#,
        r#"{"status":204,"token":"t","messages":[]}"#,
        r#"{"status":410}"#,
        r#"{"status":410,"token":null}"#,
    ] {
        let server = Scripted::start().await;
        server.next(Kind::Open, Step::Says(says(body)));
        let mut bed = Bed::before(server, |builder| builder);
        let (cause, next) = bed.failed().await;
        assert!(matches!(&*cause, ConnectError::Refused(_)), "{body}: {cause:?}");
        assert_eq!(next, Next::Waits(super::bed::STEP));
        assert!(bed.server.seen().iter().all(|seen| matches!(seen, Seen::Asked(asked) if asked.kind == Kind::Open)));
    }
}

// L-9
#[tokio::test]
async fn a_server_without_long_poll_says_404_and_so_does_the_error() {
    let server = phoenix_streams::testing::Server::builder().long_poll(false).start().await.unwrap();
    let socket = builder(server.url()).start().unwrap();
    let waits = |status: &Status| matches!(status, Status::Waiting { .. });
    let Some(Status::Waiting { cause, .. }) = within(socket.status().wait_for(waits)).await else { unreachable!() };
    let ConnectError::Refused(refusal) = &*cause else { panic!("{cause:?}") };
    assert_eq!(refusal.status(), 404);
    assert!(cause.to_string().contains("no socket at this URL"), "{cause}");
}

// L-10
#[tokio::test]
async fn each_opening_is_told_once() {
    let mut bed = Bed::before(Scripted::start().await, |builder| builder);
    let told = bed.telemetry_until(|told| matches!(told, Telemetry::Opened { .. })).await;
    assert!(matches!(&told[..], [Telemetry::Connecting { attempt: 1 }, Telemetry::Opened { .. }]), "{told:?}");
}
