//! What is given up leaves nothing, what has lasted is forgiven, and every join has an outcome.

use serde_json::json;

use super::{
    given::{broken, count, next_dial, open},
    sim::{Sim, config, ms},
};
use crate::{
    core::{Command, Config},
    error::NotJoined,
    policy::{Policy, Retry},
    status::ChannelStatus,
};

fn crash(sim: &mut Sim) {
    sim.reply("phx_join", "error", json!({ "reason": "join crashed" }));
}

// T-6, C-20: "anew after 10 s joined", also where it was a `rejoin` that ended that.
#[test]
fn t_6_after_an_hour_joined_a_rejoin_by_hand_that_fails_waits_the_first_step() {
    let mut sim = open(Config { heartbeat: None, ..config() });
    let room = sim.channel("room:1");
    sim.join(room, json!({}));
    for step in [1_000, 2_000, 5_000] {
        crash(&mut sim);
        sim.advance(ms(step));
    }
    sim.accept(room);
    sim.advance(ms(3_600_000));
    assert!(sim.channel_status(room).is_joined());
    sim.written.clear();
    sim.rejoin(room);
    crash(&mut sim);
    sim.written.clear();
    sim.advance(ms(1_000));
    assert_eq!(count(&sim, "phx_join"), 1, "it waits as after many failures in a row");
}

// T-6, C-20: the same with a limit, which gives a healthy channel up at its first failure.
#[test]
fn t_6_after_an_hour_joined_a_rejoin_by_hand_that_fails_is_not_the_last() {
    let base = config();
    let mut sim = open(Config { rejoin: base.rejoin.clone().limit(2), ..base });
    let room = sim.channel("room:1");
    sim.join(room, json!({}));
    for step in [1_000, 2_000] {
        crash(&mut sim);
        sim.advance(ms(step));
    }
    sim.accept(room);
    sim.advance(ms(20_000));
    sim.rejoin(room);
    crash(&mut sim);
    let ChannelStatus::Errored { cause } = sim.channel_status(room) else { panic!() };
    assert!(matches!(cause, NotJoined::Crashed(_)), "{cause}");
}

// M-4: "the ref of the latest *sent* join". Until the new one is written the server knows only the old one.
#[test]
fn m_4_what_comes_of_the_present_join_while_a_rejoin_waits_to_be_written_is_delivered() {
    let (mut sim, room, old) = Sim::joined("room:1");
    sim.writable = false;
    sim.rejoin(room);
    sim.receive(json!([old, null, "room:1", "mine", 1]));
    sim.receive(json!([null, null, "room:1", "everybody's", 2]));
    let events: Vec<_> = sim.delivered.iter().map(|(_, event, _)| &**event).collect();
    assert_eq!(events, ["mine", "everybody's"]);
}

// M-4, C-26: nor does it survive that the server closes it meanwhile.
#[test]
fn m_4_a_close_of_the_present_join_while_a_rejoin_waits_to_be_written_is_heard() {
    let (mut sim, room, old) = Sim::joined("room:1");
    sim.writable = false;
    sim.rejoin(room);
    sim.receive(json!([old, old, "room:1", "phx_close", {}]));
    assert!(sim.channel_status(room).is_closed(), "{:?}", sim.channel_status(room));
}

// `joins`: "how each join of the channel comes out, .. or why there is none".
#[test]
fn c_10_a_join_that_the_server_ends_by_a_crash_has_an_outcome() {
    let mut sim = Sim::open();
    let room = sim.channel("room:1");
    sim.join(room, json!({}));
    let join_ref = sim.last("phx_join")[0].clone();
    sim.receive(json!([join_ref, join_ref, "room:1", "phx_error", {}]));
    assert_eq!(sim.outcomes.len(), 1);
}

#[test]
fn c_10_a_join_that_the_server_ends_by_a_close_has_an_outcome() {
    let mut sim = Sim::open();
    let room = sim.channel("room:1");
    sim.join(room, json!({}));
    let join_ref = sim.last("phx_join")[0].clone();
    sim.receive(json!([join_ref, join_ref, "room:1", "phx_close", {}]));
    assert!(sim.channel_status(room).is_closed());
    assert_eq!(sim.outcomes.len(), 1);
}

#[test]
fn c_10_a_join_that_the_connection_took_along_has_an_outcome() {
    let mut sim = Sim::open();
    let room = sim.channel("room:1");
    sim.join(room, json!({}));
    sim.lost(broken());
    assert_eq!(sim.outcomes.len(), 1);
}

// T-19: what was given up is not kept, behind a blocked write either.
#[test]
fn t_19_pings_given_up_behind_a_blocked_write_leave_nothing() {
    let mut sim = Sim::open();
    sim.writable = false;
    for _ in 0..100_000 {
        let (_, id) = sim.ping(ms(10_000));
        sim.command(Command::Cancel { channel: None, id });
    }
    let held = sim.core.holdings();
    assert_eq!((held.callers, held.timers), (0, 1));
    assert!(held.outgoing_bytes < 64 << 10, "{} bytes of pings that nobody waits for", held.outgoing_bytes);
}

// T-19: what was given up does not count as on its way.
#[test]
fn t_19_pushes_given_up_behind_a_blocked_write_leave_nothing() {
    let (mut sim, room, _) = Sim::joined("room:1");
    sim.writable = false;
    let (_, id) = sim.push_within(room, "big", json!("x".repeat(1 << 20)), ms(10_000));
    sim.cancel(room, id);
    assert_eq!(sim.core.holdings().pending_pushes, 0);
    assert_eq!(sim.core.outgoing_bytes(), 0, "the driver takes no other push while these count");
}

#[test]
fn t_19_joins_and_leaves_behind_a_blocked_write_leave_nothing() {
    let mut sim = Sim::open();
    sim.writable = false;
    let room = sim.channel("room:1");
    for _ in 0..10_000 {
        sim.join(room, json!({}));
        sim.leave(room);
    }
    assert!(sim.core.outgoing_bytes() < 64 << 10, "{} bytes", sim.core.outgoing_bytes());
}

// `Retry::NoSooner`: "no sooner than after this".
#[test]
fn no_sooner_holds_over_a_reconnect() {
    let policy = Policy::new(|cause: &NotJoined, usual| match cause {
        NotJoined::Refused(_) => Retry::NoSooner(ms(60_000)),
        _ => usual,
    });
    let mut sim = open(Config { rejoin_policy: policy, ..config() });
    let room = sim.channel("room:1");
    sim.join(room, json!({}));
    sim.reply("phx_join", "error", json!({ "reason": "come back in a minute" }));
    sim.written.clear();
    sim.lost(broken());
    next_dial(&mut sim);
    sim.up();
    assert_eq!(count(&sim, "phx_join"), 0, "a few ms later");
}
