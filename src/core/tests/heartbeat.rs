//! The heartbeat: when it is written, what answers it, what its silence does.

use serde_json::json;

use super::{
    given::{broken, count, open},
    sim::{Act, Sim, config, ms},
};
use crate::{
    core::Config,
    error::{ConnectError, NotJoined},
    status::{ChannelStatus, Status},
    telemetry::Telemetry,
};

fn ack(sim: &mut Sim) {
    sim.reply("heartbeat", "ok", json!({}));
}

/// When heartbeats were written.
fn beats(sim: &Sim) -> Vec<u128> {
    sim.written.iter().filter(|(_, message)| message[3] == "heartbeat").map(|(at, _)| *at).collect()
}

/// When the connection was given up.
fn given_up(sim: &Sim) -> Vec<u128> {
    let hangup = |(at, act): &(u128, Act)| matches!(act, Act::Hangup { .. }).then_some(*at);
    sim.acts.iter().filter_map(hangup).collect()
}

#[test]
fn dev_8_a_silent_server_is_given_up_15_s_after_the_heartbeat_was_due() {
    let mut sim = Sim::open();
    sim.advance(ms(44_999));
    assert!(sim.status().is_connected());
    sim.advance(ms(1));
    assert_eq!((beats(&sim), given_up(&sim)), (vec![30_000], vec![45_000]));
}

#[test]
fn h_3_interval_and_timeout_are_apart() {
    let mut sim = open(Config { heartbeat: Some(ms(5_000)), heartbeat_timeout: ms(2_000), ..config() });
    sim.advance(ms(7_000));
    assert_eq!((beats(&sim), given_up(&sim)), (vec![5_000], vec![7_000]));

    // The timeout may be the longer one: one heartbeat is pending at a time.
    let mut sim = open(Config { heartbeat: Some(ms(2_000)), heartbeat_timeout: ms(5_000), ..config() });
    sim.advance(ms(7_000));
    assert_eq!((beats(&sim), given_up(&sim)), (vec![2_000], vec![7_000]));
}

#[test]
fn h_4_any_message_with_the_pending_ref_is_the_ack() {
    for (topic, event, payload) in [
        ("phoenix", "phx_reply", json!({ "status": "error", "response": {} })),
        ("elsewhere", "whatever", json!(null)),
        ("phoenix", "heartbeat", json!("not even an object")),
    ] {
        let mut sim = Sim::open();
        sim.advance(ms(30_000));
        let reference = sim.last("heartbeat")[1].clone();
        sim.receive(json!([null, reference, topic, event, payload]));
        sim.advance(ms(15_000));
        assert!(sim.status().is_connected(), "{topic} {event}");
    }
}

#[test]
fn h_4_other_refs_are_no_ack() {
    let mut sim = Sim::open();
    sim.advance(ms(30_000));
    let pending: u64 = sim.last("heartbeat")[1].as_str().unwrap().parse().unwrap();
    for other in [json!(null), json!((pending - 1).to_string()), json!((pending + 1).to_string()), json!("x")] {
        sim.receive(json!([null, other, "phoenix", "phx_reply", { "status": "ok", "response": {} }]));
    }
    sim.advance(ms(15_000));
    assert_eq!(given_up(&sim), [45_000]);
}

#[test]
fn n_5_the_servers_own_answer_is_the_ack() {
    let mut sim = Sim::open();
    sim.advance(ms(30_000));
    let reference = sim.last("heartbeat")[1].clone();
    sim.advance(ms(120));
    sim.receive(json!([null, reference, "phoenix", "phx_reply", { "status": "ok", "response": {} }]));
    assert!(matches!(sim.telemetry.last(), Some(Telemetry::Heartbeat { round_trip }) if *round_trip == ms(120)));
}

#[test]
fn h_5_the_next_heartbeat_is_due_a_full_interval_after_the_ack() {
    let mut sim = Sim::open();
    sim.advance(ms(32_500));
    ack(&mut sim);
    sim.advance(ms(29_999));
    assert_eq!(beats(&sim), [30_000]);
    sim.advance(ms(1));
    assert_eq!(beats(&sim), [30_000, 62_500]);
    // The first one's deadline is gone, the second has its own.
    sim.advance(ms(14_999));
    assert!(sim.status().is_connected());
    sim.advance(ms(1));
    assert_eq!(given_up(&sim), [77_500]);
}

#[test]
fn a_second_ack_of_the_same_heartbeat_changes_nothing() {
    let mut sim = Sim::open();
    sim.advance(ms(30_000));
    ack(&mut sim);
    sim.advance(ms(20_000));
    ack(&mut sim);
    sim.advance(ms(10_000));
    assert_eq!(beats(&sim), [30_000, 60_000]);
    assert_eq!(sim.telemetry.iter().filter(|told| matches!(told, Telemetry::Heartbeat { .. })).count(), 1);
}

#[test]
fn h_6_traffic_neither_postpones_a_heartbeat_nor_stands_in_for_its_ack() {
    let (mut sim, room, _) = Sim::joined("room:1");
    for second in 0..45 {
        sim.cast(room, "shout", json!(second));
        sim.receive(json!([null, null, "room:1", "shout", second]));
        sim.advance(ms(1_000));
    }
    assert_eq!((beats(&sim), given_up(&sim)), (vec![30_000], vec![45_000]));
    assert_eq!(sim.delivered.len(), 45);
}

#[test]
fn h_7_a_timeout_errors_the_channels_hangs_up_and_reconnects() {
    let (mut sim, room, _) = Sim::joined("room:1");
    sim.advance(ms(45_000));
    let status = sim.channel_status(room);
    assert!(
        matches!(status, ChannelStatus::Errored { cause: NotJoined::ConnectionLost(cause) }
            if matches!(**cause, ConnectError::HeartbeatTimeout)),
        "{status:?}"
    );
    let hangup = Act::Hangup { last: vec![], code: 1000, reason: "heartbeat timeout".into() };
    assert_eq!(sim.acts.last(), Some(&(45_000, hangup)));
    // Whether or not the old connection ever ends, and though its code is 1000.
    sim.advance(ms(10));
    assert_eq!(sim.dials(), [0, 45_010]);
    sim.up();
    sim.accept(room);
    assert!(sim.channel_status(room).is_joined());
}

#[test]
fn h_7_the_end_of_the_given_up_connection_leaves_the_new_one_alone() {
    let mut sim = Sim::open();
    sim.advance(ms(45_010));
    sim.up();
    sim.hung_up();
    assert!(sim.status().is_connected());
    sim.advance(ms(30_000));
    assert_eq!(beats(&sim), [30_000, 75_010]);
}

#[test]
fn h_9_a_heartbeat_pending_on_the_old_connection_is_no_matter_of_the_new() {
    let mut sim = Sim::open();
    sim.advance(ms(40_000));
    let old = sim.last("heartbeat")[1].clone();
    sim.lost(broken());
    sim.advance(ms(10));
    sim.up();
    sim.advance(ms(29_999));
    assert_eq!((beats(&sim), given_up(&sim)), (vec![30_000], vec![]));
    sim.advance(ms(1));
    assert_eq!(beats(&sim), [30_000, 70_010]);
    // Nor does its late ack count.
    sim.receive(json!([null, old, "phoenix", "phx_reply", { "status": "ok", "response": {} }]));
    sim.advance(ms(15_000));
    assert_eq!(given_up(&sim), [85_010]);
}

#[test]
fn h_11_a_heartbeat_that_could_not_be_written_is_not_kept_for_the_next_connection() {
    let mut sim = Sim::open();
    sim.writable = false;
    sim.advance(ms(31_000));
    assert!(sim.core.has_outgoing());
    sim.lost(broken());
    sim.writable = true;
    sim.advance(ms(10));
    sim.up();
    assert_eq!(beats(&sim), [] as [u128; 0]);
    sim.advance(ms(30_000));
    assert_eq!(beats(&sim), [61_010]);
}

#[test]
fn none_is_due_while_there_is_no_connection() {
    let mut sim = Sim::open();
    sim.lost(broken());
    sim.advance(ms(10_010));
    sim.dial_fails(broken());
    sim.disconnect(1000, "");
    sim.advance(ms(600_000));
    assert_eq!(beats(&sim), [] as [u128; 0]);
}

#[test]
fn t_12_a_blocked_write_does_not_hold_up_the_deadline() {
    let (mut sim, room, _) = Sim::joined("room:1");
    sim.writable = false;
    for number in 0..10_000 {
        sim.cast(room, "shout", json!(number));
    }
    sim.advance(ms(44_999));
    assert!(sim.status().is_connected());
    sim.advance(ms(1));
    assert!(matches!(sim.status(), Status::Waiting { cause, .. } if matches!(**cause, ConnectError::HeartbeatTimeout)));
}

#[test]
fn t_12_a_flood_of_commands_does_not_hold_up_a_heartbeat() {
    let (mut sim, room, _) = Sim::joined("room:1");
    for number in 0..3_000 {
        sim.cast(room, "shout", json!(number));
        sim.connect();
        sim.advance(ms(10));
    }
    assert_eq!(beats(&sim), [30_000]);
}

#[test]
fn a_heartbeat_that_is_not_written_yet_cannot_be_answered() {
    let mut sim = Sim::open();
    sim.writable = false;
    sim.advance(ms(30_000));
    for guess in 0..20 {
        sim.receive(json!([null, guess.to_string(), "phoenix", "phx_reply", { "status": "ok", "response": {} }]));
    }
    sim.advance(ms(15_000));
    assert_eq!(given_up(&sim), [45_000]);
}

#[test]
fn n_4_the_longest_silence_of_a_healthy_socket_is_less_than_the_servers_60_s() {
    let mut sim = Sim::open();
    for _ in 0..20 {
        sim.advance(ms(30_000));
        // The slowest server that is still taken for alive.
        sim.advance(ms(14_999));
        ack(&mut sim);
    }
    let beats = beats(&sim);
    assert_eq!(beats.len(), 20);
    assert!(beats.windows(2).all(|pair| pair[1] - pair[0] < 60_000));
    assert!(sim.status().is_connected());
}

#[test]
fn turned_off_there_is_none() {
    let mut sim = open(Config { heartbeat: None, ..config() });
    sim.advance(ms(600_000));
    assert_eq!(count(&sim, "heartbeat"), 0);
    assert!(sim.status().is_connected());
    assert_eq!(sim.core.holdings().timers, 0);
}
