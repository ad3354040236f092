//! The books of the telemetry: what opens is closed, once; what is tried comes to an end, once.

use super::{
    given::{broken, fail_for, next_dial, refused},
    sim::{Sim, ms},
};
use crate::{error::ConnectError, telemetry::Telemetry};

/// Attempts, failures, opens and closes, if each stands where it may.
fn audit(sim: &Sim) -> Result<(usize, usize, usize, usize), String> {
    let (mut tried, mut failed, mut opened, mut closed) = (0, 0, 0, 0);
    for (at, told) in sim.telemetry.iter().enumerate() {
        let busy = (tried - failed - opened, opened - closed);
        let allowed = match told {
            Telemetry::Connecting { .. } => (0, 0),
            Telemetry::Failed { .. } | Telemetry::Opened { .. } => (1, 0),
            Telemetry::Closed { .. } => (0, 1),
            _ => continue,
        };
        if busy != allowed {
            return Err(format!("{told:?} at {at} of {:?}", sim.telemetry));
        }
        match told {
            Telemetry::Connecting { .. } => tried += 1,
            Telemetry::Failed { .. } => failed += 1,
            Telemetry::Opened { .. } => opened += 1,
            _ => closed += 1,
        }
    }
    Ok((tried, failed, opened, closed))
}

/// What may happen to a socket.
const EVENTS: &[fn(&mut Sim)] = &[
    |sim| {
        _ = sim.connect();
    },
    Sim::up,
    |sim| sim.dial_fails(broken()),
    |sim| sim.dial_fails(refused(401)),
    |sim| sim.lost(ConnectError::Ended),
    |sim| sim.server_closes(1000),
    Sim::hung_up,
    |sim| {
        _ = sim.disconnect(1000, "");
    },
    |sim| {
        _ = sim.close();
    },
    |sim| sim.advance(ms(10)),
    |sim| sim.advance(ms(10_000)),
    |sim| sim.advance(ms(45_000)),
];

// Law 8: every four things that happen in a row, on a socket that is open or being opened.
#[test]
fn dev_7_one_closed_for_every_opened_whatever_happens() {
    let begin: [fn(&mut Sim); 2] = [
        |sim| {
            _ = sim.connect();
        },
        |sim| {
            sim.connect();
            sim.up();
        },
    ];
    for first in begin {
        for script in 0..EVENTS.len().pow(4) {
            let mut sim = Sim::new();
            first(&mut sim);
            let mut left = script;
            for _ in 0..4 {
                EVENTS[left % EVENTS.len()](&mut sim);
                left /= EVENTS.len();
            }
            sim.close();
            let (tried, failed, opened, closed) = audit(&sim).unwrap_or_else(|wrong| panic!("{script}: {wrong}"));
            assert_eq!((tried, opened), (failed + opened, closed), "{script}");
        }
    }
}

#[test]
fn each_end_is_told_with_its_cause() {
    let mut sim = Sim::open();
    sim.server_closes(1012);
    next_dial(&mut sim);
    sim.up();
    sim.lost(ConnectError::Ended);
    next_dial(&mut sim);
    sim.up();
    sim.advance(ms(45_010));
    sim.up();
    sim.disconnect(1000, "");
    let causes: Vec<_> = sim
        .telemetry
        .iter()
        .filter_map(|told| match told {
            Telemetry::Closed { cause, .. } => Some(&**cause),
            _ => None,
        })
        .collect();
    assert!(
        matches!(
            causes[..],
            [
                ConnectError::ClosedByServer { code: 1012, .. },
                ConnectError::Ended,
                ConnectError::HeartbeatTimeout,
                ConnectError::Closed
            ]
        ),
        "{causes:?}"
    );
}

#[test]
fn each_failure_is_told_with_the_number_of_its_attempt() {
    let mut sim = Sim::new();
    sim.connect();
    fail_for(&mut sim, ms(200), || refused(500));
    let mut expected = 1;
    for told in &sim.telemetry {
        match told {
            Telemetry::Connecting { attempt } => assert_eq!(*attempt, expected),
            Telemetry::Failed { attempt, cause } => {
                assert_eq!(*attempt, expected);
                assert!(matches!(**cause, ConnectError::Refused(_)));
                expected += 1;
            }
            _ => {}
        }
    }
    assert_eq!(expected, 5);
}

#[test]
fn a_connect_is_settled_once_however_often_the_socket_comes_and_goes() {
    let mut sim = Sim::new();
    let tokens = [sim.connect(), sim.connect()];
    sim.up();
    for _ in 0..3 {
        sim.lost(broken());
        next_dial(&mut sim);
        sim.up();
    }
    sim.advance(ms(40_000));
    sim.close();
    // That none was settled twice is what the simulation itself sees to.
    assert!(tokens.iter().all(|token| sim.connected_as(*token).is_ok()));
}
