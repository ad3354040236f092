//! The application: what was given to the builder.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use futures::future::BoxFuture;

use super::{
    connect::{ConnectInfo, Refuse},
    peer::Peer,
    response::Response,
};
use crate::payload::Payload;

pub(super) type Handler = Arc<dyn Fn(Peer, Payload) -> BoxFuture<'static, Response> + Send + Sync>;
pub(super) type Intercept = Arc<dyn Fn(Peer, Payload) -> BoxFuture<'static, ()> + Send + Sync>;
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
    pub(super) intercepts: Vec<(Pattern, String, Intercept)>,
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
    pub(super) intercepts: Vec<(String, Intercept)>,
}

impl App {
    /// `None` for a topic that no join's pattern matches. Of several that match, the first given counts.
    pub(super) fn route(&self, topic: &str) -> Option<Route> {
        let (_, join) = self.joins.iter().find(|(pattern, _)| pattern.matches(topic))?;
        Some(Route {
            join: join.clone(),
            events: matching(&self.events, topic),
            intercepts: matching(&self.intercepts, topic),
        })
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

fn matching<H: Clone>(all: &[(Pattern, String, H)], topic: &str) -> Vec<(String, H)> {
    let here = all.iter().filter(|(pattern, ..)| pattern.matches(topic));
    here.map(|(_, event, handler)| (event.clone(), handler.clone())).collect()
}
