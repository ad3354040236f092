//! Whatever says no to a handshake, the server or the way to it: what is told of it, and what comes next (law 9).

use std::{io::ErrorKind, sync::Arc, time::Duration};

use phoenix_streams::{Backoff, Builder, ConnectError, Http, Status, json};

use super::socket;
#[cfg(feature = "rustls")]
use crate::certificates::Authority;
use crate::raw::{Raw, closed_port, page};

/// What the backoff says after a first failure: long enough for the wait to be seen.
const STEP: u64 = 3;

/// What the socket does after a failure.
#[derive(Debug, PartialEq)]
enum Next {
    Stops,
    /// For this many seconds.
    Waits(u64),
}
use Next::{Stops, Waits};

fn builder(url: &str) -> Builder {
    let step = Backoff::steps([Duration::from_secs(STEP)]).jitter(false);
    socket(url).reconnect(step).http(Http::default().no_proxy())
}

/// The first failure, and what came of it.
async fn outcome(builder: Builder) -> (Arc<ConnectError>, Next) {
    let socket = builder.start().unwrap();
    let ended = |status: &Status| matches!(status, Status::Waiting { .. } | Status::Stopped { .. });
    match socket.status().wait_for(ended).await {
        Some(Status::Waiting { delay, cause, .. }) => (cause, Waits(delay.as_secs())),
        Some(Status::Stopped { cause }) => (cause, Stops),
        other => panic!("{other:?}"),
    }
}

/// With values and with a closure: what is told is the same.
async fn both(describe: impl Fn() -> Builder) -> (Arc<ConnectError>, [Next; 2]) {
    let (cause, fixed) = outcome(describe().params(json!({ "user": 7 }))).await;
    let (again, dynamic) = outcome(describe().params_with(|| async { Ok(json!({ "user": 7 })) })).await;
    assert_eq!(cause.to_string(), again.to_string());
    (cause, [fixed, dynamic])
}

// DEV-23, N-2, T-23
#[tokio::test]
async fn a_refusal_is_told_whole_and_its_status_says_what_comes_next() {
    let date = "Date: Wed, 21 Oct 2015 07:28:00 GMT\r\nRetry-After: Wed, 21 Oct 2015 07:28:40 GMT\r\n";
    for (status, headers, next, hint) in [
        ("401 Unauthorized", "", [Stops, Waits(STEP)], "these params, token or headers"),
        ("403 Forbidden", "", [Stops, Waits(STEP)], "these params, token or headers"),
        // Whoever is refused for what it is is not let in for having waited.
        ("403 Forbidden", "Retry-After: 7\r\n", [Stops, Waits(STEP)], "these params, token or headers"),
        ("404 Not Found", "", [Waits(STEP), Waits(STEP)], "no socket at this URL"),
        ("429 Too Many Requests", "", [Waits(STEP), Waits(STEP)], "come back later"),
        ("429 Too Many Requests", "Retry-After: 7\r\n", [Waits(7), Waits(7)], "come back later"),
        ("500 Internal Server Error", "", [Waits(STEP), Waits(STEP)], "HTTP 500"),
        ("500 Internal Server Error", "Retry-After: 7\r\n", [Waits(STEP), Waits(STEP)], "HTTP 500"),
        ("502 Bad Gateway", "Content-Type: text/html\r\n", [Waits(STEP), Waits(STEP)], "does not reach the server"),
        ("503 Service Unavailable", "", [Waits(STEP), Waits(STEP)], "come back later"),
        ("503 Service Unavailable", "Retry-After: 7\r\n", [Waits(7), Waits(7)], "come back later"),
        ("503 Service Unavailable", "Retry-After: 1\r\n", [Waits(STEP), Waits(STEP)], "come back later"),
        ("503 Service Unavailable", "Retry-After: 86400\r\n", [Waits(300), Waits(300)], "come back later"),
        ("503 Service Unavailable", date, [Waits(40), Waits(40)], "come back later"),
        ("200 OK", "Content-Type: text/html\r\n", [Waits(STEP), Waits(STEP)], "is not the protocol's"),
    ] {
        let server = Raw::answers(page(status, headers)).await;
        let (cause, came) = both(|| builder(&server.url)).await;
        let ConnectError::Refused(refusal) = &*cause else { panic!("{status}: {cause:?}") };
        assert!(status.starts_with(refusal.status().as_str()), "{status}: {cause}");
        assert_eq!(refusal.headers()["x-node"], "n7");
        assert_eq!(&refusal.body()[..], b"<h1>no</h1>\r\n");
        assert!(cause.to_string().contains(hint) && !cause.to_string().contains("<h1>"), "{cause}");
        assert_eq!(came, next, "{status}, {headers}");
        assert_eq!(server.connections(), 2);
    }
}

// DEV-23
#[tokio::test]
async fn a_redirect_is_told_and_not_followed() {
    let elsewhere = Raw::answers("").await;
    for status in ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let location = format!("http://{}/socket/websocket", elsewhere.address);
        let server = Raw::answers(page(status, &format!("Location: {location}\r\n"))).await;
        let (cause, next) = both(|| builder(&server.url)).await;
        let ConnectError::Refused(refusal) = &*cause else { panic!("{status}: {cause:?}") };
        assert_eq!(refusal.headers()["location"], *location);
        assert!(cause.to_string().contains("redirects are not followed"), "{cause}");
        assert_eq!(next, [Waits(STEP), Waits(STEP)]);
        assert_eq!((server.connections(), elsewhere.connections()), (2, 0));
    }
}

// DEV-23
#[tokio::test]
async fn a_refusal_whose_body_is_cut_is_a_refusal() {
    for (status, next) in [("403 Forbidden", [Stops, Waits(STEP)]), ("503 Busy", [Waits(9), Waits(9)])] {
        let cut = format!("HTTP/1.1 {status}\r\nRetry-After: 9\r\nContent-Length: 9000\r\n\r\nas far as");
        let server = Raw::answers(cut).await;
        let (cause, came) = both(|| builder(&server.url)).await;
        let ConnectError::Refused(refusal) = &*cause else { panic!("{status}: {cause:?}") };
        assert_eq!(&refusal.body()[..], b"as far as");
        assert_eq!(came, next);
    }
}

// S-12, T-14
#[tokio::test]
async fn a_connection_that_ends_inside_the_handshake_is_told_apart() {
    for part in [
        "",
        "HTTP/1.1 10",
        "HTTP/1.1 101 Switching Protocols\r\nUpgra",
        "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n",
    ] {
        let server = Raw::answers(part).await;
        let (cause, next) = both(|| builder(&server.url)).await;
        assert!(matches!(*cause, ConnectError::HandshakeCut(_)), "{part:?}: {cause:?}");
        assert_eq!(next, [Waits(STEP), Waits(STEP)]);
    }
    let server = Raw::resets().await;
    let (cause, next) = both(|| builder(&server.url)).await;
    assert!(matches!(*cause, ConnectError::HandshakeCut(_)), "{cause:?}");
    assert_eq!(cause.io_kind(), Some(ErrorKind::ConnectionReset));
    assert_eq!(next, [Waits(STEP), Waits(STEP)]);
}

#[cfg(feature = "rustls")]
#[tokio::test]
async fn a_connection_that_ends_inside_the_handshake_of_tls_is_one_too() {
    for read in [1, 16_384] {
        let server = Raw::reads(read).await;
        let url = format!("wss://{}/socket", server.address);
        let http = Http::default().no_proxy().no_system_roots().root_certificate(Authority::new().pem());
        let (cause, next) = both(|| builder(&url).http(http.clone())).await;
        assert!(matches!(*cause, ConnectError::HandshakeCut(_)), "{cause:?}");
        assert_eq!(next, [Waits(STEP), Waits(STEP)]);
    }
}

// T-31
#[tokio::test]
async fn an_answer_that_is_none_is_told_apart() {
    let server = Raw::answers("SSH-2.0-OpenSSH_9.9\r\n").await;
    let (cause, next) = both(|| builder(&server.url)).await;
    assert!(matches!(&*cause, ConnectError::Handshake(_)), "{cause:?}");
    assert!(cause.to_string().contains("it cannot be read as HTTP"), "{cause}");
    assert_eq!(next, [Waits(STEP), Waits(STEP)]);
}

#[tokio::test]
async fn a_closed_port_is_told_apart() {
    let address = closed_port().await;
    let (cause, next) = both(|| builder(&format!("ws://{address}/socket"))).await;
    assert!(matches!(*cause, ConnectError::Unreachable(_)), "{cause:?}");
    assert_eq!(cause.io_kind(), Some(ErrorKind::ConnectionRefused));
    assert!(cause.to_string().contains(&address), "{cause}");
    assert_eq!(next, [Waits(STEP), Waits(STEP)]);
}

/// Where the machine's resolver itself does not answer, the connect timeout ends the attempt.
#[tokio::test]
async fn a_host_that_does_not_resolve_is_told_apart() {
    let (cause, next) = both(|| builder("ws://nowhere.invalid/socket").connect_timeout(Duration::from_secs(5))).await;
    match &*cause {
        ConnectError::Unresolved(_) => assert!(cause.to_string().contains("nowhere.invalid"), "{cause}"),
        other => assert!(matches!(other, ConnectError::Timeout), "{other:?}"),
    }
    assert_eq!(next, [Waits(STEP), Waits(STEP)]);
}

#[tokio::test]
async fn a_port_that_says_nothing_costs_the_connect_timeout() {
    let silent = Raw::is_silent().await;
    let (cause, next) = both(|| builder(&silent.url).connect_timeout(Duration::from_millis(100))).await;
    assert!(matches!(*cause, ConnectError::Timeout), "{cause:?}");
    assert_eq!(next, [Waits(STEP), Waits(STEP)]);
}
