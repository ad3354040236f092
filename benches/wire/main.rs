//! The figures of this crate, against a bare loop of tokio-tungstenite over the same kind of socket, or of reqwest;
//! those of presence against phoenix.js, where Node.js is.
//!
//! `cargo bench` prints them all, `cargo bench -- receive trips` those of two sections. Both sides talk to the same
//! server, on a thread and, where there are enough, a core of its own. What is compared is run in turns, and the median
//! of the rounds counts. Memory is read from `/proc`, on Linux only.
//!
//! `cargo bench -- soak` measures nothing: for two minutes, or so many seconds, it does all it can to break the client.

mod calm;
mod idle;
mod machine;
mod parts;
mod people;
mod polls;
mod presence;
mod receive;
mod scale;
mod server;
mod session;
mod soak;
mod trips;

use phoenix_streams::Http;

const SECTIONS: [(&str, fn()); 8] = [
    ("receive", receive::run),
    ("calm", calm::run),
    ("trips", trips::run),
    ("polls", polls::run),
    ("scale", scale::run),
    ("idle", idle::run),
    ("parts", parts::run),
    ("presence", presence::run),
];

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let words: Vec<_> = arguments.iter().map(String::as_str).collect();
    if let ["inside", name, rest @ ..] = &*words {
        return inside(name, rest);
    }
    // By itself alone: it takes its time.
    if let ["soak", rest @ ..] = &*words {
        return soak::run(rest);
    }
    for word in &words {
        assert!(
            SECTIONS.iter().any(|(name, _)| name == word),
            "no section {word}: {:?}",
            SECTIONS.map(|(name, _)| name)
        );
    }
    println!("{} cores, load {}\n", machine::cores(), machine::load());
    for (name, run) in SECTIONS {
        if words.is_empty() || words.contains(&name) {
            run();
        }
    }
}

/// What this program does as a process of its own, started by [`machine::fresh`].
fn inside(name: &str, arguments: &[&str]) {
    match (name, arguments) {
        ("server", []) => server::speak_and_serve(),
        ("stalled", [server]) => calm::stalled(server.parse().expect("an address")),
        ("held", [server]) => calm::held(server.parse().expect("an address")),
        ("sockets", [url]) => idle::sockets(url, Http::default()),
        ("sockets", [url, certificate]) => idle::sockets(url, idle::trusting(certificate)),
        ("channels", [url]) => idle::channels(url),
        ("lists", []) => presence::lists(),
        // One side alone, to be profiled: `perf record target/release/deps/wire-.. inside flood ours 100 1000000`.
        ("flood", [side, size, frames]) => {
            let [size, frames] = [size, frames].map(|number| number.parse().expect("a number"));
            receive::alone(*side == "ours", server::Flood::of(size, frames));
        }
        ("presence", [people, diffs]) => {
            let [people, diffs] = [people, diffs].map(|number| number.parse().expect("a number"));
            presence::alone(people, diffs);
        }
        ("trips", [side, at_once]) => trips::alone(*side == "ours", *at_once == "64"),
        ("polls", [side]) => polls::alone(*side == "ours", None),
        ("polls", [side, size, answers]) => {
            let [size, answers] = [size, answers].map(|number| number.parse().expect("a number"));
            polls::alone(*side == "ours", Some(polls::flood(size, answers)));
        }
        _ => panic!("nothing to do: {name} {arguments:?}"),
    }
}
