//! Polls, and what they bring.

use std::time::{Duration, Instant};

use futures::StreamExt;
use phoenix_streams::{ConnectError, LongPoll, Telemetry, json};

use super::{
    bed::{Bed, Sent},
    scripted::{Kind, NOTHING, Seen, Step, answer, json as says, messages, within},
};

// L-11
#[tokio::test]
async fn the_token_of_each_answer_replaces_the_last_and_is_kept_where_none_comes() {
    let mut bed = Bed::open().await;
    let room = bed.joined("room:1").await;
    for (token, expected) in [
        (r#","token":"token-2""#, "token-2"),
        ("", "token-2"),
        (r#","token":null"#, "token-2"),
        (r#","token":"token-3""#, "token-3"),
    ] {
        bed.server.poll(format!(r#"{{"status":204{token}}}"#));
        let poll = bed.server.asked(Kind::Poll).await;
        assert_eq!(poll.header("x-phoenix-longpoll-token"), Some(expected));
        assert!(poll.line.ends_with(&format!("&token={expected} HTTP/1.1")), "{}", poll.line);
        within(room.cast("e", ())).await.unwrap();
        let post = bed.server.asked(Kind::Post).await;
        assert_eq!(post.header("x-phoenix-longpoll-token"), Some(expected));
    }
}

// L-11
#[tokio::test]
async fn an_answer_whose_token_cannot_be_sent_ends_the_session() {
    let mut bed = Bed::open().await;
    bed.server.poll(r#"{"status":204,"token":"two\nlines"}"#);
    let (cause, _) = bed.lost().await;
    assert!(matches!(&*cause, ConnectError::Handshake(_)), "{cause:?}");
}

// L-12, M-1
#[tokio::test]
async fn messages_are_handed_on_in_order() {
    let mut bed = Bed::open().await;
    let room = bed.joined("room:1").await;
    let mut numbers = room.events_as::<usize>("n");
    let mut expected = 0..3_000;
    for count in [1, 0, 2_500, 499] {
        let frames = expected.clone().take(count).map(|n| format!(r#"[null,null,"room:1","n",{n}]"#));
        bed.server.poll(messages(frames));
        bed.server.asked(Kind::Poll).await;
        for n in expected.by_ref().take(count) {
            assert_eq!(within(numbers.next()).await.unwrap().unwrap(), n);
        }
    }
}

// L-13, L-21, L-31
#[tokio::test]
async fn one_poll_waits_always_and_posts_go_beside_it() {
    let mut bed = Bed::open().await;
    let room = bed.joined("room:1").await;
    for n in 0..50 {
        match n % 3 {
            0 => bed.server.poll(NOTHING),
            1 => bed.server.poll(messages([r#"[null,null,"room:1","e",{}]"#])),
            _ => bed.server.poll(r#"{"status":200,"messages":null}"#),
        }
        // That there are never two at once, the server asserts.
        assert_eq!(bed.server.asked(Kind::Poll).await.connection, 1);
        within(room.cast("e", ())).await.unwrap();
        assert_eq!(bed.server.asked(Kind::Post).await.connection, 2);
    }
    assert_eq!(bed.server.connections(), 2);
    assert!(bed.socket.status().current().is_connected());
}

// L-8, H-10, H-12, F-12
#[tokio::test]
async fn no_heartbeats_are_sent_and_a_ping_is_answered() {
    const INTERVAL: Duration = Duration::from_millis(5);
    let mut bed = Bed::open_with(|builder| builder.heartbeat(INTERVAL)).await;
    let (mut latency, begin) = (bed.socket.latency(), Instant::now());
    assert_eq!(latency.current(), None);
    // For as long as many heartbeats would take.
    while begin.elapsed() < INTERVAL * 20 {
        bed.server.poll(NOTHING);
        bed.server.asked(Kind::Poll).await;
    }
    assert!(bed.server.seen().is_empty());
    let ping = tokio::spawn(bed.socket.ping().into_future());
    let post = bed.server.asked(Kind::Post).await;
    let [sent] = &Sent::all(&post)[..] else { panic!("{post:?}") };
    assert_eq!((&*sent.topic, &*sent.event, &sent.join_ref), ("phoenix", "heartbeat", &None));
    bed.server.poll(messages([sent.reply("{}")]));
    let round_trip = within(ping).await.unwrap().unwrap();
    assert_eq!(within(latency.wait_for(Option::is_some)).await.unwrap(), Some(round_trip));
}

// L-32, W-32
#[tokio::test]
async fn a_binary_message_that_is_text_arrives() {
    let mut bed = Bed::open().await;
    let room = bed.joined("room:1").await;
    let mut all = room.messages();
    let broadcast = "\u{2}\u{6}\u{1}room:1b\u{0}\u{1}\"\u{7f}\u{fc}";
    assert_eq!(bed.join_ref.len(), 1);
    let push = format!("\u{0}\u{1}\u{6}\u{1}{}room:1p", bed.join_ref);
    bed.server.poll(messages([broadcast, &push, r#"[null,null,"room:1","t",{}]"#]));
    let message = within(all.next()).await.unwrap().unwrap();
    assert_eq!((message.event(), message.payload().is_binary()), ("b", true));
    assert_eq!(message.payload().as_bytes(), "\u{0}\u{1}\"\u{7f}\u{fc}".as_bytes());
    let message = within(all.next()).await.unwrap().unwrap();
    assert_eq!((message.event(), message.payload().is_binary(), message.payload().as_bytes().len()), ("p", true, 0));
    assert_eq!(within(all.next()).await.unwrap().unwrap().event(), "t");
}

// W-32, L-32
#[tokio::test]
async fn a_binary_reply_that_is_text_settles_its_push() {
    let mut bed = Bed::open().await;
    let room = bed.joined("room:1").await;
    let push = tokio::spawn(room.push("e", ()).into_future());
    let post = bed.server.asked(Kind::Post).await;
    let reference = Sent::all(&post)[0].reference.clone().unwrap();
    assert_eq!((bed.join_ref.len(), reference.len()), (1, 1));
    bed.server.poll(messages([format!("\u{1}\u{1}\u{1}\u{6}\u{2}{}{reference}room:1okbytes", bed.join_ref)]));
    let reply = within(push).await.unwrap().unwrap();
    assert_eq!((reply.status(), reply.payload().as_bytes()), ("ok", &b"bytes"[..]));
}

// T-7, DEV-21
#[tokio::test]
async fn what_is_no_message_costs_that_one_and_what_is_no_string_the_connection() {
    let mut bed = Bed::open().await;
    let room = bed.joined("room:1").await;
    let mut all = room.messages();
    let good = r#"[null,null,"room:1","e",{}]"#;
    bed.server.poll(messages(["", "nonsense", "[]", "\u{2}\u{9}", "\u{3}", good]));
    let told = bed.telemetry_until(|told| matches!(told, Telemetry::Undecodable { .. })).await;
    assert!(!told.iter().any(|told| matches!(told, Telemetry::Closed { .. })));
    for _ in 0..4 {
        bed.telemetry_until(|told| matches!(told, Telemetry::Undecodable { .. })).await;
    }
    assert_eq!(within(all.next()).await.unwrap().unwrap().event(), "e");
    let body = json!({ "status": 200, "messages": [good, { "not": "text" }, good] }).to_string();
    bed.server.poll(body);
    assert_eq!(within(all.next()).await.unwrap().unwrap().event(), "e");
    let (cause, _) = bed.lost().await;
    assert!(cause.to_string().contains("a message of its answer is no text"), "{cause}");
}

// L-19
#[tokio::test]
async fn a_poll_that_is_not_answered_in_time_ends_the_session() {
    let timeout = Duration::from_millis(50);
    let mut bed = Bed::open_with(|builder| builder.transport(LongPoll::default().timeout(timeout))).await;
    let (cause, next) = bed.lost().await;
    assert!(matches!(*cause, ConnectError::RequestTimeout), "{cause:?}");
    assert_eq!(next, super::bed::Next::Waits(super::bed::STEP));
    bed.server.gone(Kind::Poll).await;
}

// L-19
#[tokio::test]
async fn a_timeout_may_be_as_long_as_can_be_said() {
    let mut bed = Bed::open_with(|builder| builder.transport(LongPoll::default().timeout(Duration::MAX))).await;
    bed.server.poll(NOTHING);
    bed.server.asked(Kind::Poll).await;
    bed.joined("room:1").await;
}

// L-20, L-22
#[tokio::test]
async fn a_session_that_ended_asks_nothing_more() {
    let mut bed = Bed::open().await;
    let room = bed.joined("room:1").await;
    bed.server.next(Kind::Post, Step::Says(says(r#"{"status":500}"#)));
    within(room.cast("e", ())).await.unwrap();
    bed.lost().await;
    // The poll that was open is given up, and nothing is asked in its place.
    assert!(bed.server.gone(Kind::Poll).await.iter().all(|asked| asked.kind == Kind::Post));
    assert!(bed.server.seen().is_empty());
}

// L-18
#[tokio::test]
async fn what_an_answer_has_beside_its_status_does_not_matter() {
    let mut bed = Bed::open().await;
    let room = bed.joined("room:1").await;
    let mut all = room.messages();
    let frame = r#"[null,null,\"room:1\",\"e\",{}]"#;
    for step in [
        says(format!(" {{ \"more\": {{}}, \"messages\" : [\n\"{frame}\" ]\t, \"status\":200}}\n")),
        answer("201 Created", "content-type: text/html\r\ncontent-encoding: Identity\r\n", {
            format!(r#"{{"status":200,"messages":["{frame}"]}}"#)
        }),
        format!(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x\r\n\r\nf;ext=1\r\n{{\"status\":200, \r\n{:x}\r\n\
             \"messages\":[\"{frame}\"]}}\r\n0\r\nx: y\r\n\r\n",
            frame.len() + 16
        )
        .into_bytes(),
    ] {
        bed.server.next(Kind::Poll, Step::Says(step));
        assert_eq!(within(all.next()).await.unwrap().unwrap().event(), "e");
        assert_eq!(bed.server.asked(Kind::Poll).await.connection, 1);
    }
    assert!(bed.server.seen().iter().all(|seen| matches!(seen, Seen::Asked(asked) if asked.kind == Kind::Post)));
}
