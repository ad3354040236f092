//! What a user's policy makes of a cause, in place of what is usual.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::json;

use super::{
    given::{open, refused, refused_for, untrusted},
    sim::{Sim, config, ms},
};
use crate::{
    core::Config,
    error::{ConnectError, JoinError, NotJoined, NotSent, PushError},
    policy::{Policy, Retry},
    status::{ChannelStatus, Status},
};

fn reconnecting(policy: impl Fn(&ConnectError, Retry) -> Retry + Send + Sync + 'static) -> Config {
    Config { reconnect_policy: Policy::new(policy), ..config() }
}

fn rejoining(policy: impl Fn(&NotJoined, Retry) -> Retry + Send + Sync + 'static) -> Config {
    Config { rejoin_policy: Policy::new(policy), ..config() }
}

fn delay(sim: &Sim) -> Option<Duration> {
    match sim.status() {
        Status::Waiting { delay, .. } => Some(*delay),
        Status::Stopped { .. } => None,
        other => panic!("{other:?}"),
    }
}

// Law 9: what is usual is told, and taken where the policy has nothing else to say.
#[test]
fn dev_23_a_policy_is_told_what_is_usual() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let note = told.clone();
    let policy = move |_: &ConnectError, usual| {
        note.lock().unwrap().push(usual);
        usual
    };
    let causes = [
        (refused(500), Retry::Backoff),
        (refused(401), Retry::Stop),
        (untrusted(), Retry::Stop),
        (refused_for(503, 7), Retry::NoSooner(Duration::from_secs(7))),
        (refused_for(429, 9999), Retry::NoSooner(Duration::from_secs(300))),
    ];
    for (cause, usual) in causes {
        let mut sim = Sim::with(reconnecting(policy.clone()));
        sim.connect();
        sim.dial_fails(cause);
        assert_eq!(told.lock().unwrap().pop(), Some(usual));
        assert_eq!(delay(&sim).is_none(), usual == Retry::Stop);
    }
}

// DEV-24, S-11: as phoenix.js has it.
#[test]
fn dev_24_a_policy_can_stop_on_a_normal_closure() {
    let mut sim = open(reconnecting(|cause, usual| match cause {
        ConnectError::ClosedByServer { code: 1000, .. } => Retry::Stop,
        _ => usual,
    }));
    sim.server_closes(1000);
    assert_eq!(delay(&sim), None);
    sim.connect();
    sim.up();
    sim.server_closes(1012);
    assert_eq!(delay(&sim), Some(ms(10)));
}

#[test]
fn a_policy_can_go_on_where_it_is_usual_to_stop_and_set_a_least_delay() {
    let mut sim = Sim::with(reconnecting(|cause, _| match cause {
        ConnectError::Refused(_) => Retry::NoSooner(ms(120)),
        _ => Retry::Backoff,
    }));
    sim.connect();
    sim.dial_fails(refused(403));
    assert_eq!(delay(&sim), Some(ms(120)));
    for step in [120, 120, 150] {
        sim.advance(ms(step));
        sim.dial_fails(refused(403));
    }
    assert_eq!(delay(&sim), Some(ms(150)), "the backoff counts on beneath");
}

#[test]
fn a_policy_that_panics_has_said_nothing() {
    let mut sim = Sim::with(reconnecting(|_, _| panic!("of no use")));
    sim.connect();
    sim.dial_fails(refused(500));
    assert_eq!(delay(&sim), Some(ms(10)));
}

#[test]
fn a_closure_that_said_stop_is_not_overruled() {
    let mut sim = Sim::with(reconnecting(|_, _| Retry::Backoff));
    sim.connect();
    sim.core.handle_failed(sim.now, ConnectError::Timeout, true);
    sim.drain();
    assert_eq!(delay(&sim), None);
}

// DEV-13
#[test]
fn dev_13_a_refused_join_is_tried_again_where_the_policy_says_so() {
    let mut sim = open(rejoining(|cause, usual| match cause {
        NotJoined::Refused(_) => Retry::Backoff,
        _ => usual,
    }));
    let room = sim.channel("room:1");
    let join = sim.join(room, json!({}));
    let push = sim.push(room, "shout", json!({}));
    sim.reply("phx_join", "error", json!({ "reason": "not yet" }));
    assert!(matches!(sim.joined_as(join), Err(JoinError::Refused(_))), "the first outcome, all the same");
    assert!(matches!(sim.channel_status(room), ChannelStatus::Errored { cause: NotJoined::Refused(_) }));
    assert!(sim.not_joined.is_empty(), "it is not over");
    assert!(sim.is_pending(push));
    sim.written.clear();
    sim.advance(ms(999));
    assert!(sim.written.is_empty());
    sim.advance(ms(1));
    sim.accept(room);
    sim.reply("shout", "ok", json!({}));
    assert!(sim.pushed_as(push).is_ok());
}

// DEV-13
#[test]
fn dev_13_a_crashed_channel_stays_down_where_the_policy_says_so() {
    let mut sim = open(rejoining(|_, _| Retry::Stop));
    let room = sim.channel("room:1");
    sim.join(room, json!({}));
    let join_ref = sim.accept(room);
    sim.receive(json!([join_ref, join_ref, "room:1", "phx_error", {}]));
    assert!(matches!(sim.channel_status(room), ChannelStatus::Errored { cause: NotJoined::Crashed(_) }));
    assert_eq!(sim.not_joined.len(), 1);
    let push = sim.push(room, "shout", json!({}));
    assert!(matches!(sim.pushed_as(push), Err(PushError::NotSent(NotSent::NotJoined))));
    sim.written.clear();
    sim.advance(ms(25_000));
    assert!(sim.written.is_empty());
    // Nor does the next connection bring it back; a join does.
    sim.server_closes(1012);
    sim.advance(ms(10));
    sim.up();
    assert!(sim.written.is_empty());
    let join = sim.join(room, json!({}));
    sim.accept(room);
    assert!(sim.joined_as(join).is_ok());
}

#[test]
fn whoever_waits_for_a_join_that_timed_out_is_told_where_the_policy_stops() {
    let mut sim = open(rejoining(|_, _| Retry::Stop));
    let room = sim.channel("room:1");
    let join = sim.join_within(room, json!({}), ms(60_000));
    sim.advance(ms(10_000));
    assert!(matches!(sim.joined_as(join), Err(JoinError::GaveUp)));
    assert!(matches!(sim.channel_status(room), ChannelStatus::Errored { cause: NotJoined::TimedOut }));
}
