//! Channel events to server-sent events, pushes from requests, a health check.

use std::{convert::Infallible, future::ready};

use axum::{
    Router,
    extract::{Path, State},
    http::StatusCode,
    response::{
        IntoResponse, Sse,
        sse::{Event, KeepAlive},
    },
    routing::get,
};
use futures::{Stream, StreamExt};
use phoenix_streams::{EventError, JoinError, Socket, json};

struct Failed(JoinError);
impl From<JoinError> for Failed {
    fn from(e: JoinError) -> Self {
        Failed(e)
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> axum::response::Response {
        match self.0 {
            JoinError::Refused(r) => (StatusCode::FORBIDDEN, r.payload().to_string()),
            JoinError::Timeout => (StatusCode::GATEWAY_TIMEOUT, String::new()),
            e => (StatusCode::BAD_GATEWAY, e.to_string()),
        }
        .into_response()
    }
}

async fn events(
    State(socket): State<Socket>,
    Path(topic): Path<String>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Failed> {
    let room = socket.channel(&topic);
    let messages = room.messages();
    room.join(json!({})).await?;
    Ok(Sse::new(messages.filter_map(|m| {
        ready(match m {
            Ok(m) => Some(Ok(Event::default().event(m.event()).data(m.payload().as_str().unwrap_or_default()))),
            Err(EventError::Lagged(n)) => Some(Ok(Event::default().event("lagged").data(n.to_string()))),
            Err(_) => None,
        })
    }))
    .keep_alive(KeepAlive::default()))
}

async fn say(
    State(socket): State<Socket>,
    Path(topic): Path<String>,
    axum::Json(body): axum::Json<serde_json::Value>,
) -> Result<axum::Json<serde_json::Value>, (StatusCode, String)> {
    let reply =
        socket.channel(&topic).push("shout", body).await.map_err(|e| (StatusCode::BAD_GATEWAY, e.to_string()))?;
    reply.json().map(axum::Json).map_err(|e| (StatusCode::BAD_GATEWAY, e.to_string()))
}

async fn health(State(socket): State<Socket>) -> StatusCode {
    if socket.status().current().is_connected() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

pub(crate) async fn main() -> anyhow::Result<()> {
    let socket = Socket::builder("ws://localhost:4000/socket").start()?;
    let app: Router =
        Router::new().route("/events/{topic}", get(events).post(say)).route("/health", get(health)).with_state(socket);
    axum::serve(tokio::net::TcpListener::bind("127.0.0.1:0").await?, app).await?;
    Ok(())
}
