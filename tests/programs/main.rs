//! Programs that people would write with the crate. That they compile, and that what they do can be spawned, is most of
//! what they show; some run as well, here or over each transport in `both`.

#[expect(dead_code, reason = "it runs in `both`")]
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
mod p11_presence;
mod p12_transport;
#[expect(dead_code, reason = "it runs in `both` as well")]
mod p13_tests;
mod p14_shutdown;
mod p16_conveniences;

use std::{
    future::ready,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use phoenix_streams::{
    LongPoll, Socket, Transport, Value, WebSocket,
    http::HeaderValue,
    json,
    testing::Server,
    transport::{Frame, memory},
};

use p12_transport::{Lossy, Metered, Packed, Signed};

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
    spawnable(p11_presence::main());
    spawnable(p12_transport::main());
    spawnable(p14_shutdown::main());
    spawnable(p16_conveniences::main());
}

/// A socket by this transport, which joins and pushes so many times; what the server saw of its headers.
async fn run_over(transport: impl Transport, pushes: usize) -> Option<HeaderValue> {
    let seen = Arc::new(Mutex::new(None));
    let noted = seen.clone();
    let server = Server::builder()
        .connect(move |connect| {
            *noted.lock().unwrap() = connect.headers().get("x-sig").cloned();
            ready(Ok(()))
        })
        .join("room:*", |_, _| async { Ok(json!({})) })
        .on("room:*", "shout", |_, said| async move { Ok(said.json().unwrap()) })
        .start()
        .await
        .unwrap();
    let socket = Socket::builder(server.url()).transport(transport).connect().await.unwrap();
    let room = socket.channel("room:1");
    room.join(()).await.unwrap();
    for n in 0..pushes {
        let reply = room.push("shout", json!({ "n": n })).await.unwrap();
        assert_eq!(reply.json::<Value>().unwrap(), json!({ "n": n }));
    }
    seen.lock().unwrap().clone()
}

#[tokio::test]
async fn the_transports_of_ones_own_run() {
    let seen = Arc::new(AtomicU64::new(0));
    let metered = || Metered { inner: WebSocket::default(), seen: seen.clone() };
    let signed = || Signed(LongPoll::default(), "k".into());
    assert_eq!(run_over(metered().or(signed()).or(memory::pair().0), 3).await, None);
    // The answers to two pings, of the join, and of the pushes.
    assert_eq!(seen.load(Ordering::Relaxed), 6);
    assert_eq!(run_over(signed(), 3).await, Some("k".parse().unwrap()));
    assert_eq!(run_over(Lossy(signed()).boxed(), 3).await, Some("k".parse().unwrap()));
    assert_eq!(run_over(Lossy(metered()), 3).await, None);
}

#[tokio::test]
async fn a_serializer_of_ones_own_packs_what_it_sends() {
    let (transport, mut peer) = memory::pair();
    let socket = Socket::builder("ws://x").transport(transport).serializer(Packed).start().unwrap();
    let mut server = peer.accept().await;
    let room = socket.channel("room:1");
    room.join(json!({ "a": 1 })).detach();
    let Some(Frame::Binary(packed)) = server.recv_frame().await else { panic!("it is not binary") };
    let packed: Value = serde_json::from_slice(&packed).unwrap();
    assert_eq!([&packed[2], &packed[3], &packed[4]], [&json!("room:1"), &json!("phx_join"), &json!({ "a": 1 })]);
}

#[tokio::test]
async fn an_application_is_tested_with_the_memory_pair() {
    p13_tests::with_memory().await.unwrap();
}
