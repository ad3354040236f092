//! What a transport tells the socket it works for, beside frames.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use super::Connection;
use crate::{runtime::Instant, telemetry::Telemetry};

/// Longer than a poll takes to end, and shorter than a server waits for a sign of life.
const KEPT: Duration = Duration::from_secs(30);

/// One for each socket. A clone is the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Backchannel(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// Whether anything was told, which is asked far more often than it is true.
    told: AtomicBool,
    telemetry: Mutex<Vec<Telemetry>>,
    replacement: Mutex<Option<(Connection, Instant)>>,
}

impl Backchannel {
    /// The socket polls the transport, and asks thereafter.
    pub(crate) fn tell(&self, what: Telemetry) {
        lock(&self.0.telemetry).push(what);
        self.0.told.store(true, Ordering::Release);
    }

    pub(crate) fn told(&self) -> Vec<Telemetry> {
        if !self.0.told.swap(false, Ordering::Acquire) {
            return Vec::new();
        }
        std::mem::take(&mut lock(&self.0.telemetry))
    }

    /// A connection to be used in place of the next that is dialed, if that is soon.
    pub(crate) fn replace(&self, connection: Connection) {
        *lock(&self.0.replacement) = Some((connection, Instant::now()));
    }

    /// Takes it. One that nobody has looked after for long may have ended.
    pub(crate) fn replacement(&self) -> Option<Connection> {
        let (connection, since) = lock(&self.0.replacement).take()?;
        (since.elapsed() < KEPT).then_some(connection)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
