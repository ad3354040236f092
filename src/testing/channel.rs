//! A channel process: one serial task per joined topic of a connection.

use std::sync::Arc;

use futures::future::{AbortRegistration, Abortable};
use serde_json::Value;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use super::{
    app::Route,
    hub::Subscriber,
    peer::{Peer, Process},
    response::{Kind, Later, ReplyTo, Response},
    topics::Out,
    wire,
};
use crate::{payload::Payload, transport::Frame};

/// What a channel process is sent.
#[derive(Debug)]
pub(super) enum Input {
    Push { event: Value, reference: Value, payload: Payload },
    Leave { reference: Value },
    Broadcast { event: String, payload: Payload },
    Stop,
}

/// How a channel process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Stopped,
    Crashed,
}

/// What became of a join. No word at all is a crash.
#[derive(Debug)]
pub(super) enum Joined {
    Yes(Frame),
    No(Frame),
}

/// The refs of a join, as they came: null stays null.
#[derive(Debug)]
pub(super) struct Refs {
    pub(super) join_ref: Value,
    pub(super) reference: Value,
}

/// Starts the process with its join; `registration` is of the abort handle that kills it.
pub(super) fn spawn(
    process: Process,
    inbox: mpsc::UnboundedReceiver<Input>,
    route: Route,
    refs: Refs,
    registration: AbortRegistration,
) -> (JoinHandle<()>, oneshot::Receiver<Joined>) {
    let (tell, joined) = oneshot::channel();
    let process = Arc::new(process);
    let down = Down { process: process.clone(), ending: Ending::Crashed };
    let channel = Channel { peer: Peer(process), route };
    let run = async move {
        let mut down = down;
        down.ending = channel.run(inbox, refs, tell).await;
    };
    let task = tokio::spawn(async move {
        // Killed or not, its end has been told.
        let _ = Abortable::new(run, registration).await;
    });
    (task, joined)
}

/// Tells the connection that this channel has ended, however it did: returned, panicked or killed.
struct Down {
    process: Arc<Process>,
    ending: Ending,
}

impl Drop for Down {
    fn drop(&mut self) {
        let process = &self.process;
        process.vanish();
        // Without a connection there is nobody to tell.
        let _ = process.transport.send(Out::Down(process.id, self.ending));
    }
}

struct Channel {
    peer: Peer,
    route: Route,
}

impl Channel {
    async fn run(
        &self,
        mut inbox: mpsc::UnboundedReceiver<Input>,
        refs: Refs,
        tell: oneshot::Sender<Joined>,
    ) -> Ending {
        let process = &self.peer.0;
        let response = (self.route.join)(self.peer.clone(), process.params.clone()).await;
        let Kind::Reply(status, payload) = response.kind else { return Ending::Crashed };
        let topic = Value::from(&*process.topic);
        let Ok(frame) = wire::reply(&refs.join_ref, &refs.reference, &topic, &status, &payload) else {
            return Ending::Crashed;
        };
        // The connection waits for this word, unless it has ended, and with it this task.
        if status != "ok" {
            let _ = tell.send(Joined::No(frame));
            return Ending::Stopped;
        }
        self.subscribe();
        let _ = tell.send(Joined::Yes(frame));
        if response.stop {
            return Ending::Stopped;
        }
        if let Some(after_join) = &self.route.after_join {
            after_join(self.peer.clone(), process.params.clone()).await;
        }
        while let Some(input) = inbox.recv().await {
            if let Some(ending) = self.handle(input).await {
                return ending;
            }
        }
        Ending::Stopped
    }

    fn subscribe(&self) {
        let process = &self.peer.0;
        let subscriber = Subscriber {
            id: process.id,
            transport: process.transport.clone(),
            channel: process.inbox.clone(),
            intercepted: self.route.intercepts.iter().map(|(event, _)| event.clone()).collect(),
            kill: process.kill.clone(),
        };
        process.shared.hub.subscribe(&process.topic, subscriber);
    }

    /// `Some` ends the channel.
    async fn handle(&self, input: Input) -> Option<Ending> {
        match input {
            Input::Push { event, reference, payload } => {
                // As in Phoenix, an event that nobody handles crashes the channel.
                let handler = event.as_str().and_then(|event| self.route.handler(event));
                let Some(handler) = handler else {
                    tracing::warn!(topic = &*self.peer.0.topic, %event, "no handler for this event: the channel crashes");
                    return Some(Ending::Crashed);
                };
                let response = handler(self.peer.clone(), payload).await;
                self.respond(response, reference)
            }
            Input::Leave { reference } => {
                let left = self.reply_to(reference).reply("ok", &Payload::empty());
                Some(if left.is_ok() { Ending::Stopped } else { Ending::Crashed })
            }
            Input::Broadcast { event, payload } => {
                let (_, intercept) = self.route.intercepts.iter().find(|(name, _)| *name == event)?;
                intercept(self.peer.clone(), payload).await;
                None
            }
            Input::Stop => Some(Ending::Stopped),
        }
    }

    fn respond(&self, response: Response, reference: Value) -> Option<Ending> {
        match response.kind {
            Kind::Reply(status, payload) => {
                if self.reply_to(reference).reply(&status, &payload).is_err() {
                    return Some(Ending::Crashed);
                }
            }
            Kind::Nothing => {}
            Kind::Later(answer) => answer(Later { to: self.reply_to(reference) }),
            Kind::Crash => return Some(Ending::Crashed),
        }
        response.stop.then_some(Ending::Stopped)
    }

    fn reply_to(&self, reference: Value) -> ReplyTo {
        let process = &self.peer.0;
        ReplyTo {
            id: process.id,
            transport: process.transport.clone(),
            join_ref: process.join_ref.clone(),
            reference,
            topic: Value::from(&*process.topic),
        }
    }
}
