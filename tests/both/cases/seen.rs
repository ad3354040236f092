//! A server that notes who connects.

use std::sync::{Arc, Mutex};

use phoenix_streams::testing::{ConnectInfo, Server, ServerBuilder};

/// What clients connected with, in order.
#[derive(Clone, Default)]
pub(crate) struct Seen(Arc<Mutex<Vec<ConnectInfo>>>);

impl Seen {
    pub(crate) fn all(&self) -> Vec<ConnectInfo> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn last(&self) -> ConnectInfo {
        self.all().pop().unwrap()
    }
}

pub(crate) async fn start(describe: impl FnOnce(ServerBuilder) -> ServerBuilder) -> (Server, Seen) {
    let seen = Seen::default();
    let note = seen.clone();
    let builder = Server::builder().auth_token(true).connect(move |connect| {
        note.0.lock().unwrap().push(connect);
        async { Ok(()) }
    });
    (describe(builder).start().await.unwrap(), seen)
}
