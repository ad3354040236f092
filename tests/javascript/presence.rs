//! Our presence against the official client's own: the same messages to both, and everything compared.
//!
//! They differ in what DEV-17 says, which stands in `lines_of`, in what DEV-18 says, which stands in `deviations`, and in
//! nothing else. Lists are compared as maps: theirs is in the order of insertion, ours by key.

mod deviations;
mod sequences;
mod theirs;

use futures::{FutureExt, StreamExt};
use phoenix_streams::{
    Channel, Latest, Socket,
    transport::memory::{self, Incoming, Peer, PeerConnection},
};
use serde_json::{Value, json};

use self::{
    deviations::{Allowed, Refreshed, in_any_order, without_leaves_of_nobody},
    sequences::{Over, Random, Step},
    theirs::{Shown, theirs},
};
use super::{
    Presence,
    people::{all_told, list, told},
};

/// The messages of so many lives of a list, folded by hand; and of a list behind a channel.
const PURE: u64 = 2_000;
const JOINED: u64 = 1_000;

// P-21, P-37, P-38
#[test]
fn the_fold_is_that_of_the_official_client() {
    if !super::installed() {
        return;
    }
    let cases: Vec<Vec<Step>> = (0..PURE).map(|seed| Random::new(seed).messages()).collect();
    let mut shown = theirs(cases.iter().flat_map(|steps| lines(steps)).collect()).into_iter();
    let mut allowed = Allowed::default();
    for (seed, steps) in cases.iter().enumerate() {
        shown.next().expect("a new list");
        let (mut ours, mut refreshed) = (Presence::<Value>::default(), Refreshed::default());
        let mut before = json!({});
        for step in steps {
            let mut theirs = shown.next().expect("a line for every message");
            let (after, events) = match step {
                Step::State(state) => ours.sync_state(state.payload()).unwrap(),
                Step::Diff(diff) => ours.sync_diff(diff.payload()).unwrap(),
                other => panic!("{other:?}"),
            };
            let mut told = all_told(&events);
            without_leaves_of_nobody(&before, &mut theirs.told, &mut allowed);
            refreshed.apply(step, &mut theirs, &mut allowed);
            if matches!(step, Step::State(_)) {
                in_any_order(&mut theirs.told);
                in_any_order(&mut told);
            }
            assert_eq!(told, theirs.told, "seed {seed}: {step:?} to {before}");
            assert_eq!(list(&after), theirs.list, "seed {seed}: {step:?} to {before}");
            (ours, before) = (after, theirs.list);
        }
    }
    // What is never met is not compared.
    assert!(shown.next().is_none());
    assert!(allowed.leaves_of_nobody > 1_000 && allowed.bodies > 1_000, "{allowed:?}");
}

// P-4, P-5, P-6, P-7, P-9
#[test]
fn the_list_of_a_channel_is_that_of_the_official_client() {
    if !super::installed() {
        return;
    }
    let cases: Vec<Vec<Step>> = (0..JOINED).map(|seed| Random::new(seed).life()).collect();
    let mut shown = theirs(cases.iter().flat_map(|steps| lines(steps)).collect()).into_iter();
    let (mut allowed, mut pending) = (Allowed::default(), 0);
    for (seed, steps) in cases.iter().enumerate() {
        shown.next().expect("a new list");
        paused(async {
            let mut ours = Ours::new().await;
            let mut before = json!({});
            for step in steps {
                let mut told = ours.take(step).await;
                // DEV-18: that a list is stale is said here alone.
                told.retain(|told| told["kind"] != "stale");
                let mut theirs = Shown::default();
                for _ in 0..lines_of(step).len() {
                    theirs.follow(shown.next().expect("a line for every step"));
                }
                without_leaves_of_nobody(&before, &mut theirs.told, &mut allowed);
                if matches!(step, Step::State(_)) {
                    in_any_order(&mut theirs.told);
                    in_any_order(&mut told);
                }
                let now = ours.who.current();
                assert_eq!(told, theirs.told, "seed {seed}: {step:?} to {before}");
                assert_eq!(list(&now), theirs.list, "seed {seed}: {step:?} to {before}");
                assert_eq!(now.pending(), theirs.pending, "seed {seed}: {step:?}");
                pending += usize::from(now.pending() > 0);
                before = theirs.list;
            }
        });
    }
    assert!(shown.next().is_none());
    assert!(allowed.leaves_of_nobody > 100 && pending > 1_000, "{allowed:?}, {pending}");
}

// P-11, DEV-17
#[test]
fn diffs_of_an_older_join_come_back_as_ghosts_there_and_not_here() {
    if !super::installed() {
        return;
    }
    let ann = json!({ "ann": { "metas": [{ "phx_ref": "1" }] } });
    let joins = json!({ "joins": ann, "leaves": {} });
    let sent = [json!(["new"]), json!(["diff", joins]), json!(["join"]), json!(["state", {}])];
    let shown = theirs(sent.iter().map(Value::to_string).collect());
    assert_eq!(shown.last().unwrap().list, ann, "a ghost: then there is nothing to deviate from");
    paused(async {
        let mut ours = Ours::new().await;
        for step in [Step::Diff(joins.into()), Step::Join(Over::Cut), Step::Answer, Step::State(json!({}).into())] {
            ours.take(&step).await;
        }
        assert_eq!(list(&ours.who.current()), json!({}));
    });
}

/// What the official client is to do, DEV-17 included.
fn lines(steps: &[Step]) -> Vec<String> {
    let mut lines = vec![json!(["new"]).to_string()];
    lines.extend(steps.iter().flat_map(lines_of));
    lines
}

/// DEV-17: what waits when a join is sent, and when it is answered, may be of an older join. The state that is to come,
/// which is made behind the answer, has it in it.
fn lines_of(step: &Step) -> Vec<String> {
    let drop = || json!(["drop"]).to_string();
    match step {
        Step::State(state) => vec![format!("[\"state\",{}]", state.text())],
        Step::Diff(diff) => vec![format!("[\"diff\",{}]", diff.text())],
        Step::Join(_) => vec![json!(["join"]).to_string(), drop()],
        Step::Answer => vec![drop()],
    }
}

fn paused(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(test);
}

/// A channel, and the server that it talks to.
struct Ours {
    peer: Peer,
    server: Option<PeerConnection>,
    room: Channel,
    who: Latest<Presence<Value>>,
    events: phoenix_streams::PresenceEvents<Value>,
    join: Incoming,
}

impl Ours {
    /// Its first join was sent.
    async fn new() -> Self {
        let (transport, mut peer) = memory::pair();
        let socket = Socket::builder("ws://memory/socket").transport(transport).seed(7).start().unwrap();
        let room = socket.channel("room:1");
        let (who, events) = (room.presence(), room.presence_events());
        room.join(()).detach();
        let mut server = peer.accept().await;
        let join = phx_join(&mut server).await;
        settle().await;
        Ours { peer, server: Some(server), room, who, events, join }
    }

    /// What is told of this step.
    async fn take(&mut self, step: &Step) -> Vec<Value> {
        let mut server = self.server.take().expect("a connection");
        match step {
            Step::State(state) => server.push(&self.join, "presence_state", state.payload()).await,
            Step::Diff(diff) => server.broadcast("room:1", "presence_diff", diff.payload()).await,
            Step::Answer => server.reply(&self.join, "ok", ()).await,
            Step::Join(over) => {
                match over {
                    Over::Live => self.room.rejoin().detach(),
                    Over::Crash => server.error(&self.join, ()).await,
                    Over::Cut => {
                        server.cut();
                        server = self.peer.accept().await;
                    }
                }
                self.join = phx_join(&mut server).await;
            }
        }
        self.server = Some(server);
        settle().await;
        let mut events = Vec::new();
        while let Some(event) = self.events.next().now_or_never() {
            events.push(told(&event.expect("it goes on").expect("nothing is wrong")));
        }
        events
    }
}

async fn phx_join(server: &mut PeerConnection) -> Incoming {
    loop {
        let message = server.recv().await.expect("the client is there");
        match &*message.event {
            "phx_join" => return message,
            "heartbeat" => server.reply(&message, "ok", ()).await,
            other => panic!("{other}"),
        }
    }
}

async fn settle() {
    for _ in 0..16 {
        tokio::task::yield_now().await;
    }
}
