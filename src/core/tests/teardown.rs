//! Disconnecting and closing: from every state, at once, and for as long as it was asked for.

use serde_json::json;

use super::{
    given::{broken, count, refused, wait},
    sim::{Act, Sim, config, ms},
};
use crate::{
    core::{Command, Outcome},
    error::{CastError, ConnectError, JoinError, LeaveError, NotJoined, NotSent, PushError},
    status::{ChannelClosed, ChannelStatus, Status},
    telemetry::Telemetry,
    transport::Frame,
};

/// A state to begin in, by its name.
type Given = (&'static str, fn() -> Sim);

const STATES: &[Given] = &[
    ("idle", Sim::new),
    ("connecting", || {
        let mut sim = Sim::new();
        sim.connect();
        sim
    }),
    ("waiting", || {
        let mut sim = Sim::open();
        sim.lost(broken());
        sim
    }),
    ("stopped", || {
        let mut sim = Sim::new();
        sim.connect();
        sim.dial_fails(refused(403));
        sim
    }),
    ("open", Sim::open),
    ("joining", || {
        let mut sim = Sim::open();
        let room = sim.channel("room:1");
        sim.join(room, json!({}));
        sim
    }),
    ("rejoining", || {
        let (mut sim, _, join_ref) = Sim::joined("room:1");
        sim.receive(json!([join_ref, null, "room:1", "phx_error", {}]));
        sim
    }),
    ("blocked", || {
        let (mut sim, room, _) = Sim::joined("room:1");
        sim.writable = false;
        sim.push(room, "shout", json!({}));
        sim
    }),
    ("heartbeat pending", || {
        let mut sim = Sim::open();
        sim.advance(ms(31_000));
        sim
    }),
    ("given up", || {
        let mut sim = Sim::open();
        sim.advance(ms(45_000));
        sim
    }),
];

/// Ends what was hung up.
fn end_old_connections(sim: &mut Sim) {
    let hangups = sim.acts.iter().filter(|(_, act)| matches!(act, Act::Hangup { .. })).count();
    for _ in 0..hangups {
        sim.hung_up();
    }
}

fn is_done(sim: &Sim, token: u32) -> bool {
    matches!(sim.settled.get(&token), Some(Outcome::Done))
}

// S-21
#[test]
fn t_18_disconnect_works_in_every_state_and_nothing_reconnects() {
    for (state, given) in STATES {
        let mut sim = given();
        let first = sim.disconnect(1000, "");
        let second = sim.disconnect(1000, "");
        let dials = sim.dials().len();
        assert!(matches!(sim.status(), Status::Disconnected), "{state}");
        end_old_connections(&mut sim);
        assert!(is_done(&sim, first) && is_done(&sim, second), "{state}");
        sim.written.clear();
        sim.writable = true;
        sim.advance(ms(600_000));
        assert_eq!(sim.dials().len(), dials, "{state}");
        assert!(sim.written.is_empty(), "{state}");
        assert_eq!(sim.core.poll_timeout(), None, "{state}");
    }
}

#[test]
fn t_18_close_works_in_every_state_and_leaves_nothing() {
    for (state, given) in STATES {
        let mut sim = given();
        let (first, second) = (sim.close(), sim.close());
        let dials = sim.dials().len();
        end_old_connections(&mut sim);
        assert!(is_done(&sim, first) && is_done(&sim, second), "{state}");
        assert!(matches!(sim.status(), Status::Closed), "{state}");
        sim.advance(ms(600_000));
        assert_eq!(sim.dials().len(), dials, "{state}");
        let left = sim.core.holdings();
        assert_eq!((left.callers, left.pending_pushes, left.timers, left.outgoing_bytes), (0, 0, 0, 0), "{state}");
        assert!(matches!(sim.acts.last(), Some((_, Act::Finished))), "{state}");
    }
}

#[test]
fn t_18_every_command_after_close_is_answered() {
    let (mut sim, room, _) = Sim::joined("room:1");
    sim.close();
    let connect = sim.connect();
    let disconnect = sim.disconnect(1000, "");
    let close = sim.close();
    let join = sim.join(room, json!({}));
    let push = sim.push(room, "shout", json!({}));
    let leave = sim.leave(room);
    let new = sim.channel("room:2");
    let join_new = sim.join(new, json!({}));
    sim.hung_up();

    assert!(matches!(sim.connected_as(connect), Err(ConnectError::Closed)));
    assert!(is_done(&sim, disconnect) && is_done(&sim, close));
    assert!(matches!(sim.joined_as(join), Err(JoinError::Closed)));
    assert!(matches!(sim.pushed_as(push), Err(PushError::NotSent(NotSent::Closed))));
    assert!(sim.left_as(leave).is_ok());
    assert!(matches!(sim.joined_as(join_new), Err(JoinError::Closed)));
    assert!(sim.ended.contains(&new));
    assert!(matches!(sim.status(), Status::Closed));
    assert_eq!(sim.dials().len(), 1);
}

#[test]
fn close_settles_whoever_waits() {
    let (mut sim, room, _) = Sim::joined("room:1");
    let sent = sim.push(room, "shout", json!({}));
    let left = sim.channel("room:2");
    sim.join(left, json!({}));
    sim.accept(left);
    let leave = sim.leave(left);
    let new = sim.channel("room:3");
    let join = sim.join(new, json!({}));
    let waiting = sim.push(new, "shout", json!({}));
    let cast = sim.cast(new, "shout", json!({}));
    sim.close();
    sim.hung_up();

    assert!(matches!(sim.pushed_as(sent), Err(PushError::Disconnected)));
    assert!(matches!(sim.left_as(leave), Err(LeaveError::Disconnected)));
    assert!(matches!(sim.joined_as(join), Err(JoinError::Closed)));
    assert!(matches!(sim.pushed_as(waiting), Err(PushError::NotSent(NotSent::Closed))));
    assert!(matches!(sim.cast_as(cast), Err(CastError::NotSent(NotSent::Closed))));
    assert_eq!(sim.core.holdings().callers, 0);
}

#[test]
fn close_ends_every_channel_and_says_so() {
    let (mut sim, room, _) = Sim::joined("room:1");
    let idle = sim.channel("room:2");
    sim.close();
    for channel in [room, idle] {
        let status = sim.channel_status(channel);
        assert!(matches!(status, ChannelStatus::Closed { cause: ChannelClosed::Socket }), "{status:?}");
        assert!(sim.ended.contains(&channel));
    }
    assert!(sim.telemetry.iter().any(|told| matches!(
        told,
        Telemetry::ChannelClosed { topic, cause: ChannelClosed::Socket } if &**topic == "room:1"
    )));
}

#[test]
fn close_tells_nothing_more_of_a_channel_that_was_left() {
    let (mut sim, room, _) = Sim::joined("room:1");
    sim.leave(room);
    sim.reply("phx_leave", "ok", json!({}));
    sim.close();
    let closed = |told: &&Telemetry| matches!(told, Telemetry::ChannelClosed { .. });
    assert_eq!(sim.telemetry.iter().filter(closed).count(), 1);
    let late = sim.join(room, json!({}));
    assert!(matches!(sim.joined_as(late), Err(JoinError::Closed)));
}

#[test]
fn the_last_handle_dropped_closes_with_1000_and_finishes_once_the_connection_has_ended() {
    let mut sim = Sim::open();
    sim.command(Command::Close { token: None });
    let hangup = Act::Hangup { last: vec![], code: 1000, reason: String::new() };
    assert_eq!(sim.acts, [(0, Act::Dial), (0, hangup)]);
    sim.hung_up();
    assert_eq!(sim.acts.last(), Some(&(0, Act::Finished)));
    assert_eq!(sim.acts.len(), 3);
}

#[test]
fn s_17_disconnect_passes_code_and_reason_on_and_is_done_when_the_connection_has_ended() {
    let mut sim = Sim::open();
    let token = sim.disconnect(4000, "lunch");
    let hangup = Act::Hangup { last: vec![], code: 4000, reason: "lunch".into() };
    assert_eq!(sim.acts.last(), Some(&(0, hangup)));
    assert!(sim.is_pending(token));
    sim.advance(ms(700));
    assert!(sim.is_pending(token));
    sim.hung_up();
    assert!(is_done(&sim, token));
}

#[test]
fn s_18_disconnect_without_a_connection_is_done_at_once() {
    for (state, given) in &STATES[..4] {
        let mut sim = given();
        let token = sim.disconnect(1000, "");
        assert!(is_done(&sim, token), "{state}");
        assert!(!sim.acts.iter().any(|(_, act)| matches!(act, Act::Hangup { .. })), "{state}");
    }
}

#[test]
fn s_19_overlapping_disconnects_both_complete_after_one_hangup() {
    let mut sim = Sim::open();
    let first = sim.disconnect(1000, "");
    sim.advance(ms(100));
    let second = sim.disconnect(4001, "again");
    assert!(sim.is_pending(first) && sim.is_pending(second));
    sim.hung_up();
    assert!(is_done(&sim, first) && is_done(&sim, second));
    assert_eq!(sim.acts.iter().filter(|(_, act)| matches!(act, Act::Hangup { .. })).count(), 1);
}

#[test]
fn disconnecting_again_says_nothing_new() {
    let mut sim = Sim::open();
    sim.disconnect(1000, "");
    sim.hung_up();
    sim.disconnect(1000, "");
    assert_eq!(sim.statuses.iter().filter(|status| matches!(status, Status::Disconnected)).count(), 1);
}

#[test]
fn a_connection_that_was_given_up_is_waited_for_too() {
    let mut sim = Sim::open();
    sim.advance(ms(45_000));
    let token = sim.disconnect(1000, "");
    sim.close();
    assert!(sim.is_pending(token));
    assert!(!sim.acts.iter().any(|(_, act)| *act == Act::Finished));
    sim.hung_up();
    assert!(is_done(&sim, token));
    assert!(sim.acts.iter().any(|(_, act)| *act == Act::Finished));
}

#[test]
fn s_19_disconnecting_twice_waits_for_both_connections() {
    let mut sim = Sim::open();
    let first = sim.disconnect(1000, "");
    sim.connect();
    sim.up();
    let second = sim.disconnect(1000, "");
    sim.hung_up();
    assert!(sim.is_pending(second));
    sim.hung_up();
    assert!(is_done(&sim, first) && is_done(&sim, second));
    assert!(matches!(sim.status(), Status::Disconnected));
}

#[test]
fn s_21_disconnect_cancels_the_wait_and_abandons_an_attempt() {
    let mut sim = Sim::open();
    sim.lost(broken());
    sim.advance(ms(9));
    sim.disconnect(1000, "");
    sim.advance(ms(60_000));
    assert_eq!(sim.dials(), [0]);

    let mut sim = Sim::new();
    let connect = sim.connect();
    sim.disconnect(1000, "");
    assert_eq!(sim.acts, [(0, Act::Dial), (0, Act::Abandon)]);
    assert!(matches!(sim.connected_as(connect), Err(ConnectError::Closed)));
    // It opens all the same: too late.
    sim.up();
    assert!(matches!(sim.status(), Status::Disconnected));
}

#[test]
fn s_22_heartbeats_neither_fire_nor_time_out_after_a_disconnect() {
    for before in [0, 29_999, 30_000, 44_999] {
        let mut sim = Sim::open();
        sim.advance(ms(before));
        let beats = count(&sim, "heartbeat");
        sim.disconnect(1000, "");
        sim.advance(ms(120_000));
        assert_eq!(count(&sim, "heartbeat"), beats);
        assert!(matches!(sim.status(), Status::Disconnected));
        assert_eq!(sim.dials(), [0]);
    }
}

#[test]
fn s_23_disconnect_errors_the_channels_and_a_later_connect_rejoins_them() {
    let (mut sim, room, _) = Sim::joined("room:1");
    sim.disconnect(1000, "");
    let status = sim.channel_status(room);
    assert!(
        matches!(status, ChannelStatus::Errored { cause: NotJoined::ConnectionLost(cause) }
            if matches!(**cause, ConnectError::Closed)),
        "{status:?}"
    );
    assert!(sim.ended.is_empty());
    sim.hung_up();
    sim.advance(ms(60_000));
    assert_eq!(count(&sim, "phx_join"), 0);
    sim.connect();
    sim.up();
    sim.accept(room);
    assert!(sim.channel_status(room).is_joined());
}

// S-24
#[test]
fn dev_7_closed_is_told_though_the_peer_never_ends_its_side() {
    let mut sim = Sim::open();
    sim.advance(ms(1_234));
    sim.disconnect(1000, "");
    let closed = |sim: &Sim| {
        let closed = sim.telemetry.iter().filter(|told| {
            matches!(told, Telemetry::Closed { cause, after }
                if matches!(**cause, ConnectError::Closed) && *after == ms(1_234))
        });
        closed.count()
    };
    assert_eq!(closed(&sim), 1);
    // What the old connection still brings is nobody's, and its end is told once.
    sim.receive(json!([null, null, "room:1", "shout", {}]));
    sim.receive_frame(Frame::Text("garbage".into()));
    sim.server_closes(1001);
    sim.hung_up();
    assert_eq!(closed(&sim), 1);
    assert!(matches!(sim.telemetry.last(), Some(Telemetry::Closed { .. })));
}

#[test]
fn what_was_accepted_is_flushed_and_nothing_new() {
    let (mut sim, room, join_ref) = Sim::joined("room:1");
    sim.writable = false;
    let cast = sim.cast(room, "first", json!(1));
    let push = sim.push(room, "second", json!(2));
    sim.disconnect(1000, "");
    let late = sim.cast(room, "third", json!(3));
    let Some((_, Act::Hangup { last, .. })) = sim.acts.last() else { panic!("no hangup") };
    let events: Vec<_> = last.iter().map(|message| (&message[0], &message[3])).collect();
    assert_eq!(events, [(&json!(join_ref), &json!("first")), (&json!(join_ref), &json!("second"))]);
    assert!(matches!(sim.cast_as(cast), Err(CastError::Disconnected)), "whether it gets written is not known yet");
    assert!(matches!(sim.pushed_as(push), Err(PushError::Disconnected)));
    assert!(sim.is_pending(late));
    assert_eq!(sim.core.outgoing_bytes(), 0);
}

#[test]
fn a_given_up_connection_takes_nothing_with_it() {
    let (mut sim, room, _) = Sim::joined("room:1");
    sim.writable = false;
    let (push, _) = sim.push_within(room, "shout", json!({}), ms(60_000));
    sim.advance(ms(45_000));
    // It was never written, so it is safe to send it by the next connection.
    assert!(sim.is_pending(push));
    sim.writable = true;
    sim.advance(ms(10));
    sim.up();
    sim.accept(room);
    sim.reply("shout", "ok", json!({}));
    assert!(sim.pushed_as(push).is_ok());
}

#[test]
fn a_disconnect_forgives_the_failures_before_it() {
    let mut sim = Sim::with(config());
    sim.connect();
    for _ in 0..5 {
        sim.dial_fails(broken());
        sim.advance(wait(&sim));
    }
    sim.disconnect(1000, "");
    sim.connect();
    sim.dial_fails(broken());
    assert_eq!(wait(&sim), ms(10));
}
