//! Messages past all channels, by hand-moved instants.

use serde_json::json;

use super::{
    given::{broken, next_dial},
    sim::{Sim, config, ms},
};
use crate::{
    core::{Command, Config},
    error::{CastError, NotSent},
    payload::Binary,
};

// B-4
#[test]
fn b_4_a_raw_message_goes_as_it_is() {
    let mut sim = Sim::open();
    let (sent, _) = sim.raw("anything", json!({ "n": 1 }), ms(10_000));
    assert_eq!(sim.written.last().unwrap().1, json!([null, "mine", "raw:1", "anything", { "n": 1 }]));
    assert!(sim.cast_as(sent).is_ok());
    // A server drops binary without a join ref in silence (W-13), so it is an error here.
    let (binary, _) = sim.raw("anything", Binary(vec![1]), ms(10_000));
    assert!(matches!(sim.cast_as(binary), Err(CastError::Encode(_))));
}

// B-4: kept in order while there is no connection, and flushed before the joins.
#[test]
fn b_4_what_waits_goes_out_in_order_before_any_join() {
    let mut sim = Sim::new();
    let room = sim.channel("room:1");
    sim.join(room, json!({}));
    let (one, _) = sim.raw("one", json!({}), ms(60_000));
    sim.connect();
    let (two, _) = sim.raw("two", json!({}), ms(60_000));
    assert!(sim.is_pending(one) && sim.is_pending(two));
    sim.up();
    let order: Vec<_> = sim.take_written().into_iter().map(|(_, event)| event).collect();
    assert_eq!(order, ["one", "two", "phx_join"]);
    assert!(sim.cast_as(one).is_ok() && sim.cast_as(two).is_ok());
}

#[test]
fn what_was_not_written_when_the_connection_broke_waits_for_the_next_once() {
    let mut sim = Sim::open();
    sim.writable = false;
    let (one, _) = sim.raw("one", json!({}), ms(60_000));
    let (two, _) = sim.raw("two", json!({}), ms(60_000));
    sim.lost(broken());
    let (three, _) = sim.raw("three", json!({}), ms(60_000));
    sim.writable = true;
    next_dial(&mut sim);
    sim.up();
    let order: Vec<_> = sim.take_written().into_iter().map(|(_, event)| event).collect();
    assert_eq!(order, ["one", "two", "three"]);
    assert!([one, two, three].iter().all(|token| sim.cast_as(*token).is_ok()));
}

// B-9, DEV-10
#[test]
fn dev_10_what_waits_is_bounded_and_the_newest_is_refused() {
    for config in [Config { waiting_pushes: 2, ..config() }, Config { waiting_bytes: 300, ..config() }] {
        let mut sim = Sim::with(config);
        let tokens = [1, 2, 3].map(|n| sim.raw("e", json!(n), ms(60_000)).0);
        assert!(matches!(sim.cast_as(tokens[2]), Err(CastError::NotSent(NotSent::BufferFull))));
        assert!(sim.is_pending(tokens[0]) && sim.is_pending(tokens[1]));
        sim.connect();
        sim.up();
        assert_eq!(sim.written.len(), 2);
        sim.lost(broken());
        // What went out has made room.
        let again = sim.raw("e", json!(4), ms(60_000)).0;
        assert!(sim.is_pending(again));
    }
}

// B-5, T-19
#[test]
fn t_19_one_given_up_is_never_sent() {
    let mut sim = Sim::new();
    let (late, _) = sim.raw("late", json!({}), ms(50));
    let (gone, id) = sim.raw("gone", json!({}), ms(60_000));
    let (kept, _) = sim.raw("kept", json!({}), ms(60_000));
    sim.advance(ms(50));
    assert!(matches!(sim.cast_as(late), Err(CastError::NotSent(NotSent::Timeout))));
    sim.command(Command::Cancel { channel: None, id });
    sim.connect();
    sim.up();
    assert_eq!(sim.take_written().len(), 1);
    assert!(sim.is_pending(gone) && sim.cast_as(kept).is_ok());
    assert_eq!(sim.core.holdings().pending_pushes, 0);
}

// T-18
#[test]
fn t_18_a_close_settles_what_waits_and_flushes_what_is_queued() {
    let mut sim = Sim::new();
    let (waiting, _) = sim.raw("waiting", json!({}), ms(60_000));
    sim.close();
    assert!(matches!(sim.cast_as(waiting), Err(CastError::NotSent(NotSent::Closed))));
    let (after, _) = sim.raw("after", json!({}), ms(60_000));
    assert!(matches!(sim.cast_as(after), Err(CastError::NotSent(NotSent::Closed))));

    let mut sim = Sim::open();
    sim.writable = false;
    let (queued, _) = sim.raw("queued", json!({}), ms(60_000));
    sim.disconnect(1000, "");
    assert!(matches!(sim.cast_as(queued), Err(CastError::Disconnected)), "it goes with the goodbye");
    let (offline, _) = sim.raw("offline", json!({}), ms(60_000));
    assert!(sim.is_pending(offline));
}

// S-27: every message, whosever it is, behind its dispatch.
#[test]
fn s_27_every_message_is_seen_as_it_came() {
    let (mut sim, _, join_ref) = Sim::joined("room:1");
    sim.seen.clear();
    sim.receive(json!([null, "5", "phoenix", "phx_reply", { "response": {}, "status": "ok" }]));
    sim.receive(json!([join_ref, null, "room:1", "shout", [1]]));
    sim.receive(json!(["77", null, "room:1", "stale", {}]));
    sim.receive(json!([null, null, "nowhere", "lost", {}]));
    sim.receive_frame(crate::transport::Frame::Text("garbage".into()));
    let seen: Vec<_> = sim.seen.iter().map(|message| (&*message.topic, &*message.event)).collect();
    assert_eq!(seen, [("phoenix", "phx_reply"), ("room:1", "shout"), ("room:1", "stale"), ("nowhere", "lost")]);
    assert_eq!(sim.seen[0].r#ref.as_deref(), Some("5"));
    assert_eq!(sim.seen[1].join_ref.as_deref(), Some(&*join_ref));
    assert_eq!(sim.seen[1].payload.as_str(), Some("[1]"));
    assert_eq!(sim.delivered.len(), 1);
}
