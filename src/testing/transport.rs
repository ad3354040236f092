//! The transport process: one serial task per connection, which reads, routes to channels and writes.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures::future::AbortHandle;
use serde_json::Value;
use tokio::{
    net::TcpStream,
    sync::{Notify, mpsc, watch},
    task::JoinHandle,
    time::{Instant, sleep, sleep_until, timeout},
};

use super::{
    channel::{self, Ending, Input, Joined, Refs},
    connect::ConnectInfo,
    fault::Faults,
    peer::Process,
    server::{Line, Shared},
    socket::{Broken, Reader, Received, Writer},
    wire::{self, Incoming},
};
use crate::transport::Frame;

/// How many waiting messages are written before the client is read again.
const TURN: usize = 1024;
/// How much is gathered before it is written.
const BATCH: usize = 64 * 1024;
/// How long a client may take to end a connection that was closed.
const LINGER: Duration = Duration::from_secs(2);
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

/// Runs a connection to its end.
pub(super) async fn run(stream: TcpStream, read: &[u8], connect: ConnectInfo, shared: Arc<Shared>) {
    let (transport, mailbox) = mpsc::unbounded_channel();
    let cut = Arc::new(Notify::new());
    let registered = shared.register(Line { transport: transport.clone(), cut: cut.clone() });
    let (reader, writer) = stream.into_split();
    let mut connection = Transport {
        reader: Reader::new(reader, read, shared.app.max_frame_size),
        writer: Writer::new(writer),
        faults: shared.faults.subscribe(),
        topics: HashMap::new(),
        live: HashMap::new(),
        transport,
        mailbox,
        connect,
        shared,
    };
    let ended = tokio::select! {
        ended = connection.serve() => ended,
        () = cut.notified() => Ended::Gone,
    };
    // Dropping what is left of it kills its channels.
    let Transport { mut reader, mut writer, .. } = connection;
    drop(registered);
    if let Ended::Close(frame) = ended {
        writer.frame(&frame);
        if writer.flush().await.is_ok() {
            writer.finish().await;
            // Read on, or TCP would answer with a reset, which may overtake the close frame.
            let _ = timeout(LINGER, reader.drain()).await;
        }
    }
}

enum Ended {
    Gone,
    Close(Frame),
}

impl Ended {
    fn code(code: u16) -> Self {
        Ended::Close(Frame::Close { code, reason: "".into() })
    }
}

struct Transport {
    reader: Reader,
    writer: Writer,
    faults: watch::Receiver<Faults>,
    topics: HashMap<String, u64>,
    live: HashMap<u64, Live>,
    transport: mpsc::UnboundedSender<Out>,
    mailbox: mpsc::UnboundedReceiver<Out>,
    connect: ConnectInfo,
    shared: Arc<Shared>,
}

/// A joined channel, until its end has been told.
struct Live {
    topic: String,
    /// As it came with the join; null stays null.
    join_ref: Value,
    inbox: mpsc::UnboundedSender<Input>,
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

impl Transport {
    async fn serve(&mut self) -> Ended {
        let idle = self.shared.app.idle_timeout;
        let mut deadline = Instant::now() + idle;
        loop {
            if let Some(ended) = self.write_waiting().await {
                return ended;
            }
            let deaf = self.faults.borrow_and_update().deaf;
            let received = tokio::select! {
                biased;
                received = self.reader.next(), if !deaf => received,
                Some(out) = self.mailbox.recv() => {
                    if let Some(ended) = self.write(out) {
                        return ended;
                    }
                    continue;
                }
                () = sleep_until(deadline) => return Ended::code(self.shared.app.idle_code),
                Ok(()) = self.faults.changed() => continue,
            };
            let ended = match received {
                Ok(received) => self.handle(received).await,
                Err(Broken::Gone) => Some(Ended::Gone),
                Err(Broken::Protocol(code)) => Some(Ended::code(code)),
            };
            if let Some(ended) = ended {
                return ended;
            }
            deadline = Instant::now() + idle;
        }
    }

    async fn write_waiting(&mut self) -> Option<Ended> {
        for _ in 0..TURN {
            let Ok(out) = self.mailbox.try_recv() else { break };
            if let Some(ended) = self.write(out) {
                return Some(ended);
            }
            if self.writer.waiting() > BATCH && self.writer.flush().await.is_err() {
                return Some(Ended::Gone);
            }
        }
        self.writer.flush().await.err().map(|_| Ended::Gone)
    }

    fn write(&mut self, out: Out) -> Option<Ended> {
        match out {
            Out::Frame(id, frame) => {
                if self.live.contains_key(&id) {
                    self.send(&frame);
                }
            }
            Out::Broadcast(frame) => self.send(&frame),
            Out::Down(id, ending) => self.down(id, ending),
            Out::Raw(frame @ Frame::Close { .. }) => return Some(Ended::Close(frame)),
            Out::Raw(frame) => self.send(&frame),
        }
        None
    }

    fn send(&mut self, frame: &Frame) {
        if !self.faults.borrow().mute {
            self.writer.frame(frame);
        }
    }

    fn down(&mut self, id: u64, ending: Ending) {
        // A channel whose join failed, or whose close was sent already.
        let Some(mut live) = self.live.remove(&id) else { return };
        if self.topics.get(&live.topic) == Some(&id) {
            self.topics.remove(&live.topic);
        }
        let closed = ending == Ending::Stopped || matches!(live.state, State::Replaced);
        let last = if closed { wire::close } else { wire::error };
        self.send(&last(&live.join_ref, &live.topic));
        if let State::Leaving(again) = &mut live.state {
            for refs in again.drain(..) {
                self.send(&wire::json_reply(&refs.join_ref, &refs.reference, &live.topic.as_str().into(), "ok", "{}"));
            }
        }
    }

    async fn handle(&mut self, received: Received) -> Option<Ended> {
        let (mute, delay) = {
            let faults = self.faults.borrow();
            (faults.mute, faults.delay)
        };
        if let Some(delay) = delay {
            sleep(delay).await;
        }
        let message = match received {
            Received::Close(code) => {
                let code = if self.shared.app.close_echo { code.unwrap_or(1005) } else { 1000 };
                return Some(Ended::code(code));
            }
            _ if mute => return None,
            Received::Ping(data) => {
                self.writer.pong(&data);
                return None;
            }
            Received::Pong => return None,
            Received::Text(text) => wire::parse_text(&text),
            Received::Binary(bytes) => wire::parse_binary(&bytes),
        };
        match message {
            Some(message) => {
                self.dispatch(message).await;
                None
            }
            None => Some(Ended::code(1011)),
        }
    }

    async fn dispatch(&mut self, message: Incoming) {
        let joined = message.topic.as_str().and_then(|topic| self.topics.get(topic));
        match (message.topic.as_str(), message.event.as_str(), joined) {
            (Some("phoenix"), Some("heartbeat"), _) => {
                let reference = self.faults.borrow().heartbeat_reference(message.reference);
                self.send(&wire::json_reply(&Value::Null, &reference, &message.topic, "ok", "{}"));
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
                self.send(&wire::json_reply(&message.join_ref, &message.reference, &message.topic, "ok", "{}"));
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
        if let Some(old) = self.topics.remove(&topic) {
            self.replace(old).await;
        }
        let Some(route) = self.shared.app.route(&topic) else {
            return self.refuse(&Value::Null, &message, "unmatched topic");
        };
        if self.topics.len() >= self.shared.app.max_channels {
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
                self.send(&reply);
                self.topics.insert(live.topic.clone(), id);
                self.live.insert(id, live);
            }
            Ok(Joined::No(reply)) => self.send(&reply),
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
        if self.faults.borrow().close_before_reply {
            self.down(id, Ending::Stopped);
        }
    }

    fn refuse(&mut self, join_ref: &Value, message: &Incoming, reason: &str) {
        let response = serde_json::json!({ "reason": reason }).to_string();
        self.send(&wire::json_reply(join_ref, &message.reference, &message.topic, "error", &response));
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.kill.abort();
    }
}
