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
