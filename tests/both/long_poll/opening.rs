//! Auth tokens and refusals as they are when a session opens.

use std::time::Duration;

use http::StatusCode;
use phoenix_streams::{
    Backoff, ConnectError, json,
    testing::{Refuse, Server},
};

use super::cases::{seen::start, socket, waits_for};

// L-3, A-7
#[tokio::test]
async fn a_token_stands_in_a_header_as_it_is() {
    let (server, seen) = start(|builder| builder).await;
    for token in ["1234", "???>>>", "zoë \u{1f980}"] {
        let _socket = socket(server.url()).auth_token(token).connect().await.unwrap();
        assert_eq!(seen.last().headers()["x-phoenix-authtoken"].as_bytes(), token.as_bytes());
    }
}

// L-3
#[tokio::test]
async fn a_token_that_cannot_stand_in_a_header_is_never_sent() {
    let (server, seen) = start(|builder| builder).await;
    let error = socket(server.url()).auth_token("hunter2\n").connect().await.unwrap_err();
    assert!(error.to_string().contains("cannot stand in a header"), "{error}");
    assert!(!format!("{error} {error:?}").contains("hunter2"));
    assert!(seen.all().is_empty());
}

// N-18
#[tokio::test]
async fn a_token_that_the_server_does_not_take_is_not_missed() {
    let (server, seen) = start(|builder| builder.auth_token(false)).await;
    let _socket = socket(server.url()).auth_token("1234").connect().await.unwrap();
    assert_eq!(seen.last().auth_token(), None);
}

// N-2, L-15, DEV-23
#[tokio::test]
async fn a_refusal_is_403_whatever_the_application_says() {
    for status in [403, 401, 429, 500] {
        let refuse = Refuse::new(status).header("x-reason", "banned").header("retry-after", "7").body("no");
        let server = Server::builder().connect(move |_| std::future::ready(Err(refuse.clone()))).start().await.unwrap();
        let error = socket(server.url()).connect().await.unwrap_err();
        let ConnectError::Refused(refusal) = &error else { panic!("{error:?}") };
        assert_eq!(refusal.status(), StatusCode::FORBIDDEN);
        assert!(!refusal.headers().contains_key("x-reason"));
        assert_eq!(&refusal.body()[..], br#"{"status":403}"#);
        assert!(error.to_string().contains("403 Forbidden"), "{error}");
    }
}

// L-16, T-23
#[tokio::test]
async fn an_application_that_crashes_is_tried_again() {
    let server = Server::builder().connect(|_| async { panic!("on purpose") }).start().await.unwrap();
    let step = Duration::from_secs(3);
    let builder = socket(server.url()).params(json!({})).reconnect(Backoff::steps([step]).jitter(false));
    let (delay, cause) = waits_for(&builder.start().unwrap()).await;
    let ConnectError::Refused(refusal) = &*cause else { panic!("{cause:?}") };
    assert_eq!((refusal.status(), delay), (StatusCode::INTERNAL_SERVER_ERROR, step));
}
