//! Which causes stop the socket, which are tried again, and who is told.

use http::{HeaderMap, StatusCode};
use serde_json::json;

use super::{
    given::{broken, open, provider, refused, refused_for, untrusted, wait},
    sim::{Sim, config, ms},
};
use crate::{
    core::Config,
    error::{BoxError, BuildError, ConnectError, JoinError, NotJoined, Refusal},
    status::{ChannelStatus, Status},
    telemetry::Telemetry,
};

fn stops(config: Config, cause: ConnectError) -> bool {
    let mut sim = Sim::with(config);
    let token = sim.connect();
    sim.dial_fails(cause);
    let stopped = matches!(sim.status(), Status::Stopped { .. });
    sim.advance(ms(20_000));
    assert_eq!(sim.dials().len() == 1, stopped);
    assert_eq!(sim.is_pending(token), !stopped);
    stopped
}

#[test]
fn dev_23_401_and_403_stop_unless_something_is_dynamic() {
    for status in [401, 403] {
        assert!(stops(config(), refused(status)), "{status}");
        assert!(!stops(Config { dynamic: true, ..config() }, refused(status)), "{status}, dynamic");
    }
}

#[test]
fn dev_23_other_refusals_are_tried_again() {
    for status in [301, 400, 404, 408, 410, 429, 500, 502, 503, 504] {
        assert!(!stops(config(), refused(status)), "{status}");
    }
}

#[test]
fn dev_23_the_refusal_reaches_whoever_waits_whole() {
    let mut sim = Sim::new();
    let token = sim.connect();
    let headers = HeaderMap::from_iter([(http::header::SERVER, "Cowboy".parse().unwrap())]);
    let refusal = Refusal::new(StatusCode::FORBIDDEN, headers, r#"{"reason":"banned"}"#);
    sim.dial_fails(ConnectError::Refused(Box::new(refusal)));
    let Err(ConnectError::Refused(refusal)) = sim.connected_as(token) else { panic!("refused") };
    assert_eq!(refusal.status(), 403);
    assert_eq!(refusal.headers()["server"], "Cowboy");
    assert_eq!(&refusal.body()[..], br#"{"reason":"banned"}"#);
}

#[test]
fn an_unanswered_subprotocol_a_bad_certificate_and_a_bad_description_stop() {
    assert!(stops(config(), ConnectError::SubprotocolUnanswered));
    assert!(stops(config(), untrusted()));
    assert!(stops(config(), ConnectError::Build(BuildError::NoTransport)));
    // Asking again for params does not heal these.
    assert!(stops(Config { dynamic: true, ..config() }, untrusted()));
}

#[test]
fn what_can_heal_by_itself_is_tried_again() {
    let cause = || BoxError::from("no route").into();
    for cause in [
        broken(),
        provider(),
        ConnectError::Timeout,
        ConnectError::Handshake("no upgrade".into()),
        ConnectError::Unresolved(cause()),
        ConnectError::Unreachable(cause()),
        ConnectError::HandshakeCut(cause()),
        ConnectError::Ended,
        ConnectError::ClosedByServer { code: 1011, reason: "".into() },
    ] {
        assert!(!stops(config(), cause.clone()), "{cause}");
    }
}

#[test]
fn a_closure_that_says_stop_stops() {
    let mut sim = Sim::new();
    let token = sim.connect();
    sim.core.handle_failed(sim.now, provider(), true);
    sim.drain();
    assert!(matches!(sim.connected_as(token), Err(ConnectError::Provider(_))));
    assert!(matches!(sim.status(), Status::Stopped { .. }));
    sim.advance(ms(60_000));
    assert_eq!(sim.dials(), [0]);
}

#[test]
fn a_proxy_that_wants_other_credentials_stops_and_its_other_refusals_are_tried_again() {
    let by_proxy = |status| match refused(status) {
        ConnectError::Refused(refusal) => ConnectError::ProxyRefused(refusal),
        other => other,
    };
    // What is dynamic is for the server.
    assert!(stops(config(), by_proxy(407)));
    assert!(stops(Config { dynamic: true, ..config() }, by_proxy(407)));
    for status in [302, 400, 401, 403, 404, 429, 500, 502, 503, 504] {
        assert!(!stops(config(), by_proxy(status)), "{status}");
    }
    // From a server it says nothing.
    assert!(!stops(config(), refused(407)));
}

#[test]
fn a_socks_proxy_that_wants_other_credentials_stops_and_its_other_refusals_are_tried_again() {
    use crate::error::SocksRefusal::*;

    for refusal in [LoginWanted, LoginRefused] {
        assert!(stops(config(), ConnectError::SocksRefused(refusal)));
        assert!(stops(Config { dynamic: true, ..config() }, ConnectError::SocksRefused(refusal)));
    }
    for refusal in [General, NotAllowed, NetworkUnreachable, HostUnreachable, ConnectionRefused, TtlExpired] {
        assert!(!stops(config(), ConnectError::SocksRefused(refusal)), "{refusal:?}");
    }
    for refusal in [CommandNotSupported, AddressTypeNotSupported] {
        assert!(!stops(config(), ConnectError::SocksRefused(refusal)), "{refusal:?}");
    }
}

// T-23
#[test]
fn a_proxys_retry_after_is_obeyed_too() {
    for status in [429, 503] {
        let ConnectError::Refused(refusal) = refused_for(status, 7) else { panic!("refused") };
        let mut sim = Sim::new();
        sim.connect();
        sim.dial_fails(ConnectError::ProxyRefused(refusal));
        assert_eq!(wait(&sim), ms(7_000));
    }
}

// T-23
#[test]
fn retry_after_is_obeyed_up_to_five_minutes() {
    for status in [429, 503] {
        for (asked, waited) in [(7, 7_000), (299, 299_000), (300, 300_000), (3_600, 300_000)] {
            let mut sim = Sim::new();
            sim.connect();
            sim.dial_fails(refused_for(status, asked));
            assert_eq!(wait(&sim), ms(waited), "{status}, {asked} s");
            sim.advance(ms(waited - 1));
            assert_eq!(sim.dials().len(), 1);
            sim.advance(ms(1));
            assert_eq!(sim.dials().len(), 2);
        }
    }
}

#[test]
fn the_step_stands_where_it_is_longer_than_retry_after() {
    let mut sim = Sim::new();
    sim.connect();
    for _ in 0..9 {
        sim.dial_fails(broken());
        sim.advance(wait(&sim));
    }
    sim.dial_fails(refused_for(503, 2));
    assert_eq!(wait(&sim), ms(5_000));
}

#[test]
fn jitter_never_undercuts_retry_after() {
    for seed in 0..50 {
        let mut sim = Sim::with(Config { seed, ..Config::default() });
        sim.connect();
        sim.dial_fails(refused_for(429, 3));
        assert!(wait(&sim) >= ms(3_000));
    }
}

#[test]
fn t_21_the_socket_gives_up_only_at_the_limit_and_says_so() {
    let limited = Config { reconnect: config().reconnect.limit(2), ..config() };
    let mut sim = Sim::with(limited);
    let connect = sim.connect();
    for _ in 0..2 {
        sim.dial_fails(broken());
        assert!(matches!(sim.status(), Status::Waiting { .. }));
        sim.advance(wait(&sim));
    }
    sim.dial_fails(refused(502));
    assert!(matches!(sim.status(), Status::Stopped { .. }));
    assert!(matches!(sim.telemetry.last(), Some(Telemetry::Stopped { .. })));
    assert!(matches!(sim.connected_as(connect), Err(ConnectError::Refused(_))));
    sim.advance(ms(600_000));
    assert_eq!(sim.dials().len(), 3);

    // Asked again, it has all its tries again.
    sim.connect();
    sim.dial_fails(broken());
    assert_eq!(wait(&sim), ms(10));
}

#[test]
fn without_a_limit_it_never_gives_up() {
    let mut sim = Sim::new();
    sim.connect();
    for _ in 0..1_000 {
        sim.dial_fails(broken());
        sim.advance(wait(&sim));
    }
    assert_eq!(sim.dials().len(), 1_001);
}

#[test]
fn t_21_a_stop_is_told_to_joins_streams_and_channels_and_connect_heals_it() {
    let (mut sim, old, _) = Sim::joined("room:old");
    sim.lost(broken());
    let new = sim.channel("room:new");
    let join = sim.join(new, json!({}));
    sim.advance(ms(10));
    sim.dial_fails(refused(403));

    assert!(matches!(sim.joined_as(join), Err(JoinError::Stopped(_))));
    for room in [old, new] {
        let status = sim.channel_status(room);
        assert!(matches!(status, ChannelStatus::Errored { cause: NotJoined::Stopped(_) }), "{status:?}");
        assert_eq!(sim.not_joined.iter().filter(|(told, _)| *told == room).count(), 1);
    }
    let late = sim.join(old, json!({}));
    assert!(matches!(sim.joined_as(late), Err(JoinError::Stopped(_))));

    sim.written.clear();
    sim.connect();
    sim.up();
    let joins = sim.take_written();
    assert_eq!(joins.len(), 2, "{joins:?}");
}

#[test]
fn a_limit_of_zero_stops_when_the_connection_is_lost() {
    let mut sim = open(Config { reconnect: config().reconnect.limit(0), ..config() });
    sim.lost(broken());
    assert!(matches!(sim.status(), Status::Stopped { .. }));
    sim.advance(ms(60_000));
    assert_eq!(sim.dials(), [0]);
}
