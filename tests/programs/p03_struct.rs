//! Handles and streams held in a struct, which a task runs.

use std::collections::VecDeque;

use futures::{FutureExt, StreamExt};
use phoenix_streams::{
    Channel, EventError, EventsAs, JoinError, Latest, Presence, PushError, Reply, Socket, Status, json,
};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Clone, Debug)]
struct Shout {
    body: String,
}

#[derive(Deserialize, Clone)]
struct Meta {
    nick: String,
}

struct Room {
    socket: Socket,
    channel: Channel,
    shouts: EventsAs<Shout>,
    who: Latest<Presence<Meta>>,
    status: Latest<Status>,
    history: VecDeque<Shout>,
    present: Presence<Meta>,
}

impl Room {
    async fn open(socket: &Socket, name: &str) -> Result<Self, JoinError> {
        let channel = socket.channel(format!("room:{name}"));
        let room = Room {
            socket: socket.clone(),
            shouts: channel.events_as("shout"),
            who: channel.presence(),
            status: socket.status(),
            channel,
            history: VecDeque::new(),
            present: Presence::default(),
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
                Some(p) = self.who.next() => {
                    for e in p.iter() {
                        println!("{} x{}", e.key(), e.metas().len());
                    }
                    self.present = p
                }
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
