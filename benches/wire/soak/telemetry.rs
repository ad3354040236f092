//! What a socket tells of itself, and whether that can be.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use futures::StreamExt;
use phoenix_streams::{Telemetry, Topic};

use super::{Books, kind};

/// Reads to the end; how often each topic was joined.
pub(crate) async fn watch(
    mut telemetry: phoenix_streams::TelemetryStream,
    name: &'static str,
    books: Arc<Books>,
) -> HashMap<String, u64> {
    let (mut connecting, mut open) = (false, false);
    let (mut joined, mut joins) = (HashSet::<Topic>::new(), HashMap::new());
    let must = |so: bool, told: &Telemetry| {
        if !so {
            books.wrong(format!("{name}: told out of turn: {told:?}"));
        }
    };
    while let Some(told) = telemetry.next().await {
        let Ok(told) = told else {
            books.wrong(format!("{name}: telemetry lagged"));
            continue;
        };
        match &told {
            Telemetry::Connecting { .. } => {
                must(!connecting && !open, &told);
                connecting = true;
            }
            Telemetry::Opened { transport } => {
                must(connecting && !open, &told);
                (connecting, open) = (false, true);
                books.count(name, format!("opened {transport}"));
            }
            Telemetry::Failed { cause, .. } => {
                must(connecting && !open, &told);
                connecting = false;
                books.count(name, format!("failed {}", kind(cause)));
            }
            Telemetry::Closed { cause, .. } => {
                must(open, &told);
                open = false;
                joined.clear();
                books.count(name, format!("closed {}", kind(cause)));
            }
            // Between two of one topic stands what ended the first.
            Telemetry::Joined { topic, .. } => {
                must(open && joined.insert(topic.clone()), &told);
                *joins.entry(topic.to_string()).or_default() += 1;
            }
            Telemetry::Errored { topic, .. } | Telemetry::ChannelClosed { topic, .. } => {
                joined.remove(topic);
            }
            Telemetry::Switched { to, .. } => books.count(name, format!("switched to {to}")),
            Telemetry::ProbeFailed { .. } => books.count(name, "failed probes"),
            Telemetry::Stopped { cause } => books.wrong(format!("{name}: stopped: {cause}")),
            Telemetry::Undecodable { error } => books.wrong(format!("{name}: undecodable: {error}")),
            _ => {}
        }
    }
    if connecting || open {
        books.wrong(format!("{name}: the end was not told: connecting {connecting}, open {open}"));
    }
    joins
}
