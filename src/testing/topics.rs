//! The topics of one connection: joins, leaves and dispatch, whatever carries its messages.
//!
//! What is to go to the client gathers in [`Topics::outgoing`]; the WebSocket's loop writes it, a long-poll session
//! keeps it for the next poll.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures::future::AbortHandle;
use serde_json::Value;
use tokio::{
    sync::mpsc::{self, UnboundedReceiver, UnboundedSender},
    task::JoinHandle,
    time::timeout,
};

use super::{
    channel::{self, Ending, Input, Joined, Refs},
    connect::ConnectInfo,
    peer::Process,
    server::Shared,
    wire::{self, Incoming},
};
use crate::transport::Frame;

/// How long a leave under way may take to finish when the topic is joined again. On the BEAM it would be done by now.
const LEAVING: Duration = Duration::from_millis(200);

/// What a transport process is sent, in order.
#[derive(Debug)]
pub(super) enum Out {
    /// A channel's push or reply: void once the channel's end has been told.
    Frame(u64, Frame),
    Broadcast(Frame),
    Down(u64, Ending),
    Raw(Frame),
}

/// Dropped, it kills its channels.
pub(super) struct Topics {
    ids: HashMap<String, u64>,
    live: HashMap<u64, Live>,
    transport: UnboundedSender<Out>,
    connect: ConnectInfo,
    shared: Arc<Shared>,
    /// For the client, in order.
    pub(super) outgoing: Vec<Frame>,
}

/// A joined channel, until its end has been told.
struct Live {
    topic: String,
    /// As it came with the join; null stays null.
    join_ref: Value,
    inbox: UnboundedSender<Input>,
    task: JoinHandle<()>,
    kill: AbortHandle,
    state: State,
}

enum State {
    Joined,
    /// These leaves came after the first, and are answered when it is done.
    Leaving(Vec<Refs>),
    /// Its topic was joined again.
    Replaced,
}

impl Topics {
    /// With the mailbox of its process, to be given to [`tell`](Self::tell) one by one.
    pub(super) fn new(connect: ConnectInfo, shared: Arc<Shared>) -> (Self, UnboundedReceiver<Out>) {
        let (transport, mailbox) = mpsc::unbounded_channel();
        let (ids, live, outgoing) = (HashMap::new(), HashMap::new(), Vec::new());
        (Topics { ids, live, transport, connect, shared, outgoing }, mailbox)
    }

    /// Where its process is reached.
    pub(super) fn transport(&self) -> &UnboundedSender<Out> {
        &self.transport
    }

    /// From the channels and the server. `Some` is a close frame, which ends the connection.
    pub(super) fn tell(&mut self, out: Out) -> Option<Frame> {
        match out {
            Out::Frame(id, frame) => {
                if self.live.contains_key(&id) {
                    self.outgoing.push(frame);
                }
            }
            Out::Broadcast(frame) => self.outgoing.push(frame),
            Out::Down(id, ending) => self.down(id, ending),
            Out::Raw(frame @ Frame::Close { .. }) => return Some(frame),
            Out::Raw(frame) => self.outgoing.push(frame),
        }
        None
    }

    /// From the client. `None` is no message of the protocol, which is fatal.
    pub(super) async fn receive(&mut self, frame: &Frame) -> Option<()> {
        let message = match frame {
            Frame::Text(text) => wire::parse_text(text),
            Frame::Binary(bytes) => wire::parse_binary(bytes),
            Frame::Close { .. } => None,
        };
        self.dispatch(message?).await;
        Some(())
    }

    fn down(&mut self, id: u64, ending: Ending) {
        // A channel whose join failed, or whose close was sent already.
        let Some(mut live) = self.live.remove(&id) else { return };
        if self.ids.get(&live.topic) == Some(&id) {
            self.ids.remove(&live.topic);
        }
        let closed = ending == Ending::Stopped || matches!(live.state, State::Replaced);
        let last = if closed { wire::close } else { wire::error };
        self.outgoing.push(last(&live.join_ref, &live.topic));
        if let State::Leaving(again) = &mut live.state {
            let topic = live.topic.as_str().into();
            let left =
                again.drain(..).map(|refs| wire::json_reply(&refs.join_ref, &refs.reference, &topic, "ok", "{}"));
            self.outgoing.extend(left);
        }
    }

    async fn dispatch(&mut self, message: Incoming) {
        let joined = message.topic.as_str().and_then(|topic| self.ids.get(topic));
        match (message.topic.as_str(), message.event.as_str(), joined) {
            (Some("phoenix"), Some("heartbeat"), _) => {
                let reference = self.shared.faults.borrow().heartbeat_reference(message.reference);
                self.outgoing.push(wire::json_reply(&Value::Null, &reference, &message.topic, "ok", "{}"));
            }
            (Some(topic), Some("phx_join"), _) => {
                let topic = topic.to_owned();
                self.join(message, topic).await;
            }
            (_, _, Some(id)) => {
                let id = *id;
                self.forward(id, message);
            }
            (_, Some("phx_leave"), None) => {
                let left = wire::json_reply(&message.join_ref, &message.reference, &message.topic, "ok", "{}");
                self.outgoing.push(left);
            }
            (_, _, None) => self.refuse(&Value::Null, &message, "unmatched topic"),
        }
    }

    /// To a joined channel, if the join ref is its own or null. Otherwise silence.
    fn forward(&mut self, id: u64, message: Incoming) {
        let Some(live) = self.live.get_mut(&id) else { return };
        if !message.join_ref.is_null() && message.join_ref != live.join_ref {
            return;
        }
        let Incoming { join_ref, reference, event, payload, .. } = message;
        let input = match (&mut live.state, event == "phx_leave") {
            (State::Leaving(again), true) => return again.push(Refs { join_ref, reference }),
            (state, true) => {
                *state = State::Leaving(Vec::new());
                Input::Leave { reference }
            }
            (_, false) => Input::Push { event, reference, payload },
        };
        // One that has just ended answers nothing; its end is on the way.
        let _ = live.inbox.send(input);
    }

    /// The whole connection waits for it.
    async fn join(&mut self, message: Incoming, topic: String) {
        if let Some(old) = self.ids.remove(&topic) {
            self.replace(old).await;
        }
        let Some(route) = self.shared.app.route(&topic) else {
            return self.refuse(&Value::Null, &message, "unmatched topic");
        };
        if self.ids.len() >= self.shared.app.max_channels {
            return self.refuse(&message.join_ref, &message, "too many channels joined");
        }
        let (id, (inbox, input)) = (self.shared.next_id(), mpsc::unbounded_channel());
        let (kill, registration) = AbortHandle::new_pair();
        let own_ref = if message.join_ref.is_null() { &message.reference } else { &message.join_ref };
        let process = Process {
            id,
            topic: topic.as_str().into(),
            join_ref: own_ref.clone(),
            params: message.payload.clone(),
            connect: self.connect.clone(),
            transport: self.transport.clone(),
            inbox: inbox.clone(),
            kill: kill.clone(),
            shared: self.shared.clone(),
        };
        let refs = Refs { join_ref: message.join_ref.clone(), reference: message.reference.clone() };
        let (task, joined) = channel::spawn(process, input, route, refs, registration);
        let live = Live { topic, join_ref: message.join_ref.clone(), inbox, task, kill, state: State::Joined };
        match joined.await {
            Ok(Joined::Yes(reply)) => {
                self.outgoing.push(reply);
                self.ids.insert(live.topic.clone(), id);
                self.live.insert(id, live);
            }
            Ok(Joined::No(reply)) => self.outgoing.push(reply),
            Err(_) => self.refuse(&message.join_ref, &message, "join crashed"),
        }
    }

    /// Kills it. Its last messages and then its end are in the mailbox: they go out behind the new join's reply.
    async fn replace(&mut self, id: u64) {
        let Some(live) = self.live.get_mut(&id) else { return };
        let left = matches!(live.state, State::Leaving(_)) && timeout(LEAVING, &mut live.task).await.is_ok();
        if left {
            return;
        }
        live.kill.abort();
        // Panicked or not: it is over.
        let _ = (&mut live.task).await;
        live.state = State::Replaced;
        let at_once = self.shared.faults.borrow().close_before_reply;
        if at_once {
            self.down(id, Ending::Stopped);
        }
    }

    fn refuse(&mut self, join_ref: &Value, message: &Incoming, reason: &str) {
        let response = serde_json::json!({ "reason": reason }).to_string();
        self.outgoing.push(wire::json_reply(join_ref, &message.reference, &message.topic, "error", &response));
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.kill.abort();
    }
}
