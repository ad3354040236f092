//! The official client, as `tests/js/presence.mjs` shows it.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use serde_json::Value;

/// What is to be seen of it behind a line.
#[derive(Debug, Default)]
pub(super) struct Shown {
    pub(super) list: Value,
    pub(super) told: Vec<Value>,
    pub(super) pending: usize,
}

impl Shown {
    /// What is to be seen behind one line more.
    pub(super) fn follow(&mut self, next: Shown) {
        let mut told = std::mem::take(&mut self.told);
        told.extend(next.told);
        *self = Shown { told, ..next };
    }
}

/// One for each line. The script reads all of them before it writes.
pub(super) fn theirs(lines: Vec<String>) -> Vec<Shown> {
    let mut script = Command::new("node")
        .arg("tests/js/presence.mjs")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    script.stdin.take().unwrap().write_all(lines.join("\n").as_bytes()).unwrap();
    let output = script.wait_with_output().unwrap();
    assert!(output.status.success());
    let shown: Vec<_> = String::from_utf8(output.stdout).unwrap().lines().map(shown).collect();
    assert_eq!(shown.len(), lines.len());
    shown
}

fn shown(line: &str) -> Shown {
    let (list, told, pending) = serde_json::from_str(line).unwrap();
    Shown { list, told, pending }
}
