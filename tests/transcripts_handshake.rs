//! Replays the handshakes of a real Phoenix against the embedded server.
//!
//! Left out of `d.txt`: `vsn` 1.0.0 (or none), a second error handler, path params, compression.

#[path = "transcripts/app.rs"]
mod app;
#[path = "transcripts/client.rs"]
mod client;

use std::sync::Arc;

use phoenix_streams::testing::Server;
use tokio::sync::Semaphore;

const D: &str = include_str!("transcripts/d.txt");
const HEARTBEAT: &str = r#"[null,"1","phoenix","heartbeat",{}]"#;

#[derive(Debug, Default, PartialEq)]
struct Answer {
    status: String,
    headers: Vec<String>,
    body: String,
    first_frame: Option<String>,
}

// N-2, N-3, W-29
#[tokio::test]
async fn transcript_d() {
    let app = || app::app(&Arc::new(Semaphore::new(0)));
    let socket = app().auth_token(true).start().await.unwrap();
    let strict = app().mount("/strict").check_origin(["example.test"]).start().await.unwrap();
    let noauth = app().mount("/noauth").start().await.unwrap();
    let mut replayed = 0;
    for case in D.split("#### ").filter(|case| !case.is_empty()) {
        let (title, case) = case.split_once('\n').unwrap();
        if title == "POST to websocket path" {
            post(&socket, case).await;
            continue;
        }
        let (request, answer) = case.split_once("-> ").unwrap();
        let server = match request.split('/').nth(1).unwrap() {
            "strict" => &strict,
            "noauth" => &noauth,
            _ => &socket,
        };
        assert_eq!(ask(server, &request_of(request)).await, expected(answer), "{title}");
        replayed += 1;
    }
    assert_eq!(replayed, 29);
}

async fn post(server: &Server, answer: &str) {
    let request = "POST /socket/websocket?vsn=2.0.0 HTTP/1.1\nhost: localhost\ncontent-length: 0";
    let got = ask(server, request).await;
    assert_eq!(format!("-> {} b'{}'", got.status, got.body), answer.trim_end());
}

/// The transcript names only what differs from a plain handshake; `None` takes a header away.
fn request_of(told: &str) -> String {
    let mut lines = told.lines();
    let mut headers = vec![
        ("Host", "127.0.0.1"),
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Key", "P/ccD8kn4vKFEezkpoN90A=="),
        ("Sec-WebSocket-Version", "13"),
    ];
    let first = format!("{} HTTP/1.1", lines.next().unwrap());
    for (name, value) in lines.map(|line| line.trim().split_once(": ").unwrap()) {
        headers.retain(|(other, _)| *other != name);
        headers.push((name, value));
    }
    let headers = headers.iter().filter(|(_, value)| *value != "None");
    headers.fold(first, |request, (name, value)| format!("{request}\n{name}: {value}"))
}

fn expected(told: &str) -> Answer {
    let mut lines = told.lines().map(str::trim);
    let mut answer = Answer { status: lines.next().unwrap().to_owned(), ..Answer::default() };
    for line in lines {
        if let Some(body) = line.strip_prefix("body: ") {
            answer.body = body[1..body.len() - 1].replace("\\'", "'");
        } else if let Some(frame) = line.strip_prefix("first frame: ") {
            answer.first_frame = Some(frame.to_owned());
        } else {
            answer.headers.push(line.to_owned());
        }
    }
    answer.headers = comparable(&answer.headers);
    answer
}

async fn ask(server: &Server, request: &str) -> Answer {
    let (mut stream, head) = client::http(server.url(), request).await;
    let mut lines = head.lines().filter(|line| !line.is_empty()).map(str::to_owned);
    let status = lines.next().unwrap();
    let headers: Vec<String> = lines.collect();
    let len = headers.iter().find_map(|header| header.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
    let body = client::read(&mut stream, len).await;
    let mut first_frame = None;
    if status.contains(" 101 ") {
        let mut client = client::Client::over(stream).await;
        client.send(HEARTBEAT).await;
        first_frame = Some(client.next().await);
    }
    Answer { status, headers: comparable(&headers), body, first_frame }
}

/// Sorted, without the date, and without the key's answer, whose question the transcript does not tell.
fn comparable(headers: &[String]) -> Vec<String> {
    let mut headers: Vec<String> = headers.iter().filter(|header| !header.starts_with("date: ")).cloned().collect();
    for accept in headers.iter_mut().filter(|header| header.starts_with("sec-websocket-accept: ")) {
        accept.truncate("sec-websocket-accept".len());
    }
    headers.sort();
    headers
}
