//! What goes wrong on command.

use std::time::Instant;

use tokio::{io::AsyncReadExt, time::timeout};

use super::{
    super::super::Fault, BEAT, BEATEN, Client, DONE, LATE, Line, NOTHING, OPENED, TIMEOUT, WINDOW, get, heard, rooms,
    settle,
};
use crate::json;

async fn hangs(answer: impl Future) -> bool {
    timeout(TIMEOUT, answer).await.is_err()
}

// L-37
#[tokio::test]
async fn messages_that_are_lost_are_gone() {
    let server = rooms().start().await.unwrap();
    let mut client = Client::joined(&server).await;
    server.misbehave(Fault::LoseMessages(1));
    assert_eq!(client.poll().await, NOTHING);
    server.broadcast("room:1", "lost", json!({}));
    client.ask_for_messages().await;
    assert_eq!(client.polled().await, None);
    client.polls = Line::to(server.url()).await;
    server.broadcast("room:1", "kept", json!({}));
    assert_eq!(client.poll().await, heard("kept"));
}

// L-27
#[tokio::test]
async fn a_post_whose_ack_is_lost_was_handled() {
    let server = rooms().start().await.unwrap();
    let mut client = Client::joined(&server).await;
    server.misbehave(Fault::LoseAcks(1));
    client.ask_to_handle(BEAT).await;
    assert_eq!(client.posted().await, None);
    assert_eq!(client.poll().await, BEATEN);
    client.posts = Line::to(server.url()).await;
    assert_eq!(client.post(BEAT).await, DONE);
}

// L-28
#[tokio::test]
async fn a_post_that_is_swallowed_was_not_handled() {
    let server = rooms().start().await.unwrap();
    let mut client = Client::joined(&server).await;
    server.misbehave(Fault::SwallowPosts(1));
    client.ask_to_handle(BEAT).await;
    assert!(hangs(client.posted()).await);
    assert_eq!(client.poll().await, NOTHING);
    client.posts = Line::to(server.url()).await;
    assert_eq!(client.post(BEAT).await, DONE);
}

// L-18
#[tokio::test]
async fn a_bad_gateway_answers_with_a_page() {
    let server = rooms().start().await.unwrap();
    let mut client = Client::joined(&server).await;
    server.misbehave(Fault::BadGateway(2));
    client.ask_for_messages().await;
    let page = client.polled().await.unwrap();
    assert_eq!(page.status, "HTTP/1.1 502 Bad Gateway");
    assert!(page.body.starts_with("<html>") && page.headers.contains(&"content-type: text/html".into()), "{page:?}");
    client.ask_to_handle(BEAT).await;
    assert_eq!(client.posted().await.unwrap().status, "HTTP/1.1 502 Bad Gateway");
    assert_eq!(client.poll().await, NOTHING);
}

#[tokio::test]
async fn an_answer_that_is_held_back_is_made_at_once() {
    let server = rooms().start().await.unwrap();
    let mut client = Client::joined(&server).await;
    server.misbehave(Fault::DelayAnswers(TIMEOUT));
    server.broadcast("room:1", "before", json!({}));
    let asked = Instant::now();
    client.ask_for_messages().await;
    settle().await;
    server.broadcast("room:1", "after", json!({}));
    assert_eq!(client.polled().await.unwrap().told(), heard("before"));
    assert!(asked.elapsed() >= TIMEOUT);
}

#[tokio::test]
async fn half_an_answer_is_all_there_is() {
    let server = rooms().start().await.unwrap();
    let mut client = Client::joined(&server).await;
    server.misbehave(Fault::HalfClose(1));
    client.ask_to_handle(BEAT).await;
    let half = client.posted().await.unwrap();
    assert_eq!((&*half.status, &*half.body), ("HTTP/1.1 200 OK", r#"{"statu"#));
    // What is still sent is read: nothing is reset.
    client.ask_to_handle(BEAT).await;
    assert_eq!(client.posts.0.read(&mut [0]).await.unwrap(), 0);
    assert_eq!(client.poll().await, BEATEN);
}

#[tokio::test]
async fn what_hangs_opens_no_session() {
    let server = rooms().start().await.unwrap();
    let mut client = Client::joined(&server).await;
    server.misbehave(Fault::HangHandshake);
    assert_eq!(client.post(BEAT).await, DONE);
    assert_eq!(client.poll().await, BEATEN);
    let mut opening = Box::pin(get(&server, ""));
    assert!(hangs(&mut opening).await);
    server.behave();
    assert_eq!(opening.await.told(), OPENED);
}

#[tokio::test]
async fn a_mute_server_answers_nothing_and_keeps_nothing() {
    let server = rooms().start().await.unwrap();
    let mut client = Client::joined(&server).await;
    server.misbehave(Fault::Mute);
    server.broadcast("room:1", "lost", json!({}));
    client.ask_to_handle(BEAT).await;
    assert!(hangs(client.posted()).await);
    server.behave();
    server.broadcast("room:1", "kept", json!({}));
    assert_eq!(client.poll().await, heard("kept"));
}

#[tokio::test]
async fn a_deaf_server_answers_later() {
    let server = rooms().start().await.unwrap();
    let mut client = Client::joined(&server).await;
    server.misbehave(Fault::Deaf);
    client.ask_to_handle(BEAT).await;
    assert!(hangs(client.posted()).await);
    server.behave();
    assert_eq!(client.posted().await.unwrap().body, DONE);
    assert_eq!(client.poll().await, BEATEN);
}

#[tokio::test]
async fn each_line_is_delayed() {
    let server = rooms().start().await.unwrap();
    let mut client = Client::joined(&server).await;
    server.misbehave(Fault::Delay(WINDOW / 10));
    let asked = Instant::now();
    assert_eq!(client.post(&[BEAT, BEAT].join("\n")).await, DONE);
    assert!(asked.elapsed() >= WINDOW / 5);
    server.misbehave(Fault::Delay(2 * WINDOW));
    assert_eq!(client.post(BEAT).await, LATE);
}

#[tokio::test]
async fn what_befalls_websockets_leaves_it_well() {
    let server = rooms().start().await.unwrap();
    for fault in [Fault::RefuseUpgrades(403), Fault::SwallowFrames, Fault::ResetUpgraded(TIMEOUT)] {
        server.misbehave(fault);
    }
    let mut client = Client::joined(&server).await;
    assert_eq!(client.post(BEAT).await, DONE);
    assert_eq!(client.poll().await, BEATEN);
}
