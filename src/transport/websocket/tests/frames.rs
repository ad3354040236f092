//! Frames in and out, and the ways in which a connection ends.

use super::*;

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

// T-18
#[tokio::test]
async fn a_goodbye_whose_code_cannot_be_sent_goes_without_one() {
    for code in [0, 999, 1004, 1006, 1015, 2999, 5000, u16::MAX] {
        let (dial, server) = serve_open(|mut socket| async move {
            let close = socket.next().await;
            let _ = socket.flush().await;
            close
        })
        .await;
        let endpoint = format!("ws://{}/socket", dial.url.authority().unwrap());
        let socket = crate::Socket::builder(endpoint).connect().await.unwrap();
        soon(socket.disconnect().code(code)).await;
        assert!(matches!(server.await.unwrap(), Some(Ok(Message::Close(_)))), "{code}");
    }
}

// T-12
#[tokio::test]
async fn a_flood_of_pongs_does_not_keep_the_reader_for_ever() {
    const PONGS: usize = 32 << 10;
    let (client, mut server) = tokio::io::duplex(1 << 20);
    server.write_all(&b"\x8a\x00".repeat(PONGS)).await.unwrap();
    server.write_all(b"\x81\x02hi").await.unwrap();
    let mut connection = connection::Open::new(client, Role::Client, WebSocket::default().config());
    assert!(futures::poll!(connection.next()).is_pending(), "all of it was read at once");
    assert_eq!(soon(connection.next()).await.unwrap().unwrap(), text("hi"));
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
