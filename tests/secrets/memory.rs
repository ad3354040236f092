//! Over the in-memory transport, which also plays the server's part.

use http::{HeaderMap, StatusCode, header::WWW_AUTHENTICATE};
use phoenix_streams::{
    BoxError, ConnectError, Refusal, SocksRefusal, json,
    transport::memory::{self, Peer, PeerConnection},
};

use crate::{
    planted::{JOIN, PUSH},
    shown::{Shown, logged, recorder},
    socket::{Given, Nosy, describe, live},
};

/// Answers every attempt, and every message.
async fn serve(mut peer: Peer, shown: Shown) {
    loop {
        shown.debug("the peer", &peer);
        let attempt = peer.dialed().await;
        shown.debug("an attempt", &(&attempt, attempt.dial(), &peer));
        let mut connection = attempt.accept();
        shown.debug("an accepted attempt", &(&connection, connection.dial()));
        answer(&mut connection, &shown).await;
    }
}

async fn answer(connection: &mut PeerConnection, shown: &Shown) {
    while let Some(message) = connection.recv().await {
        shown.debug("a message", &message);
        let status = match (&*message.topic, &*message.event) {
            ("phoenix", _) | (_, "never") => continue,
            ("room:refused" | "room:crashed" | "nowhere", _) | (_, "error") => "error",
            (_, "crash") => {
                connection.error(&message, json!({})).await;
                continue;
            }
            _ => "ok",
        };
        connection.reply(&message, status, json!({})).await;
    }
}

fn failures() -> Vec<ConnectError> {
    let headers = HeaderMap::from_iter([(WWW_AUTHENTICATE, "Bearer".parse().unwrap())]);
    let refused = |status| ConnectError::Refused(Box::new(Refusal::new(status, headers.clone(), "no")));
    let cause = || BoxError::from("no route").into();
    vec![
        refused(StatusCode::UNAUTHORIZED),
        refused(StatusCode::SERVICE_UNAVAILABLE),
        ConnectError::SocksRefused(SocksRefusal::NotAllowed),
        ConnectError::SubprotocolUnanswered,
        ConnectError::Handshake("no Upgrade".into()),
        ConnectError::Unresolved(cause()),
        ConnectError::Unreachable(cause()),
        ConnectError::HandshakeCut(cause()),
        ConnectError::Certificate(cause()),
        ConnectError::Transport(cause()),
    ]
}

// U-18, DEV-3, G-4, T-29
#[tokio::test(start_paused = true)]
async fn t_29_no_secret_is_shown_by_sockets_in_memory() {
    recorder();
    let shown = Shown::default();
    let (transport, peer) = memory::pair();
    let serving = tokio::spawn(serve(peer, shown.clone()));
    let url = "ws://memory/socket";
    for given in [Given::Values, Given::Closures].into_iter().chain(Given::failing()) {
        let builder = describe(url, given).transport(Nosy(transport.clone(), shown.clone()));
        let connected = live(&shown, &format!("{given:?}"), builder).await;
        assert_eq!(connected, !matches!(given, Given::Failing(..)), "{given:?}");
    }
    serving.abort();
    for cause in failures() {
        for given in [Given::Values, Given::Closures] {
            let (transport, mut peer) = memory::pair();
            let builder = describe(url, given).transport(Nosy(transport, shown.clone()));
            let (connected, ()) = tokio::join!(live(&shown, "it fails", builder), peer.fail(cause.clone()));
            assert!(!connected, "{cause:?}");
        }
    }
    shown.holds_none();
    // What was to be searched was there.
    for payload in [JOIN, PUSH] {
        assert!(logged().iter().any(|line| payload.found_in(&line.to_string()).is_some()), "{payload:?}");
    }
}
