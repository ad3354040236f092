//! How it gets back.

use std::{
    collections::HashMap,
    future::pending,
    sync::{
        Arc, Mutex,
        atomic::{
            AtomicBool, AtomicUsize,
            Ordering::{Relaxed, SeqCst},
        },
    },
};

use futures::{
    FutureExt, StreamExt,
    future::{join_all, ready},
    stream,
};
use phoenix_streams::{
    Builder, ConnectError, LongPoll, Or, PushError, Socket, Status, SwitchReason, Telemetry, Transport, WebSocket,
    http::HeaderMap,
    json,
    testing::{Fault, Server},
    transport::{Connection, Dial},
};

use crate::support::{Log, builder, in_time, ms, rooms, transport, word, words};

/// Why the first was not healthy.
fn cause(happened: &[Telemetry]) -> &ConnectError {
    match happened.last() {
        Some(Telemetry::ProbeFailed { transport: "websocket", cause }) => cause,
        other => panic!("{other:?}"),
    }
}

/// Connected by long-poll, where the WebSocket is blocked.
async fn fallen(server: &Server, builder: Builder) -> (Socket, Log) {
    server.misbehave(Fault::RefuseUpgrades(502));
    let socket = builder.idle().unwrap();
    let mut log = Log::of(&socket);
    in_time(socket.connect()).await.unwrap();
    log.until("opened long-poll").await;
    (socket, log)
}

// DEV-19, F-7
#[tokio::test]
async fn dev_19_it_goes_back_once_the_first_is_healthy() {
    let server = rooms().start().await.unwrap();
    let (socket, mut log) = fallen(&server, builder(&server, transport())).await;
    let room = socket.channel("room:1");
    let (mut joins, mut shouts, mut status) = (room.joins(), room.events("shout"), socket.status());
    in_time(room.join(())).await.unwrap();
    log.until("joined").await;
    server.behave();

    let happened = log.until("heals").await;
    assert!(happened.iter().rev().skip(1).all(|happened| word(happened) == "probe failed"), "{happened:?}");
    let happened = log.until("joined").await;
    assert_eq!(words(&happened), ["switched", "errored", "connecting", "opened websocket", "joining", "joined"]);
    let up = |status: &Status| matches!(status, Status::Connected { transport: "websocket", fallback: None });
    assert!(in_time(status.wait_for(up)).await.is_some());
    assert!(joins.next().await.unwrap().is_ok() && in_time(joins.next()).await.unwrap().is_ok());
    in_time(room.push("shout", json!({ "over": "websocket" }))).await.unwrap();
    assert_eq!(in_time(shouts.next()).await.unwrap().unwrap().payload().as_str(), Some(r#"{"over":"websocket"}"#));

    // The session that was left ends by itself, and the socket's one connection stays.
    in_time(server.wait_for_connections(1)).await;
    assert_eq!(server.sessions(), 0);
    in_time(socket.close()).await;
    assert_eq!(words(&log.until("closed").await), ["closed"]);
}

// DEV-19
#[tokio::test]
async fn a_probe_that_fails_is_told_and_disturbs_nothing() {
    let server = rooms().start().await.unwrap();
    let (socket, mut log) = fallen(&server, builder(&server, transport())).await;
    let room = socket.channel("room:1");
    let mut shouts = room.events("shout");
    in_time(room.join(())).await.unwrap();
    log.until("joined").await;
    let mut heard = 0;
    for fault in [None, Some(Fault::SwallowFrames)] {
        if let Some(fault) = fault {
            server.behave();
            server.misbehave(fault);
        }
        for _ in 0..2 {
            let failed = log.until("probe failed").await;
            assert_eq!(words(&failed), ["probe failed"]);
            match (cause(&failed), fault) {
                (ConnectError::Refused(refusal), _) => assert_eq!(refusal.status(), 502),
                (ConnectError::HeartbeatTimeout, Some(_)) => {}
                other => panic!("{other:?}"),
            }
            heard += 1;
            in_time(room.push("shout", json!({ "n": heard }))).await.unwrap();
            let payload = in_time(shouts.next()).await.unwrap().unwrap().into_payload();
            assert_eq!(payload.as_str(), Some(&*format!(r#"{{"n":{heard}}}"#)));
        }
    }
    assert_eq!((server.sessions(), server.channels("room:1")), (1, 1));
}

// DEV-19, DEV-23
#[tokio::test]
async fn a_probe_that_the_server_refuses_does_not_stop_the_socket() {
    let server = rooms().start().await.unwrap();
    let (_socket, mut log) = fallen(&server, builder(&server, transport().probe_every(ms(200)))).await;
    server.behave();
    server.refuse_next(401, 1);
    let failed = log.until("probe failed").await;
    assert!(matches!(cause(&failed), ConnectError::Refused(refusal) if refusal.status() == 401));
    assert_eq!(words(&log.until("opened websocket").await), ["heals", "switched", "connecting", "opened websocket"]);
}

/// Counts how often it is asked, and gives the number.
#[derive(Clone, Default)]
struct Counter(Arc<AtomicUsize>);

impl Counter {
    fn ask(&self) -> usize {
        self.0.fetch_add(1, SeqCst) + 1
    }

    fn asked(&self) -> usize {
        self.0.load(SeqCst)
    }
}

// DEV-19, DEV-22
#[tokio::test]
async fn dev_22_params_token_and_headers_are_asked_for_at_each_probe() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let note = seen.clone();
    let server = rooms().auth_token(true).connect(move |info| {
        let header = info.headers()["x-n"].to_str().unwrap().to_owned();
        let params = info.params()["n"].as_str().unwrap().to_owned();
        note.lock().unwrap().push([header, params, info.auth_token().unwrap().to_owned()]);
        ready(Ok(()))
    });
    let server = server.start().await.unwrap();
    let (params, token, headers) = (Counter::default(), Counter::default(), Counter::default());
    let counters = [params.clone(), token.clone(), headers.clone()];
    let builder = builder(&server, transport())
        .params_with(move || ready(Ok(json!({ "n": params.ask() }))))
        .auth_token_with(move || ready(Ok(token.ask().to_string())))
        .headers_with(move || {
            let header = ("x-n".parse().unwrap(), headers.ask().to_string().parse().unwrap());
            ready(Ok(HeaderMap::from_iter([header])))
        });
    let (_socket, mut log) = fallen(&server, builder).await;
    log.until("probe failed").await;
    server.behave();
    log.until("opened websocket").await;
    // Once for the attempt that fell back, once for each probe, and not for the connection that a probe has opened.
    let [first, last] = <[_; 2]>::try_from(seen.lock().unwrap().clone()).unwrap();
    assert_eq!(first, ["1"; 3].map(str::to_owned));
    assert_eq!(last, counters.map(|counter| counter.asked().to_string()));
    assert!(last[0].parse::<usize>().unwrap() >= 3);
}

// DEV-22
#[tokio::test]
async fn dev_22_a_closure_that_fails_panics_or_hangs_costs_a_probe() {
    let server = rooms().start().await.unwrap();
    let asked = Counter::default();
    let builder = builder(&server, transport()).connect_timeout(ms(1_000)).params_with(move || {
        let n = asked.ask();
        async move {
            match n {
                2 => Err("no session".into()),
                3 => panic!("on purpose"),
                4 => pending().await,
                _ => Ok(json!({})),
            }
        }
    });
    let (_socket, mut log) = fallen(&server, builder).await;
    server.behave();
    for expected in ["no session", "panicked", "too long"] {
        let failed = log.until("probe failed").await;
        assert_eq!(words(&failed), ["probe failed"]);
        assert!(cause(&failed).to_string().contains(expected), "{failed:?}");
    }
    assert_eq!(words(&log.until("opened websocket").await), ["heals", "switched", "connecting", "opened websocket"]);
}

/// Fails at first, and panics then.
struct Panics(WebSocket, Counter);

impl Transport for Panics {
    async fn dial(&self, dial: Dial) -> Result<Connection, ConnectError> {
        match self.1.ask() {
            1 => Err(ConnectError::transport("not today")),
            2 => panic!("on purpose"),
            _ => self.0.dial(dial).await,
        }
    }

    fn name(&self) -> &'static str {
        "websocket"
    }
}

#[tokio::test]
async fn a_transport_that_panics_costs_a_probe() {
    let server = rooms().start().await.unwrap();
    let first = Panics(WebSocket::default(), Counter::default());
    let socket = builder(&server, first.or(LongPoll::default()).probe_every(ms(50))).idle().unwrap();
    let mut log = Log::of(&socket);
    in_time(socket.connect()).await.unwrap();
    let failed = log.until("probe failed").await;
    assert_eq!(words(&failed), ["connecting", "falls", "opened long-poll", "probe failed"]);
    assert!(cause(&failed).to_string().contains("panicked"));
    assert_eq!(words(&log.until("opened websocket").await), ["heals", "switched", "connecting", "opened websocket"]);
}

// Law 4, DEV-19
#[tokio::test]
async fn pushes_meanwhile_are_settled_once_and_arrive_at_most_once() {
    let handled = Arc::new(Mutex::new(HashMap::<usize, usize>::new()));
    let note = handled.clone();
    let server = rooms().on("room:*", "count", move |_, number| {
        *note.lock().unwrap().entry(number.json().unwrap()).or_default() += 1;
        ready(Ok(json!({})))
    });
    let server = server.start().await.unwrap();
    let (socket, mut log) = fallen(&server, builder(&server, transport())).await;
    let room = socket.channel("room:1");
    in_time(room.join(())).await.unwrap();
    log.until("joined").await;

    let stop = Arc::new(AtomicBool::new(false));
    let go_on = stop.clone();
    let numbers = stream::iter(0_usize..).take_while(move |_| ready(!go_on.load(Relaxed)));
    let counted = room.clone();
    let pushing = numbers.map(move |number| {
        let push = counted.push("count", number);
        async move { (number, push.await) }
    });
    let pushing = tokio::spawn(pushing.buffer_unordered(8).collect::<Vec<_>>());
    server.behave();
    log.until("switched").await;
    log.until("joined").await;
    stop.store(true, Relaxed);

    let mut outcomes = in_time(pushing).await.unwrap();
    outcomes.sort_by_key(|(number, _)| *number);
    assert!(outcomes.iter().map(|(number, _)| *number).eq(0..outcomes.len()));
    let handled = handled.lock().unwrap().clone();
    for (number, outcome) in &outcomes {
        let times = handled.get(number).copied().unwrap_or(0);
        match outcome {
            Ok(_) => assert_eq!(times, 1, "{number}"),
            Err(PushError::Disconnected) => assert!(times <= 1, "{number}"),
            Err(other) => panic!("{number}: {other}"),
        }
    }
    assert_eq!(socket.stats().pending_pushes, 0);
    in_time(socket.close()).await;
    assert_eq!(words(&log.until("closed").await), ["closed"]);
}

/// It goes over by its own choice, and so for nothing that was answered at once.
#[tokio::test]
async fn a_burst_of_pushes_on_the_way_back_costs_none_of_them() {
    let server = rooms().start().await.unwrap();
    let (socket, mut log) = fallen(&server, builder(&server, transport())).await;
    let room = socket.channel("room:1");
    in_time(room.join(())).await.unwrap();
    log.until("joined").await;
    server.behave();
    log.until("heals").await;
    let outcomes = in_time(join_all((0..300).map(|n| room.push("shout", json!({ "n": n }))))).await;
    let failed: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).collect();
    assert!(failed.is_empty(), "{} of 300: {:?}", failed.len(), failed[0]);
    in_time(socket.close()).await;
}

// F-6, F-12
#[tokio::test]
async fn f_6_the_answers_to_its_pings_are_its_own() {
    let server = rooms().start().await.unwrap();
    let socket = builder(&server, transport()).idle().unwrap();
    let (mut log, mut all) = (Log::of(&socket), socket.messages());
    in_time(socket.connect()).await.unwrap();
    log.until("opened websocket").await;
    in_time(server.wait_for_connections(1)).await;
    server.misbehave(Fault::SwallowFrames);
    server.close_all(1012);
    log.until("probe failed").await;
    server.behave();
    log.until("opened websocket").await;
    let room = socket.channel("room:1");
    in_time(room.join(())).await.unwrap();
    in_time(room.push("shout", json!({}))).await.unwrap();
    let mut topics = Vec::new();
    while let Some(Some(message)) = all.next().now_or_never() {
        topics.push(message.unwrap().topic.to_string());
    }
    assert!(topics.len() >= 2 && topics.iter().all(|topic| topic == "room:1"), "{topics:?}");
    assert!(in_time(socket.ping()).await.is_ok());
}

fn elsewhere() -> WebSocket {
    WebSocket::default().path("elsewhere")
}

fn quick<A: Transport, B: Transport>(or: Or<A, B>) -> Or<A, B> {
    or.trust_for(ms(0)).probe_every(ms(50))
}

/// Connected by the third of three transports, of which the first never is of use; then by the second.
async fn of_three(transport: impl Transport) {
    let server = rooms().start().await.unwrap();
    let (socket, mut log) = fallen(&server, builder(&server, transport)).await;
    server.behave();
    log.until("opened websocket").await;
    match socket.status().current() {
        Status::Connected { transport: "websocket", fallback: Some(SwitchReason::Failed(cause)) } => {
            assert!(matches!(&*cause, ConnectError::Refused(refusal) if refusal.status() == 404), "{cause:?}");
        }
        other => panic!("{other:?}"),
    }
    // And the first is tried on.
    let failed = log.until("probe failed").await;
    assert!(matches!(cause(&failed), ConnectError::Refused(refusal) if refusal.status() == 404), "{failed:?}");
}

#[tokio::test]
async fn of_three_transports_the_second_is_not_taken_for_the_first() {
    let second = quick(WebSocket::default().or(LongPoll::default()));
    of_three(elsewhere().or(second).trust_for(ms(0)).probe_every(ms(400))).await;
    let first = elsewhere().or(WebSocket::default()).trust_for(ms(0)).probe_every(ms(400));
    of_three(quick(first.or(LongPoll::default()))).await;
}
