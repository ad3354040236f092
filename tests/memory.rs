//! What is held is charged: of a whole process, as Linux tells it.
#![cfg(target_os = "linux")]

use std::time::Duration;

use phoenix_streams::{Socket, json, testing::Server};

fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

// T-32, law 3: also what a stream that is read slowly holds among other traffic.
#[tokio::test]
async fn t_32_what_a_slow_reader_holds_is_what_is_charged() {
    let server = Server::builder()
        .join("room:*", |_, _| async { Ok(json!({})) })
        .on("room:*", "sync", |_, _| async { Ok(json!({})) })
        .start()
        .await
        .unwrap();
    let socket = Socket::builder(server.url()).connect().await.unwrap();
    let room = socket.channel("room:1");
    room.join(()).await.unwrap();
    let round = async |count: usize| {
        for number in 0..count {
            server.broadcast("room:1", "noise", json!({ "x": "x".repeat(1_000_000) }));
            server.broadcast("room:1", "said", json!({ "x": "x".repeat(4_200) }));
            if number % 20 == 0 {
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
    // Some buffers come and go; each message in the one it was read into would make 60 MB.
    assert!(held < 2 * charged + (8 << 20), "{held} bytes are held and {charged} charged");
    drop(slow);
}
