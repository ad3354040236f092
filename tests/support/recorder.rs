//! A subscriber that keeps everything that is logged, at the finest level.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::{
    cell::RefCell,
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};

/// One event, and the spans around it.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) level: Level,
    pub(crate) target: String,
    pub(crate) message: String,
    /// In the order in which they were given, the message left out.
    pub(crate) fields: Vec<(String, String)>,
    /// The outermost first.
    pub(crate) spans: Vec<String>,
}

impl Line {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| &**value)
    }
}

/// As a plain formatter would write it, without the time.
impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}: {}", self.level, self.spans.join(":"), self.target, self.message)?;
        self.fields.iter().try_for_each(|(name, value)| write!(f, " {name}={value}"))
    }
}

#[derive(Clone, Default)]
pub(crate) struct Recorder(Arc<Kept>);

#[derive(Default)]
struct Kept {
    lines: Mutex<Vec<Line>>,
    spans: Mutex<HashMap<u64, String>>,
    ids: AtomicU64,
}

thread_local! {
    static ENTERED: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

impl Recorder {
    /// What was logged since it was asked for last.
    pub(crate) fn take(&self) -> Vec<Line> {
        std::mem::take(&mut *self.kept())
    }

    /// All that was logged.
    pub(crate) fn lines(&self) -> Vec<Line> {
        self.kept().clone()
    }

    pub(crate) fn push(&self, line: Line) {
        self.kept().push(line);
    }

    fn kept(&self) -> MutexGuard<'_, Vec<Line>> {
        self.0.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spans(&self) -> MutexGuard<'_, HashMap<u64, String>> {
        self.0.spans.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Subscriber for Recorder {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let id = self.0.ids.fetch_add(1, Ordering::Relaxed) + 1;
        let mut fields = Fields::default();
        span.record(&mut fields);
        let text: Vec<_> = fields.0.iter().map(|(name, value)| format!("{name}={value}")).collect();
        self.spans().insert(id, format!("{}{{{}}}", span.metadata().name(), text.join(" ")));
        Id::from_u64(id)
    }

    fn record(&self, id: &Id, values: &Record<'_>) {
        let mut fields = Fields::default();
        values.record(&mut fields);
        let more: String = fields.0.iter().map(|(name, value)| format!("{{{name}={value}}}")).collect();
        self.spans().entry(id.into_u64()).or_default().push_str(&more);
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let at = fields.0.iter().position(|(name, _)| name == "message");
        let message = at.map(|at| fields.0.remove(at).1).unwrap_or_default();
        let entered = ENTERED.with_borrow(Clone::clone);
        let spans = entered.iter().map(|id| self.spans().get(id).cloned().unwrap_or_default()).collect();
        let (level, target) = (*event.metadata().level(), event.metadata().target().to_owned());
        self.push(Line { level, target, message, fields: fields.0, spans });
    }

    fn enter(&self, id: &Id) {
        ENTERED.with_borrow_mut(|entered| entered.push(id.into_u64()));
    }

    fn exit(&self, id: &Id) {
        ENTERED.with_borrow_mut(|entered| {
            if let Some(at) = entered.iter().rposition(|entered| *entered == id.into_u64()) {
                entered.remove(at);
            }
        });
    }
}

#[derive(Default)]
struct Fields(Vec<(String, String)>);

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.push((field.name().to_owned(), value.to_owned()));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.push((field.name().to_owned(), format!("{value:?}")));
    }
}
