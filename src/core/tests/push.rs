//! Pushes and casts on a joined channel: what is written, what answers them.

use serde_json::{Value, json};

use super::sim::{Sim, ms};
use crate::{
    core::ChannelId,
    error::{CastError, NotJoined, NotSent, PushError},
    payload::{Binary, Payload},
};

/// The text of an accepted push.
fn answer(sim: &Sim, push: u32) -> &str {
    sim.pushed_as(push).as_ref().expect("accepted").payload().as_str().expect("JSON")
}

// Q-3, Q-4, T-4, N-9
#[test]
fn q_3_every_push_carries_the_present_join_ref_and_a_ref_of_its_own() {
    let (mut sim, room, join_ref) = Sim::joined("room");
    sim.push(room, "one", json!({ "a": 1 }));
    sim.cast(room, "two", json!({ "b": 2 }));
    let (one, two) = (sim.last("one"), sim.last("two"));
    assert_eq!(one, json!([join_ref, one[1], "room", "one", { "a": 1 }]));
    assert_eq!(two, json!([join_ref, two[1], "room", "two", { "b": 2 }]));
    assert!(one[1].is_string() && two[1].is_string() && one[1] != two[1]);
    sim.reconnect();
    let second = sim.accept(room);
    sim.push(room, "three", json!({}));
    assert_eq!(sim.last("three")[0], json!(second));
}

#[test]
fn t_8_refs_are_strings_and_no_two_frames_of_a_socket_share_one() {
    let (mut sim, room, _) = Sim::joined("room");
    for _ in 0..3 {
        sim.push(room, "shout", json!({}));
        sim.cast(room, "typing", json!({}));
        sim.advance(ms(30_000));
        sim.leave(room);
        sim.reply("phx_leave", "ok", json!({}));
        sim.join(room, json!({}));
        sim.reconnect();
        sim.accept(room);
    }
    let mut refs: Vec<_> = sim.written.iter().map(|(_, message)| message[1].as_str().unwrap()).collect();
    assert_eq!(refs.len(), 18);
    refs.sort_unstable();
    refs.dedup();
    assert_eq!(refs.len(), 18);
}

#[test]
fn q_1_a_push_on_a_channel_never_joined_fails_at_once() {
    let mut sim = Sim::open();
    let room = sim.channel("room");
    let push = sim.push(room, "shout", json!({}));
    let cast = sim.cast(room, "shout", json!({}));
    assert!(matches!(sim.pushed_as(push), Err(PushError::NotSent(NotSent::NotJoined))));
    assert!(matches!(sim.cast_as(cast), Err(CastError::NotSent(NotSent::NotJoined))));
    let unknown = sim.push(99, "shout", json!({}));
    assert!(matches!(sim.pushed_as(unknown), Err(PushError::NotSent(NotSent::Closed))));
}

// Q-2, DEV-15
#[test]
fn q_2_payloads_go_out_as_given_and_a_null_as_an_empty_object() {
    let (mut sim, room, _) = Sim::joined("room");
    for payload in [json!(0), json!(""), json!(false), json!([]), json!([1, "two"]), json!({ "a": null })] {
        sim.push(room, "as_given", payload.clone());
        assert_eq!(sim.last("as_given")[4], payload);
    }
    sim.push(room, "unit", ());
    sim.push(room, "none", None::<u8>);
    sim.push(room, "null", Value::Null);
    for event in ["unit", "none", "null"] {
        assert_eq!(sim.last(event)[4], json!({}), "{event}");
    }
    sim.push(room, "raw", Payload::from_raw("null", false));
    assert_eq!(sim.last("raw")[4], Value::Null);
}

// T-7
#[test]
fn c_18_a_push_is_accepted_by_any_status_but_error() {
    let (mut sim, room, _) = Sim::joined("room");
    for status in ["ok", "pending", "weird \"word\""] {
        let push = sim.push(room, "shout", json!({}));
        sim.reply("shout", status, json!({ "n": 1 }));
        let reply = sim.pushed_as(push).as_ref().unwrap();
        assert_eq!((reply.status(), reply.payload().as_str()), (status, Some(r#"{"n":1}"#)));
    }
    let push = sim.push(room, "shout", json!({}));
    sim.reply("shout", "error", json!({ "why": "no" }));
    let Err(PushError::Rejected(reply)) = sim.pushed_as(push) else { panic!() };
    assert_eq!(reply.payload().as_str(), Some(r#"{"why":"no"}"#));
    assert!(sim.is_joined(room));
}

#[test]
fn q_15_replies_may_come_in_any_order_and_between_messages() {
    let (mut sim, room, join_ref) = Sim::joined("room");
    let pushes = ["a", "b", "c"].map(|event| sim.push(room, event, json!({})));
    for event in ["c", "a", "b"] {
        sim.server_pushes(&join_ref, "room", "news", json!({}));
        sim.reply(event, "ok", json!(event));
    }
    assert_eq!(pushes.map(|push| answer(&sim, push).to_owned()), [r#""a""#, r#""b""#, r#""c""#]);
    assert_eq!(sim.take_delivered(), ["news"; 3]);
}

// Q-5, Q-13, T-17
#[test]
fn q_13_a_push_without_a_reply_times_out_at_its_own_deadline() {
    let (mut sim, room, _) = Sim::joined("room");
    let (short, _) = sim.push_within(room, "short", json!({}), ms(200));
    let (long, _) = sim.push_within(room, "long", json!({}), ms(9_000));
    sim.advance(ms(199));
    assert!(sim.is_pending(short));
    sim.advance(ms(1));
    assert!(matches!(sim.pushed_as(short), Err(PushError::Timeout)));
    sim.advance(ms(8_799));
    assert!(sim.is_pending(long));
    sim.advance(ms(1));
    assert!(matches!(sim.pushed_as(long), Err(PushError::Timeout)));
}

// Q-11, T-19
#[test]
fn q_11_a_late_reply_is_dropped_and_nothing_of_the_push_is_kept() {
    let (mut sim, room, _) = Sim::joined("room");
    let (push, _) = sim.push_within(room, "shout", json!({}), ms(200));
    sim.advance(ms(200));
    assert_eq!(sim.core.holdings().pending_pushes, 0);
    sim.reply("shout", "ok", json!({}));
    assert!(matches!(sim.pushed_as(push), Err(PushError::Timeout)));
    assert!(sim.is_joined(room) && sim.delivered.is_empty());
}

#[test]
fn q_11_a_push_answered_does_not_time_out_and_a_second_answer_is_dropped() {
    let (mut sim, room, _) = Sim::joined("room");
    let push = sim.push(room, "shout", json!({}));
    sim.reply("shout", "ok", json!(1));
    sim.reply("shout", "error", json!(2));
    sim.advance(ms(20_000));
    assert_eq!(answer(&sim, push), "1");
}

// DEV-15
#[test]
fn a_cast_is_settled_by_being_written_and_its_answer_is_dropped() {
    let (mut sim, room, _) = Sim::joined("room");
    let timers = sim.core.holdings().timers;
    let cast = sim.cast(room, "typing", json!({}));
    assert!(sim.cast_as(cast).is_ok());
    assert_eq!((sim.core.holdings().timers, sim.core.holdings().pending_pushes), (timers, 0));
    sim.reply("typing", "error", json!({ "reason": "no" }));
    assert!(sim.is_joined(room) && sim.delivered.is_empty());
}

// M-9, DEV-12, DEV-16
#[test]
fn m_9_a_reply_under_an_earlier_join_answers_nothing() {
    let (mut sim, room, old) = Sim::joined("room");
    sim.rejoin(room);
    sim.accept(room);
    let push = sim.push(room, "shout", json!({}));
    let asked = sim.last("shout");
    let reply = json!({ "response": {}, "status": "ok" });
    sim.receive(json!([old, asked[1], "room", "phx_reply", reply]));
    sim.receive(json!(["not ours", asked[1], "room", "phx_reply", reply]));
    assert!(sim.is_pending(push));
    sim.receive(json!([asked[0], asked[1], "elsewhere", "phx_reply", reply]));
    assert!(sim.is_pending(push));
    sim.receive(json!([null, asked[1], "room", "phx_reply", reply]));
    assert!(sim.pushed_as(push).is_ok());
}

// Q-10, DEV-12
#[test]
fn q_10_a_break_settles_pushes_under_way_at_once() {
    let (mut sim, room, _) = Sim::joined("room");
    let push = sim.push(room, "shout", json!({}));
    sim.break_off();
    assert!(matches!(sim.pushed_as(push), Err(PushError::Disconnected)));
    assert_eq!(sim.core.holdings().pending_pushes, 0);
}

// Q-10, DEV-12
#[test]
fn q_10_a_crash_settles_pushes_under_way_at_once() {
    let (mut sim, room, join_ref) = Sim::joined("room");
    let push = sim.push(room, "shout", json!({}));
    sim.crash(&join_ref, "room");
    assert!(matches!(sim.pushed_as(push), Err(PushError::Disconnected)));
}

#[test]
fn q_14_a_push_written_once_is_never_written_again() {
    let (mut sim, room, _) = Sim::joined("room");
    sim.push(room, "shout", json!({}));
    sim.cast(room, "typing", json!({}));
    for _ in 0..3 {
        sim.reconnect();
        sim.accept(room);
    }
    assert_eq!((sim.count("shout"), sim.count("typing")), (1, 1));
}

fn unmatched(answered: impl FnOnce(&mut Sim, ChannelId)) {
    let (mut sim, room, _) = Sim::joined("room");
    answered(&mut sim, room);
    assert!(matches!(sim.errored(room), NotJoined::UnmatchedTopic));
    assert!(sim.not_joined.is_empty());
    sim.written.clear();
    sim.advance(ms(999));
    assert_eq!(sim.count("phx_join"), 0);
    sim.advance(ms(1));
    sim.accept(room);
    assert!(sim.is_joined(room));
}

// Q-16, M-10, N-12, DEV-13
#[test]
fn t_3_an_unmatched_topic_rejects_the_push_and_rejoins_by_the_backoff() {
    unmatched(|sim, room| {
        let push = sim.push(room, "shout", json!({}));
        let asked = sim.last("shout");
        sim.answer_unmatched(&asked);
        assert!(matches!(sim.pushed_as(push), Err(PushError::Rejected(_))));
    });
}

#[test]
fn t_3_an_unmatched_topic_on_a_cast_rejoins() {
    unmatched(|sim, room| {
        sim.cast(room, "shout", json!({}));
        let asked = sim.last("shout");
        sim.answer_unmatched(&asked);
    });
}

#[test]
fn t_3_an_unmatched_topic_on_a_push_that_timed_out_rejoins() {
    unmatched(|sim, room| {
        sim.push_within(room, "shout", json!({}), ms(100));
        let asked = sim.last("shout");
        sim.advance(ms(100));
        sim.answer_unmatched(&asked);
    });
}

#[test]
fn t_3_an_unmatched_topic_from_before_the_present_join_is_stale() {
    let (mut sim, room, _) = Sim::joined("room");
    sim.push(room, "shout", json!({}));
    let asked = sim.last("shout");
    sim.rejoin(room);
    sim.accept(room);
    sim.answer_unmatched(&asked);
    assert!(sim.is_joined(room));
}

#[test]
fn t_3_an_application_that_answers_unmatched_topic_itself_is_no_reason_to_rejoin() {
    let (mut sim, room, _) = Sim::joined("room");
    let push = sim.push(room, "shout", json!({}));
    sim.reply("shout", "error", json!({ "reason": "unmatched topic" }));
    assert!(matches!(sim.pushed_as(push), Err(PushError::Rejected(_))));
    assert!(sim.is_joined(room));
}

// Law 5.
// T-19
#[test]
fn a_dropped_push_already_sent_is_forgotten() {
    let (mut sim, room, _) = Sim::joined("room");
    let (push, id) = sim.push_within(room, "shout", json!({}), ms(500));
    let timers = sim.core.holdings().timers;
    sim.cancel(room, id);
    let held = sim.core.holdings();
    assert_eq!((held.pending_pushes, held.callers, held.timers), (0, 0, timers - 1));
    sim.reply("shout", "ok", json!({}));
    sim.advance(ms(1_000));
    assert!(sim.is_pending(push));
}

// T-9, W-34
#[test]
fn t_9_a_push_that_cannot_be_encoded_fails_alone() {
    let (mut sim, room, _) = Sim::joined("room");
    let long = "e".repeat(256);
    let push = sim.push(room, &long, Binary("b"));
    let cast = sim.cast(room, &long, Binary("b"));
    let fine = sim.push(room, "fine", json!({}));
    let Err(error) = sim.pushed_as(push) else { panic!() };
    assert!(matches!(error, PushError::Encode(_)) && error.is_not_sent());
    assert!(matches!(sim.cast_as(cast), Err(CastError::Encode(_))));
    assert!(sim.binary.is_empty() && sim.is_joined(room));
    sim.reply("fine", "ok", json!({}));
    assert!(sim.pushed_as(fine).is_ok());
}
