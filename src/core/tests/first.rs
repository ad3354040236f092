//! The shortest whole life.

use serde_json::json;

use super::sim::{Sim, ms};
use crate::status::ChannelStatus;

// C-5, Q-4, Q-12, H-1, H-2
#[test]
fn joins_pushes_and_beats() {
    let mut sim = Sim::open();
    let room = sim.channel("room:1");
    let join = sim.join(room, json!({ "nick": "ann" }));
    let sent = sim.last("phx_join");
    assert_eq!(sent[0], sent[1]);
    assert_eq!(sent[2], "room:1");
    assert_eq!(sent[4], json!({ "nick": "ann" }));
    assert!(sim.is_pending(join));
    let join_ref = sim.accept(room);
    assert!(sim.joined_as(join).is_ok());
    assert!(matches!(sim.channel_status(room), ChannelStatus::Joined));

    let push = sim.push(room, "shout", json!({ "body": "hi" }));
    let sent = sim.last("shout");
    assert_eq!(sent[0], json!(join_ref));
    sim.reply("shout", "ok", json!({ "n": 1 }));
    assert_eq!(sim.pushed_as(push).as_ref().unwrap().payload().as_str(), Some(r#"{"n":1}"#));

    sim.advance(ms(29_999));
    assert!(sim.written.iter().all(|(_, message)| message[3] != "heartbeat"));
    sim.advance(ms(1));
    let beat = sim.last("heartbeat");
    assert_eq!((&beat[0], &beat[2], &beat[4]), (&json!(null), &json!("phoenix"), &json!({})));
}
