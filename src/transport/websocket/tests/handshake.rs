//! What is asked for, what is answered, and what comes of it.

use super::*;

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
async fn an_answer_101_that_is_no_answer_to_this_handshake_is_refused() {
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

// DEV-23
#[tokio::test]
async fn a_refusal_whose_body_does_not_come_is_a_refusal() {
    let stalled = refusal(async |stream| {
        stream.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 9\r\n\r\nabc").await.unwrap();
        // Until the client has had enough.
        let _ = stream.read(&mut [0]).await;
    });
    let stalled = tokio::time::timeout(Duration::from_secs(9), stalled).await.expect("within the connect timeout");
    assert_eq!((stalled.status().as_u16(), &stalled.body()[..]), (403, &b"abc"[..]));
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
    assert!(matches!(error, ConnectError::Unreachable(_)));
    assert!(error.to_string().contains(&at.to_string()) && error.to_string().contains("refused"), "{error}");
    assert!(!whole.contains("hunter2"), "{whole}");
}
