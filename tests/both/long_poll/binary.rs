//! L-32: for binary messages from the server there is no form.

use std::time::Duration;

use http::StatusCode;
use phoenix_streams::{
    Backoff, Binary, ConnectError, PushError, json,
    testing::{Response, Server},
    transport::Frame,
};

use super::cases::{bed::Bed, socket, waits_for};

fn is_not_carried(cause: &ConnectError) -> bool {
    matches!(cause, ConnectError::NotCarried(refusal) if refusal.status() == StatusCode::INTERNAL_SERVER_ERROR)
}

// L-32, law 12
#[tokio::test]
async fn a_message_that_is_no_utf_8_costs_one_connection() {
    let bytes = b"[null,null,\"room:target\",\"\xff\",{}]";
    for frame in [Frame::Binary(b"\x02\x0b\x01room:targete\xff"[..].into()), Frame::Text(bytes[..].into())] {
        let mut bed = Bed::plain().await;
        bed.server.send_raw(frame);
        bed.cost_one_connection(is_not_carried).await;
    }
}

// L-32, Q-10
#[tokio::test]
async fn what_was_held_with_it_is_settled() {
    let server = Server::builder()
        .join("room:*", |_, _| async { Ok(json!({})) })
        .on_with("room:*", "image", |_, _| async { Response::ok(Binary(vec![0xff, 0xd8])) })
        .on("room:*", "echo", |_, _| async { Ok(json!({})) });
    let server = server.start().await.unwrap();
    let slowly = Backoff::steps([Duration::from_millis(100)]);
    let socket = socket(server.url()).reconnect(slowly).connect().await.unwrap();
    let room = socket.channel("room:1");
    room.join(()).await.unwrap();
    let (image, cause) = futures::join!(room.push("image", ()), waits_for(&socket));
    assert!(matches!(image, Err(PushError::Disconnected)), "{image:?}");
    assert!(is_not_carried(&cause.1), "{cause:?}");
    assert!(cause.1.to_string().contains("which long-poll cannot carry"), "{}", cause.1);
    room.push("echo", ()).await.unwrap();
    assert!(matches!(room.push("image", ()).await, Err(PushError::Disconnected)));
}
