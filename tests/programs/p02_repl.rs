//! A chat in a terminal: lines, events and the status in one loop.

use futures::StreamExt;
use phoenix_streams::{EventError, PushError, Socket, Status, json};
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, BufReader, stdin};
use tokio_stream::wrappers::LinesStream;

#[derive(Deserialize)]
struct Shout {
    nick: String,
    body: String,
}

pub(crate) async fn main() -> anyhow::Result<()> {
    let socket = Socket::builder("ws://localhost:4000/socket").start()?;
    let room = socket.channel("room:lobby");
    let mut shouts = room.events_as::<Shout>("shout");
    let mut status = socket.status();
    let mut lines = LinesStream::new(BufReader::new(stdin()).lines());
    room.join(()).await?;
    loop {
        tokio::select! {
            Some(line) = lines.next() => {
                let line = line?;
                match line.as_str() {
                    "/quit" => break,
                    body => match room.push("shout", json!({ "body": body })).await {
                        Ok(_) => {}
                        Err(PushError::Rejected(r)) => eprintln!("refused: {}", r.payload()),
                        Err(e) => eprintln!("not delivered: {e}"),
                    },
                }
            }
            Some(shout) = shouts.next() => match shout {
                Ok(Shout { nick, body }) => println!("<{nick}> {body}"),
                Err(EventError::Lagged(n)) => eprintln!("({n} lost)"),
                Err(e) => eprintln!("({e})"),
            },
            Some(s) = status.next() => match s {
                Status::Connected { .. } => eprintln!("online"),
                Status::Waiting { delay, cause, .. } => eprintln!("{cause}, again in {delay:?}"),
                Status::Closed => break,
                _ => {}
            },
            else => break,
        }
    }
    room.leave().await.ok();
    socket.close().await;
    Ok(())
}
