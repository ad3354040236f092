//! The WebSocket transport.

use super::{Connection, Dial, Transport};
use crate::error::ConnectError;

/// The WebSocket transport.
#[derive(Clone, Debug, Default)]
pub struct WebSocket(());

impl Transport for WebSocket {
    async fn dial(&self, _: Dial) -> Result<Connection, ConnectError> {
        Err(ConnectError::Ended)
    }
}
