//! Replays what a real Phoenix answered over long-poll, against the embedded server: byte for byte but for tokens, pids,
//! ports and presences' refs.
//!
//! Windows and timeouts are a fraction of those recorded, as are the times at which answers must not have come yet.
//! What the files tell in prose is coded here. Some sections are [left out](LEFT_OUT), as are a WebSocket's idle timeouts
//! in `i.txt`, which `transcripts_endings` has.

#[path = "transcripts/app.rs"]
mod app;
#[path = "transcripts/client.rs"]
mod client;
#[path = "transcripts/polls.rs"]
mod polls;
#[path = "transcripts/refs.rs"]
mod refs;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures::future::join_all;
use phoenix_streams::{
    json,
    testing::{Server, ServerBuilder},
};
use tokio::{
    io::AsyncReadExt,
    net::TcpStream,
    sync::Semaphore,
    task::yield_now,
    time::{sleep, timeout},
};

use client::{Client, without_ports};
use polls::{Answer, Line, ask};
use refs::Refs;

const G: &str = include_str!("transcripts/g.txt");
const H: &str = include_str!("transcripts/h.txt");
const I: &str = include_str!("transcripts/i.txt");

/// How much of a second goes by here for one that was recorded.
const SECOND: Duration = Duration::from_millis(300);
/// How much later than recorded an answer may come on a busy machine.
const LATE: Duration = Duration::from_secs(10);

const OPEN: &str = "GET /socket/longpoll?vsn=2.0.0";
const OPEN_FAST: &str = "GET /fast/longpoll?vsn=2.0.0";
const PROBE: &[u8] = br#"[null,"9","phoenix","heartbeat",{}]"#;
const PROBED: &str = r#"[null,"9","phoenix","phx_reply",{"response":{},"status":"ok"}]"#;

const BODIES: [&str; 3] = ["20.", "21.", "22."];
const SESSIONS: [&str; 6] = ["23.", "24.", "25.", "26.", "26b.", "27."];
const JOINS: [&str; 7] = ["28.", "28b.", "28c.", "30.", "32.", "33.", "34."];

/// And why.
const LEFT_OUT: [(&str, &str); 2] = [("29.", "there is no vsn 1.0.0 here"), ("31.", "a server here has one mount")];

/// One of a file: its title, and its lines.
type Section = (&'static str, Vec<&'static str>);

fn sections(transcript: &'static str) -> Vec<Section> {
    let sections = transcript.split("#### ").filter(|section| !section.is_empty()).map(|section| {
        let (title, lines) = section.split_once('\n').unwrap();
        (title, lines.lines().filter(|line| !line.is_empty()).collect())
    });
    sections.collect()
}

fn lines(transcript: &'static str, title: &str) -> Vec<&'static str> {
    let found = sections(transcript).into_iter().find(|(name, _)| name.starts_with(title));
    found.unwrap_or_else(|| panic!("no section {title}")).1
}

/// A request and its answer, as recorded.
#[derive(Debug, Default)]
struct Exchange {
    request: String,
    body: Vec<u8>,
    after: Duration,
    /// Without its headers, where none were recorded.
    answer: Answer,
}

/// `> ` and what was sent, `< ` and what came; further lines are indented. `   [..]` is a comment.
fn exchanges(lines: &[&str]) -> Vec<Exchange> {
    let mut all: Vec<Exchange> = Vec::new();
    for line in lines {
        let (line, _comment) = line.rsplit_once("   [").unwrap_or((line, ""));
        let last = all.last_mut();
        if let Some(body) = line.strip_prefix(">   body: '") {
            let (body, _comment) = body.rsplit_once('\'').unwrap();
            last.unwrap().body = body.replace("\\n", "\n").replace("\\r", "\r").into_bytes();
        } else if let Some(header) = line.strip_prefix(">   ") {
            let request = &mut last.unwrap().request;
            *request = format!("{request}\n{header}");
        } else if let Some(request) = line.strip_prefix("> ") {
            all.push(Exchange { request: request.to_owned(), ..Exchange::default() });
        } else if let Some(line) = line.strip_prefix("<   ") {
            let answer = &mut last.unwrap().answer;
            let header = line.starts_with(|c: char| c.is_ascii_lowercase()) && line.contains(": ");
            if header { answer.headers.push(line.to_owned()) } else { answer.body = line.to_owned() }
        } else if let Some((status, after)) = line.strip_prefix("< ").and_then(|line| line.split_once("   (+")) {
            let exchange = last.unwrap();
            exchange.answer.status = status.to_owned();
            exchange.after = SECOND.mul_f64(after.trim_end_matches("s)").parse().unwrap());
        } else {
            panic!("not a line of a transcript: {line}");
        }
    }
    all.iter_mut().for_each(|exchange| exchange.answer.headers.sort());
    all
}

/// Asks, and the answer must be the same, no sooner.
async fn replay(server: &Server, token: &str, exchange: &Exchange) -> Answer {
    let request = exchange.request.replace("<TOKEN>", token).replace("SFMyNTY.g2gD…", token);
    let asked = Instant::now();
    let answer = timeout(exchange.after + LATE, ask(server.url(), &request, &exchange.body)).await;
    let answer = answer.unwrap_or_else(|_| panic!("no answer in time: {exchange:?}"));
    // They are recorded to a hundredth, and answers at once not at all.
    assert!(asked.elapsed() + SECOND / 20 >= exchange.after, "after {:?}: {exchange:?}", asked.elapsed());
    same(&answer, &exchange.answer);
    answer
}

fn same(answer: &Answer, recorded: &Answer) {
    assert_eq!(answer.status, recorded.status);
    if !recorded.headers.is_empty() {
        assert_eq!(answer.headers, recorded.headers);
    }
    let body = shortened(&answer.body);
    match recorded.body.strip_suffix(" chars)").and_then(|body| body.split_once("… (")) {
        Some((beginning, _len)) => assert!(body.starts_with(&without_ports(beginning)), "{body}\n{beginning}"),
        None => {
            let (mut live, mut then) = (Refs::default(), Refs::default());
            assert_eq!(live.named(&body), then.named(&without_ports(&recorded.body)));
        }
    }
}

/// As the files have tokens.
fn shortened(body: &str) -> String {
    let body = without_ports(body);
    match body.split_once(r#","token":""#) {
        Some((rest, token)) => {
            let token = token.trim_end_matches("\"}");
            format!(r#"{rest},"token":"{}…({} chars)"}}"#, &token[..12], token.len())
        }
        None => body,
    }
}

async fn replay_all(server: &Server, token: &str, lines: &[&str]) {
    for exchange in exchanges(lines) {
        replay(server, token, &exchange).await;
    }
}

async fn open(server: &Server, request: &str) -> String {
    ask(server.url(), request, b"").await.token()
}

/// POSTs these lines to the session.
async fn post(server: &Server, path: &str, token: &str, body: &[u8]) -> Answer {
    let request = format!("POST {path}?token={token}\nContent-Type: application/x-ndjson");
    ask(server.url(), &request, body).await
}

/// A session that has joined this topic, and heard so.
async fn joined(server: &Server, topic: &str) -> String {
    let token = open(server, OPEN_FAST).await;
    let join = format!(r#"["1","1","{topic}","phx_join",{{}}]"#);
    assert_eq!(post(server, "/fast/longpoll", &token, join.as_bytes()).await.body, r#"{"status":200}"#);
    let polled = ask(server.url(), &format!("GET /fast/longpoll?token={token}"), b"").await;
    assert!(polled.body.contains("phx_reply"), "{polled:?}");
    token
}

/// Loopback delivers at once, and the server runs in this thread: it has dealt with what was sent before.
async fn settle() {
    for _ in 0..100 {
        yield_now().await;
    }
}

fn socket(gate: &Arc<Semaphore>) -> ServerBuilder {
    app::app(gate).auth_token(true).window(10 * SECOND)
}

async fn fast(gate: &Arc<Semaphore>) -> Server {
    let server = app::app(gate).mount("/fast").window(SECOND).pubsub_timeout(2 * SECOND);
    server.start().await.unwrap()
}

fn shut() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(0))
}

// L-6, L-10, L-12, L-13, L-32
#[tokio::test]
async fn transcript_g() {
    let gate = shut();
    // Nothing here looks for a session that is gone.
    let server = socket(&gate).pubsub_timeout(2 * LATE).start().await.unwrap();
    let mut token = String::new();
    for (title, lines) in sections(G) {
        match title.split_once(' ').unwrap().0 {
            "1." => token = first(&server, &lines).await,
            "4b." => {
                let all = exchanges(&lines);
                for exchange in &all[..2] {
                    replay(&server, &token, exchange).await;
                }
                let slow = Exchange { after: Duration::ZERO, ..exchanges(&lines).pop().unwrap() };
                let ready = async {
                    settle().await;
                    gate.add_permits(1);
                };
                tokio::join!(replay(&server, &token, &slow), ready);
            }
            "6." => {
                let late = async {
                    sleep(SECOND.mul_f64(0.7)).await;
                    server.broadcast("echo:lp", "late", json!({ "data": "", "i": 1 }));
                };
                tokio::join!(replay_all(&server, &token, &lines), late);
            }
            "12." => {
                let strict = app::app(&gate).mount("/strict").check_origin(["example.test"]).start().await.unwrap();
                replay_all(&strict, "", &lines).await;
            }
            "13." => {
                let (most, without) = lines.split_at(lines.len() - 3);
                replay_all(&server, &token, most).await;
                let default = app::app(&gate).mount("/default").long_poll(false).start().await.unwrap();
                replay_all(&default, "", without).await;
            }
            "14." => {
                let token = open(&server, &format!("{OPEN}\nX-Phoenix-AuthToken: tok-1")).await;
                replay_all(&server, &token, &lines).await;
            }
            _ => replay_all(&server, &token, &lines).await,
        }
    }
}

async fn first(server: &Server, lines: &[&str]) -> String {
    let (sample, lines) = lines.split_last().unwrap();
    let token = replay(server, "", &exchanges(lines)[0]).await.token();
    // What follows is the endpoint's.
    let alike = token.bytes().zip(sample.trim_start_matches("token sample: ").bytes()).take_while(|(a, b)| a == b);
    assert!(alike.count() >= "SFMyNTY.g2gDaARkAAJ2MW0AAAAW".len(), "{token}");
    token
}

#[test]
fn every_section_of_transcript_h_is_replayed_or_left_out() {
    let named = LEFT_OUT.iter().map(|(title, _why)| *title).chain(BODIES).chain(SESSIONS).chain(JOINS);
    let mut named: Vec<_> = named.collect();
    let mut titles: Vec<_> = sections(H).iter().map(|(title, _)| title.split_once(' ').unwrap().0).collect();
    named.sort();
    titles.sort();
    assert_eq!(named, titles);
}

// L-25, L-26, L-27, L-29, L-34
#[tokio::test]
async fn transcript_h_bodies() {
    let server = fast(&shut()).await;
    for title in BODIES {
        let lines = lines(H, title);
        match title {
            "20." => {
                let all = exchanges(&lines);
                // A POST and the poll after it, on a session of their own.
                join_all(all.chunks(2).map(|both| fresh(&server, both))).await;
            }
            "21." => batch(&server, &lines).await,
            _ => sizes(&lines).await,
        }
    }
}

async fn fresh(server: &Server, exchanges: &[Exchange]) {
    let token = open(server, OPEN_FAST).await;
    for exchange in exchanges {
        replay(server, &token, exchange).await;
    }
}

/// Its body is cut short in the file, and its messages are counted.
async fn batch(server: &Server, lines: &[&str]) {
    let (counted, lines) = lines.split_last().unwrap();
    let mut posted = exchanges(lines).remove(0);
    let beats: Vec<_> = (0..150).map(|n| format!(r#"[null,"{n}","phoenix","heartbeat",{{}}]"#)).collect();
    let body = beats.join("\n");
    let told = String::from_utf8(posted.body).unwrap();
    let (beginning, len) = told.trim_end_matches(')').split_once("…(").unwrap();
    assert!(body.starts_with(beginning) && body.len() == len.parse::<usize>().unwrap());
    posted.body = body.into_bytes();
    let token = open(server, OPEN_FAST).await;
    replay(server, &token, &posted).await;
    let polled = ask(server.url(), &format!("{OPEN_FAST}&token={token}"), b"").await.body;
    let polled: serde_json::Value = serde_json::from_str(&polled).unwrap();
    let messages = polled["messages"].as_array().unwrap();
    let last = messages.last().unwrap().as_str().unwrap();
    assert_eq!(format!("GET -> {} {} messages; last {last}", polled["status"], messages.len()), *counted);
}

/// `POST 9 MB -> status b'body'`, and a poll.
async fn sizes(lines: &[&str]) {
    // In a debug build they take their time.
    let server = &app::app(&shut()).mount("/fast").window(5 * SECOND).start().await.unwrap();
    let token = open(server, OPEN_FAST).await;
    for case in lines.chunks(4) {
        let (size, told) = case[0].trim_start_matches("POST ").split_once(" MB -> ").unwrap();
        let padding = "x".repeat(size.parse::<usize>().unwrap() * 1_000_000);
        let beat = format!(r#"[null,"1","phoenix","heartbeat",{{"p":"{padding}"}}]"#);
        let answer = post(server, "/fast/longpoll", &token, beat.as_bytes()).await;
        assert_eq!(format!("{} b'{}'", answer.status, answer.body), told);
        replay_all(server, &token, &case[1..]).await;
    }
}

// L-14, L-31, L-36, L-37
#[tokio::test]
async fn transcript_h_sessions() {
    join_all(SESSIONS.map(|title| async move {
        // What ends one session ends all of its server.
        let server = fast(&shut()).await;
        let lines = lines(H, title);
        match title {
            "23." => inactive(&server, &lines).await,
            "24." => two_polls(&server, &lines).await,
            "25." => given_up(&server, &lines).await,
            "26." => dropped(&server, &lines).await,
            "26b." => {
                let token = joined(&server, "room:x").await;
                server.broadcast("room:x", "lost", json!({}));
                end(&server, || server.close_all(1001)).await;
                replay_all(&server, &token, &lines).await;
            }
            _ => {
                let token = joined(&server, "room:x").await;
                end(&server, || server.drop_connections()).await;
                replay_all(&server, &token, &lines).await;
            }
        }
    }))
    .await;
}

async fn end(server: &Server, end: impl Fn()) {
    end();
    server.wait_for_connections(0).await;
}

/// `+0.5s POST -> {'status': 200}`: when it was answered.
async fn inactive(server: &Server, lines: &[&str]) {
    let (posts, poll) = lines.split_at(lines.len() - 3);
    let token = open(server, OPEN_FAST).await;
    let (last, alive) = posts.split_last().unwrap();
    for told in alive {
        let answer = post(server, "/fast/longpoll", &token, PROBE).await;
        assert!(told.ends_with(&answer.body.replace('"', "'").replace(':', ": ")), "{told}: {answer:?}");
        sleep(SECOND / 2).await;
    }
    // It dies at the third window's end, and the last is answered only once that is known.
    server.wait_for_connections(0).await;
    let gone = post(server, "/fast/longpoll", &token, PROBE).await;
    assert!(last.ends_with("{'status': 410}") && gone.body == r#"{"status":410}"#, "{gone:?}");
    replay_all(server, &token, poll).await;
}

async fn two_polls(server: &Server, lines: &[&str]) {
    let token = open(server, OPEN_FAST).await;
    let request = format!("{OPEN_FAST}&token={token}");
    let asked = Instant::now();
    let newer = async {
        settle().await;
        let posted = async {
            settle().await;
            post(server, "/fast/longpoll", &token, PROBE).await
        };
        tokio::join!(ask(server.url(), &request, b""), posted).0
    };
    let older = async {
        let older = ask(server.url(), &request, b"").await;
        assert!(asked.elapsed() >= SECOND, "{:?}", asked.elapsed());
        older
    };
    let (older, newer) = tokio::join!(older, newer);
    assert_eq!(lines, [format!("{{'B': (0.2, 200, ['{PROBED}']), 'A': (1.0, 204, [])}}")]);
    let told = format!(r#"{{"messages":[{}],"status":200"#, json!(PROBED));
    assert_eq!((newer.told(), older.told()), (&*told, r#"{"messages":[],"status":204"#));
}

/// `gap 0.2 next poll -> body +0.00s`: how long after the poll was given up the first message came.
async fn given_up(server: &Server, lines: &[&str]) {
    for told in lines {
        let (gap, body) = told.trim_start_matches("gap ").split_once(" next poll -> ").unwrap();
        let token = joined(server, "room:ab").await;
        let mut line = Line::to(server.url()).await;
        line.send(&format!("{OPEN_FAST}&token={token}"), b"").await;
        settle().await;
        drop(line);
        sleep(SECOND.mul_f64(gap.parse().unwrap())).await;
        server.broadcast("room:ab", "first", json!({ "data": "", "i": 1 }));
        settle().await;
        server.broadcast("room:ab", "second", json!({ "data": "", "i": 1 }));
        let next = ask(server.url(), &format!("{OPEN_FAST}&token={token}"), b"").await;
        assert_eq!(format!("{} +0.00s", shortened(&next.body)), body);
    }
}

/// Between polls, then during one.
async fn dropped(server: &Server, lines: &[&str]) {
    let (between, during) = lines.split_at(8);
    let token = joined(server, "room:x").await;
    end(server, || server.close_all(1001)).await;
    let gone = exchanges(between);
    join_all(gone.iter().map(|exchange| replay(server, &token, exchange))).await;

    let token = joined(server, "room:x").await;
    let drop = async {
        sleep(SECOND.mul_f64(0.3)).await;
        server.close_all(1001);
    };
    tokio::join!(replay_all(server, &token, during), drop);
}

// L-27, N-11, N-12, P-12
#[tokio::test]
async fn transcript_h_joins() {
    join_all(JOINS.map(|title| async move {
        let gate = shut();
        let server = fast(&gate).await;
        let lines = lines(H, title);
        match title {
            "28." => blocked(&server, &lines, &gate).await,
            "28b." | "28c." | "33." => replay_all(&server, &open(&server, OPEN_FAST).await, &lines).await,
            "30." => {
                let server = socket(&gate).start().await.unwrap();
                replay_all(&server, &open(&server, OPEN).await, &lines).await;
            }
            "32." => kept_alive(&server, &lines).await,
            _ => characters(&server, &lines).await,
        }
    }))
    .await;
}

/// By a join that takes two windows; then by one that takes a part of one.
async fn blocked(server: &Server, lines: &[&str], gate: &Arc<Semaphore>) {
    let slow = async || {
        sleep(2 * SECOND).await;
        gate.add_permits(1);
    };
    let (too_long, not_so) = lines.split_at(lines.len() - 8);
    let token = open(server, OPEN_FAST).await;
    tokio::join!(replay_all(server, &token, too_long), slow());

    let server = socket(gate).start().await.unwrap();
    let token = open(&server, OPEN).await;
    tokio::join!(replay_all(&server, &token, not_so), slow());
}

async fn kept_alive(server: &Server, lines: &[&str]) {
    let token = open(server, OPEN_FAST).await;
    let mut line = Line::to(server.url()).await;
    for told in lines {
        let request = format!("POST /fast/longpoll?token={token}\nContent-Type: application/x-ndjson");
        line.send(&request, PROBE).await;
        assert_eq!(format!("< b'{}'", line.next().await.unwrap().body), *told);
    }
}

async fn characters(server: &Server, lines: &[&str]) {
    let mut tokens = String::new();
    while !['-', '.', '_'].iter().all(|character| tokens.contains(*character)) {
        tokens += &open(server, OPEN_FAST).await;
    }
    let mut other: Vec<char> = tokens.chars().filter(|character| !character.is_ascii_alphanumeric()).collect();
    other.sort();
    other.dedup();
    assert_eq!(lines, [format!("{other:?}")]);
}

// L-14, L-38, N-7
#[tokio::test]
async fn transcript_i() {
    for title in ["SIGTERM", "SIGKILL"] {
        let lines = lines(I, title);
        let server = fast(&shut()).await;
        let url = server.url().to_owned();
        let mut websocket = Client::connect(server.url(), "vsn=2.0.0").await;
        let token = open(&server, OPEN_FAST).await;
        let mut poll = Line::to(server.url()).await;
        poll.send(&format!("{OPEN_FAST}&token={token}"), b"").await;
        settle().await;
        let mut lines = lines.iter();
        let address = client::host(&url).parse::<std::net::SocketAddr>().unwrap();

        if title == "SIGTERM" {
            server.close_all(1012);
            assert_eq!(format!("ws < +0.01s {}", websocket.next().await), *lines.next().unwrap().to_owned());
        }
        let server = Some(server).filter(|_| title == "SIGTERM");
        assert_eq!(format!("ws < +0.01s {}", websocket.next().await), *lines.next().unwrap().to_owned());
        let told = lines.next().unwrap();
        match poll.next().await {
            Some(answer) => {
                let told = told.trim_start_matches("lp < {'r': ('").split_once("', b'").unwrap();
                let body = told.1.split_once("', ").unwrap().0;
                assert!(answer.status == told.0 && answer.body.starts_with(body), "{answer:?}");
            }
            None => assert!(told.starts_with("lp < {'r': ('', b'',"), "{told}"),
        }
        drop(server);
        let mut read = [0];
        // Its connections end with it.
        assert_eq!(poll.0.read(&mut read).await.unwrap_or(0), 0);
        while TcpStream::connect(address).await.is_ok() {
            yield_now().await;
        }

        let restarted = app::app(&shut()).mount("/fast").window(SECOND).pubsub_timeout(2 * SECOND).bind(address);
        let restarted = restarted.start().await.unwrap();
        for told in lines.filter(|line| line.starts_with("GET ") || line.starts_with("POST ")) {
            let asked = Instant::now();
            let answered = match told.split_once(' ').unwrap().0 {
                "GET" => {
                    let answer = ask(&url, &format!("{OPEN_FAST}&token={token}"), b"").await;
                    let status = answer.told().rsplit_once(':').unwrap().1.to_owned();
                    format!("GET {} {status} ", answer.status)
                }
                _ => {
                    let answer = post(&restarted, "/fast/longpoll", &token, PROBE).await;
                    format!("POST {} b'{}' ", answer.status, answer.body)
                }
            };
            assert_eq!(told.split_once('+').unwrap().0, answered);
            assert!(asked.elapsed() >= 2 * SECOND);
        }
    }
}
