//! What tests of the connection start from: causes, recorded values, ways to let time pass.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, HeaderValue, StatusCode, header::RETRY_AFTER};
use serde_json::Value;

use super::sim::Sim;
use crate::{
    core::{Config, Output},
    error::{BoxError, ConnectError, Refusal},
    status::Status,
};

/// A handshake refused with this status.
pub(super) fn refused(status: u16) -> ConnectError {
    refusal(status, HeaderMap::new())
}

/// A handshake refused with this status, and the wish to come back after so many seconds.
pub(super) fn refused_for(status: u16, seconds: u32) -> ConnectError {
    refusal(status, HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from(seconds))]))
}

fn refusal(status: u16, headers: HeaderMap) -> ConnectError {
    let status = StatusCode::from_u16(status).expect("a status");
    ConnectError::Refused(Box::new(Refusal::new(status, headers, "no")))
}

pub(super) fn broken() -> ConnectError {
    ConnectError::transport("connection reset")
}

pub(super) fn untrusted() -> ConnectError {
    ConnectError::Certificate(Arc::from(BoxError::from("unknown issuer")))
}

pub(super) fn provider() -> ConnectError {
    ConnectError::Provider(Arc::from(BoxError::from("no token")))
}

/// What phoenix.js was seen to do.
pub(super) fn vectors() -> Value {
    serde_json::from_str(include_str!("../../../tests/vectors.json")).expect("JSON")
}

/// The numbers of a list among the vectors.
pub(super) fn numbers(list: &Value) -> Vec<u128> {
    list.as_array().expect("a list").iter().map(|number| number.as_u64().expect("a number").into()).collect()
}

/// Connected, by this config, with nothing written yet.
pub(super) fn open(config: Config) -> Sim {
    let mut sim = Sim::with(config);
    sim.connect();
    sim.up();
    sim
}

/// Lets time pass until it dials.
pub(super) fn next_dial(sim: &mut Sim) {
    let before = sim.dials().len();
    while sim.dials().len() == before {
        let next = sim.core.poll_timeout().expect("it does not dial again");
        sim.advance(next - sim.now);
    }
}

/// Lets so much time pass, in which every attempt fails at once.
pub(super) fn fail_for(sim: &mut Sim, span: Duration, cause: impl Fn() -> ConnectError) {
    let end = sim.now + span;
    loop {
        if matches!(sim.status(), Status::Connecting { .. }) {
            sim.dial_fails(cause());
        }
        match sim.core.poll_timeout().filter(|next| *next <= end) {
            Some(next) => sim.advance(next - sim.now),
            None => return sim.advance(end - sim.now),
        }
    }
}

/// How long it waited before each dial but the first.
pub(super) fn gaps(sim: &Sim) -> Vec<u128> {
    sim.dials().windows(2).map(|pair| pair[1] - pair[0]).collect()
}

/// The wait that the status shows.
pub(super) fn wait(sim: &Sim) -> Duration {
    match sim.status() {
        Status::Waiting { delay, .. } => *delay,
        other => panic!("it does not wait: {other:?}"),
    }
}

/// The names of the statuses so far.
pub(super) fn statuses(sim: &Sim) -> Vec<&'static str> {
    let name = |status: &Status| match status {
        Status::Idle => "idle",
        Status::Connecting { .. } => "connecting",
        Status::Connected { .. } => "connected",
        Status::Waiting { .. } => "waiting",
        Status::Stopped { .. } => "stopped",
        Status::Disconnected => "disconnected",
        Status::Closed => "closed",
    };
    sim.statuses.iter().map(name).collect()
}

/// What the core says next, in order.
pub(super) fn outputs(sim: &mut Sim) -> Vec<Output<u32>> {
    std::iter::from_fn(|| sim.core.poll()).collect()
}

/// How many frames of this event were written.
pub(super) fn count(sim: &Sim, event: &str) -> usize {
    sim.written.iter().filter(|(_, message)| message[3] == event).count()
}
