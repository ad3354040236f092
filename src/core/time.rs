//! Instants that the caller moves, and the set of those that something waits for.

use std::{
    collections::{BTreeSet, VecDeque},
    fmt,
    ops::{Add, Sub},
    time::Duration,
};

use super::ChannelId;

/// A point in time, as the time since the caller's own beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Instant(pub(crate) Duration);

impl Add<Duration> for Instant {
    type Output = Instant;

    fn add(self, span: Duration) -> Instant {
        Instant(self.0.saturating_add(span))
    }
}

impl Sub for Instant {
    type Output = Duration;

    fn sub(self, earlier: Instant) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// Who waits. The connection and each channel wait for one thing at a time, which their state says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    Link,
    Connect(u64),
    Channel(ChannelId),
    Join(ChannelId, u64),
    Push(ChannelId, u64),
    Ping(u64),
    Raw(u64),
}

impl Timer {
    fn lines_up(self) -> bool {
        matches!(self, Timer::Push(..) | Timer::Raw(_))
    }
}

/// All that is waited for.
///
/// Those of pushes are many, and most are armed behind all others and disarmed in the same order, since most pushes have
/// the same timeout: for these a line is enough, in which one that was disarmed before its turn stays until many have.
#[derive(Default)]
pub(crate) struct Timers {
    /// In order, and whether it still counts. The first one does.
    line: VecDeque<(Entry, bool)>,
    /// How many of the line do not count.
    gone: usize,
    others: BTreeSet<Entry>,
}

type Entry = (Instant, Timer);

impl Timers {
    pub(crate) fn arm(&mut self, at: Option<Instant>, timer: Timer) {
        let Some(at) = at else { return };
        let entry = (at, timer);
        if !timer.lines_up() {
            self.others.insert(entry);
        } else if self.line.back().is_none_or(|(last, _)| *last < entry) {
            self.line.push_back((entry, true));
        } else if let Ok(place) = self.place(&entry) {
            let counts = &mut self.line[place].1;
            self.gone -= usize::from(!std::mem::replace(counts, true));
        } else {
            self.others.insert(entry);
        }
    }

    pub(crate) fn disarm(&mut self, at: Option<Instant>, timer: Timer) {
        let Some(at) = at else { return };
        let entry = (at, timer);
        if !timer.lines_up() {
            self.others.remove(&entry);
        } else if self.line.front().is_some_and(|(first, _)| *first == entry) {
            self.pop_line();
        } else if let Ok(place) = self.place(&entry) {
            let counts = &mut self.line[place].1;
            self.gone += usize::from(std::mem::replace(counts, false));
            self.tidy();
        } else {
            self.others.remove(&entry);
        }
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.first().map(|(at, _)| *at)
    }

    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<Timer> {
        let first = *self.first().filter(|(at, _)| *at <= now)?;
        if self.others.first() == Some(&first) {
            self.others.pop_first();
        } else {
            self.pop_line();
        }
        Some(first.1)
    }

    pub(crate) fn len(&self) -> usize {
        self.line.len() - self.gone + self.others.len()
    }

    fn first(&self) -> Option<&Entry> {
        let line = self.line.front().map(|(entry, _)| entry);
        line.into_iter().chain(self.others.first()).min()
    }

    fn place(&self, entry: &Entry) -> Result<usize, usize> {
        self.line.binary_search_by(|(other, _)| other.cmp(entry))
    }

    /// Takes out the first of the line, and those behind it that do not count.
    fn pop_line(&mut self) {
        self.line.pop_front();
        while let Some((_, false)) = self.line.front() {
            self.line.pop_front();
            self.gone -= 1;
        }
    }

    /// Keeps what does not count from outgrowing what does.
    fn tidy(&mut self) {
        const FEW: usize = 64;
        if self.gone > FEW && self.gone > self.line.len() / 2 {
            self.line.retain(|(_, counts)| *counts);
            self.gone = 0;
        }
    }
}

impl fmt::Debug for Timers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = self.line.iter().filter(|(_, counts)| *counts).map(|(entry, _)| entry);
        f.debug_set().entries(line.chain(&self.others).collect::<BTreeSet<_>>()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same, told without a line.
    #[derive(Default)]
    struct Plain(BTreeSet<Entry>);

    impl Plain {
        fn pop_due(&mut self, now: Instant) -> Option<Timer> {
            let first = *self.0.first().filter(|(at, _)| *at <= now)?;
            self.0.remove(&first);
            Some(first.1)
        }
    }

    #[test]
    fn timers_come_in_order_however_they_are_armed_and_disarmed() {
        let mut random = fastrand::Rng::with_seed(7);
        for spread in [1, 10, 1_000] {
            let (mut timers, mut plain) = (Timers::default(), Plain::default());
            let mut now = Instant::default();
            for number in 0..20_000_u64 {
                let at = now + Duration::from_millis(1_000 + random.u64(..spread));
                let timer = if random.bool() { Timer::Push(1, number) } else { Timer::Channel(random.u64(..5)) };
                match random.u8(..8) {
                    0..4 => {
                        timers.arm(Some(at), timer);
                        plain.0.insert((at, timer));
                    }
                    4..6 => {
                        let known = random.choice(&plain.0).copied().filter(|_| random.u8(..4) > 0);
                        let (at, timer) = known.or(plain.0.first().copied()).unwrap_or((at, timer));
                        timers.disarm(Some(at), timer);
                        plain.0.remove(&(at, timer));
                    }
                    6 => timers.disarm(Some(at), Timer::Link),
                    _ => {
                        now = now + Duration::from_millis(random.u64(..20));
                        while let Some(due) = plain.pop_due(now) {
                            assert_eq!(timers.pop_due(now), Some(due));
                        }
                        assert_eq!(timers.pop_due(now), None);
                    }
                }
                assert_eq!((timers.len(), timers.next()), (plain.0.len(), plain.0.first().map(|(at, _)| *at)));
                assert!(timers.line.len() <= 2 * timers.len() + 130, "{} for {}", timers.line.len(), timers.len());
            }
            assert_eq!(format!("{timers:?}"), format!("{:?}", plain.0));
        }
    }
}
