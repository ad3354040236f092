//! A declarative, reactive client for Phoenix Channels.
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "websocket")]
mod auth;
mod backoff;
mod builder;
mod channel;
mod core;
mod driver;
mod endpoint;
mod error;
mod message;
mod operation;
mod payload;
pub mod serializer;
mod socket;
mod stats;
mod status;
mod streams;
mod telemetry;
#[cfg(feature = "testing")]
pub mod testing;
pub mod transport;

pub use backoff::Backoff;
pub use builder::Builder;
pub use channel::Channel;
pub use driver::Driver;
pub use error::{
    BoxError, BuildError, CastError, ConnectError, DecodeError, EncodeError, EventError, JoinError, Lagged, LeaveError,
    NotJoined, NotSent, PushError, Refusal, Stop,
};
pub use message::{Message, Reply, Topic};
pub use operation::{Cast, Close, Connect, Connecting, Disconnect, Join, Leave, Push};
pub use payload::{Binary, IntoPayload, Payload};
pub use serde_json::json;
pub use serializer::{Serializer, V2};
pub use socket::Socket;
pub use stats::Stats;
pub use status::{ChannelClosed, ChannelStatus, Status};
pub use streams::{Events, EventsAs, Latest, Lossy, Messages, TelemetryStream};
pub use telemetry::Telemetry;
#[cfg(feature = "websocket")]
pub use transport::WebSocket;
pub use transport::{BoxTransport, Transport};
