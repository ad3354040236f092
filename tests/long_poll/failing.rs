//! A POST that fails, and what the open poll still brings; and polls that go on for the answers to what was sent.

use std::time::{Duration, Instant};

use futures::StreamExt;
use phoenix_streams::{Backoff, ConnectError, PushError, json};

use super::{
    bed::{Bed, Sent},
    scripted::{Kind, NOTHING, Step, answer, messages, within},
};

const PATIENCE: Duration = Duration::from_millis(1_500);

fn is_500(cause: &ConnectError) -> bool {
    matches!(cause, ConnectError::Refused(refusal) if refusal.status() == 500)
}

// L-27, L-37
#[tokio::test]
async fn what_the_server_hands_over_beside_a_post_that_fails_is_not_lost() {
    let mut bed = Bed::open().await;
    let room = bed.joined("room:1").await;
    let mut events = room.events_as::<u32>("n");
    bed.server.hold_posts();
    let push = tokio::spawn(room.push("e", json!({})).into_future());
    bed.server.asked(Kind::Post).await;
    bed.server.next(Kind::Post, Step::Ends(answer("500 No", "", "")));
    // The client has taken note of that, and asks no more.
    assert!(within(bed.server.sees_within(PATIENCE / 5)).await.is_none());
    bed.server.poll(messages([r#"[null,null,"room:1","n",1]"#, r#"[null,null,"room:1","n",2]"#]));
    let (cause, _) = bed.lost().await;
    assert!(is_500(&cause), "{cause:?}");
    assert_eq!([within(events.next()).await.unwrap().unwrap(), within(events.next()).await.unwrap().unwrap()], [1, 2]);
    assert!(matches!(within(push).await.unwrap(), Err(PushError::Disconnected)));
}

// L-27
#[tokio::test]
async fn a_poll_beside_a_post_that_fails_is_given_up_in_time() {
    let mut bed = Bed::open().await;
    let room = bed.joined("room:1").await;
    bed.server.next(Kind::Post, Step::Ends(answer("500 No", "", "")));
    let begin = Instant::now();
    within(room.cast("e", json!({}))).await.unwrap();
    let (cause, _) = bed.lost().await;
    assert!(is_500(&cause), "{cause:?}");
    assert!(begin.elapsed() >= PATIENCE && begin.elapsed() < 2 * PATIENCE, "{:?}", begin.elapsed());
}

// L-20
#[tokio::test]
async fn a_goodbye_reads_the_answers_to_what_was_sent_before_it() {
    let mut bed = Bed::open().await;
    let room = bed.joined("room:1").await;
    bed.server.hold_posts();
    let push = tokio::spawn(room.push("e", json!({})).into_future());
    let sent = Sent::all(&bed.server.asked(Kind::Post).await).pop().unwrap();
    let disconnect = tokio::spawn(bed.socket.disconnect().into_future());
    // The open poll is answered before the POST is: it cannot have brought the reply.
    bed.server.poll(NOTHING);
    bed.server.asked(Kind::Poll).await;
    bed.server.acknowledge();
    bed.server.poll(messages([sent.reply("{}")]));
    assert!(within(push).await.unwrap().is_ok());
    // Nor can this one, or another one yet, if it went out before.
    let quiet = async {
        for asked in 0.. {
            assert!(asked < 3, "it asks for ever");
            bed.server.asked(Kind::Poll).await;
            bed.server.poll(NOTHING);
        }
    };
    tokio::select! { () = quiet => unreachable!(), ended = within(disconnect) => ended.unwrap() }
}

// Law 3, DEV-10
#[tokio::test]
async fn what_is_cast_behind_a_post_that_failed_goes_out_on_the_next_session() {
    let mut bed = Bed::open_with(|builder| builder.reconnect(Backoff::steps([Duration::ZERO]))).await;
    let room = bed.joined("room:1").await;
    bed.server.next(Kind::Post, Step::Stalls(answer("500 No", "", "")));
    within(room.cast("first", ())).await.unwrap();
    // The client knows that nothing goes out any more.
    bed.server.gone(Kind::Post).await;
    let cast = tokio::spawn(room.cast("second", ()).into_future());
    bed.server.asked(Kind::Open).await;
    let join = Sent::all(&bed.server.asked(Kind::Post).await).pop().unwrap();
    bed.server.poll(messages([join.reply("{}")]));
    let sent = Sent::all(&bed.server.asked(Kind::Post).await);
    assert_eq!(sent.iter().map(|sent| &*sent.event).collect::<Vec<_>>(), ["second"]);
    within(cast).await.unwrap().unwrap();
}
