//! Sessions as their clients see them, over raw HTTP.

#[path = "../../../tests/transcripts/polls.rs"]
mod polls;

use std::time::{Duration, Instant};

use self::polls::{Answer, Line, ask};
use super::super::{Server, ServerBuilder};
use crate::json;

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

// L-10, L-12, L-13, L-31
#[tokio::test]
async fn a_session_opens_takes_posts_and_is_polled() {
    let server = rooms().start().await.unwrap();
    let mut client = Client::joined(&server).await;
    assert_eq!((server.connections(), server.sessions(), server.channels("room:1")), (1, 1, 1));
    client.ask_for_messages().await;
    assert_eq!(client.post(BEAT).await, DONE);
    assert_eq!(client.polled().await.unwrap().told(), BEATEN);
    let asked = Instant::now();
    assert_eq!(client.poll().await, NOTHING);
    assert!(asked.elapsed() >= WINDOW);
}
