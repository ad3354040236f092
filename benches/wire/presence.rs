//! Who is present: the fold against that of Phoenix' own client, and what it costs those who do not ask.

use std::{hint::black_box, net::SocketAddr, time::Instant};

use futures::StreamExt;
use phoenix_streams::{
    Channel, Payload, Presence, Socket,
    transport::{Frame, memory},
};

use crate::{
    machine::{Kind, fresh, median, rate, resident},
    people::{LAST, Meta, People, PhoenixJs},
    receive::join,
    server::{self, Event, Flood},
};

const ROUNDS: usize = 5;
const FEW: usize = 1_000;
const MANY: usize = 100_000;
const DIFFS: usize = 10_000;
/// So many lists are kept, each with one more diff in it.
const HELD: usize = 1_000;

type List = Presence<Meta>;

pub(crate) fn run() {
    println!("## presence: one meta a key, and diffs of one join and one leave\n");
    println!("| | phoenix.js/ours | aim | ours | phoenix.js |");
    println!("|---|--:|--:|--:|--:|");
    let [few, many] = [FEW, MANY].map(folds);
    println!("\n| | figure | aim |");
    println!("|---|--:|--:|");
    println!("| one diff among {MANY}, as against {FEW} | {:.2} | < 2 |", many / few);
    println!("| memory for each of {HELD} lists kept, and for one alone | {} | |", fresh(&["lists"]));
    let server = server::address();
    for (name, before, aim) in [("", None, ">= 0.95"), (", every other one", Some(Event::Another), "")] {
        let figure = ignored(server, before);
        println!("| messages of presence that nobody reads{name}, as against others | {figure:.2} | {aim} |");
    }
    println!();
}

/// The rows of so many people. The microseconds of one diff.
fn folds(count: usize) -> f64 {
    let people = People::new(count, DIFFS);
    let mut js = PhoenixJs::start(&people);
    if js.is_none() {
        eprintln!("without Node.js and `npm ci --prefix tests/js` there is no phoenix.js to compare with");
    }
    let (mut ours, mut decoded, mut items, mut flood, mut theirs) = (vec![], vec![], vec![], vec![], vec![]);
    for _ in 0..ROUNDS {
        ours.push(fold(&people, false));
        theirs.extend(js.as_mut().map(PhoenixJs::fold));
        decoded.push(fold(&people, true));
        items.push(Kind::Current.run(|| channel(&people, 1)));
        flood.push(Kind::Current.run(|| channel(&people, DIFFS)));
    }
    let medians = |figures: Vec<(f64, f64)>| {
        let (states, diffs): (Vec<_>, Vec<_>) = figures.into_iter().unzip();
        (median(states), median(diffs))
    };
    let theirs = js.map(|_| medians(theirs));
    let row = |name: &str, aim: &str, ours: f64, theirs: Option<f64>, unit: &str| {
        let [ratio, theirs] = match theirs {
            Some(theirs) => [format!("{:.1}", theirs / ours), format!("{theirs:.2} {unit}")],
            None => [String::new(), String::new()],
        };
        println!("| {name} | {ratio} | {aim} | {ours:.2} {unit} | {theirs} |");
    };
    let [state, diff] = [theirs.map(|theirs| theirs.0), theirs.map(|theirs| theirs.1)];
    let [ours, decoded, items, flood] = [ours, decoded, items, flood].map(medians);
    let aim = if count == MANY { ">= 10" } else { "" };
    row(&format!("a state of {count}"), "", ours.0, state, "ms");
    row(&format!("a diff among {count}"), aim, ours.1, diff, "us");
    row("and what it changed, decoded", "", decoded.1, diff, "us");
    row("the same of a channel, an item for every diff", "", items.1, diff, "us");
    row("the same of a channel, in a flood", "", flood.1, diff, "us");
    ours.1
}

/// By the pure functions: milliseconds of the state, and microseconds of a diff.
fn fold(people: &People, decode: bool) -> (f64, f64) {
    let start = Instant::now();
    let (mut list, _) = List::default().sync_state(&people.state).expect("a state");
    let state = start.elapsed();
    let start = Instant::now();
    for diff in &people.diffs {
        list = list.sync_diff(diff).expect("a diff").0;
        if decode {
            look(&list);
        }
    }
    (state.as_secs_f64() * 1e3, start.elapsed().as_secs_f64() * 1e6 / people.diffs.len() as f64)
}

/// Decodes whatever came and went.
fn look(list: &List) {
    for change in list.changes() {
        for meta in change.came().into_iter().chain(change.went()) {
            black_box((&meta.reference, &meta.since, &meta.status));
        }
    }
}

/// The same by a reader of a channel, where so many diffs come at a time.
fn channel(people: &People, at_once: usize) -> impl Future<Output = (f64, f64)> + Send + use<> {
    let frame =
        |event: &str, payload: &Payload| Frame::Text(format!(r#"[null,null,"room:0","{event}",{payload}]"#).into());
    let state = frame("presence_state", &people.state);
    let diffs: Vec<_> = people.diffs.iter().chain([&People::end()]).map(|diff| frame("presence_diff", diff)).collect();
    async move {
        let (mut server, room) = joined().await;
        let mut lists = room.presence::<Meta>();
        assert!(lists.next().await.expect("a list").is_empty());
        let start = Instant::now();
        server.send(state).await;
        let mut list = lists.next().await.expect("a list");
        let synced = start.elapsed();
        let start = Instant::now();
        for some in diffs.chunks(at_once) {
            for diff in some {
                server.send(diff.clone()).await;
            }
            list = lists.next().await.expect("a list");
            look(&list);
        }
        while list.get(LAST).is_none() {
            list = lists.next().await.expect("a list");
            look(&list);
        }
        (synced.as_secs_f64() * 1e3, start.elapsed().as_secs_f64() * 1e6 / DIFFS as f64)
    }
}

/// A joined channel with room for a large list, and its server's end.
async fn joined() -> (memory::PeerConnection, Channel) {
    let (transport, mut peer) = memory::pair();
    let builder = Socket::builder("ws://memory").transport(transport);
    let socket = builder.queue_limits(256 << 20, 1 << 30).start().expect("a socket");
    let room = socket.channel("room:0");
    let join = tokio::spawn(room.join(()));
    let mut server = peer.accept().await;
    let asked = server.recv().await.expect("a join");
    server.reply(&asked, "ok", ()).await;
    join.await.expect("a task").expect("a reply");
    (server, room)
}

/// What lists that are kept take in memory, and what one takes that shares nothing.
pub(crate) fn lists() {
    let people = People::new(MANY, DIFFS);
    let next = |list: &mut List, diff: &Payload| *list = list.sync_diff(diff).expect("a diff").0;
    let mut list = List::default();
    let before = resident();
    // A whole state at once leaves behind memory that is free, and would hide what is kept.
    People::one_by_one(MANY).for_each(|diff| next(&mut list, &diff));
    let alone = resident() - before;
    let (warm, diffs) = people.diffs.split_at(HELD);
    warm.iter().for_each(|diff| next(&mut list, diff));
    let before = resident();
    let mut kept = Vec::new();
    for diff in &diffs[..HELD] {
        next(&mut list, diff);
        kept.push(list.clone());
    }
    let each = (resident() - before) / HELD;
    println!("{:.1} KB, {:.1} MB", each as f64 / 1e3, alone as f64 / 1e6);
}

/// How fast messages of presence come through that nobody asked for, as against others that nobody reads; with another
/// one before each of them.
fn ignored(server: SocketAddr, before: Option<Event>) -> f64 {
    median((0..2 * ROUNDS + 1).map(|_| {
        let [others, presence] = [Event::Other, Event::PresenceDiff].map(|event| {
            let flood = Flood { events: [before.unwrap_or(event), event], ..Flood::of(195, 300_000) };
            Kind::Current.run(|| through(server, flood))
        });
        presence / others
    }))
}

/// Messages a second, with nobody there to read them.
async fn through(server: SocketAddr, flood: Flood) -> f64 {
    let (_socket, room) = join(server).await;
    let mut end = room.events("msg");
    let state = Flood { events: [Event::PresenceState; 2], ..Flood::of(100_000, 1) };
    let start = Instant::now();
    for flood in [state, flood, Flood::of(16, 1)] {
        room.cast("go", flood).await.expect("a cast");
    }
    end.next().await.expect("a stream").expect("a message");
    rate(flood.frames, start)
}

/// The fold alone, to be profiled.
pub(crate) fn alone(count: usize, diffs: usize) {
    let (state, diff) = fold(&People::new(count, diffs), false);
    println!("{state:.1} ms, {diff:.2} us");
}
