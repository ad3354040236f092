//! Pings and the latency, by hand-moved instants.

use serde_json::{Value, json};

use super::{
    given::broken,
    sim::{Sim, ms},
};
use crate::{core::Command, status::Status, telemetry::Telemetry};

fn pong(sim: &mut Sim, reference: &Value) {
    sim.receive(json!([null, reference, "phoenix", "phx_reply", { "response": {}, "status": "ok" }]));
}

// H-12, H-2, F-12
#[test]
fn h_12_a_ping_is_a_heartbeat_of_its_own_ref_and_tells_the_round_trip() {
    let mut sim = Sim::open();
    let (one, _) = sim.ping(ms(10_000));
    let (two, _) = sim.ping(ms(10_000));
    let sent: Vec<_> = sim.written.iter().map(|(_, message)| message.clone()).collect();
    assert_eq!(sent.len(), 2);
    for message in &sent {
        assert_eq!(
            (&message[0], &message[2], &message[3], &message[4]),
            (&json!(null), &json!("phoenix"), &json!("heartbeat"), &json!({}))
        );
    }
    assert_ne!(sent[0][1], sent[1][1]);
    sim.advance(ms(70));
    pong(&mut sim, &sent[1][1]);
    assert_eq!(sim.pinged_as(two), Ok(ms(70)));
    assert!(sim.is_pending(one));
    sim.advance(ms(5));
    // Whatever message repeats its ref (H-4).
    sim.receive(json!([null, sent[0][1], "elsewhere", "anything", 1]));
    assert_eq!(sim.pinged_as(one), Ok(ms(75)));
    assert_eq!(sim.latencies, [Some(ms(70)), Some(ms(75))]);
    // It stands beside the heartbeat, whose books it does not touch.
    assert!(!sim.telemetry.iter().any(|told| matches!(told, Telemetry::Heartbeat { .. })));
    sim.advance(ms(30_000 - 75));
    assert_eq!(sim.written.len(), 3);
}

// H-12, DEV-9: never buffered.
#[test]
fn dev_9_a_ping_without_a_connection_fails_at_once_and_is_never_sent() {
    let mut sim = Sim::new();
    let (before, _) = sim.ping(ms(10_000));
    assert_eq!(sim.pinged_as(before), Err("NotConnected".into()));
    sim.connect();
    let (dialing, _) = sim.ping(ms(10_000));
    assert_eq!(sim.pinged_as(dialing), Err("NotConnected".into()));
    sim.up();
    assert!(sim.written.is_empty());
    sim.close();
    let (closed, _) = sim.ping(ms(10_000));
    assert_eq!(sim.pinged_as(closed), Err("NotConnected".into()));
}

// DEV-9
#[test]
fn dev_9_a_ping_ends_with_the_connection_sent_or_not() {
    for end in [
        (|sim| sim.lost(broken())) as fn(&mut Sim),
        |sim| _ = sim.disconnect(1000, ""),
        |sim| _ = sim.close(),
        |sim| sim.server_closes(1012),
    ] {
        let mut sim = Sim::open();
        let (sent, _) = sim.ping(ms(10_000));
        let reference = sim.last("heartbeat")[1].clone();
        sim.writable = false;
        let (queued, _) = sim.ping(ms(10_000));
        end(&mut sim);
        assert_eq!(sim.pinged_as(sent), Err("Disconnected".into()));
        assert_eq!(sim.pinged_as(queued), Err("Disconnected".into()));
        assert_eq!(sim.latencies, [None]);
        pong(&mut sim, &reference);
        assert_eq!(sim.core.holdings().callers, sim.core.closers.len());
    }
}

#[test]
fn a_ping_has_a_deadline_of_its_own_and_leaves_the_connection() {
    let mut sim = Sim::open();
    sim.writable = false;
    let (ping, _) = sim.ping(ms(50));
    sim.advance(ms(49));
    assert!(sim.is_pending(ping));
    sim.advance(ms(1));
    assert_eq!(sim.pinged_as(ping), Err("Timeout".into()));
    assert!(matches!(sim.status(), Status::Connected { .. }));
    // Given up, it is not sent any more.
    sim.writable = true;
    sim.drain();
    assert!(sim.written.is_empty());
}

#[test]
fn a_ping_that_nobody_waits_for_is_forgotten() {
    let mut sim = Sim::open();
    let (ping, id) = sim.ping(ms(10_000));
    let reference = sim.last("heartbeat")[1].clone();
    sim.command(Command::Cancel { channel: None, id });
    pong(&mut sim, &reference);
    assert!(sim.is_pending(ping) && sim.latencies.is_empty());
    assert_eq!(sim.core.holdings().callers, 0);
    assert_eq!(sim.core.holdings().timers, 1, "the heartbeat's");
}

// DEV-6: an answer is proof of health, whoever asked.
#[test]
fn dev_6_an_answered_ping_resets_the_backoff() {
    let mut sim = Sim::new();
    sim.connect();
    for proven in [false, false, true] {
        sim.up();
        if proven {
            sim.ping(ms(1_000));
            let reference = sim.last("heartbeat")[1].clone();
            pong(&mut sim, &reference);
        }
        sim.lost(broken());
        let Status::Waiting { attempt, .. } = sim.status() else { panic!("waits") };
        assert_eq!(*attempt == 2, proven || sim.dials().len() == 1);
        sim.advance(ms(5_000));
    }
}

// H-5
#[test]
fn the_latency_is_that_of_the_last_answer_over_this_connection() {
    let mut sim = Sim::open();
    sim.advance(ms(30_000));
    let reference = sim.last("heartbeat")[1].clone();
    sim.advance(ms(40));
    pong(&mut sim, &reference);
    sim.lost(broken());
    assert_eq!(sim.latencies, [Some(ms(40)), None]);
}
