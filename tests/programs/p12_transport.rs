//! Transports and a serializer of one's own.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use futures::{SinkExt, TryStreamExt};
use phoenix_streams::{
    BoxTransport, ConnectError, DecodeError, EncodeError, LongPoll, Payload, Socket, Transport, V2, WebSocket,
    serializer::{Envelope, Serializer},
    transport::{Connection, Dial, Frame, memory},
};

/// Counts frames; wraps any transport.
pub(crate) struct Metered<T> {
    pub(crate) inner: T,
    pub(crate) seen: Arc<AtomicU64>,
}

impl<T: Transport> Transport for Metered<T> {
    async fn dial(&self, dial: Dial) -> Result<Connection, ConnectError> {
        let seen = self.seen.clone();
        let c = self.inner.dial(dial).await?;
        Ok(Connection::new(c.inspect_ok(move |_| {
            seen.fetch_add(1, Relaxed);
        })))
    }
}

/// Signs every attempt.
pub(crate) struct Signed<T>(pub(crate) T, pub(crate) String);

impl<T: Transport> Transport for Signed<T> {
    async fn dial(&self, mut dial: Dial) -> Result<Connection, ConnectError> {
        dial.headers.insert("x-sig", self.1.parse().map_err(|e| ConnectError::Provider(Arc::new(e)))?);
        self.0.dial(dial).await
    }
}

/// Drops every tenth outgoing frame.
pub(crate) struct Lossy<T>(pub(crate) T);

impl<T: Transport> Transport for Lossy<T> {
    async fn dial(&self, dial: Dial) -> Result<Connection, ConnectError> {
        let c = self.0.dial(dial).await?;
        let mut n = 0u32;
        Ok(Connection::new(c.with_flat_map(move |f: Frame| {
            n += 1;
            futures::stream::iter((!n.is_multiple_of(10)).then_some(Ok(f)))
        })))
    }
}

/// Chosen at run time.
struct Config {
    transport: BoxTransport,
}

/// Everything in binary frames, as MsgPack would be.
pub(crate) struct Packed;

impl Serializer for Packed {
    fn vsn(&self) -> &str {
        "2.0.0"
    }

    fn encode(&self, m: &Envelope) -> Result<Frame, EncodeError> {
        let payload: serde_json::Value = m.payload.json().map_err(EncodeError::new)?;
        let message = (m.join_ref.as_deref(), m.r#ref.as_deref(), &*m.topic, &*m.event, payload);
        Ok(Frame::Binary(serde_json::to_vec(&message).map_err(EncodeError::new)?.into()))
    }

    fn decode(&self, f: Frame) -> Result<Envelope, DecodeError> {
        match f {
            Frame::Binary(b) => {
                let (join_ref, r#ref, topic, event, payload): (
                    Option<String>,
                    Option<String>,
                    String,
                    String,
                    serde_json::Value,
                ) = serde_json::from_slice(&b).map_err(DecodeError::new)?;
                Ok(Envelope {
                    join_ref: join_ref.map(Into::into),
                    r#ref: r#ref.map(Into::into),
                    topic: topic.into(),
                    event: event.into(),
                    payload: Payload::from_raw(payload.to_string(), false),
                })
            }
            f => V2.decode(f),
        }
    }
}

pub(crate) async fn main() -> anyhow::Result<()> {
    let seen = Arc::new(AtomicU64::new(0));
    let t = Metered { inner: WebSocket::default(), seen: seen.clone() }
        .or(Signed(LongPoll::default(), "k".into()))
        .or(memory::pair().0);
    let _s = Socket::builder("ws://x").transport(t).serializer(Packed).start()?;
    let _s = Socket::builder("ws://x").transport(Lossy(WebSocket::default())).start()?;
    let b = Socket::builder("ws://x");
    let poll = true;
    let _s = if poll { b.transport(LongPoll::default()) } else { b.transport(WebSocket::default()) }.start()?;
    let _ = Socket::builder("ws://x").transport(Config { transport: WebSocket::default().boxed() }.transport);
    Ok(())
}
