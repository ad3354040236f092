//! A chat.
//!
//! ```text
//! cargo run --example chat                                       two clients and a server, in one process
//! cargo run --example chat -- ws://host:4000/socket [topic] [name]   you, against any Phoenix server
//! ```
//!
//! After `--long-poll`, the first of all, either goes over long-poll.

mod demo;
mod interactive;

use std::process::ExitCode;

use phoenix_streams::{LongPoll, WebSocket};
use serde::{Deserialize, Serialize};

/// What is said in a room, under the event `new_msg`.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Said {
    #[serde(default = "somebody")]
    name: String,
    body: String,
}

fn somebody() -> String {
    "somebody".to_owned()
}

fn main() -> ExitCode {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let outcome = runtime.block_on(run());
    // Without waiting for a line that may never be typed.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            eprintln!("{sentence}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), String> {
    let mut args = std::env::args().skip(1).peekable();
    let transport = match args.next_if_eq("--long-poll") {
        Some(_) => LongPoll::default().boxed(),
        None => WebSocket::default().boxed(),
    };
    match args.next() {
        None => demo::run(transport).await.map_err(|error| error.to_string()),
        Some(option) if option.starts_with('-') => {
            Err("usage: chat [--long-poll] [ws://host:4000/socket [topic [name]]]".to_owned())
        }
        Some(url) => {
            let topic = args.next().unwrap_or_else(|| "room:lobby".to_owned());
            let name = args.next().unwrap_or_else(somebody);
            interactive::run(&url, transport, &topic, &name).await
        }
    }
}
