//! Auth tokens and refusals as a WebSocket's handshake has them.

use phoenix_streams::{
    ConnectError, json,
    testing::{Refuse, Server},
};

use super::cases::{seen::start, socket, waits_for};
use crate::raw::Raw;

/// Spelled so that it is found wherever it slips through.
const SECRET: &str = "hunter2";

// A-3, A-6
#[tokio::test]
async fn a_token_is_offered_among_the_subprotocols() {
    let (server, seen) = start(|builder| builder).await;
    for (token, offered) in [
        ("1234", "phoenix, base64url.bearer.phx.MTIzNA"),
        ("???>>>", "phoenix, base64url.bearer.phx.Pz8/Pj4+"),
        ("zoë \u{1f980}", "phoenix, base64url.bearer.phx.em/DqyDwn6aA"),
    ] {
        let _socket = socket(server.url()).auth_token(token).connect().await.unwrap();
        assert_eq!(seen.last().headers()["sec-websocket-protocol"], offered);
    }
}

// N-18, A-8
#[tokio::test]
async fn a_token_that_the_server_does_not_take_stops_the_socket_and_says_what_to_do() {
    let (server, _seen) = start(|builder| builder.auth_token(false)).await;
    // With a closure too: another token would not help.
    let fixed = socket(server.url()).auth_token(SECRET);
    let dynamic = socket(server.url()).auth_token_with(|| async { Ok(SECRET) });
    for builder in [fixed, dynamic] {
        let error = builder.connect().await.unwrap_err();
        assert!(matches!(error, ConnectError::SubprotocolUnanswered), "{error:?}");
        let told = error.to_string();
        assert!(told.contains("set `auth_token: true` on the socket in its endpoint"), "{told}");
        assert!(!told.contains(SECRET), "{told}");
    }
}

// N-2, DEV-23, T-23
#[tokio::test]
async fn a_refusal_is_told_at_once_and_whole() {
    let refuse = Refuse::new(403).header("x-reason", "banned").body(r#"{"until":"tomorrow"}"#);
    let server = Server::builder().connect(move |_| std::future::ready(Err(refuse.clone()))).start().await.unwrap();
    let error = socket(server.url()).params(json!({ "token": SECRET })).connect().await.unwrap_err();
    let ConnectError::Refused(refusal) = &error else { panic!("{error:?}") };
    assert_eq!(refusal.status(), http::StatusCode::FORBIDDEN);
    assert_eq!(refusal.headers()["x-reason"], "banned");
    assert_eq!(&refusal.body()[..], br#"{"until":"tomorrow"}"#);
    assert!(error.to_string().contains("403 Forbidden"));
    assert!(!format!("{error} {error:?}").contains(SECRET));
}

// T-31
#[tokio::test]
async fn an_upgrade_to_nothing_is_told_apart() {
    let server = Raw::answers("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n\r\n").await;
    let (_, cause) = waits_for(&socket(&server.url).start().unwrap()).await;
    assert!(matches!(&*cause, ConnectError::Handshake(_)), "{cause:?}");
    assert!(cause.to_string().contains("Upgrade header"), "{cause}");
}
