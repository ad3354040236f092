//! A socket over long-poll, before a server made by hand.

use std::{sync::Arc, time::Duration};

use futures::StreamExt;
use phoenix_streams::{
    Backoff, Builder, Channel, ChannelStatus, ConnectError, Http, LongPoll, Socket, Telemetry, TelemetryStream,
};

use super::scripted::{Kind, Request, Scripted, messages, within};

/// What the backoff says after a first failure: long enough for the wait to be seen.
pub(crate) const STEP: u64 = 3;

/// What the socket does after a failure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Next {
    Stops,
    /// For this many seconds.
    Waits(u64),
}

pub(crate) struct Bed {
    pub(crate) server: Scripted,
    pub(crate) socket: Socket,
    pub(crate) telemetry: TelemetryStream,
    /// Of the last channel that joined.
    pub(crate) join_ref: String,
}

pub(crate) fn builder(url: &str) -> Builder {
    let step = Backoff::steps([Duration::from_secs(STEP)]).jitter(false);
    Socket::builder(url).reconnect(step).http(Http::default().no_proxy()).transport(LongPoll::default()).seed(7)
}

impl Bed {
    /// Before this server, and on its way to it.
    pub(crate) fn before(server: Scripted, describe: impl FnOnce(Builder) -> Builder) -> Self {
        let (socket, driver) = describe(builder(&server.url)).driver().unwrap();
        let telemetry = socket.telemetry();
        tokio::spawn(driver);
        let connecting = socket.connect();
        tokio::spawn(async move { drop(connecting.await) });
        Bed { server, socket, telemetry, join_ref: String::new() }
    }

    /// With a session, and its first poll at the server.
    pub(crate) async fn open_with(describe: impl FnOnce(Builder) -> Builder) -> Self {
        let mut bed = Bed::before(Scripted::start().await, describe);
        bed.server.asked(Kind::Open).await;
        bed.server.asked(Kind::Poll).await;
        bed.telemetry_until(|told| matches!(told, Telemetry::Opened { transport: "long-poll" })).await;
        bed
    }

    pub(crate) async fn open() -> Self {
        Bed::open_with(|builder| builder).await
    }

    /// A channel that has joined.
    pub(crate) async fn joined(&mut self, topic: &str) -> Channel {
        let channel = self.socket.channel(topic);
        channel.join(()).detach();
        let post = self.server.asked(Kind::Post).await;
        let join = Sent::all(&post).pop().unwrap();
        assert_eq!(join.event, "phx_join");
        self.join_ref = join.join_ref.clone().unwrap();
        self.server.poll(messages([join.reply("{}")]));
        within(channel.status().wait_for(ChannelStatus::is_joined)).await.unwrap();
        self.server.asked(Kind::Poll).await;
        channel
    }

    /// What telemetry tells, up to this.
    pub(crate) async fn telemetry_until(&mut self, is_it: impl Fn(&Telemetry) -> bool) -> Vec<Telemetry> {
        let mut told = Vec::new();
        loop {
            told.push(within(self.telemetry.next()).await.unwrap().unwrap());
            if told.last().is_some_and(&is_it) {
                return told;
            }
        }
    }

    /// Why the connection ended, and what came of it.
    pub(crate) async fn lost(&mut self) -> (Arc<ConnectError>, Next) {
        let closed = self.telemetry_until(|told| matches!(told, Telemetry::Closed { .. })).await.pop();
        let Some(Telemetry::Closed { cause, .. }) = closed else { unreachable!() };
        (cause, self.comes_next().await)
    }

    /// Why the attempt failed, and what came of it.
    pub(crate) async fn failed(&mut self) -> (Arc<ConnectError>, Next) {
        let failed = self.telemetry_until(|told| matches!(told, Telemetry::Failed { .. })).await.pop();
        let Some(Telemetry::Failed { cause, .. }) = failed else { unreachable!() };
        (cause, self.comes_next().await)
    }

    async fn comes_next(&mut self) -> Next {
        let is_next = |told: &Telemetry| matches!(told, Telemetry::Waiting { .. } | Telemetry::Stopped { .. });
        match self.telemetry_until(is_next).await.pop() {
            Some(Telemetry::Waiting { delay }) => Next::Waits(delay.as_secs()),
            _ => Next::Stops,
        }
    }
}

/// A message of the client.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) join_ref: Option<String>,
    pub(crate) reference: Option<String>,
    pub(crate) topic: String,
    pub(crate) event: String,
    pub(crate) payload: serde_json::Value,
}

impl Sent {
    /// The lines of a POST.
    pub(crate) fn all(post: &Request) -> Vec<Self> {
        post.body
            .split('\n')
            .map(|line| {
                let (join_ref, reference, topic, event, payload) =
                    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
                Sent { join_ref, reference, topic, event, payload }
            })
            .collect()
    }

    /// `ok`, with this response.
    pub(crate) fn reply(&self, response: &str) -> String {
        let [join_ref, reference, topic] =
            [serde_json::json!(self.join_ref), serde_json::json!(self.reference), serde_json::json!(self.topic)];
        format!(r#"[{join_ref},{reference},{topic},"phx_reply",{{"status":"ok","response":{response}}}]"#)
    }
}
