//! Who listens to which topic, of all connections.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use futures::future::AbortHandle;
use serde_json::Value;
use tokio::sync::mpsc::UnboundedSender;

use super::{channel::Input, topics::Out, wire};
use crate::payload::Payload;

/// The topics and those joined to them.
#[derive(Debug, Default)]
pub(super) struct Hub(Mutex<HashMap<String, Vec<Subscriber>>>);

/// A joined channel.
#[derive(Debug)]
pub(super) struct Subscriber {
    pub(super) id: u64,
    pub(super) transport: UnboundedSender<Out>,
    pub(super) channel: UnboundedSender<Input>,
    /// The events that its channel asked to see before they go out.
    pub(super) intercepted: Vec<String>,
    pub(super) kill: AbortHandle,
}

impl Hub {
    pub(super) fn subscribe(&self, topic: &str, subscriber: Subscriber) {
        self.topics().entry(topic.to_owned()).or_default().push(subscriber);
    }

    pub(super) fn unsubscribe(&self, topic: &str, id: u64) {
        let mut topics = self.topics();
        if let Some(subscribers) = topics.get_mut(topic) {
            subscribers.retain(|subscriber| subscriber.id != id);
            if subscribers.is_empty() {
                topics.remove(topic);
            }
        }
    }

    /// To all on the topic but `except`. Written once, sent to each connection past its channels, as Phoenix does.
    pub(super) fn broadcast(
        &self,
        topic: &str,
        event: &str,
        payload: &Payload,
        except: Option<u64>,
        join_ref: &Value,
    ) -> Result<(), wire::Unsayable> {
        wire::only_maps(payload)?;
        let frame = match join_ref {
            Value::Null => wire::broadcast(topic, event, payload)?,
            wrong => wire::push(wrong, topic, event, payload)?,
        };
        for subscriber in self.topics().get(topic).into_iter().flatten() {
            if Some(subscriber.id) == except {
                continue;
            }
            // A connection that has just ended takes nothing more.
            if subscriber.intercepted.iter().any(|name| name == event) {
                let _ = subscriber.channel.send(Input::Broadcast { event: event.to_owned(), payload: payload.clone() });
            } else {
                let _ = subscriber.transport.send(Out::Broadcast(frame.clone()));
            }
        }
        Ok(())
    }

    pub(super) fn kill(&self, topic: &str) {
        for subscriber in self.topics().get(topic).into_iter().flatten() {
            subscriber.kill.abort();
        }
    }

    pub(super) fn count(&self, topic: &str) -> usize {
        self.topics().get(topic).map_or(0, Vec::len)
    }

    fn topics(&self) -> MutexGuard<'_, HashMap<String, Vec<Subscriber>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
