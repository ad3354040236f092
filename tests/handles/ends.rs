//! Connecting, disconnecting, closing, being closed: in every state, twice, and at once.

use std::time::Duration;

use futures::{FutureExt, StreamExt, TryStreamExt};
use http::StatusCode;
use phoenix_streams::{
    Backoff, ChannelClosed, ChannelStatus, ConnectError, JoinError, NotJoined, NotSent, PushError, Socket, Status,
    Telemetry, TelemetryStream,
    transport::{
        Frame,
        memory::{self, PeerConnection},
    },
};
use tokio::time::{Instant, advance};

use crate::support::{builder, connected, connected_by, joined, poll, recv_event, sent, settle, until};

async fn close_frame(server: &mut PeerConnection) -> (u16, String) {
    loop {
        if let Frame::Close { code, reason } = server.recv_frame().await.expect("a close frame before the end") {
            return (code, reason.to_string());
        }
    }
}

/// Whether nothing connects any more, however long one waits.
async fn stays_off(peer: &mut memory::Peer) -> bool {
    advance(Duration::from_secs(600)).await;
    settle().await;
    peer.dialed().now_or_never().is_none()
}

// S-1, DEV-5
#[tokio::test(start_paused = true)]
async fn s_1_connect_is_idempotent() {
    let (socket, mut peer, mut server) = connected().await;
    let (_room, _) = joined(&socket, &mut server, "room:1").await;
    let mut telemetry = socket.telemetry();
    for connect in [socket.connect(), socket.connect()] {
        connect.await.unwrap();
    }
    settle().await;
    assert!(telemetry.next().now_or_never().is_none());
    assert!(peer.dialed().now_or_never().is_none());
    assert_eq!(Vec::<String>::new(), sent(&mut server).await);
}

// DEV-5, DEV-24, S-2, S-12, S-16
#[tokio::test(start_paused = true)]
async fn after_any_close_of_the_server_it_reconnects_and_connect_waits_for_that() {
    for code in [1000, 1001, 1005, 1006, 1008, 1011, 1012, 1013, 3410, 4000] {
        let (socket, mut peer, mut server) = connected().await;
        let (room, _) = joined(&socket, &mut server, "room:1").await;
        server.close(code);
        let status = until(&socket, |status| matches!(status, Status::Waiting { .. })).await;
        let Status::Waiting { cause, delay, .. } = status else { unreachable!() };
        assert!(matches!(&*cause, ConnectError::ClosedByServer { code: told, .. } if *told == code));
        assert_eq!(code == 1000, delay >= Duration::from_secs(1), "{code}");
        let mut connect = socket.connect();
        assert!(poll(&mut connect).is_pending());
        let mut server = peer.accept().await;
        connect.await.unwrap();
        let rejoin = server.recv().await.unwrap();
        server.reply(&rejoin, "ok", ()).await;
        room.status().wait_for(ChannelStatus::is_joined).await.unwrap();
    }
}

// T-14
#[tokio::test(start_paused = true)]
async fn t_14_after_any_end_it_is_not_connected_any_more() {
    type End = fn(PeerConnection);
    let ends: [(End, fn(&ConnectError) -> bool); 3] = [
        (PeerConnection::cut, |cause| matches!(cause, ConnectError::Ended)),
        (
            |server| server.fail(ConnectError::transport("the network is gone")),
            |cause| matches!(cause, ConnectError::Transport(_)),
        ),
        (|server| server.close(1011), |cause| matches!(cause, ConnectError::ClosedByServer { code: 1011, .. })),
    ];
    for (end, is_it) in ends {
        let (socket, mut peer, mut server) = connected().await;
        let (room, _) = joined(&socket, &mut server, "room:1").await;
        let mut ask = room.push("ask", ());
        assert!(poll(&mut ask).is_pending());
        recv_event(&mut server, "ask").await;
        end(server);
        assert!(matches!(ask.await, Err(PushError::Disconnected)), "at once");
        let Status::Waiting { cause, .. } = socket.status().current() else { panic!("{:?}", socket.status()) };
        assert!(is_it(&cause), "{cause:?}");
        let ChannelStatus::Errored { cause: NotJoined::ConnectionLost(lost) } = room.status().current() else {
            panic!("{:?}", room.status())
        };
        assert!(is_it(&lost));
        let _server = peer.accept().await;
        until(&socket, Status::is_connected).await;
    }
}

// S-3, S-19
#[tokio::test(start_paused = true)]
async fn s_3_connect_during_a_disconnect_opens_another_connection() {
    let (socket, mut peer, mut old) = connected().await;
    let (room, _) = joined(&socket, &mut old, "room:1").await;
    let mut disconnect = socket.disconnect();
    assert!(poll(&mut disconnect).is_pending());
    settle().await;
    let mut connect = socket.connect();
    assert!(poll(&mut connect).is_pending());
    let mut server = peer.accept().await;
    connect.await.unwrap();
    assert!(poll(&mut disconnect).is_pending(), "the old one is not through yet");
    let join = server.recv().await.unwrap();
    server.reply(&join, "ok", ()).await;
    settle().await;
    assert_eq!((1000, String::new()), close_frame(&mut old).await);
    old.close(1000);
    disconnect.await;
    // The old one's end has not touched the new one.
    assert!(socket.status().current().is_connected() && room.status().current().is_joined());
    assert_eq!(Vec::<String>::new(), sent(&mut server).await);
    assert!(peer.dialed().now_or_never().is_none());
}

// S-18, S-25
#[tokio::test(start_paused = true)]
async fn s_18_disconnect_without_a_connection_is_done_at_once() {
    let (transport, mut peer) = memory::pair();
    let socket = builder(transport).idle().unwrap();
    let begun = Instant::now();
    assert!(matches!(socket.status().current(), Status::Idle));
    socket.disconnect().await;
    socket.disconnect().await;
    assert!(matches!(socket.status().current(), Status::Disconnected));
    assert!(!socket.status().current().is_connected());
    assert_eq!(Duration::ZERO, begun.elapsed());
    assert!(stays_off(&mut peer).await);
}

// S-19, T-18
#[tokio::test(start_paused = true)]
async fn s_19_overlapping_disconnects_are_both_done() {
    let (socket, mut peer, mut server) = connected().await;
    let mut telemetry = socket.telemetry();
    let mut both = [socket.disconnect().code(4001).reason("first"), socket.disconnect().code(4002)];
    for disconnect in &mut both {
        assert!(poll(disconnect).is_pending());
    }
    assert_eq!((4001, "first".to_owned()), close_frame(&mut server).await);
    assert!(both.iter_mut().all(|disconnect| poll(disconnect).is_pending()), "the peer has not answered");
    server.close(4001);
    futures::future::join_all(both).await;
    assert!(matches!(telemetry.next().await, Some(Ok(Telemetry::Closed { .. }))));
    settle().await;
    assert!(telemetry.next().now_or_never().is_none(), "closed once");
    assert!(stays_off(&mut peer).await);
}

// S-17, S-20
#[tokio::test(start_paused = true)]
async fn s_20_what_was_accepted_is_flushed_before_the_close() {
    let (socket, _peer, mut server) = connected().await;
    let (room, _) = joined(&socket, &mut server, "room:1").await;
    let mut casts: Vec<_> = (0..10).map(|number| room.cast("tell", number)).collect();
    for cast in &mut casts {
        assert!(poll(cast).is_pending());
    }
    settle().await;
    let mut disconnect = socket.disconnect().code(4000).reason("lunch");
    assert!(poll(&mut disconnect).is_pending());
    settle().await;
    for number in 0..10 {
        let told = server.recv().await.unwrap();
        assert_eq!(("tell", number), (&*told.event, told.payload.json().unwrap()));
    }
    assert_eq!((4000, "lunch".to_owned()), close_frame(&mut server).await);
    server.close(4000);
    disconnect.await;
    assert!(futures::future::join_all(casts).await.iter().all(Result::is_ok));
}

// S-20, S-24, DEV-7
#[tokio::test(start_paused = true)]
async fn s_20_a_peer_that_does_not_answer_the_close_is_waited_for_1_5_seconds() {
    let (socket, _peer, mut server) = connected().await;
    let mut telemetry = socket.telemetry();
    let begun = Instant::now();
    let mut disconnect = socket.disconnect();
    assert!(poll(&mut disconnect).is_pending());
    assert!(matches!(telemetry.next().await, Some(Ok(Telemetry::Closed { .. }))), "told all the same");
    disconnect.await;
    assert_eq!(Duration::from_millis(1_500), begun.elapsed());
    close_frame(&mut server).await;
    assert!(server.recv_frame().await.is_none());
    settle().await;
    assert!(telemetry.next().now_or_never().is_none());
}

/// Ways for a socket to be on its way.
async fn in_every_state() -> Vec<(&'static str, Socket, memory::Peer, Option<PeerConnection>)> {
    let mut all = Vec::new();
    let (transport, peer) = memory::pair();
    all.push(("idle", builder(transport).idle().unwrap(), peer, None));

    let (transport, peer) = memory::pair();
    all.push(("dialing", builder(transport).start().unwrap(), peer, None));

    let (transport, mut peer) = memory::pair();
    let socket = builder(transport).reconnect(Backoff::steps([Duration::from_secs(5)])).start().unwrap();
    peer.refuse(StatusCode::INTERNAL_SERVER_ERROR).await;
    until(&socket, |status| matches!(status, Status::Waiting { .. })).await;
    all.push(("waiting", socket, peer, None));

    let (transport, mut peer) = memory::pair();
    let socket = builder(transport).start().unwrap();
    peer.refuse(StatusCode::FORBIDDEN).await;
    until(&socket, |status| matches!(status, Status::Stopped { .. })).await;
    all.push(("stopped", socket, peer, None));

    let (socket, peer, server) = connected().await;
    all.push(("open", socket, peer, Some(server)));

    let (socket, peer, mut server) = connected().await;
    socket.channel("room:1").join(()).detach();
    settle().await;
    server.recv().await.unwrap();
    all.push(("joining", socket, peer, Some(server)));

    let (socket, peer, server) = connected().await;
    assert!(socket.disconnect().now_or_never().is_none());
    settle().await;
    all.push(("disconnecting", socket, peer, Some(server)));
    settle().await;
    all
}

// T-18, S-21
#[tokio::test(start_paused = true)]
async fn t_18_disconnect_close_and_drop_take_effect_in_every_state() {
    for which in 0..4 {
        for (state, socket, mut peer, server) in in_every_state().await {
            let mut status = socket.status();
            let begun = Instant::now();
            match which {
                0 => {
                    futures::join!(socket.disconnect(), socket.disconnect());
                    assert!(matches!(socket.status().current(), Status::Disconnected), "{state}");
                }
                1 => {
                    futures::join!(socket.close(), socket.close());
                    socket.close().await;
                    assert!(socket.status().current().is_closed(), "{state}");
                }
                2 => {
                    futures::join!(socket.close(), socket.disconnect());
                    assert!(socket.status().current().is_closed(), "{state}");
                }
                _ => {
                    drop(socket);
                    while status.next().await.is_some() {}
                    assert!(status.current().is_closed(), "{state}");
                }
            }
            assert!(begun.elapsed() <= Duration::from_millis(1_500), "{state}: {:?}", begun.elapsed());
            if let Some(mut server) = server {
                let (code, _) = close_frame(&mut server).await;
                assert_eq!(1000, code, "{state}");
            }
            assert!(stays_off(&mut peer).await, "{state}");
        }
    }
}

// T-18, S-22
#[tokio::test(start_paused = true)]
async fn s_22_no_heartbeat_after_a_disconnect() {
    let (socket, mut peer, mut server) = connected_by(|it| it.heartbeat(Duration::from_secs(1))).await;
    advance(Duration::from_secs(1)).await;
    recv_event(&mut server, "heartbeat").await;
    let mut telemetry = socket.telemetry();
    socket.disconnect().await;
    assert!(stays_off(&mut peer).await);
    let told: Vec<_> = std::iter::from_fn(|| telemetry.next().now_or_never()).collect();
    assert!(matches!(&*told, [Some(Ok(Telemetry::Closed { cause, .. }))] if matches!(**cause, ConnectError::Closed)));
    assert_eq!(0, socket.stats().timers);
}

// S-23, S-4
#[tokio::test(start_paused = true)]
async fn s_23_after_a_disconnect_connect_joins_again() {
    let (socket, mut peer, mut server) = connected().await;
    let (room, _) = joined(&socket, &mut server, "room:1").await;
    let mut shouts = room.events("shout");
    server = {
        let mut disconnect = socket.disconnect();
        assert!(poll(&mut disconnect).is_pending());
        close_frame(&mut server).await;
        server.close(1000);
        disconnect.await;
        assert!(matches!(room.status().current(), ChannelStatus::Errored { cause: NotJoined::ConnectionLost(_) }));
        // What is pushed now waits.
        let mut ask = room.push("ask", ());
        assert!(poll(&mut ask).is_pending());
        assert!(stays_off(&mut peer).await);
        assert!(matches!(ask.await, Err(PushError::NotSent(NotSent::Timeout))));
        let mut connect = socket.connect();
        assert!(poll(&mut connect).is_pending());
        // An attempt that fails is tried again, although the last end was clean.
        peer.refuse(StatusCode::BAD_GATEWAY).await;
        let server = peer.accept().await;
        connect.await.unwrap();
        server
    };
    let join = server.recv().await.unwrap();
    assert_eq!("phx_join", &*join.event);
    server.reply(&join, "ok", ()).await;
    server.push(&join, "shout", 1).await;
    assert!(shouts.next().await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn after_close_everything_says_so() {
    let (socket, _peer, mut server) = connected().await;
    let (room, _) = joined(&socket, &mut server, "room:1").await;
    let mut shouts = room.events("shout");
    let mut telemetry = socket.telemetry();
    let mut waiting = socket.channel("room:2").join(());
    let mut ask = room.push("ask", ());
    assert!(poll(&mut waiting).is_pending() && poll(&mut ask).is_pending());
    settle().await;
    let mut close = socket.close();
    assert!(poll(&mut close).is_pending());
    close_frame(&mut server).await;
    server.close(1000);
    close.await;
    assert!(matches!(waiting.await, Err(JoinError::Closed)));
    assert!(matches!(ask.await, Err(PushError::Disconnected)));
    assert!(shouts.next().await.is_none());
    assert!(telemetry.by_ref().try_collect::<Vec<_>>().await.is_ok(), "it ends");
    assert!(matches!(socket.connect().await, Err(ConnectError::Closed)));
    assert!(matches!(room.join(()).await, Err(JoinError::Closed)));
    assert!(matches!(room.push("ask", ()).await, Err(PushError::NotSent(NotSent::Closed))));
    assert!(room.leave().await.is_ok());
    socket.disconnect().await;
    let new = socket.channel("room:3");
    assert!(new.events("shout").next().await.is_none());
    assert!(socket.telemetry().next().await.is_none());
    for status in [room.status().current(), new.status().current()] {
        assert!(matches!(status, ChannelStatus::Closed { cause: ChannelClosed::Socket }));
    }
}

fn kinds(telemetry: &mut TelemetryStream) -> Vec<&'static str> {
    std::iter::from_fn(|| telemetry.next().now_or_never().flatten())
        .map(|told| match told.unwrap() {
            Telemetry::Connecting { .. } => "connecting",
            Telemetry::Failed { .. } => "failed",
            Telemetry::Opened { .. } => "opened",
            Telemetry::Closed { .. } => "closed",
            Telemetry::Waiting { .. } => "waiting",
            Telemetry::Stopped { .. } => "stopped",
            Telemetry::Heartbeat { .. } => "heartbeat",
            Telemetry::Joining { .. } => "joining",
            Telemetry::Joined { .. } => "joined",
            Telemetry::Errored { .. } => "errored",
            Telemetry::ChannelClosed { .. } => "channel closed",
            Telemetry::Undecodable { .. } => "undecodable",
            other => panic!("{other:?}"),
        })
        .collect()
}

// DEV-7, S-10, H-7
#[tokio::test(start_paused = true)]
async fn dev_7_exactly_one_closed_for_every_opened_in_order() {
    let (transport, mut peer) = memory::pair();
    let socket = builder(transport).idle().unwrap();
    let mut telemetry = socket.telemetry();
    let room = socket.channel("room:1");
    room.join(()).detach();
    let mut connect = socket.connect();
    assert!(poll(&mut connect).is_pending());
    peer.refuse(StatusCode::BAD_GATEWAY).await;
    let mut server = peer.accept().await;
    connect.await.unwrap();
    let join = server.recv().await.unwrap();
    server.reply(&join, "ok", ()).await;
    settle().await;
    assert_eq!(
        ["connecting", "failed", "waiting", "connecting", "opened", "joining", "joined"],
        *kinds(&mut telemetry)
    );
    let ends: [fn(PeerConnection); 3] =
        [PeerConnection::cut, |server| server.close(1012), |server| server.fail(ConnectError::transport("broken"))];
    for end in ends {
        end(server);
        server = peer.accept().await;
        let join = server.recv().await.unwrap();
        server.reply(&join, "ok", ()).await;
        settle().await;
        assert_eq!(
            ["closed", "errored", "waiting", "connecting", "opened", "joining", "joined"],
            *kinds(&mut telemetry)
        );
    }
    // Nothing answers the heartbeat.
    let mut next = peer.accept().await;
    let asked = next.recv().await.unwrap();
    next.reply(&asked, "ok", ()).await;
    settle().await;
    assert_eq!(["closed", "errored", "waiting", "connecting", "opened", "joining", "joined"], *kinds(&mut telemetry));
    let mut close = socket.close();
    assert!(poll(&mut close).is_pending());
    close_frame(&mut next).await;
    next.close(1000);
    close.await;
    assert_eq!(["closed", "errored", "channel closed"], *kinds(&mut telemetry));
    assert!(telemetry.next().await.is_none());
}
