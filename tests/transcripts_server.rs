//! Replays what a real Phoenix answered, against the embedded server: byte for byte but for pids, ports and presences' refs.
//!
//! The files of `tests/transcripts` are replayed as they are. `>` is sent, `<` must come next, `A>` to `C>` are several
//! clients; at the end of every section a heartbeat shows that nothing else came. What they tell in prose is coded here.

#[path = "transcripts/app.rs"]
mod app;
#[path = "transcripts/client.rs"]
mod client;
#[path = "transcripts/refs.rs"]
mod refs;

use std::{collections::HashMap, sync::Arc, time::Duration};

use phoenix_streams::{Binary, json, testing::Server};
use serde_json::Value;
use tokio::sync::Semaphore;

use app::app;
use client::{Client, frame, literal, without_ports};
use refs::Refs;

const A: &str = include_str!("transcripts/a.txt");
const B: &str = include_str!("transcripts/b.txt");
const C: &str = include_str!("transcripts/c.txt");
const F: &str = include_str!("transcripts/f.txt");

const PROBE: &str = r#"[null,"probe","phoenix","heartbeat",{}]"#;
const PROBED: &str = r#"[null,"probe","phoenix","phx_reply",{"response":{},"status":"ok"}]"#;

struct Replay {
    server: Server,
    gate: Arc<Semaphore>,
    clients: HashMap<char, Client>,
    sections: Vec<(&'static str, Vec<&'static str>)>,
}

impl Replay {
    async fn new(transcript: &'static str) -> Self {
        let gate = Arc::new(Semaphore::new(0));
        let server = app(&gate).start().await.unwrap();
        let clients = HashMap::from([(' ', Client::connect(server.url(), "vsn=2.0.0&user_id=u1").await)]);
        let mut sections: Vec<(&str, Vec<&str>)> = Vec::new();
        for line in transcript.lines().filter(|line| !line.is_empty()) {
            match line.strip_prefix("#### ") {
                Some(title) => sections.push((title, Vec::new())),
                None => sections.last_mut().unwrap().1.push(line),
            }
        }
        Replay { server, gate, clients, sections }
    }

    fn take(&mut self, title: &str) -> Vec<&'static str> {
        let at = self.sections.iter().position(|(name, _)| name.starts_with(title));
        self.sections.remove(at.unwrap_or_else(|| panic!("no section {title}"))).1
    }

    /// A section without prose.
    async fn section(&mut self, title: &str) {
        for line in self.take(title) {
            self.line(line).await;
        }
        self.quiet().await;
    }

    async fn line(&mut self, line: &str) {
        match line {
            "= GET /control/kill_channel?topic=echo:s -> {\"killed\":1}"
            | "= kill_channel reason=shutdown -> {\"killed\":1}" => {
                self.server.kill_channels("echo:s");
            }
            _ => self.message(line).await,
        }
    }

    async fn message(&mut self, line: &str) {
        let (name, rest) = match line.as_bytes()[0] {
            name @ b'A'..=b'C' => (char::from(name), &line[1..]),
            _ => (' ', line),
        };
        let client = self.clients.get_mut(&name).unwrap();
        match rest.split_at(2) {
            ("> ", message) => client.send(message).await,
            ("< ", message) => assert_eq!(client.next().await, without_ports(timeless(message)), "{line}"),
            _ => panic!("not a line of a transcript: {line}"),
        }
    }

    /// Nothing more has come to anyone.
    async fn quiet(&mut self) {
        for client in self.clients.values_mut() {
            client.send(PROBE).await;
            assert_eq!(client.next().await, PROBED);
        }
    }

    fn finished(self) {
        assert_eq!(self.sections, []);
    }
}

/// `+0.30s ` is when it came.
fn timeless(message: &str) -> &str {
    message.strip_prefix('+').and_then(|timed| timed.split_once(' ')).map_or(message, |(_, message)| message)
}

// N-5, N-11, N-12
#[tokio::test]
async fn transcript_a() {
    let mut replay = Replay::new(A).await;
    let handshake = replay.take("handshake").join("\n");
    let (request, response) = handshake.split_once("\n--\n").unwrap();
    handshake_answers(&replay.server, request, response).await;
    for title in ["heartbeat", "join ok/refused", "push/replies", "push with null ref", "after possibly fatal"] {
        replay.section(title).await;
    }
    replay.finished();
}

async fn handshake_answers(server: &Server, request: &str, response: &str) {
    let (_, answer) = client::http(server.url(), request).await;
    // The order of headers has no meaning, nor has the time.
    let lines = |text: &str| {
        let mut lines: Vec<_> = text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect();
        lines.iter_mut().filter(|line| line.starts_with("date: ")).for_each(|date| date.truncate(4));
        lines[1..].sort();
        lines
    };
    assert_eq!(lines(&answer), lines(response));
}

// C-36, C-39, N-9, N-10, W-4
#[tokio::test]
async fn transcript_b() {
    let mut replay = Replay::new(B).await;
    for title in [
        "not joined topic",
        "join then leave",
        "leave with stale join_ref",
        "push with stale join_ref",
        "duplicate join: old closed",
        "duplicate join with the SAME",
        "duplicate join refused",
        "join with join_ref null",
        "join with join_ref != ref",
        "join with numeric refs",
    ] {
        replay.section(title).await;
    }
    for line in replay.take("leave racing") {
        if line == "> two phx_leave (refs 2,3) back to back" {
            replay.line(r#"> ["b","2","echo:n2","phx_leave",{}]"#).await;
            replay.line(r#"> ["b","3","echo:n2","phx_leave",{}]"#).await;
        } else {
            replay.line(line).await;
        }
    }
    replay.section("stop / stop_reply").await;
    replay.section("flaky").await;
    slow_replies(&mut replay).await;
    replay.finished();
}

async fn slow_replies(replay: &mut Replay) {
    replay.line(r#"> ["30","30","echo:o","phx_join",{}]"#).await;
    replay
        .line(r#"< ["30","30","echo:o","phx_reply",{"response":{"joined":"echo:o","params":{}},"status":"ok"}]"#)
        .await;

    let lines = replay.take("slow (async reply)");
    for sent in lines[0].trim_start_matches("> ").split(" then ") {
        replay.line(&format!("> {sent}")).await;
    }
    replay.line(lines[1]).await;
    replay.gate.add_permits(1);
    replay.line(lines[2]).await;

    let lines = replay.take("slowjoin blocks");
    replay.line(r#"> ["40","40","echo:slowjoin","phx_join",{}]"#).await;
    replay.line(r#"> [null,"41","phoenix","heartbeat",{}]"#).await;
    replay.line(r#"> ["30","42","echo:o","echo",{"behind":"slowjoin"}]"#).await;
    let client = replay.clients.get_mut(&' ').unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(50), client.next()).await.is_err(), "not blocked by the join");
    replay.gate.add_permits(1);
    for line in lines {
        replay.line(line).await;
    }

    let lines = replay.take("leave during slow");
    replay.line(r#"> ["30","50","echo:o","slow",{"ms":300}]"#).await;
    replay.line(r#"> ["30","51","echo:o","phx_leave",{}]"#).await;
    for line in lines {
        replay.line(line).await;
    }
    // The reply that comes too late is never sent.
    replay.gate.add_permits(1);
    replay.quiet().await;
}

// C-39, W-4, W-20
#[tokio::test]
async fn transcript_c() {
    let mut replay = Replay::new(C).await;
    // The slow join's gate stands open: it is the order that is replayed.
    replay.gate.add_permits(1);
    replay.section("dup join, 2nd refused").await;
    replay.section("binary: push").await;
    for line in replay.take("binary frame to a V2 socket") {
        replay.line(line).await;
    }
    let server = replay.server.clone();
    fatal_input(&server, replay.take("fatal input")).await;
    fatal_input(&server, replay.take("bad utf-8")).await;
    fragments(&server, replay.take("fragmented text")).await;
    for title in ["max_frame_size", "big frame", "max channels"] {
        replay.take(title);
    }
    replay.finished();
}

/// `label: > 'what is sent'`, each on a connection of its own, and the answers.
async fn fatal_input(server: &Server, lines: Vec<&str>) {
    let mut client = None;
    for line in lines {
        if let Some(answer) = line.strip_prefix("   < ") {
            let client: &mut Client = client.as_mut().unwrap();
            assert_eq!(client.next().await, answer, "{line}");
            continue;
        }
        let (label, sent) = line.split_once(": > ").unwrap();
        let sent = literal(sent);
        let bytes = match label {
            "unmasked frame" => [&[0x81, sent.len() as u8][..], &sent].concat(),
            "rsv1 set without deflate" => frame(0xc1, &sent),
            "reserved opcode 3" => frame(0x83, &sent),
            "continuation without start" => frame(0x80, &sent),
            _ if label.starts_with("ping") => frame(0x89, &sent),
            _ if label.starts_with("close") => frame(0x88, &sent),
            _ if label.contains("binary") => frame(0x82, &sent),
            _ => frame(0x81, &sent),
        };
        let mut fresh = Client::connect(server.url(), "vsn=2.0.0").await;
        fresh.raw(&bytes).await;
        client = Some(fresh);
    }
}

async fn fragments(server: &Server, lines: Vec<&str>) {
    let mut client = Client::connect(server.url(), "vsn=2.0.0").await;
    let (first, second) = r#"[null,"1","phoenix","heartbeat",{}]"#.split_at(11);
    let frames =
        [frame(0x01, first.as_bytes()), frame(0x89, b"pp"), frame(0x8a, b"unasked"), frame(0x80, second.as_bytes())];
    client.raw(&frames.concat()).await;
    for line in lines {
        assert_eq!(client.next().await, line.trim_start_matches("< "));
    }
}

// N-13
#[tokio::test]
async fn transcript_c_frame_sizes() {
    let mut replay = Replay::new(C).await;
    let small = Server::builder().max_frame_size(4096).start().await.unwrap();
    for (title, server) in [("max_frame_size", &small), ("big frame", &replay.server.clone())] {
        for line in replay.take(title) {
            let (size, answers) = line.split_at(line.find(|c: char| !c.is_ascii_digit()).unwrap());
            let size: usize = size.parse().unwrap();
            let mut client = Client::connect(server.url(), "vsn=2.0.0").await;
            let padding = "x".repeat(size - r#"[null,"1","phoenix","heartbeat",{"p":""}]"#.len());
            client.send(&format!(r#"[null,"1","phoenix","heartbeat",{{"p":"{padding}"}}]"#)).await;
            let answer = client.next().await;
            assert!(answers.contains(&answer), "{size} bytes: {answer}");
            if answer.starts_with("CLOSE") {
                assert_eq!(client.next().await, "!! TCP FIN");
            }
        }
    }
}

// N-8
#[tokio::test]
async fn transcript_c_max_channels() {
    let mut replay = Replay::new(C).await;
    let told = replay.take("max channels").concat();
    for n in 0..102 {
        replay.line(&format!(r#"> ["{n}","{n}","echo:m{n}","phx_join",{{}}]"#)).await;
        let answer = replay.clients.get_mut(&' ').unwrap().next().await;
        assert_eq!(n < 100, answer.ends_with(r#","status":"ok"}]"#), "{answer}");
        assert_eq!(n >= 100, told.contains(&format!("'{answer}'")), "{answer}");
    }
    // Room again once one is left.
    replay.line(r#"> ["0","200","echo:m0","phx_leave",{}]"#).await;
    replay.line(r#"< ["0","200","echo:m0","phx_reply",{"response":{},"status":"ok"}]"#).await;
    replay.line(r#"< ["0","0","echo:m0","phx_close",{}]"#).await;
    replay.line(r#"> ["201","201","echo:m201","phx_join",{}]"#).await;
    replay
        .line(
            r#"< ["201","201","echo:m201","phx_reply",{"response":{"joined":"echo:m201","params":{}},"status":"ok"}]"#,
        )
        .await;
}

// P-12, P-35
#[tokio::test]
async fn transcript_f_presence() {
    let mut replay = Replay::new(F).await;
    for name in ['A', 'B', 'C'] {
        replay.clients.insert(name, Client::connect(replay.server.url(), "vsn=2.0.0").await);
    }
    let (mut recorded, mut live) = (Refs::default(), Refs::default());
    let mut early: HashMap<char, String> = HashMap::new();
    for line in replay.take("presence") {
        let name = char::from(line.as_bytes()[0]);
        let Some(told) = line[1..].strip_prefix("< ") else {
            match line {
                "-- C closes its TCP" => drop(replay.clients.remove(&'C')),
                _ if line.starts_with("-- ") => {}
                _ => replay.line(line).await,
            }
            continue;
        };
        let client = replay.clients.get_mut(&name).unwrap();
        let mut came = match early.remove(&name) {
            Some(came) => came,
            None => client.next().await,
        };
        // Phoenix tells of a change in a process of its own: to the client whose push made the change, its reply goes out
        // before the diff or behind it, as it happens. It was recorded before; here it is behind.
        if told.contains("phx_reply") && came.contains("presence_diff") {
            early.insert(name, came);
            came = client.next().await;
        }
        assert_eq!(live.named(&ordered(&came)), recorded.named(&ordered(told)), "{line}");
    }
    assert!(early.is_empty());
    // What came of that crash to B was recorded no more.
    let left = live.named(&replay.clients.get_mut(&'B').unwrap().next().await);
    assert!(left.ends_with(r##""presence_diff",{"joins":{},"leaves":{"alice":{"metas":[{"phx_ref":"#0","v":1}]}}}]"##));
    replay.quiet().await;
}

/// A list is a value to the application, whose fields have no order. A diff has: it stays as it is.
fn ordered(message: &str) -> String {
    if message.contains("presence_diff") {
        return message.to_owned();
    }
    serde_json::from_str::<Value>(message).unwrap().to_string()
}

// W-4
#[tokio::test]
async fn transcript_f_broadcasts() {
    let mut replay = Replay::new(F).await;
    for name in ['A', 'B'] {
        replay.clients.insert(name, Client::connect(replay.server.url(), "vsn=2.0.0").await);
    }
    replay.take("presence");
    let topic = "room:1795234956";
    for line in replay.take("broadcasts") {
        match line {
            r#"= {"n":2}"# => {
                for i in 1..=2 {
                    replay.server.broadcast(topic, "e", json!({ "data": "xxx", "i": i }));
                }
            }
            r#"= binary {"n":1}"# => replay.server.broadcast(topic, "e", Binary(&b"\0\0\0\x01x"[..])),
            _ if line.starts_with("-- server broadcasts") => {
                for event in ["blast", "phx_close", "phx_error", "phx_reply"] {
                    replay.server.broadcast(topic, event, json!({ "data": "", "i": 1 }));
                }
            }
            _ if line.starts_with("-- ") => {}
            _ => replay.line(line).await,
        }
    }
    replay.quiet().await;
    replay.section("intercept").await;
    replay.finished();
}

#[test]
fn pids_and_ports_are_all_that_may_differ() {
    let one = r##"["#PID<0.1080.0>","port: 52978, x","http://127.0.0.1:4101/socket"]"##;
    let other = r##"["#PID<0.2.0>","port: 1, x","http://127.0.0.1:9/socket"]"##;
    assert_eq!(without_ports(one), without_ports(other));
    assert_ne!(without_ports("127.0.0.1:1/a"), without_ports("127.0.0.1:1/b"));
}
