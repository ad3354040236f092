//! From a TCP connection to a WebSocket: the checks and answers of Phoenix' socket, in its order.

use std::{
    convert::Infallible,
    net::SocketAddr,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, PoisonError},
};

use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use bytes::Bytes;
use futures::FutureExt;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::{
    connect::{ConnectInfo, Refuse, Request, parse_query},
    server::Shared,
    transport,
};

const SUBPROTOCOL: &str = "phoenix";
const BEARER: &str = "base64url.bearer.phx.";

/// Called base64url, decoded with the standard alphabet: so does Phoenix.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

type Answer = Response<Full<Bytes>>;

pub(super) async fn serve(stream: TcpStream, peer: SocketAddr, shared: Arc<Shared>) {
    let accepted = Mutex::new(None);
    let service = service_fn(|request: http::Request<Incoming>| {
        let (shared, accepted) = (&shared, &accepted);
        Box::pin(async move {
            let (head, _) = request.into_parts();
            let answer = answer(&head, peer, shared).await;
            let (response, connect) =
                answer.map_or_else(|response| (*response, None), |(response, connect)| (response, Some(connect)));
            *accepted.lock().unwrap_or_else(PoisonError::into_inner) = connect;
            Ok::<_, Infallible>(response)
        })
    });
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let Ok(parts) = connection.without_shutdown().await else { return };
    let connect = accepted.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(connect) = connect {
        transport::run(parts.io.into_inner(), &parts.read_buf, connect, shared.clone()).await;
    }
}

/// `Err` is a refusal.
async fn answer(
    head: &http::request::Parts,
    peer: SocketAddr,
    shared: &Shared,
) -> Result<(Answer, ConnectInfo), Box<Answer>> {
    let app = &shared.app;
    // The sender lives in `shared`: this waits for the fault to end, and for nothing else.
    let _ = shared.faults.subscribe().wait_for(|faults| !faults.hang_handshake).await;
    let path = head.uri.path();
    if path.trim_end_matches('/') != [&*app.mount, &*app.websocket_path].concat() {
        return Err(refuse(Refuse::new(404).body("not found")));
    }
    if let Some(refusal) = shared.next_refusal() {
        return Err(refuse(refusal));
    }
    if head.method != Method::GET {
        return Err(refuse(Refuse::new(400)));
    }
    check_origin(&head.headers, app.check_origin.as_deref())?;
    let offer = Offer::read(&head.headers, app.auth_token)?;
    let answer = async {
        let params = parse_query(head.uri.query().unwrap_or_default());
        if !params["vsn"].as_str().is_some_and(is_v2) {
            return Err(refuse(Refuse::new(403)));
        }
        let connect = ConnectInfo(Arc::new(Request {
            params,
            auth_token: offer.token,
            headers: head.headers.clone(),
            uri: head.uri.clone(),
            peer,
        }));
        if let Some(decide) = &app.connect {
            let decided = AssertUnwindSafe(async { decide(connect.clone()).await }).catch_unwind().await;
            decided.map_err(|_| crashed())?.map_err(refuse)?;
        }
        Ok((upgrade(&head.headers)?, connect))
    };
    let mut answer = answer.await;
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

/// Checked where there is one, and only there.
fn check_origin(headers: &HeaderMap, allowed: Option<&[String]>) -> Result<(), Box<Answer>> {
    let (Some(origin), Some(allowed)) = (headers.get(header::ORIGIN), allowed) else { return Ok(()) };
    let origin = origin.to_str().ok().and_then(|origin| url::Url::parse(origin).ok());
    let known =
        origin.as_ref().and_then(|origin| origin.host_str()).is_some_and(|host| allowed.iter().any(|a| a == host));
    if known { Ok(()) } else { Err(refuse(Refuse::new(403))) }
}

/// `~> 2.0.0`.
fn is_v2(vsn: &str) -> bool {
    vsn.strip_prefix("2.0.").is_some_and(|patch| patch.parse::<u32>().is_ok())
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

fn refuse(refusal: Refuse) -> Box<Answer> {
    let mut response = respond(refusal.status, refusal.body);
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    response.headers_mut().extend(refusal.headers);
    Box::new(response)
}

fn crashed() -> Box<Answer> {
    let error = Refuse::new(500).header("content-type", "application/json; charset=utf-8");
    refuse(error.body(r#"{"error":"Internal Server Error"}"#))
}

fn respond(status: StatusCode, body: Bytes) -> Answer {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let cached = HeaderValue::from_static("max-age=0, private, must-revalidate");
    response.headers_mut().insert(header::CACHE_CONTROL, cached);
    response
}
