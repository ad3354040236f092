//! A program in a terminal of its own, and what stands on its screen.

use std::{ffi::OsStr, num::NonZeroU16, path::Path, process::ExitStatus, time::Duration};

use pty_process::{Command, Pty, Size};
use rustix::termios::{LocalModes, tcgetattr};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::Child,
    time::timeout,
};
use vt100::{Parser, Screen};

/// For machines that have much else to do.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Terminal {
    pty: Pty,
    pub(crate) child: Child,
    parser: Parser,
    /// All that the program wrote.
    pub(crate) written: Vec<u8>,
    /// The modes of the line before the program changed them.
    modes: LocalModes,
}

/// What is left when the program has ended.
pub(crate) struct Left {
    pub(crate) status: ExitStatus,
    /// What stands on the screen that was there before.
    pub(crate) text: String,
}

impl Terminal {
    /// Of so many columns and rows.
    pub(crate) fn start<S: AsRef<OsStr>>(
        program: &Path,
        args: impl IntoIterator<Item = S>,
        env: &[(&str, &str)],
        (columns, rows): (u16, u16),
    ) -> Self {
        let (pty, pts) = pty_process::open().unwrap();
        pty.resize(Size::new(rows, columns)).unwrap();
        let modes = tcgetattr(&pty).unwrap().local_modes;
        let command = Command::new(program).args(args).env("TERM", "xterm-256color").env_remove("NO_COLOR");
        let command = command.envs(env.iter().copied()).kill_on_drop(true);
        let child = command.spawn(pts).expect("`cargo test` builds the examples; alone, `cargo build --examples`");
        let parser = Parser::new(size(rows), size(columns), 0);
        Terminal { pty, child, parser, written: Vec::new(), modes }
    }

    pub(crate) fn screen(&self) -> &Screen {
        self.parser.screen()
    }

    pub(crate) fn text(&self) -> String {
        self.screen().contents()
    }

    /// The first row with these words in it, in their order; none, as the empty row.
    pub(crate) fn row(&self, words: &[&str]) -> String {
        let has = |row: &String| {
            let mut rest = &**row;
            words.iter().all(|word| rest.split_once(word).map(|(_, after)| rest = after).is_some())
        };
        self.screen().rows(0, self.screen().size().1.get()).find(has).unwrap_or_default()
    }

    /// Waits until the screen is so.
    pub(crate) async fn until(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let waited = timeout(PATIENCE, async {
            while !is_so(self) {
                assert!(self.read().await, "it has ended, and was never so: {what}\n{}", self.text());
            }
        });
        if waited.await.is_err() {
            panic!("never so: {what}\n{}", self.text());
        }
    }

    /// Waits until there is a row with these words in it, in their order.
    pub(crate) async fn shows(&mut self, words: &[&str]) {
        self.until(&words.join(" .. "), |terminal| !terminal.row(words).is_empty()).await;
    }

    pub(crate) async fn press(&mut self, keys: &str) {
        self.pty.write_all(keys.as_bytes()).await.unwrap();
    }

    pub(crate) fn resize(&mut self, columns: u16, rows: u16) {
        self.pty.resize(Size::new(rows, columns)).unwrap();
        // What comes from now on is for the new size, but for a little that is drawn over.
        self.parser.set_size(size(rows), size(columns));
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = self.child.id().and_then(|id| rustix::process::Pid::from_raw(id.try_into().unwrap()));
        rustix::process::kill_process(pid.expect("it runs"), signal).unwrap();
    }

    /// Waits until the program has ended, and sees to it that the terminal is as it was.
    pub(crate) async fn restored(mut self) -> Left {
        let ended = timeout(PATIENCE, async {
            while self.read().await {}
            self.child.wait().await
        });
        let Ok(status) = ended.await else { panic!("it does not end\n{}", self.text()) };
        let (screen, modes) = (self.screen(), tcgetattr(&self.pty).unwrap().local_modes);
        let text = self.text();
        assert!(self.written.windows(8).any(|bytes| bytes == b"\x1b[?1049h"), "it had a screen of its own: {text}");
        assert!(!screen.alternate_screen(), "its own screen is left");
        assert!(!screen.hide_cursor(), "the cursor is shown");
        assert!(!screen.bracketed_paste(), "pasted text comes as typed");
        assert_eq!(modes, self.modes, "lines are edited and echoed by the terminal");
        Left { status: status.unwrap(), text }
    }

    /// Whether there may be more.
    async fn read(&mut self) -> bool {
        let mut bytes = [0; 4096];
        // Where the other end is closed, some systems tell an end and some an error.
        let read = self.pty.read(&mut bytes).await.unwrap_or(0);
        self.parser.process(&bytes[..read]);
        self.written.extend(&bytes[..read]);
        read > 0
    }
}

fn size(cells: u16) -> NonZeroU16 {
    NonZeroU16::new(cells).unwrap()
}
