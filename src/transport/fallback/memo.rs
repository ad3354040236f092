//! What is remembered of one socket.

use std::sync::Arc;

use crate::error::ConnectError;

#[derive(Debug, Default)]
pub(crate) struct Memo {
    /// The name of the transport that was open last.
    pub(super) used: Option<&'static str>,
    /// How many connections of the first in a row have died young, and how the last one did.
    pub(super) young: Option<(u32, Arc<ConnectError>)>,
}

impl Memo {
    pub(super) fn died_young(&mut self, cause: &ConnectError) {
        let before = self.young.take().map_or(0, |(opens, _)| opens);
        self.young = Some((before.saturating_add(1), Arc::new(cause.clone())));
    }
}
