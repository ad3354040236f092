//! Against small servers on loopback, made by hand so that they can do wrong.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use futures::{FutureExt, Sink, SinkExt, StreamExt, future::poll_fn};
use http::{HeaderMap, HeaderValue, Uri};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
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

async fn read_head(stream: &mut TcpStream) -> String {
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

// N-3, U-17, A-1, A-7, T-11
#[tokio::test]
async fn the_request_says_what_was_asked_for_and_no_more() {
    let (mut dial, server) = serve(|mut stream| async move {
        let head = read_head(&mut stream).await;
        stream.write_all(answer(&head).as_bytes()).await.unwrap();
        head
    })
    .await;
    let host = dial.url.authority().unwrap().to_string();
    dial.url = format!("ws://ann:p%40ss@{host}/socket?user=7").parse().unwrap();
    dial.headers.insert("x-app", HeaderValue::from_static("demo"));
    dial.headers.insert("sec-websocket-extensions", HeaderValue::from_static("permessage-deflate"));
    soon(WebSocket::default().path("/ws").dial(dial)).await.unwrap();
    let head = server.await.unwrap();
    assert!(head.starts_with("GET /socket/ws?user=7&vsn=2.0.0 HTTP/1.1\r\n"), "{head}");
    for (name, value) in [
        ("host", Some(&*host)),
        ("upgrade", Some("websocket")),
        ("connection", Some("Upgrade")),
        ("sec-websocket-version", Some("13")),
        ("x-app", Some("demo")),
        ("authorization", Some("Basic YW5uOnBAc3M=")),
        ("origin", None),
        ("sec-websocket-protocol", None),
        ("sec-websocket-extensions", None),
    ] {
        assert_eq!(header(&head, name), value, "{name}");
    }
}

// T-31, W-22
#[tokio::test]
async fn frames_in_the_segment_of_the_101_are_not_lost() {
    let (dial, server) = serve(|mut stream| async move {
        let mut segment = answer(&read_head(&mut stream).await).into_bytes();
        segment.extend(b"\x81\x02hi\x82\x03\x00\xff\x01");
        stream.write_all(&segment).await.unwrap();
        stream
    })
    .await;
    let mut connection = open(dial).await;
    let _stream = server.await.unwrap();
    assert_eq!(frame(&mut connection).await, text("hi"));
    assert_eq!(frame(&mut connection).await, Frame::Binary(b"\x00\xff\x01"[..].into()));
}

async fn handshake(token: Option<&str>, lines: &'static str) -> Result<Connection, ConnectError> {
    let (mut dial, _server) = serve(move |mut stream| async move {
        let accept = accept(&read_head(&mut stream).await);
        stream.write_all(answer_with(&lines.replace("{accept}", &accept)).as_bytes()).await.unwrap();
        stream
    })
    .await;
    dial.token = token.map(Arc::from);
    soon(WebSocket::default().dial(dial)).await
}

// T-31
#[tokio::test]
async fn a_101_that_is_no_answer_to_this_handshake_is_refused() {
    for (lines, what) in [
        ("Connection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n", "Upgrade header"),
        ("Upgrade: h2c\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n", "Upgrade header"),
        ("Upgrade: websocket\r\nSec-WebSocket-Accept: {accept}\r\n", "Connection header"),
        ("Upgrade: websocket\r\nConnection: keep-alive\r\nSec-WebSocket-Accept: {accept}\r\n", "Connection header"),
        ("Upgrade: websocket\r\nConnection: Upgrade\r\n", "Sec-WebSocket-Accept"),
        (
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n",
            "Accept",
        ),
        (
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\
             Sec-WebSocket-Extensions: permessage-deflate\r\n",
            "extension",
        ),
        (
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\
             Sec-WebSocket-Protocol: phoenix\r\n",
            "subprotocol",
        ),
    ] {
        match handshake(None, lines).await {
            Err(ConnectError::Handshake(why)) => assert!(why.contains(what), "{why}"),
            other => panic!("{lines}: {other:?}"),
        }
    }
}

// T-31
#[tokio::test]
async fn the_connection_header_of_a_101_is_a_list() {
    for lines in [
        "upgrade: WebSocket\r\nconnection: keep-alive, Upgrade\r\nsec-websocket-accept: {accept}\r\n",
        "Upgrade: websocket\r\nConnection: keep-alive\r\nConnection: upgrade\r\nSec-WebSocket-Accept: {accept}\r\n",
    ] {
        handshake(None, lines).await.unwrap();
    }
}

// N-18, T-31
#[tokio::test]
async fn the_tokens_subprotocol_is_to_be_answered() {
    const LINES: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n";
    let chosen = |name: &str| &*format!("{LINES}Sec-WebSocket-Protocol: {name}\r\n").leak();
    handshake(Some("1234"), chosen("phoenix")).await.unwrap();
    assert!(matches!(handshake(Some("1234"), LINES).await, Err(ConnectError::SubprotocolUnanswered)));
    for wrong in ["Phoenix", "chat", "phoenix, chat", "phoenix\r\nSec-WebSocket-Protocol: phoenix"] {
        assert!(matches!(handshake(Some("1234"), chosen(wrong)).await, Err(ConnectError::Handshake(_))), "{wrong}");
    }
}

// T-10
#[tokio::test]
async fn the_token_goes_out_as_the_second_subprotocol() {
    let (mut dial, server) = serve(|mut stream| async move { read_head(&mut stream).await }).await;
    dial.token = Some("???".into());
    fails(dial).await;
    let head = server.await.unwrap();
    assert_eq!(header(&head, "sec-websocket-protocol"), Some("phoenix, base64url.bearer.phx.Pz8/"));
}

async fn refusal(script: impl AsyncFnOnce(&mut TcpStream)) -> Refusal {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dial = dial(&format!("ws://{}/socket", listener.local_addr().unwrap()));
    let serving = async {
        let mut stream = listener.accept().await.unwrap().0;
        read_head(&mut stream).await;
        script(&mut stream).await;
        stream
    };
    match soon(futures::future::join(serving, fails(dial))).await.1 {
        ConnectError::Refused(refusal) => *refusal,
        other => panic!("{other:?}"),
    }
}

// DEV-23, N-2
#[tokio::test]
async fn a_refusal_is_told_whole() {
    let refusal = refusal(async |stream| {
        let head = "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\nContent-Length: 6\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        // The body comes by itself, after the head has been read.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        stream.write_all(b"slower").await.unwrap();
    })
    .await;
    assert_eq!((refusal.status().as_u16(), &refusal.body()[..]), (429, &b"slower"[..]));
    assert_eq!(refusal.retry_after(), Some(Duration::from_secs(7)));
}

// DEV-23
#[tokio::test]
async fn a_refusals_body_may_be_chunked_or_cut() {
    let chunked = refusal(async |stream| {
        let answer = "HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
        stream.write_all(answer.as_bytes()).await.unwrap();
    })
    .await;
    assert_eq!((chunked.status().as_u16(), &chunked.body()[..]), (403, &b"abcde"[..]));
    let cut = refusal(async |stream| {
        stream.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 9\r\n\r\nabc").await.unwrap();
        stream.shutdown().await.unwrap();
    })
    .await;
    assert_eq!((cut.status().as_u16(), &cut.body()[..]), (403, &b"abc"[..]));
}

// DEV-23
#[tokio::test]
async fn of_an_endless_refusal_64_kib_are_kept() {
    let refusal = refusal(async |stream| {
        stream.write_all(b"HTTP/1.1 503 Service Unavailable\r\n\r\n").await.unwrap();
        // Until the client has had enough.
        while stream.write_all(&[b'x'; 10_000]).await.is_ok() {}
    })
    .await;
    assert_eq!((refusal.status().as_u16(), refusal.body().len()), (503, 64 * 1024));
}

#[tokio::test]
async fn redirects_and_plain_answers_are_refusals() {
    for status in ["302 Found", "200 OK"] {
        let refusal = refusal(async move |stream| {
            let answer = format!("HTTP/1.1 {status}\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
        })
        .await;
        assert!(status.starts_with(refusal.status().as_str()));
        assert_eq!(refusal.headers()["location"], "/elsewhere");
    }
}

#[tokio::test]
async fn a_refused_connection_is_not_used_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dial = dial(&format!("ws://{}/socket", listener.local_addr().unwrap()));
    let server = tokio::spawn(async move {
        let mut first = listener.accept().await.unwrap().0;
        read_head(&mut first).await;
        first.write_all(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        let mut second = listener.accept().await.unwrap().0;
        let answer = answer(&read_head(&mut second).await);
        second.write_all(answer.as_bytes()).await.unwrap();
        (first, second)
    });
    assert!(matches!(fails(dial.clone()).await, ConnectError::Refused(_)));
    open(dial).await;
    server.await.unwrap();
}

// U-18, DEV-3
#[tokio::test]
async fn a_failure_names_the_server_and_no_secret() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    drop(listener);
    let error = fails(dial(&format!("ws://ann:hunter2@{at}/socket?token=hunter2"))).await;
    let mut whole = format!("{error} {error:?}");
    let mut source = std::error::Error::source(&error);
    while let Some(error) = source {
        whole += &format!(" {error} {error:?}");
        source = error.source();
    }
    assert!(matches!(error, ConnectError::Transport(_)));
    assert!(error.to_string().contains(&at.to_string()) && error.to_string().contains("refused"), "{error}");
    assert!(!whole.contains("hunter2"), "{whole}");
}

#[tokio::test]
async fn a_handshake_cut_short_is_a_failure() {
    for part in
        ["", "HTTP/1.1 101 Switching Proto", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n", "?\r\n"]
    {
        let (dial, _server) = serve(move |mut stream| async move {
            read_head(&mut stream).await;
            stream.write_all(part.as_bytes()).await.unwrap();
        })
        .await;
        assert!(matches!(fails(dial).await, ConnectError::Transport(_)), "{part}");
    }
}

#[cfg(not(feature = "rustls"))]
#[tokio::test]
async fn wss_without_tls_is_a_clear_error() {
    let error = fails(dial("wss://127.0.0.1:1/socket")).await;
    assert!(error.to_string().contains("enable the feature `rustls`"), "{error}");
}

#[cfg(feature = "rustls")]
#[tokio::test]
async fn wss_to_a_server_without_tls_is_a_failure() {
    let (mut dial, _server) =
        serve(|mut stream| async move { stream.write_all(b"HTTP/1.1 400 Bad\r\n\r\n").await }).await;
    dial.url = dial.url.to_string().replacen("ws", "wss", 1).parse().unwrap();
    assert!(matches!(fails(dial).await, ConnectError::Transport(_)));
}

#[tokio::test]
async fn a_ping_is_answered_while_nobody_sends() {
    let (dial, server) = serve_open(|mut socket| async move {
        socket.send(Message::Ping("are you there".into())).await.unwrap();
        socket.next().await.unwrap().unwrap()
    })
    .await;
    let mut connection = open(dial).await;
    assert!(next(&mut connection).await.is_none(), "the server leaves when it has its pong");
    assert_eq!(server.await.unwrap(), Message::Pong("are you there".into()));
}

#[tokio::test]
async fn a_fragmented_message_is_one_message() {
    let (dial, _server) = serve_open(|mut socket| async move {
        let stream = socket.get_mut();
        stream.write_all(b"\x01\x02he\x89\x00\x00\x02ll\x80\x01o").await.unwrap();
        socket
    })
    .await;
    assert_eq!(frame(&mut open(dial).await).await, text("hello"));
}

// T-14
#[tokio::test]
async fn a_read_error_is_told_once_and_ends_it() {
    for (bytes, code) in [
        (&b"\x81\x05hello"[..], CloseCode::Size),
        (b"\x01\x03hel\x80\x02lo", CloseCode::Size),
        (b"\x81\x01\xff", CloseCode::Invalid),
        (b"\x83\x00", CloseCode::Protocol),
        (b"\xc1\x01a", CloseCode::Protocol),
    ] {
        let (dial, server) = serve_open(move |mut socket| async move {
            socket.get_mut().write_all(bytes).await.unwrap();
            socket.next().await.unwrap().unwrap()
        })
        .await;
        let transport = WebSocket::default().max_message_size(4);
        let mut connection = soon(transport.dial(dial)).await.unwrap();
        assert!(matches!(next(&mut connection).await, Some(Err(ConnectError::Transport(_)))));
        assert!(next(&mut connection).await.is_none());
        assert!(connection.send(text("more")).await.is_err());
        assert!(matches!(server.await.unwrap(), Message::Close(Some(close)) if close.code == code));
    }
}

#[tokio::test]
async fn the_frame_limit_holds_by_itself() {
    let (dial, _server) = serve_open(|mut socket| async move {
        socket.get_mut().write_all(b"\x01\x02he\x80\x03llo").await.unwrap();
        socket
    })
    .await;
    let mut connection = soon(WebSocket::default().max_frame_size(2).read_buffer_size(0).dial(dial)).await.unwrap();
    assert!(next(&mut connection).await.unwrap().unwrap_err().to_string().contains("3 bytes"));
}

#[tokio::test]
async fn a_close_frame_is_told_and_answered() {
    for (sent, told) in [
        (Some(CloseFrame { code: CloseCode::Restart, reason: "deploy".into() }), close(1012, "deploy")),
        (None, close(1005, "")),
    ] {
        let (dial, server) = serve_open(|mut socket| async move {
            socket.send(Message::Close(sent)).await.unwrap();
            (socket.next().await.unwrap().unwrap(), socket.next().await.is_none())
        })
        .await;
        let mut connection = open(dial).await;
        assert_eq!(frame(&mut connection).await, told);
        assert!(next(&mut connection).await.is_none());
        assert!(connection.send(text("more")).await.is_err());
        assert!(matches!(server.await.unwrap(), (Message::Close(_), true)));
    }
}

// T-14
#[tokio::test]
async fn the_end_without_a_close_frame_ends_it() {
    for bytes in [&b""[..], b"\x81\x05hel", b"\x01\x03hel"] {
        let (dial, _server) =
            serve_open(move |mut socket| async move { socket.get_mut().write_all(bytes).await }).await;
        let mut connection = open(dial).await;
        assert!(next(&mut connection).await.is_none());
        assert!(next(&mut connection).await.is_none());
    }
}

#[tokio::test]
async fn a_close_frame_is_sent_with_and_without_code() {
    let long = "ä".repeat(100);
    for (sent, code, reason) in [
        (close(4000, "lunch"), Some(4000), "lunch"),
        (close(1000, &long), Some(1000), &long[..122]),
        (close(1005, ""), None, ""),
    ] {
        let (dial, server) = serve_open(|mut socket| async move {
            let close = socket.next().await.unwrap().unwrap();
            // Writes the answer.
            let _ = socket.flush().await;
            close
        })
        .await;
        let mut connection = open(dial).await;
        soon(connection.send(sent.clone())).await.unwrap();
        assert!(connection.send(text("more")).await.is_err());
        assert!(matches!(frame(&mut connection).await, Frame::Close { .. }));
        assert!(next(&mut connection).await.is_none());
        match server.await.unwrap() {
            Message::Close(close) => {
                assert_eq!(close.as_ref().map(|close| u16::from(close.code)), code);
                assert_eq!(close.as_ref().map_or("", |close| close.reason.as_str()), reason);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn what_is_no_frame_is_not_sent_and_costs_nothing() {
    let (dial, server) = serve_open(|mut socket| async move { socket.next().await.unwrap().unwrap() }).await;
    let mut connection = open(dial).await;
    for wrong in [Frame::Text(b"\xff"[..].into()), close(1006, ""), close(999, ""), close(1015, "")] {
        assert!(connection.send(wrong).await.is_err());
    }
    soon(connection.send(text("fine"))).await.unwrap();
    assert_eq!(server.await.unwrap(), Message::Text("fine".into()));
}

#[tokio::test]
async fn closing_the_sink_ends_it_without_a_close_frame() {
    let (dial, server) =
        serve_open(|mut socket| async move { (socket.next().await.unwrap().unwrap(), socket.next().await) }).await;
    let mut connection = open(dial).await;
    soon(connection.feed(text("last"))).await.unwrap();
    soon(connection.close()).await.unwrap();
    let (first, then) = server.await.unwrap();
    assert_eq!(first, Message::Text("last".into()));
    assert!(matches!(then, Some(Err(_))), "{then:?}");
}

// T-13
#[tokio::test]
async fn a_peer_that_does_not_read_holds_the_sender_back_but_not_the_reader() {
    const SIZE: usize = 60_000;
    let (go, gone) = oneshot::channel();
    let (dial, server) = serve_open(|mut socket| async move {
        socket.get_mut().write_all(b"\x81\x05still\x89\x00\x81\x04here").await.unwrap();
        let sent = gone.await.unwrap();
        for number in 0..sent {
            loop {
                match socket.next().await.unwrap().unwrap() {
                    Message::Binary(bytes) => {
                        assert!(bytes.len() == SIZE && bytes.iter().all(|byte| *byte == number as u8), "{number}");
                        break;
                    }
                    Message::Pong(_) => {}
                    other => panic!("{other:?}"),
                }
            }
        }
    })
    .await;
    let mut connection = open(dial).await;
    let mut sent = 0usize;
    // Nothing moves without the peer: what has to wait here waits for ever, however often it is asked.
    let mut waits = 0;
    while waits < 1_000 {
        match poll_fn(|cx| Pin::new(&mut connection).poll_ready(cx)).now_or_never() {
            Some(ready) => {
                ready.unwrap();
                connection.start_send_unpin(Frame::Binary(vec![sent as u8; SIZE].into())).unwrap();
                sent += 1;
            }
            None => {
                waits += 1;
                tokio::task::yield_now().await;
            }
        }
        assert!(sent < 10_000, "no back-pressure");
    }
    assert_eq!(frame(&mut connection).await, text("still"));
    assert_eq!(frame(&mut connection).await, text("here"));
    go.send(sent).unwrap();
    soon(connection.flush()).await.unwrap();
    soon(server).await.unwrap();
}

// T-13, W-22
#[tokio::test]
async fn both_directions_at_once() {
    const ROUNDS: usize = 3_000;
    let (dial, _server) = serve_open(|socket| async move {
        let (sink, stream) = socket.split();
        stream.forward(sink).await
    })
    .await;
    let (mut sink, mut stream) = open(dial).await.split();
    let message = |number: usize| match number % 2 {
        0 => Frame::Text(format!("{number}").repeat(1 + number % 500).into()),
        _ => Frame::Binary(vec![number as u8; number * 7].into()),
    };
    let send = async {
        for number in 0..ROUNDS {
            sink.feed(message(number)).await.unwrap();
        }
        sink.flush().await.unwrap();
    };
    let receive = async {
        for number in 0..ROUNDS {
            assert!(stream.next().await.unwrap().unwrap() == message(number), "{number}");
        }
    };
    soon(futures::future::join(send, receive)).await;
}
