//! What could not be done, and where.

use std::{error::Error as StdError, fmt, io, sync::Arc};

use super::Target;
use crate::error::{BoxError, ConnectError, causes};

/// A failure at some host, once there is a connection to it.
pub(crate) fn failed(at: &Target<'_>, error: impl Into<BoxError>) -> ConnectError {
    let failed = Failed::new(at, error.into());
    let http = causes(&failed).find_map(|error| error.downcast_ref::<hyper::Error>());
    let io = causes(&failed).filter_map(|error| error.downcast_ref::<io::Error>()).last();
    if http.is_some_and(hyper::Error::is_parse) {
        ConnectError::Handshake(format!("it cannot be read as HTTP: {failed}").into())
    } else if http.is_some_and(hyper::Error::is_incomplete_message) || io.is_some_and(is_end) {
        ConnectError::HandshakeCut(Arc::new(failed))
    } else {
        ConnectError::Transport(Arc::new(failed))
    }
}

/// A host that no connection could be made to.
pub(super) fn unreachable(at: &Target<'_>, error: impl Into<BoxError>) -> ConnectError {
    let failed = Failed::new(at, error.into());
    if causes(&failed).any(|error| error.is::<Unresolved>()) {
        ConnectError::Unresolved(Arc::new(failed))
    } else {
        ConnectError::Unreachable(Arc::new(failed))
    }
}

/// A certificate that does not verify at some host, and why it does not.
#[cfg(any(feature = "rustls", feature = "native-tls"))]
pub(super) fn untrusted(at: &Target<'_>, why: &str, error: impl Into<BoxError>) -> ConnectError {
    ConnectError::Certificate(Arc::new(Failed { sentence: format!("{}: {why}", at.called()), error: error.into() }))
}

/// A host that answers, and not by TLS.
#[cfg(feature = "rustls")]
pub(super) fn not_tls(at: &Target<'_>, error: impl Into<BoxError>) -> ConnectError {
    let sentence = format!("{}: no TLS is spoken there", at.called());
    ConnectError::Transport(Arc::new(Failed { sentence, error: error.into() }))
}

/// A name that has no address.
#[derive(Debug, thiserror::Error)]
#[error("the name does not resolve")]
pub(super) struct Unresolved(#[source] pub(super) io::Error);

fn is_end(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), ConnectionReset | ConnectionAborted | BrokenPipe | UnexpectedEof)
}

/// Where and why in one sentence, which the causes of libraries spread over their sources.
#[derive(Debug)]
struct Failed {
    sentence: String,
    error: BoxError,
}

impl Failed {
    fn new(at: &Target<'_>, error: BoxError) -> Self {
        let mut root: &dyn StdError = &*error;
        while let Some(source) = root.source() {
            root = source;
        }
        Failed { sentence: format!("{}: {root}", at.called()), error }
    }
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
