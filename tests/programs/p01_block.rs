//! The whole surface at a glance.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use phoenix_streams::{LongPoll, Socket, Transport, json};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Clone, Debug)]
struct Shout {
    body: String,
}

#[derive(Deserialize)]
struct Welcome {
    motd: String,
}

#[derive(Deserialize)]
struct Meta {
    #[expect(dead_code, reason = "nobody looks at it here")]
    nick: String,
}

#[derive(Serialize)]
struct Move {
    x: f32,
    y: f32,
}

#[derive(Deserialize, Debug)]
#[serde(rename_all = "snake_case")]
enum RoomEvent {
    #[expect(dead_code, reason = "decoded alone")]
    Shout(Shout),
    Typing,
    #[serde(other)]
    Other,
}

#[derive(Debug, thiserror::Error)]
#[error("no token")]
struct NoToken;

async fn fetch_token() -> Result<String, NoToken> {
    Ok("t".into())
}

pub(crate) async fn main(url: &str, transport: impl Transport) -> Result<(), Box<dyn std::error::Error>> {
    let shout = Shout { body: "hi".into() };
    let moves = futures::stream::iter([Move { x: 0., y: 0. }, Move { x: 1., y: 2. }]);

    let socket = Socket::builder(url)
        .params(json!({ "user_id": 7 }))
        .auth_token_with(|| async { Ok(fetch_token().await?) })
        .header("x-app", "demo")
        .transport(transport)
        .connect()
        .await?;

    let mut status = socket.status();
    let log = socket.telemetry();

    let room = socket.channel("room:lobby");
    let shouts = room.events("shout");
    let typed = room.events_as::<Shout>("shout");
    let all = room.messages_as::<RoomEvent>();
    let who = room.presence::<Meta>();
    let hello: Welcome = room.join(json!({ "nick": "ann" })).await?.json()?;

    let reply = room.push("shout", &shout).timeout(Duration::from_secs(2)).await?;
    room.cast("typing", ()).await?;
    moves.map(Ok).forward(room.sink("cursor")).await?;

    shouts.lossy().take(1).for_each(|m| async move { println!("{}", m.payload()) }).await;
    let first: Vec<Shout> = typed.take(1).try_collect().await?;

    // Left out until topics are data: `socket.follow(selected_topics)`.
    let polled = Socket::builder(url).transport(LongPoll::default()).start()?;

    room.leave().await?;
    socket.disconnect().code(4000).reason("lunch").await;
    socket.close().await;
    println!("{} {} {:?} {:?}", hello.motd, reply.status(), first, status.next().await);
    drop((log, all, who, polled));
    Ok(())
}
