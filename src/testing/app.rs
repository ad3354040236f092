//! The application: what was given to the builder.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use serde_json::{Map, Value};

use super::{
    connect::{ConnectInfo, Refuse},
    peer::Peer,
    response::Response,
};
use crate::payload::Payload;

pub(super) type Handler = Arc<dyn Fn(Peer, Payload) -> BoxFuture<'static, Response> + Send + Sync>;
/// A handler that answers nothing.
pub(super) type Quiet = Arc<dyn Fn(Peer, Payload) -> BoxFuture<'static, ()> + Send + Sync>;
pub(super) type Fetch = Arc<dyn Fn(&str) -> Value + Send + Sync>;
pub(super) type OnConnect = Arc<dyn Fn(ConnectInfo) -> BoxFuture<'static, Result<(), Refuse>> + Send + Sync>;

pub(super) struct App {
    pub(super) bind: SocketAddr,
    pub(super) mount: String,
    pub(super) websocket_path: String,
    pub(super) long_poll: bool,
    pub(super) long_poll_path: String,
    pub(super) long_poll_token_header: bool,
    pub(super) window: Duration,
    pub(super) pubsub_timeout: Duration,
    pub(super) connect: Option<OnConnect>,
    pub(super) check_origin: Option<Vec<String>>,
    pub(super) auth_token: bool,
    pub(super) max_channels: usize,
    pub(super) max_frame_size: usize,
    pub(super) idle_timeout: Duration,
    pub(super) idle_code: u16,
    pub(super) close_echo: bool,
    pub(super) joins: Vec<(Pattern, Handler)>,
    pub(super) events: Vec<(Pattern, String, Handler)>,
    pub(super) intercepts: Vec<(Pattern, String, Quiet)>,
    pub(super) after_joins: Vec<(Pattern, Quiet)>,
    pub(super) fetches: Vec<(Pattern, Fetch)>,
    pub(super) diff_events: Vec<(Pattern, String)>,
}

/// An exact topic, or whatever starts with what stands before a final `*`.
#[derive(Debug)]
pub(super) enum Pattern {
    Exact(String),
    Prefix(String),
}

/// What handles one topic.
#[derive(Clone)]
pub(super) struct Route {
    pub(super) join: Handler,
    pub(super) events: Vec<(String, Handler)>,
    pub(super) intercepts: Vec<(String, Quiet)>,
    pub(super) after_join: Option<Quiet>,
}

impl App {
    /// `None` for a topic that no join's pattern matches. Of several that match, the first given counts.
    pub(super) fn route(&self, topic: &str) -> Option<Route> {
        Some(Route {
            join: first(&self.joins, topic)?.clone(),
            events: matching(&self.events, topic),
            intercepts: matching(&self.intercepts, topic),
            after_join: first(&self.after_joins, topic).cloned(),
        })
    }

    /// As what the presence diffs of a topic go out.
    pub(super) fn diff_event(&self, topic: &str) -> &str {
        first(&self.diff_events, topic).map_or("presence_diff", String::as_str)
    }

    /// What stands beside the metas of a key: by the application's own code, which may panic.
    pub(super) fn extra(&self, topic: &str, key: &str) -> Map<String, Value> {
        match first(&self.fetches, topic).map(|fetch| fetch(key)) {
            None => Map::new(),
            Some(Value::Object(mut extra)) => {
                extra.remove("metas");
                extra
            }
            Some(other) => panic!("what is fetched of a presence must be a JSON object: {other}"),
        }
    }
}

impl Route {
    pub(super) fn handler(&self, event: &str) -> Option<&Handler> {
        self.events.iter().find(|(name, _)| name == event).map(|(_, handler)| handler)
    }
}

impl Pattern {
    pub(super) fn new(pattern: &str) -> Self {
        match pattern.strip_suffix('*') {
            Some(prefix) => Pattern::Prefix(prefix.to_owned()),
            None => Pattern::Exact(pattern.to_owned()),
        }
    }

    fn matches(&self, topic: &str) -> bool {
        match self {
            Pattern::Exact(exact) => topic == exact,
            Pattern::Prefix(prefix) => topic.starts_with(prefix.as_str()),
        }
    }
}

fn first<'a, H>(all: &'a [(Pattern, H)], topic: &str) -> Option<&'a H> {
    all.iter().find(|(pattern, _)| pattern.matches(topic)).map(|(_, handler)| handler)
}

fn matching<H: Clone>(all: &[(Pattern, String, H)], topic: &str) -> Vec<(String, H)> {
    let here = all.iter().filter(|(pattern, ..)| pattern.matches(topic));
    here.map(|(_, event, handler)| (event.clone(), handler.clone())).collect()
}
