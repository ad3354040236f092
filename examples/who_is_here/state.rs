//! What is known: changed by what the streams bring, and drawn.

use std::{
    mem::{Discriminant, discriminant},
    time::Duration,
};

use phoenix_streams::{ConnectError, EventError, Presence, PresenceState, PushError, Status};
use serde::{Deserialize, Serialize};

use crate::{
    notes::{Note, Notes},
    people::{Meta, Person, happened},
    text::{count, printable},
};

/// A message of a room.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Said {
    #[serde(default = "somebody")]
    pub(crate) name: String,
    pub(crate) body: String,
}

pub(crate) struct State {
    pub(crate) topic: String,
    pub(crate) me: String,
    pub(crate) present: Presence<Meta>,
    pub(crate) status: Status,
    pub(crate) latency: Option<Duration>,
    pub(crate) notes: Notes,
    /// What is being typed.
    pub(crate) input: String,
    /// What was said here and has not come back yet, each with its number.
    pub(crate) on_its_way: Vec<(usize, String)>,
    /// How many people are above the first shown.
    pub(crate) scrolled: usize,
    seen: Seen,
}

/// For the last sentence.
#[derive(Default)]
struct Seen {
    most: usize,
    came: usize,
    went: usize,
    messages: usize,
    sayings: usize,
    losses: usize,
    /// Why there is no connection, as far as it was told.
    why: Vec<Discriminant<ConnectError>>,
}

impl State {
    pub(crate) fn new(topic: String, me: String) -> Self {
        State {
            topic,
            me,
            present: Presence::default(),
            status: Status::Idle,
            latency: None,
            notes: Notes::default(),
            input: String::new(),
            on_its_way: Vec::new(),
            scrolled: 0,
            seen: Seen::default(),
        }
    }

    pub(crate) fn present(&mut self, present: Presence<Meta>) {
        let is_first = self.present.state() == PresenceState::Awaiting && present.state() == PresenceState::Synced;
        self.seen.most = self.seen.most.max(present.len());
        self.present = present;
        if is_first {
            // Everyone is new to us: that is no news.
            return self.notes.write(Note::Told(self.who(10)));
        }
        let news: Vec<Note> = self.present.changes().filter_map(|change| happened(&change)).collect();
        for note in news {
            match note {
                Note::Came(_) => self.seen.came += 1,
                Note::Went(_) => self.seen.went += 1,
                _ => {}
            }
            self.notes.write(note);
        }
    }

    pub(crate) fn heard(&mut self, Said { name, body }: Said) {
        if name == self.me
            && let Some(place) = self.on_its_way.iter().position(|(_, mine)| *mine == body)
        {
            self.on_its_way.remove(place);
        }
        self.seen.messages += 1;
        self.notes.write(Note::Said { name: printable(&name), body: printable(&body) });
    }

    /// Something was not heard.
    ///
    /// # Errors
    /// There is nothing more to hear.
    pub(crate) fn missed(&mut self, error: EventError) -> Result<(), String> {
        if let EventError::NotJoined(why) = error {
            return Err(printable(&format!("{} cannot be joined: {why}", self.topic)));
        }
        self.notes.write(Note::Told(printable(&error.to_string())));
        Ok(())
    }

    /// Something is about to be said: its number.
    pub(crate) fn saying(&mut self, body: String) -> usize {
        self.seen.sayings += 1;
        self.on_its_way.push((self.seen.sayings, body));
        self.seen.sayings
    }

    /// What became of it. Who cannot be heard finds the words again where they were typed.
    pub(crate) fn said(&mut self, number: usize, outcome: Result<(), PushError>) {
        let Some(place) = self.on_its_way.iter().position(|(its, _)| *its == number) else { return };
        let (_, body) = self.on_its_way.remove(place);
        if let Err(error) = outcome {
            let whether = match &error {
                PushError::Rejected(_) => "refused",
                error if error.is_not_sent() => "not said",
                _ => "perhaps not heard",
            };
            self.notes.write(Note::Unsaid(printable(&format!("{whether}: {body} ({error})"))));
            if self.input.is_empty() {
                self.input = body;
            }
        }
    }

    pub(crate) fn connection(&mut self, status: Status) {
        let (was, is) = (self.status.is_connected(), status.is_connected());
        if was && !is {
            self.seen.losses += 1;
            self.notes.write(Note::Told("the connection is lost".to_owned()));
        }
        if is && !self.seen.why.is_empty() {
            self.seen.why.clear();
            self.notes.write(Note::Told("the connection is back".to_owned()));
        }
        // Each kind of cause is told once, however many attempts fail for it.
        if let Status::Waiting { cause, .. } | Status::Stopped { cause } = &status
            && !self.seen.why.contains(&discriminant(cause))
        {
            self.seen.why.push(discriminant(cause));
            self.notes.write(Note::Told(printable(&cause.to_string())));
        }
        self.status = status;
    }

    /// How many are here, and how far that can be relied on.
    pub(crate) fn heading(&self) -> String {
        let number = match self.present.len() {
            0 => "nobody here".to_owned(),
            number => format!("{number} here"),
        };
        match self.present.state() {
            PresenceState::Synced => number,
            PresenceState::Stale if self.status.is_connected() => format!("stale: {number}, until the room is back"),
            PresenceState::Stale => format!("stale: {number}, as of before the connection was lost"),
            PresenceState::Closed => format!("closed: {number} at last"),
            _ => "waiting for the list".to_owned(),
        }
    }

    /// How many are here, and the first so many of them.
    pub(crate) fn who(&self, most: usize) -> String {
        let heading = self.heading();
        if self.present.is_empty() { heading } else { format!("{heading}: {}", self.names(most)) }
    }

    /// The first so many of those who are here.
    pub(crate) fn names(&self, most: usize) -> String {
        let persons = self.present.iter().take(most).map(|entry| Person::new(&entry));
        let mut names: Vec<String> = persons.map(|person| format!("{} ({})", person.name, person.state)).collect();
        let more = self.present.len() - names.len();
        if more > 0 {
            names.push(format!("and {more} more"));
        }
        names.join(", ")
    }

    /// All of it in a sentence.
    pub(crate) fn seen(&self, time: Duration) -> String {
        let Seen { most, came, went, messages, losses, .. } = self.seen;
        let mut seen = format!("{} in {} s: ", printable(&self.topic), time.as_secs());
        seen += &match self.present.state() {
            PresenceState::Awaiting => "who is there was never told".to_owned(),
            _ => format!("at most {most} there at once, {came} came and {went} went"),
        };
        seen += &format!(", {} heard", count(messages, "message"));
        match losses {
            0 => {}
            1 => seen += ", the connection lost once",
            _ => seen += &format!(", the connection lost {losses} times"),
        }
        for (_, body) in &self.on_its_way {
            seen += &printable(&format!(", unanswered: {body}"));
        }
        seen + "."
    }
}

fn somebody() -> String {
    "somebody".to_owned()
}
