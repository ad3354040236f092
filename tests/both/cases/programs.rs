//! Those of the programs that meet a server.

#[path = "../../programs/p01_block.rs"]
mod p01_block;
#[allow(dead_code, reason = "the rest takes no server")]
#[path = "../../programs/p13_tests.rs"]
mod p13_tests;

use phoenix_streams::{json, testing::Server};

use super::{server_of_short_polls, transport};

#[tokio::test]
async fn the_block_runs() {
    let server = Server::builder()
        .auth_token(true)
        .join("room:*", |_, params| async move {
            match params.json::<serde_json::Value>() {
                Ok(params) if params["nick"] == "ann" => Ok(json!({ "motd": "welcome" })),
                _ => Err(json!({ "reason": "who are you?" })),
            }
        })
        .on("room:*", "shout", |peer, said| async move {
            peer.broadcast("shout", said);
            Ok(json!({}))
        })
        .on("room:*", "typing", |_, _| async { Ok(json!({})) })
        .on("room:*", "cursor", |_, _| async { Ok(json!({})) })
        .start()
        .await
        .unwrap();
    p01_block::main(server.url(), transport()).await.unwrap();
}

#[tokio::test]
async fn an_application_is_tested_with_the_server() {
    p13_tests::with_server(server_of_short_polls(), transport()).await.unwrap();
}
