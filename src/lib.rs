//! A client for [Phoenix](https://www.phoenixframework.org) Channels in which everything a program can observe is a
//! `Stream`, everything it can send is a `Sink` or a future, and what should be joined is *declared*, not driven.
//!
//! ```text
//!    you            Socket  Channel  Join  Push  Cast  EventSink     Events  Joins  Latest<Status>  Latest<Presence>
//!                      |  commands, two lanes                           ^  messages by the turn, present values
//!    driver            v                                            |
//!                   one task: connection -> core -> streams, commands -> core -> connection
//!                      |  command, frame, open, lost, now           ^  what to do, what was settled
//!    core              v                                            |
//!                   all of the protocol; no IO, no clock
//!    transport      Stream<Item = Result<Frame, _>> + Sink<Frame>
//! ```
//!
//! ```
//! use futures::StreamExt;
//! use phoenix_streams::{Socket, json};
//! # use phoenix_streams::testing::Server;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let server = Server::builder()
//! #     .join("room:*", |_, _| async { Ok(json!({})) })
//! #     .on("room:*", "shout", |peer, said| async move { peer.broadcast("shout", said); Ok(json!({})) })
//! #     .start()
//! #     .await?;
//! # let url = server.url();
//! let socket = Socket::builder(url).connect().await?;
//! let room = socket.channel("room:lobby");
//! let mut shouts = room.events("shout");
//! room.join(()).await?;
//! room.push("shout", json!({ "body": "hi" })).await?;
//! if let Some(Ok(message)) = shouts.next().await {
//!     println!("{}", message.payload());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Laws
//!
//! 1. A channel stays joined while anyone holds any part of it, from its first `join` on and over every reconnect.
//! 2. A topic is one subscription per socket, however many handles ask for it.
//! 3. Reading never waits on someone else, and nothing is lost silently: [`EventError::Lagged`].
//! 4. A push is sent at most once and settled exactly once: [`PushError`].
//! 5. Nothing is sent until polled; each operation says what it leaves behind when dropped.
//! 6. Errors end a call, never a stream.
//! 7. The desired state wins: joins and leaves are never queued as frames.
//! 8. Exactly one [`Telemetry::Closed`] for every [`Telemetry::Opened`], with its cause.
//! 9. Retry is data: [`Backoff`], and [`Retry`] by cause. What cannot heal by itself stops.
//! 10. Presence cannot drift: its list is the server's own after every join, or says that it is not ([`PresenceState`]).
//! 11. Secrets stay in: params, tokens, headers, credentials and keys are in no `Debug`, error, log or telemetry.
//! 12. A hostile server can cost at most one connection.
//!
//! What streams, futures and states show for every failure, all defaults, and what the crate does not do stand in the
//! [README](https://docs.rs/crate/phoenix-streams/latest).
//!
//! # Logs
//!
//! By `tracing`, under the targets `phoenix_streams::transport`, `channel`, `push` and `receive`, in a span for each
//! socket. Payloads are logged at TRACE alone; the README lists all messages and fields.
//!
//! # Cargo features
//!
//! - `websocket` (default): the `WebSocket` transport.
//! - `long-poll` (default): the `LongPoll` transport.
//! - `rustls` (default): TLS, verified as the platform does.
//! - `native-tls`: TLS by the platform's own library, where rustls is not there, or by `Http::native_tls`.
//! - `testing`: the embedded server, in the module `testing`.
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "websocket")]
mod auth;
mod backoff;
mod batch;
mod builder;
mod channel;
mod core;
mod driver;
mod endpoint;
mod error;
mod log;
mod message;
mod operation;
mod payload;
mod policy;
mod presence;
mod runtime;
pub mod serializer;
mod socket;
mod stats;
mod status;
mod streams;
mod telemetry;
#[cfg(feature = "testing")]
pub mod testing;
pub mod transport;
mod word;

/// Bytes as payloads and frames hold them.
pub use bytes::Bytes;
/// Headers and statuses, as builder, refusals and transports take and give them.
pub use http;

pub use backoff::{Backoff, Delays};
pub use builder::Builder;
pub use channel::Channel;
pub use driver::Driver;
pub use error::{
    BoxError, BuildError, CastError, ConnectError, DecodeError, EncodeError, EventError, JoinError, Lagged, LeaveError,
    NotJoined, NotSent, PingError, PushError, Refusal, SocksRefusal, Stop,
};
pub use message::{LastSeen, Message, Reply, Topic};
pub use operation::{Cast, Close, Connect, Connecting, Disconnect, Join, Leave, Ping, Push};
pub use payload::{Binary, IntoPayload, Payload};
pub use policy::Retry;
pub use presence::{Change, Entry, Presence, PresenceEvent, PresenceNames, PresenceState};
pub use serde_json::{Value, json};
#[doc(inline)]
pub use serializer::{Envelope, Serializer, V2};
pub use socket::Socket;
pub use stats::Stats;
pub use status::{ChannelClosed, ChannelStatus, Status};
pub use streams::{
    EventSink, Events, EventsAs, Joins, Latest, Lossy, Messages, MessagesAs, PresenceEvents, SocketMessages,
    TelemetryStream,
};
pub use telemetry::{SwitchReason, Telemetry};
#[cfg(feature = "_http")]
#[doc(inline)]
pub use transport::Http;
#[cfg(feature = "long-poll")]
#[doc(inline)]
pub use transport::LongPoll;
#[cfg(feature = "websocket")]
#[doc(inline)]
pub use transport::WebSocket;
#[doc(inline)]
pub use transport::{BoxTransport, Or, Transport};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
