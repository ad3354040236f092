//! What the transcripts do not show: the server's own controls, and handlers in their odd moments.

#[path = "../../tests/transcripts/client.rs"]
mod client;
mod presence;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{io::AsyncReadExt, net::TcpStream};

use self::client::{Client, frame};
use super::{Fault, Peer, Response, Server, ServerBuilder};
use crate::{Binary, json, transport::Frame};

const BEAT: &str = r#"[null,"h","phoenix","heartbeat",{}]"#;
const BEATEN: &str = r#"[null,"h","phoenix","phx_reply",{"response":{},"status":"ok"}]"#;
const UPGRADE: &str = "GET /socket/websocket?vsn=2.0.0 HTTP/1.1\nhost: localhost\nupgrade: websocket\n\
                       connection: Upgrade\nsec-websocket-key: P/ccD8kn4vKFEezkpoN90A==\nsec-websocket-version: 13";

fn rooms() -> ServerBuilder {
    Server::builder().join("room:*", |_, _| async { Ok(json!({})) })
}

async fn connect(server: &Server) -> Client {
    Client::connect(server.url(), "vsn=2.0.0").await
}

/// Joined to `room:1` with ref 1.
async fn joined(server: &Server) -> Client {
    let mut client = connect(server).await;
    client.send(r#"["1","1","room:1","phx_join",{}]"#).await;
    assert_eq!(client.next().await, r#"["1","1","room:1","phx_reply",{"response":{},"status":"ok"}]"#);
    client
}

async fn silent(client: &mut Client) -> bool {
    tokio::time::timeout(Duration::from_millis(50), client.next()).await.is_err()
}

#[tokio::test]
async fn a_cut_is_an_end_without_a_close_frame() {
    let server = rooms().start().await.unwrap();
    let mut client = joined(&server).await;
    assert_eq!((server.connections(), server.channels("room:1")), (1, 1));
    server.drop_connections();
    assert_eq!(client.next().await, "!! TCP FIN");
    server.wait_for_connections(0).await;
    joined(&server).await;
}

#[tokio::test]
async fn a_deploy_closes_with_1012() {
    let server = rooms().start().await.unwrap();
    let mut client = joined(&server).await;
    server.close_all(1012);
    assert_eq!(client.next().await, "CLOSE 1012 ''");
    assert_eq!(client.next().await, "!! TCP FIN");
}

#[tokio::test]
async fn the_last_clone_dropped_stops_the_server() {
    let server = rooms().start().await.unwrap();
    let other = server.clone();
    let mut client = joined(&server).await;
    drop(server);
    client.send(BEAT).await;
    assert_eq!(client.next().await, BEATEN);
    let address = client::host(other.url()).to_owned();
    drop(other);
    assert_eq!(client.next().await, "!! TCP FIN");
    assert!(TcpStream::connect(address).await.is_err());
}

// N-2
#[tokio::test]
async fn the_next_handshakes_are_refused() {
    let server = rooms().start().await.unwrap();
    server.refuse_next(503, 2);
    for status in ["503", "503", "101"] {
        let (_, head) = client::http(server.url(), UPGRADE).await;
        assert_eq!(head.split(' ').nth(1), Some(status));
    }
}

// N-4
#[tokio::test]
async fn a_client_that_sends_nothing_is_closed() {
    for code in [1002, 1000] {
        let server = rooms().idle_timeout(Duration::from_millis(50)).idle_code(code).start().await.unwrap();
        let mut client = joined(&server).await;
        assert_eq!(client.next().await, format!("CLOSE {code} ''"));
    }
}

#[tokio::test]
async fn a_close_is_echoed_on_demand() {
    for (echo, sent, answer) in [(true, &b"\x0f\xa0app"[..], "CLOSE 4000 ''"), (false, b"\x0f\xa0app", "CLOSE 1000 ''")]
    {
        let server = rooms().close_echo(echo).start().await.unwrap();
        let mut client = connect(&server).await;
        client.raw(&frame(0x88, sent)).await;
        assert_eq!(client.next().await, answer);
    }
}

#[tokio::test]
async fn a_mute_server_reads_and_forgets() {
    let server = rooms().start().await.unwrap();
    let mut client = joined(&server).await;
    server.misbehave(Fault::Mute);
    client.send(BEAT).await;
    server.broadcast("room:1", "lost", json!({}));
    assert!(silent(&mut client).await);
    server.behave();
    server.broadcast("room:1", "heard", json!({}));
    assert_eq!(client.next().await, r#"[null,null,"room:1","heard",{}]"#);
}

#[tokio::test]
async fn a_deaf_server_reads_later() {
    let server = rooms().start().await.unwrap();
    let mut client = joined(&server).await;
    server.misbehave(Fault::Deaf);
    server.broadcast("room:1", "told", json!({}));
    assert_eq!(client.next().await, r#"[null,null,"room:1","told",{}]"#);
    client.send(BEAT).await;
    assert!(silent(&mut client).await);
    server.behave();
    assert_eq!(client.next().await, BEATEN);
}

#[tokio::test]
async fn a_delay_is_kept() {
    let server = rooms().start().await.unwrap();
    let mut client = joined(&server).await;
    server.misbehave(Fault::Delay(Duration::from_millis(30)));
    let sent = std::time::Instant::now();
    client.send(BEAT).await;
    assert_eq!(client.next().await, BEATEN);
    assert!(sent.elapsed() >= Duration::from_millis(30));
}

#[tokio::test]
async fn a_handshake_hangs_until_the_server_behaves() {
    let server = rooms().start().await.unwrap();
    server.misbehave(Fault::HangHandshake);
    let mut asked = Box::pin(client::http(server.url(), UPGRADE));
    assert!(tokio::time::timeout(Duration::from_millis(50), &mut asked).await.is_err());
    server.behave();
    assert!(asked.await.1.starts_with("HTTP/1.1 101 "));
}

// F-4
#[tokio::test]
async fn an_upgrade_is_refused_as_by_a_proxy() {
    let server = rooms().start().await.unwrap();
    server.misbehave(Fault::RefuseUpgrades(403));
    let (mut stream, head) = client::http(server.url(), UPGRADE).await;
    assert!(head.starts_with("HTTP/1.1 403 Forbidden"));
    assert!(head.contains("content-type: text/html") && !head.contains("cache-control"), "{head}");
    assert!(client::read(&mut stream, 6).await.starts_with("<html>"));
    server.behave();
    joined(&server).await;
}

// F-6
#[tokio::test]
async fn frames_are_swallowed_both_ways() {
    let server = rooms().start().await.unwrap();
    server.misbehave(Fault::SwallowFrames);
    let mut client = connect(&server).await;
    client.send(BEAT).await;
    assert!(silent(&mut client).await);
}

// F-4
#[tokio::test]
async fn an_upgraded_connection_is_reset() {
    let server = rooms().start().await.unwrap();
    for after in [Duration::ZERO, Duration::from_millis(50)] {
        server.misbehave(Fault::ResetUpgraded(after));
        let (mut stream, head) = client::http(server.url(), UPGRADE).await;
        assert!(head.starts_with("HTTP/1.1 101 "));
        let end = stream.read_u8().await.unwrap_err();
        assert_eq!(end.kind(), std::io::ErrorKind::ConnectionReset);
        server.wait_for_connections(0).await;
    }
}

#[tokio::test]
async fn channels_do_not_outlive_a_close_that_the_client_has_not_answered() {
    let server = rooms().start().await.unwrap();
    let mut client = joined(&server).await;
    let sent = std::time::Instant::now();
    client.send("not a message").await;
    assert_eq!(client.next().await, "CLOSE 1011 ''");
    while server.channels("room:1") > 0 {
        tokio::task::yield_now().await;
    }
    // As long as the client is given to close the connection.
    assert!(sent.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn garbage_is_sent_as_it_is() {
    let server = rooms().start().await.unwrap();
    let mut client = joined(&server).await;
    server.send_raw(Frame::Text("{not json".into()));
    server.send_raw(Frame::Binary(vec![9].into()));
    server.send_raw(Frame::Close { code: 4001, reason: "why".into() });
    assert_eq!(
        [client.next().await, client.next().await, client.next().await],
        ["{not json", "BIN 09", "CLOSE 4001 'why'"]
    );
}

#[tokio::test]
async fn a_peer_that_is_gone_sends_nothing() {
    let kept: Arc<Mutex<Vec<Peer>>> = Arc::default();
    let keep = kept.clone();
    let server = rooms().on("room:*", "keep", move |peer, _| {
        keep.lock().unwrap().push(peer);
        async { Ok(json!({})) }
    });
    let server = server.start().await.unwrap();
    let mut client = joined(&server).await;
    client.send(r#"["1","2","room:1","keep",{}]"#).await;
    assert_eq!(client.next().await, r#"["1","2","room:1","phx_reply",{"response":{},"status":"ok"}]"#);
    let peer = kept.lock().unwrap()[0].clone();
    peer.push("before", json!({}));
    assert_eq!(client.next().await, r#"["1",null,"room:1","before",{}]"#);
    peer.close();
    assert_eq!(client.next().await, r#"["1","1","room:1","phx_close",{}]"#);
    peer.push("after", json!({}));
    client.send(BEAT).await;
    assert_eq!(client.next().await, BEATEN);
}

// W-7
#[tokio::test]
async fn a_push_of_what_is_no_map_crashes_the_channel() {
    let server = rooms().on("room:*", "bad", |peer, _| async move {
        peer.push("list", json!([1]));
        Ok(json!({}))
    });
    let server = server.start().await.unwrap();
    let mut client = joined(&server).await;
    client.send(r#"["1","2","room:1","bad",{}]"#).await;
    assert_eq!(client.next().await, r#"["1","1","room:1","phx_error",{"reason":"channel_crash"}]"#);
}

// W-20
#[tokio::test]
async fn a_binary_reply_on_a_topic_too_long_for_one_crashes_the_channel() {
    let server =
        rooms().on_with("room:*", "bin", |_, _| async { Response::ok(Binary(vec![1])) }).start().await.unwrap();
    let mut client = joined(&server).await;
    client.send(r#"["1","2","room:1","bin",{}]"#).await;
    assert_eq!(client.next().await, "BIN 01 01 01 06 02 31 32 72 6f 6f 6d 3a 31 6f 6b 01");
    let topic = format!("room:{}", "t".repeat(251));
    client.send(&format!(r#"["1","1","{topic}","phx_join",{{}}]"#)).await;
    client.next().await;
    client.send(&format!(r#"["1","2","{topic}","bin",{{}}]"#)).await;
    assert_eq!(client.next().await, format!(r#"["1","1","{topic}","phx_error",{{"reason":"channel_crash"}}]"#));
}

#[tokio::test]
async fn any_status_but_ok_refuses_a_join() {
    let server = Server::builder().join_with("a", |_, _| async { Response::reply("maybe", ()) });
    let server = server.join_with("b", |_, _| async { Response::nothing() }).start().await.unwrap();
    let mut client = connect(&server).await;
    client.send(r#"["1","1","a","phx_join",{}]"#).await;
    assert_eq!(client.next().await, r#"["1","1","a","phx_reply",{"response":{},"status":"maybe"}]"#);
    client.send(r#"["2","2","b","phx_join",{}]"#).await;
    assert_eq!(
        client.next().await,
        r#"["2","2","b","phx_reply",{"response":{"reason":"join crashed"},"status":"error"}]"#
    );
    assert_eq!((server.channels("a"), server.channels("b")), (0, 0));
}

#[tokio::test]
async fn leave_and_join_at_once_lose_nothing() {
    let server = rooms().start().await.unwrap();
    let mut client = joined(&server).await;
    let leave = frame(0x81, br#"["1","2","room:1","phx_leave",{}]"#);
    client.raw(&[leave, frame(0x81, br#"["3","3","room:1","phx_join",{}]"#)].concat()).await;
    let mut answers = [client.next().await, client.next().await, client.next().await];
    answers.sort();
    let want = [
        r#"["1","1","room:1","phx_close",{}]"#,
        r#"["1","2","room:1","phx_reply",{"response":{},"status":"ok"}]"#,
        r#"["3","3","room:1","phx_reply",{"response":{},"status":"ok"}]"#,
    ];
    assert_eq!(answers, want);
    assert_eq!(server.channels("room:1"), 1);
}
