//! What the server is known to do, and what follows from it here.

use serde_json::json;

use super::{
    given::{broken, count, next_dial},
    sim::{Sim, ms},
};
use crate::{
    error::{JoinError, NotJoined, PushError},
    status::ChannelStatus,
};

#[test]
fn n_6_a_disconnect_broadcast_is_no_goodbye_whichever_code_it_comes_with() {
    for code in [1001, 1000] {
        let (mut sim, room, _) = Sim::joined("room:1");
        sim.server_closes(code);
        sim.advance(ms(1_000));
        assert_eq!(sim.dials().len(), 2, "{code}");
        sim.up();
        sim.accept(room);
        assert!(sim.channel_status(room).is_joined());
    }
}

#[test]
fn n_8_one_channel_too_many_is_refused_and_the_others_stay() {
    let (mut sim, room, _) = Sim::joined("room:1");
    let surplus = sim.channel("room:101");
    let join = sim.join(surplus, json!({}));
    sim.reply("phx_join", "error", json!({ "reason": "too many channels joined" }));
    assert!(matches!(sim.joined_as(join), Err(JoinError::Refused(_))));
    sim.advance(ms(29_000));
    assert_eq!(count(&sim, "phx_join"), 1);
    assert!(sim.channel_status(room).is_joined());
    assert!(sim.status().is_connected());
}

#[test]
fn n_9_a_push_that_waited_for_a_rejoin_carries_the_present_join_ref() {
    let (mut sim, room, old) = Sim::joined("room:1");
    sim.writable = false;
    sim.push(room, "queued", json!({}));
    sim.lost(broken());
    sim.push(room, "waiting", json!({}));
    sim.writable = true;
    next_dial(&mut sim);
    sim.up();
    let new = sim.accept(room);
    assert_ne!(old, new);
    for event in ["queued", "waiting"] {
        assert_eq!(sim.last(event)[0], json!(new));
    }
}

#[test]
fn n_10_what_is_pushed_right_behind_the_join_reply_arrives() {
    let mut sim = Sim::open();
    let room = sim.channel("room:1");
    let join = sim.join(room, json!({}));
    let join_ref = sim.accept(room);
    assert!(sim.joined_as(join).is_ok());
    sim.receive(json!([join_ref, null, "room:1", "presence_state", {}]));
    sim.receive(json!([null, null, "room:1", "after_join", { "n": 1 }]));
    let events: Vec<_> = sim.delivered.iter().map(|(to, event, _)| (*to, event.as_str())).collect();
    assert_eq!(events, [(room, "presence_state"), (room, "after_join")]);
}

#[test]
fn n_12_a_join_of_a_topic_nobody_serves_is_refused_and_not_tried_again() {
    let mut sim = Sim::open();
    let room = sim.channel("nowhere:1");
    let join = sim.join(room, json!({}));
    sim.reply("phx_join", "error", json!({ "reason": "unmatched topic" }));
    assert!(matches!(sim.joined_as(join), Err(JoinError::Refused(_))));
    assert!(matches!(sim.channel_status(room), ChannelStatus::Errored { cause: NotJoined::Refused(_) }));
    sim.advance(ms(29_000));
    assert_eq!(count(&sim, "phx_join"), 1);
}

#[test]
fn n_13_a_frame_too_large_costs_its_connection_and_is_not_sent_again() {
    let (mut sim, room, _) = Sim::joined("room:1");
    let push = sim.push(room, "huge", json!("x".repeat(100_000)));
    sim.server_closes(1009);
    assert!(matches!(sim.pushed_as(push), Err(PushError::Disconnected)));
    next_dial(&mut sim);
    sim.up();
    sim.accept(room);
    assert!(sim.channel_status(room).is_joined());
    assert_eq!(count(&sim, "huge"), 1);
}
