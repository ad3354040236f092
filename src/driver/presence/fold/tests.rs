//! The fold by hand: states, diffs and joins in any order.

use futures::{FutureExt, StreamExt};
use serde_json::{Value, json};

use super::*;
use crate::{
    payload::IntoPayload,
    presence::{Presence, PresenceEvent, tests::people},
    streams::feed::{Bounds, Feed, feed},
};

struct Bed {
    fold: Fold,
    told: Feed<Told>,
}

impl Bed {
    /// A join was sent and answered.
    fn joined() -> Self {
        let mut bed = Bed::new();
        bed.join();
        bed
    }

    fn new() -> Self {
        Bed::bounded(1 << 20)
    }

    /// A list of no more than so many bytes.
    fn bounded(limit: usize) -> Self {
        let budget = Budget::new(1 << 20);
        let mut fold = Fold::new("room:1".into(), PresenceNames::default(), limit, budget);
        let (writer, told) = feed(Bounds { items: usize::MAX, bytes: 1 << 20, budget: None });
        fold.take(Item::Listen(writer), Charge::default(), &mut 0);
        Bed { fold, told }
    }

    fn take(&mut self, item: Item) {
        self.fold.take(item, Charge::default(), &mut 0);
        assert!(self.fold.advance(&mut usize::MAX.clone()));
        self.fold.aftermath().follow();
    }

    fn join(&mut self) {
        self.take(Item::JoinSent);
        self.take(Item::Joined);
    }

    fn state(&mut self, state: Value) {
        self.take(Item::State(state.into_payload().unwrap()));
    }

    fn diff(&mut self, joins: Value, leaves: Value) {
        self.take(Item::Diff(json!({ "joins": joins, "leaves": leaves }).into_payload().unwrap()));
    }

    /// The list, as its keys and refs.
    fn list(&self) -> (PresenceState, Value) {
        let now = self.fold.snapshot();
        let list = people::list(&Presence::new(now.people.clone(), now.people, now.state, now.pending));
        let refs = |who: &Value| who["metas"].as_array().unwrap().iter().map(|meta| meta["phx_ref"].clone()).collect();
        let list = list.as_object().unwrap().iter().map(|(key, who)| (key.clone(), refs(who)));
        (now.state, list.collect::<serde_json::Map<_, Value>>().into())
    }

    fn told(&mut self) -> Vec<String> {
        let mut told = Vec::new();
        while let Some(Some(event)) = self.told.next().now_or_never() {
            told.push(match event.unwrap() {
                Ok(Said::Step(step)) => {
                    let event = people::told(&PresenceEvent::new(step));
                    format!("{} {}", event["kind"].as_str().unwrap(), event["key"].as_str().unwrap())
                }
                Ok(Said::Synced) => "sync".to_owned(),
                Ok(Said::Stale) => "stale".to_owned(),
                Err(error) => error.to_string(),
            });
        }
        told
    }
}

fn one(key: &str, phx_ref: &str) -> Value {
    json!({ key: { "metas": [{ "phx_ref": phx_ref }] } })
}

use PresenceState::{Awaiting, Closed, Stale, Synced};

// P-4, P-6, P-10
#[test]
fn diffs_without_a_state_say_nothing() {
    let mut bed = Bed::joined();
    for number in 0..250 {
        bed.diff(one("ann", &number.to_string()), json!({}));
    }
    assert_eq!((bed.list(), bed.fold.snapshot().pending), ((Awaiting, json!({})), 250));
    assert_eq!(bed.told(), [""; 0]);
    assert_eq!(bed.fold.snapshot().version, 0, "no reader is woken for them");
}

// P-5, P-8
#[test]
fn p_5_a_state_is_followed_by_what_waited_for_it_and_one_sync() {
    let mut bed = Bed::joined();
    bed.diff(one("bob", "2"), one("eve", "5"));
    bed.diff(one("cat", "3"), one("ann", "1"));
    bed.state(json!({ "eve": { "metas": [{ "phx_ref": "5" }] }, "ann": { "metas": [{ "phx_ref": "1" }] } }));
    assert_eq!(bed.list(), (Synced, json!({ "bob": ["2"], "cat": ["3"] })));
    // Each message its joins first; "ann" and "eve" come in the order of the message.
    assert_eq!(bed.told(), ["join ann", "join eve", "join bob", "leave eve", "join cat", "leave ann", "sync"]);
    bed.diff(json!({}), one("cat", "3"));
    assert_eq!((bed.list().1, bed.fold.snapshot().pending), (json!({ "bob": ["2"] }), 0), "nothing waits any more");
}

// P-7
#[test]
fn p_7_every_diff_behind_a_state_is_one_sync_and_an_empty_one_too() {
    let mut bed = Bed::joined();
    bed.state(json!({}));
    bed.told();
    let version = bed.fold.snapshot().version;
    bed.diff(json!({}), json!({}));
    assert_eq!(bed.told(), ["sync"]);
    assert_eq!(bed.fold.snapshot().version, version, "the list is the same");
    bed.diff(one("ann", "1"), json!({}));
    assert_eq!(bed.told(), ["join ann", "sync"]);
}

// P-4, P-9
#[test]
fn p_9_the_list_stays_over_a_break_and_the_next_state_is_compared_with_it() {
    let mut bed = Bed::joined();
    bed.state(json!({ "ann": { "metas": [{ "phx_ref": "1" }] }, "bob": { "metas": [{ "phx_ref": "2" }] } }));
    bed.told();
    bed.take(Item::Lost);
    assert_eq!(bed.list(), (Stale, json!({ "ann": ["1"], "bob": ["2"] })));
    bed.take(Item::JoinSent);
    bed.diff(one("cat", "3"), json!({}));
    bed.take(Item::Joined);
    bed.diff(one("dan", "4"), json!({}));
    assert_eq!(bed.list(), (Stale, json!({ "ann": ["1"], "bob": ["2"] })), "it is pending from the join on");
    bed.state(json!({ "bob": { "metas": [{ "phx_ref": "2" }] }, "cat": { "metas": [{ "phx_ref": "3" }] } }));
    assert_eq!(bed.list(), (Synced, json!({ "bob": ["2"], "cat": ["3"], "dan": ["4"] })));
    assert_eq!(bed.told(), ["stale", "join cat", "leave ann", "join dan", "sync"], "the net of it");
}

// P-11, DEV-17
#[test]
fn p_11_what_waits_under_an_older_join_is_dropped() {
    let mut bed = Bed::joined();
    bed.diff(one("ann", "1"), json!({}));
    bed.take(Item::Lost);
    bed.take(Item::JoinSent);
    assert_eq!(bed.fold.snapshot().pending, 0);
    bed.take(Item::Joined);
    bed.state(json!({}));
    assert_eq!(bed.list(), (Synced, json!({})), "Ann had left by then");
    assert_eq!(bed.told(), ["sync"]);
}

// DEV-17: the broadcasts of the join before come until the answer, behind which the state is made.
#[test]
fn what_comes_before_the_answer_to_a_join_is_in_its_state() {
    let mut bed = Bed::joined();
    bed.state(one("bob", "2"));
    bed.take(Item::JoinSent);
    bed.diff(one("ann", "1"), json!({}));
    bed.take(Item::Joined);
    bed.diff(one("cat", "3"), json!({}));
    bed.state(one("bob", "2"));
    assert_eq!(bed.list(), (Synced, json!({ "bob": ["2"], "cat": ["3"] })));
}

// DEV-17: or until the end of that join, which comes behind the answer (C-39).
#[test]
fn what_comes_before_the_end_of_an_older_join_is_in_the_state() {
    let mut bed = Bed::joined();
    bed.take(Item::JoinSent);
    bed.take(Item::Joined);
    bed.diff(one("ann", "1"), json!({}));
    bed.take(Item::OlderEnded);
    bed.diff(one("cat", "3"), json!({}));
    bed.state(json!({}));
    assert_eq!(bed.list(), (Synced, json!({ "cat": ["3"] })));
    bed.diff(one("dan", "4"), json!({}));
    bed.take(Item::OlderEnded);
    assert_eq!(bed.list(), (Synced, json!({ "cat": ["3"], "dan": ["4"] })), "behind the state it is nothing");
}

// P-42
#[test]
fn p_42_a_message_that_cannot_be_read_is_told_and_changes_nothing() {
    let mut bed = Bed::joined();
    bed.state(one("ann", "1"));
    let version = bed.fold.snapshot().version;
    bed.told();
    bed.diff(one("bob", "2"), json!({ "ann": {} }));
    bed.state(json!({ "bob": { "metas": [{}] } }));
    // The same list, of which it is not known any more whether it is the server's.
    assert_eq!((bed.list(), bed.fold.snapshot().version), ((Stale, json!({ "ann": ["1"] })), version + 1));
    let told = bed.told();
    assert!(told[0].starts_with("a payload of `presence_diff` does not decode"), "{told:?}");
    assert!(told[2].starts_with("a payload of `presence_state` does not decode"), "{told:?}");
    assert_eq!((told.len(), &*told[1]), (3, "stale"), "{told:?}");
    // Among those that wait, too, it is passed over alone.
    bed.join();
    bed.diff(one("bob", "2"), json!({}));
    bed.diff(json!([]), json!({}));
    bed.diff(one("cat", "3"), json!({}));
    bed.state(json!({}));
    assert_eq!(bed.list(), (Stale, json!({ "bob": ["2"], "cat": ["3"] })));
}

// DEV-18
#[test]
fn a_leave_of_nobody_is_not_told_and_wakes_no_reader() {
    let mut bed = Bed::joined();
    bed.state(one("ann", "1"));
    bed.told();
    let version = bed.fold.snapshot().version;
    bed.diff(json!({}), one("ann", "another"));
    assert_eq!(bed.told(), ["sync"]);
    assert_eq!((bed.list(), bed.fold.snapshot().version), ((Synced, json!({ "ann": ["1"] })), version));
}

// DEV-18
#[test]
fn how_far_the_list_can_be_relied_on() {
    let mut bed = Bed::new();
    assert_eq!(bed.list().0, Awaiting);
    bed.take(Item::Lost);
    bed.join();
    assert_eq!(bed.list().0, Awaiting, "there is nothing that could be stale");
    bed.state(json!({}));
    assert_eq!(bed.list().0, Synced);
    bed.take(Item::JoinSent);
    assert_eq!(bed.list().0, Stale, "a join over the present one");
    bed.take(Item::Joined);
    assert_eq!(bed.list().0, Stale, "joined is not synced");
    bed.state(one("ann", "1"));
    bed.take(Item::Missed);
    assert_eq!(bed.list().0, Stale, "something is not known");
    bed.diff(one("bob", "2"), json!({}));
    assert_eq!(bed.list(), (Stale, json!({ "ann": ["1"] })));
    bed.join();
    bed.state(json!({}));
    assert_eq!(bed.list(), (Synced, json!({})));
    bed.take(Item::Closed);
    assert_eq!(bed.list().0, Closed);
    assert!(matches!(bed.told.next().now_or_never(), Some(Some(_))));
    bed.told();
    assert!(matches!(bed.told.next().now_or_never(), Some(None)), "the events end");
}

const LOST: &str = "1 messages were lost: the stream was not read fast enough";

// Law 10: what is told is what the list became, also where it stays as it was.
#[test]
fn what_there_is_no_room_for_is_not_told() {
    let mut bed = Bed::bounded(2_000);
    let many = |n: usize| (0..n).map(|at| (format!("user:{at}"), one("k", "1")["k"].clone()));
    let many = |n| Value::from(many(n).collect::<serde_json::Map<_, _>>());
    bed.join();
    bed.state(many(2));
    assert_eq!(bed.told(), ["join user:0", "join user:1", "sync"]);
    bed.diff(many(9), json!({}));
    assert_eq!((bed.list().0, bed.told()), (Stale, vec![LOST.to_owned(), "stale".to_owned()]));
    bed.join();
    bed.diff(json!([]), json!({}));
    bed.diff(many(9), json!({}));
    bed.state(many(1));
    let told = bed.told();
    assert!(told[0].contains("does not decode"), "what cannot be read is: {told:?}");
    assert_eq!((bed.list().0, &**told.last().unwrap()), (Stale, LOST));
    bed.join();
    bed.state(one("user:1", "1"));
    assert_eq!(
        (bed.list(), bed.told()),
        ((Synced, json!({ "user:1": ["1"] })), vec!["leave user:0".into(), "sync".into()])
    );
}

// P-37
#[test]
fn a_state_read_in_steps_is_one_message() {
    let mut bed = Bed::joined();
    let many = (0..100).map(|number| (format!("user:{number:03}"), one("k", "1")["k"].clone()));
    let many = Value::from(many.collect::<serde_json::Map<_, _>>());
    bed.fold.take(Item::State(many.into_payload().unwrap()), Charge::default(), &mut 0);
    let mut steps = 0;
    while !bed.fold.advance(&mut 100) {
        assert_eq!((bed.list(), bed.told().len()), ((Awaiting, json!({})), 0), "all of it or nothing");
        steps += 1;
    }
    assert!(steps > 10);
    assert_eq!((bed.fold.snapshot().people.len(), bed.told().len()), (100, 101));
}

// Law 3: room is set aside for it before it is folded.
#[test]
fn no_byte_of_a_diff_adds_more_than_is_thought() {
    let metas = [r#"{"phx_ref":""}"#; 100].join(",");
    let nobody: Vec<_> = (0..100).map(|number| format!(r#""{number}":{{"metas":[]}}"#)).collect();
    for joins in [r#""":{"metas":[]}"#, &format!(r#""":{{"metas":[{metas}],"a":1}}"#), &nobody.join(",")] {
        let diff = Payload::from_raw(format!(r#"{{"joins":{{{joins}}},"leaves":{{}}}}"#), false);
        let mut people = People::default();
        assert!(people.sync_diff(&diff, None).is_ok_and(|effect| effect.changed));
        assert!(people.cost() <= MOST * diff.as_bytes().len(), "{} bytes for {joins}", people.cost());
    }
}

// P-6, P-38: a diff before the state need not be in it (between reading a list and pushing it); where one is lost, the
// list is not the server's own.
#[test]
fn what_is_lost_before_a_state_is_not_known_after_it() {
    let mut bed = Bed::joined();
    bed.take(Item::Missed);
    bed.state(one("ann", "1"));
    assert_eq!(bed.list(), (Stale, json!({ "ann": ["1"] })));
    bed.join();
    bed.state(one("ann", "1"));
    assert_eq!(bed.list(), (Synced, json!({ "ann": ["1"] })));
    bed.join();
    for number in 0..20_000 {
        bed.diff(one(&format!("user:{number}"), "1"), json!({}));
    }
    assert!(bed.fold.snapshot().pending < 20_000);
    bed.state(json!({}));
    assert_eq!(bed.list().0, Stale, "some of those that waited were dropped");
}

// Law 10: also where nobody of the one is in the other.
#[test]
fn a_list_that_fits_takes_the_place_of_one_that_fits() {
    let many = |from: usize| {
        let many = (from..from + 100).map(|number| (format!("user:{number:03}"), one("k", "1")["k"].clone()));
        Value::from(many.collect::<serde_json::Map<_, _>>())
    };
    let mut bed = Bed::bounded(40_000);
    bed.join();
    bed.state(many(0));
    bed.join();
    bed.fold.take(Item::State(many(200).into_payload().unwrap()), Charge::default(), &mut 0);
    while !bed.fold.advance(&mut 100) {}
    assert_eq!((bed.list().0, bed.fold.snapshot().people.len()), (Synced, 100));
}

// Law 3, law 10: what waited for a state is folded in turns, too, and told as far as there is room for it.
#[test]
fn what_waited_for_a_state_is_bounded() {
    let mut bed = Bed::joined();
    for number in 0..500 {
        bed.diff(one("all", &format!("x{number}")), json!({}));
    }
    let metas: Vec<_> = (0..1_000).map(|n| json!({ "phx_ref": n.to_string() })).collect();
    let state = json!({ "all": { "metas": metas } }).into_payload().unwrap();
    bed.fold.take(Item::State(state), Charge::default(), &mut 0);
    let (mut turns, mut most) = (0, 0);
    while !bed.fold.advance(&mut (256 << 10)) {
        turns += 1;
        most = most.max(bed.fold.charged);
    }
    // A diff copies 1 000 metas, of 100 bytes and more.
    assert!(turns > 100, "{turns} turns");
    assert!(most < 2 << 20, "{most} bytes were held");
    assert_eq!(bed.list().0, Synced);
    let told = bed.told();
    assert!(told[0].contains("messages were lost") && told.last().unwrap() == "sync", "{} told", told.len());
}
