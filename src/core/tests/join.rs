//! Joins: what is written, what answers them, who is told.

use serde_json::json;

use super::sim::{Sim, config, ms};
use crate::{
    backoff::Backoff,
    core::{Command, Config, Params},
    error::{ConnectError, EncodeError, JoinError, NotJoined, PushError},
    payload::{Binary, IntoPayload},
    status::ChannelStatus,
    telemetry::Telemetry,
};

// T-20
#[test]
fn c_7_a_join_before_the_connection_goes_out_on_open() {
    let mut sim = Sim::new();
    let room = sim.channel("room");
    let join = sim.join(room, json!({}));
    assert!(sim.written.is_empty());
    sim.connect();
    sim.advance(ms(9_000));
    sim.up();
    assert_eq!(sim.take_written(), [(9_000, "phx_join".into())]);
    assert!(sim.is_pending(join));
}

#[test]
fn c_7_the_callers_deadline_runs_from_the_call_and_the_frames_from_its_writing() {
    let mut sim = Sim::new();
    let room = sim.channel("room");
    let join = sim.join(room, json!({}));
    sim.connect();
    sim.advance(ms(9_000));
    sim.up();
    sim.advance(ms(1_000));
    assert!(matches!(sim.joined_as(join), Err(JoinError::Timeout)));
    sim.advance(ms(8_999));
    assert_eq!(sim.take_written(), [(9_000, "phx_join".into())]);
    sim.advance(ms(1));
    assert_eq!(sim.take_written(), [(19_000, "phx_leave".into())]);
}

// T-22
#[test]
fn c_9_joined_only_by_the_reply_and_what_waited_goes_out_in_order() {
    let mut sim = Sim::open();
    let room = sim.channel("room");
    sim.join(room, json!({}));
    let asked = sim.last("phx_join");
    for event in ["one", "two", "three"] {
        sim.push(room, event, json!({}));
    }
    assert_eq!(sim.events(), ["phx_join"]);
    assert!(sim.is_joining(room));
    sim.answer(&asked, "ok", json!({}));
    assert!(sim.is_joined(room));
    assert_eq!(sim.events(), ["one", "two", "three"]);
    assert_eq!(sim.core.holdings().outgoing_bytes, 0);
}

#[test]
fn a_join_on_a_joined_channel_gets_the_present_joins_reply_and_writes_nothing() {
    let mut sim = Sim::open();
    let room = sim.channel("room");
    sim.join(room, json!({}));
    sim.reply("phx_join", "ok", json!({ "welcome": 1 }));
    let second = sim.join(room, json!({}));
    assert_eq!(sim.joined_with(second), r#"{"welcome":1}"#);
    assert_eq!(sim.events(), ["phx_join"]);
}

// T-20
#[test]
fn joins_while_one_is_on_its_way_share_its_reply() {
    let mut sim = Sim::open();
    let room = sim.channel("room");
    let joins = [0; 3].map(|_| sim.join(room, json!({})));
    assert_eq!(sim.count("phx_join"), 1);
    sim.reply("phx_join", "ok", json!({ "n": 7 }));
    for join in joins {
        assert_eq!(sim.joined_with(join), r#"{"n":7}"#);
    }
}

#[test]
fn params_of_a_further_join_are_what_the_next_rejoin_sends() {
    let (mut sim, room, _) = Sim::joined("room");
    sim.join(room, json!({ "nick": "bob" }));
    assert!(sim.written.is_empty());
    sim.reconnect();
    assert_eq!(sim.last("phx_join")[4], json!({ "nick": "bob" }));
}

#[test]
fn c_12_a_refused_join_fails_what_waits_and_sends_none_of_it() {
    let mut sim = Sim::open();
    let room = sim.channel("room");
    let join = sim.join(room, json!({}));
    let push = sim.push(room, "shout", json!({}));
    let cast = sim.cast(room, "shout", json!({}));
    sim.reply("phx_join", "error", json!({ "reason": "not yours" }));
    let Err(JoinError::Refused(reply)) = sim.joined_as(join) else { panic!() };
    assert_eq!(reply.payload().as_str(), Some(r#"{"reason":"not yours"}"#));
    assert!(matches!(sim.errored(room), NotJoined::Refused(_)));
    assert!(matches!(sim.pushed_as(push), Err(PushError::NotSent(crate::NotSent::NotJoined))));
    assert!(matches!(sim.cast_as(cast), Err(crate::CastError::NotSent(crate::NotSent::NotJoined))));
    assert_eq!(sim.events(), ["phx_join"]);
}

// C-13, DEV-13
#[test]
fn a_refused_join_is_not_tried_again_by_itself() {
    let mut sim = Sim::open();
    let room = sim.channel("room");
    sim.join(room, json!({}));
    sim.reply("phx_join", "error", json!({}));
    sim.written.clear();
    sim.advance(ms(25_000));
    sim.reconnect();
    assert_eq!(sim.count("phx_join"), 0);
    let push = sim.push(room, "shout", json!({}));
    assert!(matches!(sim.pushed_as(push), Err(PushError::NotSent(crate::NotSent::NotJoined))));
}

// Law 6.
// DEV-13
#[test]
fn a_refused_join_is_told_once_to_the_streams_which_stay_for_a_later_join() {
    let mut sim = Sim::open();
    let room = sim.channel("room");
    sim.join(room, json!({}));
    sim.reply("phx_join", "error", json!({}));
    assert_eq!(sim.not_joined.len(), 1);
    let again = sim.join(room, json!({ "nick": "ann" }));
    assert!(sim.is_joining(room));
    assert_eq!(sim.last("phx_join")[4], json!({ "nick": "ann" }));
    sim.accept(room);
    assert!(sim.joined_as(again).is_ok());
    assert!(sim.ended.is_empty());
    assert_eq!(sim.not_joined.len(), 1);
}

// N-8, N-12
#[test]
fn c_14_unmatched_topic_and_too_many_channels_refuse_a_join() {
    for reason in ["unmatched topic", "too many channels joined"] {
        let mut sim = Sim::open();
        let room = sim.channel("room");
        let join = sim.join(room, json!({}));
        sim.reply("phx_join", "error", json!({ "reason": reason }));
        assert!(matches!(sim.joined_as(join), Err(JoinError::Refused(_))), "{reason}");
        assert!(matches!(sim.errored(room), NotJoined::Refused(_)), "{reason}");
    }
}

#[test]
fn m_10_a_join_is_refused_by_a_reply_that_names_no_join() {
    let mut sim = Sim::open();
    let room = sim.channel("room");
    let join = sim.join(room, json!({}));
    let asked = sim.last("phx_join");
    sim.answer_unmatched(&asked);
    assert!(matches!(sim.joined_as(join), Err(JoinError::Refused(_))));
}

// C-14, N-11
#[test]
fn a_join_that_crashed_fails_with_the_reply_and_rejoins_by_its_backoff() {
    let mut sim = Sim::open();
    let room = sim.channel("room");
    let join = sim.join(room, json!({}));
    let push = sim.push_within(room, "shout", json!({}), ms(10_000)).0;
    sim.reply("phx_join", "error", json!({ "reason": "join crashed" }));
    assert!(matches!(sim.joined_as(join), Err(JoinError::Crashed(_))));
    let NotJoined::Crashed(payload) = sim.errored(room) else { panic!() };
    assert_eq!(payload.as_str(), Some(r#"{"reason":"join crashed"}"#));
    assert!(sim.not_joined.is_empty() && sim.is_pending(push));
    sim.advance(ms(1_000));
    assert_eq!(sim.take_written(), [(0, "phx_join".into()), (1_000, "phx_join".into())]);
}

// T-7
#[test]
fn c_18_a_join_is_accepted_by_ok_alone() {
    for status in ["pending", "OK", ""] {
        let mut sim = Sim::open();
        let room = sim.channel("room");
        let join = sim.join(room, json!({}));
        sim.reply("phx_join", status, json!({}));
        let Err(JoinError::Refused(reply)) = sim.joined_as(join) else { panic!("{status}") };
        assert_eq!(reply.status(), status);
    }
}

#[test]
fn c_15_a_join_not_answered_is_left_under_its_own_ref_and_retried() {
    let mut sim = Sim::open();
    let room = sim.channel("room");
    let join = sim.join_within(room, json!({}), ms(15_000));
    let join_ref = sim.last("phx_join")[0].clone();
    sim.advance(ms(9_999));
    assert!(sim.is_joining(room));
    sim.advance(ms(1));
    assert!(matches!(sim.errored(room), NotJoined::TimedOut));
    let leave = sim.last("phx_leave");
    assert_eq!((&leave[0], &leave[4]), (&join_ref, &json!({})));
    assert_ne!(leave[1], join_ref);
    sim.advance(ms(1_000));
    assert!(sim.is_joining(room) && sim.is_pending(join));
    assert_ne!(sim.last("phx_join")[0], join_ref);
    sim.accept(room);
    assert!(sim.joined_as(join).is_ok());
}

#[test]
fn c_16_a_late_ok_of_an_abandoned_join_is_ignored() {
    let mut sim = Sim::open();
    let room = sim.channel("room");
    sim.join(room, json!({}));
    let abandoned = sim.last("phx_join");
    sim.advance(ms(10_000));
    sim.answer(&abandoned, "ok", json!({}));
    assert!(matches!(sim.errored(room), NotJoined::TimedOut));
    sim.advance(ms(1_000));
    sim.answer(&abandoned, "ok", json!({}));
    assert!(sim.is_joining(room));
}

#[test]
fn c_17_an_answered_join_does_not_time_out_and_is_not_answered_twice() {
    let mut sim = Sim::open();
    let room = sim.channel("room");
    sim.join(room, json!({}));
    let asked = sim.last("phx_join");
    sim.accept(room);
    sim.answer(&asked, "error", json!({}));
    sim.advance(ms(20_000));
    assert!(sim.is_joined(room));
    assert_eq!(sim.events(), ["phx_join"]);
}

// Outcomes: a join's own deadline ends the call, and the channel stays wanted.
#[test]
fn a_join_call_timed_out_while_offline_leaves_the_channel_wanted() {
    let mut sim = Sim::new();
    let room = sim.channel("room");
    let join = sim.join_within(room, json!({}), ms(200));
    sim.advance(ms(199));
    assert!(sim.is_pending(join));
    sim.advance(ms(1));
    assert!(matches!(sim.joined_as(join), Err(JoinError::Timeout)));
    sim.connect();
    sim.up();
    sim.accept(room);
    assert!(sim.is_joined(room));
}

// Law 5.
#[test]
fn a_dropped_join_leaves_the_channel_wanted_and_no_timer() {
    let mut sim = Sim::open();
    let room = sim.channel("room");
    let (join, id) = sim.ask_join(room, None, ms(500), false);
    let timers = sim.core.holdings().timers;
    sim.cancel(room, id);
    assert_eq!((sim.core.holdings().timers, sim.core.holdings().callers), (timers - 1, 0));
    sim.accept(room);
    assert!(sim.is_joined(room));
    sim.advance(ms(1_000));
    assert!(sim.is_pending(join));
}

#[test]
fn joins_in_a_blocked_outbox_time_out_from_their_writing() {
    let mut sim = Sim::open();
    let room = sim.channel("room");
    sim.writable = false;
    sim.join_within(room, json!({}), ms(40_000));
    sim.advance(ms(12_000));
    assert!(sim.is_joining(room));
    sim.unblock();
    sim.advance(ms(9_999));
    assert!(sim.is_joining(room));
    sim.advance(ms(1));
    assert!(matches!(sim.errored(room), NotJoined::TimedOut));
}

#[test]
fn a_join_that_cannot_be_encoded_fails_and_stops_and_the_socket_goes_on() {
    let mut sim = Sim::open();
    let (long, room) = (sim.channel(&"x".repeat(256)), sim.channel("room"));
    let waits = sim.ask_join(long, Some(Binary("b").into_payload().unwrap()), ms(10_000), false).0;
    assert!(matches!(sim.joined_as(waits), Err(JoinError::Encode(_))));
    let _: &EncodeError = match sim.errored(long) {
        NotJoined::Unsendable(error) => error,
        other => panic!("{other:?}"),
    };
    sim.advance(ms(15_000));
    assert!(sim.binary.is_empty());
    sim.join(room, json!({}));
    sim.accept(room);
    assert!(sim.is_joined(room));
}

// T-21
#[test]
fn a_stopped_socket_tells_joins_and_streams_and_the_next_connect_rejoins() {
    let mut sim = Sim::new();
    let room = sim.channel("room");
    sim.connect();
    let join = sim.join(room, json!({}));
    sim.dial_fails(ConnectError::SubprotocolUnanswered);
    assert!(matches!(sim.joined_as(join), Err(JoinError::Stopped(_))));
    assert!(matches!(sim.errored(room), NotJoined::Stopped(_)));
    assert_eq!(sim.not_joined.len(), 1);
    let later = sim.join(room, json!({}));
    assert!(matches!(sim.joined_as(later), Err(JoinError::Stopped(_))));
    sim.connect();
    sim.up();
    assert_eq!(sim.events(), ["phx_join"]);
}

#[test]
fn a_first_join_on_a_stopped_socket_is_told_and_stays_wanted() {
    let mut sim = Sim::new();
    sim.connect();
    sim.dial_fails(ConnectError::SubprotocolUnanswered);
    let room = sim.channel("room");
    let join = sim.join(room, json!({}));
    assert!(matches!(sim.joined_as(join), Err(JoinError::Stopped(_))));
    assert!(matches!(sim.errored(room), NotJoined::Stopped(_)));
    assert_eq!(sim.not_joined.len(), 1);
    sim.connect();
    sim.up();
    assert!(sim.is_joining(room));
}

#[test]
fn a_join_on_a_closed_socket_is_closed() {
    let mut sim = Sim::open();
    let early = sim.channel("early");
    sim.close();
    let late = sim.channel("late");
    for room in [early, late] {
        let join = sim.join(room, json!({}));
        assert!(matches!(sim.joined_as(join), Err(JoinError::Closed)));
        assert!(matches!(sim.channel_status(room), ChannelStatus::Closed { cause: crate::ChannelClosed::Socket }));
    }
    let unknown = sim.ask_join(99, None, ms(10), false).0;
    assert!(matches!(sim.joined_as(unknown), Err(JoinError::Closed)));
}

#[test]
fn a_join_that_nobody_waits_for_tells_its_outcome_in_the_status() {
    let mut sim = Sim::open();
    let room = sim.channel("room");
    let params = Some(Params::Ready(json!({}).into_payload().unwrap()));
    sim.command(Command::Join(crate::core::Join { channel: room, id: 50, params, caller: None, again: false }));
    sim.accept(room);
    assert!(sim.is_joined(room));
    assert_eq!(sim.core.holdings().callers, 0);
}

#[test]
fn telemetry_tells_the_join_and_how_long_it_took() {
    let mut sim = Sim::open();
    let room = sim.channel("room");
    sim.join(room, json!({}));
    sim.advance(ms(70));
    sim.accept(room);
    let joins: Vec<_> = sim.telemetry.iter().filter(|t| matches!(t, Telemetry::Joining { .. })).collect();
    assert_eq!(joins.len(), 1);
    let Some(Telemetry::Joined { topic, took }) = sim.telemetry.last() else { panic!() };
    assert_eq!((&**topic, *took), ("room", ms(70)));
}

#[test]
fn used_up_rejoins_fail_what_waits_and_a_later_join_starts_over() {
    let rejoin = Backoff::steps([ms(100)]).jitter(false).limit(2);
    let mut sim = Sim::with(Config { rejoin, ..config() });
    sim.connect();
    sim.up();
    let room = sim.channel("room");
    let join = sim.join_within(room, json!({}), ms(60_000));
    let push = sim.push_within(room, "shout", json!({}), ms(60_000)).0;
    sim.advance(ms(29_999));
    assert!(sim.is_pending(join) && sim.is_pending(push));
    sim.advance(ms(1_000));
    assert_eq!(sim.count("phx_join"), 3);
    assert!(matches!(sim.errored(room), NotJoined::GaveUp));
    assert!(matches!(sim.joined_as(join), Err(JoinError::GaveUp)));
    assert!(matches!(sim.pushed_as(push), Err(PushError::NotSent(crate::NotSent::NotJoined))));
    sim.join(room, json!({}));
    sim.reply("phx_join", "error", json!({ "reason": "join crashed" }));
    sim.advance(ms(100));
    assert_eq!(sim.count("phx_join"), 5);
}
