//! How long to wait before trying again.

use std::{sync::Arc, time::Duration};

/// How long to wait before each next try: a value, for reconnecting and for rejoining.
///
/// With jitter (on by default) the delay is `step * (1 - u / 2)`, `u` uniform in `[0, 1)`, so that many clients do
/// not come back at one instant.
///
/// ```
/// use std::time::Duration;
/// use phoenix_streams::Backoff;
///
/// let patient = Backoff::exponential(Duration::from_millis(100), Duration::from_secs(30)).limit(20);
/// let fixed = Backoff::steps([Duration::from_secs(1), Duration::from_secs(5)]).jitter(false);
/// # let _ = (patient, fixed);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Backoff {
    schedule: Schedule,
    jitter: bool,
    limit: Option<u32>,
}

#[derive(Clone, Debug, PartialEq)]
enum Schedule {
    Steps(Arc<[Duration]>),
    Exponential { first: Duration, max: Duration },
}

/// No delay is shorter: a schedule of zeros would be a busy loop.
const SHORTEST: Duration = Duration::from_millis(1);

impl Backoff {
    /// These delays in turn, the last one for ever. Without any, one second for ever.
    pub fn steps(steps: impl IntoIterator<Item = Duration>) -> Self {
        Schedule::Steps(steps.into_iter().collect()).into()
    }

    /// `first`, doubled at every try, and never more than `max`.
    pub fn exponential(first: Duration, max: Duration) -> Self {
        Schedule::Exponential { first, max }.into()
    }

    /// Whether delays are shortened at random by up to a half. On by default.
    pub fn jitter(self, on: bool) -> Self {
        Backoff { jitter: on, ..self }
    }

    /// Gives up after this many tries in a row. No limit by default.
    pub fn limit(self, tries: u32) -> Self {
        Backoff { limit: Some(tries), ..self }
    }

    /// The Phoenix steps for reconnecting: 10, 50, 100, 150, 200, 250, 500, 1000, 2000, then 5000 ms.
    pub(crate) fn reconnect() -> Self {
        Backoff::steps([10, 50, 100, 150, 200, 250, 500, 1000, 2000, 5000].map(Duration::from_millis))
    }

    /// The Phoenix steps for rejoining: 1, 2, 5, then 10 s.
    pub(crate) fn rejoin() -> Self {
        Backoff::steps([1, 2, 5, 10].map(Duration::from_secs))
    }

    /// The delay before the try of this number, counted from 1; `None` where the limit is reached.
    pub(crate) fn delay(&self, attempt: u32, random: &mut fastrand::Rng) -> Option<Duration> {
        if self.limit.is_some_and(|limit| attempt > limit) {
            return None;
        }
        let step = self.step(attempt).max(SHORTEST);
        Some(if self.jitter { step.mul_f64(1.0 - random.f64() / 2.0) } else { step })
    }

    fn step(&self, attempt: u32) -> Duration {
        match &self.schedule {
            Schedule::Steps(steps) => {
                let index = usize::try_from(attempt.saturating_sub(1)).unwrap_or(usize::MAX);
                steps.get(index).or(steps.last()).copied().unwrap_or(Duration::from_secs(1))
            }
            Schedule::Exponential { first, max } => {
                let doubled = 1u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
                first.saturating_mul(doubled).min(*max)
            }
        }
    }
}

impl From<Schedule> for Backoff {
    fn from(schedule: Schedule) -> Self {
        Backoff { schedule, jitter: true, limit: None }
    }
}
