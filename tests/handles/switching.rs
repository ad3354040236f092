//! On the way back up, and what is told of it: what is easily got wrong.

use std::time::Duration;

use futures::{FutureExt, StreamExt};
use http::StatusCode;
use phoenix_streams::{
    Status, SwitchReason, Telemetry, Transport, json,
    transport::{Frame, memory},
};
use tokio::time::{advance, timeout};

use crate::{
    falling::{MINUTE, Named, SECOND, answered, both, by, connecting},
    support::{builder, settle},
};

// "every switch with its reason"; a connection that nobody uses is not kept.
#[tokio::test(start_paused = true)]
async fn a_connection_that_has_ended_switches_nothing() {
    let (both, mut first, mut second) = both();
    // The heartbeat of 30 s is given up after 45 s: the probe is under way then.
    let socket = builder(both.probe_every(44 * SECOND)).idle().unwrap();
    let mut telemetry = socket.telemetry();
    tokio::spawn(socket.connect().timeout(10 * MINUTE));
    first.refuse(StatusCode::BAD_GATEWAY).await;
    let _hangs = second.accept().await;
    by(&socket, "second").await;
    let mut probe = first.accept().await;
    let ping = probe.recv().await.unwrap();
    // Meanwhile the old connection is given up, and the socket is by the second again.
    let _second = second.accept().await;
    by(&socket, "second").await;
    // Only now is the probe of the connection that was given up answered.
    probe.reply(&ping, "ok", json!({})).await;
    settle().await;
    advance(10 * SECOND).await;
    settle().await;
    let told: Vec<_> = std::iter::from_fn(|| telemetry.next().now_or_never().flatten()).map(Result::unwrap).collect();
    let healed = |told: &Telemetry| matches!(told, Telemetry::Switched { reason: SwitchReason::Healed, .. });
    let is_by = socket.status().current();
    let kept = probe.recv().now_or_never().is_none();
    assert!(!told.iter().any(healed), "a switch is told, and the socket is {is_by:?}; the probe's is kept: {kept}");
    assert!(!kept, "the probe's connection is kept, and nobody uses it");
}

// "every switch with its reason"
#[tokio::test(start_paused = true)]
async fn a_probe_of_two_others_tells_no_switch_between_them() {
    let ((a, mut a_peer), (b, mut b_peer), (c, mut c_peer)) = (memory::pair(), memory::pair(), memory::pair());
    let transport = Named(a, "a").or(Named(b, "b")).or(Named(c, "c")).probe_every(MINUTE);
    let socket = builder(transport).heartbeat(None).idle().unwrap();
    let mut telemetry = socket.telemetry();
    tokio::spawn(socket.connect().timeout(10 * MINUTE));
    a_peer.refuse(StatusCode::BAD_GATEWAY).await;
    b_peer.refuse(StatusCode::BAD_GATEWAY).await;
    let _c = c_peer.accept().await;
    by(&socket, "c").await;
    let _: Vec<_> = std::iter::from_fn(|| telemetry.next().now_or_never().flatten()).collect();
    // A probe, that fails.
    a_peer.refuse(StatusCode::BAD_GATEWAY).await;
    b_peer.refuse(StatusCode::BAD_GATEWAY).await;
    settle().await;
    let told: Vec<_> = std::iter::from_fn(|| telemetry.next().now_or_never().flatten()).map(Result::unwrap).collect();
    let switched = |told: &Telemetry| matches!(told, Telemetry::Switched { .. });
    assert!(!told.iter().any(switched), "it is by c before and after: {told:?}");
}

// S-20, law 1: a connection that is given up is closed.
#[tokio::test(start_paused = true)]
async fn the_third_of_three_is_closed_before_it_is_left() {
    let ((a, mut a_peer), (b, mut b_peer), (c, mut c_peer)) = (memory::pair(), memory::pair(), memory::pair());
    let inner = Named(b, "b").or(Named(c, "c")).probe_every(100 * MINUTE);
    let socket = connecting(builder(Named(a, "a").or(inner).probe_every(MINUTE)).heartbeat(None));
    a_peer.refuse(StatusCode::BAD_GATEWAY).await;
    b_peer.refuse(StatusCode::BAD_GATEWAY).await;
    let mut c = c_peer.accept().await;
    by(&socket, "c").await;
    let _a = answered(a_peer.accept().await).await;
    by(&socket, "a").await;
    let last = c.recv_frame().await;
    assert!(matches!(last, Some(Frame::Close { .. })), "{last:?}");
}

// DEV-19
#[tokio::test(start_paused = true)]
async fn three_in_a_row_it_goes_up_one_by_one() {
    let ((a, mut a_peer), (b, mut b_peer), (c, mut c_peer)) = (memory::pair(), memory::pair(), memory::pair());
    let inner = Named(b, "b").or(Named(c, "c")).probe_every(MINUTE);
    let socket = connecting(builder(Named(a, "a").or(inner).probe_every(10 * MINUTE)).heartbeat(None));
    a_peer.refuse(StatusCode::BAD_GATEWAY).await;
    b_peer.refuse(StatusCode::BAD_GATEWAY).await;
    let _c = c_peer.accept().await;
    by(&socket, "c").await;
    let _b = answered(b_peer.accept().await).await;
    let status = timeout(20 * MINUTE, by(&socket, "b")).await.expect("it gets to b");
    assert!(matches!(status, Status::Connected { fallback: Some(_), .. }), "{status:?}");
    let _a = answered(timeout(20 * MINUTE, a_peer.accept()).await.expect("a is probed")).await;
    let status = timeout(20 * MINUTE, by(&socket, "a")).await.expect("it gets to a");
    assert!(matches!(status, Status::Connected { fallback: None, .. }), "{status:?}");
}

// The other nesting.
#[tokio::test(start_paused = true)]
async fn three_in_a_row_the_other_way_it_goes_up_one_by_one() {
    let ((a, mut a_peer), (b, mut b_peer), (c, mut c_peer)) = (memory::pair(), memory::pair(), memory::pair());
    let inner = Named(a, "a").or(Named(b, "b")).probe_every(5 * SECOND);
    let socket = connecting(builder(inner.or(Named(c, "c")).short_lived(1, 10 * SECOND)).heartbeat(None));
    a_peer.refuse(StatusCode::BAD_GATEWAY).await;
    let _b = answered(b_peer.accept().await).await;
    by(&socket, "b").await;
    let a = answered(timeout(20 * MINUTE, a_peer.accept()).await.expect("a is probed")).await;
    by(&socket, "a").await;
    settle().await;
    advance(MINUTE).await;
    a.cut();
    // The switch from b to a was no early death of these two.
    let next = tokio::select! {
        _ = a_peer.dialed() => "a",
        _ = b_peer.dialed() => "b",
        _ = c_peer.dialed() => "c",
    };
    assert_eq!(next, "a");
}

// Law 3, RFC 6455 5.5.1: nothing is sent behind a close frame, and what is accepted is not lost.
#[tokio::test(start_paused = true)]
async fn what_is_cast_while_the_old_one_is_closed_is_sent_or_fails() {
    let (both, mut first, mut second) = both();
    let socket = connecting(builder(both.probe_every(MINUTE)).heartbeat(None));
    first.refuse(StatusCode::BAD_GATEWAY).await;
    let mut old = second.accept().await;
    by(&socket, "second").await;
    let (room, _) = crate::support::joined(&socket, &mut old, "room:1").await;
    let mut new = answered(first.accept().await).await;
    assert!(matches!(old.recv_frame().await, Some(Frame::Close { .. })));
    // The peer takes its time to answer.
    let cast = room.cast("late", json!({})).await;
    let behind = old.recv_frame().await;
    drop(old);
    let join = new.recv().await.unwrap();
    new.reply(&join, "ok", json!({})).await;
    let arrived = timeout(MINUTE, new.recv()).await.ok().flatten().map(|sent| sent.event.to_string());
    assert!(behind.is_none() && (cast.is_err() || arrived.is_some()), "{cast:?}; behind the close came {behind:?}");
}

fn opened_without_a_word(told: &[Telemetry]) -> Option<String> {
    let (mut by, mut word) = (None, false);
    for told in told {
        match told {
            Telemetry::Switched { .. } => word = true,
            Telemetry::Opened { transport } => {
                if by.is_some_and(|by| by != *transport) && !word {
                    return Some(format!("from {by:?} to {transport}"));
                }
                (by, word) = (Some(*transport), false);
            }
            _ => {}
        }
    }
    None
}

// "every switch with its reason show in Status and telemetry()"
#[tokio::test(start_paused = true)]
async fn a_switch_back_since_the_second_fails_is_told() {
    let (both, mut first, mut second) = both();
    let socket = builder(both).heartbeat(None).idle().unwrap();
    let mut telemetry = socket.telemetry();
    tokio::spawn(socket.connect().timeout(10 * MINUTE));
    first.refuse(StatusCode::BAD_GATEWAY).await;
    let connection = second.accept().await;
    by(&socket, "second").await;
    connection.cut();
    second.refuse(StatusCode::BAD_GATEWAY).await;
    let _connection = answered(first.accept().await).await;
    by(&socket, "first").await;
    let told: Vec<_> = std::iter::from_fn(|| telemetry.next().now_or_never().flatten()).map(Result::unwrap).collect();
    assert_eq!(opened_without_a_word(&told), None);
}

// A connection that has died meanwhile is not gone over to.
#[tokio::test(start_paused = true)]
async fn what_the_probe_has_opened_and_lost_again_is_not_used() {
    let (both, mut first, mut second) = both();
    let socket = builder(both.probe_every(MINUTE)).heartbeat(None).idle().unwrap();
    let mut telemetry = socket.telemetry();
    tokio::spawn(socket.connect().timeout(10 * MINUTE));
    first.refuse(StatusCode::BAD_GATEWAY).await;
    let mut old = second.accept().await;
    by(&socket, "second").await;
    let probed = answered(first.accept().await).await;
    assert!(matches!(old.recv_frame().await, Some(Frame::Close { .. })));
    probed.cut();
    settle().await;
    old.close(1000);
    settle().await;
    advance(10 * SECOND).await;
    settle().await;
    let told: Vec<_> = std::iter::from_fn(|| telemetry.next().now_or_never().flatten()).map(Result::unwrap).collect();
    assert!(!told.iter().any(|told| matches!(told, Telemetry::Opened { transport: "first" })), "{told:?}");
}

// N-4: a server ends what is silent for 60 s; the probe of what died young must not be.
#[tokio::test(start_paused = true)]
async fn a_probe_that_has_to_live_long_sends_heartbeats() {
    let (both, mut first, mut second) = both();
    let both = both.short_lived(1, 90 * SECOND).probe_every(MINUTE).trust_for(Duration::ZERO);
    let socket = connecting(builder(both));
    answered(first.accept().await).await.cut();
    let mut old = second.accept().await;
    by(&socket, "second").await;
    tokio::spawn(async move {
        while let Some(heartbeat) = old.recv().await {
            old.reply(&heartbeat, "ok", json!({})).await;
        }
    });
    tokio::spawn(async move {
        loop {
            let mut connection = first.accept().await;
            tokio::spawn(async move {
                // As Phoenix does.
                while let Ok(Some(heartbeat)) = timeout(MINUTE, connection.recv()).await {
                    connection.reply(&heartbeat, "ok", json!({})).await;
                }
                connection.close(1000);
            });
        }
    });
    assert!(timeout(100 * MINUTE, by(&socket, "first")).await.is_ok(), "healthy for 100 minutes, and not gone back to");
}

#[tokio::test(start_paused = true)]
async fn every_time_may_be_as_long_or_short_as_can_be_said() {
    for time in [Duration::MAX, Duration::ZERO] {
        let (both, mut first, mut second) = both();
        let both = both.threshold(time.max(SECOND)).trust_for(time).short_lived(u32::MAX, time).remember_for(time);
        let both = if time.is_zero() { both } else { both.probe_every(time) };
        #[cfg(feature = "long-poll")]
        let _ = phoenix_streams::LongPoll::default().timeout(time).max_batch_size(0).max_response_size(0);
        let socket = connecting(builder(both).heartbeat(time).timeout(time.max(SECOND)));
        first.refuse(StatusCode::BAD_GATEWAY).await;
        let _second = second.accept().await;
        by(&socket, "second").await;
        advance(MINUTE).await;
        socket.disconnect().await;
    }
}
