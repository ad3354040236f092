//! What could not be done, and where.

use std::{error::Error as StdError, fmt, sync::Arc};

use super::Target;
use crate::error::{BoxError, ConnectError};

/// A failure at some host: where and why in one sentence, which the causes of libraries spread over their sources.
pub(crate) fn failed(at: &Target<'_>, error: impl Into<BoxError>) -> ConnectError {
    let error = error.into();
    let mut root: &dyn StdError = &*error;
    while let Some(source) = root.source() {
        root = source;
    }
    ConnectError::Transport(Arc::new(Failed { sentence: format!("{}: {root}", at.called()), error }))
}

/// A certificate that does not verify at some host, and why it does not.
#[cfg(any(feature = "rustls", feature = "native-tls"))]
pub(super) fn untrusted(at: &Target<'_>, why: &str, error: impl Into<BoxError>) -> ConnectError {
    ConnectError::Certificate(Arc::new(Failed { sentence: format!("{}: {why}", at.called()), error: error.into() }))
}

#[derive(Debug)]
struct Failed {
    sentence: String,
    error: BoxError,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl StdError for Failed {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.error)
    }
}
