//! The last holder of a channel is dropped: it leaves without waiting, and is forgotten.

use serde_json::json;

use super::sim::{Sim, ms};
use crate::{
    core::ChannelId,
    error::{JoinError, LeaveError},
};

fn nothing_is_held(sim: &Sim) {
    let held = sim.core.holdings();
    assert_eq!((held.channels, held.pending_pushes, held.callers), (0, 0, 0));
}

/// The server's last words about a forgotten channel reach nobody.
fn is_deaf(sim: &mut Sim, join_ref: &str) {
    sim.broadcast("room", "shout", json!({}));
    sim.end(join_ref, "room");
    assert!(sim.delivered.is_empty());
}

fn forget(sim: &mut Sim, room: ChannelId) {
    sim.forget(room);
    nothing_is_held(sim);
}

// Law 1.
#[test]
fn a_joined_channel_is_left_under_its_join() {
    let (mut sim, room, join_ref) = Sim::joined("room");
    forget(&mut sim, room);
    assert_eq!(sim.last("phx_leave")[0], json!(join_ref));
    sim.reply("phx_leave", "ok", json!({}));
    is_deaf(&mut sim, &join_ref);
    sim.reconnect();
    assert_eq!(sim.count("phx_join"), 0);
}

#[test]
fn a_joining_channel_is_left_under_the_join_that_was_written() {
    let mut sim = Sim::open();
    let room = sim.channel("room");
    let (_, id) = sim.ask_join(room, None, ms(1_000), false);
    sim.cancel(room, id);
    let join = sim.last("phx_join");
    forget(&mut sim, room);
    assert_eq!(sim.last("phx_leave")[0], join[0]);
    sim.answer(&join, "ok", json!({}));
    sim.advance(ms(20_000));
    assert_eq!((sim.count("phx_join"), sim.count("phx_leave")), (1, 1));
}

#[test]
fn a_join_not_written_is_taken_back() {
    let mut sim = Sim::open();
    let room = sim.channel("room");
    sim.writable = false;
    let (_, id) = sim.ask_join(room, None, ms(1_000), false);
    sim.cancel(room, id);
    forget(&mut sim, room);
    sim.unblock();
    assert!(sim.written.is_empty());
}

#[test]
fn a_rejoin_not_written_leaves_the_join_that_stands() {
    let (mut sim, room, join_ref) = Sim::joined("room");
    sim.writable = false;
    let (_, id) = sim.ask_join(room, None, ms(1_000), true);
    sim.cancel(room, id);
    forget(&mut sim, room);
    sim.unblock();
    assert_eq!(sim.last("phx_leave")[0], json!(join_ref));
    assert_eq!(sim.count("phx_join"), 0);
}

#[test]
fn a_leaving_channel_is_not_left_twice() {
    let (mut sim, room, join_ref) = Sim::joined("room");
    let leave = sim.leave(room);
    forget(&mut sim, room);
    assert!(sim.left_as(leave).is_ok());
    assert_eq!(sim.count("phx_leave"), 1);
    is_deaf(&mut sim, &join_ref);
}

#[test]
fn a_channel_that_leaves_to_join_again_does_not() {
    let (mut sim, room, _) = Sim::joined("room");
    sim.leave(room);
    let join = sim.join(room, json!({}));
    sim.forget(room);
    assert!(matches!(sim.joined_as(join), Err(JoinError::Left)));
    nothing_is_held(&sim);
    assert_eq!(sim.count("phx_join"), 0);
}

#[test]
fn nothing_is_sent_for_what_the_server_does_not_hold() {
    let mut sim = Sim::open();
    let (idle, refused) = (sim.channel("idle"), sim.channel("refused"));
    sim.join(refused, json!({}));
    sim.reply("phx_join", "error", json!({}));
    let (crashed, left) = (sim.channel("crashed"), sim.channel("left"));
    for room in [crashed, left] {
        sim.join(room, json!({}));
        let join_ref = sim.accept(room);
        if room == crashed { sim.crash(&join_ref, "crashed") } else { sim.end(&join_ref, "left") }
    }
    sim.written.clear();
    for room in [idle, refused, crashed, left] {
        sim.forget(room);
    }
    nothing_is_held(&sim);
    sim.advance(ms(20_000));
    assert!(sim.written.is_empty());
}

#[test]
fn a_wanted_channel_forgotten_offline_is_not_joined_on_open() {
    let (mut sim, room, _) = Sim::joined("room");
    sim.break_off();
    forget(&mut sim, room);
    sim.redial();
    assert!(sim.written.is_empty());
}

// Law 2: an id is never used again, a topic is.
#[test]
fn a_new_channel_of_the_topic_takes_over_from_one_whose_farewell_is_still_to_come() {
    let (mut sim, old, old_ref) = Sim::joined("room");
    let new = sim.channel("room");
    sim.join(new, json!({}));
    assert_eq!(sim.events(), ["phx_leave", "phx_join"]);
    sim.forget(old);
    sim.broadcast("room", "shout", json!({}));
    sim.server_pushes(&old_ref, "room", "stale", json!({}));
    assert_eq!(sim.delivered, [(new, "shout".into(), "{}".into())]);
    assert_eq!(sim.core.holdings().channels, 1);
}

#[test]
fn forgetting_while_a_leave_waits_keeps_no_timer() {
    let (mut sim, room, _) = Sim::joined("room");
    let timers = sim.core.holdings().timers;
    let leave = sim.leave(room);
    assert_eq!(sim.core.holdings().timers, timers + 1);
    sim.forget(room);
    assert_eq!(sim.core.holdings().timers, timers);
    let how: &Result<(), LeaveError> = sim.left_as(leave);
    assert!(how.is_ok());
}
