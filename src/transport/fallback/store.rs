//! Where it is kept that a server's first transport was given up.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

/// Where it is kept that a server's first transport was given up: in memory by default, elsewhere by your own
/// implementation, so that a program that starts again need not find it out again.
///
/// It is asked within an attempt to connect, and should not take long. What it loses is found out again.
///
/// ```
/// use std::{collections::HashMap, sync::Mutex, time::SystemTime};
/// use phoenix_streams::transport::FallbackStore;
///
/// /// Shared by all sockets of a program, whatever their transports.
/// #[derive(Default)]
/// struct Shared(Mutex<HashMap<String, SystemTime>>);
///
/// impl FallbackStore for Shared {
///     fn recall(&self, server: &str) -> Option<SystemTime> {
///         self.0.lock().ok()?.get(server).copied()
///     }
///     fn remember(&self, server: &str, until: SystemTime) {
///         self.0.lock().ok().map(|mut kept| kept.insert(server.to_owned(), until));
///     }
///     fn forget(&self, server: &str) {
///         self.0.lock().ok().map(|mut kept| kept.remove(server));
///     }
/// }
/// ```
pub trait FallbackStore: Send + Sync + 'static {
    /// Until when the first transport is known to be of no use with this server; a time that has passed counts as none.
    /// The server is its URL, without userinfo and query: `wss://example.org/socket`.
    fn recall(&self, server: &str) -> Option<SystemTime>;

    /// The first transport is of no use with this server, until then.
    fn remember(&self, server: &str, until: SystemTime);

    /// The first transport is healthy with this server: said of each of its connections, whether or not anything is kept.
    fn forget(&self, server: &str);
}

/// Shared by several.
impl<S: FallbackStore + ?Sized> FallbackStore for Arc<S> {
    fn recall(&self, server: &str) -> Option<SystemTime> {
        (**self).recall(server)
    }

    fn remember(&self, server: &str, until: SystemTime) {
        (**self).remember(server, until);
    }

    fn forget(&self, server: &str) {
        (**self).forget(server);
    }
}

#[derive(Debug, Default)]
pub(super) struct MemoryStore(Mutex<HashMap<String, SystemTime>>);

impl MemoryStore {
    fn kept(&self) -> MutexGuard<'_, HashMap<String, SystemTime>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FallbackStore for MemoryStore {
    fn recall(&self, server: &str) -> Option<SystemTime> {
        self.kept().get(server).copied()
    }

    fn remember(&self, server: &str, until: SystemTime) {
        self.kept().insert(server.to_owned(), until);
    }

    fn forget(&self, server: &str) {
        self.kept().remove(server);
    }
}
