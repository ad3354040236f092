//! The short examples, as a person runs them: they end by themselves, and what they show is there, in order.

use std::{path::PathBuf, process::Stdio, time::Duration};

use tokio::{process::Command, time::timeout};

const BUILT: &str = "`cargo test` builds the examples; before `--test examples` alone, `cargo build --examples`";

/// What it prints, if it ends by itself and well.
async fn run(example: &str, args: &[&str]) -> String {
    let this = std::env::current_exe().unwrap();
    let target: PathBuf = this.ancestors().nth(2).unwrap().into();
    let mut command = Command::new(target.join("examples").join(example));
    let output = command.args(args).stdin(Stdio::null()).kill_on_drop(true).output();
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
    let printed = run("typed_events", &[]).await;
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
    let printed = run("push_pipeline", &[]).await;
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
    let printed = run("reconnect", &[]).await;
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

// DEV-19, F-2, F-4, F-6, F-8
#[tokio::test]
async fn restricted_network() {
    let printed = run("restricted_network", &[]).await;
    let (down, up) = ("falls back  from websocket to long-poll: ", "goes back  from long-poll to websocket\n");
    let by = |transport| format!("open  by {transport}\n    joined  news\n");
    let (long_poll, websocket) = (by("long-poll"), by("websocket"));
    shows(
        &printed,
        &[
            "a proxy knows no WebSockets",
            down,
            "refused the connection with HTTP 501",
            &long_poll,
            "heard  news 1\n",
            "another  socket begins with long-poll: it was given up before",
            "tried  websocket, in vain: the server refused the connection with HTTP 501",
            up,
            "closed  it was given up for a better connection, by websocket",
            &websocket,
            "missed  news [2]",
            "heard  news 3\n",
        ],
    );
    shows(
        &printed,
        &[
            "swallows what they carry",
            down,
            "it opened and did not answer a ping within 500ms",
            &long_poll,
            "heard  news 5\n",
            "tried  websocket, in vain: the server did not answer",
            up,
            &websocket,
            "missed  news [6]",
            "heard  news 7\n",
        ],
    );
    shows(
        &printed,
        &[
            "resets WebSockets after 400 ms",
            &websocket,
            "closed  the connection",
            &websocket,
            "closed  the connection",
            down,
            "2 of its connections in a row died young",
            &long_poll,
            "missed  news [8, 9, 10]",
            "heard  news 11\n",
            "tried  websocket, in vain: the connection",
            up,
            &websocket,
            "missed  news [12]",
            "heard  news 13\n",
        ],
    );
}

// What it shows on a screen is tested in `who_is_here`.
#[tokio::test]
async fn who_is_here() {
    let printed = run("who_is_here", &["--demo-seconds", "5"]).await;
    shows(
        &printed,
        &[
            "here: ann (online), bob (away), ",
            "~ bob is online now on phone",
            "+ cleo came on tablet",
            "room:lobby in 5 s: at most ",
        ],
    );
}
