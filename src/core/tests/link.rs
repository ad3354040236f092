//! Connecting: who waits, what opens, what ends, what the status says.

use serde_json::json;

use super::{
    given::{broken, count, fail_for, next_dial, open, outputs, refused, statuses},
    sim::{Act, OPENING, Sim, config, ms},
};
use crate::{
    core::{Command, Config, Outcome, Output},
    error::{ConnectError, NotJoined},
    status::{ChannelStatus, Status},
    telemetry::Telemetry,
};

#[test]
fn s_1_connect_is_idempotent() {
    let mut sim = Sim::new();
    let tokens = [sim.connect(), sim.connect()];
    assert_eq!(sim.dials(), [0]);
    sim.up();
    let late = sim.connect();
    assert_eq!(sim.dials(), [0]);
    for token in tokens.into_iter().chain([late]) {
        assert!(sim.connected_as(token).is_ok());
    }
}

#[test]
fn connect_during_the_wait_leaves_the_schedule_alone() {
    let mut sim = open(config());
    sim.lost(broken());
    let token = sim.connect();
    assert_eq!(sim.dials(), [0]);
    sim.advance(ms(10));
    assert_eq!(sim.dials(), [0, 10]);
    assert!(sim.is_pending(token));
    sim.up();
    assert!(sim.connected_as(token).is_ok());
}

// S-2
#[test]
fn dev_5_connect_works_after_the_server_closed_with_1000() {
    let mut sim = open(config());
    sim.server_closes(1000);
    let token = sim.connect();
    next_dial(&mut sim);
    sim.up();
    assert!(sim.connected_as(token).is_ok());
}

#[test]
fn dev_5_connect_dials_at_once_when_disconnected_or_stopped() {
    let mut sim = Sim::open();
    sim.disconnect(1000, "");
    sim.hung_up();
    sim.advance(ms(500));
    sim.connect();
    assert_eq!(sim.dials(), [0, 500]);

    sim.dial_fails(refused(401));
    assert!(matches!(sim.status(), Status::Stopped { .. }));
    sim.advance(ms(500));
    let token = sim.connect();
    assert_eq!(sim.dials(), [0, 500, 1000]);
    sim.up();
    assert!(sim.connected_as(token).is_ok());
}

#[test]
fn s_3_connect_during_a_disconnect_opens_at_once_and_survives_the_end_of_the_old() {
    let mut sim = Sim::open();
    let disconnect = sim.disconnect(1000, "");
    let connect = sim.connect();
    assert_eq!(sim.dials().len(), 2);
    sim.up();
    assert!(sim.connected_as(connect).is_ok());
    assert!(sim.is_pending(disconnect));

    sim.hung_up();
    assert!(matches!(sim.settled[&disconnect], Outcome::Done));
    assert!(sim.status().is_connected());
    let room = sim.channel("room:1");
    sim.join(room, json!({}));
    assert_eq!(count(&sim, "phx_join"), 1);
}

#[test]
fn s_4_a_first_attempt_that_fails_is_tried_again_even_after_a_disconnect() {
    let mut sim = Sim::open();
    sim.disconnect(1000, "");
    sim.hung_up();
    sim.connect();
    sim.dial_fails(broken());
    sim.advance(ms(10));
    assert_eq!(sim.dials(), [0, 0, 10]);
}

#[test]
fn s_7_open_is_told_first_to_the_status_then_to_each_caller_in_order() {
    let mut sim = Sim::new();
    let (first, second) = (sim.connect(), sim.connect());
    sim.core.handle_open(sim.now, OPENING);
    let told = outputs(&mut sim);
    assert!(
        matches!(
            told[..],
            [
                Output::Telemetry(Telemetry::Opened { .. }),
                Output::Status(Status::Connected { .. }),
                Output::Settle(a, Outcome::Connect(Ok(()))),
                Output::Settle(b, Outcome::Connect(Ok(()))),
            ] if a == first && b == second
        ),
        "{told:?}"
    );
}

#[test]
fn s_10_a_close_errors_the_channels_before_the_next_attempt_is_told() {
    let (mut sim, room, _) = Sim::joined("room:1");
    let push = sim.push(room, "shout", json!({}));
    sim.core.handle_lost(sim.now, broken());
    let told = outputs(&mut sim);
    assert!(
        matches!(
            &told[..],
            [
                Output::Telemetry(Telemetry::Closed { .. }),
                Output::Latency(None),
                Output::Settle(settled, Outcome::Push(Err(_))),
                Output::Telemetry(Telemetry::Errored { cause: NotJoined::ConnectionLost(_), .. }),
                Output::Channel(_, ChannelStatus::Errored { cause: NotJoined::ConnectionLost(_) }),
                Output::Telemetry(Telemetry::Waiting { .. }),
                Output::Status(Status::Waiting { .. }),
            ] if *settled == push
        ),
        "{told:?}"
    );
}

#[test]
fn s_10_a_second_notice_of_the_same_close_says_nothing() {
    let (mut sim, _, _) = Sim::joined("room:1");
    sim.lost(broken());
    let waiting_since = sim.telemetry.len();
    sim.advance(ms(4));
    sim.lost(ConnectError::Ended);
    assert_eq!(sim.telemetry.len(), waiting_since);
    sim.advance(ms(6));
    assert_eq!(sim.dials(), [0, 10]);
}

#[test]
fn s_13_a_connection_that_ends_without_a_close_frame_comes_back() {
    let mut sim = open(config());
    sim.lost(ConnectError::Ended);
    sim.advance(ms(10));
    assert_eq!(sim.dials(), [0, 10]);
}

#[test]
fn s_25_connected_is_said_while_open_and_never_else() {
    let mut sim = Sim::new();
    sim.connect();
    sim.dial_fails(broken());
    sim.advance(ms(10));
    sim.up();
    sim.lost(broken());
    sim.advance(ms(50));
    sim.up();
    sim.disconnect(1000, "");
    sim.hung_up();
    sim.close();
    assert_eq!(
        statuses(&sim),
        [
            "connecting",
            "waiting",
            "connecting",
            "connected",
            "waiting",
            "connecting",
            "connected",
            "disconnected",
            "closed"
        ]
    );
    let connected = |status: &&Status| status.is_connected();
    assert_eq!(sim.statuses.iter().filter(connected).count(), 2);
}

#[test]
fn s_31_an_attempt_that_hangs_is_abandoned_before_the_next() {
    let mut sim = Sim::new();
    sim.connect();
    sim.advance(ms(10_010));
    assert_eq!(sim.acts, [(0, Act::Dial), (10_000, Act::Abandon), (10_010, Act::Dial)]);
    assert!(sim.telemetry.iter().any(|told| matches!(
        told,
        Telemetry::Failed { attempt: 1, cause } if matches!(**cause, ConnectError::Timeout)
    )));
}

#[test]
fn an_abandoned_attempt_that_opens_after_all_is_not_connected() {
    let mut sim = Sim::new();
    sim.connect();
    sim.advance(ms(10_000));
    sim.up();
    assert!(!sim.status().is_connected());
    assert!(!sim.telemetry.iter().any(|told| matches!(told, Telemetry::Opened { .. })));
}

#[test]
fn connect_gives_up_after_30_s_with_the_last_cause_and_the_socket_goes_on() {
    let mut sim = Sim::new();
    let token = sim.connect();
    fail_for(&mut sim, ms(20_000), broken);
    fail_for(&mut sim, ms(9_999), || refused(500));
    assert!(sim.is_pending(token));
    fail_for(&mut sim, ms(1), || refused(500));
    let outcome = sim.connected_as(token);
    assert!(matches!(outcome, Err(ConnectError::Refused(refusal)) if refusal.status() == 500), "{outcome:?}");
    next_dial(&mut sim);
}

#[test]
fn connect_that_never_hears_of_its_attempt_times_out() {
    let mut sim = Sim::with(Config { connect_timeout: ms(60_000), ..config() });
    let token = sim.connect();
    sim.advance(ms(30_000));
    assert!(matches!(sim.connected_as(token), Err(ConnectError::Timeout)));
}

#[test]
fn what_failed_before_a_disconnect_is_no_cause_for_a_later_connect() {
    let mut sim = Sim::with(Config { connect_timeout: ms(60_000), ..config() });
    sim.connect();
    sim.dial_fails(refused(500));
    sim.disconnect(1000, "");
    let token = sim.connect();
    sim.advance(ms(30_000));
    assert!(matches!(sim.connected_as(token), Err(ConnectError::Timeout)));
}

#[test]
fn a_connect_whose_caller_has_gone_goes_on_and_leaves_no_timer() {
    let mut sim = Sim::new();
    sim.command(Command::Connect { id: 77, token: Some(1), deadline: sim.now + ms(30_000) });
    assert_eq!(sim.core.holdings().callers, 1);
    sim.command(Command::Cancel { channel: None, id: 77 });
    assert_eq!(sim.core.holdings().callers, 0);
    assert_eq!(sim.core.holdings().timers, 1);
    sim.up();
    assert!(sim.status().is_connected());
    assert!(sim.is_pending(1));
}

#[test]
fn start_connects_though_nobody_waits() {
    let mut sim = Sim::new();
    sim.command(Command::Connect { id: 1, token: None, deadline: sim.now + ms(30_000) });
    sim.dial_fails(broken());
    sim.advance(ms(10));
    sim.up();
    assert!(sim.status().is_connected());
    assert!(sim.settled.is_empty());
}
