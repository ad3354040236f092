//! The terminal: taken, and given back however the program ends.

use std::{
    io::{self, Stdout, stdout},
    panic,
};

use crossterm::{
    cursor::Show,
    event::{DisableBracketedPaste, EnableBracketedPaste},
    execute,
    terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode},
};
use ratatui::{Frame, Terminal, backend::CrosstermBackend};

/// A screen of our own. Dropped, the terminal is as it was.
pub(crate) struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
    _taken: Taken,
}

/// Gives back, also where taking has failed halfway.
struct Taken;

impl Screen {
    pub(crate) fn take() -> io::Result<Self> {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |panicked| {
            give_back();
            usual(panicked);
            // Whatever it was that panicked, in whichever task: nothing must be drawn over its last words.
            std::process::exit(101);
        }));
        let taken = Taken;
        enable_raw_mode()?;
        execute!(stdout(), EnterAlternateScreen, EnableBracketedPaste)?;
        Ok(Screen { terminal: Terminal::new(CrosstermBackend::new(stdout()))?, _taken: taken })
    }

    pub(crate) fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        self.terminal.draw(draw).map(drop)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        give_back();
    }
}

/// A terminal that is gone takes nothing back.
fn give_back() {
    let _ = execute!(stdout(), DisableBracketedPaste, LeaveAlternateScreen, Show);
    let _ = disable_raw_mode();
}

/// Ready at a signal to end. Ctrl-C on a screen of our own is a key, and none.
#[cfg(unix)]
pub(crate) async fn told_to_end() {
    use tokio::signal::unix::{SignalKind, signal};

    let signals = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(signal);
    // One that cannot be listened for ends the program by itself, as it always did.
    let signals = signals.into_iter().flatten().map(|mut signal| Box::pin(async move { signal.recv().await }));
    futures::future::select_all(signals).await;
}

/// Ready at a signal to end.
#[cfg(not(unix))]
pub(crate) async fn told_to_end() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending().await
    }
}
