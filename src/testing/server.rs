//! A running server: its handle, and what its tasks share.

use std::{
    collections::{HashMap, VecDeque},
    fmt, io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Notify, mpsc::UnboundedSender, watch},
    task::{AbortHandle, JoinSet},
};

use super::{
    ServerBuilder,
    app::App,
    connect::Refuse,
    fault::{Fault, Faults},
    handshake,
    hub::Hub,
    response::encoded,
    transport::Out,
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
    ids: AtomicU64,
}

/// How to reach a connection.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) transport: UnboundedSender<Out>,
    pub(super) cut: Arc<Notify>,
}

impl Server {
    /// Describes a server.
    pub fn builder() -> ServerBuilder {
        ServerBuilder::new()
    }

    /// Its URL, as a client's socket takes it: `ws://127.0.0.1:PORT/socket`.
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

    /// How many WebSocket connections are open.
    pub fn connections(&self) -> usize {
        self.0.shared.connections.borrow().len()
    }

    /// Waits until that many WebSocket connections are open.
    pub async fn wait_for_connections(&self, count: usize) {
        let mut connections = self.0.shared.connections.subscribe();
        // The sender lives as long as this server.
        let _ = connections.wait_for(|open| open.len() == count).await;
    }

    /// How many channels have joined the topic.
    pub fn channels(&self, topic: &str) -> usize {
        self.0.shared.hub.count(topic)
    }

    /// Cuts all connections: TCP ends without a close frame.
    pub fn drop_connections(&self) {
        self.0.shared.cut_all();
    }

    /// Closes all connections with a close frame: 1012 is what a deploy does, 1001 a `disconnect` broadcast.
    pub fn close_all(&self, code: u16) {
        self.send_raw(Frame::Close { code, reason: "".into() });
    }

    /// Sends a frame as it is on all connections, however wrong. A close frame ends them.
    pub fn send_raw(&self, frame: Frame) {
        for line in self.0.shared.connections.borrow().values() {
            // One that has just ended takes nothing more.
            let _ = line.transport.send(Out::Raw(frame.clone()));
        }
    }

    /// Refuses the next `n` handshakes with this HTTP status, after those that are to be refused already.
    ///
    /// # Panics
    /// If the number is no HTTP status.
    pub fn refuse_next(&self, status: u16, n: usize) {
        self.refuse_next_with(Refuse::new(status), n);
    }

    /// Refuses the next `n` handshakes with this answer, after those that are to be refused already.
    pub fn refuse_next_with(&self, refuse: Refuse, n: usize) {
        let mut refusals = self.0.shared.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        refusals.extend(std::iter::repeat_n(refuse, n));
    }

    /// Kills all channels that joined the topic: their clients get `phx_error`.
    pub fn kill_channels(&self, topic: &str) {
        self.0.shared.hub.kill(topic);
    }

    /// Misbehaves from now on. Several faults add up.
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
        let shared = Arc::new(Shared {
            app,
            hub: Hub::default(),
            faults: watch::Sender::default(),
            refusals: Mutex::default(),
            connections: watch::Sender::default(),
            ids: AtomicU64::default(),
        });
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
            tasks.spawn(handshake::serve(stream, peer, shared.clone()));
        }
        while tasks.try_join_next().is_some() {}
    }
}

impl Shared {
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

    fn cut_all(&self) {
        for line in self.connections.borrow().values() {
            line.cut.notify_one();
        }
    }
}

/// A connection counts while this lives.
pub(super) struct Registered {
    shared: Arc<Shared>,
    id: u64,
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.shared.connections.send_modify(|open| drop(open.remove(&self.id)));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.accept.abort();
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("url", &self.url).finish_non_exhaustive()
    }
}
