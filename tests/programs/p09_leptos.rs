//! What leptos asks: owned streams, `Send` and `'static`, of values that are `Send + Sync`.

use futures::{Stream, StreamExt};
use phoenix_streams::{Presence, Socket, Status};
use serde::Deserialize;

struct ReadSignal<T>(T);

/// As leptos' `ReadSignal::from_stream`.
fn from_stream<T: Send + Sync + 'static>(s: impl Stream<Item = T> + Send + 'static) -> ReadSignal<Option<T>> {
    drop(s);
    ReadSignal(None)
}

fn from_stream_local<T: 'static>(s: impl Stream<Item = T> + 'static) -> ReadSignal<Option<T>> {
    drop(s);
    ReadSignal(None)
}

#[derive(Deserialize, Clone)]
struct Shout {
    #[expect(dead_code, reason = "drawn by a view that is not here")]
    body: String,
}

#[derive(Deserialize, Clone)]
struct Meta {
    #[expect(dead_code, reason = "drawn by a view that is not here")]
    nick: String,
}

pub(crate) async fn main() -> anyhow::Result<()> {
    let socket = Socket::builder("ws://localhost:4000/socket").start()?;
    let room = socket.channel("room:1");
    let last = from_stream(room.events_as::<Shout>("shout"));
    let status = from_stream(socket.status());
    let who = from_stream(room.presence::<Meta>());
    let list =
        from_stream(room.events_as::<Shout>("shout").filter_map(|r| async { r.ok() }).scan(Vec::new(), |v, s| {
            v.push(s);
            let v = v.clone();
            async { Some(v) }
        }));
    let local = from_stream_local(room.messages());
    let names = from_stream(room.presence::<Meta>().map(|p| p.iter().map(|e| e.key().to_owned()).collect::<Vec<_>>()));
    let _: (Option<Status>, Option<Presence<Meta>>) = (status.0, who.0);
    let _ = (last.0, list.0, local.0, names.0);
    Ok(())
}
