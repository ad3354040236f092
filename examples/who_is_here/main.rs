//! Who is in a room, as a screen that keeps itself up to date.
//!
//! ```text
//! cargo run --example who_is_here                                         a server and a few people, in one process
//! cargo run --example who_is_here -- ws://host:4000/socket [topic] [name]   you, against any Phoenix server
//! ```
//!
//! `--demo-seconds N` ends either by itself. Where the output is no terminal, it is printed line by line.
//!
//! The server's channel pushes `presence_state` after the join and tracks whoever joined. A meta may have a `state` (or
//! `status`) and a `device`, each a string. What is typed is pushed as `new_msg`.

mod demo;
mod draw;
mod keys;
mod notes;
mod people;
mod state;
mod terminal;
mod text;
mod view;

use std::{
    future::{Future, pending},
    io::{self, Write, stderr, stdout},
    pin::pin,
    process::ExitCode,
    time::{Duration, Instant},
};

use futures::{StreamExt, stream::FuturesUnordered};
use phoenix_streams::{Backoff, Socket, json};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use demo::Demo;
use keys::Wish;
use people::Meta;
use state::{Said, State};
use view::View;

const USAGE: &str = "usage: who_is_here [--demo-seconds N] [ws://host:4000/socket [topic [name]]]";

/// However fast things happen, it is drawn 30 times a second at most.
const FRAME: Duration = Duration::from_millis(33);

#[tokio::main]
async fn main() -> ExitCode {
    // Whoever has hung up reads none of it.
    match run().await {
        Ok(seen) => {
            let _ = writeln!(stdout(), "{seen}");
            ExitCode::SUCCESS
        }
        Err(sentence) => {
            let _ = writeln!(stderr(), "{sentence}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<String, String> {
    let (mut seconds, mut places) = (None, Vec::new());
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        if arg == "--demo-seconds" {
            seconds = Some(args.next().and_then(|number| number.parse().ok()).ok_or(USAGE)?);
        } else if arg.starts_with('-') || places.len() == 3 {
            return Err(USAGE.to_owned());
        } else {
            places.push(arg);
        }
    }
    let ended = async {
        tokio::select! {
            () = terminal::told_to_end() => {}
            () = after(seconds) => {}
        }
    };
    let mut places = places.into_iter();
    match places.next() {
        Some(url) => {
            let topic = places.next().unwrap_or_else(|| "room:lobby".to_owned());
            let name = places.next().unwrap_or_else(|| "somebody".to_owned());
            watch(&url, topic, name, ended).await
        }
        None => {
            let demo = Demo::start().await.map_err(|error| format!("there is no demo: {error}"))?;
            watch(demo.url(), demo::TOPIC.to_owned(), "guest".to_owned(), ended).await
        }
    }
}

/// One loop: whatever happens comes by a stream, changes the state, and the state is drawn. What was seen, in a sentence.
async fn watch(url: &str, topic: String, name: String, ended: impl Future<Output = ()>) -> Result<String, String> {
    // Somebody is looking: it is tried again every two seconds at least, and each heartbeat measures the latency.
    let backoff = Backoff::exponential(Duration::from_millis(50), Duration::from_secs(2));
    let describe = Socket::builder(url).reconnect(backoff).heartbeat(Duration::from_secs(5));
    let socket = describe.start().map_err(|error| error.to_string())?;
    let room = socket.channel(&topic);
    let mut people = room.presence::<Meta>();
    let mut said = room.events_as::<Said>("new_msg");
    let (mut status, mut latency) = (socket.status(), socket.latency());
    room.join(json!({ "name": &name, "device": "terminal", "state": "online" })).detach();

    let mut view = View::open().map_err(unshowable)?;
    let (mut keys, mut pushes, mut frames) = (view.keys(), FuturesUnordered::new(), interval(FRAME));
    frames.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut state, mut is_drawn, started) = (State::new(topic, name), false, Instant::now());
    let mut ended = pin!(ended);
    let outcome = loop {
        tokio::select! {
            _ = frames.tick(), if !is_drawn => {
                if let Err(error) = view.show(&mut state) {
                    break Err(unshowable(error));
                }
                is_drawn = true;
                continue;
            }
            Some(present) = people.next() => state.present(present),
            item = said.next() => match item {
                Some(Ok(said)) => state.heard(said),
                Some(Err(error)) => if let Err(sentence) = state.missed(error) {
                    break Err(sentence);
                },
                None => break Err("the server closed the room".to_owned()),
            },
            Some(status) = status.next() => {
                if status.is_connected() {
                    // For a first round trip, now.
                    tokio::spawn(socket.ping());
                }
                state.connection(status);
            }
            Some(latency) = latency.next() => state.latency = latency,
            Some(key) = keys.next() => match key.map(|event| keys::wish(event, &mut state)) {
                Ok(Some(Wish::Say(body))) => {
                    let push = room.push("new_msg", Said { name: state.me.clone(), body: body.clone() });
                    let number = state.saying(body);
                    pushes.push(async move { (number, push.await) });
                }
                Ok(Some(Wish::Leave)) => break Ok(()),
                Ok(None) => {}
                Err(error) => break Err(unshowable(error)),
            },
            Some((number, outcome)) = pushes.next() => state.said(number, outcome.map(drop)),
            () = &mut ended => break Ok(()),
        }
        is_drawn = false;
    };

    // The terminal first: a goodbye may take a moment. What was typed last may still be on its way.
    drop((keys, view));
    let on_its_way = async {
        while let Some((number, outcome)) = pushes.next().await {
            // What has failed now was not answered: that is told below.
            if outcome.is_ok() {
                state.said(number, Ok(()));
            }
        }
    };
    let _ = timeout(Duration::from_secs(1), on_its_way).await;
    let _ = room.leave().timeout(Duration::from_secs(1)).await;
    socket.close().await;
    outcome.map(|()| state.seen(started.elapsed()))
}

async fn after(seconds: Option<u64>) {
    match seconds {
        Some(seconds) => sleep(Duration::from_secs(seconds)).await,
        None => pending().await,
    }
}

fn unshowable(error: io::Error) -> String {
    format!("nothing can be shown: {error}")
}
