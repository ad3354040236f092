//! All that a program, and whoever reads its logs, gets to see.

use std::{
    error::Error,
    fmt::{Debug, Display},
    sync::{Arc, Mutex, Once, OnceLock, PoisonError},
};

use crate::{
    planted::{ALL, Secret},
    recorder::{Line, Recorder},
};

/// What was shown, with what it was.
#[derive(Clone, Default)]
pub(crate) struct Shown(Arc<Mutex<Vec<(String, String)>>>);

impl Shown {
    pub(crate) fn text(&self, what: impl Display, text: impl Display) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.push((what.to_string(), text.to_string()));
    }

    pub(crate) fn debug(&self, what: impl Display, value: &impl Debug) {
        self.text(&what, format_args!("{value:?}"));
        self.text(&what, format_args!("{value:#?}"));
    }

    /// In every way in which an error can be looked at.
    pub(crate) fn error(&self, what: impl Display, error: &(dyn Error + 'static)) {
        let mut next = Some(error);
        while let Some(error) = next {
            self.text(&what, format_args!("{error} {error:#} {error:?} {error:#?}"));
            next = error.source();
        }
    }

    /// Nor is this text, in any of it or in any log.
    #[cfg(all(feature = "websocket", feature = "rustls"))]
    pub(crate) fn holds_no(&self, text: &str) {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(all.iter().all(|(_, shown)| !shown.contains(text)), "{text} is shown");
        assert!(logged().iter().all(|line| !line.to_string().contains(text)), "{text} is logged");
    }

    /// None of the secrets is in any of it, nor in any log.
    pub(crate) fn holds_none(&self) {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(!all.is_empty());
        for (what, text) in all.iter() {
            for secret in ALL {
                let found = secret.found_in(text);
                assert_eq!(found, None, "{secret:?} is shown by {what}: {text}");
            }
        }
        for line in logged() {
            for secret in ALL.iter().filter(|secret| !may_log(&line, secret)) {
                let found = secret.found_in(&line.to_string());
                assert_eq!(found, None, "{secret:?} is logged: {line}");
            }
        }
    }
}

/// Payloads, at the finest level: in the field of that name, and where the WebSocket library tells of its frames.
fn may_log(line: &Line, secret: &Secret) -> bool {
    let frames = line.target.starts_with("tungstenite::");
    let rest =
        Line { fields: line.fields.iter().filter(|(name, _)| name != "payload").cloned().collect(), ..line.clone() };
    let ours = line.target.starts_with("phoenix_streams::") && secret.found_in(&rest.to_string()).is_none();
    secret.is_payload() && line.level == tracing::Level::TRACE && (frames || ours)
}

/// Everything that was logged in this process, by `tracing` and by `log`.
pub(crate) fn logged() -> Vec<Line> {
    recorder().lines()
}

/// Listens, from the first call on.
pub(crate) fn recorder() -> &'static Recorder {
    static RECORDER: OnceLock<Recorder> = OnceLock::new();
    static LISTENING: Once = Once::new();
    let recorder = RECORDER.get_or_init(Recorder::default);
    LISTENING.call_once(|| {
        tracing::subscriber::set_global_default(recorder.clone()).unwrap();
        log::set_boxed_logger(Box::new(recorder.clone())).unwrap();
        log::set_max_level(log::LevelFilter::Trace);
    });
    recorder
}

impl log::Log for Recorder {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let level = match record.level() {
            log::Level::Error => tracing::Level::ERROR,
            log::Level::Warn => tracing::Level::WARN,
            log::Level::Info => tracing::Level::INFO,
            log::Level::Debug => tracing::Level::DEBUG,
            log::Level::Trace => tracing::Level::TRACE,
        };
        let (target, message) = (record.target().to_owned(), record.args().to_string());
        self.push(Line { level, target, message, fields: Vec::new(), spans: Vec::new() });
    }

    fn flush(&self) {}
}
