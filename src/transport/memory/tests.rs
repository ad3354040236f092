use futures::{FutureExt, poll};
use serde_json::json;
use tokio_test::{assert_pending, assert_ready};

use super::*;
use crate::{
    payload::Binary,
    serializer::{Envelope, Serializer, V2},
};

fn asked() -> Dial {
    let url = "ws://memory/socket?user=7".parse().unwrap();
    Dial::new(url, HeaderMap::new(), "2.0.0".into(), Some("secret".into()))
}

async fn connected(frames: usize) -> (Connection, PeerConnection, Peer) {
    let (memory, mut peer) = pair_with_capacity(frames);
    let (client, server) = futures::join!(memory.dial(asked()), peer.accept());
    (client.unwrap(), server, peer)
}

fn text(frame: &str) -> Frame {
    Frame::Text(frame.to_owned().into())
}

async fn push(client: &mut Connection, server: &mut PeerConnection, frame: &str) -> Incoming {
    client.send(text(frame)).await.unwrap();
    server.recv().await.unwrap()
}

async fn next(client: &mut Connection) -> Envelope {
    V2.decode(client.next().await.unwrap().unwrap()).unwrap()
}

#[tokio::test]
async fn messages_of_the_client_arrive_decoded_heartbeats_included() {
    let (mut client, mut server, _peer) = connected(9).await;
    let join = push(&mut client, &mut server, r#"["1","1","room:1","phx_join",{"nick":"ann"}]"#).await;
    assert_eq!((join.join_ref.as_deref(), join.r#ref.as_deref()), (Some("1"), Some("1")));
    assert_eq!((&*join.topic, &*join.event), ("room:1", "phx_join"));
    assert_eq!(join.payload.as_str(), Some(r#"{"nick":"ann"}"#));
    let beat = push(&mut client, &mut server, r#"[null,"2","phoenix","heartbeat",{}]"#).await;
    assert_eq!((beat.join_ref.as_deref(), &*beat.event), (None, "heartbeat"));
}

#[tokio::test]
async fn a_binary_push_of_the_client_arrives_decoded() {
    let (mut client, mut server, _peer) = connected(1).await;
    let message = Envelope {
        join_ref: Some("10".into()),
        r#ref: Some("1".into()),
        topic: "top".into(),
        event: "ev".into(),
        payload: Binary(vec![1]).into_payload().unwrap(),
    };
    client.send(V2.encode(&message).unwrap()).await.unwrap();
    let seen = server.recv().await.unwrap();
    assert_eq!((seen.join_ref.as_deref(), seen.r#ref.as_deref()), (Some("10"), Some("1")));
    assert_eq!((&*seen.topic, &*seen.event), ("top", "ev"));
    assert!(seen.payload.is_binary());
    assert_eq!(seen.payload.as_bytes(), [1]);
}

// W-4
#[tokio::test]
async fn the_server_writes_what_phoenix_writes() {
    let (mut client, mut server, _peer) = connected(9).await;
    let join = push(&mut client, &mut server, r#"["3","4","t","e",{}]"#).await;
    server.reply(&join, "ok", json!([1])).await;
    server.push(&join, "new", json!({})).await;
    server.broadcast("t", "all", "hi").await;
    server.error(&join, ()).await;
    server.close_channel(&join).await;
    server.cut();
    let sent: Vec<_> = client.map(Result::unwrap).collect().await;
    let expected = [
        r#"["3","4","t","phx_reply",{"response":[1],"status":"ok"}]"#,
        r#"["3",null,"t","new",{}]"#,
        r#"[null,null,"t","all","hi"]"#,
        r#"["3","3","t","phx_error",{}]"#,
        r#"["3","3","t","phx_close",{}]"#,
    ];
    assert_eq!(sent, expected.map(text));
}

// W-16, W-20
#[tokio::test]
async fn binary_of_the_server_has_three_kinds() {
    let (mut client, mut server, _peer) = connected(9).await;
    let join = push(&mut client, &mut server, r#"["3","44","top","e",{}]"#).await;
    server.reply(&join, "ok", Binary(vec![7])).await;
    server.push(&join, "ev", Binary(vec![8])).await;
    server.broadcast("top", "all", Binary(vec![9])).await;
    let reply = next(&mut client).await;
    assert_eq!((reply.join_ref.as_deref(), reply.r#ref.as_deref()), (Some("3"), Some("44")));
    assert_eq!((&*reply.topic, &*reply.event), ("top", "phx_reply"));
    assert_eq!(reply.payload, Payload::binary_reply("ok", &[7]).unwrap());
    let push = next(&mut client).await;
    assert_eq!((push.join_ref.as_deref(), push.r#ref.as_deref(), &*push.event), (Some("3"), None, "ev"));
    assert_eq!(push.payload.as_bytes(), [8]);
    let all = next(&mut client).await;
    assert_eq!((all.join_ref.as_deref(), &*all.topic, &*all.event), (None, "top", "all"));
    assert_eq!(all.payload.as_bytes(), [9]);
}

#[tokio::test]
async fn a_peer_sees_what_was_dialed_and_answers_as_told() {
    let (memory, mut peer) = pair();
    assert_eq!(memory.name(), "memory");
    let (refused, ()) = futures::join!(memory.dial(asked()), peer.refuse(StatusCode::SERVICE_UNAVAILABLE));
    assert!(matches!(refused, Err(ConnectError::Refused(refusal)) if refusal.status() == 503));
    let (failed, ()) = futures::join!(memory.dial(asked()), peer.fail(ConnectError::Ended));
    assert!(matches!(failed, Err(ConnectError::Ended)));
    let (client, server) = futures::join!(memory.dial(asked()), peer.accept());
    assert!(client.is_ok());
    assert_eq!(server.dial().url, "ws://memory/socket?user=7");
    assert_eq!(server.dial().token.as_deref(), Some("secret"));
}

#[tokio::test]
async fn an_attempt_may_be_kept_unanswered() {
    let (memory, mut peer) = pair();
    let mut dialing = tokio_test::task::spawn(memory.dial(asked()));
    assert_pending!(dialing.poll());
    let attempt = peer.dialed().await;
    assert_pending!(dialing.poll());
    let _server = attempt.accept();
    assert!(dialing.is_woken());
    assert!(assert_ready!(dialing.poll()).is_ok());
}

#[tokio::test]
async fn an_attempt_given_up_is_not_accepted() {
    let (memory, mut peer) = pair();
    assert!(memory.dial(asked()).now_or_never().is_none());
    let mut accepting = tokio_test::task::spawn(peer.accept());
    assert_pending!(accepting.poll());
    let mut dialing = tokio_test::task::spawn(memory.dial(asked()));
    assert_pending!(dialing.poll());
    assert!(accepting.is_woken());
    assert_ready!(accepting.poll());
    assert!(assert_ready!(dialing.poll()).is_ok());
}

#[tokio::test]
async fn without_its_peer_nothing_connects() {
    let (memory, peer) = pair();
    let mut dialing = tokio_test::task::spawn(memory.dial(asked()));
    assert_pending!(dialing.poll());
    drop(peer);
    assert!(matches!(assert_ready!(dialing.poll()), Err(ConnectError::Transport(_))));
    assert!(matches!(memory.dial(asked()).await, Err(ConnectError::Transport(_))));
}

#[tokio::test]
async fn the_end_comes_after_all_that_was_sent() {
    let (mut client, mut server, _peer) = connected(1).await;
    server.send(text("last")).await;
    server.close(1012);
    assert_eq!(client.next().await.unwrap().unwrap(), text("last"));
    assert_eq!(client.next().await.unwrap().unwrap(), Frame::Close { code: 1012, reason: "".into() });
    assert!(client.next().await.is_none());
    assert!(client.next().await.is_none());
}

#[tokio::test]
async fn a_cut_ends_without_a_close_frame_and_a_failure_with_its_error() {
    let (mut client, mut server, _peer) = connected(3).await;
    server.send(text("last")).await;
    drop(server);
    assert_eq!(client.next().await.unwrap().unwrap(), text("last"));
    assert!(client.next().await.is_none());
    let (mut client, server, _peer) = connected(3).await;
    server.fail(ConnectError::Timeout);
    assert!(matches!(client.next().await, Some(Err(ConnectError::Timeout))));
    assert!(client.next().await.is_none());
}

#[tokio::test]
async fn a_frame_for_a_peer_that_is_gone_is_lost_without_an_error() {
    let (mut client, server, _peer) = connected(1).await;
    server.close(1001);
    client.send(text("lost")).await.unwrap();
    client.send(text("lost")).await.unwrap();
    assert!(matches!(client.next().await, Some(Ok(Frame::Close { code: 1001, .. }))));
}

#[tokio::test]
async fn the_client_closes() {
    let (mut client, mut server, mut peer) = connected(9).await;
    let bye = Frame::Close { code: 1000, reason: "bye".into() };
    client.send(bye.clone()).await.unwrap();
    client.close().await.unwrap();
    assert_eq!(server.recv_frame().await, Some(bye));
    assert_eq!(server.recv_frame().await, None);
    assert!(peer.accept().now_or_never().is_none());
    let (mut client, mut server, _peer) = connected(9).await;
    client.send(Frame::Close { code: 1000, reason: "".into() }).await.unwrap();
    assert!(server.recv().await.is_none());
    drop(client);
    assert!(server.recv().await.is_none());
}

#[tokio::test]
async fn unread_frames_hold_the_client_back() {
    let (mut client, mut server, _peer) = connected(2).await;
    client.send(text("1")).await.unwrap();
    client.send(text("2")).await.unwrap();
    let mut third = tokio_test::task::spawn(client.send(text("3")));
    assert_pending!(third.poll());
    assert_eq!(server.recv_frame().await, Some(text("1")));
    assert!(third.is_woken());
    assert_ready!(third.poll()).unwrap();
    assert_eq!(server.recv_frame().await, Some(text("2")));
    assert_eq!(server.recv_frame().await, Some(text("3")));
}

#[tokio::test]
async fn unread_frames_hold_the_peer_back() {
    let (mut client, mut server, _peer) = connected(1).await;
    server.send(text("1")).await;
    {
        let mut second = Box::pin(server.send(text("2")));
        assert!(poll!(&mut second).is_pending());
        assert_eq!(client.next().await.unwrap().unwrap(), text("1"));
        second.await;
    }
    drop(client);
    server.send(text("lost")).await;
    server.send(text("lost")).await;
    assert!(server.recv().await.is_none());
}

#[tokio::test]
#[should_panic(expected = "a frame of the client")]
async fn a_frame_of_another_protocol_panics() {
    let (mut client, mut server, _peer) = connected(1).await;
    client.send(text("{}")).await.unwrap();
    server.recv().await;
}
