//! Over long-poll; and what cannot be the same there, with what is told instead.
//!
//! | case | over a WebSocket | over long-poll | tested by |
//! |---|---|---|---|
//! | binary from the server | arrives | arrives where it is UTF-8 by chance; else [`NotCarried`], and a new session | `binary` |
//! | the server closes, with any code | `ClosedByServer`; 1000 waits 1 s | [`SessionGone`], once the poll ends; no code, no wait | `ends` |
//! | ..and refuses the next attempt | `ClosedByServer`, then `Refused` | `Refused` at once: a poll of no session opens one | `ends` |
//! | the server cuts the connection | `Ended` | `Transport` | `cases::life` |
//! | the client says nothing for long | closed with 1002 | nothing happens: it polls | `ends` |
//! | the server falls silent | `HeartbeatTimeout` | [`RequestTimeout`]; there are no heartbeats, and no latency | `ends` |
//! | what is sent is larger than the server takes | closed with 1009 | `Refused` with 400 | `ends` |
//! | what is sent is no message | closed with 1011 | `Refused` with 408, a window later | `ends` |
//! | what comes is larger than the client takes | `Transport` | [`TooLarge`] | `ends` |
//! | the client closes, with a code | the server is told | nobody is: the session ends by itself | `ends` |
//! | an auth token | among the subprotocols | in a header | `opening` |
//! | ..that the server does not take | `SubprotocolUnanswered`, and it stops | it is let in without | `opening` |
//! | the application refuses | `Refused`, as the application says it | `Refused` with 403, whatever it says | `opening` |
//!
//! [`NotCarried`]: phoenix_streams::ConnectError::NotCarried
//! [`SessionGone`]: phoenix_streams::ConnectError::SessionGone
//! [`RequestTimeout`]: phoenix_streams::ConnectError::RequestTimeout
//! [`TooLarge`]: phoenix_streams::ConnectError::TooLarge

mod binary;
#[path = "cases/mod.rs"]
mod cases;
mod ends;
mod opening;

use phoenix_streams::{BoxTransport, ConnectError, LongPoll, testing::ServerBuilder};

/// What the socket's URL gets.
const PATH: &str = "longpoll";

/// The chat's options.
const CHAT: &[&str] = &["--long-poll"];

/// What the chat says of a deploy.
const CLOSED: &str = "the server does not know the long-poll session any more";

fn transport() -> BoxTransport {
    LongPoll::default().boxed()
}

fn transport_at(path: &str) -> BoxTransport {
    LongPoll::default().path(path).boxed()
}

fn serving_at(server: ServerBuilder, path: &str) -> ServerBuilder {
    server.long_poll_path(path)
}

/// Whether the server can send these.
fn carries(binary: &[u8]) -> bool {
    std::str::from_utf8(binary).is_ok()
}

/// What a cut connection is told as.
fn is_cut(cause: &ConnectError) -> bool {
    matches!(cause, ConnectError::Transport(_))
}
