//! A TCP connection, as HTTP until it ends or is a WebSocket's.

use std::{
    future::poll_fn,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::watch,
    time::timeout,
};

use super::{answers::Answer, connect::ConnectInfo, handshake, long_poll, server::Shared, websocket};

/// How long a client may take to end a connection that the server has ended.
const LINGER: Duration = Duration::from_secs(2);

pub(super) type Request = http::Request<Incoming>;

/// What becomes of a request.
pub(super) enum Outcome {
    Answer(Answer),
    Upgrade(Answer, ConnectInfo),
    /// This much of an answer, and then the end of TCP in this direction, unannounced.
    Last(Bytes),
    /// The end of the connection, without an answer.
    Cut,
}

/// Until its end, or until `cut` changes.
pub(super) async fn serve(stream: TcpStream, peer: SocketAddr, shared: Arc<Shared>, mut cut: watch::Receiver<()>) {
    tokio::select! {
        () = talk(stream, peer, shared) => {}
        _ = cut.changed() => {}
    }
}

/// The HTTP is over, and what follows is not its own.
#[derive(Debug, thiserror::Error)]
#[error("what follows is no HTTP answer")]
struct Over;

async fn talk(stream: TcpStream, peer: SocketAddr, shared: Arc<Shared>) {
    let outcome = Mutex::new(None);
    let service = service_fn(|request: Request| {
        let (shared, outcome) = (&shared, &outcome);
        Box::pin(async move {
            let (answer, then) = match route(request, peer, shared).await {
                Outcome::Answer(answer) => return Ok(answer),
                Outcome::Upgrade(answer, connect) => (Ok(answer), Then::WebSocket(connect)),
                Outcome::Last(bytes) => (Err(Over), Then::Last(bytes)),
                Outcome::Cut => (Err(Over), Then::Cut),
            };
            *outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(then);
            answer
        })
    });
    let mut connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let ended = poll_fn(|context| connection.poll_without_shutdown(context)).await;
    let parts = connection.into_parts();
    let stream = parts.io.into_inner();
    let then = outcome.lock().unwrap_or_else(PoisonError::into_inner).take();
    match then {
        Some(Then::WebSocket(connect)) if ended.is_ok() => {
            websocket::run(stream, &parts.read_buf, connect, shared.clone()).await;
        }
        Some(Then::Last(bytes)) => finish(stream, &bytes).await,
        Some(Then::WebSocket(_) | Then::Cut) | None => {}
    }
}

enum Then {
    WebSocket(ConnectInfo),
    Last(Bytes),
    Cut,
}

/// Reads on after what is written, or TCP would answer what still comes with a reset, which may overtake it.
async fn finish(mut stream: TcpStream, bytes: &[u8]) {
    let mut read = vec![0; 16 * 1024];
    let finish = async {
        stream.write_all(bytes).await?;
        stream.shutdown().await?;
        while stream.read(&mut read).await? > 0 {}
        Ok::<_, std::io::Error>(())
    };
    // However it ends, it ends.
    let _ = timeout(LINGER, finish).await;
}

async fn route(request: Request, peer: SocketAddr, shared: &Arc<Shared>) -> Outcome {
    let app = &shared.app;
    let path = request.uri().path().trim_end_matches('/');
    if app.long_poll && path == [&*app.mount, &*app.long_poll_path].concat() {
        return long_poll::answer(request, peer, shared).await;
    }
    let (head, _) = request.into_parts();
    match handshake::answer(&head, peer, shared).await {
        Ok((answer, connect)) => Outcome::Upgrade(answer, connect),
        Err(refusal) => Outcome::Answer(*refusal),
    }
}
