//! What the walk has seen, so that it cannot pass by not going anywhere.

use std::collections::BTreeMap;

use super::{commands, events, frames};

#[derive(Debug, Default)]
pub(super) struct Visits(BTreeMap<&'static str, usize>);

const SOCKET_STATES: [&str; 7] = [
    "socket idle",
    "socket dialing",
    "socket open",
    "socket waiting",
    "socket stopped",
    "socket down",
    "socket closed",
];
const CHANNEL_STATES: [&str; 8] = [
    "channel idle",
    "channel wanted",
    "channel asking",
    "channel joining",
    "channel joined",
    "channel leaving",
    "channel errored",
    "channel closed",
];

impl Visits {
    pub(super) fn count(&mut self, what: &'static str) {
        *self.0.entry(what).or_default() += 1;
    }

    pub(super) fn assert_enough(&self, least: usize) {
        let all = SOCKET_STATES.iter().chain(&CHANNEL_STATES).chain(&commands::ALL).chain(&frames::ALL);
        let rare: Vec<_> = all
            .chain(&events::ALL)
            .map(|name| (*name, self.0.get(name).copied().unwrap_or_default()))
            .filter(|(_, times)| *times < least)
            .collect();
        assert!(rare.is_empty(), "visited fewer than {least} times: {rare:?}");
    }
}
