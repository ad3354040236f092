//! The recorded timelines of phoenix.js, played against the core.

use serde_json::json;

use super::{
    given::{broken, next_dial, numbers, open, vectors},
    sim::{Sim, config, ms},
};
use crate::core::Config;

#[test]
fn a_join_that_is_never_answered_follows_the_recorded_timeline() {
    let mut sim = open(Config { timeout: ms(1_000), heartbeat: None, ..config() });
    let room = sim.channel("room:1");
    sim.join(room, json!({}));
    sim.advance(ms(33_500));
    let written = serde_json::to_value(sim.take_written()).unwrap();
    assert_eq!(written, vectors()["timelines"]["join_timeout_1000ms_never_answered"]);
}

#[test]
fn n_11_a_join_that_crashes_is_tried_again_by_the_recorded_steps() {
    let mut sim = open(Config { heartbeat: None, ..config() });
    let room = sim.channel("room:1");
    sim.join(room, json!({}));
    let mut joins = vec![sim.millis()];
    for _ in 0..6 {
        sim.reply("phx_join", "error", json!({ "reason": "join crashed" }));
        sim.written.clear();
        let due = sim.core.poll_timeout().unwrap();
        sim.advance(due - sim.now);
        sim.last("phx_join");
        joins.push(sim.millis());
    }
    let gaps: Vec<_> = joins.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(gaps, numbers(&vectors()["backoff"]["rejoin_ms_by_try_1_to_6"]));
}

/// Joins, stays joined so long, crashes; four times. The waits before the rejoins.
fn join_then_crash(joined: u64) -> Vec<u128> {
    let mut sim = open(Config { heartbeat: None, ..config() });
    let room = sim.channel("room:1");
    sim.join(room, json!({}));
    let mut waits = Vec::new();
    for _ in 0..4 {
        let join_ref = sim.accept(room);
        sim.advance(ms(joined));
        sim.receive(json!([join_ref, join_ref, "room:1", "phx_error", {}]));
        let due = sim.core.poll_timeout().unwrap();
        waits.push((due - sim.now).as_millis());
        sim.advance(due - sim.now);
    }
    waits
}

#[test]
fn t_6_a_channel_that_joins_and_crashes_is_tried_ever_more_slowly_until_it_stays_10_s() {
    assert_eq!(join_then_crash(9_999), [1_000, 2_000, 5_000, 10_000]);
    assert_eq!(join_then_crash(10_000), [1_000, 1_000, 1_000, 1_000]);
}

#[test]
fn c_20_a_rejoin_that_is_due_later_is_overtaken_by_the_next_open_and_sent_once() {
    let (mut sim, room, join_ref) = Sim::joined("room:1");
    sim.receive(json!([join_ref, join_ref, "room:1", "phx_error", {}]));
    sim.lost(broken());
    next_dial(&mut sim);
    sim.up();
    sim.advance(ms(5_000));
    assert_eq!(sim.take_written(), [(10, "phx_join".into())]);
    assert!(!sim.channel_status(room).is_joined());
}

#[test]
fn c_20_a_leave_sets_the_tries_back() {
    let mut sim = open(Config { heartbeat: None, ..config() });
    let room = sim.channel("room:1");
    for _ in 0..2 {
        sim.join(room, json!({}));
        let join_ref = sim.accept(room);
        sim.receive(json!([join_ref, join_ref, "room:1", "phx_error", {}]));
        assert_eq!(sim.core.poll_timeout(), Some(sim.now + ms(1_000)));
        sim.leave(room);
    }
}
