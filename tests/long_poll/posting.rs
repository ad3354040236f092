//! POSTs: what they carry, and what follows them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use futures::{FutureExt, StreamExt, future::join_all, stream};
use phoenix_streams::{ConnectError, LongPoll, PushError, json};

use super::{
    bed::{Bed, Next, STEP, Sent},
    scripted::{Kind, NOTHING, Request, Seen, messages, within},
};

fn numbers(post: &Request) -> Vec<u64> {
    Sent::all(post).iter().map(|sent| sent.payload["n"].as_u64().unwrap()).collect()
}

impl Bed {
    /// The socket has had its turn, and asked for nothing but a poll.
    async fn posts_nothing(&mut self) {
        self.server.poll(NOTHING);
        let Seen::Asked(Request { kind: Kind::Poll, .. }) = self.server.sees().await else { panic!("a POST") };
        assert!(self.server.seen().is_empty());
    }
}

// L-23, L-25
#[tokio::test]
async fn what_is_sent_at_once_goes_out_in_one_request() {
    let mut bed = Bed::open().await;
    let room = bed.joined("room:1").await;
    let casts = tokio::spawn(join_all((0..5).map(|n| room.cast("e", json!({ "n": n })))));
    let post = bed.server.asked(Kind::Post).await;
    assert_eq!(numbers(&post), [0, 1, 2, 3, 4]);
    assert_eq!(post.header("content-type"), Some("application/x-ndjson"));
    let lines: Vec<&str> = post.body.split('\n').collect();
    assert!(lines.iter().all(|line| line.starts_with('[') && line.ends_with(']')), "{:?}", post.body);
    assert!(within(casts).await.unwrap().iter().all(Result::is_ok));
}

// L-24, L-26
#[tokio::test]
async fn what_is_sent_meanwhile_waits_for_the_next_request_and_no_order_is_lost() {
    let mut bed = Bed::open().await;
    let room = bed.joined("room:1").await;
    bed.server.hold_posts();
    within(room.cast("e", json!({ "n": 0 }))).await.unwrap();
    assert_eq!(numbers(&bed.server.asked(Kind::Post).await), [0]);
    let casts = tokio::spawn(join_all((1..=250).map(|n| room.cast("e", json!({ "n": n })))));
    for batch in [1..=100, 101..=200, 201..=250] {
        bed.posts_nothing().await;
        bed.server.acknowledge();
        assert_eq!(numbers(&bed.server.asked(Kind::Post).await), batch.collect::<Vec<_>>());
    }
    assert!(within(casts).await.unwrap().iter().all(Result::is_ok));
    bed.posts_nothing().await;
    bed.server.acknowledge();
    bed.posts_nothing().await;
    assert_eq!(bed.server.connections(), 2);
}

// L-34
#[tokio::test]
async fn a_request_carries_so_many_bytes_and_a_larger_message_goes_alone() {
    let mut bed =
        Bed::open_with(|builder| builder.transport(LongPoll::default().max_batch_size(300)).join_buffer(1000, 1 << 20))
            .await;
    let room = bed.joined("room:1").await;
    let sizes = [10, 20, 5_000, 10, 10, 200, 200];
    let casts = tokio::spawn(join_all((0..).zip(sizes).map(|(n, size)| {
        let x = "x".repeat(size);
        room.cast("e", json!({ "n": n, "x": x }))
    })));
    let mut batches = Vec::new();
    while batches.iter().map(Vec::len).sum::<usize>() < sizes.len() {
        let post = bed.server.asked(Kind::Post).await;
        let sent = numbers(&post);
        assert!(post.body.len() <= 300 || sent.len() == 1, "{sent:?}: {}", post.body.len());
        batches.push(sent);
    }
    assert_eq!(batches, [vec![0, 1], vec![2], vec![3, 4], vec![5], vec![6]]);
    within(casts).await.unwrap();
}

// L-28, T-27
#[tokio::test]
async fn a_request_that_is_not_acknowledged_in_time_ends_the_session_and_settles_what_it_carried() {
    let timeout = Duration::from_millis(200);
    let mut bed = Bed::open_with(|builder| builder.transport(LongPoll::default().timeout(timeout))).await;
    bed.server.hold_posts();
    let room = bed.socket.channel("room:1");
    let join = tokio::spawn(room.join(()).into_future());
    let post = bed.server.asked(Kind::Post).await;
    bed.server.poll(messages([Sent::all(&post)[0].reply("{}")]));
    within(join).await.unwrap().unwrap();
    let push = tokio::spawn(room.push("e", ()).into_future());
    // The polls go on being answered, so that it can be nothing else.
    let answers = async {
        loop {
            bed.server.poll(NOTHING);
            if bed.server.asked(Kind::Poll).await.connection != 1 {
                break;
            }
        }
    };
    tokio::select! {
        () = answers => panic!("another poll"),
        pushed = within(push) => assert!(matches!(pushed.unwrap(), Err(PushError::Disconnected))),
    }
    let (cause, next) = bed.lost().await;
    assert!(matches!(*cause, ConnectError::RequestTimeout), "{cause:?}");
    assert_eq!(next, Next::Waits(STEP));
}

// Q-15, L-31
#[tokio::test]
async fn a_reply_that_comes_before_the_acknowledgement_settles_its_push() {
    let mut bed = Bed::open().await;
    let room = bed.joined("room:1").await;
    bed.server.hold_posts();
    let push = tokio::spawn(room.push("e", ()).into_future());
    let sent = Sent::all(&bed.server.asked(Kind::Post).await).pop().unwrap();
    bed.server.poll(messages([sent.reply("{}")]));
    within(push).await.unwrap().unwrap();
    bed.server.acknowledge();
    bed.posts_nothing().await;
}

// L-26
#[tokio::test]
async fn joins_and_pushes_keep_their_order_over_all_requests() {
    let mut bed = Bed::open().await;
    let rooms: Vec<_> = (0..60).map(|n| bed.socket.channel(format!("room:{n}"))).collect();
    let mut all = bed.socket.messages();
    rooms.iter().for_each(|room| room.join(()).detach());
    let mut joins = Vec::new();
    while joins.len() < rooms.len() {
        joins.extend(Sent::all(&bed.server.asked(Kind::Post).await));
    }
    assert!(joins.iter().zip(0..).all(|(join, n)| join.topic == format!("room:{n}")), "{joins:?}");
    bed.server.poll(messages(joins.iter().map(|join| join.reply("{}"))));
    for _ in &rooms {
        within(all.next()).await.unwrap().unwrap();
    }
    let casts = (0..300).map(|n| rooms[n % 60].cast("e", json!({ "n": n })));
    let casts = tokio::spawn(join_all(casts));
    let mut sent = Vec::new();
    while sent.len() < 300 {
        sent.extend(numbers(&bed.server.asked(Kind::Post).await));
    }
    assert_eq!(sent, (0..300).collect::<Vec<_>>());
    within(casts).await.unwrap();
}

// B-9, law 12
#[tokio::test]
async fn a_request_that_is_not_acknowledged_holds_casts_and_sinks_back() {
    const SIZE: usize = 10_000;
    const MOST: usize = 3 << 20;
    let mut bed = Bed::open().await;
    let room = bed.joined("room:1").await;
    bed.server.hold_posts();
    let payload = json!({ "x": "x".repeat(SIZE) });
    let taken = Arc::new(AtomicUsize::new(0));
    let counter = taken.clone();
    let count = move || {
        counter.fetch_add(SIZE, Relaxed);
    };
    let casts = (0..300).map(|_| {
        let count = count.clone();
        room.cast("cast", payload.clone()).into_future().inspect(move |_| count())
    });
    let casts = tokio::spawn(join_all(casts));
    let items = stream::iter(vec![payload; 300]).inspect(move |_| count()).map(Ok);
    let sent = tokio::spawn(items.forward(room.sink("sink")));
    bed.server.asked(Kind::Post).await;
    for _ in 0..5 {
        bed.posts_nothing().await;
    }
    let held = taken.load(Relaxed);
    assert!(held < MOST && bed.socket.stats().outgoing_bytes < MOST, "{held}: {:?}", bed.socket.stats());
    let answers = async {
        loop {
            bed.server.acknowledge();
            bed.server.asked(Kind::Post).await;
        }
    };
    tokio::select! {
        () = answers => unreachable!(),
        (sent, casts) = within(async { futures::join!(sent, casts) }) => {
            sent.unwrap().unwrap();
            assert!(casts.unwrap().iter().all(Result::is_ok));
        }
    }
}
