//! The short examples, as a person runs them: they end by themselves, and what they show is there, in order.

use std::{path::PathBuf, process::Stdio, time::Duration};

use tokio::{process::Command, time::timeout};

const BUILT: &str = "`cargo test` builds the examples; before `--test examples` alone, `cargo build --examples`";

/// What it prints, if it ends by itself and well.
async fn run(example: &str) -> String {
    let this = std::env::current_exe().unwrap();
    let target: PathBuf = this.ancestors().nth(2).unwrap().into();
    let mut command = Command::new(target.join("examples").join(example));
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let output = timeout(Duration::from_secs(30), output).await.expect("it ends by itself").expect(BUILT);
    assert!(output.status.success(), "{example}: {output:?}");
    assert!(output.stderr.is_empty(), "{example}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn shows(printed: &str, lines: &[&str]) {
    let mut rest = printed;
    for line in lines {
        let (_, after) = rest.split_once(line).unwrap_or_else(|| panic!("no `{line}` where it belongs in\n{printed}"));
        rest = after;
    }
}

#[tokio::test]
async fn typed_events() {
    let printed = run("typed_events").await;
    shows(
        &printed,
        &["4 bids were taken", "ann bids 20 euros", "ann bids 22 euros", "bob bids 40 euros", "sold to bob\n"],
    );
    shows(&printed, &["so far: 20 euros", "so far: 25 euros", "so far: 40 euros"]);
    shows(&printed, &["a payload of `bid` does not decode", "going once", "something that this program does not know"]);
    assert!(!printed.contains("so far: 22"));
}

// Law 4
#[tokio::test]
async fn push_pipeline() {
    let printed = run("push_pipeline").await;
    shows(
        &printed,
        &[
            "the channel is Joined",
            "reading 200: the server cuts the connection",
            "the pipeline waits: the connection was lost",
            "the channel is Joined",
            "600 written = ",
        ],
    );
    let (_, counts) = printed.split_once("600 written = ").unwrap();
    let counts: Vec<u32> = counts.split(' ').filter_map(|word| word.parse().ok()).take(2).collect();
    assert_eq!(counts.iter().sum::<u32>(), 600, "{printed}");
    assert!(counts[0] > 400, "the pipeline went on behind the cut: {printed}");
}

// T-23, DEV-24
#[tokio::test]
async fn reconnect() {
    let printed = run("reconnect").await;
    shows(
        &printed,
        &[
            "refuses with 503 and Retry-After: 1",
            "failed: the server refused the connection with HTTP 503",
            "the next attempt comes in 1000 ms",
            "open, by websocket",
            "closes with 1012",
            "closed: the server closed the connection with code 1012",
            "the next attempt comes in 50 ms",
            "closes with 1000",
            "closed: the server closed the connection with code 1000",
            "the next attempt comes in 1000 ms",
            "closes with 1001",
            "closed: the server closed the connection with code 1001",
            "the next attempt comes in 500 ms",
            "refuses the next with 401",
            "closed: the connection ended without a close frame",
            "failed: the server refused the connection with HTTP 401",
            "stopped: ",
            "the server says: log in again\n",
        ],
    );
}
