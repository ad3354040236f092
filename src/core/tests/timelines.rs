//! The recorded timelines of phoenix.js, played against the core.

use serde_json::json;

use super::{
    given::{numbers, open, vectors},
    sim::{config, ms},
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
