//! Clients of this crate on the topic of the official client's random case of presence.

use futures::StreamExt;
use phoenix_streams::{LongPoll, Value, WebSocket, json};

use crate::company::{Member, list_of};

/// Acts at random beside the official client, and then compares its lists with that one's.
pub(crate) async fn visit(url: &str, transport: &str, n: u64) {
    let seed = fastrand::u64(..);
    println!("a guest of the seed {seed}");
    let transport = if transport == "websocket" { WebSocket::default().boxed() } else { LongPoll::default().boxed() };
    let name = ["ann", "guest"][n as usize % 2];
    let mut member = Member::enter(url, transport, "presence:random", name, seed).await;
    for _ in 0..40 {
        member.act().await;
    }
    let mut told = member.room.events_as::<Value>("told");
    member.settle(true).await;
    while let Some(said) = told.next().await {
        let list = said.unwrap()["list"].take();
        // Another guest is through.
        if list.is_null() {
            continue;
        }
        assert_eq!(member.agrees().await, list_of(&list), "the seed {seed}");
        member.room.push("tell", json!({ "equal": true })).await.unwrap();
        return;
    }
    panic!("nothing was told, the seed {seed}");
}
