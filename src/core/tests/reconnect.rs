//! When the socket tries again: the schedule, what resets it, what stretches it.

use std::collections::BTreeSet;

use serde_json::json;

use super::{
    given::{broken, gaps, next_dial, numbers, open, refused, vectors, wait},
    sim::{Sim, config, ms},
};
use crate::{
    backoff::Backoff,
    core::Config,
    error::{ConnectError, JoinError, NotJoined},
    status::{ChannelStatus, Status},
};

/// Opens, lives so long, dies; `times` times. The waits before the dials.
fn open_then_die(sim: &mut Sim, times: usize, live: impl Fn(&mut Sim)) -> Vec<u128> {
    let mut waits = Vec::new();
    sim.connect();
    for _ in 0..times {
        sim.up();
        live(sim);
        sim.lost(ConnectError::Ended);
        waits.push(wait(sim).as_millis());
        next_dial(sim);
    }
    waits
}

#[test]
fn s_12_reconnects_after_every_code_but_1000_at_once() {
    let vectors = vectors();
    let codes = vectors["close_code_reconnect"].as_object().unwrap();
    let others: Vec<u16> = codes.keys().map(|code| code.parse().unwrap()).filter(|code| *code != 1000).collect();
    assert_eq!(others.len(), 9);
    for code in others {
        let (mut sim, room, _) = Sim::joined("room:1");
        sim.server_closes(code);
        let status = sim.channel_status(room);
        assert!(
            matches!(status, ChannelStatus::Errored { cause: NotJoined::ConnectionLost(cause) }
                if matches!(**cause, ConnectError::ClosedByServer { code: told, .. } if told == code)),
            "{status:?}"
        );
        sim.advance(ms(10));
        assert_eq!(sim.dials(), [0, 10], "{code}");
        sim.up();
        sim.accept(room);
        assert!(sim.channel_status(room).is_joined());
    }
}

// S-11, S-16, T-23
#[test]
fn dev_24_a_close_with_1000_is_tried_again_after_one_second() {
    let (mut sim, room, _) = Sim::joined("room:1");
    sim.server_closes(1000);
    sim.advance(ms(999));
    assert_eq!(sim.dials(), [0]);
    sim.advance(ms(1));
    assert_eq!(sim.dials(), [0, 1_000]);
    sim.up();
    sim.accept(room);
    assert!(sim.channel_status(room).is_joined());
}

#[test]
fn dev_24_closes_with_1000_follow_the_schedule_where_it_is_longer() {
    let mut sim = Sim::new();
    sim.connect();
    let mut waits = Vec::new();
    for _ in 0..11 {
        sim.up();
        sim.server_closes(1000);
        waits.push(wait(&sim).as_millis());
        next_dial(&mut sim);
    }
    assert_eq!(waits, [1_000, 1_000, 1_000, 1_000, 1_000, 1_000, 1_000, 1_000, 2_000, 5_000, 5_000]);
}

#[test]
fn dev_24_jitter_never_undercuts_the_second() {
    for seed in 0..50 {
        let mut sim = open(Config { seed, ..Config::default() });
        sim.server_closes(1000);
        assert!(wait(&sim) >= ms(1_000));
    }
}

#[test]
fn s_32_waits_between_failures_are_the_recorded_ones() {
    let mut sim = Sim::new();
    sim.connect();
    for _ in 0..12 {
        sim.dial_fails(broken());
        next_dial(&mut sim);
    }
    assert_eq!(gaps(&sim), numbers(&vectors()["backoff"]["reconnect_ms_by_try_1_to_12"]));
}

#[test]
fn s_33_the_schedule_is_the_users_and_counts_tries_from_one() {
    let steps = Backoff::steps([ms(111), ms(222)]).jitter(false);
    let mut sim = Sim::with(Config { reconnect: steps, ..config() });
    sim.connect();
    for _ in 0..4 {
        sim.dial_fails(broken());
        next_dial(&mut sim);
    }
    assert_eq!(gaps(&sim), [111, 222, 222, 222]);

    let doubling = Backoff::exponential(ms(100), ms(1_000)).jitter(false);
    let mut sim = Sim::with(Config { reconnect: doubling, ..config() });
    sim.connect();
    for _ in 0..40 {
        sim.dial_fails(broken());
        next_dial(&mut sim);
    }
    assert_eq!(gaps(&sim)[..5], [100, 200, 400, 800, 1_000]);
    assert!(gaps(&sim)[5..].iter().all(|gap| *gap == 1_000));
}

#[test]
fn s_30_attempts_count_up_and_a_disconnect_sets_them_back() {
    let mut sim = Sim::new();
    sim.connect();
    for _ in 0..3 {
        sim.dial_fails(broken());
        assert!(matches!(sim.status(), Status::Waiting { .. }));
        next_dial(&mut sim);
    }
    let attempts = |sim: &Sim| -> Vec<u32> {
        let attempt = |status: &Status| match status {
            Status::Connecting { attempt } => Some(*attempt),
            _ => None,
        };
        sim.statuses.iter().filter_map(attempt).collect()
    };
    assert_eq!(attempts(&sim), [1, 2, 3, 4]);

    sim.dial_fails(broken());
    sim.disconnect(1000, "");
    sim.connect();
    assert_eq!(attempts(&sim).last(), Some(&1));
    sim.dial_fails(broken());
    assert_eq!(wait(&sim), ms(10));
}

#[test]
fn s_30_one_wait_is_pending_and_it_dials_once() {
    let mut sim = open(config());
    sim.lost(broken());
    sim.lost(broken());
    sim.connect();
    sim.advance(ms(9_000));
    assert_eq!(sim.dials(), [0, 10]);
}

// S-9, T-6, T-23
#[test]
fn dev_6_a_connection_that_opens_and_dies_is_tried_ever_more_slowly() {
    let mut sim = Sim::new();
    // Where phoenix.js was seen to try every 10 ms.
    assert_eq!(open_then_die(&mut sim, 5, |_| {}), [10, 50, 100, 150, 200]);
}

#[test]
fn dev_6_ten_seconds_open_set_the_tries_back_and_less_does_not() {
    let mut sim = Sim::new();
    assert_eq!(open_then_die(&mut sim, 4, |sim| sim.advance(ms(9_999))), [10, 50, 100, 150]);
    let mut sim = Sim::new();
    assert_eq!(open_then_die(&mut sim, 4, |sim| sim.advance(ms(10_000))), [10, 10, 10, 10]);
}

#[test]
fn dev_6_a_heartbeat_ack_sets_the_tries_back_and_a_heartbeat_alone_does_not() {
    let quick = Config { heartbeat: Some(ms(1_000)), ..config() };
    let mut sim = Sim::with(quick.clone());
    assert_eq!(open_then_die(&mut sim, 3, |sim| sim.advance(ms(1_500))), [10, 50, 100]);
    let mut sim = Sim::with(quick);
    let acked = |sim: &mut Sim| {
        sim.advance(ms(1_000));
        sim.reply("heartbeat", "ok", json!({}));
    };
    assert_eq!(open_then_die(&mut sim, 3, acked), [10, 10, 10]);
}

#[test]
fn dev_6_an_accepted_join_does_not_set_the_tries_back() {
    let mut sim = Sim::new();
    let room = sim.channel("room:1");
    sim.join(room, json!({}));
    assert_eq!(open_then_die(&mut sim, 3, |sim| drop(sim.accept(room))), [10, 50, 100]);
}

#[test]
fn t_23_jitter_shortens_the_step_by_up_to_a_half() {
    let mut random = fastrand::Rng::with_seed(7);
    let mut sim = Sim::with(Config { seed: 7, ..Config::default() });
    sim.connect();
    for step in [10, 50, 100, 150, 200, 250, 500, 1_000, 2_000, 5_000, 5_000] {
        sim.dial_fails(broken());
        assert_eq!(wait(&sim), ms(step).mul_f64(1.0 - random.f64() / 2.0));
        assert!(ms(step) / 2 < wait(&sim) && wait(&sim) <= ms(step));
        next_dial(&mut sim);
    }
}

#[test]
fn the_same_seed_waits_the_same() {
    let waits = |seed| {
        let mut sim = Sim::with(Config { seed, ..Config::default() });
        sim.connect();
        for _ in 0..10 {
            sim.dial_fails(broken());
            next_dial(&mut sim);
        }
        sim.dials()
    };
    assert_eq!(waits(3), waits(3));
    assert_ne!(waits(3), waits(4));
}

#[test]
fn n_7_clients_of_a_drained_server_do_not_come_back_at_one_instant() {
    let came_back = |seed| {
        let mut sim = open(Config { seed, ..Config::default() });
        sim.server_closes(1012);
        next_dial(&mut sim);
        sim.now
    };
    let instants: BTreeSet<_> = (0..1_000).map(came_back).collect();
    assert!(instants.len() > 950, "{}", instants.len());
    assert!(instants.iter().all(|at| ms(5) < at.0 && at.0 <= ms(10)));
}

#[test]
fn no_schedule_is_a_busy_loop() {
    for schedule in [Backoff::steps([ms(0)]), Backoff::exponential(ms(0), ms(0))] {
        for jitter in [false, true] {
            let mut sim = Sim::with(Config { reconnect: schedule.clone().jitter(jitter), ..config() });
            sim.connect();
            for _ in 0..20 {
                sim.dial_fails(broken());
                assert!(!wait(&sim).is_zero());
                next_dial(&mut sim);
            }
        }
    }
}

#[test]
fn a_join_that_waits_through_failures_is_sent_once_it_is_open() {
    let mut sim = Sim::new();
    let room = sim.channel("room:1");
    let join = sim.join(room, json!({}));
    let impatient = sim.join_within(room, json!({}), ms(5));
    sim.connect();
    sim.dial_fails(refused(500));
    next_dial(&mut sim);
    assert!(matches!(sim.joined_as(impatient), Err(JoinError::Timeout)));
    sim.up();
    sim.accept(room);
    assert!(sim.joined_as(join).is_ok());
}
