//! What a transport tells the socket it works for, beside frames.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use super::Connection;
use crate::telemetry::Telemetry;

/// One for each socket. A clone is the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Backchannel(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// Whether anything was told, which is asked far more often than it is true.
    told: AtomicBool,
    telemetry: Mutex<Vec<Telemetry>>,
    replacement: Mutex<Option<Connection>>,
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

    /// A connection to be used in place of the next that is dialed.
    pub(crate) fn replace(&self, connection: Connection) {
        *lock(&self.0.replacement) = Some(connection);
    }

    pub(crate) fn replacement(&self) -> Option<Connection> {
        lock(&self.0.replacement).take()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
