//! Where it is shown: on a screen of our own, or line by line where there is none.

use std::{
    env,
    io::{self, IsTerminal, Write, stdout},
};

use crossterm::event::{Event, EventStream};
use futures::{
    StreamExt,
    stream::{BoxStream, pending},
};

use crate::{
    draw::{Ink, draw},
    state::State,
    terminal::Screen,
};

pub(crate) enum View {
    Screen { screen: Screen, ink: Ink },
    Lines { printed: usize },
}

impl View {
    pub(crate) fn open() -> io::Result<Self> {
        let is_dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
        if !stdout().is_terminal() || is_dumb {
            return Ok(View::Lines { printed: 0 });
        }
        let no_color = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let ink = if no_color { Ink::Black } else { Ink::Coloured };
        Ok(View::Screen { screen: Screen::take()?, ink })
    }

    /// Keys, pasted text, resizes: a stream like any other.
    pub(crate) fn keys(&self) -> BoxStream<'static, io::Result<Event>> {
        match self {
            View::Screen { .. } => EventStream::new().boxed(),
            View::Lines { .. } => pending().boxed(),
        }
    }

    pub(crate) fn show(&mut self, state: &mut State) -> io::Result<()> {
        match self {
            View::Screen { screen, ink } => screen.draw(|frame| draw(frame, state, *ink)),
            View::Lines { printed } => {
                let mut out = stdout().lock();
                let (fresh, written) = state.notes.since(*printed);
                for note in fresh {
                    writeln!(out, "{note}")?;
                }
                *printed = written;
                out.flush()
            }
        }
    }
}
