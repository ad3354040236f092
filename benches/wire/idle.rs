//! What sockets and channels keep in memory while nothing happens.

use std::{net::SocketAddr, time::Duration};

use futures::{StreamExt, TryStreamExt, stream};
use phoenix_streams::Socket;
use tokio::{runtime::Builder, time::sleep};

use crate::machine::{Elsewhere, fresh, resident};

const SOCKETS: usize = 2_000;
const CHANNELS: usize = 10_000;
/// Long enough for whatever follows a handshake or a join.
const SETTLING: Duration = Duration::from_millis(300);

pub(crate) fn run() {
    println!("## idle: memory in use, the server in a process of its own\n");
    println!("| | figure | aim |");
    println!("|---|--:|--:|");
    let server = Elsewhere::start();
    let here = server.address.to_string();
    println!("| one of {SOCKETS} sockets | {} | < 24 KiB |", fresh(&["sockets", &here]));
    println!("| one of {CHANNELS} joined channels of one socket | {} | < 2 KiB |\n", fresh(&["channels", &here]));
}

fn print(bytes: usize, count: usize) {
    println!("{:.1} KiB", bytes as f64 / count as f64 / 1024.0);
}

pub(crate) fn sockets(server: SocketAddr) {
    Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(async {
        let connect = |_| Socket::builder(format!("ws://{server}")).connect();
        // What the first ones need for all is not theirs.
        let warm: Vec<_> = stream::iter(0..10).then(connect).try_collect().await.expect("connections");
        sleep(SETTLING).await;
        let before = resident();
        let sockets = stream::iter(0..SOCKETS).map(connect).buffer_unordered(20);
        let sockets: Vec<_> = sockets.try_collect().await.expect("connections");
        sleep(SETTLING).await;
        print(resident() - before, SOCKETS);
        drop((warm, sockets));
    });
}

pub(crate) fn channels(server: SocketAddr) {
    Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(async {
        let socket = Socket::builder(format!("ws://{server}")).connect().await.expect("a connection");
        sleep(SETTLING).await;
        let before = resident();
        let rooms: Vec<_> = (0..CHANNELS).map(|number| socket.channel(format!("room:{number}"))).collect();
        for some in rooms.chunks(100) {
            let joins = stream::iter(some).map(|room| room.join(()));
            joins.buffer_unordered(100).try_for_each(async |_| Ok(())).await.expect("joins");
        }
        sleep(SETTLING).await;
        print(resident() - before, CHANNELS);
    });
}
