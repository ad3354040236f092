//! What is held, and charged.

use std::sync::Arc;

use crate::driver::queue::Budget;

/// Bytes taken from a budget, until this is dropped.
#[derive(Debug, Default)]
pub(super) struct Charge {
    budget: Option<Arc<Budget>>,
    bytes: usize,
}

impl Charge {
    pub(super) fn take(budget: &Arc<Budget>, bytes: usize) -> Option<Self> {
        budget.take(bytes).then(|| Charge { budget: Some(budget.clone()), bytes })
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        if let Some(budget) = &self.budget {
            budget.give_back(self.bytes);
        }
    }
}
