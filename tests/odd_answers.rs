//! Odd answers to a handshake.

#[path = "support/raw.rs"]
mod raw;

use std::time::{Duration, Instant};

use phoenix_streams::{Backoff, Builder, ConnectError, Http, Socket, Status};
use tokio::time::timeout;

use raw::Raw;

fn builder(url: &str) -> Builder {
    let step = Backoff::steps([Duration::from_secs(60)]).jitter(false);
    Socket::builder(url).reconnect(step).http(Http::default().no_proxy())
}

async fn first_failure(builder: Builder) -> ConnectError {
    let socket = builder.start().unwrap();
    let ended = |status: &Status| matches!(status, Status::Waiting { .. } | Status::Stopped { .. });
    match socket.status().wait_for(ended).await {
        Some(Status::Waiting { cause, .. } | Status::Stopped { cause }) => (*cause).clone(),
        other => panic!("{other:?}"),
    }
}

/// A server on a thread of its own, which sends this for as long as it is taken.
fn flood(head: &'static str) -> String {
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        use std::io::{Read, Write};
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        tell.send(listener.local_addr().unwrap()).unwrap();
        let many = head.repeat(1_000);
        while let Ok((mut stream, _)) = listener.accept() {
            let _ = stream.read(&mut [0; 4096]);
            while stream.write_all(many.as_bytes()).is_ok() {}
        }
    });
    format!("ws://{}/socket", told.recv().unwrap())
}

// Law 12: informational answers without end are read as fast as they come, in one go, and nothing else has its turn.
#[tokio::test]
async fn an_endless_stream_of_informational_answers_leaves_others_their_turn() {
    let url = flood("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n");
    let socket = builder(&url).connect_timeout(Duration::from_secs(2)).start().unwrap();
    let mut late = Duration::ZERO;
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(1) {
        let due = ticks.tick().await;
        late = late.max(due.elapsed());
    }
    assert!(late < Duration::from_millis(200), "a timer of 10 ms was {late:?} late");
    timeout(Duration::from_secs(5), socket.close()).await.unwrap();
}

// README: "the server refuses, with any HTTP status but 101 | `Refused`, with status, headers and body".
#[tokio::test]
async fn a_refusal_with_many_headers_is_a_refusal() {
    let headers: String = (0..150).map(|number| format!("X-{number}: v\r\n")).collect();
    let server = Raw::answers(format!("HTTP/1.1 403 Forbidden\r\n{headers}Content-Length: 0\r\n\r\n")).await;
    let cause = first_failure(builder(&server.url)).await;
    assert!(matches!(cause, ConnectError::Refused(_)), "{cause:?}");
}
