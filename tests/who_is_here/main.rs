//! The example `who_is_here`, as a person sees it: in a terminal, by what stands on the screen.
#![cfg(unix)]

mod drawing;
mod panics;
mod pty;
mod room;

/// The example's own, for what no screen shows.
#[allow(dead_code)]
#[path = "../../examples/who_is_here/draw.rs"]
mod draw;
#[allow(dead_code)]
#[path = "../../examples/who_is_here/notes.rs"]
mod notes;
#[path = "../../examples/who_is_here/people.rs"]
mod people;
#[allow(dead_code)]
#[path = "../../examples/who_is_here/state.rs"]
mod state;
#[allow(dead_code)]
#[path = "../../examples/who_is_here/terminal.rs"]
mod terminal;
#[allow(dead_code)]
#[path = "../../examples/who_is_here/text.rs"]
mod text;

use std::path::PathBuf;

use phoenix_streams::{Channel, testing::Server};
use rustix::process::Signal;

use pty::Terminal;
use room::{enter, say, server, turn};

const USUAL: (u16, u16) = (100, 30);
const ESCAPE: &str = "\x1b";

fn start(args: &[&str], env: &[(&str, &str)], size: (u16, u16)) -> Terminal {
    let this = std::env::current_exe().unwrap();
    let target: PathBuf = this.ancestors().nth(2).unwrap().into();
    Terminal::start(&target.join("examples/who_is_here"), args, env, size)
}

/// Eve looks at a room with ann and bob in it.
async fn eve_among_others(server: &Server) -> (Terminal, Channel, Channel) {
    let ann = enter(server, "ann", "laptop", "online").await;
    let bob = enter(server, "bob", "phone", "busy").await;
    let mut eve = start(&[server.url(), "room:lobby", "eve"], &[], USUAL);
    eve.shows(&["3 here"]).await;
    // The list may come before the status has been looked at.
    eve.shows(&["room:lobby, as eve", "connected"]).await;
    (eve, ann, bob)
}

#[tokio::test]
async fn it_shows_people_with_their_states_as_they_come_change_and_go() {
    let server = server().await;
    let (mut eve, ann, bob) = eve_among_others(&server).await;
    eve.shows(&["room:lobby, as eve", "connected", " ms"]).await;
    eve.shows(&["ann", "online", "laptop"]).await;
    eve.shows(&["bob", "busy", "phone"]).await;
    eve.shows(&["eve (you)", "online", "terminal"]).await;

    turn(&ann, "laptop", "away").await;
    eve.shows(&["ann", "away", "laptop"]).await;
    eve.shows(&["~ ann is away now on laptop"]).await;
    let phone = enter(&server, "ann", "phone", "online").await;
    eve.shows(&["ann", "online", "laptop (away), phone"]).await;
    eve.shows(&["+ ann came on phone too"]).await;
    drop(phone);
    eve.shows(&["- ann is no longer here on phone"]).await;
    drop(bob);
    eve.shows(&["- bob went"]).await;
    eve.shows(&["2 here"]).await;
    assert_eq!(eve.row(&["bob", "busy", "phone"]), "");
}

#[tokio::test]
async fn what_is_said_is_seen_and_what_is_refused_too() {
    let server = server().await;
    let (mut eve, ann, _bob) = eve_among_others(&server).await;
    eve.shows(&["Nothing yet. Type something, and press Enter."]).await;
    say(&ann, "ann", "hi eve").await;
    eve.shows(&["ann: hi eve"]).await;

    eve.press("hello thete").await;
    eve.shows(&["say: hello thete"]).await;
    eve.press("\x7f\x7fre").await;
    eve.shows(&["say: hello there"]).await;
    eve.press("\r").await;
    eve.shows(&["eve: hello there"]).await;
    assert_eq!(eve.row(&["say: hello"]), "");

    eve.press("rubbish\r").await;
    eve.shows(&["! refused: rubbish", "mind your words"]).await;
    // It can be mended, and said again.
    eve.shows(&["say: rubbish"]).await;
    eve.press("\x15\x1b[200~two\nlines\x1b[201~").await;
    eve.shows(&["say: two lines"]).await;
}

#[tokio::test]
async fn what_others_write_does_not_steer_the_terminal() {
    let server = server().await;
    let (mut eve, ann, _bob) = eve_among_others(&server).await;
    let _mallory = enter(&server, "mal\x1b]0;owned\x07ory", "\u{9b}31mphone", "on\u{202e}line\r\n").await;
    eve.shows(&["mal␛]0;owned␇ory", "online"]).await;
    say(&ann, "ann\x1b[H", "first\r\nsecond\x1b]0;owned\x07\u{202e}third").await;
    eve.shows(&["ann␛[H: first  second␛]0;owned␇third"]).await;
    assert!(!eve.written.windows(2).any(|bytes| bytes == b"\x1b]"), "no title was set");
    assert!(!eve.written.contains(&7), "no bell was rung");
    assert!(!String::from_utf8_lossy(&eve.written).contains(['\u{9b}', '\u{202e}']));
}

#[tokio::test]
async fn it_fits_whatever_the_terminal_is_made() {
    let server = server().await;
    let (mut eve, _ann, _bob) = eve_among_others(&server).await;
    let _long = enter(&server, &"long".repeat(30), "laptop", "online").await;
    let _wide = enter(&server, &"小林".repeat(30), "laptop", "online").await;
    eve.shows(&["5 here", "comings and goings"]).await;
    let corners = |terminal: &Terminal| {
        let rows: Vec<String> = terminal.screen().rows(0, terminal.screen().size().1.get()).collect();
        (rows[1].ends_with('┐'), rows.last().is_some_and(|row| row.trim_end().ends_with("Esc leaves")))
    };
    eve.until("its frame fits", |eve| corners(eve) == (true, true)).await;
    eve.shows(&["longlonglong", "…", "online", "laptop"]).await;
    eve.shows(&["小林小林小林", "…", "online", "laptop"]).await;

    eve.resize(50, 12);
    eve.until("its frame fits", |eve| corners(eve) == (true, true) && !eve.text().contains("comings")).await;
    eve.shows(&["and 2 more: Down scrolls"]).await;
    eve.press("\x1b[B").await;
    eve.shows(&["and 1 more above, 1 below"]).await;
    eve.press("\x1b[6~").await;
    eve.shows(&["and 2 more above: Up scrolls"]).await;
    eve.shows(&["小林小林小林", "…", "online"]).await;
    eve.press("\x1b[A").await;
    eve.shows(&["and 1 more above, 1 below"]).await;

    eve.resize(20, 6);
    eve.until("there are no frames", |eve| !eve.text().contains('┐')).await;
    eve.shows(&["5 here", "connected"]).await;
    eve.shows(&["bob", "busy"]).await;
    eve.resize(30, 1);
    eve.until("a line", |eve| eve.text().starts_with("5 here: ann (online), bob (bu…")).await;
    eve.resize(1, 1);
    eve.until("a cell", |eve| eve.text() == "5").await;
    eve.resize(120, 40);
    eve.until("its frame fits", |eve| corners(eve) == (true, true)).await;
    eve.shows(&["5 here", "comings and goings"]).await;
}

#[tokio::test]
async fn it_says_that_the_list_is_stale_and_comes_back() {
    let server = server().await;
    let (mut eve, _ann, bob) = eve_among_others(&server).await;
    server.refuse_next(503, 1000);
    server.drop_connections();
    eve.shows(&["no connection, trying again"]).await;
    eve.shows(&["stale: 3 here, as of before the connection was lost"]).await;
    eve.shows(&["ann", "online", "laptop"]).await;
    eve.shows(&["* the connection is lost"]).await;
    drop(bob);
    eve.press("are you there?\r").await;
    eve.shows(&["(waits for the connection) are you there?"]).await;

    server.behave();
    eve.shows(&["room:lobby, as eve", "connected", " ms"]).await;
    eve.until("the list is the server's", |eve| !eve.row(&["─ 2 here ─"]).is_empty()).await;
    eve.shows(&["* the connection is back"]).await;
    eve.shows(&["- bob went"]).await;
    // On a machine so slow that its deadline has passed, it is told, and there to be said again.
    eve.until("nothing is lost", |eve| eve.text().contains(": are you there?")).await;
    if eve.text().contains("not said: are you there?") {
        eve.press("\r").await;
    }
    eve.shows(&["eve: are you there?"]).await;
    assert!(!eve.text().contains("waits for the connection"));
}

#[tokio::test]
async fn a_list_that_is_never_pushed_is_awaited_in_words() {
    let server = server().await;
    let mut eve = start(&[server.url(), "forgetful", "eve"], &[], USUAL);
    eve.shows(&["waiting for the list"]).await;
    eve.shows(&["has not said yet who is here"]).await;
    eve.press("\x03").await;
    let left = eve.restored().await;
    assert!(left.status.success() && left.text.contains("who is there was never told"), "{}", left.text);
}

#[tokio::test]
async fn escape_and_ctrl_d_give_the_terminal_back() {
    let server = server().await;
    for key in [ESCAPE, "\x04"] {
        let (mut eve, _ann, _bob) = eve_among_others(&server).await;
        assert!(eve.screen().alternate_screen());
        eve.press(key).await;
        let left = eve.restored().await;
        assert!(left.status.success());
        assert!(left.text.contains("room:lobby in") && left.text.contains("at most 3 there at once"), "{}", left.text);
        assert!(!left.text.contains("comings and goings"));
    }
}

#[tokio::test]
async fn a_refusal_gives_the_terminal_back_and_is_told() {
    let server = server().await;
    let left = start(&[server.url(), "closed", "eve"], &[], USUAL).restored().await;
    assert!(!left.status.success());
    assert!(left.text.contains("closed cannot be joined") && left.text.contains("members only"), "{}", left.text);
}

#[tokio::test]
async fn a_server_that_does_not_know_us_gives_the_terminal_back_and_is_told() {
    let server = server().await;
    server.refuse_next(403, 1000);
    let left = start(&[server.url()], &[], USUAL).restored().await;
    assert!(!left.status.success());
    assert!(left.text.contains("HTTP 403"), "{}", left.text);
}

#[tokio::test]
async fn signals_give_the_terminal_back() {
    for signal in [Signal::TERM, Signal::HUP] {
        let mut demo = start(&[], &[], USUAL);
        demo.shows(&["4 here"]).await;
        demo.signal(signal);
        let left = demo.restored().await;
        assert!(left.status.success() && left.text.contains("room:lobby in"), "{}", left.text);
    }
}

#[tokio::test]
async fn the_demo_tells_its_story_and_ends_by_itself() {
    let mut demo = start(&["--demo-seconds", "4"], &[], USUAL);
    demo.shows(&["小林さん", "busy", "desktop"]).await;
    demo.shows(&["guest (you)", "online", "terminal"]).await;
    let left = demo.restored().await;
    assert!(left.status.success() && left.text.contains("room:lobby in 4 s:"), "{}", left.text);
}

#[tokio::test]
async fn colours_say_the_same_as_words_and_are_left_out_where_nobody_wants_them() {
    use vt100::Color::{Default, Idx};

    let server = server().await;
    for (env, busy, online) in [(&[][..], Idx(1), Idx(2)), (&[("NO_COLOR", "1")], Default, Default)] {
        let _bob = enter(&server, "bob", "phone", "busy").await;
        let mut eve = start(&[server.url(), "room:lobby", "eve"], env, USUAL);
        eve.shows(&["bob", "busy", "phone"]).await;
        eve.shows(&["eve (you)", "online", "terminal"]).await;
        let screen = eve.screen();
        let (rows, columns) = screen.size();
        let colour_of = |name: &str, word: &str| {
            let row = screen.rows(0, columns.get()).position(|row| row.contains(name) && row.contains(word)).unwrap();
            let text = screen.rows(0, columns.get()).nth(row).unwrap();
            let column = text.split_once(word).unwrap().0.chars().count();
            screen.cell(row as u16, column as u16).unwrap().fgcolor()
        };
        assert_eq!(colour_of("bob", "busy"), busy);
        assert_eq!(colour_of("eve (you)", "online"), online);
        let mut cells = (0..rows.get()).flat_map(|row| (0..columns.get()).map(move |column| (row, column)));
        let is_coloured = cells.any(|(row, column)| screen.cell(row, column).unwrap().fgcolor() != Default);
        assert_eq!(is_coloured, env.is_empty());
    }
}
