//! Rejoins: by backoff, after a reconnect, by `rejoin()`.

use std::time::Duration;

use serde_json::json;

use super::sim::{Sim, config, ms};
use crate::{
    backoff::Backoff,
    core::{ChannelId, Config},
    error::{ConnectError, JoinError, NotJoined, PushError},
    payload::{Binary, IntoPayload},
    status::ChannelStatus,
};

fn open_with(config: Config) -> (Sim, ChannelId) {
    let mut sim = Sim::with(config);
    sim.connect();
    sim.up();
    let room = sim.channel("room");
    (sim, room)
}

/// When joins and leaves were written, heartbeats left out.
fn timeline(sim: &mut Sim) -> Vec<(u128, String)> {
    let mut written = sim.take_written();
    written.retain(|(_, event)| event.starts_with("phx_"));
    written
}

fn quiet() -> Config {
    Config { heartbeat: None, ..config() }
}

// C-15, C-24
#[test]
fn c_24_joins_never_answered_keep_the_phoenix_timeline() {
    let (mut sim, room) = open_with(Config { timeout: ms(1_000), ..quiet() });
    sim.join(room, json!({}));
    sim.advance(ms(33_000));
    let expected = [
        (0, "phx_join"),
        (1_000, "phx_leave"),
        (2_000, "phx_join"),
        (3_000, "phx_leave"),
        (5_000, "phx_join"),
        (6_000, "phx_leave"),
        (11_000, "phx_join"),
        (12_000, "phx_leave"),
        (22_000, "phx_join"),
        (23_000, "phx_leave"),
        (33_000, "phx_join"),
    ];
    assert_eq!(timeline(&mut sim), expected.map(|(at, event)| (at, event.to_owned())));
}

// C-19, C-24
#[test]
fn joins_that_crash_are_retried_after_1_2_5_10_10_seconds() {
    let (mut sim, room) = open_with(quiet());
    sim.join(room, json!({}));
    for (tries, gap) in [1_000, 2_000, 5_000, 10_000, 10_000].into_iter().enumerate() {
        sim.reply("phx_join", "error", json!({ "reason": "join crashed" }));
        sim.advance(ms(gap - 1));
        assert_eq!(sim.count("phx_join"), tries + 1);
        sim.advance(ms(1));
        assert_eq!(sim.count("phx_join"), tries + 2);
    }
}

// C-25, T-6
#[test]
fn c_25_a_crashed_channel_rejoins_by_its_backoff_and_not_at_once() {
    let (mut sim, room, join_ref) = Sim::joined("room");
    sim.crash(&join_ref, "room");
    assert!(matches!(sim.errored(room), NotJoined::Crashed(_)));
    sim.advance(ms(999));
    assert!(sim.written.is_empty());
    sim.advance(ms(1));
    assert_eq!(sim.events(), ["phx_join"]);
}

#[test]
fn c_25_a_crash_while_joining_forgets_the_join() {
    let mut sim = Sim::open();
    let room = sim.channel("room");
    let join = sim.join(room, json!({}));
    let asked = sim.last("phx_join");
    sim.crash(asked[0].as_str().unwrap(), "room");
    assert!(matches!(sim.errored(room), NotJoined::Crashed(_)));
    sim.answer(&asked, "ok", json!({}));
    assert!(matches!(sim.errored(room), NotJoined::Crashed(_)));
    sim.advance(ms(1_000));
    sim.accept(room);
    assert!(sim.joined_as(join).is_ok());
}

#[test]
fn c_29_the_crash_payload_is_told_whatever_it_is() {
    for payload in [json!({ "reason": "channel_crash" }), json!({})] {
        let (mut sim, room, join_ref) = Sim::joined("room");
        sim.receive(json!([join_ref, join_ref, "room", "phx_error", payload]));
        let NotJoined::Crashed(told) = sim.errored(room) else { panic!() };
        assert_eq!(told.as_str(), Some(payload.to_string().as_str()));
    }
}

// C-20, T-6
#[test]
fn t_6_tries_fall_back_only_after_ten_seconds_joined() {
    let (mut sim, room, join_ref) = Sim::joined("room");
    sim.crash(&join_ref, "room");
    sim.advance(ms(1_000));
    let second = sim.accept(room);
    sim.advance(ms(9_999));
    sim.crash(&second, "room");
    sim.written.clear();
    sim.advance(ms(1_999));
    assert_eq!(sim.count("phx_join"), 0);
    sim.advance(ms(1));
    let third = sim.accept(room);
    sim.advance(ms(10_000));
    sim.crash(&third, "room");
    sim.written.clear();
    sim.advance(ms(1_000));
    assert_eq!(sim.count("phx_join"), 1);
}

#[test]
fn t_6_ten_seconds_joined_also_count_when_the_connection_ends_them() {
    for (joined_for, wait) in [(9_999, 2_000), (10_000, 1_000)] {
        let (mut sim, room, join_ref) = Sim::joined("room");
        sim.crash(&join_ref, "room");
        sim.advance(ms(1_000));
        sim.accept(room);
        sim.advance(ms(joined_for));
        sim.reconnect();
        let rejoined = sim.accept(room);
        sim.crash(&rejoined, "room");
        sim.written.clear();
        sim.advance(ms(wait - 1));
        assert_eq!(sim.count("phx_join"), 0);
        sim.advance(ms(1));
        assert_eq!(sim.count("phx_join"), 1);
    }
}

#[test]
fn t_6_tries_fall_back_on_leave_and_on_close() {
    for closed_by_server in [false, true] {
        let (mut sim, room, join_ref) = Sim::joined("room");
        sim.crash(&join_ref, "room");
        sim.advance(ms(1_000));
        let second = sim.accept(room);
        if closed_by_server {
            sim.end(&second, "room");
        } else {
            sim.leave(room);
            sim.reply("phx_leave", "ok", json!({}));
        }
        sim.join(room, json!({}));
        let third = sim.accept(room);
        sim.crash(&third, "room");
        sim.written.clear();
        sim.advance(ms(1_000));
        assert_eq!(sim.count("phx_join"), 1);
    }
}

#[test]
fn t_6_no_backoff_rejoins_in_a_busy_loop() {
    let (mut sim, room) = open_with(Config { rejoin: Backoff::steps([Duration::ZERO]), ..config() });
    sim.join(room, json!({}));
    for _ in 0..10 {
        sim.reply("phx_join", "error", json!({ "reason": "join crashed" }));
        let before = sim.written.len();
        sim.core.handle_timeout(sim.now);
        sim.drain();
        assert_eq!(sim.written.len(), before);
        sim.advance(ms(1));
        assert_eq!(sim.written.len(), before + 1);
    }
}

#[test]
fn rejoins_are_jittered_down_to_half_by_default() {
    let mut delays = Vec::new();
    for seed in 0..50 {
        let (mut sim, room) = open_with(Config { seed, ..Config::default() });
        sim.join(room, json!({}));
        sim.reply("phx_join", "error", json!({ "reason": "join crashed" }));
        delays.push(sim.core.poll_timeout().unwrap() - sim.now);
    }
    assert!(delays.iter().all(|delay| (ms(500)..=ms(1_000)).contains(delay)));
    delays.sort_unstable();
    delays.dedup();
    assert!(delays.len() > 10);
}

// T-22
#[test]
fn c_21_what_was_joined_rejoins_as_soon_as_the_connection_is_back() {
    let (mut sim, room, join_ref) = Sim::joined("room");
    sim.reconnect();
    assert_eq!(sim.take_written(), [(10, "phx_join".into())]);
    assert!(sim.is_joining(room));
    let again = sim.channels[&room].iter().filter(|status| status.is_joined()).count();
    assert_eq!(again, 1);
    sim.receive(json!([join_ref, "99", "room", "phx_reply", { "response": {}, "status": "ok" }]));
    assert!(sim.is_joining(room));
}

// T-1
#[test]
fn c_22_every_rejoin_takes_a_new_ref_that_is_its_join_ref_too() {
    let (mut sim, room, first) = Sim::joined("room");
    let mut seen = vec![json!(first)];
    for _ in 0..3 {
        sim.reconnect();
        let join = sim.last("phx_join");
        assert_eq!(join[0], join[1]);
        assert!(!seen.contains(&join[0]));
        seen.push(join[0].clone());
        sim.accept(room);
    }
}

// C-19
#[test]
fn c_23_while_disconnected_nothing_rejoins_and_a_running_timer_is_cancelled() {
    let (mut sim, room, join_ref) = Sim::joined("room");
    sim.crash(&join_ref, "room");
    sim.disconnect(1000, "");
    assert_eq!(sim.core.holdings().timers, 0);
    sim.advance(ms(60_000));
    assert!(sim.written.is_empty());
    sim.connect();
    sim.up();
    assert_eq!(sim.events(), ["phx_join"]);
    assert!(sim.is_joining(room));
}

#[test]
fn c_21_a_rejoin_on_open_does_not_come_twice() {
    let (mut sim, room, join_ref) = Sim::joined("room");
    sim.crash(&join_ref, "room");
    sim.reconnect();
    sim.advance(ms(5_000));
    assert_eq!(sim.count("phx_join"), 1);
    sim.accept(room);
    assert!(sim.is_joined(room));
}

#[test]
fn c_30_every_cause_of_a_lost_connection_is_told_to_the_channels() {
    let causes = [
        ConnectError::Ended,
        ConnectError::ClosedByServer { code: 1012, reason: "".into() },
        ConnectError::transport("reset by peer"),
    ];
    for cause in causes {
        let (mut sim, room, _) = Sim::joined("room");
        let text = cause.to_string();
        sim.lost(cause);
        let NotJoined::ConnectionLost(told) = sim.errored(room) else { panic!() };
        assert_eq!(told.to_string(), text);
    }
}

#[test]
fn c_30_a_missed_heartbeat_is_told_to_the_channels() {
    let (mut sim, room, _) = Sim::joined("room");
    sim.advance(ms(45_000));
    let NotJoined::ConnectionLost(cause) = sim.errored(room) else { panic!() };
    assert!(matches!(**cause, ConnectError::HeartbeatTimeout));
}

#[test]
fn c_30_a_join_under_way_is_lost_with_the_connection_and_its_caller_waits_on() {
    let mut sim = Sim::open();
    let room = sim.channel("room");
    let join = sim.join(room, json!({}));
    sim.break_off();
    assert!(matches!(sim.errored(room), NotJoined::ConnectionLost(_)));
    sim.redial();
    sim.accept(room);
    assert!(sim.joined_as(join).is_ok());
}

#[test]
fn c_31_idle_closed_and_refused_channels_take_no_notice_of_a_lost_connection() {
    let (mut sim, left, _) = Sim::joined("left");
    sim.leave(left);
    sim.reply("phx_leave", "ok", json!({}));
    let idle = sim.channel("idle");
    let refused = sim.channel("refused");
    sim.join(refused, json!({}));
    sim.reply("phx_join", "error", json!({}));
    sim.written.clear();
    sim.reconnect();
    assert!(sim.written.is_empty());
    assert!(sim.is_closed(left));
    assert!(matches!(sim.channel_status(idle), ChannelStatus::Idle));
    assert!(matches!(sim.errored(refused), NotJoined::Refused(_)));
}

// C-6, law 2.
#[test]
fn a_forced_rejoin_sends_no_leave_and_settles_the_old_joins_pushes() {
    let (mut sim, room, _) = Sim::joined("room");
    let push = sim.push(room, "shout", json!({}));
    let rejoin = sim.rejoin(room);
    assert!(matches!(sim.pushed_as(push), Err(PushError::Disconnected)));
    assert_eq!(sim.events(), ["shout", "phx_join"]);
    assert!(sim.is_pending(rejoin) && sim.is_joining(room));
}

// T-1
#[test]
fn c_39_the_old_joins_close_after_the_new_joins_reply_is_ignored() {
    let (mut sim, room, old) = Sim::joined("room");
    let rejoin = sim.rejoin(room);
    sim.reply("phx_join", "ok", json!({ "second": true }));
    sim.end(&old, "room");
    assert_eq!(sim.joined_with(rejoin), r#"{"second":true}"#);
    assert!(sim.is_joined(room));
    sim.advance(ms(20_000));
    assert_eq!(sim.count("phx_join"), 1);
}

// T-1
#[test]
fn c_39_the_old_joins_close_before_the_new_joins_reply_is_ignored_too() {
    let (mut sim, room, old) = Sim::joined("room");
    let rejoin = sim.rejoin(room);
    sim.end(&old, "room");
    assert!(sim.is_joining(room));
    sim.accept(room);
    assert!(sim.joined_as(rejoin).is_ok() && sim.ended.is_empty());
}

#[test]
fn a_forced_rejoin_over_one_under_way_supersedes_it_and_serves_both_callers() {
    let mut sim = Sim::open();
    let room = sim.channel("room");
    let first = sim.join(room, json!({ "nick": "ann" }));
    let superseded = sim.last("phx_join");
    let second = sim.rejoin(room);
    assert_eq!(sim.last("phx_join")[4], json!({ "nick": "ann" }));
    sim.answer(&superseded, "error", json!({}));
    assert!(sim.is_pending(first) && sim.is_joining(room));
    sim.reply("phx_join", "ok", json!({ "n": 2 }));
    assert_eq!((sim.joined_with(first), sim.joined_with(second)), (r#"{"n":2}"#, r#"{"n":2}"#));
}

#[test]
fn a_forced_rejoin_does_not_wait_for_the_backoff() {
    let (mut sim, room, join_ref) = Sim::joined("room");
    sim.crash(&join_ref, "room");
    let rejoin = sim.rejoin(room);
    assert_eq!(sim.count("phx_join"), 1);
    sim.accept(room);
    assert!(sim.joined_as(rejoin).is_ok());
    sim.advance(ms(5_000));
    assert_eq!(sim.count("phx_join"), 1);
}

#[test]
fn a_join_during_the_backoff_waits_for_the_rejoin() {
    let (mut sim, room, join_ref) = Sim::joined("room");
    sim.crash(&join_ref, "room");
    let join = sim.join(room, json!({ "n": 2 }));
    assert!(sim.written.is_empty() && sim.is_pending(join));
    sim.advance(ms(1_000));
    assert_eq!(sim.last("phx_join")[4], json!({ "n": 2 }));
    sim.accept(room);
    assert!(sim.joined_as(join).is_ok());
}

#[test]
fn a_forced_rejoin_while_offline_goes_out_once_on_open() {
    let (mut sim, room, _) = Sim::joined("room");
    sim.break_off();
    let rejoin = sim.rejoin(room);
    assert!(!sim.core.has_outgoing());
    sim.redial();
    assert_eq!(sim.count("phx_join"), 1);
    sim.accept(room);
    assert!(sim.joined_as(rejoin).is_ok());
}

#[test]
fn a_forced_rejoin_that_cannot_be_encoded_leaves_the_join_that_stands() {
    let mut sim = Sim::open();
    let room = sim.channel(&"x".repeat(256));
    sim.join(room, json!({}));
    let join_ref = sim.accept(room);
    let params = Binary("b").into_payload().unwrap();
    let (rejoin, _) = sim.ask_join(room, Some(params), ms(1_000), true);
    assert!(matches!(sim.joined_as(rejoin), Err(JoinError::Encode(_))));
    assert!(matches!(sim.errored(room), NotJoined::Unsendable(_)));
    assert_eq!(sim.last("phx_leave")[0], json!(join_ref));
}

#[test]
fn a_rejoin_refused_after_a_reconnect_is_told_to_streams_and_waiting_joins() {
    let (mut sim, room, _) = Sim::joined("room");
    sim.break_off();
    let join = sim.join(room, json!({}));
    sim.redial();
    sim.reply("phx_join", "error", json!({ "reason": "banned" }));
    assert!(matches!(sim.joined_as(join), Err(JoinError::Refused(_))));
    assert_eq!(sim.not_joined.len(), 1);
    assert!(sim.ended.is_empty());
}
