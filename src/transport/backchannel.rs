//! What a transport tells the socket it works for, beside frames; and what it remembers of that socket.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use super::{Connection, fallback::Memo};
use crate::{runtime::Instant, telemetry::Telemetry};

/// Longer than a poll takes to end, and shorter than a server waits for a sign of life.
const KEPT: Duration = Duration::from_secs(30);

/// One for each socket. A clone is the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Backchannel {
    shared: Arc<Shared>,
    /// What is told is not passed on: it is of a connection that may never be used.
    muted: Arc<AtomicBool>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Whether anything was told, which is asked far more often than it is true.
    told: AtomicBool,
    telemetry: Mutex<Vec<Telemetry>>,
    replacement: Mutex<Option<(Connection, Instant)>>,
    /// By the combination of transports that remembers it.
    memos: Mutex<HashMap<u64, Memo>>,
}

impl Backchannel {
    /// The same, by which nothing is told until it is [unmuted](Self::unmute).
    pub(crate) fn muted(&self) -> Self {
        Backchannel { shared: self.shared.clone(), muted: Arc::new(AtomicBool::new(true)) }
    }

    pub(crate) fn unmute(&self) {
        self.muted.store(false, Ordering::Relaxed);
    }

    /// The socket polls the transport, and asks thereafter.
    pub(crate) fn tell(&self, what: Telemetry) {
        if !self.is_muted() {
            lock(&self.shared.telemetry).push(what);
            self.shared.told.store(true, Ordering::Release);
        }
    }

    pub(crate) fn told(&self) -> Vec<Telemetry> {
        if !self.shared.told.swap(false, Ordering::Acquire) {
            return Vec::new();
        }
        std::mem::take(&mut lock(&self.shared.telemetry))
    }

    /// A connection to be used in place of the next that is dialed, if that is soon.
    pub(crate) fn replace(&self, connection: Connection) {
        if !self.is_muted() {
            *lock(&self.shared.replacement) = Some((connection, Instant::now()));
        }
    }

    /// Takes it. One that nobody has looked after for long may have ended.
    pub(crate) fn replacement(&self) -> Option<Connection> {
        let (connection, since) = lock(&self.shared.replacement).take()?;
        (since.elapsed() < KEPT).then_some(connection)
    }

    /// What the combination of this id remembers of the socket.
    pub(super) fn memo<T>(&self, id: u64, look: impl FnOnce(&mut Memo) -> T) -> T {
        look(lock(&self.shared.memos).entry(id).or_default())
    }

    fn is_muted(&self) -> bool {
        self.muted.load(Ordering::Relaxed)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
