//! A transport or another, and back: over two pairs in memory.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use futures::{FutureExt, StreamExt};
use http::{HeaderMap, StatusCode, header::CACHE_CONTROL};
use phoenix_streams::{
    Builder, ConnectError, Or, Refusal, Socket, Status, SwitchReason, Telemetry, TelemetryStream, Transport, json,
    transport::{Connection, Dial, FallbackStore, Frame, memory, memory::Peer},
};
use tokio::time::{Instant, advance};

use crate::support::{builder, joined, settle, until};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const THRESHOLD: Duration = Duration::from_millis(2_500);
const OWN: &str = "max-age=0, private, must-revalidate";

/// A transport by another name.
struct Named<T>(T, &'static str);

impl<T: Transport> Transport for Named<T> {
    async fn dial(&self, dial: Dial) -> Result<Connection, ConnectError> {
        self.0.dial(dial).await
    }

    fn name(&self) -> &'static str {
        self.1
    }
}

type Both = Or<Named<memory::Memory>, Named<memory::Memory>>;

struct World {
    socket: Socket,
    first: Peer,
    second: Peer,
    telemetry: TelemetryStream,
}

fn both() -> (Both, Peer, Peer) {
    let ((first, first_peer), (second, second_peer)) = (memory::pair(), memory::pair());
    (Named(first, "first").or(Named(second, "second")), first_peer, second_peer)
}

fn world() -> World {
    world_of(|both| both, |builder| builder)
}

fn world_of(choose: impl FnOnce(Both) -> Both, describe: impl FnOnce(Builder) -> Builder) -> World {
    let (both, first, second) = both();
    let socket = describe(builder(choose(both)).heartbeat(None)).idle().unwrap();
    let telemetry = socket.telemetry();
    socket.connect().detach_in_background();
    World { socket, first, second, telemetry }
}

trait InBackground {
    fn detach_in_background(self);
}

impl InBackground for phoenix_streams::Connecting {
    fn detach_in_background(self) {
        tokio::spawn(self.timeout(1000 * MINUTE));
    }
}

impl World {
    /// What has happened since, in words.
    fn told(&mut self) -> Vec<String> {
        let told = std::iter::from_fn(|| self.telemetry.next().now_or_never().flatten());
        told.map(|told| words(told.unwrap())).filter(|words| !words.is_empty()).collect()
    }

    async fn by(&self, name: &str) -> Option<SwitchReason> {
        let connected =
            until(&self.socket, |status| matches!(status, Status::Connected { transport, .. } if *transport == name));
        match connected.await {
            Status::Connected { fallback, .. } => fallback,
            _ => unreachable!(),
        }
    }

    /// The first is open and has answered its ping.
    async fn first_answers(&mut self) -> memory::PeerConnection {
        answered(self.first.accept().await).await
    }

    /// The first is refused, and the second open.
    async fn fallen() -> (World, memory::PeerConnection) {
        let mut world = world();
        world.first.refuse(StatusCode::BAD_GATEWAY).await;
        let second = world.second.accept().await;
        world.by("second").await;
        world.told();
        (world, second)
    }
}

async fn answered(mut connection: memory::PeerConnection) -> memory::PeerConnection {
    let ping = connection.recv().await.unwrap();
    assert_eq!((&*ping.topic, &*ping.event), ("phoenix", "heartbeat"));
    connection.reply(&ping, "ok", json!({})).await;
    connection
}

fn words(told: Telemetry) -> String {
    match told {
        Telemetry::Connecting { attempt } => format!("connecting {attempt}"),
        Telemetry::Failed { cause, .. } => format!("failed: {cause}"),
        Telemetry::Opened { transport } => format!("opened {transport}"),
        Telemetry::Closed { cause, .. } => format!("closed: {cause}"),
        Telemetry::Switched { from, to, reason } => format!("{from} to {to}: {reason}"),
        Telemetry::ProbeFailed { transport, cause } => format!("{transport} not yet: {cause}"),
        Telemetry::Stopped { cause } => format!("stopped: {cause}"),
        _ => String::new(),
    }
}

fn refusal(status: StatusCode, cache_control: Option<&'static str>) -> ConnectError {
    let headers = cache_control.map(|value| (CACHE_CONTROL, value.parse().unwrap()));
    ConnectError::Refused(Box::new(Refusal::new(status, HeaderMap::from_iter(headers), "")))
}

// F-3, F-6, DEV-19
#[tokio::test(start_paused = true)]
async fn f_6_the_first_is_used_once_it_answers_a_ping() {
    let mut world = world();
    let mut messages = world.socket.messages();
    let mut connection = world.first.accept().await;
    settle().await;
    assert!(!world.socket.status().current().is_connected(), "it is trusted before it has answered");
    let ping = connection.recv().await.unwrap();
    connection.broadcast("room:1", "early", json!({ "n": 1 })).await;
    connection.broadcast("room:1", "early", json!({ "n": 2 })).await;
    connection.reply(&ping, "ok", json!({})).await;
    connection.broadcast("room:1", "late", json!({})).await;
    assert!(world.by("first").await.is_none());
    // What came before the answer is not lost, and the answer is nobody's business.
    let mut seen = Vec::new();
    for _ in 0..3 {
        let message = messages.next().await.unwrap().unwrap();
        seen.push(format!("{} {}", message.event, message.payload));
    }
    assert_eq!(seen, [r#"early {"n":1}"#, r#"early {"n":2}"#, "late {}"]);
    assert_eq!(world.told(), ["connecting 1", "opened first"]);
    assert!(world.second.dialed().now_or_never().is_none());
}

// F-4, F-7
#[tokio::test(start_paused = true)]
async fn f_4_an_error_before_it_is_open_leads_to_the_second_within_the_attempt() {
    for cause in [
        refusal(StatusCode::BAD_GATEWAY, None),
        refusal(StatusCode::FORBIDDEN, None),
        refusal(StatusCode::NOT_FOUND, Some(OWN)),
        ConnectError::transport("cut"),
    ] {
        let mut world = world();
        let said = cause.to_string();
        world.first.fail(cause).await;
        let _second = world.second.accept().await;
        let reason = world.by("second").await;
        assert!(matches!(reason, Some(SwitchReason::Failed(_))), "{reason:?}");
        assert_eq!(
            world.told(),
            ["connecting 1".to_owned(), format!("first to second: {said}"), "opened second".to_owned()]
        );
    }
}

// F-4
#[tokio::test(start_paused = true)]
async fn f_4_a_refusal_that_the_second_would_meet_too_is_the_last_word() {
    for cause in [
        refusal(StatusCode::UNAUTHORIZED, None),
        refusal(StatusCode::FORBIDDEN, Some(OWN)),
        ConnectError::SubprotocolUnanswered,
        ConnectError::Certificate(Arc::new(std::io::Error::other("expired"))),
    ] {
        let mut world = world();
        let said = cause.to_string();
        world.first.fail(cause).await;
        until(&world.socket, |status| matches!(status, Status::Stopped { .. })).await;
        assert_eq!(world.told(), ["connecting 1".to_owned(), format!("failed: {said}"), format!("stopped: {said}")]);
        assert!(world.second.dialed().now_or_never().is_none());
    }
}

// F-5
#[tokio::test(start_paused = true)]
async fn f_5_one_that_does_not_open_within_the_threshold_is_given_up() {
    let mut world = world();
    let begin = Instant::now();
    let attempt = world.first.dialed().await;
    let _second = world.second.accept().await;
    assert_eq!(begin.elapsed(), THRESHOLD);
    let reason = world.by("second").await;
    assert!(matches!(reason, Some(SwitchReason::Slow(THRESHOLD))), "{reason:?}");
    drop(attempt);
}

// F-6, F-11
#[tokio::test(start_paused = true)]
async fn f_6_one_that_opens_and_swallows_frames_is_given_up() {
    let mut world = world();
    let mut swallows = world.first.accept().await;
    let begin = Instant::now();
    let _second = world.second.accept().await;
    assert_eq!(begin.elapsed(), THRESHOLD);
    let reason = world.by("second").await;
    assert!(matches!(reason, Some(SwitchReason::Silent(THRESHOLD))), "{reason:?}");
    assert!(swallows.recv().await.is_some());
    assert!(swallows.recv().await.is_none(), "its connection is left open");
}

#[tokio::test(start_paused = true)]
async fn one_that_dies_before_it_answers_is_given_up_at_once() {
    let mut world = world();
    world.first.accept().await.cut();
    let _second = world.second.accept().await;
    let reason = world.by("second").await;
    assert!(
        matches!(&reason, Some(SwitchReason::Failed(cause)) if matches!(**cause, ConnectError::Ended)),
        "{reason:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn one_that_talks_without_end_and_does_not_answer_is_given_up() {
    let mut world = world();
    let mut connection = world.first.accept().await;
    let talk = async {
        loop {
            connection.broadcast("room:1", "noise", json!({})).await;
            tokio::task::yield_now().await;
        }
    };
    let _second = tokio::select! { () = talk => unreachable!(), second = world.second.accept() => second };
    let reason = world.by("second").await;
    assert!(matches!(reason, Some(SwitchReason::Failed(_))), "{reason:?}");
}

// F-11, DEV-19
#[tokio::test(start_paused = true)]
async fn f_11_a_passing_error_of_a_healthy_one_leads_to_no_switch() {
    let mut world = world();
    let connection = world.first_answers().await;
    world.by("first").await;
    advance(MINUTE).await;
    connection.cut();
    for _ in 0..5 {
        world.first.refuse(StatusCode::BAD_GATEWAY).await;
    }
    // Nor is it hurried: a slow answer is an answer.
    let attempt = world.first.dialed().await;
    advance(2 * THRESHOLD).await;
    let _connection = answered(attempt.accept()).await;
    world.by("first").await;
    assert!(world.told().iter().all(|told| !told.contains("second")));
}

// DEV-19
#[tokio::test(start_paused = true)]
async fn an_error_that_does_not_pass_does_lead_to_one() {
    let mut world = world();
    let connection = world.first_answers().await;
    world.by("first").await;
    advance(MINUTE).await;
    connection.cut();
    let begin = Instant::now();
    let refuse = async {
        loop {
            world.first.refuse(StatusCode::BAD_GATEWAY).await;
        }
    };
    let _second = tokio::select! { () = refuse => unreachable!(), second = world.second.accept() => second };
    let after = begin.elapsed();
    assert!(after >= MINUTE && after < MINUTE + 10 * SECOND, "{after:?}");
}

// F-11, DEV-19
#[tokio::test(start_paused = true)]
async fn f_11_one_that_dies_young_several_times_is_given_up() {
    let mut world = world();
    for _ in 0..3 {
        let connection = world.first_answers().await;
        world.by("first").await;
        advance(9 * SECOND).await;
        connection.cut();
    }
    let _second = world.second.accept().await;
    let reason = world.by("second").await;
    assert!(matches!(reason, Some(SwitchReason::ShortLived { opens: 3, .. })), "{reason:?}");
}

#[tokio::test(start_paused = true)]
async fn f_7_nor_does_it_stay_given_up_where_the_second_fails() {
    let mut world = world_of(|both| both.short_lived(1, 10 * SECOND), |builder| builder);
    world.first_answers().await.cut();
    world.second.refuse(StatusCode::NOT_FOUND).await;
    until(&world.socket, |status| matches!(status, Status::Waiting { .. })).await;
    let _connection = world.first_answers().await;
    assert!(world.by("first").await.is_none());
}

#[tokio::test(start_paused = true)]
async fn neither_a_close_frame_nor_a_long_life_counts_as_dying_young() {
    let mut world = world();
    for round in 0..8 {
        let connection = world.first_answers().await;
        world.by("first").await;
        match round % 4 {
            0 | 1 => connection.cut(),
            2 => connection.close(1012),
            _ => {
                advance(11 * SECOND).await;
                connection.cut();
            }
        }
        until(&world.socket, |status| !status.is_connected()).await;
    }
    assert!(world.second.dialed().now_or_never().is_none());
}

// F-1, F-7
#[tokio::test(start_paused = true)]
async fn where_the_second_fails_too_the_next_attempt_begins_with_the_first() {
    let mut world = world();
    for attempt in 1..=2 {
        world.first.refuse(StatusCode::BAD_GATEWAY).await;
        world.second.refuse(StatusCode::NOT_FOUND).await;
        until(&world.socket, |status| matches!(status, Status::Waiting { .. })).await;
        let told = world.told();
        assert_eq!(told.len(), 3, "{told:?}");
        assert_eq!(told[0], format!("connecting {attempt}"));
        assert!(told[2].starts_with("failed") && told[2].contains("404"), "{told:?}");
    }
    let _connection = world.first_answers().await;
    assert!(world.by("first").await.is_none());
}

#[tokio::test(start_paused = true)]
async fn once_fallen_it_stays_with_the_second_until_that_fails() {
    let (mut world, second) = World::fallen().await;
    second.cut();
    let second = world.second.accept().await;
    let reason = world.by("second").await;
    assert!(matches!(reason, Some(SwitchReason::Failed(_))), "{reason:?}");
    assert!(!world.told().iter().any(|told| told.contains(" to ")), "a switch is told once");
    second.cut();
    world.second.refuse(StatusCode::BAD_GATEWAY).await;
    let _connection = world.first_answers().await;
    assert!(world.by("first").await.is_none());
}

// F-7, F-10, DEV-19
#[tokio::test(start_paused = true)]
async fn dev_19_it_goes_back_up_once_a_probe_finds_the_first_healthy() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let mut world = world_of(
        |both| both.probe_every(MINUTE),
        |builder| {
            builder.params_with(move || {
                let n = count.fetch_add(1, Ordering::Relaxed) + 1;
                async move { Ok(json!({ "n": n })) }
            })
        },
    );
    world.first.refuse(StatusCode::BAD_GATEWAY).await;
    let mut second = world.second.accept().await;
    world.by("second").await;
    let (room, _) = joined(&world.socket, &mut second, "room:1").await;
    world.told();

    // Refused, silent, and slow: each is told, and disturbs nothing.
    world.first.refuse(StatusCode::BAD_GATEWAY).await;
    let mut silent = world.first.accept().await;
    assert!(silent.recv().await.is_some());
    assert!(silent.recv().await.is_none());
    let slow = world.first.dialed().await;
    assert_eq!(slow.dial().url.query(), Some("n=4"), "the closures are asked for each probe");
    advance(THRESHOLD).await;
    settle().await;
    drop(slow);
    assert_eq!(
        world.told(),
        [
            "first not yet: the server refused the connection with HTTP 502 Bad Gateway: a proxy does not reach the server",
            "first not yet: the server did not answer the heartbeat in time",
            "first not yet: connecting took too long",
        ]
    );
    assert!(world.socket.status().current().is_connected());

    let mut first = world.first_answers().await;
    assert!(world.by("first").await.is_none());
    assert_eq!(
        world.told(),
        [
            "second to first: the first choice is healthy again",
            "closed: it was given up for a better connection, by first",
            "connecting 1",
            "opened first",
        ]
    );
    // The connection of the probe is the one that is used, and the old one has ended.
    let join = first.recv().await.unwrap();
    assert_eq!((&*join.topic, &*join.event), ("room:1", "phx_join"));
    while let Some(late) = second.recv().await {
        assert_eq!(&*late.event, "heartbeat");
    }
    assert_eq!(asked.load(Ordering::Relaxed), 5);
    drop(room);
}

#[tokio::test(start_paused = true)]
async fn a_probe_ends_with_its_connection() {
    let (mut world, _second) = World::fallen().await;
    advance(5 * MINUTE).await;
    let mut probe = world.first.accept().await;
    assert!(probe.recv().await.is_some());
    world.socket.disconnect().await;
    assert!(probe.recv().await.is_none());
    assert_eq!(world.told(), ["closed: the socket was closed by this side"]);
}

/// A connection that a probe has opened is for whoever the socket was then.
#[tokio::test(start_paused = true)]
async fn after_a_disconnect_it_connects_anew() {
    let (mut world, mut second) = World::fallen().await;
    advance(5 * MINUTE).await;
    let mut probed = world.first_answers().await;
    // The old connection is being closed, and does not end.
    let Some(Frame::Close { .. }) = second.recv_frame().await else { panic!("it is not closed") };
    world.socket.disconnect().await;
    assert!(probed.recv().await.is_none(), "what the probe has opened is kept");
    world.socket.connect().detach_in_background();
    let _connection = world.first_answers().await;
    assert!(world.by("first").await.is_none());
}

/// A store that says what it is asked.
#[derive(Clone, Default)]
struct Notes(Arc<std::sync::Mutex<(Option<SystemTime>, Vec<String>)>>);

impl FallbackStore for Notes {
    fn recall(&self, _: &str) -> Option<SystemTime> {
        self.0.lock().unwrap().0
    }

    fn remember(&self, server: &str, until: SystemTime) {
        let mut notes = self.0.lock().unwrap();
        notes.0 = Some(until);
        notes.1.push(format!("remember {server}"));
    }

    fn forget(&self, server: &str) {
        let mut notes = self.0.lock().unwrap();
        if notes.0.take().is_some() {
            notes.1.push(format!("forget {server}"));
        }
    }
}

// F-2, F-8, F-9
#[tokio::test(start_paused = true)]
async fn f_8_that_it_was_given_up_is_remembered_where_the_store_says() {
    let notes = Notes::default();
    let (mut world, store) = (world_of(|both| both.store(notes.clone()), |builder| builder), notes.clone());
    world.first.refuse(StatusCode::BAD_GATEWAY).await;
    world.second.refuse(StatusCode::BAD_GATEWAY).await;
    until(&world.socket, |status| matches!(status, Status::Waiting { .. })).await;
    assert_eq!(store.0.lock().unwrap().1, [""; 0], "it is remembered only once the second is open");
    world.first.refuse(StatusCode::BAD_GATEWAY).await;
    let _second = world.second.accept().await;
    world.by("second").await;
    assert_eq!(store.0.lock().unwrap().1, ["remember ws://memory/socket"]);
    let until_then = store.0.lock().unwrap().0.unwrap().duration_since(SystemTime::now()).unwrap();
    assert!(until_then > 23 * 60 * MINUTE && until_then <= 24 * 60 * MINUTE, "{until_then:?}");

    // Another program, later.
    let mut later =
        world_of(|both| both.store(notes.clone()).probe_every(SECOND), |builder| builder.params(json!({ "a": 1 })));
    let _second = later.second.accept().await;
    let reason = later.by("second").await;
    assert!(matches!(reason, Some(SwitchReason::Remembered)), "{reason:?}");
    assert!(later.first.dialed().now_or_never().is_none());
    let _first = later.first_answers().await;
    later.by("first").await;
    assert_eq!(store.0.lock().unwrap().1, ["remember ws://memory/socket", "forget ws://memory/socket"]);

    // Still later: what has expired counts as nothing.
    store.0.lock().unwrap().0 = Some(SystemTime::now() - SECOND);
    let mut last = world_of(|both| both.store(notes), |builder| builder);
    let _first = last.first_answers().await;
    last.by("first").await;
}

// F-8
#[tokio::test(start_paused = true)]
async fn f_8_what_was_healthy_before_is_not_remembered() {
    let notes = Notes::default();
    let mut world = world_of(|both| both.store(notes.clone()).short_lived(1, 10 * SECOND), |builder| builder);
    world.first_answers().await.cut();
    let _second = world.second.accept().await;
    world.by("second").await;
    assert_eq!(notes.0.lock().unwrap().1, [""; 0]);
}

/// A transport that needs no heartbeats.
struct Lively<T>(T);

impl<T: Transport> Transport for Lively<T> {
    async fn dial(&self, dial: Dial) -> Result<Connection, ConnectError> {
        Ok(self.0.dial(dial).await?.without_heartbeats())
    }
}

// L-8, H-10
#[tokio::test(start_paused = true)]
async fn l_8_a_connection_that_wants_no_heartbeats_gets_none() {
    for wrapped in [false, true] {
        let (memory, mut peer) = memory::pair();
        let transport = if wrapped { Wrapping(Lively(memory)).boxed() } else { Lively(memory).boxed() };
        let socket = builder(transport).start().unwrap();
        let mut server = peer.accept().await;
        until(&socket, Status::is_connected).await;
        advance(10 * MINUTE).await;
        settle().await;
        assert!(server.recv().now_or_never().is_none());
        assert!(socket.status().current().is_connected());
        let ping = socket.ping();
        let answer = async {
            let ping = server.recv().await.unwrap();
            server.reply(&ping, "ok", json!({})).await;
        };
        let (pinged, ()) = futures::future::join(ping, answer).await;
        assert!(pinged.is_ok(), "a ping is no heartbeat of the socket's own");
    }
}

/// Passes all on, and stays what it is.
struct Wrapping<T>(T);

impl<T: Transport> Transport for Wrapping<T> {
    async fn dial(&self, dial: Dial) -> Result<Connection, ConnectError> {
        use futures::TryStreamExt;
        Ok(self.0.dial(dial).await?.wrap(|connection| connection.inspect_ok(|frame: &Frame| drop(frame.clone()))))
    }
}

#[tokio::test(start_paused = true)]
async fn three_in_a_row_each_say_which_is_used() {
    let ((a, mut a_peer), (b, mut b_peer), (c, mut c_peer)) = (memory::pair(), memory::pair(), memory::pair());
    let socket = builder(Named(a, "a").or(Named(b, "b")).or(Named(c, "c"))).start().unwrap();
    a_peer.refuse(StatusCode::BAD_GATEWAY).await;
    b_peer.refuse(StatusCode::BAD_GATEWAY).await;
    let c = c_peer.accept().await;
    let by = |name: &'static str| {
        until(&socket, move |status| matches!(status, Status::Connected { transport, .. } if *transport == name))
    };
    by("c").await;
    c.cut();
    // Nothing of the third any more: from the beginning.
    c_peer.refuse(StatusCode::BAD_GATEWAY).await;
    a_peer.refuse(StatusCode::BAD_GATEWAY).await;
    let _b = answered(b_peer.accept().await).await;
    by("b").await;
}
