//! A sensor forwarded, fan-out, `with`, binary.

use std::time::Duration;

use futures::{SinkExt, StreamExt, TryStreamExt, stream};
use phoenix_streams::{Binary, CastError, Socket};
use serde::Serialize;

#[derive(Serialize, Clone)]
struct Reading {
    at: u64,
    celsius: f32,
}

#[derive(Debug, thiserror::Error)]
enum SensorError {
    #[error("bus")]
    #[expect(dead_code, reason = "a sensor may fail")]
    Bus,
    #[error(transparent)]
    Sent(#[from] CastError),
}

fn readings() -> impl stream::Stream<Item = Result<Reading, SensorError>> {
    stream::iter([Ok(Reading { at: 1, celsius: 2.0 })])
}

pub(crate) async fn main() -> anyhow::Result<()> {
    let socket = Socket::builder("ws://localhost:4000/socket").start()?;
    let ch = socket.channel("sensor:7");
    ch.join(()).await?;
    readings().forward(ch.sink("reading").sink_err_into::<SensorError>()).await?;
    readings()
        .err_into::<SensorError>()
        .try_chunks(16)
        .map_err(|e| e.1)
        .forward(ch.sink("batch").sink_err_into())
        .await?;
    let mut raw = ch.sink("raw");
    raw.send(Binary(vec![1u8, 2, 3])).await?;
    raw.flush().await?;
    raw.close().await?;
    let ticks = tokio_stream::wrappers::IntervalStream::new(tokio::time::interval(Duration::from_secs(1)));
    let (tx, rx) = tokio::sync::mpsc::channel::<Reading>(8);
    drop(tx);
    let a = tokio::spawn(ticks.map(|_| Ok(())).forward(ch.sink("tick")));
    let b = tokio::spawn(tokio_stream::wrappers::ReceiverStream::new(rx).map(Ok).forward(ch.sink("reading")));
    a.await??;
    b.await??;
    let mut both = ch.sink("a").fanout(ch.sink("b"));
    both.send(Reading { at: 0, celsius: 0. }).await?;
    let celsius = ch.sink("c").with(|c: f32| async move { Ok::<_, CastError>(Reading { at: 0, celsius: c }) });
    futures::pin_mut!(celsius);
    celsius.send(1.0).await?;
    Ok(())
}
