//! Drives the embedded server with Phoenix' own JavaScript client, and compares presence with it.
//!
//! Takes node and `npm ci --prefix tests/js`. Without them it is skipped, and says so; where `CI` is set it fails.

#[path = "../transcripts/app.rs"]
mod app;
#[path = "../support/company.rs"]
mod company;
mod guests;
#[path = "../support/people.rs"]
mod people;
mod presence;

use std::{
    path::Path,
    process::{Command as Blocking, Stdio},
    sync::Arc,
};

use futures::future::{join, join_all};
use phoenix_streams::{
    Entry, Presence, PresenceEvent,
    testing::{Fault, Server},
};
use tokio::{process::Command, sync::Semaphore};

/// The cases of `check.mjs`. A case that is not run is not proven.
const CASES: [&str; 26] = [
    "join",
    "join refused",
    "join of an unmatched topic",
    "join crashed",
    "push",
    "push refused",
    "push with another status",
    "push without a reply",
    "binary push",
    "binary push refused",
    "server push",
    "binary server push",
    "broadcast",
    "intercepted broadcast",
    "crash, then rejoin",
    "close by the server",
    "duplicate join",
    "leave",
    "heartbeat",
    "auth token",
    "auth token refused",
    "auth token unanswered",
    "connect refused",
    "presence",
    "presence keys",
    "presence, at random",
];

/// Of this crate, beside the official client.
const GUESTS: u64 = 3;

/// As `check.mjs` has them.
const TRANSPORTS: [&str; 2] = ["websocket", "longpoll"];

// C-39, L-10, N-5, P-12, P-38
#[tokio::test]
async fn the_official_client_finds_nothing_wrong() {
    assert_failing(None, &[]).await;
}

// C-39
#[tokio::test]
async fn it_finds_a_close_before_the_reply() {
    assert_failing(Some(Fault::CloseBeforeReply), &["duplicate join"]).await;
}

// W-4
#[tokio::test]
async fn it_finds_a_broadcast_with_a_join_ref() {
    let broadcasts = ["broadcast", "presence", "presence keys", "presence, at random"];
    assert_failing(Some(Fault::BroadcastWithJoinRef), &broadcasts).await;
}

// N-5
#[tokio::test]
async fn it_finds_a_heartbeat_reply_with_another_ref() {
    assert_failing(Some(Fault::HeartbeatRef), &["heartbeat"]).await;
}

/// Runs the script over each transport; exactly these cases must fail.
async fn assert_failing(fault: Option<Fault>, failing: &[&str]) {
    if !installed() {
        return;
    }
    for transport in TRANSPORTS {
        assert_failing_over(transport, fault, failing).await;
    }
}

async fn assert_failing_over(transport: &str, fault: Option<Fault>, failing: &[&str]) {
    let server = start(false, fault).await;
    let with_token = start(true, fault).await;
    // Where nothing is to fail the official client has company in its random case of presence.
    let guests = if fault.is_none() { GUESTS } else { 0 };
    let company = join_all((0..guests).map(|n| guests::visit(server.url(), transport, n)));
    let script = Command::new("node")
        .args(["tests/js/check.mjs", transport, server.url(), with_token.url(), &guests.to_string()])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .output();
    // A guest that finds a difference panics.
    let (script, _) = join(script, company).await;
    let script = script.unwrap();
    let printed = String::from_utf8(script.stdout).unwrap();
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(lines.len(), CASES.len() + 1, "{transport}: {printed}");
    for (name, line) in CASES.iter().zip(&lines) {
        let passed = *line == format!("ok {name}");
        let failed = line.starts_with(&format!("not ok {name}: "));
        assert_eq!((passed, failed), (!failing.contains(name), failing.contains(name)), "{transport}: {printed}");
    }
    let passed = CASES.len() - failing.len();
    assert_eq!(lines[CASES.len()], format!("{passed} of {}", CASES.len()));
    assert_eq!(script.status.success(), failing.is_empty());
}

async fn start(auth_token: bool, fault: Option<Fault>) -> Server {
    let server = app::app(&Arc::new(Semaphore::new(0))).auth_token(auth_token).start().await.unwrap();
    if let Some(fault) = fault {
        server.misbehave(fault);
    }
    server
}

fn installed() -> bool {
    let node = Blocking::new("node").arg("--version").stdout(Stdio::null()).status().is_ok_and(|node| node.success());
    let modules = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/js/node_modules/phoenix").exists();
    let installed = node && modules;
    let how = "the JavaScript client takes node and `npm ci --prefix tests/js`";
    assert!(installed || std::env::var_os("CI").is_none(), "{how}");
    if !installed {
        println!("skipped: {how}");
    }
    installed
}
