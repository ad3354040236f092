//! Replays how a real Phoenix ends connections, over Bandit (`e.txt`) and over Cowboy (`e2.txt`), against the embedded
//! server set to be like each.
//!
//! Idle timeouts are a tenth of those recorded, and are waited for at the socket. Left out are the exit signals that
//! Phoenix' transport process survives: there is none here to send them to.

#[path = "transcripts/app.rs"]
mod app;
#[path = "transcripts/client.rs"]
mod client;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use phoenix_streams::{json, testing::Server};
use tokio::{sync::Semaphore, task::yield_now, time::timeout};

use client::{Client, frame};

const BANDIT: &str = include_str!("transcripts/e.txt");
const COWBOY: &str = include_str!("transcripts/e2.txt");

const IDLE: Duration = Duration::from_millis(800);
const SOON: Duration = Duration::from_secs(20);
const SURVIVED: &str = "(nothing for the rest)";
const PROBE: &str = r#"[null,"probe","phoenix","heartbeat",{}]"#;
const PROBED: &str = r#"[null,"probe","phoenix","phx_reply",{"response":{},"status":"ok"}]"#;

// N-4, N-6, N-7, S-12
#[tokio::test]
async fn transcript_e() {
    assert_eq!(replay(BANDIT, 1002).await, ["normal", "shutdown", "boom"].len());
}

// N-4, N-6, N-7, S-12
#[tokio::test]
async fn transcript_e2() {
    assert_eq!(replay(COWBOY, 1000).await, ["normal"].len());
}

/// How many sections were left out.
async fn replay(transcript: &str, idle_code: u16) -> usize {
    let mut left_out = 0;
    for section in transcript.split("#### ").filter(|section| !section.is_empty()) {
        let (title, lines) = section.split_once('\n').unwrap();
        let lines: Vec<&str> = lines.lines().filter(|line| !line.is_empty()).collect();
        if lines.last().is_some_and(|last| last.ends_with(SURVIVED)) {
            left_out += 1;
            continue;
        }
        let server = app::app(&Arc::new(Semaphore::new(0))).idle_timeout(IDLE).idle_code(idle_code);
        let server = server.start().await.unwrap();
        let begun = Instant::now();
        let mut client = Client::connect(server.url(), "vsn=2.0.0").await;
        match title {
            "disconnect broadcast (drop?user_id)" => ended(client, &lines, || server.close_all(1001)).await,
            "drain (endpoint shutdown path)" => ended(client, &lines, || server.close_all(1012)).await,
            _ if title.starts_with("drop_all ") => ended(client, &lines, || server.drop_connections()).await,
            "idle timeout /fast (3 s), nothing sent" => {
                follow(&mut client, &lines).await;
                assert!(begun.elapsed() >= IDLE, "{:?}", begun.elapsed());
            }
            _ if title.contains("server pushes every") => listening_only(client, &lines, &server).await,
            _ if title.contains("only websocket PINGs") => pings(client, &lines).await,
            _ if title.contains("only unsolicited PONGs") => pongs(client, &lines).await,
            "channel closed when the client vanishes" => vanishes(client, &lines, &server).await,
            _ => panic!("no section like {title}"),
        }
    }
    left_out
}

/// `>` is sent, `<` must come next, whenever it came then.
async fn follow(client: &mut Client, lines: &[&str]) {
    for line in lines {
        match line.split_at(2) {
            ("> ", message) => client.send(message).await,
            ("< ", message) => assert_eq!(client.next().await, timeless(message)),
            _ => panic!("not a line of a transcript: {line}"),
        }
    }
}

fn timeless(message: &str) -> &str {
    message.strip_prefix('+').and_then(|timed| timed.split_once(' ')).map_or(message, |(_, message)| message)
}

/// `=` is what the server is told.
async fn ended(mut client: Client, lines: &[&str], end: impl Fn()) {
    let told = lines.iter().position(|line| line.starts_with("= ")).unwrap();
    follow(&mut client, &lines[..told]).await;
    end();
    follow(&mut client, &lines[told + 1..]).await;
}

/// What the server sends does not restart the timer.
async fn listening_only(mut client: Client, lines: &[&str], server: &Server) {
    let (pushed, rest) = lines.split_at(lines.len() - 2);
    let began = Instant::now();
    client.send(r#"["1","1","room:idle","phx_join",{}]"#).await;
    assert_eq!(client.next().await, timeless(&pushed[0][2..]));
    let mut pushes = 0;
    loop {
        server.broadcast("room:idle", "e", json!({ "data": "", "i": 1 }));
        let next = client.next().await;
        if next == timeless(&rest[0][2..]) {
            break;
        }
        assert_eq!(next, timeless(&pushed[1][2..]));
        assert!(began.elapsed() < SOON, "what the server sends keeps it open");
        pushes += 1;
    }
    assert!(began.elapsed() >= IDLE, "{:?}", began.elapsed());
    assert!(pushes >= pushed.len() - 1, "{pushes}");
    follow(&mut client, &rest[1..]).await;
}

/// Any frame of the client's restarts it.
async fn pings(mut client: Client, lines: &[&str]) {
    let began = Instant::now();
    while began.elapsed() < 2 * IDLE {
        client.raw(&frame(0x89, b"k")).await;
        assert_eq!(client.next().await, timeless(&lines[0][2..]));
    }
    client.send(PROBE).await;
    assert_eq!(client.next().await, PROBED);
}

async fn pongs(mut client: Client, lines: &[&str]) {
    // That is, nothing came.
    assert_eq!(lines, ["end 6.3"]);
    let began = Instant::now();
    while began.elapsed() < 2 * IDLE {
        client.raw(&frame(0x8a, b"")).await;
        yield_now().await;
    }
    client.send(PROBE).await;
    assert_eq!(client.next().await, PROBED);
}

/// How many channels there are, before and after.
async fn vanishes(mut client: Client, lines: &[&str], server: &Server) {
    let (joined, counts) = lines.split_at(lines.len() - 2);
    assert_eq!(counts, ["1", "None"]);
    follow(&mut client, joined).await;
    assert_eq!(server.channels("echo:van"), 1);
    drop(client);
    let gone = async {
        while server.channels("echo:van") > 0 {
            yield_now().await;
        }
    };
    timeout(SOON, gone).await.expect("its channel outlives it");
}
