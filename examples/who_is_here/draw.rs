//! The screen, drawn from the state. The less room there is, the less is shown; the people are shown first.

use phoenix_streams::{PresenceState, Status};
use ratatui::{
    Frame,
    buffer::Buffer,
    layout::{Constraint, Layout, Margin, Rect},
    style::{Color, Modifier, Style},
    widgets::{Block, Widget},
};

use crate::{
    notes::Note,
    people::Person,
    state::State,
    text::{printable, tail, width, wrapped},
};

/// Nothing is said by colour alone.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ink {
    Coloured,
    Black,
}

const PLAIN: Style = Style::new();
const BOLD: Style = PLAIN.add_modifier(Modifier::BOLD);
const FAINT: Style = PLAIN.add_modifier(Modifier::DIM);

pub(crate) fn draw(frame: &mut Frame<'_>, state: &mut State, ink: Ink) {
    let area = frame.area();
    let mut page = Page { buffer: frame.buffer_mut(), ink, cursor: None };
    match area {
        Rect { height: 12.., width: 40.., .. } => page.large(area, state),
        Rect { height: 2.., .. } => page.small(area, state),
        _ => page.line(area, state),
    }
    if let Some(cursor) = page.cursor {
        frame.set_cursor_position(cursor);
    }
}

struct Page<'a> {
    buffer: &'a mut Buffer,
    ink: Ink,
    cursor: Option<(u16, u16)>,
}

impl Page<'_> {
    fn large(&mut self, area: Rect, state: &mut State) {
        let said = (area.height / 3).max(4);
        let rows = [Constraint::Length(1), Constraint::Min(5), Constraint::Length(said), Constraint::Length(1)];
        let [top, middle, said, bottom] = Layout::vertical(rows).areas(area);
        self.top(top, state);
        let log = if area.width >= 80 {
            let [people, log] = Layout::horizontal([Constraint::Fill(3), Constraint::Fill(2)]).areas(middle);
            self.people_pane(people, state);
            Some(log)
        } else if middle.height >= 12 {
            let [people, log] = Layout::vertical([Constraint::Fill(2), Constraint::Fill(1)]).areas(middle);
            self.people_pane(people, state);
            Some(log)
        } else {
            self.people_pane(middle, state);
            None
        };
        if let Some(log) = log {
            let inside = self.pane(log, "comings and goings", PLAIN);
            self.log(inside, state);
        }
        let inside = self.pane(said, "said", PLAIN);
        self.said(inside, state);
        let hint = if bottom.width >= 80 { "Enter says it, Up and Down scroll, Esc leaves " } else { "Esc leaves " };
        let [input, hints] =
            Layout::horizontal([Constraint::Fill(1), Constraint::Length(hint.len() as u16)]).areas(bottom);
        self.input(input, state);
        self.put(hints, hint, FAINT);
    }

    /// Without borders.
    fn small(&mut self, area: Rect, state: &mut State) {
        let input = u16::from(area.height >= 3);
        let said = if area.height >= 6 { area.height / 4 } else { 0 };
        let rows = [Constraint::Length(1), Constraint::Min(1), Constraint::Length(said), Constraint::Length(input)];
        let [top, people, said, input] = Layout::vertical(rows).areas(area);
        let (heading, status) = (state.heading(), status(state));
        self.put(top, &heading, self.heading_style(state));
        // Of a connection that is lost the heading tells already.
        let room = usize::from(top.width).saturating_sub(width(&heading) + 2);
        if width(status) <= room {
            self.right(top, status, self.status_style(state));
        }
        self.people(people, state);
        self.said(said, state);
        self.input(input, state);
    }

    /// All that can be said in one.
    fn line(&mut self, area: Rect, state: &State) {
        let (who, heading, number) = (state.who(area.width.into()), state.heading(), state.present.len().to_string());
        let columns = area.width.into();
        let text = match width(&heading) <= columns || state.present.state() != PresenceState::Synced {
            true => who,
            false => number,
        };
        self.put(area, &text, self.heading_style(state));
    }

    fn top(&mut self, area: Rect, state: &State) {
        let words = status(state);
        // As wide with and without it: what stands beside it must not jump.
        let latency = state.latency.map(milliseconds).unwrap_or_default();
        let corner = if area.width >= 60 { format!(" {words} {latency:>8} ") } else { format!(" {words} ") };
        let corner_width = width(&corner) as u16;
        let [left, right] = Layout::horizontal([Constraint::Fill(1), Constraint::Length(corner_width)]).areas(area);
        self.put(left, &printable(&format!(" {}, as {}", state.topic, state.me)), BOLD);
        self.put(right, &corner, self.status_style(state));
    }

    fn people_pane(&mut self, area: Rect, state: &mut State) {
        let inside = self.pane(area, &state.heading(), self.heading_style(state));
        self.people(inside, state);
    }

    fn people(&mut self, area: Rect, state: &mut State) {
        let (number, rows) = (state.present.len(), usize::from(area.height));
        if rows == 1 && number > 1 {
            return self.put(area, &state.names(area.width.into()), PLAIN);
        }
        let hint = match (number, state.present.state()) {
            (0, PresenceState::Awaiting) => {
                "The server has not said yet who is here. If it stays so, its channel does not push presence_state."
            }
            (0, _) => "Nobody is here, not even you: does the server track whoever joins?",
            _ => "",
        };
        self.hint(area, hint);
        // The last row says what does not fit.
        let fit = if number > rows { rows.saturating_sub(1) } else { rows };
        state.scrolled = state.scrolled.min(number.saturating_sub(fit));
        let above = state.scrolled;
        for (row, entry) in area.rows().zip(state.present.iter().skip(above).take(fit)) {
            self.person(row, &Person::new(&entry), entry.key() == state.me, state);
        }
        let more = match (above, number.saturating_sub(above + fit)) {
            (0, 0) => return,
            (0, below) => format!("and {below} more: Down scrolls"),
            (above, 0) => format!("and {above} more above: Up scrolls"),
            (above, below) => format!("and {above} more above, {below} below"),
        };
        if let Some(row) = area.rows().next_back() {
            self.put(row, &more, FAINT);
        }
    }

    fn person(&mut self, row: Rect, person: &Person, is_me: bool, state: &State) {
        let name = if is_me { format!("{} (you)", person.name) } else { person.name.clone() };
        let is_stale = state.present.state() != PresenceState::Synced;
        let (name_style, state_style) = match (is_stale, is_me) {
            (true, _) => (FAINT, FAINT),
            (false, true) => (BOLD, self.state_style(&person.state)),
            (false, false) => (PLAIN, self.state_style(&person.state)),
        };
        if row.width < 16 {
            return self.put(row, &format!("{name} {}", person.state), state_style);
        }
        // The columns are as wide as the pane lets them, whoever is here, and so do not jump.
        let columns = match row.width {
            ..32 => [Constraint::Fill(1), Constraint::Length(8), Constraint::Length(0)],
            32.. => [Constraint::Length(row.width * 2 / 5), Constraint::Length(8), Constraint::Fill(1)],
        };
        let [names, states, devices] = Layout::horizontal(columns).spacing(1).areas(row);
        self.put(names, &name, name_style);
        self.put(states, &person.state, state_style);
        self.put(devices, &person.devices, FAINT);
    }

    fn log(&mut self, area: Rect, state: &State) {
        let notes = state.notes.newest().filter(|note| !note.is_said()).map(|note| {
            let style = match note {
                Note::Came(_) => self.ink(Color::Green),
                Note::Went(_) => self.ink(Color::Red),
                Note::Changed(_) => self.ink(Color::Yellow),
                _ => FAINT,
            };
            (note.to_string(), style)
        });
        let lines = last_lines(area, notes);
        self.put_lines(area, lines, "Who comes and goes is told here.");
    }

    fn said(&mut self, area: Rect, state: &State) {
        let waits = if state.status.is_connected() { "on its way" } else { "waits for the connection" };
        let on_its_way = state.on_its_way.iter().rev();
        let on_its_way = on_its_way.map(|(_, body)| (printable(&format!("({waits}) {body}")), FAINT));
        let said = state.notes.newest().filter(|note| note.is_said()).map(|note| {
            let style = if let Note::Unsaid(_) = note { self.ink(Color::Red) } else { PLAIN };
            (note.to_string(), style)
        });
        let lines = last_lines(area, on_its_way.chain(said));
        self.put_lines(area, lines, "Nothing yet. Type something, and press Enter.");
    }

    fn put_lines(&mut self, area: Rect, lines: Vec<(String, Style)>, where_none: &str) {
        if lines.is_empty() {
            return self.hint(area, where_none);
        }
        for (row, (line, style)) in area.rows().zip(lines) {
            self.put(row, &line, style);
        }
    }

    /// In place of what is not there.
    fn hint(&mut self, area: Rect, text: &str) {
        for (row, line) in area.rows().zip(wrapped(text, area.width.into())) {
            self.put(row, &line, FAINT);
        }
    }

    fn input(&mut self, area: Rect, state: &State) {
        let prompt = if area.width >= 20 { " say: " } else { ">" };
        let columns = usize::from(area.width).saturating_sub(width(prompt) + 1);
        let typed = tail(&state.input, columns);
        self.put(area, &format!("{prompt}{typed}"), PLAIN);
        if area.height > 0 {
            let column = (width(prompt) + width(&typed)).min(usize::from(area.width).saturating_sub(1));
            self.cursor = Some((area.x + column as u16, area.y));
        }
    }

    /// A frame with a title: what is inside.
    fn pane(&mut self, area: Rect, title: &str, style: Style) -> Rect {
        let block = Block::bordered().border_style(FAINT);
        let inside = block.inner(area).inner(Margin::new(1, 0));
        block.render(area, self.buffer);
        let place = Rect { x: area.x + 2, width: area.width.saturating_sub(4), height: 1, ..area };
        self.put(place.intersection(area), &format!(" {title} "), style);
        inside
    }

    /// In the first row, cut where there is no room for all of it.
    fn put(&mut self, area: Rect, text: &str, style: Style) {
        if area.is_empty() {
            return;
        }
        let columns = usize::from(area.width);
        if width(text) <= columns {
            self.buffer.set_stringn(area.x, area.y, text, columns, style);
        } else {
            let (end, _) = self.buffer.set_stringn(area.x, area.y, text, columns - 1, style);
            self.buffer.set_stringn(end, area.y, "…", 1, style);
        }
    }

    fn right(&mut self, area: Rect, text: &str, style: Style) {
        let columns = (width(text) as u16).min(area.width);
        self.put(Rect { x: area.right() - columns, width: columns, ..area }, text, style);
    }

    fn heading_style(&self, state: &State) -> Style {
        match state.present.state() {
            PresenceState::Synced => BOLD,
            _ => self.ink(Color::Yellow).patch(BOLD),
        }
    }

    fn status_style(&self, state: &State) -> Style {
        if state.status.is_connected() { self.ink(Color::Green) } else { self.ink(Color::Yellow).patch(BOLD) }
    }

    fn state_style(&self, state: &str) -> Style {
        self.ink(match state {
            "online" => Color::Green,
            "away" => Color::Yellow,
            "busy" => Color::Red,
            _ => Color::Cyan,
        })
    }

    fn ink(&self, color: Color) -> Style {
        if self.ink == Ink::Coloured { PLAIN.fg(color) } else { PLAIN }
    }
}

/// As many lines of the newest texts as there are rows, in the order of time.
fn last_lines(area: Rect, newest_first: impl Iterator<Item = (String, Style)>) -> Vec<(String, Style)> {
    let (rows, columns) = (usize::from(area.height), usize::from(area.width));
    if rows == 1 {
        // The beginning of the newest says more than its end.
        return newest_first.take(1).collect();
    }
    let mut lines = Vec::new();
    for (text, style) in newest_first {
        if lines.len() >= rows {
            break;
        }
        // What goes on in a further line is moved in.
        let broken = wrapped(&text, columns.saturating_sub(2)).into_iter().enumerate();
        let broken: Vec<_> = broken.map(|(at, line)| if at == 0 { line } else { format!("  {line}") }).collect();
        lines.extend(broken.into_iter().rev().map(|line| (line, style)));
    }
    lines.truncate(rows);
    lines.reverse();
    lines
}

fn status(state: &State) -> &'static str {
    match state.status {
        Status::Connected { transport: "long-poll", .. } => "connected by long-poll",
        Status::Connected { .. } => "connected",
        Status::Connecting { attempt: 1 } => "connecting",
        Status::Connecting { .. } | Status::Waiting { .. } => "no connection, trying again",
        Status::Stopped { .. } => "no connection",
        _ => "not connected",
    }
}

fn milliseconds(latency: std::time::Duration) -> String {
    let milliseconds = latency.as_secs_f64() * 1000.0;
    let decimals = if milliseconds < 100.0 { 1 } else { 0 };
    format!("{milliseconds:.decimals$} ms")
}
