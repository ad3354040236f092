//! The embedded server: a Phoenix in the same process, for examples and tests.
//!
//! It speaks the wire protocol of Phoenix 1.8 over WebSocket and long-poll, with `vsn` 2.0.0, and behaves as that does:
//! the order of leaving and of joining twice, stale refs, crashes, close codes, refused handshakes, sessions that end,
//! [presence](Peer::track). It can also be told to [misbehave](Server::misbehave).
//!
//! ```
//! use phoenix_streams::{json, testing::Server};
//!
//! # #[tokio::main] async fn main() -> std::io::Result<()> {
//! let server = Server::builder()
//!     .join("room:*", |_peer, _params| async { Ok(json!({ "motd": "hi" })) })
//!     .on("room:*", "shout", |peer, payload| async move {
//!         peer.broadcast("shout", payload);
//!         Ok(json!({}))
//!     })
//!     .start()
//!     .await?;
//! assert!(server.url().starts_with("ws://127.0.0.1:"));
//! # Ok(()) }
//! ```
//!
//! What is on the wire is written and read here, apart from the client's serializer, so that a client's misreading is
//! not shared by the server it is tested with.

mod answers;
mod app;
mod builder;
mod channel;
mod connect;
mod fault;
mod handshake;
mod hub;
mod long_poll;
mod peer;
mod presence;
mod response;
mod server;
mod socket;
mod tcp;
#[cfg(test)]
mod tests;
mod topics;
mod websocket;
mod wire;

pub use builder::ServerBuilder;
pub use connect::{ConnectInfo, Refuse};
pub use fault::Fault;
pub use peer::Peer;
pub use response::{Answer, Later, Response};
pub use server::Server;
