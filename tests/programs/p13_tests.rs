//! An application, tested with the embedded server and with the memory pair.

use std::time::Duration;

use futures::StreamExt;
use phoenix_streams::{Channel, PushError, Socket, Transport, json, testing::ServerBuilder, transport::memory};
use serde::Deserialize;

/// The application under test.
async fn greet(room: &Channel, name: &str) -> Result<String, PushError> {
    Ok(room.push("greet", json!({ "name": name })).await?.json::<Hello>().map(|h| h.text).unwrap_or_default())
}

#[derive(Deserialize)]
struct Hello {
    text: String,
}

pub(crate) async fn with_server(server: ServerBuilder, transport: impl Transport) -> anyhow::Result<()> {
    let server = server
        .join("room:*", |_peer, params| async move {
            match params.json::<serde_json::Value>() {
                Ok(p) if p["nick"].is_string() => Ok(json!({ "motd": "hi" })),
                _ => Err(json!({ "reason": "nick" })),
            }
        })
        .on("room:*", "greet", |peer, p| async move {
            peer.broadcast("greeted", p);
            Ok(json!({ "text": "hello" }))
        })
        .start()
        .await?;
    let socket = Socket::builder(server.url()).transport(transport).connect().await?;
    let room = socket.channel("room:1");
    let mut greeted = room.events("greeted");
    room.join(json!({ "nick": "ann" })).await?;
    assert_eq!(greet(&room, "ann").await?, "hello");
    assert!(greeted.next().await.is_some());
    let inflight = tokio::spawn(room.push("never", ()));
    server.drop_connections();
    assert!(matches!(inflight.await?, Err(PushError::Disconnected)));
    server.refuse_next(503, 2);
    server.close_all(1012);
    room.push("greet", ()).timeout(Duration::from_secs(5)).await?;
    Ok(())
}

pub(crate) async fn with_memory() -> anyhow::Result<()> {
    tokio::time::pause();
    let (transport, mut peer) = memory::pair();
    let socket = Socket::builder("ws://memory/socket").transport(transport).start()?;
    let room = socket.channel("room:1");
    let mut shouts = room.events("shout");
    let app = tokio::spawn({
        let room = room.clone();
        async move {
            room.join(()).await?;
            anyhow::Ok(greet(&room, "ann").await?)
        }
    });
    let mut conn = peer.accept().await;
    let join = conn.recv().await.unwrap();
    assert_eq!(&*join.event, "phx_join");
    conn.reply(&join, "ok", ()).await;
    let push = conn.recv().await.unwrap();
    conn.reply(&push, "ok", json!({ "text": "hello" })).await;
    conn.broadcast("room:1", "shout", json!({})).await;
    assert_eq!(app.await??, "hello");
    assert!(shouts.next().await.is_some());
    conn.close(1012);
    peer.refuse(http::StatusCode::SERVICE_UNAVAILABLE).await;
    tokio::time::advance(Duration::from_secs(2)).await;
    let _again = peer.accept().await;
    Ok(())
}
