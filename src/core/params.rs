//! Params that a closure says, asked before every join.

use super::{
    ChannelId, Core, Instant, Output,
    channel::{State, channel_state},
};
use crate::{
    error::{JoinError, NotJoined, Source},
    payload::Payload,
    policy::Retry,
};

/// Why there are no params; `stop` if the closure said not to ask again.
#[derive(Debug)]
pub(crate) struct Declined {
    pub(crate) cause: Source,
    pub(crate) stop: bool,
}

impl<T> Core<T> {
    /// The answer of the channel's closure, for the join of this number.
    pub(crate) fn handle_params(
        &mut self,
        now: Instant,
        id: ChannelId,
        number: u64,
        answer: Result<Payload, Declined>,
    ) {
        let Some(State::Asking { attempt, over, .. }) = channel_state(self, id) else { return };
        if *attempt != number {
            return;
        }
        let over = *over;
        match answer {
            Ok(payload) => {
                if let Some(channel) = self.channels.get_mut(&id) {
                    channel.asked = Some(payload);
                }
                self.queue_join(now, id, over);
            }
            Err(Declined { cause, stop }) => {
                self.abandon_join(id);
                self.join_failed(id, &JoinError::Provider(cause.clone()));
                if stop {
                    self.give_up(id, NotJoined::Provider(cause));
                } else {
                    self.rejoin_after(now, id, NotJoined::Provider(cause), Retry::Backoff);
                }
            }
        }
    }

    pub(super) fn ask_params(&mut self, now: Instant, id: ChannelId, over: Option<u64>) {
        let attempt = self.refs.next();
        self.set_state(id, State::Asking { attempt, deadline: now + self.config.timeout, over });
        self.out.push_back(Output::Ask(id, attempt));
    }
}
