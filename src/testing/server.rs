//! A running server: its handle, and what its tasks share.

use std::{
    collections::{HashMap, VecDeque},
    fmt, io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use serde_json::Value;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{mpsc::UnboundedSender, watch},
    task::{AbortHandle, JoinSet},
};

use super::{
    ServerBuilder,
    app::App,
    connect::Refuse,
    fault::{Fault, Faults, Next},
    hub::Hub,
    long_poll::{Asks, SessionId},
    response::encoded,
    tcp,
    topics::Out,
};
use crate::{IntoPayload, transport::Frame};

/// A Phoenix server on a loopback port, for examples and tests.
///
/// A clone is the same server. The last one dropped stops it: nothing listens any more, and connections are cut.
#[derive(Clone, Debug)]
pub struct Server(Arc<Running>);

struct Running {
    url: String,
    shared: Arc<Shared>,
    accept: AbortHandle,
}

pub(super) struct Shared {
    pub(super) app: App,
    pub(super) hub: Hub,
    pub(super) faults: watch::Sender<Faults>,
    refusals: Mutex<VecDeque<Refuse>>,
    connections: watch::Sender<HashMap<u64, Line>>,
    /// Changes when all connections and sessions are to end.
    pub(super) cut: watch::Sender<()>,
    ids: AtomicU64,
    /// Tells this server's sessions from another's.
    pub(super) key: u64,
}

/// How to reach a WebSocket connection or a long-poll session.
#[derive(Debug)]
pub(super) struct Line {
    transport: UnboundedSender<Out>,
    /// Of a session alone.
    session: Option<Asks>,
}

impl Line {
    pub(super) fn websocket(transport: UnboundedSender<Out>) -> Self {
        Line { transport, session: None }
    }

    pub(super) fn long_poll(transport: UnboundedSender<Out>, session: Asks) -> Self {
        Line { transport, session: Some(session) }
    }
}

impl Server {
    /// Describes a server.
    pub fn builder() -> ServerBuilder {
        ServerBuilder::new()
    }

    /// Its URL, as a client's socket takes it whatever its transport: `ws://127.0.0.1:PORT/socket`.
    pub fn url(&self) -> &str {
        &self.0.url
    }

    /// Sends an event to all who joined the topic.
    ///
    /// # Panics
    /// If the payload does not serialize, or is neither a JSON object nor binary: Phoenix broadcasts nothing else.
    pub fn broadcast(&self, topic: &str, event: &str, payload: impl IntoPayload) {
        self.0.shared.broadcast(topic, event, payload, None);
    }

    /// How many clients are connected: WebSocket connections and long-poll sessions that are open.
    ///
    /// A session stays open for 1.5 to 3 [windows](ServerBuilder::window) after its client polled last.
    pub fn connections(&self) -> usize {
        self.0.shared.connections()
    }

    /// How many of them are long-poll sessions.
    pub fn sessions(&self) -> usize {
        self.0.shared.sessions()
    }

    /// Waits until that many [connections](Self::connections) are open.
    pub async fn wait_for_connections(&self, count: usize) {
        let mut connections = self.0.shared.connections.subscribe();
        // The sender lives as long as this server.
        let _ = connections.wait_for(|open| open.len() == count).await;
    }

    /// How many channels have joined the topic.
    pub fn channels(&self, topic: &str) -> usize {
        self.0.shared.hub.count(topic)
    }

    /// Who is present on the topic: by key, the metas of all channels that [track](super::Peer::track) it, in the order
    /// of tracking, and what [`presence_fetch`](ServerBuilder::presence_fetch) has of it. Phoenix' `Presence.list`.
    ///
    /// # Panics
    /// As [`presence_fetch`](ServerBuilder::presence_fetch) does.
    pub fn presences(&self, topic: &str) -> Value {
        self.0.shared.presences(topic)
    }

    /// Cuts all TCP connections, without a close frame or an answer, and ends all long-poll sessions.
    pub fn drop_connections(&self) {
        self.0.shared.cut_all();
    }

    /// Closes all WebSocket connections with a close frame: 1012 is what a deploy does, 1001 a `disconnect` broadcast.
    ///
    /// Long-poll sessions end, as at a `disconnect` broadcast: the poll at hand comes to its window's end with status
    /// 204, later requests learn after [`pubsub_timeout`](ServerBuilder::pubsub_timeout) that the session is gone.
    pub fn close_all(&self, code: u16) {
        self.send_raw(Frame::Close { code, reason: "".into() });
    }

    /// Sends a frame as it is on all connections, however wrong. A close frame ends them.
    ///
    /// A long-poll session gives it to the next poll as a message; a close frame ends it.
    pub fn send_raw(&self, frame: Frame) {
        for line in self.0.shared.connections.borrow().values() {
            // One that has just ended takes nothing more.
            let _ = line.transport.send(Out::Raw(frame.clone()));
        }
    }

    /// Refuses the next `n` handshakes with this HTTP status, after those that are to be refused already.
    ///
    /// Requests that would open a long-poll session count as handshakes. They get the answer as HTTP, as from something
    /// before Phoenix, which itself would answer 200 and tell the status in the body.
    ///
    /// # Panics
    /// If the number is no HTTP status.
    pub fn refuse_next(&self, status: u16, n: usize) {
        self.refuse_next_with(Refuse::new(status), n);
    }

    /// Refuses the next `n` handshakes with this answer, after those that are to be refused already.
    ///
    /// As [`refuse_next`](Self::refuse_next).
    pub fn refuse_next_with(&self, refuse: Refuse, n: usize) {
        let mut refusals = self.0.shared.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        refusals.extend(std::iter::repeat_n(refuse, n));
    }

    /// Kills all channels that joined the topic: their clients get `phx_error`.
    pub fn kill_channels(&self, topic: &str) {
        self.0.shared.hub.kill(topic);
    }

    /// Misbehaves from now on. Several faults add up.
    ///
    /// # Panics
    /// If the number of a [`Fault::RefuseUpgrades`] is no HTTP status.
    pub fn misbehave(&self, fault: Fault) {
        self.0.shared.faults.send_modify(|faults| faults.add(fault));
    }

    /// Behaves again, and refuses no more.
    pub fn behave(&self) {
        self.0.shared.refusals.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.0.shared.faults.send_replace(Faults::default());
    }

    pub(super) async fn start(app: App) -> io::Result<Self> {
        let listener = TcpListener::bind(app.bind).await?;
        let url = format!("ws://{}{}", listener.local_addr()?, app.mount);
        let shared = Shared::new(app);
        let accept = tokio::spawn(accept(listener, shared.clone())).abort_handle();
        Ok(Server(Arc::new(Running { url, shared, accept })))
    }
}

/// The connections' tasks live in this one: aborted, it takes them along.
async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut tasks = JoinSet::new();
    loop {
        // What fails is one connection, gone before it was accepted.
        if let Ok((stream, peer)) = listener.accept().await {
            let _ = TcpStream::set_nodelay(&stream, true);
            tasks.spawn(tcp::serve(stream, peer, shared.clone(), shared.cut.subscribe()));
        }
        while tasks.try_join_next().is_some() {}
    }
}

impl Shared {
    pub(super) fn new(app: App) -> Arc<Self> {
        Arc::new(Shared {
            app,
            hub: Hub::default(),
            faults: watch::Sender::default(),
            refusals: Mutex::default(),
            connections: watch::Sender::default(),
            cut: watch::Sender::default(),
            ids: AtomicU64::default(),
            key: fastrand::u64(..),
        })
    }

    pub(super) fn broadcast(&self, topic: &str, event: &str, payload: impl IntoPayload, except: Option<u64>) {
        let join_ref = self.faults.borrow().broadcast_join_ref();
        if let Err(unsayable) = self.hub.broadcast(topic, event, &encoded(payload), except, &join_ref) {
            panic!("{unsayable}");
        }
    }

    pub(super) fn next_id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn next_refusal(&self) -> Option<Refuse> {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    pub(super) fn register(self: &Arc<Self>, line: Line) -> Registered {
        let id = self.next_id();
        self.connections.send_modify(|open| drop(open.insert(id, line)));
        Registered { shared: self.clone(), id }
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.borrow().len()
    }

    pub(super) fn sessions(&self) -> usize {
        self.connections.borrow().values().filter(|line| line.session.is_some()).count()
    }

    pub(super) fn session(&self, id: SessionId) -> Option<Asks> {
        if id.server != self.key {
            return None;
        }
        self.connections.borrow().get(&id.id)?.session.clone()
    }

    /// Waits until the server's faults are so.
    pub(super) async fn until(&self, so: impl FnMut(&Faults) -> bool) {
        // The sender lives in `self`: this waits for the faults, and for nothing else.
        let _ = self.faults.subscribe().wait_for(so).await;
    }

    /// Whether this fault concerns the request at hand.
    pub(super) fn concerns(&self, fault: impl FnOnce(&mut Faults) -> &mut Next) -> bool {
        let mut concerned = false;
        // Nobody waits for a number to change.
        self.faults.send_if_modified(|faults| {
            concerned = fault(faults).take();
            false
        });
        concerned
    }

    fn cut_all(&self) {
        self.cut.send_replace(());
    }
}

/// A connection counts while this lives.
pub(super) struct Registered {
    shared: Arc<Shared>,
    pub(super) id: u64,
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.shared.connections.send_modify(|open| drop(open.remove(&self.id)));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.accept.abort();
        self.shared.cut_all();
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("url", &self.url).finish_non_exhaustive()
    }
}
