//! A server and a few people of our own, in this process.

mod line;
mod server;
mod story;

use std::io;

use phoenix_streams::testing::Server;
use tokio::task::AbortHandle;

use line::Line;

pub(crate) const TOPIC: &str = "room:lobby";

/// Dropped, all of it ends.
pub(crate) struct Demo {
    line: Line,
    story: AbortHandle,
    _server: Server,
}

impl Demo {
    /// Ready once somebody is there.
    pub(crate) async fn start() -> io::Result<Self> {
        let server = server::start().await?;
        let line = Line::to(server.url()).await?;
        let told = story::begin(server.url()).await.map_err(io::Error::other)?;
        let story = tokio::spawn(told.go_on(line.switch())).abort_handle();
        Ok(Demo { line, story, _server: server })
    }

    /// Where to connect, by a line that is cut now and then.
    pub(crate) fn url(&self) -> &str {
        self.line.url()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        self.story.abort();
    }
}
