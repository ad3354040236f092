//! The WebSocket transport.

mod connection;
mod handshake;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::{BoxTransport, Connection, Dial, Or, Transport};
use crate::error::ConnectError;

/// How much is gathered before it is written, short of a flush.
const WRITE_BUFFER: usize = 16 * 1024;

/// The WebSocket transport. A value to configure and hand to the builder; a clone is the same again.
///
/// It answers pings, follows no redirects and speaks no compression. It sends no `Origin` header unless one is given, so
/// that the server's origin check does not apply. TLS and proxies are the business of [`Http`](crate::Http).
///
/// ```
/// use phoenix_streams::WebSocket;
///
/// let transport = WebSocket::default().path("ws").max_message_size(1024 * 1024);
/// ```
#[derive(Clone, Debug)]
pub struct WebSocket {
    path: Arc<str>,
    max_message_size: usize,
    max_frame_size: usize,
    read_buffer_size: usize,
}

impl Default for WebSocket {
    fn default() -> Self {
        WebSocket {
            path: "websocket".into(),
            max_message_size: 64 << 20,
            max_frame_size: 64 << 20,
            read_buffer_size: 16 << 10,
        }
    }
}

impl WebSocket {
    /// The path behind the endpoint's own, `websocket` by default; as `path:` of the server's `websocket` option.
    #[must_use]
    pub fn path(mut self, path: impl Into<Arc<str>>) -> Self {
        self.path = path.into();
        self
    }

    /// The largest message to receive, in bytes: 64 MiB by default. A larger one ends the connection with code 1009.
    #[must_use]
    pub fn max_message_size(mut self, bytes: usize) -> Self {
        self.max_message_size = bytes;
        self
    }

    /// The largest frame to receive, in bytes: 64 MiB by default. A larger one ends the connection with code 1009.
    #[must_use]
    pub fn max_frame_size(mut self, bytes: usize) -> Self {
        self.max_frame_size = bytes;
        self
    }

    /// How much is read at once, in bytes: 16 KiB by default. All of it is memory in use, also while nothing happens.
    #[must_use]
    pub fn read_buffer_size(mut self, bytes: usize) -> Self {
        self.read_buffer_size = bytes;
        self
    }

    /// Falls back to another transport where this one cannot be used: see [`Or`].
    #[must_use]
    pub fn or<T: Transport>(self, other: T) -> Or<Self, T> {
        Or::new(self, other)
    }

    /// This transport, chosen at run time.
    #[must_use]
    pub fn boxed(self) -> BoxTransport {
        Transport::boxed(self)
    }

    fn config(&self) -> WebSocketConfig {
        WebSocketConfig::default()
            .read_buffer_size(self.read_buffer_size)
            .write_buffer_size(WRITE_BUFFER)
            .max_message_size(Some(self.max_message_size))
            .max_frame_size(Some(self.max_frame_size))
    }
}

impl Transport for WebSocket {
    async fn dial(&self, dial: Dial) -> Result<Connection, ConnectError> {
        let upgraded = handshake::open(&dial, &self.path).await?;
        let connection = Connection::new(connection::Open::new(upgraded, Role::Client, self.config()));
        Ok(connection.with_traits(|traits| traits.origin = Some(self.name())))
    }

    fn name(&self) -> &'static str {
        "websocket"
    }
}
