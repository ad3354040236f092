//! Streams combined: many channels in one, filtered, throttled, timed, batched, merged.

use std::{future::ready, time::Duration};

use futures::{
    StreamExt, TryStreamExt,
    stream::{self, select_all},
};
use phoenix_streams::{Channel, EventError, Socket, Status};
use serde::Deserialize;
use tokio_stream::StreamExt as TokioStreamExt;

#[derive(Deserialize, Debug)]
struct Shout {
    body: String,
}

#[derive(Deserialize, Debug)]
struct Tick {
    n: u64,
}

#[derive(Debug)]
enum Ev {
    Shout(Shout),
    Tick(Tick),
    Status(Status),
}

pub(crate) async fn main() -> anyhow::Result<()> {
    let socket = Socket::builder("ws://localhost:4000/socket").start()?;
    let rooms: Vec<Channel> = ["a", "b", "c"].iter().map(|t| socket.channel(t)).collect();
    let mut all = select_all(rooms.iter().map(|r| r.events("shout")));
    let named = select_all(rooms.iter().map(|r| {
        let t = r.topic().to_owned();
        r.events_as::<Shout>("shout").map_ok(move |s| (t.clone(), s)).boxed()
    }));
    futures::future::try_join_all(rooms.iter().map(|r| r.join(()))).await?;
    while let Some(Ok(m)) = futures::StreamExt::next(&mut all).await {
        println!("{}", m.topic());
    }
    let room = &rooms[0];
    let good = futures::StreamExt::filter_map(room.events_as::<Shout>("shout"), |r| ready(r.ok()));
    let numbered = good.scan(0u32, |n, s| {
        *n += 1;
        ready(Some((*n, s)))
    });
    let chunks = futures::StreamExt::chunks(numbered, 10);
    let _ = chunks.boxed();
    let slow = room.events_as::<Tick>("tick").throttle(Duration::from_millis(100));
    let _ = slow;
    let idle = TokioStreamExt::timeout(room.events("shout"), Duration::from_secs(5));
    tokio::pin!(idle);
    while let Some(r) = futures::StreamExt::next(&mut idle).await {
        match r {
            Ok(Ok(m)) => drop(m),
            Ok(Err(EventError::Lagged(_))) => {}
            Ok(Err(_)) => break,
            Err(_elapsed) => break,
        }
    }
    let mut batches = room.events_as::<Tick>("tick").try_ready_chunks(64);
    while let Some(b) = futures::StreamExt::next(&mut batches).await {
        match b {
            Ok(v) => println!("{}", v.len()),
            Err(e) => println!("{} then {}", e.0.len(), e.1),
        }
    }
    let merged = stream::select(
        stream::select(room.events_as("shout").map_ok(Ev::Shout), room.events_as("tick").map_ok(Ev::Tick)),
        futures::StreamExt::map(socket.status(), |s| Ok(Ev::Status(s))),
    );
    merged
        .try_for_each(|e| async move {
            println!("{e:?}");
            Ok(())
        })
        .await?;
    let _ = named;
    Ok(())
}
