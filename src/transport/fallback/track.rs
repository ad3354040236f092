//! What is known of the first transport with one server.

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use super::Options;
use crate::{log, runtime::Instant, telemetry::SwitchReason};

/// Stands for a time that is too far away to be told.
const FAR: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

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
    /// How many of its connections are in use.
    open: usize,
    /// Why it was given up, and when.
    fallen: Option<(SwitchReason, Instant)>,
    /// When it was last tried beside the second, or given up for that.
    probed: Option<Instant>,
    /// The second is dialed, or has failed: until it opens, the next attempt begins with the first.
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
        known.fallen.take_if(|(_, since)| since.elapsed() >= options.memory);
        if known.fallen.is_some() || known.healthy.is_some() {
            return known.fallen.as_ref().map(|(reason, _)| reason.clone());
        }
        // A store may take its time, and is asked without the lock.
        drop(known);
        let recalled = ask(|| options.store.recall(server)).flatten();
        recalled.is_some_and(|until| until > SystemTime::now()).then_some(SwitchReason::Remembered)
    }

    /// Whether an error is more than a passing one.
    pub(super) fn may_fall(&self, options: &Options) -> bool {
        let known = self.known();
        known.open == 0 && known.healthy.is_none_or(|healthy| healthy.elapsed() >= options.trust)
    }

    /// How long it is until the first is to be tried beside the second.
    pub(super) fn until_probe(&self, options: &Options) -> Duration {
        let since = *self.known().probed.get_or_insert_with(Instant::now);
        options.probe.saturating_sub(since.elapsed())
    }

    pub(super) fn probes(&self) {
        self.known().probed = Some(Instant::now());
    }

    /// It has answered, and its connection is used.
    pub(super) fn opens(&self, options: &Options, server: &str) {
        let mut known = self.known();
        known.healthy = Some(Instant::now());
        known.fallen = None;
        known.open += 1;
        drop(known);
        ask(|| options.store.forget(server));
    }

    /// That connection is not used any more; whether it was healthy to its end.
    pub(super) fn ends(&self, healthy: bool) {
        let mut known = self.known();
        known.open = known.open.saturating_sub(1);
        if healthy {
            known.healthy = Some(Instant::now());
        }
    }

    /// The second is open in its place.
    pub(super) fn falls(&self, options: &Options, server: &str, reason: SwitchReason) {
        let mut known = self.known();
        known.fallen = Some((reason, Instant::now()));
        known.probed = Some(Instant::now());
        let never_healthy = known.healthy.is_none();
        drop(known);
        if never_healthy {
            let now = SystemTime::now();
            let until = now.checked_add(options.memory).unwrap_or(now + FAR);
            ask(|| options.store.remember(server, until));
        }
    }

    /// Until the second [is open](Self::stands) the next attempt begins with the first, however this one ends.
    pub(super) fn doubt(&self) {
        self.known().doubted = true;
    }

    pub(super) fn stands(&self) {
        self.known().doubted = false;
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A store that panics costs what it knows, and no more.
fn ask<T>(store: impl FnOnce() -> T) -> Option<T> {
    let asked = catch_unwind(AssertUnwindSafe(store)).ok();
    if asked.is_none() {
        tracing::error!(target: log::TRANSPORT, "a fallback store panicked");
    }
    asked
}
