//! Pushes tried again, raced and sent many at a time.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use futures::{StreamExt, future::join_all, stream};
use phoenix_streams::{Backoff, PushError, Reply, Socket};
use serde::Serialize;

#[derive(Serialize)]
struct Order {
    id: u64,
}

pub(crate) async fn main() -> anyhow::Result<()> {
    let socket = Socket::builder("ws://localhost:4000/socket").start()?;
    let ch = socket.channel("orders");
    ch.join(()).await?;
    let order = Order { id: 7 };
    let r: Reply = (|| ch.push("order", &order).timeout(Duration::from_secs(2)))
        .retry(ExponentialBuilder::default().with_max_times(5))
        .when(|e| matches!(e, PushError::NotSent(_)) || e.is_not_sent())
        .notify(|e, d| eprintln!("{e}; again in {d:?}"))
        .await?;
    // The crate's own backoff, with the same library.
    let b = Backoff::exponential(Duration::from_millis(50), Duration::from_secs(5)).limit(4);
    (|| async { ch.push("order", &order).await }).retry(b.delays()).when(PushError::is_not_sent).await?;
    match ch.push("order", &order).await {
        Ok(r) => println!("{}", r.status()),
        Err(PushError::Rejected(r)) => {
            #[derive(serde::Deserialize)]
            struct Why {
                reason: String,
            }
            println!("{}", r.json::<Why>()?.reason)
        }
        Err(PushError::Timeout | PushError::Disconnected) => {
            println!("unknown: ask again with the same idempotency key")
        }
        Err(e) => return Err(e.into()),
    }
    let orders: Vec<Order> = (0..9).map(|id| Order { id }).collect();
    let done = join_all(orders.iter().map(|o| ch.push("order", o))).await;
    let mut piped = stream::iter(orders).map(|o| ch.push("order", &o)).buffer_unordered(4);
    while let Some(r) = piped.next().await {
        r?;
    }
    tokio::time::timeout(Duration::from_secs(1), ch.push("order", ())).await??;
    let mut p = ch.push("order", ());
    tokio::select! {
        r = &mut p => { r?; }
        _ = tokio::time::sleep(Duration::from_secs(1)) => { println!("slow"); p.await?; }
    }
    let _ = (r, done);
    Ok(())
}
