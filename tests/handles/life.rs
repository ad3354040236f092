//! One life from the first join to the close.

use futures::StreamExt;
use phoenix_streams::{ChannelStatus, PushError, Socket, Status, json, transport::memory};

#[tokio::test(start_paused = true)]
async fn a_whole_life() {
    let (transport, mut peer) = memory::pair();
    let socket = Socket::builder("ws://memory/socket").transport(transport).start().unwrap();
    let mut status = socket.status();
    let room = socket.channel("room:1");
    let mut shouts = room.events("shout");
    let join = tokio::spawn(room.join(json!({ "nick": "ann" })));
    let mut server = peer.accept().await;
    status.wait_for(Status::is_connected).await.unwrap();
    let asked = server.recv().await.unwrap();
    assert_eq!(&*asked.event, "phx_join");
    server.reply(&asked, "ok", json!({ "motd": "hello" })).await;
    let reply = join.await.unwrap().unwrap();
    assert_eq!(reply.payload().to_string(), r#"{"motd":"hello"}"#);

    let push = tokio::spawn(room.push("shout", json!({ "body": "hi" })));
    let pushed = server.recv().await.unwrap();
    server.broadcast("room:1", "shout", json!({ "body": "hi" })).await;
    server.reply(&pushed, "ok", ()).await;
    assert_eq!(push.await.unwrap().unwrap().status(), "ok");
    assert_eq!(shouts.next().await.unwrap().unwrap().payload().to_string(), r#"{"body":"hi"}"#);

    let pending = tokio::spawn(room.push("never", ()));
    server.recv().await.unwrap();
    server.cut();
    assert!(matches!(pending.await.unwrap(), Err(PushError::Disconnected)));
    let mut server = peer.accept().await;
    let asked = server.recv().await.unwrap();
    assert_eq!(asked.payload.to_string(), r#"{"nick":"ann"}"#);
    server.reply(&asked, "ok", ()).await;
    room.status().wait_for(ChannelStatus::is_joined).await.unwrap();

    let leave = tokio::spawn(room.leave());
    let asked = server.recv().await.unwrap();
    assert_eq!(&*asked.event, "phx_leave");
    server.reply(&asked, "ok", ()).await;
    leave.await.unwrap().unwrap();
    assert!(shouts.next().await.is_none());
    let closing = tokio::spawn(socket.close());
    let frame = loop {
        match server.recv_frame().await.unwrap() {
            phoenix_streams::transport::Frame::Close { code, .. } => break code,
            _ => {}
        }
    };
    assert_eq!(frame, 1000);
    server.close(1000);
    closing.await.unwrap();
    assert!(status.current().is_closed());
}

#[tokio::test(start_paused = true)]
async fn a_timeout_beyond_all_time_is_no_timeout() {
    let (transport, mut peer) = memory::pair();
    let socket = Socket::builder("ws://memory/socket").transport(transport).heartbeat(std::time::Duration::MAX);
    let socket = socket.timeout(std::time::Duration::MAX).start().unwrap();
    let room = socket.channel("room:1");
    let join = tokio::spawn(room.join(()));
    let mut server = peer.accept().await;
    let asked = server.recv().await.unwrap();
    server.reply(&asked, "ok", ()).await;
    assert!(join.await.unwrap().is_ok());
}
