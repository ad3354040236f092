//! What time does to a session, to the millisecond.

use std::{future::pending, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use tokio::time::{Instant, sleep};

use super::{
    super::{
        super::{ServerBuilder, connect::connect, server::Shared},
        Body, Reply,
        exchange::{Exchange, MOST_CONNECTED},
        resumed::{Resumed, poll, post, resume},
        session::open,
    },
    BEAT, DONE, JOIN, LATE, NOTHING, TIMEOUT, WINDOW, rooms,
};
use crate::json;

/// A session, without a socket.
struct Alone {
    shared: Arc<Shared>,
    token: String,
    opened: Instant,
}

impl Alone {
    async fn open(server: ServerBuilder) -> Self {
        let shared = server.shared();
        let (head, ()) = http::Request::get("/socket/longpoll?vsn=2.0.0").body(()).unwrap().into_parts();
        let info = connect(&head, None, ([127, 0, 0, 1], 1).into(), &shared.app).await.unwrap();
        Alone { token: open(info, &shared).token(), shared, opened: Instant::now() }
    }

    async fn resume(&self) -> Option<Resumed> {
        resume(Some(self.token.clone()), self.shared.clone()).await
    }

    async fn poll(&self) -> String {
        let told = told(poll(self.resume().await.unwrap()).await).await;
        told.split(r#","token":"#).next().unwrap().to_owned()
    }

    async fn post(&self, line: &'static str) -> String {
        told(post(self.resume().await.unwrap(), &HeaderMap::new(), Body::Whole(Bytes::from(line))).await).await
    }

    /// Since it was opened.
    fn elapsed(&self) -> Duration {
        self.opened.elapsed()
    }

    /// Without asking it.
    fn lives(&self) -> bool {
        self.shared.sessions() == 1
    }
}

async fn told(reply: Reply) -> String {
    let Reply::Answer(answer) = reply else { panic!("no answer") };
    String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

fn blocking() -> ServerBuilder {
    rooms().join("blocked", |_, _| async { pending().await }).join("slow", |_, _| async {
        sleep(2 * WINDOW).await;
        Ok(json!({}))
    })
}

// L-13
#[tokio::test(start_paused = true)]
async fn a_poll_ends_at_its_window() {
    let session = Alone::open(rooms()).await;
    assert_eq!(session.poll().await, NOTHING);
    assert_eq!(session.elapsed(), WINDOW);
}

// L-36
#[tokio::test(start_paused = true)]
async fn a_session_that_is_not_polled_ends_however_much_is_posted() {
    let session = Alone::open(rooms()).await;
    let step = WINDOW / 10;
    for _ in 0..29 {
        assert_eq!(session.post(BEAT).await, DONE);
        sleep(step).await;
    }
    assert!(session.lives());
    sleep(step + step / 2).await;
    assert!(!session.lives());
    let asked = Instant::now();
    assert!(session.resume().await.is_none());
    assert_eq!(asked.elapsed(), TIMEOUT);
}

// L-36
#[tokio::test(start_paused = true)]
async fn a_session_lives_while_it_is_polled() {
    let session = Alone::open(rooms()).await;
    for _ in 0..9 {
        assert_eq!(session.poll().await, NOTHING);
        sleep(WINDOW / 3).await;
    }
    assert!(session.lives());
}

// L-27
#[tokio::test(start_paused = true)]
async fn a_line_that_takes_too_long_is_late_and_the_rest_is_left() {
    let session = Alone::open(blocking()).await;
    assert_eq!(session.post(r#"["1","1","blocked","phx_join",{}]"#).await, LATE);
    assert_eq!(session.elapsed(), WINDOW);
    // As good as gone.
    assert!(session.lives());
    assert!(session.resume().await.is_none());
    assert_eq!(session.elapsed(), WINDOW + TIMEOUT);
}

// L-36
#[tokio::test(start_paused = true)]
async fn a_session_that_was_blocked_too_long_ends_once_it_is_not() {
    let session = Alone::open(blocking().pubsub_timeout(2 * WINDOW)).await;
    assert_eq!(session.post(r#"["1","1","slow","phx_join",{}]"#).await, LATE);
    // Its session answers once more, then sees that it has not been polled.
    assert_eq!(session.poll().await, NOTHING);
    assert_eq!(session.elapsed(), 3 * WINDOW);
    assert!(!session.lives());
}

// L-27
#[tokio::test(start_paused = true)]
async fn what_is_no_message_ends_the_session_but_is_told_late() {
    for bad in ["", "[nope", "[]", "{}", "[null,\"1\",\"phoenix\",\n\"heartbeat\",{}]\n[]"] {
        let session = Alone::open(rooms()).await;
        assert_eq!(session.post(JOIN).await, DONE);
        assert_eq!(session.post(bad).await, LATE, "{bad}");
        assert_eq!(session.elapsed(), WINDOW);
        assert!(!session.lives());
        assert_eq!(session.shared.hub.count("room:1"), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn only_so_many_are_opened() {
    let session = Alone::open(rooms()).await;
    let (head, ()) = http::Request::get("/socket/longpoll?vsn=2.0.0").body(()).unwrap().into_parts();
    let peer = ([127, 0, 0, 1], 1).into();
    let open = async || Exchange { head: &head, peer, shared: &session.shared }.reply(Body::Whole(Bytes::new())).await;
    for _ in 1..MOST_CONNECTED {
        assert!(matches!(open().await, Reply::Answer(_)));
    }
    assert!(matches!(open().await, Reply::Raised(StatusCode::SERVICE_UNAVAILABLE)));
    sleep(3 * WINDOW).await;
    assert!(matches!(open().await, Reply::Answer(_)));
}
