//! Whether a transport can be used: it opens, and answers a ping.

use std::{collections::VecDeque, future::Future, sync::Arc, time::Duration};

use futures::{SinkExt, StreamExt};

use crate::{
    error::ConnectError,
    runtime::timeout,
    telemetry::SwitchReason,
    transport::{Connection, Dial, Frame, Transport},
};

/// What may come before the answer, and is kept: frames, and their bytes.
const EARLY: (usize, usize) = (256, 1 << 20);

/// The longest that one has to live to be trusted again.
const LIVELY: Duration = Duration::from_secs(30);

/// A connection that has answered, and what came before that.
pub(super) struct Answered {
    pub(super) connection: Connection,
    pub(super) early: VecDeque<Frame>,
}

/// Why one is not to be trusted.
#[derive(Debug)]
pub(super) enum Untrusted {
    Failed(ConnectError),
    Slow(Duration),
    Silent(Duration),
}

/// To open it may take as long as the attempt, unless it is in a `hurry`. An answer to a ping takes a round trip.
pub(super) async fn trial(
    transport: &impl Transport,
    dial: &Dial,
    threshold: Duration,
    hurry: bool,
) -> Result<Answered, Untrusted> {
    let opening = transport.dial(dial.clone());
    let opened = if hurry { within(threshold, opening).await.map_err(Untrusted::Slow)? } else { opening.await };
    let mut connection = opened.map_err(Untrusted::Failed)?;
    let mut early = VecDeque::new();
    if let Some((ping, answers)) = dial.ping() {
        let answered = within(threshold, answered(&mut connection, ping, answers, &mut early)).await;
        answered.map_err(Untrusted::Silent)?.map_err(Untrusted::Failed)?;
    }
    Ok(Answered { connection, early })
}

async fn within<T>(threshold: Duration, work: impl Future<Output = T>) -> Result<T, Duration> {
    timeout(threshold, work).await.map_err(|_| threshold)
}

async fn answered(
    connection: &mut Connection,
    ping: Frame,
    answers: impl FnMut(&Frame) -> bool,
    early: &mut VecDeque<Frame>,
) -> Result<(), ConnectError> {
    connection.send(ping).await?;
    read(connection, answers, early).await
}

/// Reads, and keeps what comes, until this answers.
async fn read(
    connection: &mut Connection,
    mut answers: impl FnMut(&Frame) -> bool,
    early: &mut VecDeque<Frame>,
) -> Result<(), ConnectError> {
    let mut bytes: usize = early.iter().map(Frame::len).sum();
    loop {
        match connection.next().await.ok_or(ConnectError::Ended)?? {
            Frame::Close { code, reason } => return Err(ConnectError::ClosedByServer { code, reason }),
            frame if answers(&frame) => return Ok(()),
            frame => {
                bytes += frame.len();
                early.push_back(frame);
            }
        }
        if early.len() > EARLY.0 || bytes > EARLY.1 {
            return Err(ConnectError::Handshake("it sends much before it is asked for anything".into()));
        }
    }
}

impl Answered {
    /// Whether it lives this long.
    pub(super) async fn live(&mut self, time: Duration) -> Result<(), Untrusted> {
        // It sends no heartbeats, and a server ends what is silent for long.
        match timeout(time.min(LIVELY), read(&mut self.connection, |_| false, &mut self.early)).await {
            Ok(died) => died.map_err(Untrusted::Failed),
            Err(_) => Ok(()),
        }
    }
}

impl Untrusted {
    /// Whether another transport would meet the same.
    pub(super) fn is_of_the_server(&self) -> bool {
        matches!(self, Untrusted::Failed(cause) if is_of_the_server(cause))
    }

    pub(super) fn into_reason(self) -> SwitchReason {
        match self {
            Untrusted::Failed(cause) => SwitchReason::Failed(Arc::new(cause)),
            Untrusted::Slow(threshold) => SwitchReason::Slow(threshold),
            Untrusted::Silent(threshold) => SwitchReason::Silent(threshold),
        }
    }

    pub(super) fn into_cause(self) -> ConnectError {
        match self {
            Untrusted::Failed(cause) => cause,
            Untrusted::Slow(_) => ConnectError::Timeout,
            Untrusted::Silent(_) => ConnectError::HeartbeatTimeout,
        }
    }
}

/// Whether this is the last word, whatever the transport: of the server, of a proxy that asks who comes, or of the builder.
pub(super) fn is_of_the_server(cause: &ConnectError) -> bool {
    match cause {
        ConnectError::Refused(refusal) => match refusal.status().as_u16() {
            401 => true,
            403 | 429 | 503 => refusal.is_of_phoenix(),
            _ => false,
        },
        ConnectError::ProxyRefused(refusal) => refusal.status().as_u16() == 407,
        ConnectError::SocksRefused(refusal) => refusal.is_login(),
        ConnectError::Build(_)
        | ConnectError::Certificate(_)
        | ConnectError::SubprotocolUnanswered
        | ConnectError::Provider(_) => true,
        _ => false,
    }
}
