//! At which step an attempt failed that nobody answered.

use std::{error::Error as StdError, io, sync::Arc};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::net::lookup_host;

use crate::error::{ConnectError, causes};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The host has no address.
    Resolving,
    /// Its address takes no connection.
    Reaching,
    /// The connection ended before the answer was whole.
    Answering,
    /// What came is not HTTP.
    Reading,
    /// Any other: TLS, say.
    Other,
}

impl Step {
    pub(super) fn of(error: &reqwest::Error) -> Self {
        let http = causes(error).find_map(|error| error.downcast_ref::<hyper::Error>());
        let io = causes(error).filter_map(|error| error.downcast_ref::<io::Error>()).last();
        if causes(error).any(|error| error.is::<Unresolved>()) {
            Step::Resolving
        } else if http.is_some_and(hyper::Error::is_parse) {
            Step::Reading
        } else if http.is_some_and(hyper::Error::is_incomplete_message) || io.is_some_and(is_end) {
            Step::Answering
        } else if error.is_connect() && io.is_some_and(|error| error.raw_os_error().is_some()) {
            // What the system says; TLS has words of its own.
            Step::Reaching
        } else {
            Step::Other
        }
    }

    pub(super) fn failed(self, error: impl StdError + Send + Sync + 'static) -> ConnectError {
        match self {
            Step::Resolving => ConnectError::Unresolved(Arc::new(error)),
            Step::Reaching => ConnectError::Unreachable(Arc::new(error)),
            Step::Answering => ConnectError::HandshakeCut(Arc::new(error)),
            Step::Reading => ConnectError::Handshake(format!("it is not HTTP: {error}").into()),
            Step::Other => ConnectError::transport(error),
        }
    }
}

fn is_end(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), ConnectionReset | ConnectionAborted | BrokenPipe | UnexpectedEof)
}

/// The system's own resolver, whose errors are known again.
#[derive(Debug)]
pub(super) struct Resolver;

#[derive(Debug, thiserror::Error)]
#[error("the name does not resolve")]
struct Unresolved(#[source] io::Error);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            // The port is the client's to choose.
            let found = lookup_host((name.as_str(), 0)).await.map_err(Unresolved)?;
            Ok(Box::new(found.collect::<Vec<_>>().into_iter()) as Addrs)
        })
    }
}
