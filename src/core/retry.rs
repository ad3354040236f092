//! When to try again.

use std::time::Duration;

use crate::{backoff::Backoff, policy::Retry};

/// How long to wait before the try of this number; `None` where there is none.
pub(super) fn retry_delay(
    retry: Retry,
    backoff: &Backoff,
    attempt: u32,
    random: &mut fastrand::Rng,
) -> Option<Duration> {
    let least = match retry {
        Retry::Stop => return None,
        Retry::Backoff => Duration::ZERO,
        Retry::NoSooner(least) => least,
    };
    backoff.delay(attempt, random).map(|step| step.max(least))
}
