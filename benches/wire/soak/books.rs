//! What is written down: what became of each push, how often what happened, and what was wrong.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Of a push: the server has handled it.
const HANDLED: u8 = 1;
/// It has an outcome.
const SETTLED: u8 = 2;
/// That is, that it certainly was not sent.
const NOT_SENT: u8 = 4;

#[derive(Default)]
pub(crate) struct Books {
    /// By their ids.
    pushes: Mutex<Vec<u8>>,
    epochs: Mutex<u64>,
    /// By whoever pushes: the newest of its joins that pushes have come by, and the last of those.
    orders: Mutex<HashMap<u64, (u64, usize)>>,
    counts: Mutex<BTreeMap<(&'static str, String), u64>>,
    wrongs: Mutex<Vec<String>>,
}

/// What is known of a push once it is settled.
pub(crate) enum Fate {
    Replied,
    NotSent,
    Unknown,
}

impl Books {
    /// A new push.
    pub(crate) fn push(&self) -> usize {
        let mut pushes = lock(&self.pushes);
        pushes.push(0);
        pushes.len() - 1
    }

    /// A new join.
    pub(crate) fn epoch(&self) -> u64 {
        let mut epochs = lock(&self.epochs);
        *epochs += 1;
        *epochs
    }

    /// The server has it, by this join of whoever pushes.
    pub(crate) fn handled(&self, id: usize, who: u64, epoch: u64) {
        let push = &mut lock(&self.pushes)[id];
        if *push & HANDLED != 0 {
            self.wrong(format!("push {id} was handled twice"));
        }
        if *push & NOT_SENT != 0 {
            self.wrong(format!("push {id} was not sent, and handled"));
        }
        *push |= HANDLED;
        let mut orders = lock(&self.orders);
        let order = orders.entry(who).or_insert((epoch, id));
        if order.0 == epoch && order.1 > id {
            self.wrong(format!("push {id} of {who} came behind push {}", order.1));
        }
        *order = (*order).max((epoch, id));
    }

    pub(crate) fn settled(&self, id: usize, fate: Fate) {
        let push = &mut lock(&self.pushes)[id];
        if *push & SETTLED != 0 {
            self.wrong(format!("push {id} was settled twice"));
        }
        *push |= SETTLED;
        match fate {
            Fate::Replied if *push & HANDLED == 0 => self.wrong(format!("push {id} was not handled, and replied to")),
            Fate::NotSent if *push & HANDLED != 0 => self.wrong(format!("push {id} was handled, and not sent")),
            Fate::NotSent => *push |= NOT_SENT,
            Fate::Replied | Fate::Unknown => {}
        }
    }

    pub(crate) fn all_settled(&self) {
        let pending = lock(&self.pushes).iter().filter(|push| **push & SETTLED == 0).count();
        if pending > 0 {
            self.wrong(format!("{pending} pushes are pending"));
        }
    }

    pub(crate) fn count(&self, of: &'static str, what: impl Into<String>) {
        *lock(&self.counts).entry((of, what.into())).or_default() += 1;
    }

    pub(crate) fn wrong(&self, what: impl Into<String>) {
        const SHOWN: usize = 20;
        let mut wrongs = lock(&self.wrongs);
        if wrongs.len() < SHOWN {
            wrongs.push(what.into());
        }
    }

    pub(crate) fn wrongs(&self) -> Vec<String> {
        lock(&self.wrongs).clone()
    }

    pub(crate) fn print(&self) {
        let counts = lock(&self.counts);
        let mut groups = BTreeMap::<_, Vec<_>>::new();
        for ((of, what), count) in &*counts {
            groups.entry(of).or_default().push(format!("{what} {count}"));
        }
        for (of, counts) in groups {
            println!("| {of} | {} |", counts.join(", "));
        }
        println!("| pushes and casts in all | {} |", lock(&self.pushes).len());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
