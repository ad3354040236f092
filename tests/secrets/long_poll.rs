//! Over long-poll, whose sessions go by a secret of their own; and over either transport.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use phoenix_streams::{BoxTransport, Http, LongPoll, Status, WebSocket, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    network::{SILENCE, failing, run_over, server},
    planted::{PROXY, SESSION},
    raw::{Raw, page},
    shown::{Shown, recorder},
    socket::{Given, Nosy, describe},
};

fn either() -> [BoxTransport; 2] {
    let threshold = Duration::from_millis(100);
    [LongPoll::default().boxed(), WebSocket::default().or(LongPoll::default()).threshold(threshold).boxed()]
}

// U-18, DEV-3, G-4, T-29
#[tokio::test]
async fn t_29_no_secret_is_shown_by_sockets_over_long_poll() {
    recorder();
    let shown = Shown::default();
    let good = server(true).await;
    let direct = || Http::default().no_proxy();
    for transport in either() {
        for given in [Given::Values, Given::Closures] {
            assert!(run_over(&shown, "all is well", good.url(), given, direct(), transport.clone()).await);
        }
        for given in Given::failing() {
            assert!(!run_over(&shown, "a closure fails", good.url(), given, direct(), transport.clone()).await);
        }
    }
    for (case, place) in failing().await {
        // Where a WebSocket's token is not asked for, long-poll opens.
        let opens = case == "the token is not asked for";
        for transport in either() {
            let opened = run_over(&shown, case, &place.url(), Given::Values, direct(), transport.clone()).await;
            assert!(!opened || opens, "{case}");
        }
    }
    shown.holds_none();
}

/// A proxy that takes requests whole, and not these credentials.
#[tokio::test]
async fn t_29_no_secret_is_shown_by_sockets_whose_requests_go_through_a_proxy() {
    recorder();
    let shown = Shown::default();
    for (case, status) in [("not these", "407 Proxy Authentication Required"), ("nothing behind it", "502 Bad Gateway")]
    {
        let proxy = Raw::answers(page(status, "")).await;
        let http = Http::default().proxy(format!("http://ann:{}@{}", PROXY.text, proxy.address));
        let url = "ws://chat.example/socket";
        assert!(!run_over(&shown, case, url, Given::Values, http, LongPoll::default()).await);
    }
    shown.holds_none();
}

/// Reads requests, and gives the first a session and the others this answer.
async fn ending(answer: String) -> Raw {
    let asked = Arc::new(AtomicUsize::new(0));
    let opened = json!({ "status": 410, "token": SESSION.text, "messages": [] }).to_string();
    Raw::serve(move |mut stream| {
        let (answer, opened, asked) = (answer.clone(), opened.clone(), asked.clone());
        async move {
            while read_request(&mut stream).await.is_some() {
                let first = asked.fetch_add(1, Ordering::Relaxed) == 0;
                let answer = if first { ok(&opened) } else { answer.clone() };
                if stream.write_all(answer.as_bytes()).await.is_err() || answer.is_empty() {
                    break;
                }
            }
        }
    })
    .await
}

async fn read_request(stream: &mut TcpStream) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    Some(())
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

// L-11, T-29
#[tokio::test]
async fn t_29_nor_is_the_token_of_a_session_however_that_ends() {
    recorder();
    let shown = Shown::default();
    let protocol = |status: u64| ok(&json!({ "status": status, "token": SESSION.text, "messages": [] }).to_string());
    for (case, answer) in [
        ("gone", protocol(410)),
        ("refused", protocol(403)),
        ("crashed", protocol(500)),
        ("unknown", protocol(299)),
        ("a page", page("502 Bad Gateway", "")),
        ("cut", String::new()),
        (
            "no text among the messages",
            ok(&json!({ "status": 200, "token": SESSION.text, "messages": [1] }).to_string()),
        ),
        (
            "another token that cannot be sent",
            ok(&json!({ "status": 204, "token": format!("{}\n", SESSION.text) }).to_string()),
        ),
    ] {
        let place = ending(answer).await;
        let transport = Nosy(LongPoll::default(), shown.clone());
        let socket = describe(&place.url, Given::Values).http(Http::default().no_proxy()).transport(transport).start();
        let socket = socket.unwrap();
        let mut telemetry = socket.telemetry();
        let mut status = socket.status();
        let ended = status.wait_for(|status| matches!(status, Status::Waiting { .. } | Status::Stopped { .. })).await;
        let Some(Status::Waiting { cause, .. } | Status::Stopped { cause }) = ended else {
            panic!("{case}: {ended:?}")
        };
        shown.error(case, &*cause);
        socket.close().await;
        while let Some(told) = futures::StreamExt::next(&mut telemetry).await {
            shown.debug(case, &told);
        }
    }
    shown.holds_none();
}

#[tokio::test]
async fn t_29_nor_while_a_session_opens_in_silence() {
    recorder();
    let shown = Shown::default();
    let silent = Raw::is_silent().await;
    for transport in either() {
        let http = Http::default().no_proxy();
        assert!(!run_over(&shown, SILENCE, &silent.url, Given::Values, http, transport).await);
    }
    shown.holds_none();
}
