//! The chat example, as a person runs it.

use std::{
    path::PathBuf,
    process::{Output, Stdio},
    time::Duration,
};

use futures::StreamExt;
use phoenix_streams::{Telemetry, json, testing::Server};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

use super::{CHAT, CLOSED, server_of_short_polls, socket};

const BUILT: &str = "`cargo test` builds the example; before `--test both` alone, `cargo build --example chat`";
const AT_MOST: Duration = Duration::from_secs(20);

/// The example that cargo has built beside this test.
fn chat(args: &[&str]) -> Command {
    let this = std::env::current_exe().unwrap();
    let target: PathBuf = this.ancestors().nth(2).unwrap().into();
    let mut command = Command::new(target.join("examples/chat").with_extension(std::env::consts::EXE_EXTENSION));
    command.args(CHAT).args(args).stdin(Stdio::null()).kill_on_drop(true);
    command
}

async fn in_time<T>(wanted: impl Future<Output = T>) -> T {
    timeout(AT_MOST, wanted).await.expect("it comes in time")
}

async fn run(args: &[&str]) -> Output {
    timeout(AT_MOST, chat(args).output()).await.expect("it ends by itself").expect(BUILT)
}

/// What it says when it gives up: one line, and nothing of the inside.
async fn complaint(args: &[&str]) -> String {
    let output = run(args).await;
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said.lines().count(), 1, "{said}");
    for word in ["panicked", "Err(", "{:", "Some("] {
        assert!(!said.contains(word), "{said}");
    }
    said.trim_end().to_owned()
}

async fn server() -> Server {
    server_of_short_polls()
        .join("room:*", |_, params| async move {
            match params.json::<Value>() {
                Ok(params) if params["name"] != "eve" => Ok(json!({})),
                _ => Err(json!({ "reason": "banned" })),
            }
        })
        .on("room:*", "new_msg", |peer, said| async move {
            peer.broadcast("new_msg", said);
            Ok(json!({}))
        })
        .start()
        .await
        .unwrap()
}

/// A chat that runs, with its terminal.
struct Terminal {
    child: Child,
    keyboard: ChildStdin,
    screen: Lines<BufReader<ChildStdout>>,
}

impl Terminal {
    fn open(args: &[&str]) -> Self {
        let mut child = chat(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect(BUILT);
        let keyboard = child.stdin.take().unwrap();
        let screen = BufReader::new(child.stdout.take().unwrap()).lines();
        Terminal { child, keyboard, screen }
    }

    async fn type_line(&mut self, line: &str) {
        self.keyboard.write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }

    async fn line(&mut self) -> Option<String> {
        timeout(AT_MOST, self.screen.next_line()).await.expect("another line").unwrap()
    }

    async fn shows(&mut self, line: &str) {
        assert_eq!(self.line().await.as_deref(), Some(line));
    }

    /// Ctrl-D, and what it says after that.
    async fn end(mut self) -> (Vec<String>, Option<i32>) {
        drop(self.keyboard);
        let mut rest = Vec::new();
        while let Some(line) = timeout(AT_MOST, self.screen.next_line()).await.expect("an end").unwrap() {
            rest.push(line);
        }
        (rest, self.child.wait().await.unwrap().code())
    }
}

#[tokio::test]
async fn without_a_url_two_clients_meet_and_survive_a_cut() {
    let output = run(&[]).await;
    assert!(output.status.success(), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    let mut lines = said.lines();
    for part in [
        "a server listens",
        r#"ann joins  room:lobby: "welcome, ann""#,
        r#"bob joins  room:lobby: "welcome, bob""#,
        r#"ann says   "hi bob", and the server replies {"length":6}"#,
        "bob hears  <ann> hi bob",
        r#"bob says   "hi ann, all well?", and the server replies {"length":17}"#,
        "ann hears  <bob> hi ann, all well?",
        "the server rejected the push",
        "the server cuts all connections",
        "ann is offline: ",
        "bob is offline: ",
        "bob is online again, and back in room:lobby",
        "ann is online again, and rejoins room:lobby",
        r#"ann says   "did I miss anything?", and the server replies {"length":20}"#,
        "bob hears  <ann> did I miss anything?",
        r#"bob says   "not a word", and the server replies {"length":10}"#,
        "ann hears  <bob> not a word",
        "ann leaves room:lobby",
        "all is closed",
    ] {
        let line = lines.next().unwrap_or_default();
        assert!(line.contains(part), "{part:?} is not in {line:?} of\n{said}");
    }
    assert_eq!(lines.next(), None);
}

#[tokio::test]
async fn lines_are_pushed_and_those_of_others_shown() {
    let server = server().await;
    let bob = socket(server.url()).connect().await.unwrap();
    let room = bob.channel("room:den");
    let mut heard = room.events_as::<Value>("new_msg");
    room.join(json!({ "name": "bob" })).await.unwrap();

    let mut ann = Terminal::open(&[server.url(), "room:den", "ann"]);
    ann.shows("connected").await;
    ann.shows("joined room:den; what you type is sent, Ctrl-D leaves").await;
    ann.type_line("hi there").await;
    assert_eq!(in_time(heard.next()).await.unwrap().unwrap(), json!({ "name": "ann", "body": "hi there" }));
    ann.shows("<ann> hi there").await;
    room.push("new_msg", json!({ "name": "bob", "body": "hi ann" })).await.unwrap();
    ann.shows("<bob> hi ann").await;
    server.broadcast("room:den", "new_msg", json!({ "body": "no name" }));
    ann.shows("<somebody> no name").await;
    server.broadcast("room:den", "new_msg", json!({ "text": "odd" }));
    ann.shows(r#"<?> {"text":"odd"}"#).await;

    let mut log = bob.telemetry();
    server.close_all(1012);
    // The status is the present one: who is late may find that all is well again.
    let line = ann.line().await.unwrap();
    if line != "* back in room:den" {
        assert!(line.starts_with(&format!("* {CLOSED}; trying again in 0.")), "{line}");
        ann.shows("* back in room:den").await;
    }
    // Bob has to be back too, to hear what is said.
    while !matches!(in_time(log.next()).await, Some(Ok(Telemetry::Joined { .. }))) {}
    ann.type_line("still here").await;
    ann.shows("<ann> still here").await;

    // What was typed last is sent before it leaves.
    ann.type_line("bye").await;
    let (rest, code) = ann.end().await;
    assert_eq!(code, Some(0));
    assert!(rest.ends_with(&["left room:den".to_owned()]), "{rest:?}");
    while in_time(heard.next()).await.unwrap().unwrap()["body"] != "bye" {}
}

#[tokio::test]
async fn what_cannot_be_is_told_in_one_sentence() {
    let server = server().await;
    assert_eq!(
        complaint(&[server.url(), "room:den", "eve"]).await,
        r#"room:den cannot be joined: {"reason":"banned"}"#
    );
    assert_eq!(complaint(&[server.url(), "attic"]).await, r#"attic cannot be joined: {"reason":"unmatched topic"}"#);

    server.refuse_next(403, 1);
    let refused = complaint(&[server.url()]).await;
    assert!(
        refused.starts_with("cannot connect: the server refused the connection with HTTP 403 Forbidden"),
        "{refused}"
    );

    // Nothing listens there any more.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let unreachable = complaint(&[&format!("ws://{gone}/socket")]).await;
    assert!(unreachable.starts_with("cannot connect: the host cannot be reached: 127.0.0.1:"), "{unreachable}");

    let bad = complaint(&["localhost"]).await;
    assert!(bad.starts_with("the endpoint URL cannot be used: "), "{bad}");
    assert_eq!(complaint(&["--help"]).await, "usage: chat [--long-poll] [ws://host:4000/socket [topic [name]]]");
}

#[tokio::test]
async fn it_ends_when_the_server_does_though_a_line_could_still_be_typed() {
    let server = server().await;
    let mut ann = Terminal::open(&[server.url(), "room:den", "ann"]);
    ann.shows("connected").await;
    ann.shows("joined room:den; what you type is sent, Ctrl-D leaves").await;
    server.refuse_next(403, 1);
    server.close_all(1012);
    let Terminal { mut child, keyboard: _open, .. } = ann;
    assert_eq!(in_time(child.wait()).await.unwrap().code(), Some(1));
}
