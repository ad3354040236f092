//! The presence of a large channel, as text: everybody there once, and one who comes and one who goes with every diff.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use phoenix_streams::Payload;
use serde::Deserialize;

#[derive(Deserialize)]
pub(crate) struct Meta {
    #[serde(rename = "phx_ref")]
    pub(crate) reference: String,
    #[serde(rename = "online_at")]
    pub(crate) since: String,
    pub(crate) status: String,
}

/// A state, and the diffs that follow.
pub(crate) struct People {
    pub(crate) state: Payload,
    pub(crate) diffs: Vec<Payload>,
}

/// The key of who comes with [`People::end`].
pub(crate) const LAST: &str = "last";

impl People {
    pub(crate) fn new(count: usize, diffs: usize) -> Self {
        let mut state = String::new();
        for number in 0..count {
            state.push(if number == 0 { '{' } else { ',' });
            state += &person(count, number);
        }
        state.push('}');
        let diff_of = |number| diff(&person(count, count + number), &person(count, number));
        People { state: Payload::from_raw(state, false), diffs: (0..diffs).map(diff_of).collect() }
    }

    /// The state as diffs, with one join each.
    pub(crate) fn one_by_one(count: usize) -> impl Iterator<Item = Payload> {
        (0..count).map(move |number| diff(&person(count, number), ""))
    }

    /// A diff behind all others.
    pub(crate) fn end() -> Payload {
        diff(&format!(r#""{LAST}":{{"metas":[{{"phx_ref":"","online_at":"","status":""}}]}}"#), "")
    }
}

/// The one who comes as this number: of twice as many keys as there are people, in no order.
fn person(count: usize, number: usize) -> String {
    let key = number * 123_457 % (2 * count);
    let reference = (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let status = ["online", "away", "busy"][number % 3];
    let meta = format!(r#"{{"phx_ref":"{reference:016x}","online_at":"{}","status":"{status}"}}"#, 1_753_000_000 + key);
    format!(r#""user:{key}":{{"metas":[{meta}]}}"#)
}

fn diff(joins: &str, leaves: &str) -> Payload {
    Payload::from_raw(format!(r#"{{"joins":{{{joins}}},"leaves":{{{leaves}}}}}"#), false)
}

/// Phoenix' own client with the same people, in a process that lives as long as this value.
pub(crate) struct PhoenixJs {
    child: Child,
    orders: ChildStdin,
    said: BufReader<ChildStdout>,
}

impl PhoenixJs {
    /// None without Node.js, or without `npm ci --prefix tests/js`.
    pub(crate) fn start(people: &People) -> Option<Self> {
        let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/js");
        if !place.join("node_modules/phoenix").exists() {
            return None;
        }
        let mut command = Command::new("node");
        command.arg(place.join("presence_bench.mjs")).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().ok()?;
        let (orders, said) = (child.stdin.take()?, BufReader::new(child.stdout.take()?));
        let mut client = PhoenixJs { child, orders, said };
        for text in [&people.state].into_iter().chain(&people.diffs) {
            client.order(text.as_bytes());
        }
        Some(client)
    }

    /// The milliseconds of the state, and the microseconds of a diff.
    pub(crate) fn fold(&mut self) -> (f64, f64) {
        self.order(b"go");
        let mut line = String::new();
        self.said.read_line(&mut line).expect("figures");
        let mut figures = line.split_whitespace().map(|figure| figure.parse::<f64>().expect("a figure"));
        let mut figure = || figures.next().expect("a figure");
        (figure(), figure())
    }

    fn order(&mut self, line: &[u8]) {
        self.orders.write_all(line).and_then(|()| self.orders.write_all(b"\n")).expect("a client that listens");
    }
}

impl Drop for PhoenixJs {
    fn drop(&mut self) {
        let _ = self.child.kill().and_then(|()| self.child.wait());
    }
}
