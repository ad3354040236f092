//! What is known of the first transport with one server.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use super::Options;
use crate::{error::ConnectError, runtime::Instant, telemetry::SwitchReason};

/// By the server's URL. A clone is the same.
#[derive(Clone, Default)]
pub(super) struct Tracks(Arc<Mutex<HashMap<Arc<str>, Track>>>);

/// A clone is the same.
#[derive(Clone, Default)]
pub(super) struct Track(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    /// When it was last known to be healthy.
    healthy: Option<Instant>,
    /// How many of its connections in a row have died young, and how the last one did.
    young: Option<(u32, Arc<ConnectError>)>,
    /// It was given up.
    fallen: Option<SwitchReason>,
    /// The second has failed too: the next attempt begins with the first again.
    doubted: bool,
}

impl Tracks {
    pub(super) fn of(&self, server: &Arc<str>) -> Track {
        let mut tracks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tracks.entry(server.clone()).or_default().clone()
    }
}

impl Track {
    /// Why the second is to be used at once, if it is.
    pub(super) fn fallen(&self, options: &Options, server: &str) -> Option<SwitchReason> {
        let mut known = self.known();
        if std::mem::take(&mut known.doubted) {
            return None;
        }
        if known.fallen.is_some() || known.healthy.is_some() {
            return known.fallen.clone();
        }
        // A store may take its time, and is asked without the lock.
        drop(known);
        let recalled = options.store.recall(server).is_some_and(|until| until > SystemTime::now());
        recalled.then_some(SwitchReason::Remembered)
    }

    /// Whether an error is more than a passing one.
    pub(super) fn may_fall(&self, options: &Options) -> bool {
        self.known().healthy.is_none_or(|healthy| healthy.elapsed() >= options.trust)
    }

    /// Whether too many of its connections in a row have died young.
    pub(super) fn short_lived(&self, options: &Options) -> Option<SwitchReason> {
        let known = self.known();
        let (opens, cause) = known.young.as_ref().filter(|(opens, _)| *opens >= options.opens)?;
        Some(SwitchReason::ShortLived { opens: *opens, cause: cause.clone() })
    }

    /// It has answered.
    pub(super) fn healthy(&self) {
        let mut known = self.known();
        known.healthy = Some(Instant::now());
        known.fallen = None;
    }

    /// A connection that was trusted has lived long, or was closed as the protocol has it.
    pub(super) fn lived(&self) {
        let mut known = self.known();
        known.healthy = Some(Instant::now());
        known.young = None;
    }

    /// A connection that was trusted has died young.
    pub(super) fn died_young(&self, cause: &ConnectError) {
        let mut known = self.known();
        let before = known.young.take().map_or(0, |(opens, _)| opens);
        known.young = Some((before.saturating_add(1), Arc::new(cause.clone())));
    }

    /// The second is open in its place.
    pub(super) fn fall(&self, options: &Options, server: &str, reason: SwitchReason) {
        let mut known = self.known();
        known.fallen = Some(reason);
        known.young = None;
        let never_healthy = known.healthy.is_none();
        drop(known);
        if never_healthy && let Some(until) = SystemTime::now().checked_add(options.memory) {
            options.store.remember(server, until);
        }
    }

    pub(super) fn doubt(&self) {
        let mut known = self.known();
        known.doubted = true;
        known.young = None;
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
