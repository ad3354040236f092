//! Answers that are none to what was asked: what is told of them, and what comes next.

use std::sync::Arc;

use phoenix_streams::{ConnectError, Telemetry, json};

use super::{
    bed::{
        Bed,
        Next::{self, Stops, Waits},
        STEP,
    },
    scripted::{Kind, Scripted, Step, answer, json as says, messages},
};

const HTML: &str = "content-type: text/html\r\n";
const PAGE: &str = "<h1>no</h1>";

/// Why a session ended, or did not begin, whose request of this kind got this answer.
async fn outcome(kind: Kind, answer: Vec<u8>) -> (Arc<ConnectError>, Next) {
    if kind == Kind::Open {
        let server = Scripted::start().await;
        server.next(Kind::Open, Step::Says(answer));
        return Bed::before(server, |builder| builder.params(json!({ "user": 7 }))).failed().await;
    }
    let mut bed = Bed::open().await;
    bed.server.next(kind, Step::Says(answer));
    let room = bed.socket.channel("room:1");
    room.join(()).detach();
    if kind == Kind::Post {
        bed.server.asked(kind).await;
        bed.server.answer_polls();
    }
    bed.lost().await
}

async fn refused(kind: Kind, answer: Vec<u8>, status: u16, next: Next) {
    let text = String::from_utf8_lossy(&answer).into_owned();
    let (cause, came) = outcome(kind, answer).await;
    let ConnectError::Refused(refusal) = &*cause else { panic!("{kind:?}, {text}: {cause:?}") };
    assert_eq!((refusal.status().as_u16(), came), (status, next), "{kind:?}, {text}");
    assert!(!cause.to_string().contains("<h1>"));
}

// L-15, L-16, L-17, DEV-20, DEV-23
#[tokio::test]
async fn a_status_in_the_body_is_told_and_says_what_comes_next() {
    for (status, told, next) in [
        ("0", 200, Waits(STEP)),
        ("401", 401, Stops),
        ("403", 403, Stops),
        ("404", 404, Waits(STEP)),
        ("429", 429, Waits(STEP)),
        ("500", 500, Waits(STEP)),
        ("503", 503, Waits(STEP)),
        ("999", 999, Waits(STEP)),
        ("1234", 200, Waits(STEP)),
        ("99999999", 200, Waits(STEP)),
        ("-1", 200, Waits(STEP)),
        ("200.5", 200, Waits(STEP)),
        ("\"200\"", 200, Waits(STEP)),
        ("null", 200, Waits(STEP)),
        ("[200]", 200, Waits(STEP)),
    ] {
        for kind in [Kind::Open, Kind::Poll, Kind::Post] {
            refused(kind, says(format!(r#"{{"status":{status}}}"#)), told, next).await;
        }
    }
}

// L-17, L-18, T-23
#[tokio::test]
async fn retry_after_is_obeyed_whoever_says_it() {
    const LATER: &str = "retry-after: 7\r\n";
    for kind in [Kind::Open, Kind::Poll, Kind::Post] {
        for status in [429, 503] {
            let body = format!(r#"{{"status":{status}}}"#);
            refused(kind, answer("200 OK", LATER, &body), status, Waits(7)).await;
            refused(kind, answer(&format!("{status} Busy"), &format!("{LATER}{HTML}"), PAGE), status, Waits(7)).await;
        }
        refused(kind, answer("500 Broken", LATER, r#"{"status":500}"#), 500, Waits(STEP)).await;
    }
}

// L-16, L-18
#[tokio::test]
async fn a_body_that_is_no_answer_is_told_by_its_http_status() {
    for (status, body) in [
        ("200 OK", ""),
        ("200 OK", PAGE),
        ("200 OK", "{}"),
        ("200 OK", "null"),
        ("200 OK", "200"),
        ("200 OK", r#"{"status":200,"messages":["#),
        ("200 OK", r#"{"status":200,"messages":{}}"#),
        ("200 OK", r#"{"status":200,"messages":"[]"}"#),
        ("200 OK", r#"{"status":200,"token":7}"#),
        ("200 OK", r#"{"status":200}{"status":200}"#),
        ("204 No Content", ""),
        ("400 Bad Request", r#"{"error":"Bad Request"}"#),
        ("404 Not Found", PAGE),
        ("413 Too Large", PAGE),
        ("502 Bad Gateway", PAGE),
        ("503 Unavailable", ""),
        ("504 Gateway Timeout", PAGE),
    ] {
        for kind in [Kind::Open, Kind::Poll, Kind::Post] {
            refused(kind, answer(status, HTML, body), status[..3].parse().unwrap(), Waits(STEP)).await;
        }
    }
    for kind in [Kind::Open, Kind::Poll, Kind::Post] {
        refused(kind, answer("403 Forbidden", HTML, PAGE), 403, Stops).await;
        refused(kind, answer("200 OK", HTML, b"{\"status\":200,\"messages\":[\"\xff\"]}"), 200, Waits(STEP)).await;
    }
}

// L-18
#[tokio::test]
async fn the_status_in_the_body_counts_before_that_of_http() {
    for kind in [Kind::Open, Kind::Poll, Kind::Post] {
        refused(kind, answer("502 Bad Gateway", "", r#"{"status":403}"#), 403, Stops).await;
        refused(kind, answer("403 Forbidden", "", r#"{"status":500}"#), 500, Waits(STEP)).await;
    }
    let mut bed = Bed::open().await;
    let body = messages([r#"[null,null,"room:1","e",{}]"#]);
    let mut all = bed.socket.messages();
    bed.server.next(Kind::Poll, Step::Says(answer("500 Broken", "", body)));
    bed.server.asked(Kind::Poll).await;
    assert_eq!(&*futures::StreamExt::next(&mut all).await.unwrap().unwrap().event, "e");
}

// L-14, L-22
#[tokio::test]
async fn a_session_that_is_gone_is_followed_by_a_new_one() {
    for kind in [Kind::Poll, Kind::Post] {
        let mut bed =
            Bed::open_with(|builder| builder.reconnect(phoenix_streams::Backoff::steps([Default::default()]))).await;
        let room = bed.joined("room:1").await;
        bed.server.next(kind, Step::Says(says(r#"{"status":410,"token":"orphan","messages":["[]"]}"#)));
        let push = tokio::spawn(room.push("e", ()).into_future());
        let told = bed.telemetry_until(|told| matches!(told, Telemetry::Closed { .. })).await;
        let Some(Telemetry::Closed { cause, .. }) = told.last() else { unreachable!() };
        assert!(matches!(**cause, ConnectError::SessionGone), "{cause:?}");
        assert!(matches!(push.await.unwrap(), Err(phoenix_streams::PushError::Disconnected)));
        let open = bed.server.asked(Kind::Open).await;
        assert_eq!(open.line, "GET /socket/longpoll?vsn=2.0.0 HTTP/1.1");
        let poll = bed.server.asked(Kind::Poll).await;
        assert_eq!(poll.header("x-phoenix-longpoll-token"), Some("token-1"));
    }
}

// L-27, T-27
#[tokio::test]
async fn a_post_is_acknowledged_by_200_and_nothing_else() {
    for (status, told, next) in [("204", 204, Waits(STEP)), ("408", 408, Waits(STEP)), ("null", 200, Waits(STEP))] {
        refused(Kind::Post, says(format!(r#"{{"status":{status}}}"#)), told, next).await;
    }
    let (cause, next) = outcome(Kind::Post, says(r#"{"status":410}"#)).await;
    assert!(matches!(*cause, ConnectError::SessionGone) && next == Waits(STEP), "{cause:?}");
    let (cause, _) = outcome(Kind::Post, answer("500 Internal Server Error", HTML, PAGE)).await;
    assert!(matches!(&*cause, ConnectError::Refused(refusal) if refusal.status() == 500), "{cause:?}");
}

// L-32
#[tokio::test]
async fn a_poll_that_the_server_cannot_answer_is_told_for_what_it_most_often_is() {
    for body in [r#"{"error":"Internal Server Error"}"#, PAGE, ""] {
        let (cause, next) = outcome(Kind::Poll, answer("500 Internal Server Error", "", body)).await;
        let ConnectError::NotCarried(refusal) = &*cause else { panic!("{cause:?}") };
        assert_eq!((&refusal.body()[..], next), (body.as_bytes(), Waits(STEP)));
        assert!(cause.to_string().contains("binary message"), "{cause}");
    }
}

// DEV-23, T-29, law 11
#[tokio::test]
async fn a_refusal_is_kept_whole_but_for_what_holds_a_token() {
    let (cause, _) = outcome(Kind::Open, answer("404 Not Found", "x-node: n7\r\n", PAGE)).await;
    let ConnectError::Refused(refusal) = &*cause else { panic!("{cause:?}") };
    assert_eq!((&refusal.headers()["x-node"], &refusal.body()[..]), (&"n7".parse().unwrap(), PAGE.as_bytes()));
    let (cause, _) = outcome(Kind::Poll, says(r#"{"status":500,"token":"secret"}"#)).await;
    let ConnectError::Refused(refusal) = &*cause else { panic!("{cause:?}") };
    assert!(refusal.body().is_empty());
    for body in [
        r#"{"status":200,"token":"secret","messages":{}}"#,
        r#"{"status":70000,"token":"secret","messages":[]}"#,
        r#"{"status":410,"status":410,"token":"secret","messages":[]}"#,
        r#"{"status":200,"token" : "secret""#,
    ] {
        for kind in [Kind::Open, Kind::Poll, Kind::Post] {
            let (cause, _) = outcome(kind, says(body)).await;
            let ConnectError::Refused(refusal) = &*cause else { panic!("{cause:?}") };
            assert!(refusal.body().is_empty(), "{body}");
        }
    }
    let (cause, _) = outcome(Kind::Poll, answer("200 OK", HTML, "x".repeat(1 << 20))).await;
    let ConnectError::Refused(refusal) = &*cause else { panic!("{cause:?}") };
    assert_eq!(refusal.body().len(), 64 << 10);
}

// T-23, L-16
#[tokio::test]
async fn a_refusal_whose_body_is_cut_or_never_ends_or_is_compressed_is_a_refusal() {
    const HEAD: &str = "HTTP/1.1 503 Busy\r\nretry-after: 9\r\ncontent-length: 9000000\r\n";
    let cut = format!("{HEAD}\r\nas far as").into_bytes();
    let packed = format!("{HEAD}content-encoding: gzip\r\n\r\n\x1f").into_bytes();
    for kind in [Kind::Open, Kind::Poll, Kind::Post] {
        for step in [
            Step::Ends(cut.clone()),
            Step::Ends(packed.clone()),
            Step::Stalls(cut.clone()),
            Step::Floods(format!("{HEAD}\r\n").into(), vec![b'x'; 9_000]),
        ] {
            let server = Scripted::start().await;
            server.next(kind, step.clone());
            let mut bed = Bed::before(server, |builder| builder);
            let room = bed.socket.channel("room:1");
            room.join(()).detach();
            if kind == Kind::Post {
                bed.server.asked(kind).await;
                bed.server.answer_polls();
            }
            let (cause, next) = if kind == Kind::Open { bed.failed().await } else { bed.lost().await };
            let ConnectError::Refused(refusal) = &*cause else { panic!("{kind:?}: {cause:?}") };
            assert_eq!((refusal.status().as_u16(), next), (503, Waits(9)), "{kind:?}");
        }
    }
}
