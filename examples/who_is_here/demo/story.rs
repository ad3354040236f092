//! People who come, change, talk and go, round after round: each of their devices is a client with a socket of its own.

use std::{collections::HashMap, error::Error, time::Duration};

use phoenix_streams::{Channel, Socket, json};
use tokio::{sync::watch, time::sleep};

use super::TOPIC;

/// From one step to the next.
const PACE: Duration = Duration::from_millis(800);

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

enum Step {
    /// With a state.
    Comes(&'static str, &'static str, &'static str),
    Turns(&'static str, &'static str, &'static str),
    Says(&'static str, &'static str, &'static str),
    Goes(&'static str, &'static str),
    /// The viewer's line, and nobody else's.
    Cut,
    Mend,
    Pause,
}

use Step::{Comes, Cut, Goes, Mend, Pause, Says, Turns};

/// Before anybody looks.
const BEFORE: [Step; 3] =
    [Comes("ann", "laptop", "online"), Comes("bob", "phone", "away"), Comes("小林さん", "desktop", "busy")];

/// At its end, as before it.
const ROUND: [Step; 22] = [
    Turns("bob", "phone", "online"),
    Comes("cleo", "tablet", "online"),
    Says("cleo", "tablet", "Hello everyone!"),
    Comes("ann", "phone", "away"),
    Says("ann", "laptop", "Hi cleo. My phone is here as well, in my pocket."),
    Turns("小林さん", "desktop", "online"),
    Comes("Maximiliane-Alexandra of the very long name", "laptop", "busy"),
    Says("小林さん", "desktop", "こんにちは 👋"),
    Says("bob", "phone", "And now something is done to your line."),
    Cut,
    Goes("cleo", "tablet"),
    Turns("bob", "phone", "busy"),
    Comes("Zoë 🚀", "space suit", "online"),
    Mend,
    Pause,
    Pause,
    Says("Zoë 🚀", "space suit", "Hello. Somebody was here, but has just gone?"),
    Turns("小林さん", "desktop", "busy"),
    Goes("ann", "phone"),
    Turns("bob", "phone", "away"),
    Goes("Maximiliane-Alexandra of the very long name", "laptop"),
    Goes("Zoë 🚀", "space suit"),
];

/// The devices that are there.
pub(crate) struct Story {
    url: String,
    there: HashMap<(&'static str, &'static str), Channel>,
}

pub(crate) async fn begin(url: &str) -> Outcome<Story> {
    let mut story = Story { url: url.to_owned(), there: HashMap::new() };
    let nobody = watch::Sender::default();
    for step in &BEFORE {
        story.take(step, &nobody).await?;
    }
    Ok(story)
}

impl Story {
    pub(crate) async fn go_on(mut self, line: watch::Sender<bool>) -> Outcome<()> {
        for step in ROUND.iter().cycle() {
            sleep(PACE).await;
            self.take(step, &line).await?;
        }
        Ok(())
    }

    async fn take(&mut self, step: &Step, line: &watch::Sender<bool>) -> Outcome<()> {
        match *step {
            Comes(name, device, state) => {
                let room = Socket::builder(&self.url).start()?.channel(TOPIC);
                room.join(json!({ "name": name, "device": device, "state": state })).await?;
                self.there.insert((name, device), room);
            }
            Turns(name, device, state) => {
                self.there[&(name, device)].push("state", json!({ "state": state })).await?;
            }
            Says(name, device, body) => {
                self.there[&(name, device)].push("new_msg", json!({ "name": name, "body": body })).await?;
            }
            // The last part of a socket that is dropped closes it.
            Goes(name, device) => drop(self.there.remove(&(name, device))),
            Cut => drop(line.send_replace(true)),
            Mend => drop(line.send_replace(false)),
            Pause => {}
        }
        Ok(())
    }
}
