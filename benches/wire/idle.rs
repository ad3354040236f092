//! What sockets and channels keep in memory while nothing happens.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use phoenix_streams::{Http, Socket};
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
    let plain = format!("ws://{}", server.address);
    let secure = format!("wss://localhost:{}", server.secure_port);
    println!("| one of {SOCKETS} sockets | {} | < 24 KiB |", fresh(&["sockets", &plain]));
    println!("| the same by TLS | {} | < 32 KiB |", fresh(&["sockets", &secure, &server.certificate]));
    println!("| one of {CHANNELS} joined channels of one socket | {} | < 2 KiB |\n", fresh(&["channels", &plain]));
}

fn print(bytes: usize, count: usize) {
    println!("{:.1} KiB", bytes as f64 / count as f64 / 1024.0);
}

/// Trusts this certificate alone, in hexadecimal digits.
pub(crate) fn trusting(certificate: &str) -> Http {
    let digits = certificate.as_bytes().chunks(2).map(|two| std::str::from_utf8(two).expect("digits"));
    let der: Vec<_> = digits.map(|two| u8::from_str_radix(two, 16).expect("digits")).collect();
    Http::default().root_certificate(der).no_system_roots()
}

pub(crate) fn sockets(url: &str, http: Http) {
    Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(async {
        let connect = |_| Socket::builder(url).http(http.clone()).connect();
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

pub(crate) fn channels(url: &str) {
    Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(async {
        let socket = Socket::builder(url).connect().await.expect("a connection");
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
