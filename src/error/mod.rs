//! One error type per operation. Each is `Clone`, says what happened and what can be done, and holds no secret.

mod connect;
mod operation;
mod socks;

use std::{error::Error as StdError, fmt, io, sync::Arc};

pub use connect::{BuildError, ConnectError, Refusal, Stop};
pub use operation::{CastError, EventError, JoinError, Lagged, LeaveError, NotJoined, NotSent, PingError, PushError};
pub use socks::SocksRefusal;

/// Any error of yours: what closures given to the builder may fail with.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// A shared error of some other library or of yours.
pub(crate) type Source = Arc<dyn StdError + Send + Sync>;

/// What was given could not be turned into a frame.
#[derive(Clone)]
pub struct EncodeError(Source);

/// What was received could not be turned into what was asked for.
#[derive(Clone)]
pub struct DecodeError(Source);

impl EncodeError {
    /// Wraps an error, or a sentence.
    pub fn new(error: impl Into<BoxError>) -> Self {
        EncodeError(error.into().into())
    }
}

impl DecodeError {
    /// Wraps an error, or a sentence.
    pub fn new(error: impl Into<BoxError>) -> Self {
        DecodeError(error.into().into())
    }
}

impl DecodeError {
    /// Without the words around it.
    pub(crate) fn why(&self) -> &dyn fmt::Display {
        &self.0
    }
}

impl fmt::Debug for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EncodeError({})", self.0)
    }
}

impl fmt::Debug for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DecodeError({})", self.0)
    }
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the payload cannot be encoded: {}", self.0)
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the payload cannot be decoded: {}", self.0)
    }
}

impl StdError for EncodeError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.0)
    }
}

impl StdError for DecodeError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.0)
    }
}

/// What is behind an error, down to the first cause.
pub(crate) fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    // An I/O error that wraps another passes over it: its source is that one's.
    fn next<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        wrapped.map(|wrapped| wrapped as &dyn StdError).or_else(|| error.source())
    }
    std::iter::successors(next(error), |&error| next(error))
}

#[cfg(test)]
mod tests;
