//! What a request asks of a session that is there.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, StatusCode};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until, timeout_at},
};

use super::{
    super::server::Shared,
    Body, Reply, json, lines,
    session::{Ask, Asks},
    token::SessionId,
};

/// A session that has answered this request.
pub(super) struct Resumed {
    asks: Asks,
    token: String,
    shared: Arc<Shared>,
}

impl Resumed {
    fn window(&self) -> Duration {
        self.shared.app.window
    }
}

/// `None` at once for what is no token; for one whose session does not answer, only once it could have.
pub(super) async fn resume(token: Option<String>, shared: Arc<Shared>) -> Option<Resumed> {
    let token = token?;
    let id = SessionId::read(&token)?;
    let deadline = Instant::now() + shared.app.pubsub_timeout;
    let found = async {
        let asks = shared.session(id)?;
        asks.resume().await?;
        Some(asks)
    };
    if let Ok(Some(asks)) = timeout_at(deadline, found).await {
        return Some(Resumed { asks, token, shared });
    }
    sleep_until(deadline).await;
    None
}

pub(super) async fn poll(session: Resumed) -> Reply {
    let end = Instant::now() + session.window();
    let (give, mut taken) = oneshot::channel();
    session.asks.ask(Ask::Poll(give));
    let messages = match timeout_at(end, &mut taken).await {
        Ok(Ok(messages)) => messages,
        // Another poll took its place, or the session ended.
        Ok(Err(_)) => {
            sleep_until(end).await;
            Vec::new()
        }
        // What was given in this very moment is not lost.
        Err(_) => {
            taken.close();
            taken.try_recv().unwrap_or_default()
        }
    };
    if messages.is_empty() {
        return Reply::from(json::messages(204, &session.token, &[]));
    }
    if session.shared.concerns(|faults| &mut faults.lose_messages) {
        return Reply::Lost;
    }
    Reply::from(json::messages(200, &session.token, &messages))
}

/// Each line has a window's time.
pub(super) async fn post(session: Resumed, headers: &HeaderMap, body: Body) -> Reply {
    let body = match body {
        Body::Whole(body) => body,
        Body::TooLarge => return Reply::Raised(StatusCode::BAD_REQUEST),
        Body::Broken => return Reply::Lost,
    };
    let (frames, bad) = lines::read(headers, &body);
    let count = frames.len();
    let (done, mut each) = mpsc::unbounded_channel();
    session.asks.ask(Ask::Post(frames, done));
    for _ in 0..count {
        let end = Instant::now() + session.window();
        match timeout_at(end, each.recv()).await {
            Ok(Some(())) => {}
            // The session has ended, or has too much in hand.
            late => {
                if late.is_ok() {
                    sleep_until(end).await;
                }
                return Reply::Answer(json::status(408));
            }
        }
    }
    // What came before it was handled.
    Reply::from((!bad).then(|| json::status(200)))
}
