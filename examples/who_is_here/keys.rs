//! What keys do.

use crossterm::event::{Event, KeyCode, KeyEventKind, KeyModifiers};

use crate::{
    state::State,
    text::{printable, without_last},
};

/// How much can be typed at once, in bytes.
const ROOM: usize = 500;

/// What whoever types wants.
#[derive(Debug)]
pub(crate) enum Wish {
    Say(String),
    Leave,
}

pub(crate) fn wish(event: Event, state: &mut State) -> Option<Wish> {
    match event {
        Event::Key(key) if key.kind != KeyEventKind::Release => {
            match (key.code, key.modifiers.contains(KeyModifiers::CONTROL)) {
                (KeyCode::Esc, _) | (KeyCode::Char('c' | 'd'), true) => return Some(Wish::Leave),
                (KeyCode::Char('u'), true) => state.input.clear(),
                (KeyCode::Char(c), false) => write(&mut state.input, c.encode_utf8(&mut [0; 4])),
                (KeyCode::Backspace, _) => state.input = without_last(&state.input),
                (KeyCode::Up, _) => state.scrolled = state.scrolled.saturating_sub(1),
                (KeyCode::Down, _) => state.scrolled += 1,
                (KeyCode::PageUp, _) => state.scrolled = state.scrolled.saturating_sub(10),
                (KeyCode::PageDown, _) => state.scrolled += 10,
                (KeyCode::Enter, _) => {
                    let body = std::mem::take(&mut state.input);
                    return Some(body.trim()).filter(|body| !body.is_empty()).map(|body| Wish::Say(body.to_owned()));
                }
                _ => {}
            }
        }
        Event::Paste(text) => write(&mut state.input, &printable(&text)),
        // A resize is drawn like any other change.
        _ => {}
    }
    None
}

fn write(input: &mut String, text: &str) {
    if input.len() + text.len() <= ROOM {
        *input += text;
    }
}
