//! What iced asks: a `Hash` handle, and a plain function from it to an owned stream.

use std::hash::Hash;

use futures::{Stream, StreamExt, stream};
use phoenix_streams::{Channel, EventError, Events, EventsAs, Socket};

/// As iced's `Subscription::run_with`.
fn run_with<D: Hash + 'static, S: Stream + Send + 'static>(data: D, f: fn(&D) -> S) -> (D, S) {
    let s = f(&data);
    (data, s)
}

#[derive(serde::Deserialize)]
struct Shout {
    #[expect(dead_code, reason = "drawn by a view that is not here")]
    body: String,
}

#[expect(dead_code, reason = "read by an update function that is not here")]
enum Msg {
    Shout(Result<Shout, EventError>),
    Joined,
    Refused(String),
}

fn connect((url, topic): &(String, String)) -> impl Stream<Item = Msg> + use<> {
    let started = Socket::builder(url).start();
    let topic = topic.clone();
    async_stream::stream! {
        let socket = match started {
            Ok(s) => s,
            Err(e) => {
                yield Msg::Refused(e.to_string());
                return;
            }
        };
        let room = socket.channel(topic);
        let mut shouts = room.events_as::<Shout>("shout");
        match room.join(()).await {
            Ok(_) => yield Msg::Joined,
            Err(e) => yield Msg::Refused(e.to_string()),
        }
        while let Some(s) = shouts.next().await {
            yield Msg::Shout(s)
        }
    }
}

/// The short way: a handle is the identity, its stream is the subscription, and the stream joins.
fn joined(room: &Channel) -> impl Stream<Item = Msg> + use<> {
    let shouts = room.events_as::<Shout>("shout");
    let join = room.join(());
    stream::once(join)
        .map(|r| match r {
            Ok(_) => Msg::Joined,
            Err(e) => Msg::Refused(e.to_string()),
        })
        .chain(shouts.map(Msg::Shout))
}

pub(crate) async fn main() -> anyhow::Result<()> {
    let socket = Socket::builder("ws://localhost:4000/socket").start()?;
    let room = socket.channel("room:1");
    let (_, a) = run_with(room.clone(), |r: &Channel| r.events("shout"));
    let _a: Events = a;
    let (_, b) = run_with((room.clone(), 7u32), |(r, _)| r.events_as::<Shout>("shout"));
    let _b: EventsAs<Shout> = b;
    let _ = run_with(room.clone(), Channel::messages);
    let _ = run_with(socket.clone(), Socket::status);
    let _ = run_with(room.clone(), Channel::presence::<Shout>);
    let _ = run_with(("u".to_string(), "t".to_string()), connect);
    let _ = run_with(room, joined);
    Ok(())
}
