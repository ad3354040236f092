//! What a server may say, at random: few keys and few refs, so that they meet often.

use phoenix_streams::Payload;
use serde_json::{Map, Value, json};

pub(super) type Members = Map<String, Value>;

#[derive(Debug)]
pub(super) enum Step {
    /// A join is sent, over whatever was before.
    Join(Over),
    /// It is answered.
    Answer,
    State(Said),
    Diff(Said),
}

/// What becomes of the join before.
#[derive(Clone, Copy, Debug)]
pub(super) enum Over {
    Live,
    Crash,
    Cut,
}

/// A payload, with its keys in any order.
#[derive(Debug)]
pub(super) struct Said(String, Value);

impl Said {
    pub(super) fn text(&self) -> &str {
        &self.0
    }

    pub(super) fn value(&self) -> &Value {
        &self.1
    }

    pub(super) fn payload(&self) -> Payload {
        Payload::from_raw(self.0.clone(), false)
    }
}

impl From<Value> for Said {
    fn from(value: Value) -> Self {
        Said(value.to_string(), value)
    }
}

/// Those like integers stand first in any object of JavaScript.
const KEYS: [&str; 9] = ["7", "12", "ann", "bob", "", "__proto__", "constructor", "h\u{e9} \u{1f600}", "a\"\\\n\u{1}"];
const INTEGERS: usize = 2;
const REFS: [&str; 5] = ["1", "2", "F\u{e9}==", "", "__proto__"];

pub(super) struct Random {
    random: fastrand::Rng,
    /// Whether what is said of a ref may be other than before.
    changing: bool,
    keys: usize,
}

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let (changing, keys) = (random.bool(), random.usize(1..=KEYS.len()));
        Random { random, changing, keys }
    }

    /// A state, then states and diffs, each of any other list.
    pub(super) fn messages(mut self) -> Vec<Step> {
        let mut steps = vec![Step::State(self.state())];
        for _ in 0..self.random.usize(1..12) {
            steps.push(if self.random.u8(..4) == 0 { Step::State(self.state()) } else { Step::Diff(self.diff()) });
        }
        steps
    }

    /// A channel, from where its first join was sent. What is said of a ref stays the same.
    pub(super) fn life(mut self) -> Vec<Step> {
        self.changing = false;
        let (mut steps, mut joined) = (Vec::new(), false);
        for _ in 0..self.random.usize(5..25) {
            let step = match (joined, self.random.u8(..10)) {
                (false, 0..4) => Step::Answer,
                (false, 4) => Step::Join(Over::Live),
                (false, 5) => Step::Join(Over::Cut),
                (true, 0..2) => Step::State(self.state()),
                (true, 2) => {
                    let over = [Over::Live, Over::Crash, Over::Cut];
                    Step::Join(over[self.random.usize(..over.len())])
                }
                _ => Step::Diff(self.diff()),
            };
            joined = matches!(step, Step::Answer) || joined && !matches!(step, Step::Join(_));
            steps.push(step);
        }
        steps
    }

    fn state(&mut self) -> Said {
        let (text, members) = self.members(self.keys);
        Said(text, members.into())
    }

    fn diff(&mut self) -> Said {
        let (joins, joining) = self.members(3);
        let (leaves, leaving) = self.members(3);
        let text = if self.random.bool() {
            format!("{{\"joins\":{joins},\"leaves\":{leaves}}}")
        } else {
            format!("{{ \"leaves\" : {leaves}, \"other\": [], \"joins\" : {joins} }}")
        };
        Said(text, json!({ "joins": joining, "leaves": leaving }))
    }

    fn members(&mut self, most: usize) -> (String, Members) {
        let mut keys: Vec<usize> = (0..self.keys).collect();
        self.random.shuffle(&mut keys);
        keys.truncate(self.random.usize(..=most.min(self.keys)));
        keys.sort_by_key(|key| if *key < INTEGERS { *key } else { INTEGERS });
        let members: Vec<_> = keys.into_iter().map(|key| (KEYS[key].to_owned(), self.person(key))).collect();
        let texts: Vec<_> = members.iter().map(|(key, who)| format!("{}:{who}", json!(key))).collect();
        (format!("{{{}}}", texts.join(",")), members.into_iter().collect())
    }

    fn person(&mut self, key: usize) -> Value {
        let mut refs: Vec<usize> = (0..REFS.len()).collect();
        self.random.shuffle(&mut refs);
        // None at all is odd, and possible.
        refs.truncate([0, 1, 1, 1, 1, 2, 2, 2, 3, 4][self.random.usize(..10)]);
        let metas: Vec<_> = refs.into_iter().map(|at| self.meta(key, at)).collect();
        let mut who = json!({ "metas": metas });
        let fields = if self.changing { self.random.usize(..4) } else { key % 4 };
        if fields > 0 {
            let name = ["ann", "\u{e9}\"", ""][fields - 1];
            who["user"] = json!({ "name": name, "n": fields });
        }
        if fields > 1 {
            who["__proto__"] = json!(null);
        }
        who
    }

    fn meta(&mut self, key: usize, at: usize) -> Value {
        let n = if self.changing { self.random.usize(..3) } else { (key + at) % 3 };
        let mut meta = json!({ "phx_ref": REFS[at], "n": n });
        if n == 0 {
            meta["phx_ref_prev"] = json!(REFS[(at + 1) % REFS.len()]);
        }
        meta
    }
}
