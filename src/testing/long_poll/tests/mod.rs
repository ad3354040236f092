//! The long-poll as its clients see it, over raw HTTP; and its sessions, on a paused clock.

mod faults;
mod requests;
mod sessions;

#[path = "../../../../tests/transcripts/polls.rs"]
mod polls;

use std::time::Duration;

use self::polls::{Answer, Line, ask};
use super::super::{Server, ServerBuilder};
use crate::json;

/// A session dies after 1.5 to 3 of them without a poll: more than any step takes here.
const WINDOW: Duration = Duration::from_millis(300);
const TIMEOUT: Duration = Duration::from_millis(100);

const JOIN: &str = r#"["1","1","room:1","phx_join",{}]"#;
const JOINED: &str =
    r#"{"messages":["[\"1\",\"1\",\"room:1\",\"phx_reply\",{\"response\":{},\"status\":\"ok\"}]"],"status":200"#;
const BEAT: &str = r#"[null,"h","phoenix","heartbeat",{}]"#;
const BEATEN: &str =
    r#"{"messages":["[null,\"h\",\"phoenix\",\"phx_reply\",{\"response\":{},\"status\":\"ok\"}]"],"status":200"#;
const OPENED: &str = r#"{"messages":[],"status":410"#;
const NOTHING: &str = r#"{"messages":[],"status":204"#;
const DONE: &str = r#"{"status":200}"#;
const GONE: &str = r#"{"status":410}"#;
const LATE: &str = r#"{"status":408}"#;

fn rooms() -> ServerBuilder {
    Server::builder().join("room:*", |_, _| async { Ok(json!({})) }).window(WINDOW).pubsub_timeout(TIMEOUT)
}

/// A client, on one connection for its polls and one for its POSTs.
struct Client {
    polls: Line,
    posts: Line,
    token: String,
}

impl Client {
    async fn open(server: &Server) -> Self {
        let (mut polls, posts) = (Line::to(server.url()).await, Line::to(server.url()).await);
        polls.send("GET /socket/longpoll?vsn=2.0.0", b"").await;
        let opened = polls.next().await.unwrap();
        assert_eq!((&*opened.status, opened.told()), ("HTTP/1.1 200 OK", OPENED));
        Client { polls, posts, token: opened.token() }
    }

    /// Joined to `room:1` with ref 1.
    async fn joined(server: &Server) -> Self {
        let mut client = Client::open(server).await;
        assert_eq!(client.post(JOIN).await, DONE);
        assert_eq!(client.poll().await, JOINED);
        client
    }

    async fn ask_for_messages(&mut self) {
        self.polls.send(&format!("GET /socket/longpoll?vsn=2.0.0&token={}", self.token), b"").await;
    }

    async fn polled(&mut self) -> Option<Answer> {
        self.polls.next().await
    }

    async fn poll(&mut self) -> String {
        self.ask_for_messages().await;
        self.polled().await.unwrap().told().to_owned()
    }

    async fn ask_to_handle(&mut self, body: &str) {
        let request =
            format!("POST /socket/longpoll?vsn=2.0.0&token={}\ncontent-type: application/x-ndjson", self.token);
        self.posts.send(&request, body.as_bytes()).await;
    }

    async fn posted(&mut self) -> Option<Answer> {
        self.posts.next().await
    }

    async fn post(&mut self, body: &str) -> String {
        self.ask_to_handle(body).await;
        self.posted().await.unwrap().body
    }
}

/// Loopback delivers at once, and the server runs in this thread: it has dealt with what was sent before.
async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

async fn get(server: &Server, query: &str) -> Answer {
    ask(server.url(), &format!("GET /socket/longpoll?vsn=2.0.0{query}"), b"").await
}

/// What was broadcast to `room:1` as this event, alone in an answer.
fn heard(event: &str) -> String {
    format!(r#"{{"messages":["[null,null,\"room:1\",\"{event}\",{{}}]"],"status":200"#)
}
