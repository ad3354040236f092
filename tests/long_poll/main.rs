//! The long-poll transport against the embedded server.

use std::time::Duration;

use futures::StreamExt;
use phoenix_streams::{LongPoll, Socket, json, testing::Server};

async fn server() -> Server {
    Server::builder()
        .join("room:*", |_, _| async { Ok(json!({ "motd": "hi" })) })
        .on("room:*", "shout", |peer, said| async move {
            peer.broadcast("shout", said);
            Ok(json!({ "heard": true }))
        })
        .window(Duration::from_millis(300))
        .start()
        .await
        .unwrap()
}

#[tokio::test]
async fn smoke() {
    let server = server().await;
    let socket = Socket::builder(server.url()).transport(LongPoll::default()).connect().await.unwrap();
    println!("{:?}", socket.status().current());
    let room = socket.channel("room:lobby");
    let mut shouts = room.events("shout");
    println!("{:?}", room.join(()).await.unwrap());
    println!("{:?}", room.push("shout", json!({ "body": "hi" })).await.unwrap());
    println!("{:?}", shouts.next().await);
    let pushes = futures::future::join_all((0..250).map(|n| room.push("shout", json!({ "n": n })))).await;
    assert!(pushes.iter().all(Result::is_ok), "{pushes:?}");
    let begin = std::time::Instant::now();
    socket.close().await;
    println!("{:?}", begin.elapsed());
}
