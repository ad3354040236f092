//! Ann and bob meet in a room of the embedded server, which cuts ann's connection once.

use std::{error::Error, future::ready, time::Duration};

use futures::{Stream, StreamExt};
use phoenix_streams::{
    Backoff, BoxTransport, Channel, ChannelStatus, Push, Reply, Socket, Status, json, testing::Server,
};
use serde::Deserialize;

use crate::Said;

type Outcome<T> = Result<T, Box<dyn Error>>;

#[derive(Deserialize)]
struct Welcome {
    motd: String,
}

pub(crate) async fn run(transport: BoxTransport) -> Outcome<()> {
    let server = server().await?;
    println!("   -- a server listens on loopback --");

    let (ann_socket, ann) = enter(&server, &transport, "ann").await?;
    let (bob_socket, bob) = enter(&server, &transport, "bob").await?;
    let mut ann_hears = others(&ann, "ann");
    let mut bob_hears = others(&bob, "bob");

    say(&ann, "ann", "hi bob").await?;
    hear("bob", &mut bob_hears).await?;
    say(&bob, "bob", "hi ann, all well?").await?;
    hear("ann", &mut ann_hears).await?;
    if let Err(refused) = say(&ann, "ann", "").await {
        println!(" ann says   nothing, and is told: {refused}");
    }

    // Ann watches her status while the server cuts every connection.
    let mut status = ann_socket.status();
    let mut bob_status = bob_socket.status();
    println!("   -- the server cuts all connections --");
    server.drop_connections();
    let offline = |status: &Status| !status.is_connected();
    let (ann_now, bob_now) = tokio::join!(status.wait_for(offline), bob_status.wait_for(offline));
    for (name, now) in [("ann", ann_now), ("bob", bob_now)] {
        if let Some(Status::Waiting { cause, .. }) = now {
            println!("{name:>4} is offline: {cause}");
        }
    }

    // Nobody waits for anything: bob rejoins by himself, and what ann says meanwhile goes out when she is back.
    bob.status().wait_for(ChannelStatus::is_joined).await;
    println!(" bob is online again, and back in {}", bob.topic());
    let (reply, _) = tokio::join!(push(&ann, "ann", "did I miss anything?"), status.wait_for(Status::is_connected));
    println!(" ann is online again, and rejoins {}", ann.topic());
    replied("ann", "did I miss anything?", &reply?);
    hear("bob", &mut bob_hears).await?;
    say(&bob, "bob", "not a word").await?;
    hear("ann", &mut ann_hears).await?;

    ann.leave().await?;
    println!(" ann leaves {}", ann.topic());
    tokio::join!(ann_socket.close(), bob_socket.close());
    println!("   -- all is closed --");
    Ok(())
}

async fn server() -> std::io::Result<Server> {
    Server::builder()
        .join("room:*", |_, params| {
            let name = params.json::<serde_json::Value>().ok().and_then(|all| all["name"].as_str().map(str::to_owned));
            ready(match name {
                Some(name) => Ok(json!({ "motd": format!("welcome, {name}") })),
                None => Err(json!({ "reason": "a name is needed" })),
            })
        })
        .on("room:*", "new_msg", |peer, said| {
            ready(match said.json::<Said>() {
                Ok(Said { body, .. }) if body.is_empty() => Err(json!({ "reason": "empty" })),
                Ok(Said { body, .. }) => {
                    peer.broadcast("new_msg", said);
                    Ok(json!({ "length": body.len() }))
                }
                Err(_) => Err(json!({ "reason": "not a message" })),
            })
        })
        .start()
        .await
}

async fn enter(server: &Server, transport: &BoxTransport, name: &str) -> Outcome<(Socket, Channel)> {
    // By default the first attempt comes after 10 ms, which is too soon to be seen.
    let unhurried = Backoff::steps([Duration::from_millis(500)]);
    let params = json!({ "name": name });
    let builder = Socket::builder(server.url()).transport(transport.clone()).params(params);
    let socket = builder.reconnect(unhurried).connect().await?;
    let room = socket.channel("room:lobby");
    let welcome: Welcome = room.join(json!({ "name": name })).await?.json()?;
    println!("{name:>4} joins  {}: {:?}", room.topic(), welcome.motd);
    Ok((socket, room))
}

/// What the others say, as it is printed.
fn others(room: &Channel, me: &'static str) -> impl Stream<Item = String> + Unpin + use<> {
    room.events_as::<Said>("new_msg")
        .lossy()
        .filter(move |said| ready(said.name != me))
        .map(|Said { name, body }| format!("<{name}> {body}"))
}

async fn say(room: &Channel, name: &str, body: &str) -> Outcome<()> {
    replied(name, body, &push(room, name, body).await?);
    Ok(())
}

fn push(room: &Channel, name: &str, body: &str) -> Push {
    room.push("new_msg", Said { name: name.to_owned(), body: body.to_owned() })
}

fn replied(name: &str, body: &str, reply: &Reply) {
    println!("{name:>4} says   {body:?}, and the server replies {}", reply.payload());
}

async fn hear(name: &str, hears: &mut (impl Stream<Item = String> + Unpin)) -> Outcome<()> {
    let line = hears.next().await.ok_or("the room was closed")?;
    println!("{name:>4} hears  {line}");
    Ok(())
}
