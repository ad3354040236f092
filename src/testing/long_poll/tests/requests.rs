//! Sessions as their clients see them.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::io::AsyncReadExt;

use super::{
    super::super::Refuse, BEAT, BEATEN, Client, DONE, GONE, Line, NOTHING, OPENED, TIMEOUT, WINDOW, ask, get, heard,
    rooms, settle,
};
use crate::{json, transport::Frame};

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

// L-31
#[tokio::test]
async fn a_newer_poll_takes_the_place_of_an_older() {
    let server = rooms().start().await.unwrap();
    let mut client = Client::joined(&server).await;
    let asked = Instant::now();
    client.ask_for_messages().await;
    settle().await;
    let mut older = std::mem::replace(&mut client.polls, Line::to(server.url()).await);
    client.ask_for_messages().await;
    settle().await;
    server.broadcast("room:1", "news", json!({}));
    assert_eq!(client.polled().await.unwrap().told(), heard("news"));
    assert_eq!(older.next().await.unwrap().told(), NOTHING);
    assert!(asked.elapsed() >= WINDOW);
}

// L-14, L-38
#[tokio::test]
async fn a_session_that_is_gone_is_looked_for() {
    let server = rooms().start().await.unwrap();
    let mut client = Client::joined(&server).await;
    client.ask_for_messages().await;
    settle().await;
    server.close_all(1001);
    server.wait_for_connections(0).await;
    assert_eq!(client.polled().await.unwrap().told(), NOTHING);
    let asked = Instant::now();
    assert_eq!(client.poll().await, OPENED);
    assert!(asked.elapsed() >= TIMEOUT);
    assert_eq!(client.post(BEAT).await, GONE);
    assert!(asked.elapsed() >= 2 * TIMEOUT);
    assert_eq!(server.sessions(), 1);
}

// L-38
#[tokio::test]
async fn a_token_of_another_server_is_known_as_one() {
    let server = rooms().window(Duration::from_secs(9)).start().await.unwrap();
    let (mut client, other) = (Client::joined(&server).await, rooms().start().await.unwrap());
    drop(server);
    assert_eq!(client.posts.0.read(&mut [0]).await.unwrap(), 0);
    let asked = Instant::now();
    assert_eq!(get(&other, &format!("&token={}", client.token)).await.told(), OPENED);
    assert!(asked.elapsed() >= TIMEOUT);
    let slow = rooms().pubsub_timeout(Duration::from_secs(999)).start().await.unwrap();
    assert_eq!(get(&slow, "&token=garbage").await.told(), OPENED);
    client.posts = Line::to(slow.url()).await;
    client.token = "garbage".into();
    assert_eq!(client.post(BEAT).await, GONE);
}

// L-6
#[tokio::test]
async fn the_header_counts_before_the_param_but_not_for_an_older_server() {
    for (header, told) in [(true, OPENED), (false, NOTHING)] {
        let server = rooms().long_poll_token_header(header).start().await.unwrap();
        let client = Client::joined(&server).await;
        let garbage = format!("&token={}\nX-Phoenix-LongPoll-Token: garbage", client.token);
        let (first, header) = garbage.split_once('\n').unwrap();
        let request = format!("GET /socket/longpoll?vsn=2.0.0{first}\n{header}");
        assert_eq!(ask(server.url(), &request, b"").await.told(), told);
        let request = format!("GET /socket/longpoll?vsn=2.0.0\nX-Phoenix-LongPoll-Token: {}", client.token);
        assert_eq!(ask(server.url(), &request, b"").await.told(), if told == OPENED { NOTHING } else { OPENED });
    }
}

// L-37
#[tokio::test]
async fn a_poll_that_was_given_up_swallows_what_comes_next() {
    let server = rooms().start().await.unwrap();
    let mut client = Client::joined(&server).await;
    client.ask_for_messages().await;
    client.polls = Line::to(server.url()).await;
    settle().await;
    server.broadcast("room:1", "swallowed", json!({}));
    settle().await;
    server.broadcast("room:1", "kept", json!({}));
    assert_eq!(client.poll().await, heard("kept"));
}

// L-9
#[tokio::test]
async fn it_can_be_off_or_elsewhere() {
    let off = rooms().long_poll(false).start().await.unwrap();
    assert_eq!(get(&off, "").await.status, "HTTP/1.1 404 Not Found");
    let elsewhere = rooms().mount("/live").long_poll_path("/lp").start().await.unwrap();
    assert_eq!(ask(elsewhere.url(), "GET /live/lp?vsn=2.0.0", b"").await.told(), OPENED);
    assert_eq!(get(&elsewhere, "").await.status, "HTTP/1.1 404 Not Found");
}

// N-2
#[tokio::test]
async fn the_next_that_would_open_are_refused_as_before_phoenix() {
    let server = rooms().start().await.unwrap();
    let mut client = Client::joined(&server).await;
    server.refuse_next_with(Refuse::new(429).header("retry-after", "7").body("busy"), 1);
    assert_eq!(client.post(BEAT).await, DONE);
    assert_eq!(client.poll().await, BEATEN);
    let refused = get(&server, "").await;
    assert_eq!((&*refused.status, &*refused.body), ("HTTP/1.1 429 Too Many Requests", "busy"));
    assert_eq!(refused.headers, ["connection: close", "content-length: 4", "retry-after: 7"]);
    assert_eq!(get(&server, "").await.told(), OPENED);
}

#[tokio::test]
async fn a_cut_ends_sessions_and_their_connections() {
    let server = rooms().start().await.unwrap();
    let mut client = Client::joined(&server).await;
    client.ask_for_messages().await;
    server.drop_connections();
    assert_eq!((client.polled().await, client.posted().await), (None, None));
    server.wait_for_connections(0).await;
    assert_eq!(server.channels("room:1"), 0);
}

#[tokio::test]
async fn a_server_that_is_gone_leaves_nothing_behind() {
    let held = Arc::new(());
    let left = Arc::downgrade(&held);
    let server = rooms().on("room:*", "hold", move |_, _| {
        let held = held.clone();
        async move { Err(json!(Arc::strong_count(&held))) }
    });
    let server = server.start().await.unwrap();
    let mut client = Client::joined(&server).await;
    client.ask_for_messages().await;
    settle().await;
    drop(server);
    assert_eq!((client.polled().await, client.posted().await), (None, None));
    while left.upgrade().is_some() {
        tokio::task::yield_now().await;
    }
}

// L-32
#[tokio::test]
async fn garbage_comes_with_the_next_poll() {
    let server = rooms().start().await.unwrap();
    let mut client = Client::joined(&server).await;
    server.send_raw(Frame::Text("{not json".into()));
    server.send_raw(Frame::Binary(b"\x02\x01".to_vec().into()));
    assert_eq!(client.poll().await, r#"{"messages":["{not json","\u0002\u0001"],"status":200"#);
    server.send_raw(Frame::Text("[1]".into()));
    server.send_raw(Frame::Binary(vec![0xff].into()));
    client.ask_for_messages().await;
    assert_eq!(client.polled().await.unwrap().status, "HTTP/1.1 500 Internal Server Error");
    assert_eq!(client.polled().await, None);
    client.polls = Line::to(server.url()).await;
    assert_eq!(client.poll().await, NOTHING);
}
