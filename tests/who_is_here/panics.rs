//! A program that panics while it has a screen of its own: this one, run again.

use std::env;

use ratatui::style::Style;

use crate::{USUAL, pty::Terminal, terminal::Screen};

/// Set where the test below is to be that program.
const PANICS: &str = "WHO_IS_HERE_PANICS";

#[test]
fn the_program_that_panics() {
    if env::var_os(PANICS).is_none() {
        return;
    }
    let mut screen = Screen::take().unwrap();
    screen.draw(|frame| frame.buffer_mut().set_string(0, 0, "all is well", Style::new())).unwrap();
    panic!("nothing is well");
}

#[tokio::test]
async fn a_panic_gives_the_terminal_back_and_is_told() {
    let this = env::current_exe().unwrap();
    let args = ["--exact", "panics::the_program_that_panics", "--nocapture"];
    let left = Terminal::start(&this, args, &[(PANICS, "yes")], USUAL).restored().await;
    assert_eq!(left.status.code(), Some(101));
    assert!(left.text.contains("nothing is well"), "{}", left.text);
    assert!(!left.text.contains("all is well"), "{}", left.text);
}
