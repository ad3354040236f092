//! When a transport is given up for another, and when it is not: what is easily got wrong.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::{HeaderMap, StatusCode, header::RETRY_AFTER};
use phoenix_streams::{
    Builder, ConnectError, Or, Refusal, Socket, Status, Transport, json,
    transport::{
        Connection, Dial, FallbackStore, Frame, memory,
        memory::{Peer, PeerConnection},
    },
};
use tokio::time::{advance, sleep, timeout};

use crate::support::{builder, settle, until};

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MINUTE: Duration = Duration::from_secs(60);

pub(crate) struct Named<T>(pub(crate) T, pub(crate) &'static str);

impl<T: Transport> Transport for Named<T> {
    async fn dial(&self, dial: Dial) -> Result<Connection, ConnectError> {
        self.0.dial(dial).await
    }

    fn name(&self) -> &'static str {
        self.1
    }
}

pub(crate) type Both = Or<Named<memory::Memory>, Named<memory::Memory>>;

pub(crate) fn both() -> (Both, Peer, Peer) {
    let ((first, first_peer), (second, second_peer)) = (memory::pair(), memory::pair());
    (Named(first, "first").or(Named(second, "second")), first_peer, second_peer)
}

pub(crate) fn connecting(builder: Builder) -> Socket {
    let socket = builder.idle().unwrap();
    tokio::spawn(socket.connect().timeout(1000 * MINUTE));
    socket
}

pub(crate) async fn answered(mut connection: PeerConnection) -> PeerConnection {
    let ping = connection.recv().await.unwrap();
    assert_eq!((&*ping.topic, &*ping.event), ("phoenix", "heartbeat"));
    connection.reply(&ping, "ok", json!({})).await;
    connection
}

pub(crate) async fn by(socket: &Socket, name: &'static str) -> Status {
    until(socket, move |status| matches!(status, Status::Connected { transport, .. } if *transport == name)).await
}

/// Whether an attempt comes within this time.
/// The first is dialed within an hour in which the second hangs.
async fn assert_led_back(first: &mut Peer, second: &mut Peer) {
    let hangs = async {
        let mut kept = Vec::new();
        loop {
            kept.push(second.dialed().await);
        }
    };
    let found = tokio::select! {
        attempt = dialed_within(first, 60 * MINUTE) => attempt,
        () = hangs => unreachable!(),
    };
    assert!(found.is_some(), "for an hour only the second, which hangs, was tried");
}

/// Which of them is dialed next.
async fn next_of(first: &mut Peer, second: &mut Peer) -> &'static str {
    tokio::select! {
        _ = first.dialed() => "first",
        _ = second.dialed() => "second",
    }
}

async fn dialed_within(peer: &mut Peer, time: Duration) -> Option<memory::Attempt> {
    timeout(time, peer.dialed()).await.ok()
}

// F-7, DEV-19, "Where the second fails too ... the next begins with the first again"
#[tokio::test(start_paused = true)]
async fn a_second_that_hangs_leads_back_to_the_first() {
    let (both, mut first, mut second) = both();
    let socket = connecting(builder(both).heartbeat(None));
    first.refuse(StatusCode::BAD_GATEWAY).await;
    let connection = second.accept().await;
    by(&socket, "second").await;
    // From here on the first would be healthy, and the second hangs.
    connection.cut();
    assert_led_back(&mut first, &mut second).await;
}

// F-6, F-11
#[tokio::test(start_paused = true)]
async fn a_second_that_hangs_leads_back_to_a_first_that_died_young() {
    let (both, mut first, mut second) = both();
    let socket = connecting(builder(both.short_lived(1, 10 * SECOND)).heartbeat(None));
    answered(first.accept().await).await.cut();
    assert_led_back(&mut first, &mut second).await;
    drop(socket);
}

// F-11, DEV-19: not for a transient error on a WebSocket that has been healthy.
#[tokio::test(start_paused = true)]
async fn a_passing_error_behind_a_heartbeat_timeout_leads_to_no_switch() {
    let (both, mut first, mut second) = both();
    let socket = connecting(builder(both));
    let mut connection = answered(first.accept().await).await;
    by(&socket, "first").await;
    // Healthy for ten minutes, all heartbeats answered.
    let healthy = async {
        while let Some(heartbeat) = connection.recv().await {
            connection.reply(&heartbeat, "ok", json!({})).await;
        }
    };
    let _ = timeout(10 * MINUTE, healthy).await;
    assert!(socket.status().current().is_connected());
    // Then the network is gone for a minute: a heartbeat times out, and one attempt fails.
    until(&socket, |status| !status.is_connected()).await;
    first.fail(ConnectError::transport("no route")).await;
    let next = next_of(&mut first, &mut second).await;
    assert_eq!(next, "first", "it was healthy until a minute ago, and is given up for one error");
}

// The same for a clone that begins beside a healthy socket.
#[tokio::test(start_paused = true)]
async fn a_passing_error_beside_a_healthy_connection_leads_to_no_switch() {
    let (both, mut first, mut second) = both();
    let healthy = connecting(builder(both.clone()).heartbeat(None));
    let _connection = answered(first.accept().await).await;
    by(&healthy, "first").await;
    advance(10 * MINUTE).await;
    let _other = connecting(builder(both).heartbeat(None));
    first.refuse(StatusCode::BAD_GATEWAY).await;
    let next = next_of(&mut first, &mut second).await;
    assert_eq!(next, "first", "it is healthy this moment, in a socket that shares what is learnt");
}

// Law 9, L-9, DEV-23
#[tokio::test(start_paused = true)]
async fn a_second_that_is_forbidden_does_not_stop_what_the_first_would_try_again() {
    let (both, mut first, mut second) = both();
    let socket = connecting(builder(both).heartbeat(None));
    // A deploy: the WebSocket is away for a moment. A gateway that knows no long-poll path says 403 to it.
    first.refuse(StatusCode::BAD_GATEWAY).await;
    second.refuse(StatusCode::FORBIDDEN).await;
    let status = until(&socket, |status| matches!(status, Status::Waiting { .. } | Status::Stopped { .. })).await;
    assert!(matches!(status, Status::Waiting { .. }), "{status:?}");
    let _connection = answered(first.accept().await).await;
}

// Law 9: 429 and 503 obey Retry-After.
#[tokio::test(start_paused = true)]
async fn retry_after_of_the_first_is_obeyed_where_the_second_fails_too() {
    let (both, mut first, mut second) = both();
    let socket = connecting(builder(both).heartbeat(None));
    let headers = HeaderMap::from_iter([(RETRY_AFTER, "60".parse().unwrap())]);
    first.fail(ConnectError::Refused(Box::new(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, headers, "")))).await;
    second.refuse(StatusCode::NOT_FOUND).await;
    let status = until(&socket, |status| matches!(status, Status::Waiting { .. })).await;
    let Status::Waiting { delay, .. } = status else { unreachable!() };
    assert!(delay >= MINUTE, "it comes back after {delay:?}");
}

// F-6, F-11: what this side ends has not died young.
#[tokio::test(start_paused = true)]
async fn a_disconnect_is_no_early_death() {
    let (both, mut first, mut second) = both();
    let socket = builder(both).heartbeat(None).idle().unwrap();
    for _ in 0..3 {
        tokio::spawn(socket.connect().timeout(MINUTE));
        let mut connection = answered(first.accept().await).await;
        by(&socket, "first").await;
        let server = async {
            assert!(matches!(connection.recv_frame().await, Some(Frame::Close { .. })));
            // It ends the connection without a close frame of its own, as many a proxy does.
            connection.cut();
        };
        futures::join!(socket.disconnect(), server);
        settle().await;
    }
    tokio::spawn(socket.connect().timeout(MINUTE));
    let next = next_of(&mut first, &mut second).await;
    assert_eq!(next, "first", "three goodbyes were taken for deaths");
}

// F-11, DEV-19: one event, seen by three sockets.
#[tokio::test(start_paused = true)]
async fn one_cut_that_three_sockets_see_is_no_row_of_three() {
    let (both, mut first, mut second) = both();
    let sockets: Vec<Socket> = (0..3).map(|_| connecting(builder(both.clone()).heartbeat(None))).collect();
    let mut connections = Vec::new();
    for _ in &sockets {
        connections.push(answered(first.accept().await).await);
    }
    for socket in &sockets {
        by(socket, "first").await;
    }
    advance(SECOND).await;
    drop(connections);
    for socket in &sockets {
        until(socket, |status| !status.is_connected()).await;
    }
    let next = next_of(&mut first, &mut second).await;
    assert_eq!(next, "first", "each socket has lost one connection");
}

// "a WebSocket that opens and ... dies young several times"
#[tokio::test(start_paused = true)]
async fn one_that_falls_silent_each_time_is_given_up() {
    let (both, mut first, mut second) = both();
    let both = both.short_lived(3, MINUTE).threshold(SECOND);
    let socket = connecting(builder(both));
    let mut kept = Vec::new();
    // It answers the ping, and nothing after that: each dies of its first heartbeat, 45 s old.
    for _ in 0..10 {
        tokio::select! {
            connection = first.accept() => kept.push(answered(connection).await),
            _ = second.dialed() => return,
        }
    }
    drop(socket);
    panic!("ten in a row have died within the minute");
}

// "Open ... to others in turn"
#[tokio::test(start_paused = true)]
async fn three_in_a_row_the_second_has_its_turn_where_the_first_hangs() {
    let ((a, mut a_peer), (b, mut b_peer), (c, mut c_peer)) = (memory::pair(), memory::pair(), memory::pair());
    let _socket = connecting(builder(Named(a, "a").or(Named(b, "b")).or(Named(c, "c"))).heartbeat(None));
    let _hangs = a_peer.dialed().await;
    let b_peer = async move {
        let _b = answered(b_peer.accept().await).await;
        std::future::pending::<()>().await;
    };
    tokio::spawn(b_peer);
    let c = dialed_within(&mut c_peer, MINUTE).await;
    assert!(c.is_none(), "b is healthy, and was passed over for c");
}

// Durations that cannot be doubled.
#[tokio::test(start_paused = true)]
async fn a_connect_timeout_may_be_as_long_as_can_be_said() {
    let (both, mut first, _second) = both();
    let socket = connecting(builder(both).heartbeat(None).connect_timeout(Duration::MAX));
    let status = tokio::select! {
        _connection = first.dialed() => return,
        status = until(&socket, |status| matches!(status, Status::Waiting { .. })) => status,
    };
    panic!("{status:?}");
}

/// What it was told.
#[derive(Clone, Default)]
struct Notes(Arc<std::sync::Mutex<Option<SystemTime>>>);

impl FallbackStore for Notes {
    fn recall(&self, _: &str) -> Option<SystemTime> {
        *self.0.lock().unwrap()
    }

    fn remember(&self, _: &str, until: SystemTime) {
        *self.0.lock().unwrap() = Some(until);
    }

    fn forget(&self, _: &str) {
        *self.0.lock().unwrap() = None;
    }
}

// F-8, F-9
#[tokio::test(start_paused = true)]
async fn what_is_to_be_remembered_for_ever_is_remembered() {
    let (both, mut first, mut second) = both();
    let notes = Notes::default();
    let socket = connecting(builder(both.store(notes.clone()).remember_for(Duration::MAX)).heartbeat(None));
    first.refuse(StatusCode::BAD_GATEWAY).await;
    let _second = second.accept().await;
    by(&socket, "second").await;
    assert!(notes.0.lock().unwrap().is_some(), "nothing was remembered");
}

/// A store whose file is broken.
#[derive(Clone)]
struct Panics(&'static str);

impl FallbackStore for Panics {
    fn recall(&self, _: &str) -> Option<SystemTime> {
        assert!(self.0 != "recall", "on purpose");
        None
    }

    fn remember(&self, _: &str, _: SystemTime) {
        assert!(self.0 != "remember", "on purpose");
    }

    fn forget(&self, _: &str) {
        assert!(self.0 != "forget", "on purpose");
    }
}

// F-9: "What it loses is found out again."
#[tokio::test(start_paused = true)]
async fn a_store_that_panics_as_it_is_asked_costs_what_it_knows_and_not_the_socket() {
    panicking("recall").await;
}

// F-9
#[tokio::test(start_paused = true)]
async fn a_store_that_panics_as_it_forgets_costs_what_it_knows_and_not_the_socket() {
    panicking("forget").await;
}

async fn panicking(what: &'static str) {
    {
        let (both, mut first, mut second) = both();
        let socket = connecting(builder(both.store(Panics(what))).heartbeat(None));
        let server = async {
            loop {
                let mut connection = first.accept().await;
                if let Some(ping) = connection.recv().await {
                    connection.reply(&ping, "ok", json!({})).await;
                }
                tokio::spawn(async move { while connection.recv().await.is_some() {} });
            }
        };
        let connected = timeout(10 * MINUTE, async {
            tokio::select! {
                _ = until(&socket, Status::is_connected) => {}
                () = server => {}
                _ = second.dialed() => {}
            }
        });
        assert!(connected.await.is_ok(), "{what}: {:?}", socket.status().current());
    }
}

// "At most two fifths of the connect timeout, so that there is time left for the second."
#[tokio::test(start_paused = true)]
async fn closures_that_take_their_time_leave_some_for_the_second() {
    let (both, mut first, mut second) = both();
    let builder = builder(both).heartbeat(None).params_with(|| async {
        sleep(8 * SECOND).await;
        Ok(json!({}))
    });
    let _socket = connecting(builder);
    let hangs = async {
        let mut kept = Vec::new();
        loop {
            kept.push(first.dialed().await);
        }
    };
    tokio::select! {
        second = dialed_within(&mut second, 60 * MINUTE) => assert!(second.is_some(), "for an hour the first has hung"),
        () = hangs => {}
    }
}

// "several in a row"
#[tokio::test(start_paused = true)]
async fn a_long_life_between_early_deaths_ends_their_row() {
    let (both, mut first, mut second) = both();
    let socket = connecting(builder(both));
    for _ in 0..2 {
        let connection = answered(first.accept().await).await;
        by(&socket, "first").await;
        connection.cut();
    }
    // A day of health, that ends by a heartbeat that is not answered.
    let mut connection = answered(first.accept().await).await;
    by(&socket, "first").await;
    let healthy = async {
        while let Some(heartbeat) = connection.recv().await {
            connection.reply(&heartbeat, "ok", json!({})).await;
        }
    };
    let _ = timeout(24 * 60 * MINUTE, healthy).await;
    until(&socket, |status| !status.is_connected()).await;
    answered(first.accept().await).await.cut();
    let next = next_of(&mut first, &mut second).await;
    assert_eq!(next, "first", "one early death in a day");
}

// "goes back up when a periodic probe finds it healthy"
#[tokio::test(start_paused = true)]
async fn a_second_whose_connections_live_four_minutes_is_left_all_the_same() {
    let (both, mut first, mut second) = both();
    let socket = connecting(builder(both).heartbeat(None));
    first.refuse(StatusCode::BAD_GATEWAY).await;
    // From here on the first is healthy, and would say so if it were asked.
    let flaky = async {
        loop {
            let connection = second.accept().await;
            by(&socket, "second").await;
            sleep(4 * MINUTE).await;
            connection.cut();
        }
    };
    let probed = tokio::select! {
        attempt = dialed_within(&mut first, 24 * 60 * MINUTE) => attempt,
        () = flaky => unreachable!(),
    };
    assert!(probed.is_some(), "for a day the first was not tried once, and every five minutes was said");
}

// "kept ... with an expiry"
#[tokio::test(start_paused = true)]
async fn that_it_was_given_up_expires() {
    let (both, mut first, mut second) = both();
    // The store forgets everything, and says so.
    let socket = builder(both.store(Panics("nothing")).remember_for(MINUTE)).heartbeat(None).idle().unwrap();
    tokio::spawn(socket.connect().timeout(MINUTE));
    first.refuse(StatusCode::BAD_GATEWAY).await;
    let second_connection = second.accept().await;
    by(&socket, "second").await;
    second_connection.close(1000);
    socket.disconnect().await;
    advance(7 * 24 * 60 * MINUTE).await;
    tokio::spawn(socket.connect().timeout(MINUTE));
    let next = next_of(&mut first, &mut second).await;
    assert_eq!(next, "first", "a week after a minute's memory");
}
