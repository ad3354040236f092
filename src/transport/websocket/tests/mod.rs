//! Against small servers on loopback, made by hand so that they can do wrong.

mod frames;
mod handshake;
#[cfg(not(any(feature = "rustls", feature = "native-tls")))]
mod tls;

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use futures::{FutureExt, Sink, SinkExt, StreamExt, future::poll_fn};
use http::{HeaderMap, HeaderValue, Uri};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Message,
        handshake::derive_accept_key,
        protocol::{CloseFrame, Role, frame::coding::CloseCode},
    },
};

use super::*;
use crate::{error::Refusal, transport::Frame};

/// Runs a script with the first connection that comes.
async fn serve<F, T>(script: impl FnOnce(TcpStream) -> F + Send + 'static) -> (Dial, JoinHandle<T>)
where
    F: Future<Output = T> + Send,
    T: Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dial = dial(&format!("ws://{}/socket?user=7", listener.local_addr().unwrap()));
    (dial, tokio::spawn(async move { script(listener.accept().await.unwrap().0).await }))
}

/// Runs a script with the first connection, its handshake done.
async fn serve_open<F, T>(
    script: impl FnOnce(WebSocketStream<TcpStream>) -> F + Send + 'static,
) -> (Dial, JoinHandle<T>)
where
    F: Future<Output = T> + Send,
    T: Send + 'static,
{
    serve(|mut stream| async move {
        let answer = answer(&read_head(&mut stream).await);
        stream.write_all(answer.as_bytes()).await.unwrap();
        script(WebSocketStream::from_raw_socket(stream, Role::Server, None).await).await
    })
    .await
}

fn dial(url: &str) -> Dial {
    Dial::new(url.parse::<Uri>().unwrap(), HeaderMap::new(), Arc::from("2.0.0"), None)
}

async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let lines = head.lines().filter_map(|line| line.split_once(": "));
    lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
}

fn accept(head: &str) -> String {
    derive_accept_key(header(head, "sec-websocket-key").unwrap().as_bytes())
}

fn answer(head: &str) -> String {
    answer_with(&format!("Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n", accept(head)))
}

fn answer_with(lines: &str) -> String {
    format!("HTTP/1.1 101 Switching Protocols\r\n{lines}\r\n")
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("it hangs")
}

async fn open(dial: Dial) -> Connection {
    soon(WebSocket::default().dial(dial)).await.unwrap()
}

async fn fails(dial: Dial) -> ConnectError {
    soon(WebSocket::default().dial(dial)).await.unwrap_err()
}

async fn next(connection: &mut Connection) -> Option<Result<Frame, ConnectError>> {
    soon(connection.next()).await
}

async fn frame(connection: &mut Connection) -> Frame {
    next(connection).await.unwrap().unwrap()
}

fn text(text: &str) -> Frame {
    Frame::Text(text.to_owned().into())
}

fn close(code: u16, reason: &str) -> Frame {
    Frame::Close { code, reason: reason.into() }
}
