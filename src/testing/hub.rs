//! Who listens to which topic, and who is present there, of all connections.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use futures::future::AbortHandle;
use serde_json::Value;
use tokio::sync::mpsc::UnboundedSender;

use super::{
    channel::Input,
    presence::{Diff, Presences},
    response::encoded,
    topics::Out,
    wire,
};
use crate::{payload::Payload, transport::Frame};

/// The topics, while somebody has joined them or is present there.
#[derive(Debug, Default)]
pub(super) struct Hub(Mutex<HashMap<String, Topic>>);

#[derive(Debug, Default)]
struct Topic {
    subscribers: Vec<Subscriber>,
    presences: Presences,
}

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
        self.topics().entry(topic.to_owned()).or_default().subscribers.push(subscriber);
    }

    /// The end of a channel: in the same step it is present no more, which only those who remain are told.
    pub(super) fn unsubscribe(
        &self,
        topic: &str,
        id: u64,
        (event, join_ref): (&str, &Value),
        leave: impl FnOnce(&mut Presences) -> Option<Diff>,
    ) {
        self.alter(topic, (event, join_ref), |topic| {
            topic.subscribers.retain(|subscriber| subscriber.id != id);
            (leave(&mut topic.presences), ())
        });
    }

    /// Changes who is present on a topic and tells all who joined it, in one step.
    ///
    /// So every mailbox gets the diffs of a topic in the order of its changes, all of them from the subscription on. That
    /// is why no ghost comes of a list that is read and pushed while others come and go: the reader has been subscribed
    /// before, hence has, before the list or behind it, the diff of every change that the list lacks. Diffs that the list
    /// has in it already change nothing when they are applied to it, as a ref joins once, then leaves once.
    pub(super) fn present<R>(
        &self,
        topic: &str,
        (event, join_ref): (&str, &Value),
        change: impl FnOnce(&mut Presences) -> (Option<Diff>, R),
    ) -> R {
        self.alter(topic, (event, join_ref), |topic| change(&mut topic.presences))
    }

    pub(super) fn presences<R>(&self, topic: &str, read: impl FnOnce(&Presences) -> R) -> R {
        let topics = self.topics();
        read(topics.get(topic).map_or(&Presences::default(), |topic| &topic.presences))
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
        if let Some(topic) = self.topics().get(topic) {
            topic.tell(event, payload, &frame, except);
        }
        Ok(())
    }

    pub(super) fn kill(&self, topic: &str) {
        if let Some(topic) = self.topics().get(topic) {
            topic.subscribers.iter().for_each(|subscriber| subscriber.kill.abort());
        }
    }

    pub(super) fn count(&self, topic: &str) -> usize {
        self.topics().get(topic).map_or(0, |topic| topic.subscribers.len())
    }

    fn alter<R>(
        &self,
        name: &str,
        (event, join_ref): (&str, &Value),
        change: impl FnOnce(&mut Topic) -> (Option<Diff>, R),
    ) -> R {
        let mut topics = self.topics();
        let topic = topics.entry(name.to_owned()).or_default();
        let (diff, changed) = change(topic);
        if let Some(diff) = diff {
            let payload = encoded(diff);
            topic.tell(event, &payload, &wire::json_push(join_ref, name, event, &payload), None);
        }
        if topic.subscribers.is_empty() && topic.presences.is_empty() {
            topics.remove(name);
        }
        changed
    }

    fn topics(&self) -> MutexGuard<'_, HashMap<String, Topic>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Topic {
    fn tell(&self, event: &str, payload: &Payload, frame: &Frame, except: Option<u64>) {
        for subscriber in self.subscribers.iter().filter(|subscriber| Some(subscriber.id) != except) {
            // A connection that has just ended takes nothing more.
            if subscriber.intercepted.iter().any(|name| name == event) {
                let _ = subscriber.channel.send(Input::Broadcast { event: event.to_owned(), payload: payload.clone() });
            } else {
                let _ = subscriber.transport.send(Out::Broadcast(frame.clone()));
            }
        }
    }
}
