//! The presence logs of a channel, over its lives.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Item, Kind, PresenceLog, SeatEnd, Told};
use crate::{
    driver::queue::Budget,
    message::Topic,
    presence::{PresenceNames, is_presence},
    serializer::Incoming,
    streams::feed::FeedWriter,
};

/// A log for each pair of event names. The driver writes them; a reader may look at one before it is given it.
#[derive(Debug)]
pub(crate) struct Lives {
    topic: Topic,
    limit: usize,
    budget: Arc<Budget>,
    kept: Arc<Budget>,
    logs: Mutex<Logs>,
}

#[derive(Debug, Default)]
struct Logs {
    present: Vec<Arc<PresenceLog>>,
    /// Of those who asked while the channel leaves: they begin with its next life.
    next: Vec<Arc<PresenceLog>>,
}

impl Lives {
    pub(crate) fn new(topic: Topic, limit: usize, budget: Arc<Budget>, kept: Arc<Budget>) -> Self {
        Lives { topic, limit, budget, kept, logs: Mutex::default() }
    }

    /// The present log of these names, if there is one.
    pub(crate) fn find(&self, names: &PresenceNames) -> Option<Arc<PresenceLog>> {
        self.lock().present.iter().find(|log| log.names == *names).cloned()
    }

    /// Gives the reader its log: the present one, or, while the channel leaves, its next life's.
    pub(crate) fn attach(
        &self,
        names: PresenceNames,
        seat: SeatEnd,
        listener: Option<FeedWriter<Told>>,
        leaving: bool,
    ) {
        let mut all = self.lock();
        let logs = if leaving { &mut all.next } else { &mut all.present };
        // Of other names nothing is kept for those who may come.
        let is_over = |log: &mut Arc<PresenceLog>| !(log.names.is_default() || log.names == names || log.is_asked());
        let over: Vec<_> = logs.extract_if(.., is_over).collect();
        let found = logs.iter().find(|log| log.names == names).cloned();
        let log = found.unwrap_or_else(|| {
            let log = self.log(names);
            logs.push(log.clone());
            log
        });
        drop(all);
        drop(over);
        log.attach(seat, listener);
    }

    /// The logs that want this message. The one of the default names begins with the first that comes.
    pub(in crate::driver) fn wanted(&self, incoming: &Incoming<'_>) -> Vec<(Arc<PresenceLog>, Kind)> {
        let mut logs = self.lock();
        if is_presence(incoming.event) && !logs.present.iter().any(|log| log.names.is_default()) {
            let log = self.log(PresenceNames::default());
            logs.present.push(log);
        }
        logs.present.iter().filter_map(|log| Some((log.clone(), log.kind(incoming)?))).collect()
    }

    pub(in crate::driver) fn mark(&self, item: impl Fn() -> Item) {
        let logs = self.lock().present.clone();
        logs.iter().for_each(|log| log.mark(item()));
    }

    /// The present life ends, and the next begins.
    pub(crate) fn end(&self) {
        let mut logs = self.lock();
        let next = std::mem::take(&mut logs.next);
        let ended = std::mem::replace(&mut logs.present, next);
        drop(logs);
        ended.iter().for_each(|log| log.mark(Item::Closed));
    }

    fn log(&self, names: PresenceNames) -> Arc<PresenceLog> {
        let (budget, kept) = (self.budget.clone(), self.kept.clone());
        Arc::new(PresenceLog::new(names, self.topic.clone(), self.limit, budget, kept))
    }

    fn lock(&self) -> MutexGuard<'_, Logs> {
        self.logs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
