//! What a handler has in hand: its channel.

use std::{fmt, sync::Arc};

use futures::future::AbortHandle;
use serde_json::Value;
use tokio::sync::mpsc::UnboundedSender;

use super::{channel::Input, connect::ConnectInfo, response::encoded, server::Shared, topics::Out, wire};
use crate::{IntoPayload, Payload};

/// One joined channel, as its handlers see it: a Phoenix channel process.
///
/// A clone is the same channel, and may be kept: once the channel is gone it sends nothing.
#[derive(Clone)]
pub struct Peer(pub(super) Arc<Process>);

pub(super) struct Process {
    pub(super) id: u64,
    pub(super) topic: Arc<str>,
    /// What its messages carry: the join's join ref, or the join's ref where that was null.
    pub(super) join_ref: Value,
    pub(super) params: Payload,
    pub(super) connect: ConnectInfo,
    pub(super) transport: UnboundedSender<Out>,
    pub(super) inbox: UnboundedSender<Input>,
    pub(super) kill: AbortHandle,
    pub(super) shared: Arc<Shared>,
}

impl Peer {
    /// The topic joined.
    pub fn topic(&self) -> &str {
        &self.0.topic
    }

    /// What the client joined with.
    pub fn join_params(&self) -> &Payload {
        &self.0.params
    }

    /// What the client connected with.
    pub fn connect(&self) -> &ConnectInfo {
        &self.0.connect
    }

    /// Sends an event to this client.
    ///
    /// # Panics
    /// If the payload does not serialize, or is neither a JSON object nor binary: Phoenix pushes nothing else.
    /// Inside a handler that crashes the channel.
    pub fn push(&self, event: &str, payload: impl IntoPayload) {
        match wire::push(&self.0.join_ref, &self.0.topic, event, &encoded(payload)) {
            // Without a connection there is nobody to tell.
            Ok(frame) => drop(self.0.transport.send(Out::Frame(self.0.id, frame))),
            Err(unsayable) => panic!("{unsayable}"),
        }
    }

    /// Sends an event to all who joined the topic, this client included.
    ///
    /// # Panics
    /// As [`push`](Self::push).
    pub fn broadcast(&self, event: &str, payload: impl IntoPayload) {
        self.0.shared.broadcast(&self.0.topic, event, payload, None);
    }

    /// Sends an event to all others who joined the topic.
    ///
    /// # Panics
    /// As [`push`](Self::push).
    pub fn broadcast_from(&self, event: &str, payload: impl IntoPayload) {
        self.0.shared.broadcast(&self.0.topic, event, payload, Some(self.0.id));
    }

    /// Makes the client present on its topic, under a key and with a meta: a JSON object. All who joined the topic, this
    /// client included, get a `presence_diff` with the join. Returns the meta's `phx_ref`.
    ///
    /// Several channels may track the same key, as with a user's devices, and a channel several keys. The end of the
    /// channel, whatever it is, takes them all away: the others get one diff with the leaves. Phoenix' `Presence.track`.
    ///
    /// ```
    /// use futures::StreamExt;
    /// use phoenix_streams::{Socket, Value, json, testing::Server};
    ///
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let server = Server::builder()
    ///     .join("room:*", |_, _| async { Ok(json!({})) })
    ///     .after_join("room:*", |peer, params| async move {
    ///         let params: Value = params.json().expect("a join of ours has params");
    ///         peer.push("presence_state", peer.presences());
    ///         peer.track(params["user"].as_str().unwrap_or("nobody"), json!({ "device": "phone" }));
    ///     })
    ///     .start()
    ///     .await?;
    ///
    /// let socket = Socket::builder(server.url()).connect().await?;
    /// let room = socket.channel("room:1");
    /// let mut diffs = room.events_as::<Value>("presence_diff");
    /// room.join(json!({ "user": "ann" })).await?;
    /// let diff = diffs.next().await.expect("the socket is there")?;
    /// assert_eq!(diff["joins"]["ann"]["metas"][0]["device"], "phone");
    /// assert_eq!(diff["joins"], server.presences("room:1"));
    /// # Ok(()) }
    /// ```
    ///
    /// # Panics
    /// If this channel tracks the key already, or the meta is no JSON object. Inside a handler that crashes the channel.
    /// Once the channel is gone nothing is tracked, and nothing panics.
    pub fn track(&self, key: &str, meta: impl IntoPayload) -> String {
        let (phx_ref, tracked) = self.0.track(key, meta);
        assert!(tracked, "this channel tracks {key:?} already");
        phx_ref
    }

    /// Replaces the meta of a key that this channel tracks: all who joined the topic get one `presence_diff` with the
    /// new meta as a join and the old one as a leave. Returns the new `phx_ref`; its `phx_ref_prev` is the old one.
    ///
    /// # Panics
    /// If this channel does not track the key, or the meta is no JSON object. Inside a handler that crashes the channel.
    /// Once the channel is gone nothing is updated, and nothing panics.
    pub fn update(&self, key: &str, meta: impl IntoPayload) -> String {
        let (phx_ref, updated) = self.0.update(key, meta);
        assert!(updated, "this channel does not track {key:?}");
        phx_ref
    }

    /// Takes away a key: all who joined the topic get a `presence_diff` with the leave. Nothing happens if this channel
    /// does not track it.
    pub fn untrack(&self, key: &str) {
        self.0.untrack(key);
    }

    /// Who is present on the topic, as an application pushes it in `presence_state`; see
    /// [`Server::presences`](super::Server::presences).
    ///
    /// # Panics
    /// As [`presence_fetch`](super::ServerBuilder::presence_fetch) does.
    pub fn presences(&self) -> Value {
        self.0.shared.presences(&self.0.topic)
    }

    /// Stops the channel, once the handler at work and what came before this are done: `phx_close`.
    pub fn close(&self) {
        // One that is gone is closed.
        let _ = self.0.inbox.send(Input::Stop);
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer").field("topic", &self.0.topic).finish_non_exhaustive()
    }
}
