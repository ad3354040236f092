//! Messages in: whose they are, and what becomes of the rest.

use bytes::Bytes;
use serde_json::{Value, json};

use super::sim::{Sim, ms};
use crate::{error::NotJoined, telemetry::Telemetry, transport::Frame};

fn binary(kind: u8, fields: &[&str], data: &[u8]) -> Frame {
    let mut frame = vec![kind];
    frame.extend(fields.iter().map(|field| u8::try_from(field.len()).unwrap()));
    fields.iter().for_each(|field| frame.extend(field.as_bytes()));
    frame.extend(data);
    Frame::Binary(Bytes::from(frame))
}

fn text(text: &str) -> Frame {
    Frame::Text(Bytes::copy_from_slice(text.as_bytes()))
}

// M-6, T-2
#[test]
fn m_6_broadcasts_name_no_join_and_are_delivered() {
    let (mut sim, room, _) = Sim::joined("room");
    sim.broadcast("room", "presence_diff", json!({ "joins": {} }));
    assert_eq!(sim.delivered, [(room, "presence_diff".into(), r#"{"joins":{}}"#.into())]);
}

// M-5, T-1
#[test]
fn m_2_a_message_belongs_to_the_channel_of_its_topic_and_present_join() {
    let (mut sim, _, old) = Sim::joined("room");
    sim.reconnect();
    let join_ref = sim.accept(1);
    sim.server_pushes(&join_ref, "room", "mine", json!({}));
    for stale in [old.as_str(), "999", "0", "-1", "x", "18446744073709551616"] {
        sim.server_pushes(stale, "room", "stale", json!({}));
    }
    sim.server_pushes(&format!("0{join_ref}"), "room", "misspelled", json!({}));
    sim.server_pushes(&join_ref, "room:1", "elsewhere", json!({}));
    assert_eq!(sim.take_delivered(), ["mine"]);
}

#[test]
fn m_3_no_join_ref_is_null_an_empty_string_or_a_length_of_zero() {
    let (mut sim, _, _) = Sim::joined("room");
    sim.receive(json!([null, null, "room", "null", {}]));
    sim.receive(json!(["", null, "room", "empty", {}]));
    sim.receive_frame(binary(0, &["", "room", "zero"], b"data"));
    sim.receive_frame(binary(2, &["room", "broadcast"], b"data"));
    assert_eq!(sim.take_delivered(), ["null", "empty", "zero", "broadcast"]);
}

#[test]
fn m_4_before_the_first_join_and_after_a_failed_one_no_join_is_present() {
    let mut sim = Sim::open();
    let room = sim.channel("room");
    sim.server_pushes("1", "room", "early", json!({}));
    sim.server_pushes("not ours", "room", "early", json!({}));
    sim.join(room, json!({}));
    let timed_out = sim.last("phx_join")[0].as_str().unwrap().to_owned();
    sim.advance(ms(10_000));
    sim.server_pushes(&timed_out, "room", "late", json!({}));
    sim.advance(ms(1_000));
    let crashed = sim.last("phx_join")[0].as_str().unwrap().to_owned();
    sim.crash(&crashed, "room");
    sim.server_pushes(&crashed, "room", "late", json!({}));
    assert!(sim.delivered.is_empty());
}

// M-7, DEV-11
#[test]
fn m_7_broadcasts_are_delivered_only_while_joining_or_joined() {
    let mut sim = Sim::open();
    let room = sim.channel("room");
    let hears = |sim: &mut Sim| {
        sim.broadcast("room", "shout", json!({}));
        !sim.take_delivered().is_empty()
    };
    assert!(!hears(&mut sim));
    sim.join(room, json!({}));
    assert!(hears(&mut sim));
    let join_ref = sim.accept(room);
    assert!(hears(&mut sim));
    sim.crash(&join_ref, "room");
    assert!(!hears(&mut sim));
    sim.advance(ms(1_000));
    sim.accept(room);
    sim.leave(room);
    assert!(!hears(&mut sim));
    sim.reply("phx_leave", "ok", json!({}));
    assert!(!hears(&mut sim));
}

// M-2, DEV-11
#[test]
fn m_7_messages_under_a_header_seen_before_follow_what_becomes_of_the_channel() {
    let (mut sim, room, old) = Sim::joined("room");
    let shout = |sim: &mut Sim, join_ref: Value| {
        sim.receive(json!([join_ref, null, "room", "shout", {}]));
        !sim.take_delivered().is_empty()
    };
    for join_ref in [Value::Null, json!(old)] {
        // No other frame comes between: only what is done here changes anything.
        assert!(shout(&mut sim, join_ref.clone()) && shout(&mut sim, join_ref.clone()));
    }
    sim.rejoin(room);
    assert!(!shout(&mut sim, json!(old)));
    assert!(shout(&mut sim, Value::Null));
    let join_ref = sim.accept(room);
    assert!(shout(&mut sim, json!(join_ref)) && shout(&mut sim, json!(join_ref)));
    sim.break_off();
    assert!(!shout(&mut sim, json!(join_ref)));
    sim.redial();
    assert!(!shout(&mut sim, json!(join_ref)), "a join of the last connection");
    let join_ref = sim.accept(room);
    assert!(shout(&mut sim, json!(join_ref)));
    sim.leave(room);
    assert!(shout(&mut sim, json!(join_ref)), "a farewell");
    sim.advance(ms(10_000));
    assert!(!shout(&mut sim, json!(join_ref)));
    sim.forget(room);
    assert!(!shout(&mut sim, json!(join_ref)) && !shout(&mut sim, Value::Null));
    let again = sim.channel("room");
    assert!(!shout(&mut sim, Value::Null));
    sim.join(again, json!({}));
    assert!(shout(&mut sim, Value::Null) && !shout(&mut sim, json!(join_ref)));
}

// DEV-11
#[test]
fn c_37_farewell_pushes_of_the_present_join_are_delivered_up_to_the_ack() {
    let (mut sim, _, join_ref) = Sim::joined("room");
    sim.leave(1);
    sim.server_pushes(&join_ref, "room", "farewell", json!({}));
    sim.server_pushes("99", "room", "stale", json!({}));
    sim.broadcast("room", "shout", json!({}));
    sim.reply("phx_leave", "ok", json!({}));
    sim.server_pushes(&join_ref, "room", "late", json!({}));
    assert_eq!(sim.take_delivered(), ["farewell"]);
}

// M-11
#[test]
fn m_11_a_payload_may_be_any_json_value() {
    let (mut sim, _, _) = Sim::joined("room");
    for payload in [Value::Null, json!(0), json!("text"), json!([1]), json!(true)] {
        sim.broadcast("room", "any", payload.clone());
        assert_eq!(sim.delivered.pop().unwrap().2, payload.to_string());
    }
}

#[test]
fn m_10_a_push_is_answered_by_a_reply_that_names_no_join() {
    let (mut sim, _, _) = Sim::joined("room");
    let push = sim.push(1, "shout", json!({}));
    let asked = sim.last("shout");
    sim.receive(json!([null, asked[1], "room", "phx_reply", { "response": {}, "status": "ok" }]));
    assert!(sim.pushed_as(push).is_ok());
}

// T-20, M-8
#[test]
fn m_8_each_message_is_handed_over_once_however_often_the_channel_was_joined() {
    let (mut sim, room, _) = Sim::joined("room");
    sim.join(room, json!({}));
    sim.join(room, json!({}));
    sim.broadcast("room", "shout", json!({}));
    assert_eq!(sim.take_delivered(), ["shout"]);
}

// N-10
#[test]
fn a_push_right_behind_the_joins_reply_is_delivered() {
    let mut sim = Sim::open();
    let room = sim.channel("room");
    sim.join(room, json!({}));
    let join_ref = sim.accept(room);
    sim.server_pushes(&join_ref, "room", "after_join", json!({}));
    assert_eq!(sim.take_delivered(), ["after_join"]);
}

// T-1
#[test]
fn c_27_a_close_or_crash_of_another_join_touches_nothing() {
    let (mut sim, room, old) = Sim::joined("room");
    sim.reconnect();
    let present = sim.accept(room);
    for stale in [old.as_str(), "999", ""] {
        sim.crash(stale, "room");
        sim.end(stale, "room");
    }
    sim.crash(&present, "elsewhere");
    assert!(sim.is_joined(room) && sim.ended.is_empty());
}

#[test]
fn c_27_reserved_names_broadcast_without_a_join_ref_are_ordinary_messages() {
    let (mut sim, room, _) = Sim::joined("room");
    let names = ["phx_close", "phx_error", "phx_reply", "phx_join", "phx_leave"];
    for name in names {
        sim.broadcast("room", name, json!({}));
    }
    assert!(sim.is_joined(room) && sim.ended.is_empty());
    assert_eq!(sim.take_delivered(), names);
}

#[test]
fn c_28_a_crash_that_repeats_the_join_ref_as_its_ref_answers_nothing() {
    let mut sim = Sim::open();
    let room = sim.channel("room");
    let join = sim.join(room, json!({}));
    let join_ref = sim.last("phx_join")[0].as_str().unwrap().to_owned();
    sim.crash(&join_ref, "room");
    assert!(sim.is_pending(join));
    assert!(matches!(sim.errored(room), NotJoined::Crashed(_)));
}

// C-28
#[test]
fn the_protocols_own_messages_are_handed_to_no_stream() {
    let (mut sim, room, join_ref) = Sim::joined("room");
    sim.push(room, "shout", json!({}));
    sim.reply("shout", "ok", json!({}));
    sim.receive(json!([join_ref, null, "room", "phx_reply", {}]));
    sim.crash(&join_ref, "room");
    sim.advance(ms(1_000));
    let second = sim.accept(room);
    sim.end(&second, "room");
    assert!(sim.delivered.is_empty());
}

// E-5, DEV-16
#[test]
fn e_5_an_event_named_like_a_reply_is_a_message_and_answers_nothing() {
    let (mut sim, room, join_ref) = Sim::joined("room");
    let (push, id) = sim.push_within(room, "shout", json!({}), ms(10_000));
    let name = format!("chan_reply_{id}");
    sim.server_pushes(&join_ref, "room", &name, json!({ "status": "ok", "response": {} }));
    sim.receive(json!([join_ref, id.to_string(), "room", "not_a_reply", { "status": "ok", "response": {} }]));
    assert!(sim.is_pending(push));
    assert_eq!(sim.take_delivered(), [name.as_str(), "not_a_reply"]);
}

// E-9, T-7, DEV-16
#[test]
fn e_9_every_event_name_reaches_the_streams() {
    let (mut sim, _, join_ref) = Sim::joined("room");
    let names = ["new", "presence_state", "", "phx", "heartbeat", "\u{1f600} \"quoted\""];
    for name in names {
        sim.server_pushes(&join_ref, "room", name, json!({}));
    }
    assert_eq!(sim.take_delivered(), names);
}

// T-7, DEV-21
#[test]
fn t_7_a_frame_that_is_no_message_costs_itself_alone() {
    let (mut sim, room, _) = Sim::joined("room");
    let push = sim.push(room, "shout", json!({}));
    let broken = [
        text(""),
        text("{}"),
        text("[]"),
        text("[null,null,\"room\",\"shout\"]"),
        text("[null,null,1,\"shout\",{}]"),
        text("[{},null,\"room\",\"shout\",{}]"),
        text("[null,null,\"room\",\"shout\",{}"),
        Frame::Text(Bytes::from_static(b"[null,null,\"\xff\",\"shout\",{}]")),
        Frame::Binary(Bytes::new()),
        binary(9, &["room", "shout"], b""),
        Frame::Binary(Bytes::from_static(&[2, 255, 255, b'r'])),
        Frame::Binary(Bytes::from_static(&[2, 1, 1, 0xff, 0xff])),
    ];
    let count = broken.len();
    broken.into_iter().for_each(|frame| sim.receive_frame(frame));
    let told = sim.telemetry.iter().filter(|said| matches!(said, Telemetry::Undecodable { .. })).count();
    assert_eq!(told, count);
    assert!(sim.delivered.is_empty() && sim.is_joined(room));
    sim.reply("shout", "ok", json!({}));
    assert!(sim.pushed_as(push).is_ok());
}

// T-7, DEV-21
#[test]
fn a_reply_that_is_no_reply_answers_nothing_and_is_told() {
    let (mut sim, room, join_ref) = Sim::joined("room");
    let (push, id) = sim.push_within(room, "shout", json!({}), ms(10_000));
    let reference = id.to_string();
    for payload in [Value::Null, json!({}), json!({ "status": 1 }), json!([])] {
        sim.receive(json!([join_ref, reference, "room", "phx_reply", payload]));
    }
    let told = sim.telemetry.iter().filter(|said| matches!(said, Telemetry::Undecodable { .. })).count();
    assert_eq!(told, 4);
    assert!(sim.is_pending(push));
    sim.receive(json!([join_ref, reference, "room", "phx_reply", { "status": "ok", "extra": 1 }]));
    assert_eq!(sim.pushed_as(push).as_ref().unwrap().payload().as_str(), Some("null"));
}

#[test]
fn binary_replies_answer_joins_and_pushes() {
    let mut sim = Sim::open();
    let room = sim.channel("room");
    let join = sim.join(room, json!({}));
    let join_ref = sim.last("phx_join")[0].as_str().unwrap().to_owned();
    sim.receive_frame(binary(1, &[&join_ref, &join_ref, "room", "ok"], b"hello"));
    assert_eq!(sim.joined_as(join).as_ref().unwrap().payload().as_bytes(), b"hello");
    let (push, id) = sim.push_within(room, "shout", json!({}), ms(10_000));
    sim.receive_frame(binary(1, &[&join_ref, &id.to_string(), "room", "error"], b"why"));
    let Err(crate::PushError::Rejected(reply)) = sim.pushed_as(push) else { panic!() };
    assert_eq!((reply.status(), reply.payload().as_bytes()), ("error", &b"why"[..]));
}

#[test]
fn refs_written_as_numbers_are_understood() {
    let (mut sim, room, join_ref) = Sim::joined("room");
    let (push, id) = sim.push_within(room, "shout", json!({}), ms(10_000));
    let join_ref: u64 = join_ref.parse().unwrap();
    sim.receive(json!([join_ref, id, "room", "phx_reply", { "response": {}, "status": "ok" }]));
    assert!(sim.pushed_as(push).is_ok());
}

#[test]
fn what_comes_while_no_connection_is_open_is_dropped() {
    let (mut sim, _, _) = Sim::joined("room");
    sim.break_off();
    sim.broadcast("room", "shout", json!({}));
    sim.receive_frame(text("garbage"));
    assert!(sim.delivered.is_empty());
    assert!(!sim.telemetry.iter().any(|said| matches!(said, Telemetry::Undecodable { .. })));
}

#[test]
fn messages_of_a_topic_nobody_has_are_dropped_quietly() {
    let mut sim = Sim::open();
    sim.broadcast("nowhere", "shout", json!({}));
    sim.crash("1", "nowhere");
    sim.receive(json!(["1", "1", "nowhere", "phx_reply", { "response": {}, "status": "ok" }]));
    assert!(sim.delivered.is_empty() && sim.status().is_connected());
}
