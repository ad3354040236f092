//! Refs, and what happens to what is asked for while nothing can be sent.

use std::collections::BTreeSet;

use serde_json::json;

use super::{
    given::{broken, count, next_dial, open},
    sim::{Sim, config, ms},
};
use crate::{
    core::{Config, Refs, refs::parse},
    error::{JoinError, LeaveError, NotSent, PushError},
    status::ChannelStatus,
};

/// Loses the connection and opens the next.
fn reconnect(sim: &mut Sim) {
    sim.lost(broken());
    next_dial(sim);
    sim.up();
}

#[test]
fn b_1_refs_are_decimal_strings_of_one_counter_from_one() {
    assert_eq!(Refs::default().next(), 1);
    let (mut sim, room, _) = Sim::joined("room:1");
    for _ in 0..2 {
        sim.push(room, "shout", json!({}));
        sim.advance(ms(30_000));
        sim.reply("heartbeat", "ok", json!({}));
        reconnect(&mut sim);
        sim.accept(room);
    }
    sim.leave(room);
    let refs: Vec<u64> = sim.written.iter().map(|(_, message)| message[1].as_str().unwrap().parse().unwrap()).collect();
    assert_eq!(refs.len(), 7);
    assert!(refs.is_sorted_by(|one, next| one < next), "{refs:?}");
}

#[test]
fn b_2_the_counter_starts_again_at_zero_before_what_javascript_cannot_count() {
    let last = (1 << 53) - 1;
    let mut sim = Sim::counting(config(), Refs::starting_at(last - 2));
    sim.connect();
    sim.up();
    let room = sim.channel("room:1");
    sim.join(room, json!({}));
    assert_eq!(sim.accept(room), last.to_string());
    let push = sim.push(room, "shout", json!({}));
    assert_eq!(sim.last("shout")[1], "0");
    sim.reply("shout", "ok", json!({}));
    assert!(sim.pushed_as(push).is_ok());
}

#[test]
fn b_2_later_is_told_right_across_the_overflow() {
    let last = (1 << 53) - 1;
    let refs = Refs::starting_at(last);
    let (before, after) = (refs.next(), refs.next());
    assert_eq!((before, after), (last, 0));
    assert!(refs.is_later(after, before) && !refs.is_later(before, after));
    assert!(!refs.is_later(before, before));
    // Not given out yet.
    assert!(!refs.is_later(1, before));
}

#[test]
fn t_8_a_ref_is_ours_only_if_it_is_spelled_as_we_spell_it() {
    assert_eq!(parse("0"), Some(0));
    assert_eq!(parse("17"), Some(17));
    for foreign in ["", "017", "00", "+17", "-1", " 17", "17 ", "1_7", "17.0", "x", "18446744073709551616"] {
        assert_eq!(parse(foreign), None, "{foreign:?}");
    }
}

#[test]
fn t_8_a_reply_to_the_old_connections_push_settles_none_of_the_new() {
    let (mut sim, room, join_ref) = Sim::joined("room:1");
    let old = sim.push(room, "shout", json!({}));
    let old_ref = sim.last("shout")[1].clone();
    reconnect(&mut sim);
    sim.accept(room);
    let new = sim.push(room, "shout", json!({}));
    assert_ne!(sim.last("shout")[1], old_ref);
    sim.receive(json!([join_ref, old_ref, "room:1", "phx_reply", { "status": "ok", "response": {} }]));
    assert!(matches!(sim.pushed_as(old), Err(PushError::Disconnected)));
    assert!(sim.is_pending(new));
    let refs: BTreeSet<_> = sim.written.iter().map(|(_, message)| message[1].as_str().unwrap()).collect();
    assert_eq!(refs.len(), sim.written.len());
}

#[test]
fn b_5_what_was_cancelled_or_expired_while_it_was_queued_is_not_written() {
    let (mut sim, room, _) = Sim::joined("room:1");
    sim.writable = false;
    sim.push_within(room, "expired", json!({}), ms(500));
    let (_, id) = sim.push_within(room, "cancelled", json!({}), ms(10_000));
    sim.push(room, "wanted", json!({}));
    sim.cancel(room, id);
    sim.advance(ms(500));
    sim.writable = true;
    sim.drain();
    assert_eq!(sim.take_written(), [(500, "wanted".into())]);
}

#[test]
fn b_7_pushes_wait_in_their_channel_and_not_for_the_connection() {
    let mut sim = Sim::new();
    let room = sim.channel("room:1");
    sim.join(room, json!({}));
    sim.push(room, "shout", json!({}));
    assert!(!sim.core.has_outgoing());
    sim.connect();
    sim.up();
    assert_eq!((count(&sim, "phx_join"), count(&sim, "shout")), (1, 0));
    sim.accept(room);
    assert_eq!(count(&sim, "shout"), 1);
}

// B-8
#[test]
fn dev_10_a_join_before_a_failed_first_connect_is_sent_once() {
    let mut sim = Sim::new();
    let room = sim.channel("room:1");
    sim.connect();
    sim.join(room, json!({}));
    for _ in 0..3 {
        sim.dial_fails(broken());
        next_dial(&mut sim);
    }
    sim.up();
    assert_eq!(count(&sim, "phx_join"), 1);
    sim.accept(room);
    assert!(sim.channel_status(room).is_joined());
}

// B-8
#[test]
fn dev_10_a_join_that_timed_out_offline_leaves_one_join_behind() {
    let mut sim = Sim::new();
    let room = sim.channel("room:1");
    let join = sim.join_within(room, json!({}), ms(1_000));
    sim.advance(ms(5_000));
    assert!(matches!(sim.joined_as(join), Err(JoinError::Timeout)));
    sim.connect();
    sim.up();
    let events: Vec<_> = sim.take_written().into_iter().map(|(_, event)| event).collect();
    assert_eq!(events, ["phx_join"]);
}

// B-8
#[test]
fn dev_10_a_leave_while_offline_sends_nothing_later() {
    let (mut sim, room, _) = Sim::joined("room:1");
    sim.lost(broken());
    let leave = sim.leave(room);
    assert!(sim.left_as(leave).is_ok());
    next_dial(&mut sim);
    sim.up();
    sim.advance(ms(20_000));
    assert!(sim.written.is_empty(), "{:?}", sim.written);
}

#[test]
fn dev_10_only_what_is_wanted_at_open_is_sent() {
    let mut sim = Sim::new();
    let (one, two) = (sim.channel("room:1"), sim.channel("room:2"));
    sim.join(one, json!({ "n": 1 }));
    sim.join(two, json!({}));
    sim.leave(one);
    sim.join(one, json!({ "n": 2 }));
    sim.leave(two);
    sim.join(one, json!({ "n": 3 }));
    sim.connect();
    sim.up();
    assert_eq!(sim.written.len(), 1);
    assert_eq!(sim.last("phx_join")[2], "room:1");
    assert_eq!(sim.last("phx_join")[4], json!({ "n": 3 }));
}

#[test]
fn dev_10_a_join_that_could_not_be_written_is_not_sent_twice() {
    let mut sim = Sim::open();
    sim.writable = false;
    let room = sim.channel("room:1");
    let join = sim.join(room, json!({}));
    sim.lost(broken());
    next_dial(&mut sim);
    sim.writable = true;
    sim.up();
    assert_eq!(count(&sim, "phx_join"), 1);
    sim.accept(room);
    assert!(sim.joined_as(join).is_ok());
}

#[test]
fn dev_10_a_leave_that_could_not_be_written_is_dropped_with_its_connection() {
    let (mut sim, room, _) = Sim::joined("room:1");
    sim.writable = false;
    let leave = sim.leave(room);
    sim.lost(broken());
    assert!(matches!(sim.left_as(leave), Err(LeaveError::Disconnected)));
    next_dial(&mut sim);
    sim.writable = true;
    sim.up();
    assert!(sim.written.is_empty(), "{:?}", sim.written);
}

#[test]
fn dev_10_a_leave_that_could_not_be_written_is_dropped_with_a_connection_given_up() {
    let (mut sim, room, _) = Sim::joined("room:1");
    sim.advance(ms(40_000));
    sim.written.clear();
    sim.writable = false;
    let leave = sim.leave(room);
    sim.advance(ms(5_010));
    assert!(matches!(sim.left_as(leave), Err(LeaveError::Disconnected)));
    sim.writable = true;
    sim.up();
    assert!(sim.written.is_empty(), "{:?}", sim.written);
}

#[test]
fn dev_10_a_join_asked_for_while_leaving_is_sent_by_the_next_connection() {
    let (mut sim, room, _) = Sim::joined("room:1");
    sim.leave(room);
    let join = sim.join(room, json!({}));
    sim.written.clear();
    reconnect(&mut sim);
    assert_eq!(count(&sim, "phx_join"), 1);
    sim.accept(room);
    assert!(sim.joined_as(join).is_ok());
}

#[test]
fn a_refused_channel_is_not_wanted_at_the_next_open() {
    let mut sim = Sim::open();
    let room = sim.channel("room:1");
    sim.join(room, json!({}));
    sim.reply("phx_join", "error", json!({ "reason": "no" }));
    sim.written.clear();
    reconnect(&mut sim);
    assert!(sim.written.is_empty(), "{:?}", sim.written);
}

#[test]
fn dev_10_a_join_and_its_leave_cancel_out_before_they_are_written() {
    let mut sim = Sim::open();
    sim.writable = false;
    let room = sim.channel("room:1");
    let join = sim.join(room, json!({}));
    let leave = sim.leave(room);
    sim.writable = true;
    sim.drain();
    assert!(sim.written.is_empty(), "{:?}", sim.written);
    assert!(matches!(sim.joined_as(join), Err(JoinError::Left)));
    assert!(sim.left_as(leave).is_ok());
}

#[test]
fn b_9_what_waits_for_a_join_is_bounded_and_the_newest_is_refused() {
    let mut sim = open(Config { waiting_pushes: 3, ..config() });
    let room = sim.channel("room:1");
    sim.join(room, json!({}));
    let kept: Vec<_> = (0..3).map(|n| sim.push(room, "shout", json!(n))).collect();
    let refused = sim.push(room, "shout", json!(3));
    assert!(matches!(sim.pushed_as(refused), Err(PushError::NotSent(NotSent::BufferFull))));
    assert!(kept.iter().all(|token| sim.is_pending(*token)));
    sim.accept(room);
    let sent: Vec<_> = sim.written.iter().filter(|(_, m)| m[3] == "shout").map(|(_, m)| m[4].clone()).collect();
    assert_eq!(sent, [0, 1, 2]);
    let after = sim.push(room, "shout", json!(4));
    assert!(sim.is_pending(after));
}

#[test]
fn b_9_what_waits_for_a_join_is_bounded_in_bytes() {
    let mut sim = open(Config { waiting_bytes: 2_000, ..config() });
    let room = sim.channel("room:1");
    sim.join(room, json!({}));
    let (large, id) = sim.push_within(room, "shout", json!("x".repeat(1_500)), ms(10_000));
    let refused = sim.push(room, "shout", json!("x".repeat(500)));
    assert!(matches!(sim.pushed_as(refused), Err(PushError::NotSent(NotSent::BufferFull))));
    // Room comes back with whoever gives up.
    sim.cancel(room, id);
    let taken = sim.push(room, "shout", json!("x".repeat(500)));
    assert!(sim.is_pending(taken) && sim.is_pending(large));
}

#[test]
fn law_7_channels_join_in_the_order_they_were_made_at_every_open() {
    let mut sim = Sim::new();
    let topics = ["room:c", "room:a", "room:b"];
    for topic in topics {
        let room = sim.channel(topic);
        sim.join(room, json!({}));
    }
    let idle = sim.channel("room:idle");
    sim.connect();
    sim.up();
    for _ in 0..3 {
        let joined: Vec<_> = sim.written.drain(..).map(|(_, message)| message[2].clone()).collect();
        assert_eq!(joined, topics);
        reconnect(&mut sim);
    }
    assert!(matches!(sim.channel_status(idle), ChannelStatus::Idle));
}
