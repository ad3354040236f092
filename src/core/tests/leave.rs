//! Leaving: by `leave`, by the last holder's drop, by the server's close.

use serde_json::json;

use super::sim::{Act, Sim, ms};
use crate::{
    ChannelClosed,
    core::ChannelId,
    error::{CastError, JoinError, LeaveError, NotJoined, NotSent, PushError},
    status::ChannelStatus,
    telemetry::Telemetry,
};

fn closed_by(sim: &Sim, channel: ChannelId) -> ChannelClosed {
    match sim.channel_status(channel) {
        ChannelStatus::Closed { cause } => *cause,
        other => panic!("the channel is {other:?}"),
    }
}

// C-33, DEV-14
#[test]
fn c_32_leave_is_sent_under_the_present_join_and_waits_for_the_ack() {
    let (mut sim, room, join_ref) = Sim::joined("room");
    let leave = sim.leave(room);
    let sent = sim.last("phx_leave");
    assert_eq!((&sent[0], &sent[2], &sent[4]), (&json!(join_ref), &json!("room"), &json!({})));
    assert_ne!(sent[1], sent[0]);
    assert!(sim.is_pending(leave) && sim.is_leaving(room) && sim.ended.is_empty());
    sim.reply("phx_leave", "ok", json!({}));
    assert!(sim.left_as(leave).is_ok());
    assert_eq!((closed_by(&sim, room), &sim.ended), (ChannelClosed::Left, &vec![room]));
}

// DEV-14, T-5
#[test]
fn the_close_of_the_present_join_answers_a_leave() {
    let (mut sim, room, join_ref) = Sim::joined("room");
    let leave = sim.leave(room);
    sim.end("77", "room");
    assert!(sim.is_pending(leave));
    sim.end(&join_ref, "room");
    assert!(sim.left_as(leave).is_ok());
    assert_eq!(closed_by(&sim, room), ChannelClosed::Left);
}

#[test]
fn a_crash_while_leaving_answers_the_leave_and_nothing_rejoins() {
    let (mut sim, room, join_ref) = Sim::joined("room");
    let leave = sim.leave(room);
    sim.crash(&join_ref, "room");
    assert!(sim.left_as(leave).is_ok());
    sim.advance(ms(20_000));
    assert_eq!(sim.count("phx_join"), 0);
}

// C-36, T-5
#[test]
fn c_35_a_leave_not_acknowledged_closes_the_channel_at_its_timeout() {
    let (mut sim, room, _) = Sim::joined("room");
    let leave = sim.leave(room);
    sim.advance(ms(9_999));
    assert!(sim.is_pending(leave));
    sim.advance(ms(1));
    assert!(matches!(sim.left_as(leave), Err(LeaveError::Timeout)));
    assert!(sim.is_closed(room));
    assert_eq!(sim.ended, [room]);
}

#[test]
fn c_37_the_close_behind_the_ack_ends_nothing_a_second_time() {
    let (mut sim, room, join_ref) = Sim::joined("room");
    sim.leave(room);
    sim.reply("phx_leave", "ok", json!({}));
    sim.end(&join_ref, "room");
    let closes = sim.telemetry.iter().filter(|said| matches!(said, Telemetry::ChannelClosed { .. })).count();
    assert_eq!((closes, sim.ended.len()), (1, 1));
}

#[test]
fn c_34_a_leave_while_joining_waits_for_its_ack_and_ignores_the_joins_reply() {
    let mut sim = Sim::open();
    let room = sim.channel("room");
    let join = sim.join(room, json!({}));
    let leave = sim.leave(room);
    assert!(matches!(sim.joined_as(join), Err(JoinError::Left)));
    sim.accept(room);
    assert!(sim.is_leaving(room) && sim.is_pending(leave));
    sim.reply("phx_leave", "ok", json!({}));
    assert!(sim.left_as(leave).is_ok());
}

#[test]
fn a_leave_before_the_join_was_written_takes_the_join_back() {
    let mut sim = Sim::open();
    let room = sim.channel("room");
    sim.writable = false;
    let join = sim.join(room, json!({}));
    let leave = sim.leave(room);
    assert!(sim.left_as(leave).is_ok());
    assert!(matches!(sim.joined_as(join), Err(JoinError::Left)));
    sim.unblock();
    assert!(sim.written.is_empty());
}

#[test]
fn a_leave_over_a_rejoin_not_written_leaves_the_join_that_stands() {
    let (mut sim, room, join_ref) = Sim::joined("room");
    sim.writable = false;
    sim.rejoin(room);
    let leave = sim.leave(room);
    sim.unblock();
    assert_eq!(sim.count("phx_join"), 0);
    assert_eq!(sim.last("phx_leave")[0], json!(join_ref));
    sim.reply("phx_leave", "ok", json!({}));
    assert!(sim.left_as(leave).is_ok());
}

// Law 7, DEV-10.
#[test]
fn a_leave_while_offline_closes_at_once_and_nothing_is_sent_later() {
    let (mut sim, room, _) = Sim::joined("room");
    sim.break_off();
    let leave = sim.leave(room);
    assert!(sim.left_as(leave).is_ok());
    assert_eq!(closed_by(&sim, room), ChannelClosed::Left);
    sim.redial();
    assert!(sim.written.is_empty());
}

// DEV-10
#[test]
fn joins_and_leaves_asked_for_while_offline_become_what_is_wanted_on_open() {
    let mut sim = Sim::new();
    let (one, two, three) = (sim.channel("one"), sim.channel("two"), sim.channel("three"));
    for _ in 0..3 {
        sim.join(one, json!({}));
        sim.leave(one);
        sim.join(two, json!({}));
        sim.leave(two);
        sim.join(two, json!({}));
    }
    sim.join(three, json!({}));
    sim.connect();
    sim.up();
    let topics: Vec<_> = sim.written.iter().map(|(_, message)| message[2].as_str().unwrap()).collect();
    assert_eq!(topics, ["two", "three"]);
    assert_eq!(sim.count("phx_join"), 2);
}

#[test]
fn a_break_while_leaving_ends_the_leave_and_nothing_rejoins() {
    let (mut sim, room, _) = Sim::joined("room");
    let leave = sim.leave(room);
    sim.break_off();
    assert!(matches!(sim.left_as(leave), Err(LeaveError::Disconnected)));
    assert!(sim.is_closed(room));
    sim.written.clear();
    sim.redial();
    assert!(sim.written.is_empty());
}

#[test]
fn a_leave_in_every_state_at_rest_closes_at_once() {
    let mut sim = Sim::open();
    let (idle, refused, crashed) = (sim.channel("idle"), sim.channel("refused"), sim.channel("crashed"));
    sim.join(refused, json!({}));
    sim.reply("phx_join", "error", json!({}));
    sim.join(crashed, json!({}));
    sim.reply("phx_join", "error", json!({ "reason": "join crashed" }));
    for room in [idle, refused, crashed] {
        let leave = sim.leave(room);
        assert!(sim.left_as(leave).is_ok());
        assert_eq!(closed_by(&sim, room), ChannelClosed::Left);
    }
    sim.advance(ms(20_000));
    assert_eq!((sim.count("phx_leave"), sim.count("phx_join")), (0, 2));
    let unknown = sim.leave(99);
    assert!(sim.left_as(unknown).is_ok());
}

#[test]
fn two_leaves_share_one_frame_and_one_ack() {
    let (mut sim, room, _) = Sim::joined("room");
    let leaves = [sim.leave(room), sim.leave(room)];
    assert_eq!(sim.count("phx_leave"), 1);
    sim.reply("phx_leave", "ok", json!({}));
    assert!(leaves.iter().all(|leave| sim.left_as(*leave).is_ok()));
}

#[test]
fn a_leave_on_a_closed_socket_keeps_it_closed_to_joins() {
    let (mut sim, room, _) = Sim::joined("room");
    sim.close();
    let leave = sim.leave(room);
    assert!(sim.left_as(leave).is_ok());
    let join = sim.join(room, json!({}));
    assert!(matches!(sim.joined_as(join), Err(JoinError::Closed)));
}

// C-38, T-5
#[test]
fn a_join_while_leaving_starts_afresh_behind_the_ack() {
    let (mut sim, room, old) = Sim::joined("room");
    let leave = sim.leave(room);
    let join = sim.join(room, json!({ "n": 2 }));
    let push = sim.push(room, "shout", json!({}));
    assert_eq!(sim.count("phx_join"), 0);
    sim.reply("phx_leave", "ok", json!({}));
    assert!(sim.left_as(leave).is_ok() && sim.is_joining(room));
    assert_eq!(sim.ended, [room]);
    let fresh = sim.accept(room);
    assert_ne!(fresh, old);
    assert!(sim.joined_as(join).is_ok());
    sim.reply("shout", "ok", json!({}));
    assert!(sim.pushed_as(push).is_ok());
}

#[test]
fn a_join_while_leaving_also_follows_a_leave_that_timed_out() {
    let (mut sim, room, old) = Sim::joined("room");
    sim.leave(room);
    sim.advance(ms(9_000));
    let join = sim.join(room, json!({}));
    sim.advance(ms(1_000));
    sim.accept(room);
    assert!(sim.joined_as(join).is_ok());
    sim.end(&old, "room");
    assert!(sim.is_joined(room));
}

#[test]
fn c_8_while_leaving_not_even_a_forced_rejoin_is_written() {
    let (mut sim, room, _) = Sim::joined("room");
    sim.leave(room);
    let rejoin = sim.rejoin(room);
    sim.advance(ms(5_000));
    assert!(sim.is_leaving(room) && sim.is_pending(rejoin));
    assert_eq!(sim.count("phx_join"), 0);
}

#[test]
fn a_join_while_leaving_outlives_a_break() {
    let (mut sim, room, _) = Sim::joined("room");
    sim.leave(room);
    let join = sim.join(room, json!({}));
    sim.reconnect();
    sim.accept(room);
    assert!(sim.joined_as(join).is_ok());
}

#[test]
fn a_second_leave_takes_back_the_join_asked_for_meanwhile() {
    let (mut sim, room, _) = Sim::joined("room");
    let first = sim.leave(room);
    let join = sim.join(room, json!({}));
    let push = sim.push(room, "shout", json!({}));
    let second = sim.leave(room);
    assert!(matches!(sim.joined_as(join), Err(JoinError::Left)));
    assert!(matches!(sim.pushed_as(push), Err(PushError::NotSent(NotSent::Left))));
    sim.reply("phx_leave", "ok", json!({}));
    assert!(sim.left_as(first).is_ok() && sim.left_as(second).is_ok());
    assert!(sim.is_closed(room));
    assert_eq!(sim.count("phx_join"), 0);
}

// C-38, T-20
#[test]
fn a_join_after_a_leave_starts_afresh_on_the_same_channel() {
    let (mut sim, room, old) = Sim::joined("room");
    sim.leave(room);
    sim.reply("phx_leave", "ok", json!({}));
    let join = sim.join(room, json!({}));
    let fresh = sim.accept(room);
    assert_ne!(fresh, old);
    assert!(sim.joined_as(join).is_ok());
}

// Q-9, DEV-12
#[test]
fn a_leave_settles_every_push_at_once() {
    let (mut sim, room, _) = Sim::joined("room");
    let sent = sim.push(room, "sent", json!({}));
    sim.writable = false;
    let queued = sim.push(room, "queued", json!({}));
    let cast = sim.cast(room, "cast", json!({}));
    sim.leave(room);
    assert!(matches!(sim.pushed_as(sent), Err(PushError::Disconnected)));
    assert!(matches!(sim.pushed_as(queued), Err(PushError::NotSent(NotSent::Left))));
    assert!(matches!(sim.cast_as(cast), Err(CastError::NotSent(NotSent::Left))));
    sim.unblock();
    assert_eq!(sim.events(), ["sent", "phx_leave"]);
}

#[test]
fn a_push_while_leaving_or_after_it_is_not_sent() {
    let (mut sim, room, _) = Sim::joined("room");
    sim.leave(room);
    let leaving = sim.push(room, "shout", json!({}));
    sim.reply("phx_leave", "ok", json!({}));
    let left = sim.push(room, "shout", json!({}));
    for push in [leaving, left] {
        assert!(matches!(sim.pushed_as(push), Err(PushError::NotSent(NotSent::Left))));
    }
}

// C-26, E-8, T-6
#[test]
fn c_26_a_close_by_the_server_ends_the_streams_and_is_not_rejoined() {
    let (mut sim, room, join_ref) = Sim::joined("room");
    let push = sim.push(room, "shout", json!({}));
    sim.end(&join_ref, "room");
    assert_eq!((closed_by(&sim, room), &sim.ended), (ChannelClosed::Server, &vec![room]));
    assert!(matches!(sim.pushed_as(push), Err(PushError::Disconnected)));
    let late = sim.push(room, "shout", json!({}));
    assert!(matches!(sim.pushed_as(late), Err(PushError::NotSent(NotSent::Closed))));
    sim.written.clear();
    sim.reconnect();
    sim.advance(ms(20_000));
    assert_eq!(sim.count("phx_join"), 0);
    let join = sim.join(room, json!({}));
    sim.accept(room);
    assert!(sim.joined_as(join).is_ok());
}

#[test]
fn a_close_by_the_server_while_joining_ends_the_join() {
    let mut sim = Sim::open();
    let room = sim.channel("room");
    let join = sim.join(room, json!({}));
    let push = sim.push(room, "shout", json!({}));
    let join_ref = sim.last("phx_join")[0].clone();
    sim.end(join_ref.as_str().unwrap(), "room");
    assert!(matches!(sim.joined_as(join), Err(JoinError::Closed)));
    assert!(matches!(sim.pushed_as(push), Err(PushError::NotSent(NotSent::Closed))));
    assert_eq!(closed_by(&sim, room), ChannelClosed::Server);
}

// E-8: crashes and losses end no stream.
#[test]
fn e_8_streams_end_by_leave_and_close_alone() {
    let (mut sim, room, join_ref) = Sim::joined("room");
    sim.crash(&join_ref, "room");
    sim.advance(ms(1_000));
    sim.accept(room);
    sim.reconnect();
    sim.disconnect(1000, "");
    assert!(sim.ended.is_empty());
    assert!(matches!(sim.errored(room), NotJoined::ConnectionLost(_)));
    sim.close();
    assert_eq!(sim.ended, [room]);
}

// T-18
#[test]
fn closing_the_socket_settles_all_that_waits_on_its_channels() {
    let (mut sim, room, _) = Sim::joined("room");
    let sent = sim.push(room, "shout", json!({}));
    let other = sim.channel("other");
    let join = sim.join(other, json!({}));
    let waiting = sim.push(other, "shout", json!({}));
    let third = sim.channel("third");
    sim.join(third, json!({}));
    sim.accept(third);
    let leave = sim.leave(third);
    let close = sim.close();
    assert!(matches!(sim.pushed_as(sent), Err(PushError::Disconnected)));
    assert!(matches!(sim.joined_as(join), Err(JoinError::Closed)));
    assert!(matches!(sim.pushed_as(waiting), Err(PushError::NotSent(NotSent::Closed))));
    assert!(matches!(sim.left_as(leave), Err(LeaveError::Disconnected)));
    assert!([room, other, third].iter().all(|channel| closed_by(&sim, *channel) == ChannelClosed::Socket));
    sim.hung_up();
    assert!(!sim.is_pending(close));
    let held = sim.core.holdings();
    assert_eq!((held.callers, held.pending_pushes, held.timers, held.outgoing_bytes), (0, 0, 0, 0));
}

#[test]
fn what_was_accepted_is_flushed_before_a_disconnect() {
    let (mut sim, room, _) = Sim::joined("room");
    sim.writable = false;
    let cast = sim.cast(room, "bye", json!({}));
    sim.disconnect(4000, "lunch");
    // Whether the goodbye gets it written is not known yet.
    assert!(matches!(sim.cast_as(cast), Err(CastError::Disconnected)));
    let Some((_, Act::Hangup { last, .. })) = sim.acts.last() else { panic!() };
    assert_eq!(last[0][3], "bye");
}
