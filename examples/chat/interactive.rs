//! You, against any Phoenix server. Lines you type are pushed as `new_msg`; Ctrl-D leaves.

use std::time::Duration;

use futures::{StreamExt, stream::FuturesUnordered};
use phoenix_streams::{BoxTransport, ChannelStatus, EventError, JoinError, NotJoined, PushError, Socket, Status, json};
use tokio::io::{AsyncBufReadExt, BufReader, stdin};
use tokio_stream::wrappers::LinesStream;

use crate::Said;

pub(crate) async fn run(url: &str, transport: BoxTransport, topic: &str, name: &str) -> Result<(), String> {
    let socket = Socket::builder(url).transport(transport).start().map_err(|error| error.to_string())?;
    let mut status = socket.status();
    // A socket would go on trying; a person who mistyped a host wants to know at once.
    match status.wait_for(|status| !matches!(status, Status::Idle | Status::Connecting { .. })).await {
        Some(Status::Waiting { cause, .. } | Status::Stopped { cause }) => {
            return Err(format!("cannot connect: {cause}"));
        }
        _ => println!("connected"),
    }
    let room = socket.channel(topic);
    let mut said = room.events_as::<Said>("new_msg");
    room.join(json!({ "name": name })).await.map_err(|error| match error {
        JoinError::Refused(reply) => format!("{topic} cannot be joined: {}", reply.payload()),
        error => format!("{topic} cannot be joined: {error}"),
    })?;
    println!("joined {topic}; what you type is sent, Ctrl-D leaves");

    let (mut channel, mut away) = (room.status(), false);
    let mut pushes = FuturesUnordered::new();
    let mut lines = LinesStream::new(BufReader::new(stdin()).lines());
    loop {
        tokio::select! {
            line = lines.next() => match line {
                Some(Ok(line)) if line.trim().is_empty() => {}
                Some(Ok(body)) => pushes.push(room.push("new_msg", Said { name: name.to_owned(), body })),
                _ => break,
            },
            Some(outcome) = pushes.next() => match outcome {
                // Many chats do not reply to a message; it was sent all the same.
                Ok(_) | Err(PushError::Timeout) => {}
                Err(error) => println!("* {error}"),
            },
            item = said.next() => match item {
                Some(Ok(Said { name, body })) => println!("<{name}> {body}"),
                Some(Err(EventError::Decode { message, .. })) => println!("<?> {}", message.payload()),
                Some(Err(error)) => println!("* {error}"),
                None => return Err(format!("the server closed {topic}")),
            },
            Some(status) = status.next() => match status {
                Status::Waiting { cause, delay, .. } => {
                    println!("* {cause}; trying again in {:.1} s", delay.as_secs_f32());
                }
                Status::Stopped { cause } => return Err(cause.to_string()),
                _ => {}
            },
            Some(status) = channel.next() => match status {
                ChannelStatus::Errored { cause } => {
                    // A lost connection is told by the socket.
                    if !matches!(cause, NotJoined::ConnectionLost(_)) {
                        println!("* {cause}");
                    }
                    away = true;
                }
                ChannelStatus::Joined if std::mem::take(&mut away) => println!("* back in {topic}"),
                _ => {}
            },
        }
    }
    // What was typed last may still be on its way, and a leave does not wait for it.
    let _ = tokio::time::timeout(Duration::from_secs(2), pushes.count()).await;
    if room.leave().await.is_ok() {
        println!("left {topic}");
    }
    socket.close().await;
    Ok(())
}
