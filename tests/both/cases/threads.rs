//! What only happens with handles on one thread and the driver on another.

use futures::{FutureExt, StreamExt};
use phoenix_streams::{NotSent, PushError, Status, json, testing::Server};

use super::socket;

async fn server() -> Server {
    let server = Server::builder().max_channels(usize::MAX).join("room:*", |_, _| async { Ok(json!({})) }).on(
        "room:*",
        "add",
        |_, _| async { Ok(json!({})) },
    );
    server.start().await.unwrap()
}

// The driver may be in the midst of a turn, with the first lane read, when a join and a push come.
#[test]
fn a_push_never_overtakes_the_join_before_it() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let server = server().await;
        let socket = socket(server.url()).connect().await.unwrap();
        for number in 0..300 {
            let room = socket.channel(format!("room:{number}"));
            let alone = room.push("add", ()).await;
            assert!(matches!(alone, Err(PushError::NotSent(NotSent::NotJoined))), "{number}: {alone:?}");
            room.join(()).detach();
            room.push("add", ()).await.unwrap_or_else(|error| panic!("{number}: behind a detached join: {error}"));
            room.cast("add", ()).await.unwrap();
            room.leave().await.unwrap();
            let (join, push) = futures::join!(room.join(()), room.push("add", ()));
            join.unwrap();
            push.unwrap_or_else(|error| panic!("{number}: beside a join: {error}"));
        }
        socket.close().await;
    });
}

#[tokio::test]
async fn a_loop_over_present_values_gives_way() {
    let server = server().await;
    let socket = socket(server.url()).connect().await.unwrap();
    let spinning = async {
        while let Some(status) = socket.status().next().await {
            assert!(matches!(status, Status::Connected { .. }));
        }
    };
    let elsewhere = tokio::spawn(async {
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
    });
    futures::select! {
        () = spinning.fuse() => panic!("the status ended"),
        done = elsewhere.fuse() => done.unwrap(),
    }
}
