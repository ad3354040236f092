//! What is asked for before every attempt to connect, and what its failures mean.

use std::{
    future::ready,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::{FutureExt, StreamExt};
use http::{HeaderMap, HeaderValue, StatusCode};
use phoenix_streams::{
    Backoff, Builder, ChannelStatus, ConnectError, EventError, JoinError, NotJoined, Refusal, Socket, Status, Stop,
    json,
    transport::memory::{self, Peer},
};
use tokio::time::{Instant, advance};

use crate::support::{builder, poll, settle, until};

fn started(describe: impl FnOnce(Builder) -> Builder) -> (Socket, Peer) {
    let (transport, peer) = memory::pair();
    (describe(builder(transport)).start().unwrap(), peer)
}

/// A count that goes up each time it is asked for.
#[derive(Clone, Default)]
struct Count(Arc<AtomicUsize>);

impl Count {
    fn next(&self) -> usize {
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn now(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

async fn waiting(socket: &Socket) -> Arc<ConnectError> {
    match until(socket, |status| matches!(status, Status::Waiting { .. })).await {
        Status::Waiting { cause, .. } => cause,
        _ => unreachable!(),
    }
}

async fn stopped(socket: &Socket) -> Arc<ConnectError> {
    match until(socket, |status| matches!(status, Status::Stopped { .. })).await {
        Status::Stopped { cause } => cause,
        _ => unreachable!(),
    }
}

// U-4, A-2, S-34, T-24, DEV-22
#[tokio::test(start_paused = true)]
async fn t_24_params_token_and_headers_are_asked_for_at_every_attempt() {
    let (params, token, headers) = (Count::default(), Count::default(), Count::default());
    let counts = [params.clone(), token.clone(), headers.clone()];
    let (socket, mut peer) = started(|it| {
        it.header("x-fixed", "1")
            .params_with(move || {
                let number = params.next();
                async move {
                    tokio::task::yield_now().await;
                    Ok(json!({ "n": number }))
                }
            })
            .auth_token_with(move || ready(Ok(format!("token-{}", token.next()))))
            .headers_with(move || {
                let value = HeaderValue::from(headers.next());
                ready(Ok(HeaderMap::from_iter([("x-n".parse().unwrap(), value)])))
            })
    });
    for number in 1..=4 {
        let attempt = peer.dialed().await;
        let dial = attempt.dial();
        assert_eq!(Some(&*format!("n={number}")), dial.url.query());
        assert_eq!(Some(&*format!("token-{number}")), dial.token.as_deref());
        assert_eq!(number.to_string(), dial.headers["x-n"]);
        assert_eq!("1", dial.headers["x-fixed"]);
        assert!(counts.iter().all(|count| count.now() == number), "once each");
        match number {
            1 => attempt.refuse(StatusCode::BAD_GATEWAY),
            2 => attempt.accept().cut(),
            // With closures a 403 can heal.
            3 => attempt.refuse(StatusCode::FORBIDDEN),
            _ => drop(attempt.accept()),
        }
        waiting(&socket).await;
    }
}

// U-4
#[tokio::test(start_paused = true)]
async fn fixed_params_are_the_same_at_every_attempt() {
    let (_socket, mut peer) = started(|it| it.params(json!({ "user": 7 })).auth_token("secret"));
    for _ in 0..3 {
        let attempt = peer.dialed().await;
        assert_eq!(Some("user=7"), attempt.dial().url.query());
        assert_eq!(Some("secret"), attempt.dial().token.as_deref());
        attempt.refuse(StatusCode::BAD_GATEWAY);
    }
}

type Provide = fn(Builder, Count) -> Builder;

// T-24, T-21
#[tokio::test(start_paused = true)]
async fn t_24_stop_says_not_to_try_again() {
    let stopping: [Provide; 3] = [
        |it, count| {
            it.params_with(move || {
                ready(if count.next() == 1 { Err(Stop::new("logged out").into()) } else { Ok(json!({})) })
            })
        },
        |it, count| {
            it.auth_token_with(move || {
                ready(if count.next() == 1 { Err(Stop::new("logged out").into()) } else { Ok("token") })
            })
        },
        |it, count| {
            it.headers_with(move || {
                ready(if count.next() == 1 { Err(Stop::new("logged out").into()) } else { Ok(HeaderMap::new()) })
            })
        },
    ];
    for provide in stopping {
        let count = Count::default();
        let (transport, mut peer) = memory::pair();
        let socket = provide(builder(transport), count.clone()).idle().unwrap();
        let room = socket.channel("room:1");
        let mut shouts = room.events("shout");
        let mut join = room.join(());
        assert!(poll(&mut join).is_pending());
        settle().await;
        let told = socket.connect().await.unwrap_err();
        assert!(matches!(&told, ConnectError::Provider(_)) && told.to_string().contains("logged out"), "{told}");
        assert!(matches!(*stopped(&socket).await, ConnectError::Provider(_)));
        assert!(matches!(join.await, Err(JoinError::Stopped(_))));
        assert!(matches!(room.status().current(), ChannelStatus::Errored { cause: NotJoined::Stopped(_) }));
        assert!(matches!(shouts.next().await, Some(Err(EventError::NotJoined(NotJoined::Stopped(_))))));
        advance(Duration::from_secs(600)).await;
        settle().await;
        assert_eq!(1, count.now());
        // `connect` tries again, and what was wanted joins.
        let mut connect = socket.connect();
        assert!(poll(&mut connect).is_pending());
        let mut server = peer.accept().await;
        connect.await.unwrap();
        let join = server.recv().await.unwrap();
        server.reply(&join, "ok", ()).await;
        server.push(&join, "shout", ()).await;
        assert!(shouts.next().await.unwrap().is_ok());
    }
}

// T-21, T-23
#[tokio::test(start_paused = true)]
async fn what_cannot_heal_stops_and_is_told() {
    let refused = |status| ConnectError::Refused(Box::new(Refusal::new(status, HeaderMap::new(), "no")));
    for cause in
        [refused(StatusCode::UNAUTHORIZED), refused(StatusCode::FORBIDDEN), ConnectError::SubprotocolUnanswered]
    {
        let (transport, mut peer) = memory::pair();
        let mut connect = builder(transport).connect();
        assert!(poll(&mut connect).is_pending());
        settle().await;
        let begun = Instant::now();
        peer.fail(cause.clone()).await;
        let told = connect.await.unwrap_err();
        assert_eq!(cause.to_string(), told.to_string());
        assert_eq!(Duration::ZERO, begun.elapsed(), "at once");
    }
}

// T-23
#[tokio::test(start_paused = true)]
async fn t_23_retry_after_is_obeyed_up_to_five_minutes() {
    let asked = |seconds: u32| {
        let headers = HeaderMap::from_iter([(http::header::RETRY_AFTER, HeaderValue::from(seconds))]);
        ConnectError::Refused(Box::new(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, headers, "")))
    };
    let (_socket, mut peer) = started(|it| it.reconnect(Backoff::steps([Duration::from_secs(1)]).jitter(false)));
    peer.fail(asked(7)).await;
    for (seconds, waited) in [(0, 7), (86_400, 1), (1, 300)] {
        let begun = Instant::now();
        peer.fail(asked(seconds)).await;
        assert_eq!(waited, begun.elapsed().as_secs());
    }
}

#[tokio::test(start_paused = true)]
async fn a_first_connect_gives_up_after_30_seconds_with_the_last_cause() {
    let (transport, mut peer) = memory::pair();
    let begun = Instant::now();
    let connect = tokio::spawn(builder(transport).connect());
    let refuse = tokio::spawn(async move {
        loop {
            peer.refuse(StatusCode::BAD_GATEWAY).await;
        }
    });
    let told = connect.await.unwrap().unwrap_err();
    assert!(matches!(told, ConnectError::Refused(refusal) if refusal.status() == StatusCode::BAD_GATEWAY));
    assert_eq!(Duration::from_secs(30), begun.elapsed());
    refuse.abort();
}

// T-21
#[tokio::test(start_paused = true)]
async fn t_21_attempts_that_are_used_up_stop_the_socket() {
    let step = Duration::from_secs(1);
    let (socket, mut peer) = started(|it| it.reconnect(Backoff::steps([step]).jitter(false).limit(2)));
    let room = socket.channel("room:1");
    let mut shouts = room.events("shout");
    room.join(()).detach();
    for _ in 0..3 {
        peer.refuse(StatusCode::BAD_GATEWAY).await;
    }
    assert!(matches!(*stopped(&socket).await, ConnectError::Refused(_)));
    assert!(matches!(shouts.next().await, Some(Err(EventError::NotJoined(NotJoined::Stopped(_))))));
}

#[tokio::test(start_paused = true)]
async fn a_connect_waits_as_long_as_it_is_told() {
    let (transport, mut peer) = memory::pair();
    let begun = Instant::now();
    let connect = tokio::spawn(builder(transport).connect().timeout(Duration::from_secs(3)));
    peer.refuse(StatusCode::NOT_FOUND).await;
    let failed = connect.await.unwrap();
    assert!(matches!(failed, Err(ConnectError::Refused(refusal)) if refusal.status() == StatusCode::NOT_FOUND));
    assert_eq!(begun.elapsed(), Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_of_zero_is_none() {
    let (socket, mut peer) = started(|it| it.heartbeat(Duration::ZERO));
    let mut server = peer.accept().await;
    until(&socket, Status::is_connected).await;
    advance(Duration::from_secs(3600)).await;
    settle().await;
    assert!(server.recv_frame().now_or_never().is_none());
}
