//! A room whose people the test moves.

use phoenix_streams::{Channel, Socket, Value, json, testing::Server};

pub(crate) async fn server() -> Server {
    let text = |value: &Value, field: &str| value[field].as_str().unwrap_or_default().to_owned();
    let builder = Server::builder()
        .join("room:*", |_, _| async { Ok(json!({})) })
        .join("closed", |_, _| async { Err(json!({ "reason": "members only" })) })
        // It never pushes a `presence_state`.
        .join("forgetful", |_, _| async { Ok(json!({})) })
        .after_join("forgetful", |peer, _| async move { drop(peer.track("eve", json!({}))) })
        .after_join("room:*", move |peer, params| async move {
            let params: Value = params.json().unwrap_or_default();
            peer.push("presence_state", peer.presences());
            let meta = json!({ "device": text(&params, "device"), "state": text(&params, "state") });
            peer.track(&text(&params, "name"), meta);
        })
        .on("room:*", "state", move |peer, meta| async move {
            let params: Value = peer.join_params().json().unwrap_or_default();
            peer.update(&text(&params, "name"), meta);
            Ok(json!({}))
        })
        .on("room:*", "new_msg", move |peer, said| async move {
            if text(&said.json().unwrap_or_default(), "body") == "rubbish" {
                return Err(json!({ "reason": "mind your words" }));
            }
            peer.broadcast("new_msg", said);
            Ok(json!({}))
        });
    builder.start().await.unwrap()
}

/// One device of somebody: a client. Dropped, it leaves.
pub(crate) async fn enter(server: &Server, name: &str, device: &str, state: &str) -> Channel {
    let room = Socket::builder(server.url()).start().unwrap().channel("room:lobby");
    room.join(json!({ "name": name, "device": device, "state": state })).await.unwrap();
    room
}

pub(crate) async fn turn(room: &Channel, device: &str, state: &str) {
    room.push("state", json!({ "device": device, "state": state })).await.unwrap();
}

pub(crate) async fn say(room: &Channel, name: &str, body: &str) {
    room.push("new_msg", json!({ "name": name, "body": body })).await.unwrap();
}
