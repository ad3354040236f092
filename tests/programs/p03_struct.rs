//! Handles and streams held in a struct, which a task runs.

use std::collections::VecDeque;

use futures::{FutureExt, StreamExt};
use phoenix_streams::{Channel, EventError, EventsAs, JoinError, Latest, PushError, Reply, Socket, Status, json};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Clone, Debug)]
struct Shout {
    body: String,
}

struct Room {
    socket: Socket,
    channel: Channel,
    shouts: EventsAs<Shout>,
    // Left out until presence exists: `who: Latest<Presence<Meta>>` and what it showed last.
    status: Latest<Status>,
    history: VecDeque<Shout>,
}

impl Room {
    async fn open(socket: &Socket, name: &str) -> Result<Self, JoinError> {
        let channel = socket.channel(format!("room:{name}"));
        let room = Room {
            socket: socket.clone(),
            shouts: channel.events_as("shout"),
            status: socket.status(),
            channel,
            history: VecDeque::new(),
        };
        room.channel.join(json!({})).await?;
        Ok(room)
    }
    async fn say(&self, s: &Shout) -> Result<Reply, PushError> {
        self.channel.push("shout", s).await
    }
    async fn run(mut self) -> Result<(), EventError> {
        loop {
            tokio::select! {
                s = self.shouts.next() => match s { Some(s) => self.history.push_back(s?), None => return Ok(()) },
                Some(s) = self.status.next() => if s.is_closed() { return Ok(()) }
            }
            if let Some(last) = self.history.back().cloned() {
                self.say(&last).await.ok();
            }
        }
    }
}

pub(crate) async fn main() -> anyhow::Result<()> {
    let socket = Socket::builder("ws://localhost:4000/socket").connect().await?;
    let a = Room::open(&socket, "a").await?;
    let b = Room::open(&socket, "b").await?;
    let ha = tokio::spawn(a.run());
    let hb = tokio::spawn(b.run());
    let mut set = tokio::task::JoinSet::new();
    for t in ["x", "y"] {
        let room = socket.channel(t);
        set.spawn(room.join(()).map(|r| r.map(|_| ())));
    }
    ha.await??;
    hb.await??;
    Ok(())
}
