//! TCP connections: kept for the next request, and never a reason to send one twice.

use std::time::Duration;

use phoenix_streams::{ConnectError, PushError, json};

use super::{
    bed::{Bed, Sent},
    scripted::{ACK, Kind, NOTHING, Step, answer, json as says, messages, within},
};

/// An answer that ends its connection, and says so.
fn last(body: &str) -> Step {
    Step::Ends(answer("200 OK", "connection: close\r\n", body))
}

// L-39
#[tokio::test]
async fn a_connection_that_says_it_ends_is_replaced_for_each_request() {
    let mut bed = Bed::open().await;
    let room = bed.joined("room:1").await;
    for n in 0..20 {
        bed.server.next(Kind::Post, last(ACK));
        within(room.cast("e", json!({ "n": n }))).await.unwrap();
        assert_eq!(Sent::all(&bed.server.asked(Kind::Post).await)[0].payload["n"], n);
        bed.server.next(Kind::Poll, last(NOTHING));
        bed.server.asked(Kind::Poll).await;
    }
    // The first of each kind came over those that were there.
    assert_eq!(bed.server.connections(), 2 + 19 + 20);
    assert!(bed.socket.status().current().is_connected());
}

// L-39, T-27
#[tokio::test]
async fn one_that_ends_while_it_rests_costs_nothing_and_no_post_goes_out_twice() {
    let mut bed = Bed::open().await;
    let room = bed.joined("room:1").await;
    for n in 0..20 {
        // It says nothing of its end, which comes before the next is sent.
        bed.server.next(Kind::Post, Step::Ends(says(ACK)));
        within(room.cast("e", json!({ "n": n }))).await.unwrap();
        let post = bed.server.asked(Kind::Post).await;
        assert_eq!(Sent::all(&post)[0].payload["n"], n);
        let reply = messages([format!(r#"[null,null,"room:1","e",{n}]"#)]);
        let mut all = bed.socket.messages();
        bed.server.poll(reply);
        within(futures::StreamExt::next(&mut all)).await.unwrap().unwrap();
        bed.server.asked(Kind::Poll).await;
    }
    assert!(bed.socket.status().current().is_connected());
    assert!(bed.server.seen().is_empty());
}

// T-27
#[tokio::test]
async fn a_post_whose_connection_ends_unanswered_is_sent_once() {
    for step in [Step::Resets, Step::Ends(Vec::new()), Step::Ends("HTTP/1.1 20".into())] {
        // On the first connection for POSTs, and on one that has carried some.
        for before in [0, 3] {
            let mut bed = Bed::open().await;
            let room = bed.joined("room:1").await;
            for _ in 0..before {
                within(room.cast("before", ())).await.unwrap();
                bed.server.asked(Kind::Post).await;
            }
            bed.server.next(Kind::Post, step.clone());
            let push = tokio::spawn(room.push("once", ()).into_future());
            let post = bed.server.asked(Kind::Post).await;
            assert_eq!(Sent::all(&post)[0].event, "once");
            let Bed { server, .. } = &mut bed;
            server.answer_polls();
            tokio::select! {
                again = server.asked(Kind::Post) => panic!("it is sent twice: {}", again.body),
                pushed = within(push) => assert!(matches!(pushed.unwrap(), Err(PushError::Disconnected))),
            }
            let (cause, _) = bed.lost().await;
            assert!(matches!(*cause, ConnectError::Transport(_)), "{cause:?}");
            within(bed.socket.disconnect()).await;
            within(bed.socket.connect()).await.unwrap();
            bed.server.asked(Kind::Open).await;
            // What goes out on the new session is a join, and nothing of the old one.
            let post = bed.server.asked(Kind::Post).await;
            assert!(Sent::all(&post).iter().all(|sent| sent.event == "phx_join"), "{post:?}");
        }
    }
}

// L-37, T-14
#[tokio::test]
async fn a_poll_whose_connection_ends_unanswered_ends_the_session() {
    for step in [Step::Resets, Step::Ends(Vec::new())] {
        let mut bed = Bed::open().await;
        bed.server.next(Kind::Poll, step);
        let (cause, _) = bed.lost().await;
        assert!(matches!(*cause, ConnectError::Transport(_)), "{cause:?}");
        // What it had brought is lost: to ask again would hide that.
        assert_eq!(bed.server.connections(), 1);
    }
}

// L-39
#[tokio::test]
async fn http_1_0_is_understood() {
    let old = |body: &str| Step::Ends(format!("HTTP/1.0 200 OK\r\n\r\n{body}").into_bytes());
    let mut bed = Bed::open().await;
    let room = bed.joined("room:1").await;
    for _ in 0..3 {
        bed.server.next(Kind::Post, old(ACK));
        within(room.cast("e", ())).await.unwrap();
        bed.server.asked(Kind::Post).await;
        bed.server.next(Kind::Poll, old(NOTHING));
        bed.server.asked(Kind::Poll).await;
    }
    assert!(bed.socket.status().current().is_connected());
}

// L-22, L-39
#[tokio::test]
async fn a_new_session_has_connections_of_its_own() {
    let quick = phoenix_streams::Backoff::steps([Duration::ZERO]);
    let mut bed = Bed::open_with(|builder| builder.reconnect(quick)).await;
    let room = bed.joined("room:1").await;
    bed.server.poll(r#"{"status":410}"#);
    let open = bed.server.asked(Kind::Open).await;
    let (poll, post) = (bed.server.asked(Kind::Poll).await, bed.server.asked(Kind::Post).await);
    assert_eq!((open.connection, poll.connection, post.connection), (3, 3, 4));
    drop(room);
}

// L-39
#[tokio::test]
async fn one_that_its_server_has_ended_is_given_back_at_once() {
    let mut bed = Bed::open().await;
    let room = bed.joined("room:1").await;
    bed.server.next(Kind::Post, Step::HalfCloses(says(ACK)));
    within(room.cast("e", ())).await.unwrap();
    bed.server.gone(Kind::Post).await;
    within(room.cast("e", ())).await.unwrap();
    assert_eq!(bed.server.asked(Kind::Post).await.connection, 3);
}
