//! How long to wait before trying again.

use std::{fmt, sync::Arc, time::Duration};

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
/// let linear = Backoff::from_fn(|attempt| Duration::from_secs(10) * attempt).jitter(false);
///
/// // Usable alone, and printed before anything waits for it.
/// let waits: Vec<Duration> = fixed.delays().take(3).collect();
/// assert_eq!(waits, [1, 5, 5].map(Duration::from_secs));
/// assert_eq!(linear.delays().nth(2), Some(Duration::from_secs(30)));
/// assert_eq!(patient.delays().count(), 20);
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
    Own(Own),
}

/// A function of the attempt, equal to its clones.
#[derive(Clone)]
struct Own(Arc<dyn Fn(u32) -> Duration + Send + Sync>);

impl PartialEq for Own {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("fn")
    }
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

    /// The delay as a function of the attempt, counted from 1. It is asked while the socket's other work waits, and so
    /// must not block; one that panics stands for one second.
    pub fn from_fn(delay: impl Fn(u32) -> Duration + Send + Sync + 'static) -> Self {
        Schedule::Own(Own(Arc::new(delay))).into()
    }

    /// Whether delays are shortened at random by up to a half. On by default.
    pub fn jitter(self, on: bool) -> Self {
        Backoff { jitter: on, ..self }
    }

    /// Gives up after this many delays in a row, each with its try behind it; a first attempt needs none. No limit by
    /// default.
    pub fn limit(self, tries: u32) -> Self {
        Backoff { limit: Some(tries), ..self }
    }

    /// The delays in turn, for retries of your own: an iterator that ends at the limit, or never. Its jitter is its own.
    pub fn delays(&self) -> Delays {
        Delays { backoff: self.clone(), attempt: 0, random: fastrand::Rng::new() }
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
        Some(if self.jitter { step - step.mul_f64(random.f64() / 2.0) } else { step })
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
            Schedule::Own(Own(delay)) => std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| delay(attempt)))
                .unwrap_or(Duration::from_secs(1)),
        }
    }
}

/// The delays of a [`Backoff`], one after the other: [`Backoff::delays`].
#[derive(Clone, Debug)]
#[must_use = "iterators do nothing unless asked"]
pub struct Delays {
    backoff: Backoff,
    attempt: u32,
    random: fastrand::Rng,
}

impl Iterator for Delays {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.attempt = self.attempt.saturating_add(1);
        self.backoff.delay(self.attempt, &mut self.random)
    }
}

impl IntoIterator for Backoff {
    type Item = Duration;
    type IntoIter = Delays;

    fn into_iter(self) -> Delays {
        self.delays()
    }
}

impl From<Schedule> for Backoff {
    fn from(schedule: Schedule) -> Self {
        Backoff { schedule, jitter: true, limit: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vectors(name: &str) -> Vec<Duration> {
        let all: serde_json::Value = serde_json::from_str(include_str!("../tests/vectors.json")).unwrap();
        all["backoff"][name].as_array().unwrap().iter().map(|ms| Duration::from_millis(ms.as_u64().unwrap())).collect()
    }

    fn delays(backoff: &Backoff, tries: usize) -> Vec<Duration> {
        let mut random = fastrand::Rng::with_seed(1);
        (1..).take(tries).map_while(|attempt| backoff.delay(attempt, &mut random)).collect()
    }

    // S-32
    #[test]
    fn reconnecting_waits_as_phoenix_does() {
        let expected = vectors("reconnect_ms_by_try_1_to_12");
        assert_eq!(delays(&Backoff::reconnect().jitter(false), 12), expected);
    }

    // C-19
    #[test]
    fn rejoining_waits_as_phoenix_does() {
        let expected = vectors("rejoin_ms_by_try_1_to_6");
        assert_eq!(delays(&Backoff::rejoin().jitter(false), 6), expected);
    }

    // S-33
    #[test]
    fn steps_are_ones_own_and_the_last_stays() {
        let own = Backoff::steps([3, 1].map(Duration::from_secs)).jitter(false);
        assert_eq!(delays(&own, 4), [3, 1, 1, 1].map(Duration::from_secs));
        assert_eq!(own.delay(u32::MAX, &mut fastrand::Rng::with_seed(1)), Some(Duration::from_secs(1)));
        assert_eq!(delays(&Backoff::steps([]).jitter(false), 2), [Duration::from_secs(1); 2]);
    }

    #[test]
    fn exponential_doubles_up_to_its_most_at_any_try() {
        let most = Duration::from_secs(1);
        let backoff = Backoff::exponential(Duration::from_millis(100), most).jitter(false);
        assert_eq!(delays(&backoff, 6), [100, 200, 400, 800, 1000, 1000].map(Duration::from_millis));
        let mut random = fastrand::Rng::with_seed(1);
        for attempt in [32, 33, 34, 40, 65, u32::MAX] {
            assert_eq!(backoff.delay(attempt, &mut random), Some(most));
        }
        let endless = Backoff::exponential(Duration::MAX, Duration::MAX).jitter(false);
        assert_eq!(endless.delay(40, &mut random), Some(Duration::MAX));
    }

    // T-23
    #[test]
    fn jitter_shortens_by_up_to_a_half() {
        let step = Duration::from_secs(8);
        let backoff = Backoff::steps([step]);
        let seen = delays(&backoff, 10_000);
        assert!(seen.iter().all(|delay| *delay > step / 2 && *delay <= step));
        assert!(seen.iter().min() < Some(&Duration::from_millis(4010)));
        assert!(seen.iter().max() > Some(&Duration::from_millis(7990)));
        let longest = delays(&Backoff::steps([Duration::MAX]), 100);
        assert!(longest.iter().all(|delay| *delay >= Duration::MAX / 2));
    }

    #[test]
    fn a_limit_ends_it() {
        assert_eq!(delays(&Backoff::rejoin().limit(3), 9).len(), 3);
        assert_eq!(delays(&Backoff::rejoin().limit(0), 9).len(), 0);
    }

    // S-33, C-19
    #[test]
    fn a_function_of_the_attempt_is_asked_with_its_number_and_may_panic() {
        let own = Backoff::from_fn(|attempt| Duration::from_secs(10 / (4 - u64::from(attempt)))).jitter(false);
        assert_eq!(delays(&own, 4), [3, 5, 10, 1].map(Duration::from_secs));
        assert_eq!(own, own.clone());
        assert_ne!(own, Backoff::from_fn(|_| Duration::ZERO).jitter(false));
        assert_eq!(format!("{own:?}"), "Backoff { schedule: Own(fn), jitter: false, limit: None }");
    }

    // Law 9
    #[test]
    fn the_delays_alone_are_those_of_the_socket_and_end_at_the_limit() {
        let backoff = Backoff::rejoin().jitter(false).limit(6);
        assert_eq!(backoff.delays().collect::<Vec<_>>(), vectors("rejoin_ms_by_try_1_to_6"));
        assert_eq!(backoff.clone().into_iter().count(), 6);
        let mut spent = backoff.delays();
        spent.by_ref().for_each(drop);
        assert_eq!((spent.next(), spent.clone().next()), (None, None));
        let step = Duration::from_secs(8);
        assert!(Backoff::steps([step]).delays().take(1000).all(|delay| delay > step / 2 && delay <= step));
    }

    #[test]
    fn no_delay_is_zero() {
        for backoff in [Backoff::steps([Duration::ZERO]), Backoff::exponential(Duration::ZERO, Duration::ZERO)] {
            assert!(delays(&backoff, 1000).iter().all(|delay| *delay >= SHORTEST / 2));
            assert_eq!(delays(&backoff.jitter(false), 2), [SHORTEST; 2]);
        }
    }
}
