//! What runs over every transport, unchanged. The little that differs is asked of the module that these are in.

pub(super) mod bed;
mod chat;
mod connect;
mod hostile;
mod life;
mod presence;
mod programs;
mod refusals;
pub(super) mod seen;
mod threads;

use std::{sync::Arc, time::Duration};

use futures::StreamExt;
use phoenix_streams::{
    Builder, ConnectError, Socket, Telemetry,
    testing::{Server, ServerBuilder},
};

use super::{CHAT, CLOSED, PATH, carries, is_cut, serving_at, transport, transport_at};

pub(super) fn socket(url: impl AsRef<str>) -> Builder {
    Socket::builder(url).transport(transport())
}

/// Where it is waited for that a poll comes back, and that a session is said to be gone. It is shorter than Phoenix has
/// it, but no shorter than a busy machine may be late.
fn server_of_short_polls() -> ServerBuilder {
    Server::builder().window(Duration::from_secs(2)).pubsub_timeout(Duration::from_millis(500))
}

/// The next failure, and how long the socket waits after it: of the telemetry, which tells them however short that is.
pub(super) async fn waits_for(socket: &Socket) -> (Duration, Arc<ConnectError>) {
    let (mut telemetry, mut failure) = (socket.telemetry(), None);
    loop {
        match telemetry.next().await.unwrap().unwrap() {
            Telemetry::Failed { cause, .. } | Telemetry::Closed { cause, .. } => failure = Some(cause),
            Telemetry::Waiting { delay } => return (delay, failure.unwrap()),
            told => assert!(!matches!(told, Telemetry::Stopped { .. }), "{told:?}"),
        }
    }
}
