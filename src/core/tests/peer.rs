//! What a Phoenix server would say, and what a test asks about channels.

use serde_json::{Value, json};

use super::sim::{Sim, Token};
use crate::{core::ChannelId, error::NotJoined, status::ChannelStatus};

impl Sim {
    /// The reply to a message that was written.
    pub(super) fn answer(&mut self, asked: &Value, status: &str, response: Value) {
        let payload = json!({ "response": response, "status": status });
        self.receive(json!([asked[0], asked[1], asked[2], "phx_reply", payload]));
    }

    /// The answer of a server that does not know the topic: it names no join.
    pub(super) fn answer_unmatched(&mut self, asked: &Value) {
        let payload = json!({ "response": { "reason": "unmatched topic" }, "status": "error" });
        self.receive(json!([null, asked[1], asked[2], "phx_reply", payload]));
    }

    /// A push of the server's channel process under this join.
    pub(super) fn server_pushes(&mut self, join_ref: &str, topic: &str, event: &str, payload: Value) {
        self.receive(json!([join_ref, null, topic, event, payload]));
    }

    pub(super) fn broadcast(&mut self, topic: &str, event: &str, payload: Value) {
        self.receive(json!([null, null, topic, event, payload]));
    }

    /// The process of this join has crashed.
    pub(super) fn crash(&mut self, join_ref: &str, topic: &str) {
        self.receive(json!([join_ref, join_ref, topic, "phx_error", { "reason": "channel_crash" }]));
    }

    /// The process of this join has ended in good order.
    pub(super) fn end(&mut self, join_ref: &str, topic: &str) {
        self.receive(json!([join_ref, join_ref, topic, "phx_close", {}]));
    }

    /// The connection breaks, and the next one opens.
    pub(super) fn reconnect(&mut self) {
        self.break_off();
        self.redial();
    }

    pub(super) fn break_off(&mut self) {
        self.lost(crate::ConnectError::Ended);
    }

    /// Waits for the next attempt, which succeeds.
    pub(super) fn redial(&mut self) {
        let next = self.core.poll_timeout().expect("an attempt is due");
        self.advance(next - self.now);
        self.up();
    }

    /// The connection takes frames again.
    pub(super) fn unblock(&mut self) {
        self.writable = true;
        self.drain();
    }

    /// The names of the events written since the last call.
    pub(super) fn events(&mut self) -> Vec<String> {
        self.take_written().into_iter().map(|(_, event)| event).collect()
    }

    pub(super) fn count(&self, event: &str) -> usize {
        self.written.iter().filter(|(_, message)| message[3] == event).count()
    }

    pub(super) fn errored(&self, channel: ChannelId) -> &NotJoined {
        match self.channel_status(channel) {
            ChannelStatus::Errored { cause } => cause,
            other => panic!("the channel is {other:?}"),
        }
    }

    pub(super) fn is_joining(&self, channel: ChannelId) -> bool {
        matches!(self.channel_status(channel), ChannelStatus::Joining)
    }

    pub(super) fn is_joined(&self, channel: ChannelId) -> bool {
        matches!(self.channel_status(channel), ChannelStatus::Joined)
    }

    pub(super) fn is_leaving(&self, channel: ChannelId) -> bool {
        matches!(self.channel_status(channel), ChannelStatus::Leaving)
    }

    pub(super) fn is_closed(&self, channel: ChannelId) -> bool {
        matches!(self.channel_status(channel), ChannelStatus::Closed { .. })
    }

    /// The payload of an accepted join, as text.
    pub(super) fn joined_with(&self, token: Token) -> &str {
        self.joined_as(token).as_ref().expect("accepted").payload().as_str().expect("JSON")
    }

    /// The events delivered to streams since the last call.
    pub(super) fn take_delivered(&mut self) -> Vec<String> {
        self.delivered.drain(..).map(|(_, event, _)| event).collect()
    }
}
