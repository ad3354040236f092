//! What is known of servers, kept in a file.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use phoenix_streams::transport::FallbackStore;

/// A line for each server whose WebSockets are of no use: until when, in seconds since 1970, and its URL.
pub(crate) struct FileStore(PathBuf);

impl FileStore {
    pub(crate) fn at(path: &Path) -> Self {
        FileStore(path.into())
    }

    /// Puts this line in the place of the server's. What cannot be written is found out again.
    fn write(&self, server: &str, line: Option<String>) {
        let text = fs::read_to_string(&self.0).unwrap_or_default();
        let others = text.split_inclusive('\n').filter(|line| !line.trim_end().ends_with(&format!(" {server}")));
        let _ = fs::write(&self.0, others.map(str::to_owned).chain(line).collect::<String>());
    }
}

impl FallbackStore for FileStore {
    fn recall(&self, server: &str) -> Option<SystemTime> {
        let text = fs::read_to_string(&self.0).ok()?;
        let (until, _) = text.lines().filter_map(|line| line.split_once(' ')).find(|(_, url)| *url == server)?;
        UNIX_EPOCH.checked_add(Duration::from_secs(until.parse().ok()?))
    }

    fn remember(&self, server: &str, until: SystemTime) {
        let seconds = until.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        self.write(server, Some(format!("{seconds} {server}\n")));
    }

    fn forget(&self, server: &str) {
        if self.recall(server).is_some() {
            self.write(server, None);
        }
    }
}
