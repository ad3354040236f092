//! What is held is charged: of a whole process, as Linux tells it.
#![cfg(target_os = "linux")]

#[path = "support/alone.rs"]
mod alone;

use std::time::Duration;

use alone::alone;
use phoenix_streams::{LongPoll, Socket, Transport, WebSocket, json, testing::Server};

fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

// T-32, law 3: also what a stream that is read slowly holds among other traffic.
#[tokio::test]
async fn t_32_what_a_slow_reader_holds_is_what_is_charged() {
    if alone("t_32_what_a_slow_reader_holds_is_what_is_charged", &[]) {
        slow_reader(WebSocket::default(), 20).await;
    }
}

#[tokio::test]
async fn t_32_what_a_slow_reader_holds_is_what_is_charged_over_long_poll() {
    if alone("t_32_what_a_slow_reader_holds_is_what_is_charged_over_long_poll", &[]) {
        slow_reader(LongPoll::default(), 1).await;
    }
}

/// `burst` is how many come at once. Over long-poll that is one answer, and client and server together hold it many times
/// over, for a moment.
async fn slow_reader(transport: impl Transport, burst: usize) {
    let server = Server::builder()
        .join("room:*", |_, _| async { Ok(json!({})) })
        .on("room:*", "sync", |_, _| async { Ok(json!({})) })
        .start()
        .await
        .unwrap();
    let socket = Socket::builder(server.url()).transport(transport).connect().await.unwrap();
    let room = socket.channel("room:1");
    room.join(()).await.unwrap();
    let round = async |count: usize| {
        for number in 0..count {
            server.broadcast("room:1", "noise", json!({ "x": "x".repeat(500_000) }));
            server.broadcast("room:1", "said", json!({ "x": "x".repeat(4_200) }));
            if number % burst == 0 {
                room.push("sync", ()).timeout(Duration::from_secs(60)).await.unwrap();
            }
        }
        room.push("sync", ()).await.unwrap();
    };
    round(10).await;
    let slow = room.events("said");
    let before = resident();
    round(60).await;
    let (held, charged) = (resident().saturating_sub(before), socket.stats().incoming_bytes);
    // Some buffers come and go; each message in the one it was read into would make 30 MB.
    assert!(held < 2 * charged + (8 << 20), "{held} bytes are held and {charged} charged");
    drop(slow);
}
