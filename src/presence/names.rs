//! Under which event names presence arrives.

use std::{fmt, sync::Arc};

use crate::serializer::Name;

const STATE: &str = "presence_state";
const DIFF: &str = "presence_diff";

/// Whether it is an event of presence, by its default name.
pub(crate) fn is_presence(event: Name<'_>) -> bool {
    event == *STATE || event == *DIFF
}

/// The names of the two events of a presence: each with its default, `presence_state` and `presence_diff`.
///
/// ```
/// use phoenix_streams::PresenceNames;
///
/// let names = PresenceNames::default().diff("people_diff");
/// assert_eq!((names.state_event(), names.diff_event()), ("presence_state", "people_diff"));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct PresenceNames {
    state: Arc<str>,
    diff: Arc<str>,
}

impl PresenceNames {
    /// The event of the whole list, in place of `presence_state`.
    pub fn state(mut self, event: impl AsRef<str>) -> Self {
        self.state = event.as_ref().into();
        self
    }

    /// The event of changes, in place of `presence_diff`.
    pub fn diff(mut self, event: impl AsRef<str>) -> Self {
        self.diff = event.as_ref().into();
        self
    }

    pub(crate) fn is_default(&self) -> bool {
        (&*self.state, &*self.diff) == (STATE, DIFF)
    }

    /// The event of the whole list.
    pub fn state_event(&self) -> &str {
        &self.state
    }

    /// The event of changes.
    pub fn diff_event(&self) -> &str {
        &self.diff
    }
}

impl Default for PresenceNames {
    fn default() -> Self {
        PresenceNames { state: STATE.into(), diff: DIFF.into() }
    }
}

impl fmt::Debug for PresenceNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PresenceNames").field("state", &self.state).field("diff", &self.diff).finish()
    }
}
