//! A declarative, reactive client for Phoenix Channels.
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "websocket")]
mod auth;
mod backoff;
mod core;
mod endpoint;
mod error;
mod message;
mod payload;
pub mod serializer;
mod status;
mod telemetry;
#[cfg(feature = "testing")]
pub mod testing;
pub mod transport;

pub use backoff::Backoff;
pub use error::{
    BoxError, BuildError, CastError, ConnectError, DecodeError, EncodeError, EventError, JoinError, Lagged, LeaveError,
    NotJoined, NotSent, PushError, Refusal, Stop,
};
pub use message::{Message, Reply, Topic};
pub use payload::{Binary, IntoPayload, Payload};
pub use serde_json::json;
pub use serializer::{Serializer, V2};
pub use status::{ChannelClosed, ChannelStatus, Status};
pub use telemetry::Telemetry;
#[cfg(feature = "websocket")]
pub use transport::WebSocket;
pub use transport::{BoxTransport, Transport};
