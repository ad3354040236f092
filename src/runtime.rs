//! The one place that names the runtime: its clock and timers, how it spawns, and how a task gives way.

use std::future::Future;

#[cfg(feature = "long-poll")]
pub(crate) use tokio::time::timeout_at;
pub(crate) use tokio::{
    task::{coop::poll_proceed, yield_now},
    time::{Instant, Sleep, sleep, sleep_until, timeout},
};

use crate::error::BuildError;

/// Spawns in the background, where there is a runtime to do so.
pub(crate) fn spawn(task: impl Future<Output = ()> + Send + 'static) -> Result<(), BuildError> {
    let runtime = tokio::runtime::Handle::try_current().map_err(|_| BuildError::NoRuntime)?;
    drop(runtime.spawn(task));
    Ok(())
}
