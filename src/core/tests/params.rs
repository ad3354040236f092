//! Params that a closure says before every join.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    given::{broken, next_dial},
    sim::{Sim, ms},
};
use crate::{
    core::{Command, Declined},
    error::{BoxError, JoinError, NotJoined, NotSent, PushError},
    status::{ChannelClosed, ChannelStatus},
};

fn fails(stop: bool) -> Result<Value, Declined> {
    Err(Declined { cause: Arc::from(BoxError::from("no session")), stop })
}

fn errored(sim: &Sim, room: u64) -> &NotJoined {
    match sim.channel_status(room) {
        ChannelStatus::Errored { cause } => cause,
        other => panic!("{other:?}"),
    }
}

// C-2, N-15
#[test]
fn c_2_the_closure_is_asked_each_time_a_join_is_sent() {
    let mut sim = Sim::new();
    let room = sim.channel("room:1");
    let join = sim.join_with(room);
    assert!(sim.asked.is_empty(), "not before there is a connection");
    sim.connect();
    sim.up();
    assert_eq!(sim.asked.len(), 1);
    assert!(sim.written.is_empty(), "nothing is sent until it has answered");
    assert!(matches!(sim.channel_status(room), ChannelStatus::Joining));
    sim.say(Ok(json!({ "n": 1 })));
    assert_eq!(sim.last("phx_join")[4], json!({ "n": 1 }));
    sim.accept(room);
    assert!(sim.joined_as(join).is_ok());
    assert!(sim.asked.is_empty());

    sim.lost(broken());
    next_dial(&mut sim);
    sim.up();
    assert_eq!(sim.asked.len(), 1);
    sim.say(Ok(json!({ "n": 2 })));
    assert_eq!(sim.last("phx_join")[4], json!({ "n": 2 }));
    let join_ref = sim.accept(room);
    sim.receive(json!([join_ref, join_ref, "room:1", "phx_error", {}]));
    sim.advance(ms(1_000));
    sim.say(Ok(json!({ "n": 3 })));
    assert_eq!(sim.last("phx_join")[4], json!({ "n": 3 }));
    assert_eq!(sim.written.iter().filter(|(_, message)| message[3] == "phx_join").count(), 3);
}

// C-10
#[test]
fn c_10_every_outcome_of_a_join_is_told_in_order() {
    let mut sim = Sim::open();
    let room = sim.channel("room:1");
    sim.join(room, json!({}));
    sim.reply("phx_join", "ok", json!({ "n": 1 }));
    sim.lost(broken());
    next_dial(&mut sim);
    sim.up();
    sim.reply("phx_join", "error", json!({ "reason": "join crashed" }));
    sim.advance(ms(1_000));
    sim.advance(ms(10_000));
    sim.advance(ms(2_000));
    sim.reply("phx_join", "ok", json!({ "n": 2 }));
    sim.join_with(room);
    sim.rejoin(room);
    sim.say(fails(false));
    sim.advance(ms(5_000));
    sim.say(Ok(json!({})));
    sim.reply("phx_join", "error", json!({ "reason": "full" }));
    let told: Vec<_> = sim.outcomes.iter().map(|(_, outcome)| &**outcome).collect();
    assert_eq!(
        told,
        [
            r#"{"n":1}"#,
            r#"the server's channel crashed while joining: {"reason":"join crashed"}"#,
            "the join did not come through in time (the socket's status says whether it is connected); the channel stays wanted",
            r#"{"n":2}"#,
            "a params closure failed: no session",
            r#"the server refused the join: {"reason":"full"}"#,
        ]
    );
}

// T-24, DEV-22
#[test]
fn t_24_a_closure_that_fails_is_a_failed_join_with_its_cause_and_asked_again() {
    let mut sim = Sim::open();
    let room = sim.channel("room:1");
    let join = sim.join_with(room);
    let push = sim.push(room, "shout", json!({}));
    sim.say(fails(false));
    let Err(JoinError::Provider(cause)) = sim.joined_as(join) else { panic!("{:?}", sim.settled) };
    assert_eq!(cause.to_string(), "no session");
    assert!(matches!(errored(&sim, room), NotJoined::Provider(_)));
    assert!(sim.not_joined.is_empty() && sim.is_pending(push));
    for wait in [1_000, 2_000, 5_000] {
        assert!(sim.asked.is_empty());
        sim.advance(ms(wait));
        assert_eq!(sim.asked.len(), 1, "by the backoff");
        sim.say(fails(false));
    }
    assert!(sim.written.is_empty());
}

// T-24
#[test]
fn t_24_a_closure_that_says_stop_stops_the_channel() {
    let mut sim = Sim::open();
    let room = sim.channel("room:1");
    let join = sim.join_with(room);
    let push = sim.push(room, "shout", json!({}));
    sim.say(fails(true));
    assert!(matches!(sim.joined_as(join), Err(JoinError::Provider(_))));
    assert!(matches!(sim.pushed_as(push), Err(PushError::NotSent(NotSent::NotJoined))));
    assert_eq!(sim.not_joined.len(), 1);
    sim.advance(ms(25_000));
    sim.lost(broken());
    next_dial(&mut sim);
    sim.up();
    assert!(sim.asked.is_empty());
    sim.rejoin(room);
    assert_eq!(sim.asked.len(), 1, "another join asks again");
}

// T-24: never a hang.
#[test]
fn t_24_a_closure_that_does_not_answer_is_given_up() {
    let mut sim = Sim::open();
    let room = sim.channel("room:1");
    let join = sim.join_within_asked(room, ms(60_000));
    sim.advance(ms(9_999));
    assert_eq!(sim.asked.len(), 1);
    sim.advance(ms(1));
    assert!(sim.asked.is_empty(), "it is not waited for any more");
    assert!(matches!(errored(&sim, room), NotJoined::TimedOut));
    assert!(sim.is_pending(join), "its caller waits for the next");
    sim.advance(ms(1_000));
    assert_eq!(sim.asked.len(), 1);
}

#[test]
fn an_answer_that_comes_too_late_is_nobodys() {
    let mut sim = Sim::open();
    let room = sim.channel("room:1");
    sim.join_with(room);
    let (_, number) = sim.asked[0];
    sim.lost(broken());
    assert!(sim.asked.is_empty(), "the connection it was asked for is gone");
    sim.core.handle_params(sim.now, room, number, Ok(crate::Payload::from_raw("1", false)));
    sim.core.handle_params(sim.now, 99, number, Ok(crate::Payload::from_raw("1", false)));
    next_dial(&mut sim);
    sim.up();
    sim.core.handle_params(sim.now, room, number, Ok(crate::Payload::from_raw("2", false)));
    sim.drain();
    assert!(sim.written.is_empty());
    sim.say(Ok(json!(3)));
    assert_eq!(sim.last("phx_join")[4], json!(3));
}

// C-39: until the params are there the present join stands.
#[test]
fn c_39_while_it_is_asked_for_a_rejoin_the_present_join_stands() {
    let (mut sim, room, old) = Sim::joined("room:1");
    sim.join_with(room);
    assert!(sim.asked.is_empty(), "it is joined");
    sim.rejoin(room);
    sim.receive(json!([old, null, "room:1", "mine", 1]));
    sim.receive(json!([null, null, "room:1", "everybody's", 2]));
    assert_eq!(sim.delivered.len(), 2);
    sim.say(Ok(json!({})));
    let fresh = sim.last("phx_join")[0].clone();
    sim.receive(json!([old, null, "room:1", "stale", 1]));
    assert_eq!(sim.delivered.len(), 2);
    sim.accept(room);
    sim.receive(json!([fresh, null, "room:1", "mine", 1]));
    assert_eq!(sim.delivered.len(), 3);
    assert!(!sim.written.iter().any(|(_, message)| message[3] == "phx_leave"));
}

#[test]
fn where_the_closure_fails_a_rejoin_the_present_join_is_left() {
    for end in
        [(|sim| sim.say(fails(false))) as fn(&mut Sim), |sim| sim.say(fails(true)), |sim| sim.advance(ms(10_000))]
    {
        let (mut sim, room, old) = Sim::joined("room:1");
        sim.join_with(room);
        sim.rejoin(room);
        end(&mut sim);
        assert_eq!(sim.last("phx_leave")[0], json!(old));
        assert!(matches!(sim.channel_status(room), ChannelStatus::Errored { .. }));
    }
}

#[test]
fn what_happens_to_the_present_join_meanwhile_happens_to_the_channel() {
    let (mut sim, room, old) = Sim::joined("room:1");
    sim.join_with(room);
    sim.rejoin(room);
    sim.receive(json!([old, old, "room:1", "phx_error", {}]));
    assert!(matches!(errored(&sim, room), NotJoined::Crashed(_)));
    assert!(sim.asked.is_empty());
    sim.advance(ms(1_000));
    assert_eq!(sim.asked.len(), 1);
    sim.leave(room);
    assert!(sim.asked.is_empty());
    assert!(matches!(sim.channel_status(room), ChannelStatus::Closed { cause: ChannelClosed::Left }));
    assert!(sim.written.is_empty(), "there was nothing to leave");
}

#[test]
fn params_given_meanwhile_are_sent_at_once() {
    let mut sim = Sim::open();
    let room = sim.channel("room:1");
    sim.join_with(room);
    sim.join(room, json!({ "ready": true }));
    assert!(sim.asked.is_empty());
    assert_eq!(sim.last("phx_join")[4], json!({ "ready": true }));
    sim.accept(room);
    // And another closure is asked in the place of the first.
    sim.join_with(room);
    sim.rejoin(room);
    let first = sim.asked.clone();
    sim.join_with(room);
    assert_eq!(sim.asked.len(), 1);
    assert_ne!(sim.asked, first);
}

#[test]
fn what_was_said_for_a_join_that_was_not_written_is_not_sent_later() {
    let mut sim = Sim::open();
    sim.writable = false;
    let room = sim.channel("room:1");
    sim.join_with(room);
    sim.say(Ok(json!("stale")));
    sim.lost(broken());
    sim.writable = true;
    next_dial(&mut sim);
    sim.up();
    assert!(sim.written.is_empty());
    sim.say(Ok(json!("fresh")));
    assert_eq!(sim.last("phx_join")[4], json!("fresh"));
}

#[test]
fn the_last_holder_takes_the_question_along() {
    let mut sim = Sim::open();
    let room = sim.channel("room:1");
    sim.join_with(room);
    sim.command(Command::Forget { channel: room });
    assert!(sim.asked.is_empty() && sim.written.is_empty());
    assert_eq!(sim.core.holdings().timers, 1, "the heartbeat's");

    // Nobody is asked for a next life that nobody wants.
    let (mut sim, room, _) = Sim::joined("room:1");
    sim.leave(room);
    sim.join_with(room);
    sim.command(Command::Forget { channel: room });
    assert!(sim.asked.is_empty());
}
