//! Streams of this crate in the hands of those who draw: iced's subscriptions, leptos' signals, tokio's watch.

use futures::StreamExt;
use iced_futures::{Subscription, subscription};
use phoenix_streams::{Channel, Presence, Socket, Status, json, testing::Server};
use reactive_graph::{
    owner::Owner,
    signal::ReadSignal,
    traits::{FromStream, GetUntracked},
};
use serde::Deserialize;
use tokio::{sync::watch, task::LocalSet};

#[derive(Deserialize)]
struct Meta {
    nick: String,
}

fn nicks(present: &Presence<Meta>) -> Vec<String> {
    present.iter().flat_map(|entry| entry.metas().iter().map(|meta| meta.nick.clone()).collect::<Vec<_>>()).collect()
}

/// A room with Ann in it, as its server says it.
async fn room() -> (Server, Socket, Channel) {
    let server = Server::builder()
        .join("room:*", |_, _| async { Ok(json!({})) })
        .on("room:*", "who", |peer, _| async move {
            peer.push("presence_state", json!({ "1": { "metas": [{ "phx_ref": "a", "nick": "ann" }] } }));
            Ok(json!({}))
        })
        .start()
        .await
        .unwrap();
    let socket = Socket::builder(server.url()).connect().await.unwrap();
    let room = socket.channel("room:1");
    room.join(()).await.unwrap();
    (server, socket, room)
}

#[tokio::test]
async fn iced_subscribes_by_the_identity_of_a_handle() {
    enum Event {
        Present(Presence<Meta>),
        Status(Status),
    }
    let (_server, socket, room) = room().await;
    let subscribe = || {
        Subscription::batch([
            Subscription::run_with(room.clone(), Channel::presence::<Meta>).map(Event::Present),
            Subscription::run_with(socket.clone(), Socket::status).map(Event::Status),
        ])
    };
    let identity = |subscription: Subscription<Event>| {
        let mut hash = subscription::Hasher::default();
        subscription::into_recipes(subscription).iter().for_each(|recipe| recipe.hash(&mut hash));
        std::hash::Hasher::finish(&hash)
    };
    assert_eq!(identity(subscribe()), identity(subscribe()), "a view drawn again keeps its streams");
    let recipes = subscription::into_recipes(subscribe());
    let mut streams = recipes.into_iter().map(|recipe| recipe.stream(futures::stream::pending().boxed()));
    let (mut who, mut status) = (streams.next().unwrap(), streams.next().unwrap());
    room.push("who", ()).await.unwrap();
    while let Some(Event::Present(present)) = who.next().await {
        if nicks(&present) == ["ann"] {
            break;
        }
    }
    assert!(matches!(status.next().await, Some(Event::Status(status)) if status.is_connected()));
}

#[tokio::test]
async fn leptos_makes_signals_of_streams() {
    // Whoever comes first in this process has made it.
    let _ = any_spawner::Executor::init_tokio();
    let (_server, socket, room) = room().await;
    LocalSet::new()
        .run_until(async {
            let owner = Owner::new();
            owner.set();
            let present: ReadSignal<Option<Presence<Meta>>> = ReadSignal::from_stream(room.presence::<Meta>());
            let status: ReadSignal<Option<Status>> = ReadSignal::from_stream(socket.status());
            room.push("who", ()).await.unwrap();
            while present.get_untracked().is_none_or(|present| nicks(&present) != ["ann"]) {
                tokio::task::yield_now().await;
            }
            assert!(status.get_untracked().is_some_and(|status| status.is_connected()));
        })
        .await;
}

#[tokio::test]
async fn a_watch_holds_the_newest_list_for_a_draw_loop() {
    let (_server, _socket, room) = room().await;
    let (draw, mut newest) = watch::channel(Presence::<Meta>::default());
    let mut who = room.presence();
    tokio::spawn(async move {
        while let Some(present) = who.next().await {
            if draw.send(present).is_err() {
                break;
            }
        }
    });
    room.push("who", ()).await.unwrap();
    newest.wait_for(|present| nicks(present) == ["ann"]).await.unwrap();
}
