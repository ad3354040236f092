//! When it falls back, and when it does not.

use futures::future::ready;
use phoenix_streams::{
    Builder, Channel, ConnectError, LongPoll, Socket, Status, SwitchReason, Telemetry, Transport, json,
    testing::{Fault, Refuse},
    transport::memory,
};

use crate::support::{Log, THRESHOLD, builder, in_time, ms, rooms, transport, words};

/// The reason of the fall, which is in this place.
fn reason(happened: &[Telemetry]) -> SwitchReason {
    let reasons = happened.iter().filter_map(|happened| match happened {
        Telemetry::Switched { reason, .. } => Some(reason.clone()),
        _ => None,
    });
    reasons.last().expect("it has fallen")
}

struct Fallen {
    socket: Socket,
    room: Channel,
    log: Log,
    reason: SwitchReason,
}

/// Connects, which falls back within the first attempt, and joins, with not a word of trouble.
async fn falls(builder: Builder) -> Fallen {
    let socket = builder.idle().unwrap();
    let mut log = Log::of(&socket);
    let room = socket.channel("room:1");
    let (connected, joined) = in_time(async { tokio::join!(socket.connect(), room.join(())) }).await;
    assert!(connected.is_ok() && joined.is_ok());
    let happened = log.until("joined").await;
    assert_eq!(words(&happened), ["connecting", "falls", "opened long-poll", "joining", "joined"]);
    let reason = reason(&happened);
    match socket.status().current() {
        Status::Connected { transport: "long-poll", fallback: Some(shown) } => {
            assert_eq!(shown.to_string(), reason.to_string());
        }
        other => panic!("{other:?}"),
    }
    assert!(room.push("shout", json!({})).await.is_ok());
    Fallen { socket, room, log, reason }
}

// F-4, F-10
#[tokio::test]
async fn f_4_it_falls_where_something_before_the_server_refuses() {
    for status in [403, 404, 429, 501, 502, 503] {
        let server = rooms().start().await.unwrap();
        server.misbehave(Fault::RefuseUpgrades(status));
        let Fallen { socket, reason, .. } = falls(builder(&server, transport())).await;
        let SwitchReason::Failed(cause) = reason else { panic!("{reason:?}") };
        assert!(matches!(&*cause, ConnectError::Refused(refusal) if refusal.status() == status), "{cause:?}");
        assert_eq!(server.sessions(), 1);
        socket.close().await;
    }
}

// F-6, F-7
#[tokio::test]
async fn f_6_it_falls_where_frames_are_swallowed() {
    let server = rooms().start().await.unwrap();
    server.misbehave(Fault::SwallowFrames);
    let Fallen { socket: _open, reason, .. } = falls(builder(&server, transport().probe_every(ms(60_000)))).await;
    assert!(matches!(reason, SwitchReason::Silent(THRESHOLD)), "{reason:?}");
    // The one that was silent is closed.
    in_time(server.wait_for_connections(1)).await;
    assert_eq!(server.sessions(), 1);
}

// F-3, F-5
#[tokio::test]
async fn f_5_it_falls_where_nothing_opens() {
    let server = rooms().start().await.unwrap();
    let (silent, mut peer) = memory::pair();
    let socket = builder(&server, silent.or(LongPoll::default()).threshold(ms(50))).idle().unwrap();
    let (connected, attempt) = in_time(async { tokio::join!(socket.connect(), peer.dialed()) }).await;
    assert!(connected.is_ok());
    match socket.status().current() {
        Status::Connected { transport: "long-poll", fallback: Some(SwitchReason::Slow(threshold)) } => {
            assert_eq!(threshold, ms(50));
        }
        other => panic!("{other:?}"),
    }
    drop(attempt);
}

// F-11, DEV-19
#[tokio::test]
async fn f_11_it_falls_where_connections_die_young_and_stays_down_while_they_do() {
    let server = rooms().start().await.unwrap();
    server.misbehave(Fault::ResetUpgraded(ms(300)));
    let socket = builder(&server, transport()).idle().unwrap();
    let mut log = Log::of(&socket);
    in_time(socket.connect()).await.unwrap();
    let happened = log.until("opened long-poll").await;
    let once = ["connecting", "opened websocket", "lost", "waiting"];
    assert_eq!(words(&happened), [&once[..], &once, &["connecting", "falls", "opened long-poll"]].concat());
    match reason(&happened) {
        SwitchReason::ShortLived { opens: 2, cause } => {
            assert!(matches!(*cause, ConnectError::Ended | ConnectError::Transport(_)), "{cause:?}");
        }
        other => panic!("{other:?}"),
    }
    // Each of these is answered its ping, and then reset.
    for _ in 0..2 {
        assert_eq!(words(&log.until("probe failed").await), ["probe failed"]);
    }
    server.behave();
    log.until("heals").await;
    assert_eq!(words(&log.until("opened websocket").await), ["switched", "connecting", "opened websocket"]);
}

// F-4, DEV-23
#[tokio::test]
async fn f_4_what_the_server_refuses_is_its_last_word() {
    for status in [401, 403] {
        let server = rooms().connect(move |_| ready(Err(Refuse::new(status)))).start().await.unwrap();
        let socket = builder(&server, transport()).idle().unwrap();
        let mut log = Log::of(&socket);
        let refused = in_time(socket.connect()).await.unwrap_err();
        assert!(matches!(refused, ConnectError::Refused(refusal) if refusal.status() == status));
        assert_eq!(words(&log.until("stopped").await), ["connecting", "failed", "stopped"]);
        assert_eq!(server.connections(), 0);
    }
}

// F-4, T-23
#[tokio::test]
async fn f_4_a_server_that_is_busy_is_waited_for() {
    for status in [429, 503] {
        let server = rooms().start().await.unwrap();
        server.refuse_next(status, 1);
        let socket = builder(&server, transport()).idle().unwrap();
        let mut log = Log::of(&socket);
        in_time(socket.connect()).await.unwrap();
        let happened = log.until("opened websocket").await;
        assert_eq!(words(&happened), ["connecting", "failed", "waiting", "connecting", "opened websocket"]);
    }
}

// DEV-19
#[tokio::test]
async fn dev_19_an_error_of_one_that_was_healthy_passes() {
    let server = rooms().start().await.unwrap();
    let socket = builder(&server, transport().trust_for(ms(60_000))).idle().unwrap();
    let mut log = Log::of(&socket);
    in_time(socket.connect()).await.unwrap();
    log.until("opened websocket").await;
    in_time(server.wait_for_connections(1)).await;
    server.refuse_next(502, 1);
    server.close_all(1012);
    let happened = log.until("opened websocket").await;
    assert_eq!(
        words(&happened),
        ["lost", "waiting", "connecting", "failed", "waiting", "connecting", "opened websocket"]
    );
}

// F-1
#[tokio::test]
async fn f_1_it_falls_at_a_reconnect_as_well() {
    let server = rooms().start().await.unwrap();
    let socket = builder(&server, transport()).idle().unwrap();
    let mut log = Log::of(&socket);
    in_time(socket.connect()).await.unwrap();
    log.until("opened websocket").await;
    in_time(server.wait_for_connections(1)).await;
    server.misbehave(Fault::RefuseUpgrades(502));
    server.close_all(1012);
    let happened = log.until("opened long-poll").await;
    assert_eq!(words(&happened), ["lost", "waiting", "connecting", "falls", "opened long-poll"]);
}

// DEV-19
#[tokio::test]
async fn where_the_second_fails_too_the_next_attempt_begins_with_the_first() {
    let server = rooms().start().await.unwrap();
    server.misbehave(Fault::RefuseUpgrades(502));
    server.refuse_next(502, 1);
    let socket = builder(&server, transport()).idle().unwrap();
    let mut log = Log::of(&socket);
    in_time(socket.connect()).await.unwrap();
    let happened = log.until("opened long-poll").await;
    let both = ["connecting", "falls", "failed", "waiting"];
    assert_eq!(words(&happened), [&both[..], &["connecting", "falls", "opened long-poll"]].concat());
    let Telemetry::Failed { cause, .. } = &happened[2] else { panic!("{happened:?}") };
    assert!(matches!(&**cause, ConnectError::Refused(refusal) if refusal.status() == 502), "{cause:?}");
}

// DEV-19
#[tokio::test]
async fn a_second_that_is_lost_is_used_again_and_after_it_failed_the_first() {
    let server = rooms().start().await.unwrap();
    server.misbehave(Fault::RefuseUpgrades(502));
    let fallen = falls(builder(&server, transport().probe_every(ms(60_000)))).await;
    let Fallen { socket, room: _wanted, mut log, .. } = fallen;
    let shown = |status: Status| match status {
        Status::Connected { fallback: Some(SwitchReason::Failed(cause)), .. } => cause.to_string(),
        other => panic!("{other:?}"),
    };
    let first = shown(socket.status().current());
    server.drop_connections();
    let happened = log.until("opened long-poll").await;
    assert_eq!(words(&happened), ["lost", "errored", "waiting", "connecting", "opened long-poll"]);
    assert_eq!(shown(socket.status().current()), first);
    log.until("joined").await;

    server.behave();
    server.refuse_next(502, 1);
    server.drop_connections();
    let happened = log.until("opened websocket").await;
    assert_eq!(
        words(&happened)[2..],
        ["waiting", "connecting", "failed", "waiting", "connecting", "heals", "opened websocket"]
    );
    assert!(matches!(socket.status().current(), Status::Connected { transport: "websocket", fallback: None }));
}

// L-8
#[tokio::test]
async fn l_8_no_heartbeats_over_long_poll() {
    let server = rooms().start().await.unwrap();
    server.misbehave(Fault::RefuseUpgrades(502));
    let fallen = falls(builder(&server, transport().probe_every(ms(200))).heartbeat(ms(20))).await;
    let Fallen { room: _wanted, mut log, .. } = fallen;
    assert_eq!(words(&log.until("probe failed").await), ["probe failed"]);
    server.behave();
    log.until("opened websocket").await;
    log.until("heartbeat").await;
}

#[tokio::test]
async fn a_push_that_waits_for_the_connection_goes_out_over_the_second() {
    let server = rooms().start().await.unwrap();
    server.misbehave(Fault::SwallowFrames);
    let socket = builder(&server, transport()).start().unwrap();
    let room = socket.channel("room:1");
    room.join(()).detach();
    assert_eq!(in_time(room.push("shout", json!({}))).await.unwrap().status(), "ok");
    assert!(matches!(socket.status().current(), Status::Connected { transport: "long-poll", .. }));
}
