//! Whoever is present, and what became of them, in words.

use phoenix_streams::{Change, Entry};
use serde::Deserialize;

use crate::{
    notes::Note,
    text::{count, printable},
};

/// What is known of one place that somebody is present from. Of an application that tracks other things, this is what
/// there is of it.
#[derive(Debug, Deserialize)]
pub(crate) struct Meta {
    #[serde(default = "online", alias = "status")]
    state: String,
    #[serde(default)]
    device: String,
}

/// Somebody, as they are shown.
pub(crate) struct Person {
    pub(crate) name: String,
    /// Of all their devices the one that says most: who is online on one of them is online.
    pub(crate) state: String,
    pub(crate) devices: String,
}

impl Person {
    pub(crate) fn new(entry: &Entry<Meta>) -> Self {
        let metas = entry.metas();
        let state = match metas.iter().min_by_key(|meta| rank(&meta.state)) {
            Some(meta) => printable(&meta.state),
            None => "unknown".to_owned(),
        };
        let mut devices: Vec<String> = metas.iter().map(|meta| device(meta, &state)).collect();
        devices.retain(|device| !device.is_empty());
        if devices.is_empty() && metas.len() > 1 {
            devices.push(format!("{} times", metas.len()));
        }
        if entry.undecodable() > 0 {
            devices.push(format!("{} unreadable", entry.undecodable()));
        }
        Person { name: printable(entry.key()), state, devices: devices.join(", ") }
    }
}

/// What has happened to them, if it is worth telling.
pub(crate) fn happened(change: &Change<Meta>) -> Option<Note> {
    let name = printable(change.key());
    let (came, went) = (change.came(), change.went());
    let on = |meta: &Meta| match &*meta.device {
        "" => String::new(),
        device => format!(" on {}", printable(device)),
    };
    Some(match (change, &came[..], &went[..]) {
        (Change::Joined(_), [], _) => Note::Came(format!("{name} came")),
        (Change::Joined(_), [first, ..], _) => match &*first.state {
            "online" => Note::Came(format!("{name} came{}", on(first))),
            state => Note::Came(format!("{name} came{}, {}", on(first), printable(state))),
        },
        (Change::Left(_), ..) => Note::Went(format!("{name} went")),
        // Who was away together with their connection is here again as before.
        _ if words(&came) == words(&went) => return None,
        (_, [new], [old]) if new.device == old.device => {
            Note::Changed(format!("{name} is {} now{}", printable(&new.state), on(new)))
        }
        (_, [new], []) => Note::Came(format!("{name} came{} too", on(new))),
        (_, [], [old]) => Note::Went(format!("{name} is no longer here{}", on(old))),
        (_, came, _) => Note::Changed(format!("{name} has changed {}", count(came.len(), "place"))),
    })
}

fn online() -> String {
    "online".to_owned()
}

fn rank(state: &str) -> usize {
    ["online", "busy", "away"].iter().position(|known| *known == state).unwrap_or(3)
}

/// With its state, where that is another than what is said of the person.
fn device(meta: &Meta, state: &str) -> String {
    let (device, its) = (printable(&meta.device), printable(&meta.state));
    match its == state {
        true => device,
        false => format!("{device} ({its})").trim_start().to_owned(),
    }
}

fn words<'a>(metas: &[&'a Meta]) -> Vec<(&'a str, &'a str)> {
    let mut words: Vec<_> = metas.iter().map(|meta| (&*meta.device, &*meta.state)).collect();
    words.sort_unstable();
    words
}
