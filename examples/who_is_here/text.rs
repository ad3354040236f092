//! What others wrote, fit for a terminal.

use ratatui::{style::Style, text::Span};

/// More than this of one text is not shown, in characters.
const MOST: usize = 1000;

/// The text without what a terminal would obey: control characters, and those that turn the order of others around.
pub(crate) fn printable(text: &str) -> String {
    let shown = |c: char| match c {
        '\n' | '\r' | '\t' | '\u{2028}' | '\u{2029}' => Some(' '),
        '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => None,
        // Each has a picture, as ␛ for escape.
        '\0'..='\u{1f}' => char::from_u32(0x2400 + u32::from(c)),
        c if c.is_control() => Some(char::REPLACEMENT_CHARACTER),
        c => Some(c),
    };
    let rest = if text.chars().nth(MOST).is_some() { "…" } else { "" };
    text.chars().take(MOST).filter_map(shown).chain(rest.chars()).collect()
}

/// In columns.
pub(crate) fn width(text: &str) -> usize {
    Span::raw(text).width()
}

/// Broken into lines no wider than this many columns: between words where that can be.
pub(crate) fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let (mut lines, mut line, mut used) = (Vec::new(), String::new(), 0);
    for symbol in symbols(text) {
        let wide = width(&symbol);
        while !line.is_empty() && used + wide > columns {
            let place = line.rfind(' ').filter(|_| symbol != " ").map_or(line.len(), |space| space + 1);
            let rest = line.split_off(place);
            used = width(&rest);
            lines.push(std::mem::replace(&mut line, rest).trim_end().to_owned());
        }
        // A space at which a line was broken is not seen.
        if !(symbol == " " && line.is_empty()) {
            line += &symbol;
            used += wide;
        }
    }
    lines.push(line);
    lines
}

/// The end of the text, as far as there is room for it.
pub(crate) fn tail(text: &str, columns: usize) -> String {
    let (mut shown, mut used) = (Vec::new(), 0);
    for symbol in symbols(text).into_iter().rev() {
        used += width(&symbol);
        if used > columns {
            break;
        }
        shown.push(symbol);
    }
    shown.into_iter().rev().collect()
}

/// The text without its last symbol, of however many characters that is made.
pub(crate) fn without_last(text: &str) -> String {
    let mut symbols = symbols(text);
    symbols.pop();
    symbols.concat()
}

/// `1 message`, `2 messages`.
pub(crate) fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// What is seen as one.
fn symbols(text: &str) -> Vec<String> {
    Span::raw(text).styled_graphemes(Style::new()).map(|grapheme| grapheme.symbol.to_owned()).collect()
}
