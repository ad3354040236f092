//! Law 12: a hostile server can cost at most one connection, and neither memory without bound nor the socket's life.

use std::{sync::Arc, time::Duration};

use futures::{FutureExt, StreamExt};
use phoenix_streams::{ConnectError, LongPoll, Telemetry};

use super::{
    bed::{Bed, Next::Waits, STEP},
    scripted::{Kind, Scripted, Step, answer, json as says, messages, opened, within},
};

const KINDS: [Kind; 3] = [Kind::Open, Kind::Poll, Kind::Post];
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";

/// Why a session ended, or did not begin, whose request of this kind met with this; and that the next one is well.
async fn outcome(kind: Kind, step: Step) -> Arc<ConnectError> {
    let server = Scripted::start().await;
    server.next(kind, step);
    let long_poll = LongPoll::default().timeout(Duration::from_millis(300)).max_response_size(1 << 20);
    let mut bed = Bed::before(server, |builder| builder.transport(long_poll));
    let room = bed.socket.channel("room:1");
    room.join(()).detach();
    if kind == Kind::Post {
        bed.server.asked(kind).await;
        bed.server.answer_polls();
    }
    let (cause, next) = if kind == Kind::Open { bed.failed().await } else { bed.lost().await };
    assert_eq!(next, Waits(STEP), "{kind:?}: {cause:?}");
    bed.socket.disconnect().await;
    within(bed.socket.connect()).await.unwrap();
    cause
}

// L-19, L-28
#[tokio::test]
async fn an_answer_without_an_end_is_too_large() {
    let endless = [
        (format!("{OK}content-length: 99999999999\r\n\r\n"), "x".repeat(16 << 10)),
        (format!("{OK}transfer-encoding: chunked\r\n\r\n"), format!("4000\r\n{}\r\n", "x".repeat(16 << 10))),
        (format!("{OK}connection: close\r\n\r\n"), "x".repeat(16 << 10)),
    ];
    for kind in KINDS {
        for (head, more) in &endless {
            let cause = outcome(kind, Step::Floods(head.clone().into(), more.clone().into())).await;
            assert!(matches!(*cause, ConnectError::TooLarge { limit: 1_048_576 }), "{kind:?}: {cause:?}");
        }
    }
}

// L-19, L-28
#[tokio::test]
async fn an_answer_that_stops_short_is_not_in_time() {
    for kind in KINDS {
        for part in ["HTTP/1.1 200", OK, &format!("{OK}content-length: 30\r\n\r\n{{\"status\""), ""] {
            let cause = outcome(kind, Step::Stalls(part.into())).await;
            assert!(matches!(*cause, ConnectError::RequestTimeout), "{kind:?}, {part:?}: {cause:?}");
        }
    }
}

// L-16
#[tokio::test]
async fn an_answer_that_is_cut_off_is_told_apart() {
    for kind in KINDS {
        for step in [
            Step::Resets,
            Step::Ends("HTTP/1.1 200".into()),
            Step::Ends(OK.into()),
            Step::Ends(format!("{OK}content-length: 30\r\n\r\n{{\"status\":200").into()),
            Step::Ends(format!("{OK}transfer-encoding: chunked\r\n\r\n5\r\n{{\"st").into()),
        ] {
            let cause = outcome(kind, step.clone()).await;
            match kind {
                Kind::Open => assert!(matches!(*cause, ConnectError::HandshakeCut(_)), "{step:?}: {cause:?}"),
                _ => assert!(matches!(*cause, ConnectError::Transport(_)), "{kind:?}, {step:?}: {cause:?}"),
            }
        }
    }
}

// T-31
#[tokio::test]
async fn what_is_no_http_is_told_apart() {
    let many: String = (0..2_000).map(|n| format!("x-{n}: y\r\n")).collect();
    for kind in KINDS {
        for bytes in [
            "SSH-2.0-OpenSSH_9.9\r\n\r\n".to_owned(),
            "HTTP/1.1 999999 No\r\n\r\n".to_owned(),
            format!("{OK}content-length: -5\r\n\r\n"),
            format!("{OK}content-length: 5\r\ncontent-length: 6\r\n\r\n{{}}"),
            format!("{OK}{many}\r\n"),
            format!("{OK}x: {}", "y".repeat(1 << 20)),
        ] {
            let cause = outcome(kind, Step::Stalls(bytes.clone().into())).await;
            assert!(matches!(*cause, ConnectError::Handshake(_)), "{kind:?}, {bytes:.40}: {cause:?}");
            assert!(cause.to_string().contains("cannot be read as HTTP"), "{cause}");
        }
    }
}

// L-16
#[tokio::test]
async fn chunks_that_are_none_end_the_session() {
    for kind in KINDS {
        for body in ["xyz\r\n", "ffffffffffffffffff\r\n", "5\r\n{}{}{}{}\r\n", "-1\r\n"] {
            let bytes = format!("{OK}transfer-encoding: chunked\r\n\r\n{body}");
            let cause = outcome(kind, Step::Stalls(bytes.into())).await;
            assert!(matches!(*cause, ConnectError::Transport(_) | ConnectError::Handshake(_)), "{body:?}: {cause:?}");
        }
    }
}

// L-19
#[tokio::test]
async fn a_flood_of_headers_or_of_interim_answers_ends_the_session() {
    for kind in KINDS {
        let cause = outcome(kind, Step::Floods(OK.into(), b"x: y\r\n".repeat(100))).await;
        assert!(matches!(*cause, ConnectError::Handshake(_)), "{kind:?}: {cause:?}");
        let interim = b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n".repeat(100);
        let cause = outcome(kind, Step::Floods(Vec::new(), interim)).await;
        assert!(matches!(*cause, ConnectError::RequestTimeout), "{kind:?}: {cause:?}");
        let trailers = b"x: y\r\n".repeat(100);
        let head = format!("{OK}transfer-encoding: chunked\r\n\r\n0\r\n");
        let cause = outcome(kind, Step::Floods(head.into(), trailers)).await;
        assert!(!matches!(*cause, ConnectError::RequestTimeout), "{kind:?}: {cause:?}");
    }
}

#[tokio::test]
async fn a_compressed_answer_is_refused_and_not_inflated() {
    for kind in KINDS {
        for encoding in ["gzip", "br", "identity, gzip", ""] {
            let headers = format!("content-encoding: {encoding}\r\n");
            let cause = outcome(kind, Step::Says(answer("200 OK", &headers, b"\x1f\x8b\x08"))).await;
            assert!(matches!(*cause, ConnectError::Handshake(_)), "{kind:?}: {cause:?}");
            assert!(cause.to_string().contains("compressed"), "{cause}");
        }
    }
}

// T-23
#[tokio::test]
async fn an_upgrade_that_was_not_asked_for_is_no_answer() {
    for kind in KINDS {
        let upgrade = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n";
        let cause = outcome(kind, Step::Stalls(upgrade.into())).await;
        assert!(!matches!(*cause, ConnectError::Closed), "{kind:?}: {cause:?}");
    }
}

// T-13, law 12
#[tokio::test]
async fn a_flood_does_not_keep_the_socket_from_anything() {
    let interim = b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n".repeat(1_000);
    let bed = Bed::open().await;
    bed.server.next(Kind::Poll, Step::Floods(Vec::new(), interim));
    let room = bed.socket.channel("room:1");
    // Each of these takes the driver, under the flood.
    for _ in 0..3 {
        assert!(within(room.join(()).timeout(Duration::from_millis(50))).await.is_err());
    }
    within(bed.socket.disconnect()).await;
}

// Law 12, T-7
#[cfg(target_os = "linux")]
#[tokio::test]
async fn millions_of_empty_messages_cost_no_more_memory_than_their_text() {
    const COUNT: usize = 700_000;
    let Bed { mut server, socket, telemetry, .. } = Bed::open().await;
    // It would tell of each.
    drop(telemetry);
    let body = format!(r#"{{"status":200,"messages":[{}""]}}"#, r#""","#.repeat(COUNT - 1));
    let (size, before, mut most) = (body.len(), resident(), 0);
    server.next(Kind::Poll, Step::Says(says(body)));
    server.asked(Kind::Poll).await;
    server.poll(r#"{"status":410}"#);
    let mut status = socket.status();
    let mut ended = Box::pin(status.wait_for(|status| !status.is_connected()));
    while (&mut ended).now_or_never().is_none() {
        most = most.max(resident());
        tokio::task::yield_now().await;
    }
    let held = most.saturating_sub(before);
    // The answer, twice while its buffer grows, and the server's own; 50 bytes a message would be over it.
    assert!(held < 6 * size + (16 << 20), "{held} bytes for {size}");
}

#[cfg(target_os = "linux")]
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

// L-20, T-14
#[tokio::test]
async fn answers_behind_the_end_reach_nobody() {
    let mut bed = Bed::open().await;
    let room = bed.joined("room:1").await;
    let mut events = room.events("e");
    let answer = says(messages([r#"[null,null,"room:1","e",{}]"#]));
    bed.server.hold_posts();
    within(room.cast("e", ())).await.unwrap();
    bed.server.asked(Kind::Post).await;
    bed.server.next(Kind::Post, Step::Says(says(r#"{"status":500}"#)));
    bed.lost().await;
    bed.server.gone(Kind::Poll).await;
    bed.server.next(Kind::Poll, Step::Says(answer));
    let next = events.next().now_or_never();
    assert!(matches!(next, None | Some(Some(Err(_)))), "{next:?}");
}

// DEV-7
#[tokio::test]
async fn each_opening_has_one_end_whatever_happens() {
    let quick = phoenix_streams::Backoff::steps([Duration::ZERO]);
    let mut bed = Bed::open_with(|builder| builder.reconnect(quick)).await;
    let mut opened_now = true;
    for step in [
        Step::Says(says(r#"{"status":410}"#)),
        Step::Says(says(r#"{"status":500}"#)),
        Step::Resets,
        Step::Ends(opened("t")),
        Step::Says(answer("502 Bad Gateway", "", "<h1>")),
        Step::Ends(Vec::new()),
    ] {
        bed.server.next(Kind::Poll, step);
        let told = bed.telemetry_until(|told| matches!(told, Telemetry::Opened { .. })).await;
        for told in told {
            match told {
                Telemetry::Closed { .. } => assert!(std::mem::replace(&mut opened_now, false)),
                Telemetry::Opened { .. } => assert!(!std::mem::replace(&mut opened_now, true)),
                _ => {}
            }
        }
        bed.server.asked(Kind::Poll).await;
    }
}
