//! What has happened, line by line.

use std::{collections::VecDeque, fmt};

/// How many are kept.
const KEPT: usize = 2000;

/// All of it is fit for a terminal.
#[derive(Debug)]
pub(crate) enum Note {
    Came(String),
    Went(String),
    Changed(String),
    /// Of the connection, or of this program.
    Told(String),
    Said {
        name: String,
        body: String,
    },
    /// What somebody here wanted to say, and could not.
    Unsaid(String),
}

impl Note {
    /// Whether it belongs to the conversation.
    pub(crate) fn is_said(&self) -> bool {
        matches!(self, Note::Said { .. } | Note::Unsaid(_))
    }
}

/// For those who see no colours, and where there are none, a sign says what it is.
impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Note::Came(text) => write!(f, "+ {text}"),
            Note::Went(text) => write!(f, "- {text}"),
            Note::Changed(text) => write!(f, "~ {text}"),
            Note::Told(text) => write!(f, "* {text}"),
            Note::Said { name, body } => write!(f, "{name}: {body}"),
            Note::Unsaid(text) => write!(f, "! {text}"),
        }
    }
}

/// The last of them.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    kept: VecDeque<Note>,
    written: usize,
}

impl Notes {
    pub(crate) fn write(&mut self, note: Note) {
        if self.kept.len() == KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(note);
        self.written += 1;
    }

    /// The newest first.
    pub(crate) fn newest(&self) -> impl Iterator<Item = &Note> {
        self.kept.iter().rev()
    }

    /// Those after the first so many, and how many there have been.
    pub(crate) fn since(&self, written: usize) -> (impl Iterator<Item = &Note>, usize) {
        let fresh = self.written - written;
        (self.kept.iter().skip(self.kept.len().saturating_sub(fresh)), self.written)
    }
}
