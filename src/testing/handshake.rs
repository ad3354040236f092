//! The upgrade to a WebSocket: the checks and answers of Phoenix' socket, in its order.

use std::{net::SocketAddr, sync::Arc};

use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::{
    answers::{Answer, crashed, page, refuse, respond},
    connect::{ConnectInfo, Denied, Refuse, connect, is_allowed},
    server::Shared,
};

const SUBPROTOCOL: &str = "phoenix";
const BEARER: &str = "base64url.bearer.phx.";

/// Called base64url, decoded with the standard alphabet: so does Phoenix.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// `Err` is a refusal.
pub(super) async fn answer(
    head: &Parts,
    peer: SocketAddr,
    shared: &Arc<Shared>,
) -> Result<(Answer, ConnectInfo), Box<Answer>> {
    let app = &shared.app;
    shared.until(|faults| !faults.hang_handshake).await;
    if head.uri.path().trim_end_matches('/') != [&*app.mount, &*app.websocket_path].concat() {
        return Err(refuse(Refuse::new(404).body("not found")));
    }
    let refused = shared.faults.borrow().refuse_upgrades;
    if let Some(status) = refused {
        return Err(Box::new(page(status)));
    }
    if let Some(refusal) = shared.next_refusal() {
        return Err(refuse(refusal));
    }
    if head.method != Method::GET {
        return Err(refuse(Refuse::new(400)));
    }
    if !is_allowed(&head.headers, app) {
        return Err(refuse(Refuse::new(403)));
    }
    let offer = Offer::read(&head.headers, app.auth_token)?;
    let answer = async {
        let connect = connect(head, offer.token, peer, app).await.map_err(|denied| match denied {
            Denied::Refused(refusal) => refuse(refusal),
            Denied::Crashed => crashed(),
        })?;
        Ok((upgrade(&head.headers)?, connect))
    };
    let mut answer: Result<(Answer, ConnectInfo), Box<Answer>> = answer.await;
    if offer.answered {
        let headers =
            answer.as_mut().map_or_else(|refusal| refusal.headers_mut(), |(response, _)| response.headers_mut());
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    }
    answer
}

/// What the client offers as subprotocols, where the server takes auth tokens.
#[derive(Default)]
struct Offer {
    token: Option<String>,
    answered: bool,
}

impl Offer {
    fn read(headers: &HeaderMap, auth_token: bool) -> Result<Self, Box<Answer>> {
        let Some(offered) = headers.get(header::SEC_WEBSOCKET_PROTOCOL).filter(|_| auth_token) else {
            return Ok(Offer::default());
        };
        let offered = offered.to_str().unwrap_or_default();
        let mut names: Vec<&str> = offered.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
        let mut token = None;
        // Of two tokens neither counts.
        let bearers: Vec<&str> = names.iter().filter_map(|name| name.strip_prefix(BEARER)).collect();
        if let [bearer] = bearers[..] {
            let decoded = BASE64.decode(bearer).map_err(|_| crashed())?;
            token = Some(String::from_utf8_lossy(&decoded).into_owned());
            names.retain(|name| !name.starts_with(BEARER));
        }
        let answered = names.contains(&SUBPROTOCOL);
        if !answered && !names.is_empty() {
            return Err(refuse(Refuse::new(403)));
        }
        Ok(Offer { token, answered })
    }
}

fn upgrade(headers: &HeaderMap) -> Result<Answer, Box<Answer>> {
    let bad = |why: String| refuse(Refuse::new(400).body(why));
    for (name, word) in [("connection", "upgrade"), ("upgrade", "websocket")] {
        let values = values(headers, name);
        let contains = |value: &String| value.split(',').any(|part| part.trim().eq_ignore_ascii_case(word));
        if !values.iter().any(contains) {
            return Err(bad(format!("'{name}' header must contain '{word}', got {values:?}")));
        }
    }
    let Some(key) = headers.get(header::SEC_WEBSOCKET_KEY) else {
        return Err(bad("'sec-websocket-key' header is absent".into()));
    };
    let version = values(headers, "sec-websocket-version");
    if version != ["13"] {
        return Err(bad(format!("'sec-websocket-version' header must equal '13', got {version:?}")));
    }
    let mut response = respond(StatusCode::SWITCHING_PROTOCOLS, Bytes::new());
    let accept = HeaderValue::from_str(&derive_accept_key(key.as_bytes())).map_err(|_| crashed())?;
    response.headers_mut().extend([
        (header::UPGRADE, HeaderValue::from_static("websocket")),
        (header::CONNECTION, HeaderValue::from_static("Upgrade")),
        (header::SEC_WEBSOCKET_ACCEPT, accept),
    ]);
    Ok(response)
}

fn values(headers: &HeaderMap, name: &str) -> Vec<String> {
    headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect()
}
