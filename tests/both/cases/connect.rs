//! Describing a socket and connecting it: what arrives at the server, and what is told when it does not come to that.

use std::{
    cell::Cell,
    io,
    time::{Duration, Instant},
};

use base64::Engine;
use futures::StreamExt;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use phoenix_streams::{
    Backoff, BoxError, Builder, ConnectError, Status, Stop, V2, json,
    serializer::{Envelope, Serializer},
    testing::{Fault, Refuse, Server},
    transport::Frame,
};
use serde::Serialize;
use serde_json::Value;

use super::{
    PATH,
    seen::{Seen, start},
    serving_at, socket, transport, transport_at, waits_for,
};

async fn server() -> (Server, Seen) {
    start(|builder| builder).await
}

fn quickly(url: &str) -> Builder {
    socket(url).reconnect(Backoff::steps([Duration::from_millis(1)]))
}

async fn failure(builder: Builder) -> ConnectError {
    builder.connect().await.unwrap_err()
}

// U-8, U-9, U-12, N-17, DEV-2
#[tokio::test]
async fn params_arrive_as_plug_reads_them() {
    let (server, seen) = server().await;
    #[derive(Serialize)]
    struct Params {
        user: User,
        tags: Vec<&'static str>,
        none: Option<u8>,
        empty: [u8; 0],
        on: bool,
        ratio: f64,
        odd: &'static str,
        blank: &'static str,
        vsn: &'static str,
    }
    #[derive(Serialize)]
    struct User {
        id: u64,
        name: &'static str,
    }
    let user = User { id: u64::MAX, name: "zoë [a&b=c] +%" };
    let params = Params {
        user,
        tags: vec!["x", "y y"],
        none: None,
        empty: [],
        on: true,
        ratio: -0.5,
        odd: "\u{1f980}#?\n",
        blank: "",
        vsn: "9.9.9",
    };
    let _socket = socket(server.url()).params(&params).connect().await.unwrap();
    let expected = json!({
        "user": { "id": "18446744073709551615", "name": "zoë [a&b=c] +%" },
        "tags": ["x", "y y"],
        "on": "true",
        "ratio": "-0.5",
        "odd": "\u{1f980}#?\n",
        "blank": "",
        "vsn": "2.0.0",
    });
    assert_eq!(*seen.last().params(), expected);
}

// U-7, A-7, N-3
#[tokio::test]
async fn what_was_not_asked_for_is_not_sent() {
    let (server, seen) = server().await;
    for params in [json!(null), json!({}), json!({ "a": [] })] {
        let _socket = socket(server.url()).params(params).connect().await.unwrap();
        let connect = seen.last();
        assert_eq!(connect.uri().to_string(), format!("/socket/{PATH}?vsn=2.0.0"));
        for unasked in [
            "origin",
            "cookie",
            "authorization",
            "sec-websocket-protocol",
            "sec-websocket-extensions",
            "x-phoenix-authtoken",
        ] {
            assert!(!connect.headers().contains_key(unasked), "{unasked}");
        }
        assert_eq!(connect.auth_token(), None);
    }
}

// DEV-1, U-2, U-5, U-6, T-11
#[tokio::test]
async fn an_endpoint_may_be_written_in_many_ways() {
    let (server, seen) = server().await;
    let bare = server.url();
    let http = bare.replacen("ws://", "http://", 1);
    let shouted = bare.replacen("ws://", "WS://", 1);
    let named = bare.replacen("127.0.0.1", "localhost", 1);
    for (url, query) in [
        (bare.to_owned(), ""),
        (http, ""),
        (shouted, ""),
        (named, ""),
        (format!("{bare}/"), ""),
        (format!("{bare}/websocket"), ""),
        (format!("{bare}/longpoll"), ""),
        (format!("{bare}/{PATH}/?from=url"), "from=url&"),
        (format!("{bare}?from=url&vsn=1.0.0"), "from=url&"),
    ] {
        let _socket = socket(&url).params(json!({ "b": 1 })).connect().await.unwrap();
        assert_eq!(seen.last().uri().to_string(), format!("/socket/{PATH}?{query}b=1&vsn=2.0.0"), "{url}");
    }
}

// U-1, U-17
#[tokio::test]
async fn an_endpoint_may_be_given_in_parts() {
    let (server, seen) = start(|builder| serving_at(builder.mount("/live/chat"), "/ws")).await;
    let port = server.url().rsplit(':').next().unwrap().split('/').next().unwrap().parse().unwrap();
    let parts = || Builder::local().transport(transport()).host("127.0.0.1").port(port).path("/live/chat");
    let socket = parts().transport(transport_at("/ws")).connect().await.unwrap();
    assert_eq!(seen.last().uri().path(), "/live/chat/ws");
    drop(socket);
    let socket = parts().path("live/chat/").transport(transport_at("ws")).connect().await.unwrap();
    assert_eq!(seen.last().uri().path(), "/live/chat/ws");
    drop(socket);

    // The default path is another, where there is nothing; and no TLS is spoken here.
    let nothing = parts().start().unwrap();
    let (_, cause) = waits_for(&nothing).await;
    assert!(
        matches!(&*cause, ConnectError::Refused(refusal) if refusal.status() == StatusCode::NOT_FOUND),
        "{cause:?}"
    );
    let tls = parts().tls(true).start().unwrap();
    let (_, cause) = waits_for(&tls).await;
    assert!(matches!(&*cause, ConnectError::Transport(_)), "{cause:?}");
}

//
#[tokio::test]
async fn headers_arrive_and_the_later_of_a_name_holds() {
    let (server, seen) = server().await;
    let url = server.url().replacen("ws://", "ws://ann:p%40ss@", 1);
    let name = String::from("x-b");
    let _socket = socket(url)
        .header("x-a", "first")
        .header("X-A", "second")
        .header(header::COOKIE, HeaderValue::from_static("a=b; c=d"))
        .header(&name, String::from("text"))
        .header("x-c", "value")
        .headers_with(|| async {
            let mut headers = HeaderMap::new();
            headers.insert("x-c", "fresher".parse()?);
            headers.append("x-d", "1".parse()?);
            headers.append("x-d", "2".parse()?);
            Ok(headers)
        })
        .connect()
        .await
        .unwrap();
    let connect = seen.last();
    let all = |name: &str| connect.headers().get_all(name).iter().map(|v| v.to_str().unwrap()).collect::<Vec<_>>();
    assert_eq!(all("x-a"), ["second"]);
    assert_eq!(all("cookie"), ["a=b; c=d"]);
    assert_eq!(all("x-b"), ["text"]);
    assert_eq!(all("x-c"), ["fresher"]);
    assert_eq!(all("x-d"), ["1", "2"]);
    let basic = base64::engine::general_purpose::STANDARD.encode("ann:p@ss");
    assert_eq!(all("authorization"), [format!("Basic {basic}")]);
}

// DEV-4
#[tokio::test]
async fn a_token_arrives_and_not_in_the_url() {
    let (server, seen) = server().await;
    for token in ["1234", "???>>>", "zoë \u{1f980}"] {
        let _socket = socket(server.url()).auth_token(token).connect().await.unwrap();
        let connect = seen.last();
        assert_eq!(connect.auth_token(), Some(token));
        assert_eq!(connect.uri().to_string(), format!("/socket/{PATH}?vsn=2.0.0"));
    }
}

// U-4, S-34, A-2, T-24, DEV-22
#[tokio::test]
async fn closures_are_asked_before_every_attempt() {
    let (server, seen) = server().await;
    let attempts = Cell::new(0);
    let mut tokens = ["t1", "t2", "t3"].into_iter();
    let mut headers = 0;
    let socket = quickly(server.url())
        .params_with(move || {
            attempts.set(attempts.get() + 1);
            let attempt = attempts.get();
            async move { Ok(json!({ "attempt": attempt })) }
        })
        .auth_token_with(move || {
            let token = tokens.next();
            async move { token.ok_or_else(|| "no more".into()) }
        })
        .headers_with(move || {
            headers += 1;
            async move { Ok(HeaderMap::from_iter([("x-attempt".parse()?, headers.into())])) }
        })
        .connect()
        .await
        .unwrap();
    let mut telemetry = socket.telemetry();
    for _ in 0..2 {
        server.drop_connections();
        while !matches!(telemetry.next().await, Some(Ok(phoenix_streams::Telemetry::Opened { .. }))) {}
    }
    let asked: Vec<_> = seen
        .all()
        .iter()
        .map(|connect| {
            let attempt = connect.params()["attempt"].as_str().unwrap().to_owned();
            let header = connect.headers()["x-attempt"].to_str().unwrap().to_owned();
            (attempt, connect.auth_token().unwrap().to_owned(), header)
        })
        .collect();
    let expected = [("1", "t1", "1"), ("2", "t2", "2"), ("3", "t3", "3")];
    assert_eq!(asked, expected.map(|(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned())));
}

// T-24, DEV-22
#[tokio::test]
async fn a_closure_that_fails_is_a_failed_attempt_and_tried_again() {
    let (server, seen) = server().await;
    let mut attempt = 0;
    let _socket = quickly(server.url())
        .params_with(move || {
            attempt += 1;
            async move {
                match attempt {
                    1 => Err(io::Error::other("not yet").into()),
                    2 => panic!("not yet either"),
                    _ => Ok(json!({ "attempt": attempt })),
                }
            }
        })
        .connect()
        .await
        .unwrap();
    assert_eq!(seen.all().len(), 1);
    assert_eq!(seen.last().params()["attempt"], "3");
}

#[tokio::test]
async fn a_closure_that_says_stop_ends_the_attempts_with_its_own_error() {
    let (server, seen) = server().await;
    let logged_out = || async { Err::<String, BoxError>(Stop::new(io::Error::other("logged out")).into()) };
    let error = failure(quickly(server.url()).auth_token_with(logged_out)).await;
    let ConnectError::Provider(source) = &error else { panic!("{error:?}") };
    assert_eq!(source.downcast_ref::<io::Error>().unwrap().to_string(), "logged out");
    assert!(error.to_string().contains("logged out"));
    assert!(seen.all().is_empty());
}

// DEV-23, T-23
#[tokio::test]
async fn what_may_heal_is_tried_again() {
    for status in [404, 408, 429, 500, 502, 503, 302, 200] {
        let (server, _seen) = server().await;
        server.refuse_next(status, 2);
        let socket = quickly(server.url()).start().unwrap();
        let (_, cause) = waits_for(&socket).await;
        assert!(matches!(&*cause, ConnectError::Refused(refusal) if refusal.status() == status), "{cause:?}");
        assert!(socket.status().wait_for(Status::is_connected).await.is_some());
    }
    // With closures the next attempt may carry something else, and so may be let in.
    for status in [401, 403] {
        let (server, seen) = server().await;
        server.refuse_next(status, 2);
        let mut attempt = 0;
        let params = move || {
            attempt += 1;
            async move { Ok(json!({ "attempt": attempt })) }
        };
        let _socket = quickly(server.url()).params_with(params).connect().await.unwrap();
        assert_eq!(seen.last().params()["attempt"], "3");
    }
}

// DEV-23
#[tokio::test]
async fn values_that_are_refused_stop_the_socket_until_it_is_told_to_connect() {
    for status in [401, 403] {
        let (server, _seen) = server().await;
        server.refuse_next(status, 1);
        let socket = quickly(server.url()).start().unwrap();
        let stopped = socket.status().wait_for(|status| matches!(status, Status::Stopped { .. })).await;
        assert!(
            matches!(stopped, Some(Status::Stopped { cause }) if matches!(&*cause, ConnectError::Refused(refusal) if refusal.status() == status))
        );
        socket.connect().await.unwrap();
        assert!(socket.status().current().is_connected());
    }
}

// T-23
#[tokio::test]
async fn retry_after_is_obeyed_up_to_five_minutes() {
    let (server, _seen) = server().await;
    for (after, delay) in [("7", 7), ("86400", 300)] {
        server.refuse_next_with(Refuse::new(503).header("retry-after", after), 1);
        let socket = quickly(server.url()).start().unwrap();
        assert_eq!(waits_for(&socket).await.0, Duration::from_secs(delay));
    }
    for useless in ["-1", "soon", "", "Wed, 21 Oct 2015 07:28:00 GMT", "99999999999999999999999"] {
        server.refuse_next_with(Refuse::new(429).header("retry-after", useless), 1);
        let _socket = quickly(server.url()).connect().await.unwrap();
    }
}

#[tokio::test]
async fn of_a_refusals_body_64_kib_are_kept() {
    let (server, _seen) = server().await;
    server.refuse_next_with(Refuse::new(403).body(vec![b'x'; 1 << 20]), 1);
    let ConnectError::Refused(refusal) = failure(socket(server.url())).await else { panic!("another error") };
    assert_eq!(refusal.body().len(), 64 << 10);
}

// N-3
#[tokio::test]
async fn an_origin_is_checked_where_one_is_given() {
    let (server, _seen) = start(|builder| builder.check_origin(["good.example"])).await;
    let from = |origin: &str| socket(server.url()).header("origin", origin);
    let _good = from("https://good.example").connect().await.unwrap();
    let error = failure(from("https://evil.example")).await;
    assert!(matches!(error, ConnectError::Refused(refusal) if refusal.status() == StatusCode::FORBIDDEN));
}

// W-29, W-31, W-33
#[tokio::test]
async fn the_serializer_says_which_vsn_is_spoken() {
    struct Future;
    impl Serializer for Future {
        fn vsn(&self) -> &str {
            "3.0.0"
        }
        fn encode(&self, message: &Envelope) -> Result<Frame, phoenix_streams::EncodeError> {
            V2.encode(message)
        }
        fn decode(&self, frame: Frame) -> Result<Envelope, phoenix_streams::DecodeError> {
            V2.decode(frame)
        }
    }
    let (server, seen) = server().await;
    let error = failure(socket(server.url()).serializer(Future)).await;
    assert!(matches!(error, ConnectError::Refused(refusal) if refusal.status() == StatusCode::FORBIDDEN));
    assert!(seen.all().is_empty());
}

#[tokio::test]
async fn a_handshake_without_an_answer_is_given_up_in_time() {
    let (server, _seen) = server().await;
    server.misbehave(Fault::HangHandshake);
    let began = Instant::now();
    let socket = quickly(server.url()).connect_timeout(Duration::from_millis(50)).start().unwrap();
    let (_, cause) = waits_for(&socket).await;
    assert!(matches!(&*cause, ConnectError::Timeout), "{cause:?}");
    assert!(began.elapsed() >= Duration::from_millis(50));
    server.behave();
    assert!(socket.status().wait_for(Status::is_connected).await.is_some());
}

#[tokio::test]
async fn a_closure_without_an_answer_is_given_up_in_time() {
    let (server, seen) = server().await;
    let never = std::future::pending::<Result<Value, BoxError>>;
    let socket = quickly(server.url()).params_with(never).connect_timeout(Duration::from_millis(50)).start().unwrap();
    let (_, cause) = waits_for(&socket).await;
    assert!(matches!(&*cause, ConnectError::Timeout), "{cause:?}");
    assert!(seen.all().is_empty());
}
