//! What carries frames: the [`Transport`] trait, and the transports that come with the crate.

mod backchannel;
mod connection;
mod dial;
mod fallback;
#[cfg(feature = "_http")]
mod http;
#[cfg(feature = "long-poll")]
mod long_poll;
pub mod memory;
#[cfg(feature = "websocket")]
mod websocket;

use std::{fmt, future::Future, pin::Pin, sync::Arc};

use bytes::Bytes;

pub(crate) use backchannel::Backchannel;
pub use connection::Connection;
pub(crate) use connection::{Traits, WindDown};
pub use dial::Dial;
pub(crate) use dial::{Answers, Asks, Renewed, SocketSide};
pub use fallback::{FallbackStore, Or};
#[cfg(feature = "_http")]
pub use http::Http;
#[cfg(feature = "long-poll")]
pub use long_poll::LongPoll;
#[cfg(feature = "websocket")]
pub use websocket::WebSocket;

use crate::error::ConnectError;

/// One frame of a connection, in either direction. `Debug` shows no more of its content than the size: it may hold a
/// secret, such as the params of a join.
// A tag of a whole word: with a smaller one, the close code comes to stand so that a frame is moved in pieces that do
// not meet the words it was written in, and the processor waits for them each time.
#[repr(u64)]
#[derive(Clone, PartialEq, Eq)]
pub enum Frame {
    /// UTF-8 text.
    Text(Bytes),
    /// Bytes.
    Binary(Bytes),
    /// The end: received, the peer closes; sent, this side does.
    Close {
        /// The close code; 1005 stands for a close without one.
        code: u16,
        /// The reason, often empty.
        reason: Arc<str>,
    },
}

impl Frame {
    /// The bytes of its content.
    pub(crate) fn len(&self) -> usize {
        match self {
            Frame::Text(bytes) | Frame::Binary(bytes) => bytes.len(),
            Frame::Close { reason, .. } => reason.len() + 2,
        }
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Frame::Text(text) => write!(f, "Text({} bytes)", text.len()),
            Frame::Binary(bytes) => write!(f, "Binary({} bytes)", bytes.len()),
            Frame::Close { code, reason } => {
                f.debug_struct("Close").field("code", code).field("reason", reason).finish()
            }
        }
    }
}

/// `Send`, wherever there are threads.
pub trait MaybeSend: Send {}
impl<T: Send + ?Sized> MaybeSend for T {}

/// A way to open connections. Implement it with a plain `async fn dial`; wrap another one to meter, sign or disturb it.
///
/// ```
/// use futures::TryStreamExt;
/// use phoenix_streams::{ConnectError, Transport, transport::{Connection, Dial}};
///
/// /// Prints the size of every frame that arrives.
/// struct Loud<T>(T);
///
/// impl<T: Transport> Transport for Loud<T> {
///     async fn dial(&self, dial: Dial) -> Result<Connection, ConnectError> {
///         let connection = self.0.dial(dial).await?;
///         Ok(connection.wrap(|inner| inner.inspect_ok(|frame| println!("{frame:?}"))))
///     }
/// }
/// ```
pub trait Transport: Send + Sync + 'static {
    /// Opens one connection.
    ///
    /// The driver gives it the connect timeout and drops it then, or when the socket is closed meanwhile.
    ///
    /// # Errors
    /// [`ConnectError::Refused`] with what the server said, or any other cause; the socket decides what comes next.
    fn dial(&self, dial: Dial) -> impl Future<Output = Result<Connection, ConnectError>> + MaybeSend;

    /// What status and telemetry call it: `websocket`, `long-poll` or `memory` for those of the crate. Without a name it is
    /// called as whatever it [wraps](Connection::wrap), or `custom`.
    fn name(&self) -> &'static str {
        connection::UNNAMED
    }

    /// Falls back to another transport where this one cannot be used: see [`Or`].
    fn or<T: Transport>(self, other: T) -> Or<Self, T>
    where
        Self: Sized,
    {
        Or::new(self, other)
    }

    /// This transport, chosen at run time.
    fn boxed(self) -> BoxTransport
    where
        Self: Sized,
    {
        BoxTransport(Arc::new(self))
    }
}

/// A transport chosen at run time. A clone is the same transport.
#[derive(Clone)]
pub struct BoxTransport(Arc<dyn Erased>);

impl BoxTransport {
    /// Falls back to another transport where this one cannot be used: see [`Or`].
    #[must_use]
    pub fn or<T: Transport>(self, other: T) -> Or<Self, T> {
        Or::new(self, other)
    }
}

impl fmt::Debug for BoxTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BoxTransport({})", self.0.name())
    }
}

impl Transport for BoxTransport {
    async fn dial(&self, dial: Dial) -> Result<Connection, ConnectError> {
        self.0.dial(dial).await
    }

    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn boxed(self) -> BoxTransport {
        self
    }
}

trait Erased: Send + Sync {
    fn dial(&self, dial: Dial) -> Dialing<'_>;
    fn name(&self) -> &'static str;
}

type Dialing<'a> = Pin<Box<dyn Future<Output = Result<Connection, ConnectError>> + Send + 'a>>;

impl<T: Transport> Erased for T {
    fn dial(&self, dial: Dial) -> Dialing<'_> {
        Box::pin(Transport::dial(self, dial))
    }

    fn name(&self) -> &'static str {
        Transport::name(self)
    }
}
