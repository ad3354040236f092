//! Over WebSockets; and what only they have: frames, close codes, an auth token among the subprotocols.

#[path = "cases/mod.rs"]
mod cases;
mod ends;
mod frames;
mod handshake;

use phoenix_streams::{BoxTransport, ConnectError, WebSocket, testing::ServerBuilder};

/// What the socket's URL gets.
const PATH: &str = "websocket";

/// The chat's options.
const CHAT: &[&str] = &[];

/// What the chat says of a deploy.
const CLOSED: &str = "the server closed the connection with code 1012";

fn transport() -> BoxTransport {
    WebSocket::default().boxed()
}

fn transport_at(path: &str) -> BoxTransport {
    WebSocket::default().path(path).boxed()
}

fn serving_at(server: ServerBuilder, path: &str) -> ServerBuilder {
    server.websocket_path(path)
}

/// Whether the server can send these.
fn carries(_binary: &[u8]) -> bool {
    true
}

/// What a cut connection is told as.
fn is_cut(cause: &ConnectError) -> bool {
    matches!(cause, ConnectError::Ended)
}
