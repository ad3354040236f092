//! The drawing itself, without a terminal, at every size.

use std::sync::Arc;

use phoenix_streams::{ConnectError, Presence, Status, Value, json};
use ratatui::{Terminal, backend::TestBackend};

use crate::{
    draw::{Ink, draw},
    state::{Said, State},
    text::{count, printable, tail, width, without_last, wrapped},
};

const NAMES: [&str; 5] = ["ann", "", "小林さん小林さん小林さん小林さん", "👩‍🚀", "e\u{301}\u{301}\u{301}"];

fn crowd(number: usize) -> Value {
    let meta = |at: usize| json!({ "phx_ref": at.to_string(), "device": NAMES[at % 5].repeat(3), "state": "online" });
    let people = (0..number).map(|at| (format!("{at} {}", NAMES[at % 5]), json!({ "metas": [meta(at)] })));
    Value::Object(people.collect())
}

fn states() -> Vec<State> {
    let new = || State::new("room:小林".to_owned(), "0 ann".to_owned());
    let (fresh, mut few, mut many) = (new(), new(), new());
    let empty = Presence::default();
    few.present(empty.sync_state(crowd(3)).unwrap().0);
    many.connection(Status::Connected { transport: "websocket", fallback: None });
    many.present(empty.sync_state(crowd(100)).unwrap().0);
    many.scrolled = 1000;
    many.connection(Status::Waiting {
        attempt: 2,
        delay: Default::default(),
        cause: Arc::new(ConnectError::ClosedByServer { code: 1012, reason: NAMES.concat().into() }),
    });
    for body in [NAMES.concat(), "👩‍🚀".repeat(100), "a word, and others ".repeat(100), " ".repeat(200), String::new()]
    {
        many.heard(Said { name: NAMES[2].to_owned(), body: body.clone() });
        many.saying(body.clone());
        many.input = body;
    }
    vec![fresh, few, many]
}

#[test]
fn every_size_can_be_drawn() {
    for mut state in states() {
        for columns in (0..50).chain([59, 60, 79, 80, 81, 200]) {
            for rows in (0..16).chain([20, 30, 60]) {
                let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
                terminal.draw(|frame| draw(frame, &mut state, Ink::Coloured)).unwrap();
            }
        }
    }
}

#[test]
fn a_screen_has_room_for_the_people_first() {
    let mut state = states().remove(1);
    for rows in 1..16 {
        let mut terminal = Terminal::new(TestBackend::new(20, rows)).unwrap();
        terminal.draw(|frame| draw(frame, &mut state, Ink::Black)).unwrap();
        let text = terminal.backend().to_string();
        assert!(text.contains("3 here") && text.contains("ann"), "{rows} rows:\n{text}");
    }
}

#[test]
fn texts_are_broken_cut_and_counted_by_what_is_seen() {
    assert_eq!(wrapped("a word and another", 10), ["a word and", "another"]);
    assert_eq!(wrapped("unbreakable", 4), ["unbr", "eaka", "ble"]);
    assert_eq!(wrapped("小林さん", 5), ["小林", "さん"]);
    assert_eq!(wrapped("小", 1), ["小"]);
    assert_eq!(wrapped("", 5), [""]);
    assert_eq!(wrapped(" abc defg", 4), ["abc", "defg"]);
    assert_eq!(tail("小林さん", 5), "さん");
    assert_eq!(tail("abc", 0), "");
    assert_eq!(without_last("ab👩‍🚀"), "ab");
    assert_eq!(without_last(""), "");
    assert_eq!(width("小a👩‍🚀"), 5);
    assert_eq!([0, 1, 2].map(|number| count(number, "message")), ["0 messages", "1 message", "2 messages"]);
}

#[test]
fn what_is_printable_is_bounded_and_harmless() {
    assert_eq!(printable("a\x1b[2Jb\u{9b}c\u{7f}\n\td"), "a␛[2Jb\u{fffd}c\u{fffd}  d");
    assert_eq!(printable("\u{202e}abc\u{2066}"), "abc");
    assert_eq!(printable("小林さん 👩‍🚀"), "小林さん 👩‍🚀");
    assert_eq!(printable(&"x".repeat(1001)).chars().count(), 1001);
    assert!(printable(&"x".repeat(1001)).ends_with("x…"));
}
