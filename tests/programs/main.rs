//! Programs that people would write with the crate. That they compile, and that what they do can be spawned, is most of
//! what they show; some run as well.

mod p01_block;
mod p02_repl;
#[expect(dead_code, reason = "a struct holds what keeps it alive")]
mod p03_struct;
#[expect(dead_code, reason = "printed by `Debug`")]
mod p04_combine;
mod p05_sink;
mod p06_retry;
mod p07_token;
mod p08_iced;
mod p09_leptos;
mod p10_axum;
mod p12_transport;
mod p13_tests;
mod p14_shutdown;
mod p16_conveniences;

use phoenix_streams::{json, testing::Server};

#[test]
fn all_can_be_spawned() {
    fn spawnable(_: impl Future<Output: Send> + Send + 'static) {}
    spawnable(p02_repl::main());
    spawnable(p03_struct::main());
    spawnable(p04_combine::main());
    spawnable(p05_sink::main());
    spawnable(p06_retry::main());
    spawnable(p07_token::main());
    spawnable(p08_iced::main());
    spawnable(p09_leptos::main());
    spawnable(p10_axum::main());
    spawnable(p12_transport::main());
    spawnable(p14_shutdown::main());
    spawnable(p16_conveniences::main());
}

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
    p01_block::main(server.url()).await.unwrap();
}

#[tokio::test]
async fn an_application_is_tested_with_the_server() {
    p13_tests::with_server().await.unwrap();
}

#[tokio::test]
async fn an_application_is_tested_with_the_memory_pair() {
    p13_tests::with_memory().await.unwrap();
}
