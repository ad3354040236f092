//! What servers reply.

use serde_json::{Value, json};

use super::{
    frames::{Expect, binary, text},
    model::{Kind, Told},
    world::World,
};
use crate::{core::ChannelId, transport::Frame};

impl World {
    pub(super) fn join_reply(&mut self, detail: &str) -> Option<(Frame, Expect)> {
        if detail == "stale reply" {
            return self.stale_join_reply();
        }
        let mut joining = self.channels_in(&[Told::Joining]);
        // What waits to be asked for or written has no answer yet.
        joining.retain(|id| self.model.channels[id].asking.is_none() && !self.model.channels[id].again);
        let id = self.pick(&joining)?;
        let channel = &self.model.channels[&id];
        let (topic, join_ref) = (channel.topic.clone(), channel.current?);
        let (status, response, state) = match detail {
            "ok" => ("ok", json!({ "hello": 1 }), Told::Joined),
            "refused" => ("error", json!({ "reason": "unauthorized" }), Told::Refused),
            "other status" => ("later", json!(null), Told::Refused),
            "crashed" => ("error", json!({ "reason": "join crashed" }), Told::Errored),
            _ => ("error", json!({ "reason": "unmatched topic" }), Told::Refused),
        };
        let named = match detail {
            "unmatched topic" => Value::Null,
            _ => self.own_or_none(join_ref),
        };
        match state {
            Told::Joined => self.cause.joined = Some(id),
            Told::Refused => self.cause.refused = Some(id),
            _ => self.cause.crashed = Some(id),
        }
        if state != Told::Joined {
            self.model.wire.live.remove(&topic);
        }
        let reference = self.spelled(join_ref);
        text(reply(named, reference, &topic, status, response), Expect::State(id, state))
    }

    /// To an earlier join, or to this one under a wrong join ref, or to none.
    fn stale_join_reply(&mut self) -> Option<(Frame, Expect)> {
        let id = self.known_channel()?;
        let channel = &self.model.channels[&id];
        let (topic, current) = (channel.topic.clone(), channel.current);
        let (join_ref, reference) = match (current, self.random.u8(0..4)) {
            (Some(current), 0) => (self.stale_ref(id), json!(current.to_string())),
            (Some(current), 1) => (self.garbage_ref(), json!(current.to_string())),
            (_, 2) => (Value::Null, self.stale_ref(id)),
            _ => {
                let stale = self.stale_ref(id);
                (stale.clone(), stale)
            }
        };
        let status = self.pick(&["ok", "error"])?;
        text(reply(join_ref, reference, &topic, status, json!({})), Expect::Nothing)
    }

    pub(super) fn push_reply(&mut self, detail: &str) -> Option<(Frame, Expect)> {
        if detail == "unmatched topic, late" {
            return self.late_unmatched();
        }
        let sent = self.model.held.values().filter(|held| held.kind == Kind::Push && held.written.is_some());
        let sent: Vec<_> = sent.map(|held| (held.channel, held.id, held.written)).collect();
        let (Some(id), push, Some(own)) = self.pick(&sent)? else { return None };
        let topic = self.model.channels[&id].topic.clone();
        let reference = self.spelled(push);
        let named = self.own_or_none(own);
        let (status, response) = match detail {
            "ok" => ("ok", json!({ "n": 1 })),
            "error" => ("error", json!({ "reason": "unmatched topic" })),
            "unmatched topic" => {
                self.cause.answered = Some(push);
                return self.unmatched(id, reference);
            }
            "stale reply" => {
                let join_ref = if self.random.bool() { self.stale_ref(id) } else { self.garbage_ref() };
                return text(reply(join_ref, reference, &topic, "ok", json!({})), Expect::Nothing);
            }
            "reply to nothing" => {
                let future = self.future_ref();
                return text(reply(named, future, &topic, "error", json!({})), Expect::Nothing);
            }
            "binary reply" => {
                self.cause.answered = Some(push);
                let frame = [&own.to_string(), &push.to_string(), topic.as_str(), "ok"];
                return binary(1, &frame, Expect::Settled(push));
            }
            _ => ("weird", Value::Null),
        };
        self.cause.answered = Some(push);
        // Under its join ref, an error of these words is the application's own.
        let named = if detail == "error" { json!(own.to_string()) } else { named };
        text(reply(named, reference, &topic, status, response), Expect::Settled(push))
    }

    /// To a push that was given up, but belongs to the present join.
    fn late_unmatched(&mut self) -> Option<(Frame, Expect)> {
        let joined = self.channels_in(&[Told::Joined]);
        let gone: Vec<_> = joined.iter().filter_map(|id| Some((*id, self.model.channels[id].gone?))).collect();
        let (id, push) = self.pick(&gone)?;
        let reference = self.spelled(push);
        self.unmatched(id, reference)
    }

    fn unmatched(&mut self, id: ChannelId, reference: Value) -> Option<(Frame, Expect)> {
        let topic = self.model.channels[&id].topic.clone();
        self.cause.unmatched = Some(id);
        self.model.wire.live.remove(&topic);
        let response = json!({ "reason": "unmatched topic" });
        text(reply(Value::Null, reference, &topic, "error", response), Expect::State(id, Told::Errored))
    }

    pub(super) fn malformed_reply(&mut self) -> Option<(Frame, Expect)> {
        let id = self.known_channel()?;
        self.cause.garbage = true;
        let payload = self.pick(&["null", "[]", "{}", "{\"status\":1}", "\"ok\"", "{\"response\":{}", "nonsense"])?;
        let topic = &self.model.channels[&id].topic;
        let frame = format!("[null,\"{}\",\"{topic}\",\"phx_reply\",{payload}]", u64::MAX);
        Some((Frame::Text(frame.into()), Expect::Undecodable))
    }

    pub(super) fn leave_reply(&mut self, detail: &str) -> Option<(Frame, Expect)> {
        let leaving = self.channels_in(&[Told::Leaving]);
        let id = self.pick(&leaving)?;
        let channel = &self.model.channels[&id];
        let (topic, own, leave) = (channel.topic.clone(), channel.current?, channel.leave?);
        let reference = self.spelled(leave);
        if detail == "stale reply" {
            let join_ref = if self.random.bool() { self.stale_ref(id) } else { self.garbage_ref() };
            return text(reply(join_ref, reference, &topic, "ok", json!({})), Expect::Nothing);
        }
        self.cause.left = Some(id);
        let status = if detail == "ok" { "ok" } else { "error" };
        let named = self.own_or_none(own);
        text(reply(named, reference, &topic, status, json!({})), Expect::Left(id))
    }

    pub(super) fn heartbeat_reply(&mut self, detail: &str) -> Option<(Frame, Expect)> {
        if detail == "stale" {
            let future = self.future_ref();
            return text(reply(Value::Null, future, "phoenix", "ok", json!({})), Expect::Nothing);
        }
        let reference = self.model.wire.heartbeat?;
        self.cause.heartbeat = true;
        let reference = self.spelled(reference);
        match detail {
            "ok" => text(reply(Value::Null, reference, "phoenix", "ok", json!({})), Expect::Beat),
            _ => text(json!([null, reference, "elsewhere", "anything", 1]), Expect::Beat),
        }
    }

    pub(super) fn pong(&mut self) -> Option<(Frame, Expect)> {
        let pings = self.model.held.values().filter(|held| held.kind == Kind::Ping && held.written.is_some());
        let pings: Vec<_> = pings.map(|held| held.id).collect();
        let ping = self.pick(&pings)?;
        self.cause.pinged = Some(ping);
        let reference = self.spelled(ping);
        text(reply(Value::Null, reference, "phoenix", "ok", json!({})), Expect::Pong(ping))
    }

    fn own_or_none(&mut self, own: u64) -> Value {
        if self.one_in(4) { Value::Null } else { self.spelled(own) }
    }
}

fn reply(join_ref: Value, reference: Value, topic: &str, status: &str, response: Value) -> Value {
    json!([join_ref, reference, topic, "phx_reply", { "response": response, "status": status }])
}
