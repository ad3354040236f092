//! The protocol.

pub(crate) mod event;
