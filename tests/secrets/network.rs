//! Over real sockets.

use std::time::Duration;

use phoenix_streams::{
    Http, Transport, WebSocket, json,
    testing::{Response, Server},
};

use crate::{
    planted::{JOIN, PUSH},
    raw::{Raw, closed_port, page},
    shown::{Shown, logged, recorder},
    socket::{Fault, Given, Nosy, describe, live},
};

/// A case that is this one ends with the connect timeout.
pub(crate) const SILENCE: &str = "silence";

pub(crate) async fn server(auth_token: bool) -> Server {
    Server::builder()
        .window(Duration::from_millis(900))
        .auth_token(auth_token)
        .join("room:refused", |_, _| async { Err(json!({ "reason": "banned" })) })
        .join_with("room:crashed", |_, _| async { Response::crash() })
        .join("room:*", |_, _| async { Ok(json!({})) })
        .on("room:*", "ok", |_, _| async { Ok(json!({})) })
        .on("room:*", "error", |_, _| async { Err(json!({ "reason": "no" })) })
        .on_with("room:*", "never", |_, _| async { Response::nothing() })
        .on_with("room:*", "crash", |_, _| async { Response::crash() })
        .start()
        .await
        .unwrap()
}

async fn run(shown: &Shown, case: &str, url: &str, given: Given) -> bool {
    run_by(shown, case, url, given, Http::default().no_proxy()).await
}

pub(crate) async fn run_by(shown: &Shown, case: &str, url: &str, given: Given, http: Http) -> bool {
    run_over(shown, case, url, given, http, WebSocket::default()).await
}

pub(crate) async fn run_over(
    shown: &Shown,
    case: &str,
    url: &str,
    given: Given,
    http: Http,
    transport: impl Transport,
) -> bool {
    shown.debug(case, &http);
    // What never answers is soon given up, and nothing else.
    let never = case == SILENCE || matches!(given, Given::Failing(_, Fault::NeverReady));
    let patience = if never { Duration::from_millis(200) } else { Duration::from_secs(20) };
    let builder = describe(url, given).http(http).connect_timeout(patience).transport(Nosy(transport, shown.clone()));
    live(shown, &format!("{case}, {given:?}"), builder).await
}

// U-18, DEV-3, G-4, T-29, T-10
#[tokio::test]
async fn t_29_no_secret_is_shown_by_sockets_over_a_network() {
    recorder();
    let shown = Shown::default();
    let good = server(true).await;
    for given in [Given::Values, Given::Closures] {
        assert!(run(&shown, "all is well", good.url(), given).await);
    }
    for given in Given::failing() {
        assert!(!run(&shown, "a closure fails", good.url(), given).await);
    }
    for (case, url) in failing().await {
        for given in [Given::Values, Given::Closures] {
            assert!(!run(&shown, case, &url.url(), given).await, "{case}");
        }
    }
    shown.holds_none();
    // What was to be searched was there.
    let said = |target: &str| logged().iter().filter(|line| line.target.starts_with(target)).count();
    for target in ["phoenix_streams::transport", "phoenix_streams::push", "hyper_util", "tungstenite"] {
        assert!(said(target) > 0, "{target} was not heard");
    }
    for payload in [JOIN, PUSH] {
        assert!(logged().iter().any(|line| payload.found_in(&line.to_string()).is_some()), "{payload:?}");
    }
}

/// Where a handshake fails.
pub(crate) enum Place {
    Raw(Raw),
    Server(Server),
    At(String),
    Tls(Raw),
}

impl Place {
    pub(crate) fn url(&self) -> String {
        match self {
            Place::Raw(raw) => raw.url.clone(),
            Place::Server(server) => server.url().to_owned(),
            Place::At(url) => url.clone(),
            Place::Tls(raw) => raw.url.replacen("ws:", "wss:", 1),
        }
    }
}

pub(crate) async fn failing() -> Vec<(&'static str, Place)> {
    let mut places = Vec::new();
    for status in ["401 No", "403 No", "404 No", "429 No", "500 No", "502 No", "503 No", "200 OK"] {
        places.push((status, Place::Raw(Raw::answers(page(status, "Retry-After: 1\r\n")).await)));
    }
    for status in ["301 Moved", "302 Found", "307 Moved"] {
        let away = "Location: http://127.0.0.1:1/socket/websocket\r\n";
        places.push((status, Place::Raw(Raw::answers(page(status, away)).await)));
    }
    for (case, answer) in [
        ("cut before a byte", ""),
        ("cut in the status line", "HTTP/1.1 10"),
        ("cut in the headers", "HTTP/1.1 101 Switching Protocols\r\nUpgra"),
        ("cut in the body", "HTTP/1.1 403 Forbidden\r\nContent-Length: 900\r\n\r\nbe"),
        ("not HTTP", "SSH-2.0-OpenSSH_9.9\r\n"),
        ("no WebSocket", "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n\r\n"),
    ] {
        places.push((case, Place::Raw(Raw::answers(answer).await)));
    }
    places.push(("a reset", Place::Raw(Raw::resets().await)));
    places.push((SILENCE, Place::Raw(Raw::is_silent().await)));
    places.push(("the token is not asked for", Place::Server(server(false).await)));
    places.push(("a closed port", Place::At(format!("ws://{}/socket", closed_port().await))));
    places.push(("no such host", Place::At("ws://nowhere.invalid/socket".into())));
    places.push(("TLS is not spoken", Place::Tls(Raw::interrupts(page("400 Bad", "")).await)));
    places.push(("cut in the handshake of TLS", Place::Tls(Raw::reads(16_384).await)));
    places
}
