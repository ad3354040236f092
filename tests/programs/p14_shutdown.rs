//! A graceful end: leave everything, then close, three seconds in all.

use std::time::Duration;

use futures::future::join_all;
use phoenix_streams::{Backoff, Socket};

pub(crate) async fn main() -> anyhow::Result<()> {
    let socket = Socket::builder("wss://example.org/socket")
        .reconnect(Backoff::exponential(Duration::from_millis(50), Duration::from_secs(10)).jitter(true))
        .start()?;
    // Left out until topics are data: `socket.follow(..)` over a set of 200 topics that changes.
    let rooms: Vec<_> = (0..3).map(|i| socket.channel(format!("room:{i}"))).collect();
    join_all(rooms.iter().map(|r| r.join(()))).await;
    tokio::signal::ctrl_c().await?;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(3);
    let _ = tokio::time::timeout_at(deadline, join_all(rooms.iter().map(|r| r.leave()))).await;
    if tokio::time::timeout_at(deadline, socket.close()).await.is_err() {
        eprintln!("not closed in time")
    }
    Ok(())
}
