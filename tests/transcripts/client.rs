//! A raw client that speaks the transcripts' notation.
#![allow(dead_code, reason = "each test file uses a part of it")]

use futures::{SinkExt, StreamExt};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Error, Message, error::ProtocolError, protocol::Role},
};

pub(crate) struct Client(WebSocketStream<TcpStream>);

impl Client {
    pub(crate) async fn connect(url: &str, query: &str) -> Self {
        let stream = TcpStream::connect(host(url)).await.unwrap();
        let (client, _) = client_async(format!("{url}/websocket?{query}"), stream).await.unwrap();
        Client(client)
    }

    /// Over a connection whose handshake is done.
    pub(crate) async fn over(stream: TcpStream) -> Self {
        Client(WebSocketStream::from_raw_socket(stream, Role::Client, None).await)
    }

    /// Text, or `BIN` and hex.
    pub(crate) async fn send(&mut self, message: &str) {
        let message = match message.strip_prefix("BIN ") {
            Some(hex) => Message::binary(bytes(hex)),
            None => Message::text(message),
        };
        // One too big may be answered before it is read to its end: what comes is what counts.
        let _ = self.0.send(message).await;
    }

    pub(crate) async fn raw(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).await.unwrap();
    }

    /// What came, as a transcript has it.
    pub(crate) async fn next(&mut self) -> String {
        match self.0.next().await {
            Some(Ok(Message::Text(text))) => without_ports(&text),
            Some(Ok(Message::Binary(data))) => {
                let hex: Vec<_> = data.iter().map(|byte| format!("{byte:02x}")).collect();
                format!("BIN {}", hex.join(" "))
            }
            Some(Ok(Message::Pong(data))) => format!("PONG b'{}'", data.escape_ascii()),
            Some(Ok(Message::Close(Some(close)))) => format!("CLOSE {} '{}'", u16::from(close.code), close.reason),
            // tungstenite calls any end without a close frame a reset.
            None
            | Some(Err(Error::ConnectionClosed | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake))) => {
                "!! TCP FIN".into()
            }
            other => panic!("unexpected: {other:?}"),
        }
    }
}

/// Sends a request, and returns the connection and the head of the response.
pub(crate) async fn http(url: &str, request: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(host(url)).await.unwrap();
    let request = format!("{}\r\n\r\n", request.lines().collect::<Vec<_>>().join("\r\n"));
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap().into());
    }
    (stream, head)
}

pub(crate) async fn read(stream: &mut TcpStream, len: usize) -> String {
    let mut body = vec![0; len];
    stream.read_exact(&mut body).await.unwrap();
    String::from_utf8(body).unwrap()
}

/// One masked frame, whatever its first byte.
pub(crate) fn frame(first: u8, data: &[u8]) -> Vec<u8> {
    let size = match data.len() {
        len @ ..126 => vec![0x80 | len as u8],
        len => [&[0x80 | 126][..], &(len as u16).to_be_bytes()].concat(),
    };
    // A mask of zeros is a mask.
    [&[first][..], &size, &[0; 4], data].concat()
}

/// `'text'` or `b'\x00'`.
pub(crate) fn literal(literal: &str) -> Vec<u8> {
    let text = literal.trim_start_matches('b').strip_prefix('\'').and_then(|text| text.strip_suffix('\'')).unwrap();
    let (first, escapes) = text.split_once("\\x").unwrap_or((text, ""));
    let mut bytes = first.as_bytes().to_vec();
    for escape in escapes.split("\\x").filter(|escape| !escape.is_empty()) {
        bytes.push(u8::from_str_radix(&escape[..2], 16).unwrap());
        bytes.extend_from_slice(&escape.as_bytes()[2..]);
    }
    bytes
}

/// Pids and ports, which differ from run to run, without their numbers.
pub(crate) fn without_ports(text: &str) -> String {
    let mut text = text.to_owned();
    for before in ["#PID<", "port: ", "127.0.0.1:"] {
        let mut parts = text.split(before);
        let first = parts.next().unwrap().to_owned();
        let rest = parts.map(|part| part.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.'));
        text = rest.fold(first, |text, part| text + before + part);
    }
    text
}

fn bytes(hex: &str) -> Vec<u8> {
    hex.split(' ').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
}

pub(crate) fn host(url: &str) -> &str {
    url.trim_start_matches("ws://").split('/').next().unwrap()
}
