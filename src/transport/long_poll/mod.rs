//! The long-poll transport.

mod answer;
mod batches;
mod connection;
mod messages;
mod polls;
mod posts;
mod session;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use self::{connection::Open, session::Session};
use super::{BoxTransport, Connection, Dial, Or, Transport, WindDown};
use crate::error::ConnectError;

/// The long-poll transport, for networks that let no WebSocket through. A value to configure and hand to the builder; a
/// clone is the same again.
///
/// One request always waits at the server for messages, and is asked again as soon as it is answered; what is sent goes
/// out in another, one at a time, up to 100 messages in each. TLS and proxies are the business of
/// [`Http`](crate::Http). Redirects are not followed, cookies not kept, and an answer that is compressed is refused.
///
/// The server must have it switched on: `longpoll: true` on the socket in its endpoint.
///
/// ```
/// use phoenix_streams::{LongPoll, Socket};
///
/// let builder = Socket::builder("wss://example.org/socket").transport(LongPoll::default());
/// # drop(builder);
/// ```
///
/// # What is different
///
/// - Params, auth token (`X-Phoenix-AuthToken`) and the endpoint's own query go out with the request that opens the
///   session; later ones carry the session's token.
/// - No heartbeats are sent: the poll shows whether the server is there.
///   [`latency`](crate::Socket::latency) stays without a value unless [`ping`](crate::Socket::ping) is used.
/// - A message that the server hands over in an answer that does not arrive is lost, as is what it holds for a session
///   that ends. Pushes under way are settled as [`Disconnected`](crate::PushError::Disconnected).
/// - Binary messages can be sent. For those **from** the server Phoenix has no form: one that happens to be UTF-8 arrives,
///   any other makes the server fail, and lose what it held with it: [`ConnectError::NotCarried`].
/// - Nothing tells the server that a client has gone: a disconnect or close waits up to 1.5 s for the poll that is open,
///   delivers what it brings, and leaves the session to end by itself. The server notices one and a half to three of its
///   windows after the last poll, 15 to 30 s as Phoenix has it; channels terminate then, and presence leaves are late.
#[derive(Clone, Debug)]
pub struct LongPoll {
    path: Arc<str>,
    timeout: Duration,
    max_response_size: usize,
    max_batch_size: usize,
    token_in_url: bool,
}

impl Default for LongPoll {
    fn default() -> Self {
        LongPoll {
            path: "longpoll".into(),
            timeout: Duration::from_secs(20),
            max_response_size: 64 << 20,
            max_batch_size: 1 << 20,
            token_in_url: true,
        }
    }
}

impl LongPoll {
    /// The path behind the endpoint's own, `longpoll` by default; as `path:` of the server's `longpoll` option.
    #[must_use]
    pub fn path(mut self, path: impl Into<Arc<str>>) -> Self {
        self.path = path.into();
        self
    }

    /// How long a request may stay unanswered: 20 s by default. It must exceed the server's window, after which that
    /// answers a poll without messages: 10 s in Phoenix. A request that is not answered ends the connection with
    /// [`ConnectError::RequestTimeout`].
    ///
    /// An answer that has begun gets this time again for each 64 KiB of it.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The largest answer to receive, in bytes: 64 MiB by default. A larger one ends the connection with
    /// [`ConnectError::TooLarge`].
    #[must_use]
    pub fn max_response_size(mut self, bytes: usize) -> Self {
        self.max_response_size = bytes;
        self
    }

    /// How much is sent in one request, in bytes: 1 MiB by default, which proxies usually let pass. A message that is
    /// larger by itself goes alone; Phoenix takes up to 8 MB.
    #[must_use]
    pub fn max_batch_size(mut self, bytes: usize) -> Self {
        self.max_batch_size = bytes;
        self
    }

    /// Whether the session's token stands in the URL as well as in the header `X-Phoenix-Longpoll-Token`. On by default,
    /// since Phoenix before 1.8.10 knows no such header; off, it does not get into the logs of proxies and servers.
    #[must_use]
    pub fn token_in_url(mut self, on: bool) -> Self {
        self.token_in_url = on;
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
}

impl Transport for LongPoll {
    async fn dial(&self, dial: Dial) -> Result<Connection, ConnectError> {
        let (session, polls) = Session::open(self, &dial).await?;
        let wind_down = WindDown::default();
        let open = Open::new(self, Arc::new(session), polls, dial.http, wind_down.clone());
        let connection = Connection::new(open).without_heartbeats();
        Ok(connection.with_traits(|traits| {
            traits.wind_down = Some(wind_down);
            traits.origin = Some(self.name());
        }))
    }

    fn name(&self) -> &'static str {
        "long-poll"
    }
}
