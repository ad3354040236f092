//! Pushes that cannot be written yet: for want of a join, or of room in the connection.

use serde_json::{Value, json};

use super::sim::{Sim, Token, config, ms};
use crate::{
    core::{ChannelId, Config},
    error::{CastError, NotSent, PushError},
    payload::Payload,
};

/// Joined, with a connection that takes nothing more.
fn blocked() -> (Sim, ChannelId) {
    let (mut sim, room, _) = Sim::joined("room");
    sim.writable = false;
    (sim, room)
}

fn joining(config: Config) -> (Sim, ChannelId, Value) {
    let mut sim = Sim::with(config);
    sim.connect();
    sim.up();
    let room = sim.channel("room");
    sim.join_within(room, json!({}), ms(60_000));
    let asked = sim.last("phx_join");
    sim.written.clear();
    (sim, room, asked)
}

fn is_not_sent(sim: &Sim, push: Token, why: NotSent) -> bool {
    matches!(sim.pushed_as(push), Err(PushError::NotSent(told)) if *told == why)
}

// Q-6, C-9
#[test]
fn q_6_pushes_before_the_join_are_sent_in_order_after_its_ok() {
    let mut sim = Sim::new();
    let room = sim.channel("room");
    sim.join(room, json!({}));
    let push = sim.push(room, "one", json!({}));
    let cast = sim.cast(room, "two", json!({}));
    sim.connect();
    sim.up();
    sim.push(room, "three", json!({}));
    assert_eq!(sim.written.len(), 1);
    assert!(sim.is_pending(push) && sim.is_pending(cast));
    sim.accept(room);
    assert_eq!(sim.events(), ["phx_join", "one", "two", "three"]);
    assert!(sim.is_pending(push) && sim.cast_as(cast).is_ok());
}

// Q-7, T-17
#[test]
fn t_17_the_deadline_of_a_push_is_not_restarted_when_it_is_sent() {
    let (mut sim, room, asked) = joining(config());
    let (push, _) = sim.push_within(room, "shout", json!({}), ms(1_000));
    sim.advance(ms(900));
    sim.answer(&asked, "ok", json!({}));
    assert_eq!(sim.events(), ["shout"]);
    sim.advance(ms(99));
    assert!(sim.is_pending(push));
    sim.advance(ms(1));
    assert!(matches!(sim.pushed_as(push), Err(PushError::Timeout)));
}

// Q-8, T-19
#[test]
fn q_8_a_push_that_timed_out_before_the_join_is_never_sent() {
    let (mut sim, room, asked) = joining(config());
    let (push, _) = sim.push_within(room, "shout", json!({}), ms(1_000));
    let cast = sim.cast(room, "typing", json!({}));
    sim.advance(ms(9_999));
    assert!(is_not_sent(&sim, push, NotSent::Timeout) && sim.is_pending(cast));
    sim.answer(&asked, "ok", json!({}));
    assert_eq!(sim.events(), ["typing"]);
    assert!(sim.cast_as(cast).is_ok());
}

// Law 5.
// T-19
#[test]
fn a_push_dropped_before_the_join_is_never_sent() {
    let (mut sim, room, asked) = joining(config());
    let (_, dropped) = sim.push_within(room, "dropped", json!({}), ms(1_000));
    sim.push(room, "kept", json!({}));
    sim.cancel(room, dropped);
    assert_eq!(sim.core.holdings().pending_pushes, 1);
    sim.answer(&asked, "ok", json!({}));
    assert_eq!(sim.events(), ["kept"]);
}

// T-19
#[test]
fn pushes_dropped_or_timed_out_in_a_blocked_connection_are_never_written() {
    let (mut sim, room) = blocked();
    let (_, dropped) = sim.push_within(room, "dropped", json!({}), ms(5_000));
    let (late, _) = sim.push_within(room, "late", json!({}), ms(1_000));
    let cast = sim.cast(room, "late_cast", json!({}));
    let (kept, _) = sim.push_within(room, "kept", json!({}), ms(15_000));
    sim.cancel(room, dropped);
    sim.advance(ms(1_000));
    assert!(is_not_sent(&sim, late, NotSent::Timeout));
    sim.advance(ms(9_000));
    assert!(matches!(sim.cast_as(cast), Err(CastError::NotSent(NotSent::Timeout))));
    sim.unblock();
    assert_eq!(sim.events(), ["kept"]);
    assert!(sim.is_pending(kept));
    assert_eq!(sim.core.outgoing_bytes(), 0);
}

//
#[test]
fn q_9_pushes_queued_and_not_written_survive_a_break_and_go_out_once_in_order() {
    let (mut sim, room) = blocked();
    let pushes = ["one", "two", "three"].map(|event| sim.push(room, event, json!({})));
    sim.break_off();
    assert_eq!(sim.core.outgoing_bytes(), 0);
    let fourth = sim.push(room, "four", json!({}));
    sim.writable = true;
    sim.redial();
    assert_eq!(sim.count("one"), 0);
    let join_ref = sim.accept(room);
    assert_eq!(sim.events(), ["phx_join", "one", "two", "three", "four"]);
    assert!(pushes.iter().all(|push| sim.is_pending(*push)) && sim.is_pending(fourth));
    sim.push(room, "five", json!({}));
    assert_eq!(sim.last("five")[0], json!(join_ref));
}

#[test]
fn pushes_queued_and_not_written_survive_a_crash_and_a_forced_rejoin() {
    for forced in [false, true] {
        let (mut sim, room, join_ref) = Sim::joined("room");
        sim.writable = false;
        let push = sim.push(room, "shout", json!({}));
        if forced {
            sim.rejoin(room);
        } else {
            sim.crash(&join_ref, "room");
            sim.advance(ms(1_000));
        }
        sim.unblock();
        assert!(sim.is_pending(push));
        assert_eq!(sim.count("shout"), 0);
        let rejoined = sim.accept(room);
        assert_eq!(sim.last("shout")[0], json!(rejoined));
        assert_eq!(sim.count("shout"), 1);
    }
}

#[test]
fn of_two_channels_only_the_crashed_ones_pushes_are_held_back() {
    let (mut sim, room, join_ref) = Sim::joined("room");
    let other = sim.channel("other");
    sim.join(other, json!({}));
    sim.accept(other);
    sim.written.clear();
    sim.writable = false;
    sim.push(room, "held", json!({}));
    sim.push(other, "sent", json!({}));
    sim.crash(&join_ref, "room");
    sim.unblock();
    assert_eq!(sim.events(), ["sent"]);
    assert_eq!(sim.core.outgoing_bytes(), 0);
}

// C-12
#[test]
fn a_push_survives_failed_joins_until_its_deadline() {
    let (mut sim, room, asked) = joining(config());
    let push = sim.push_within(room, "shout", json!({}), ms(60_000)).0;
    sim.answer(&asked, "error", json!({ "reason": "join crashed" }));
    sim.reconnect();
    sim.advance(ms(10_000));
    assert!(sim.is_pending(push));
    sim.advance(ms(2_000));
    sim.accept(room);
    assert_eq!(sim.count("shout"), 1);
}

#[test]
fn a_push_after_disconnect_waits_to_its_deadline() {
    let (mut sim, room, _) = Sim::joined("room");
    sim.disconnect(1000, "");
    let (push, _) = sim.push_within(room, "shout", json!({}), ms(5_000));
    sim.advance(ms(4_999));
    assert!(sim.is_pending(push));
    sim.advance(ms(1));
    assert!(is_not_sent(&sim, push, NotSent::Timeout));
}

// B-9, DEV-10
#[test]
fn of_1_000_waiting_pushes_the_newest_beyond_is_refused() {
    let (mut sim, room, asked) = joining(config());
    let first = sim.push(room, "n", json!(0));
    let mut drop_one = 0;
    for n in 1..1_000 {
        drop_one = sim.push_within(room, "n", json!(n), ms(10_000)).1;
    }
    let beyond = sim.push(room, "beyond", json!({}));
    let cast = sim.cast(room, "beyond", json!({}));
    assert!(is_not_sent(&sim, beyond, NotSent::BufferFull) && sim.is_pending(first));
    assert!(matches!(sim.cast_as(cast), Err(CastError::NotSent(NotSent::BufferFull))));
    sim.cancel(room, drop_one);
    let room_again = sim.push(room, "n", json!(1_000));
    assert!(sim.is_pending(room_again));
    sim.answer(&asked, "ok", json!({}));
    let sent: Vec<_> = sim.written.iter().map(|(_, message)| message[4].as_u64().unwrap()).collect();
    assert_eq!(sent, (0..999).chain([1_000]).collect::<Vec<_>>());
}

// B-9, DEV-10
#[test]
fn of_8_mebibytes_waiting_the_newest_beyond_is_refused_and_smaller_ones_still_fit() {
    let (mut sim, room, asked) = joining(config());
    let mebibyte = Payload::from_raw(format!("\"{}\"", "x".repeat((1 << 20) - 1_000)), false);
    let large = [0; 8].map(|_| sim.push(room, "large", &mebibyte));
    let beyond = sim.push(room, "large", &mebibyte);
    let small = sim.push(room, "small", json!({}));
    assert!(is_not_sent(&sim, beyond, NotSent::BufferFull));
    assert!(large.iter().all(|push| sim.is_pending(*push)) && sim.is_pending(small));
    sim.answer(&asked, "ok", json!({}));
    assert_eq!((sim.count("large"), sim.count("small")), (8, 1));
}

#[test]
fn the_bounds_are_each_channels_own_and_free_again_after_the_join() {
    let (mut sim, room, asked) = joining(Config { waiting_pushes: 1, ..config() });
    let other = sim.channel("other");
    sim.join(other, json!({}));
    let pushes = [sim.push(room, "a", json!({})), sim.push(other, "b", json!({}))];
    assert!(pushes.iter().all(|push| sim.is_pending(*push)));
    sim.answer(&asked, "ok", json!({}));
    sim.break_off();
    let after = sim.push(room, "c", json!({}));
    assert!(sim.is_pending(after));
}

#[test]
fn a_waiting_push_that_is_dropped_gives_its_bytes_back() {
    let (mut sim, room, _) = joining(Config { waiting_bytes: 200, ..config() });
    let (_, dropped) = sim.push_within(room, "first", json!({}), ms(1_000));
    sim.cancel(room, dropped);
    let second = sim.push(room, "second", json!({}));
    assert!(sim.is_pending(second));
}

#[test]
fn bytes_of_pushes_that_waited_twice_are_counted_once() {
    let (mut sim, room, asked) = joining(Config { waiting_bytes: 300, ..config() });
    sim.push(room, "first", json!({}));
    sim.writable = false;
    sim.answer(&asked, "ok", json!({}));
    sim.break_off();
    let second = sim.push(room, "second", json!({}));
    let third = sim.push(room, "third", json!({}));
    assert!(sim.is_pending(second));
    assert!(is_not_sent(&sim, third, NotSent::BufferFull));
}
