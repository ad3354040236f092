//! What is logged, by `tracing`: the section "Logs" of the README says it to users.
//!
//! Fields carry Phoenix' own words. Nothing is formatted unless somebody listens (G-5), payloads stand at the finest
//! level alone (G-3), and params, tokens and headers nowhere (DEV-3).

use std::{borrow::Cow, sync::Arc};

use tracing::{Level, Span, debug, error, info, level_filters::LevelFilter, trace, warn};

use crate::{
    core::event,
    endpoint::Endpoint,
    error::{ConnectError, EncodeError, NotJoined},
    message::Topic,
    payload::Kind,
    serializer::{self, Body, Envelope, Incoming, Name, Outgoing},
    status::ChannelClosed,
    telemetry::{SwitchReason, Telemetry},
};

/// A socket as such: its span, and what concerns no connection.
pub(crate) const SOCKET: &str = "phoenix_streams::socket";
/// Connections and attempts.
pub(crate) const TRANSPORT: &str = "phoenix_streams::transport";
/// Joins and what becomes of them.
pub(crate) const CHANNEL: &str = "phoenix_streams::channel";
/// Messages to the server.
pub(crate) const PUSH: &str = "phoenix_streams::push";
/// Messages from the server.
pub(crate) const RECEIVE: &str = "phoenix_streams::receive";

/// How much of a payload is shown, in bytes.
const SHOWN: usize = 4 * 1024;

/// Around all that a socket does. Of the gravest level, so that it stands around whatever is logged.
pub(crate) fn socket(id: u64, endpoint: &Endpoint) -> Span {
    // Whoever builds a socket may be done long before it is.
    tracing::error_span!(target: SOCKET, parent: None, "socket", id, host = endpoint.host())
}

pub(crate) fn pushed(message: &Outgoing<'_>) {
    if LevelFilter::current() >= Level::TRACE {
        push(message);
    }
}

/// One that goes past all channels.
pub(crate) fn pushed_raw(message: &Envelope) {
    if LevelFilter::current() >= Level::TRACE {
        push_raw(message);
    }
}

pub(crate) fn received(message: &Incoming<'_>) {
    if LevelFilter::current() >= Level::TRACE {
        receive(message);
    }
}

#[cold]
fn push(message: &Outgoing<'_>) {
    if !tracing::enabled!(target: PUSH, Level::TRACE) {
        return;
    }
    let Outgoing { join_ref, reference, topic, event, payload } = *message;
    let event = event.as_str();
    let payload = &*shown(payload.as_bytes(), payload.is_binary());
    trace!(target: PUSH, topic, event, join_ref, "ref" = reference, payload, "push");
}

#[cold]
fn push_raw(message: &Envelope) {
    if !tracing::enabled!(target: PUSH, Level::TRACE) {
        return;
    }
    let Envelope { join_ref, r#ref, topic, event, payload } = message;
    let (join_ref, reference, topic, event) = (join_ref.as_deref(), r#ref.as_deref(), &**topic, &**event);
    let payload = &*shown(payload.as_bytes(), payload.is_binary());
    trace!(target: PUSH, topic, event, join_ref, "ref" = reference, payload, "push");
}

#[cold]
fn receive(message: &Incoming<'_>) {
    // Somebody may listen to something else at this level.
    if !tracing::enabled!(target: RECEIVE, Level::TRACE) {
        return;
    }
    let Incoming { join_ref, reference, topic, event, body, .. } = message;
    let (status, payload) = status_and_payload(event.as_str(), body);
    trace!(
        target: RECEIVE,
        status = status.as_deref(),
        topic = topic.as_str(),
        event = event.as_str(),
        join_ref = join_ref.map(Name::as_str),
        "ref" = reference.map(Name::as_str),
        payload = &*payload,
        "receive"
    );
}

/// A message of a join that is not the present one (M-2).
pub(crate) fn outdated(message: &Incoming<'_>) {
    let Incoming { join_ref, topic, event, .. } = message;
    let (topic, event, join_ref) = (topic.as_str(), event.as_str(), join_ref.map(Name::as_str));
    debug!(target: CHANNEL, topic, event, join_ref, "dropping outdated message");
}

/// The words of the decoder may repeat what the server sent (T-29).
pub(crate) fn undecodable_meta(error: &dyn std::fmt::Display) {
    trace!(target: CHANNEL, error = error.to_string(), "a meta of a presence does not decode");
}

pub(crate) fn presence_undecodable(topic: &str, event: &str, error: &dyn std::fmt::Display) {
    warn!(target: CHANNEL, topic, event, "a presence that does not decode is passed over");
    trace!(target: CHANNEL, topic, event, error = error.to_string(), "why it does not");
}

/// P-10
pub(crate) fn presence_without_state(topic: &str, event: &str, pending: usize) {
    warn!(target: CHANNEL, topic, event, pending, "presence diffs wait for a state: does the server push it?");
}

pub(crate) fn presence_missed(topic: &str) {
    warn!(target: CHANNEL, topic, "no room for a presence: the list is stale until the next join");
}

pub(crate) fn presence_too_large(topic: &str, limit: usize) {
    warn!(target: CHANNEL, topic, limit, "a presence list is larger than the socket may hold: it is stale");
}

pub(crate) fn leaving(topic: &str, join_ref: u64) {
    debug!(target: CHANNEL, topic, join_ref, "leaving");
}

/// A leave or a heartbeat, which nobody waits for.
pub(crate) fn unsendable(topic: &str, event: &str, why: &EncodeError) {
    error!(target: PUSH, topic, event, "the serializer cannot encode this");
    trace!(target: PUSH, topic, event, error = why.to_string(), "why it cannot");
}

/// A detached join whose params do not encode. Why not may quote them.
pub(crate) fn undeclared(topic: &str, why: &EncodeError) {
    error!(target: CHANNEL, topic, "the params of a detached join cannot be sent");
    trace!(target: CHANNEL, topic, error = why.to_string(), "why they cannot");
}

/// What telemetry tells.
pub(crate) fn happened(what: &Telemetry) {
    match what {
        Telemetry::Connecting { attempt } => debug!(target: TRANSPORT, attempt, "connecting"),
        Telemetry::Failed { attempt, cause } => failed(*attempt, cause),
        Telemetry::Opened { transport } => info!(target: TRANSPORT, transport, "connected"),
        Telemetry::Switched { from, to, reason: SwitchReason::Healed } => {
            info!(target: TRANSPORT, from, to, "back to the first transport");
        }
        Telemetry::Switched { from, to, reason } => {
            warn!(target: TRANSPORT, from, to, reason = reason.to_string(), "another transport");
        }
        Telemetry::ProbeFailed { transport, cause } => {
            debug!(target: TRANSPORT, transport, cause = cause.to_string(), "not healthy yet");
        }
        Telemetry::Closed { cause, after } => match &**cause {
            ConnectError::Closed => info!(target: TRANSPORT, ?after, "disconnected"),
            ConnectError::Switched { to } => info!(target: TRANSPORT, to, ?after, "given up for a better connection"),
            ConnectError::ClosedByServer { code, reason } => {
                warn!(target: TRANSPORT, code, reason = &**reason, ?after, "closed by the server");
            }
            ConnectError::HeartbeatTimeout => warn!(target: TRANSPORT, ?after, "heartbeat timeout"),
            cause => warn!(target: TRANSPORT, cause = cause.to_string(), ?after, "connection lost"),
        },
        Telemetry::Waiting { delay } => debug!(target: TRANSPORT, ?delay, "waiting to reconnect"),
        Telemetry::Stopped { cause } => error!(target: TRANSPORT, cause = cause.to_string(), "stopped"),
        Telemetry::Heartbeat { round_trip } => debug!(target: TRANSPORT, ?round_trip, "heartbeat"),
        Telemetry::Joining { topic } => debug!(target: CHANNEL, topic = &**topic, "joining"),
        Telemetry::Joined { topic, took } => debug!(target: CHANNEL, topic = &**topic, ?took, "joined"),
        Telemetry::Errored { topic, cause } => errored(topic, cause),
        Telemetry::Rejoining { topic, delay } => debug!(target: CHANNEL, topic = &**topic, ?delay, "waiting to rejoin"),
        Telemetry::ChannelClosed { topic, cause } => {
            let reason = match cause {
                ChannelClosed::Left => "left",
                ChannelClosed::Server => "server",
                ChannelClosed::Socket => "socket",
            };
            debug!(target: CHANNEL, topic = &**topic, reason, "closed");
        }
        Telemetry::Undecodable { error } => {
            debug!(target: RECEIVE, "dropped a frame that is no message");
            // It may quote the frame.
            trace!(target: RECEIVE, error = error.to_string(), "why that frame is no message");
        }
    }
}

fn failed(attempt: u32, cause: &Arc<ConnectError>) {
    let status = match &**cause {
        ConnectError::Refused(refusal) | ConnectError::ProxyRefused(refusal) => Some(refusal.status().as_u16()),
        ConnectError::Closed => return debug!(target: TRANSPORT, attempt, "gave up connecting"),
        _ => None,
    };
    warn!(target: TRANSPORT, attempt, status, cause = cause.to_string(), "not connected");
}

fn errored(topic: &Topic, cause: &NotJoined) {
    let (topic, mut status) = (&**topic, None);
    let reason = match cause {
        // It is told of the connection already.
        NotJoined::ConnectionLost(_) => return debug!(target: CHANNEL, topic, reason = "connection lost", "error"),
        NotJoined::Stopped(_) => return debug!(target: CHANNEL, topic, reason = "stopped", "error"),
        NotJoined::Provider(cause) => {
            warn!(target: CHANNEL, topic, reason = "params", "error");
            // It may quote the params.
            return trace!(target: CHANNEL, topic, cause = cause.to_string(), "why there are no params");
        }
        NotJoined::Refused(reply) => {
            status = Some(reply.status());
            "refused"
        }
        NotJoined::Crashed(_) => "crashed",
        NotJoined::TimedOut => "timeout",
        NotJoined::UnmatchedTopic => "unmatched topic",
        NotJoined::Unsendable(_) => "unsendable",
        NotJoined::GaveUp => "gave up",
    };
    warn!(target: CHANNEL, topic, reason, status, "error");
}

/// The status of a reply; and what it says, or any other message does.
fn status_and_payload<'a>(event: &str, body: &Body<'a>) -> (Option<Cow<'a, str>>, Cow<'a, str>) {
    let Body { bytes, kind, .. } = *body;
    let answer = match kind {
        Kind::Json if event == event::REPLY => serializer::reply(bytes).ok(),
        Kind::Reply(len) => {
            bytes.split_at_checked(len.into()).map(|(status, data)| (String::from_utf8_lossy(status), data))
        }
        _ => None,
    };
    let (status, payload) = answer.map_or((None, bytes), |(status, response)| (Some(status), response));
    (status, shown(payload, kind != Kind::Json))
}

fn shown(payload: &[u8], binary: bool) -> Cow<'_, str> {
    let len = payload.len();
    if binary {
        return format!("<{len} bytes>").into();
    }
    match payload.get(..SHOWN) {
        Some(begin) if len > SHOWN => format!("{}... ({len} bytes)", String::from_utf8_lossy(begin)).into(),
        _ => String::from_utf8_lossy(payload),
    }
}
