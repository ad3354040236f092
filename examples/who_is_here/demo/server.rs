//! A Phoenix server with one kind of room: it says who is there, and passes on what is said.

use std::{future::ready, io};

use phoenix_streams::{Value, json, testing::Server};
use serde::Deserialize;

/// What a client joins with.
#[derive(Deserialize)]
struct Hello {
    name: String,
    device: String,
    state: String,
}

#[derive(Deserialize)]
struct Turned {
    state: String,
}

pub(crate) async fn start() -> io::Result<Server> {
    Server::builder()
        .join("room:*", |_, params| {
            ready(match params.json::<Hello>() {
                Ok(_) => Ok(json!({})),
                Err(_) => Err(json!({ "reason": "a name, a device and a state are needed" })),
            })
        })
        .after_join("room:*", |peer, params| async move {
            if let Ok(Hello { name, device, state }) = params.json() {
                peer.push("presence_state", peer.presences());
                peer.track(&name, json!({ "device": device, "state": state }));
            }
        })
        .on("room:*", "state", |peer, payload| {
            ready(match (peer.join_params().json::<Hello>(), payload.json::<Turned>()) {
                (Ok(Hello { name, device, .. }), Ok(Turned { state })) => {
                    peer.update(&name, json!({ "device": device, "state": state }));
                    Ok(json!({}))
                }
                _ => Err(json!({ "reason": "no state" })),
            })
        })
        .on("room:*", "new_msg", |peer, said| {
            ready(match said.json::<Value>() {
                Ok(Value::Object(_)) => {
                    peer.broadcast("new_msg", said);
                    Ok(json!({}))
                }
                _ => Err(json!({ "reason": "not a message" })),
            })
        })
        .start()
        .await
}
