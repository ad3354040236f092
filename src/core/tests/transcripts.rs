//! What a real Phoenix was seen to answer, and what this side makes of it.
//!
//! The files of `tests/transcripts` are replayed: what this side can send is asked for by commands, and must come out
//! as the transcript has it; what the server answered is fed back. What they tell in prose is coded here.

mod replay;

use std::collections::BTreeMap;

use serde_json::Value;

use self::replay::{Replay, close_code};
use super::sim::{Sim, ms};
use crate::{
    error::{ConnectError, JoinError, NotJoined, PushError},
    status::{ChannelClosed, ChannelStatus, Status},
    telemetry::Telemetry,
};

const A: &str = include_str!("../../../tests/transcripts/a.txt");
const B: &str = include_str!("../../../tests/transcripts/b.txt");
const C: &str = include_str!("../../../tests/transcripts/c.txt");
const F: &str = include_str!("../../../tests/transcripts/f.txt");

const HEARTBEATS: &str = "heartbeats go out with a null join ref and a ref of text";
const ONLY_HEARTBEATS: &str = "nothing but heartbeats goes to this topic";
const NO_REF: &str = "every message has a ref";
const NO_JOIN_REF: &str = "every message of a channel has its join ref";
const TEXT_REFS: &str = "refs are text";
const STALE: &str = "no message has a stale join ref";
const NOT_JOINED: &str = "nothing is sent on a topic that is not joined";
const FRESH: &str = "every join has a fresh ref";
const FIVE: &str = "a message has five elements";

/// The lines that this side never sends, and why. Their answers are nobody's.
const NOT_OURS: [(&str, &str); 36] = [
    (r#"> ["9","2","phoenix","heartbeat",{}]"#, HEARTBEATS),
    (r#"> [null,null,"phoenix","heartbeat",{}]"#, HEARTBEATS),
    (r#"> [null,3,"phoenix","heartbeat",{}]"#, HEARTBEATS),
    (r#"> [null,"4","phoenix","other",{}]"#, ONLY_HEARTBEATS),
    (r#"> [null,"5","phoenix","phx_join",{}]"#, ONLY_HEARTBEATS),
    (r#"> ["1",null,"echo:1","echo",{"noref":1}]"#, NO_REF),
    (r#"> [null,"20","echo:1","echo",{"nojoinref":1}]"#, NO_JOIN_REF),
    (r#"> ["1",21,"echo:1","echo",{"numref":1}]"#, TEXT_REFS),
    (r#"> [1,"22","echo:1","echo",{"numjoinref":1}]"#, TEXT_REFS),
    (r#"> ["1","23","echo:1","echo",{"extra":1},"more",5]"#, FIVE),
    (r#"> ["1","1","echo:1","echo",{}]"#, NOT_JOINED),
    (r#"> ["1","2","echo:1","phx_leave",{}]"#, NOT_JOINED),
    (r#"> [null,"3","room:zz","shout",{}]"#, NOT_JOINED),
    (r#"> ["10","12","echo:1","echo",{"after":"leave"}]"#, NOT_JOINED),
    (r#"> ["19","21","echo:1","phx_leave",{}]"#, STALE),
    (r#"> [null,"23","echo:1","phx_leave",{}]"#, NO_JOIN_REF),
    (r#"> ["29","31","echo:1","echo",{"stale":1}]"#, STALE),
    (r#"> ["30","34","echo:1","echo",{"old":1}]"#, STALE),
    (r#"> ["33","36","echo:1","phx_join",{"third":true}]"#, FRESH),
    (r#"> ["33","37","echo:1","echo",{"new":1}]"#, NOT_JOINED),
    (r#"> [null,"5","echo:n","phx_join",{}]"#, FRESH),
    (r#"> [null,"6","echo:n","echo",{}]"#, NO_JOIN_REF),
    (r#"> ["5","7","echo:n","echo",{"jr":"5"}]"#, STALE),
    (r#"> [null,"8","echo:n","push_me",{}]"#, NO_JOIN_REF),
    (r#"> [null,"9","echo:n","phx_leave",{}]"#, NO_JOIN_REF),
    (r#"> ["7","10","echo:num","echo",{}]"#, STALE),
    (r#"> ["1","3","echo:s","echo",{}]"#, NOT_JOINED),
    (r#"> ["8","10","echo:s","echo",{"after":"crash"}]"#, NOT_JOINED),
    (r#"> ["2","3","echo:once:a","echo",{}]"#, NOT_JOINED),
    ("> BIN 00 00 01 06 08 37 65 63 68 6f 3a 62 65 63 68 6f 5f 62 69 6e 6e 6f 6a 72", NO_JOIN_REF),
    ("> BIN 00 01 00 06 08 31 65 63 68 6f 3a 62 65 63 68 6f 5f 62 69 6e 6e 6f 72 65 66", NO_REF),
    ("> BIN 00 01 02 08 01 39 31 30 6e 6f 73 75 63 68 3a 62 78 7a 7a", NOT_JOINED),
    ("> BIN 00 01 02 07 09 39 31 31 70 68 6f 65 6e 69 78 68 65 61 72 74 62 65 61 74", HEARTBEATS),
    (
        "> BIN 5b 6e 75 6c 6c 2c 22 31 33 22 2c 22 70 68 6f 65 6e 69 78 22 2c 22 68 65 61 72 74 62 65 61 74 22 2c 7b 7d 5d",
        "JSON goes out as text",
    ),
    ("> two phx_leave (refs 2,3) back to back", "two leaves of one channel share one frame"),
    (r#"> ["30","31","echo:o","slow",{"ms":300}] then ["30","32","echo:o","echo",{"fast":1}]"#, "prose, coded below"),
];

macro_rules! assert_is {
    ($value:expr, $pattern:pat $(if $guard:expr)?) => {{
        let value = $value;
        assert!(matches!(value, $pattern $(if $guard)?), "{value:?}");
    }};
}

fn answers(outcome: &Result<crate::message::Reply, PushError>) -> (&str, &str) {
    match outcome {
        Ok(reply) => (reply.status(), reply.payload().as_str().expect("text")),
        Err(PushError::Rejected(reply)) => ("rejected", reply.payload().as_str().expect("text")),
        Err(error) => panic!("{error}"),
    }
}

// H-4, C-14, Q-15, W-5, W-6
#[test]
fn heartbeats_joins_and_pushes() {
    let mut replay = Replay::new(A);
    // The handshake is the transport's.
    replay.take("handshake");

    replay.section("heartbeat");
    let beats = replay.sim.telemetry.iter().filter(|told| matches!(told, Telemetry::Heartbeat { .. }));
    assert_eq!(beats.count(), 1);
    assert!(replay.delivered().is_empty());

    replay.section("join ok/refused/crash/unmatched");
    let joined = r#"{"joined":"echo:1","params":{"a":1}}"#;
    assert_is!(replay.joined("1"), Ok(reply) if reply.payload().as_str() == Some(joined));
    assert_is!(replay.joined("2"), Err(JoinError::Refused(reply)) if reply.reason().as_deref() == Some("unauthorized"));
    assert_is!(replay.joined("3"), Err(JoinError::Crashed(_)));
    assert_is!(replay.joined("4"), Err(JoinError::Refused(reply)) if reply.reason().as_deref() == Some("unmatched topic"));
    assert_is!(replay.status("echo:1"), ChannelStatus::Joined);
    assert_is!(replay.status("echo:refuse"), ChannelStatus::Errored { cause: NotJoined::Refused(_) });
    assert_is!(replay.status("echo:crashjoin"), ChannelStatus::Errored { cause: NotJoined::Crashed(_) });
    assert_is!(replay.status("nosuch:1"), ChannelStatus::Errored { cause: NotJoined::Refused(_) });

    replay.section("push/replies");
    assert_eq!(answers(replay.pushed("10")), ("ok", r#"{"x":"é"}"#));
    assert_eq!(answers(replay.pushed("11")), ("rejected", r#"{"reason":"nope"}"#));
    assert_eq!(answers(replay.pushed("12")), ("ok", "{}"));
    assert_eq!(answers(replay.pushed("12b")), ("rejected", "{}"));
    assert_eq!(answers(replay.pushed("12c")), ("weird", r#"{"custom":true}"#));
    assert!(replay.is_pending("13"));
    assert_eq!(answers(replay.pushed("14")), ("ok", r#"{"n":2}"#));
    assert_eq!(replay.delivered(), [("msg", r#"{"data":"xxx","i":1}"#), ("msg", r#"{"data":"xxx","i":2}"#)]);
    assert_eq!(answers(replay.pushed("15")).0, "ok");
    let unanswered = replay.token("13");

    replay.section("push with null ref");
    assert_eq!(answers(replay.pushed("24")), ("ok", "null"));
    assert_eq!(answers(replay.pushed("25")), ("ok", "[1,2]"));
    assert_eq!(answers(replay.pushed("26")), ("ok", "\"str\""));
    assert!(replay.delivered().is_empty());

    replay.section("after possibly fatal");
    assert_is!(replay.sim.status(), Status::Connected { .. });
    assert_is!(replay.sim.pushed_as(unanswered), Err(PushError::Timeout));
    assert_eq!(replay.finish().len(), 10);
}

// C-26, C-27, C-36, C-37, C-39
#[test]
fn joins_leaves_stale_refs_and_ends() {
    let mut replay = Replay::new(B);
    replay.section("not joined topic");
    assert!(replay.sim.written.is_empty());

    replay.section("join then leave");
    assert!(replay.joined("10").is_ok() && replay.left("11"));
    assert_is!(replay.status("echo:1"), ChannelStatus::Closed { cause: ChannelClosed::Left });

    replay.section("leave with stale join_ref");
    assert!(replay.joined("20").is_ok() && replay.pushed("22").is_ok());
    // The leave was somebody else's.
    assert_is!(replay.status("echo:1"), ChannelStatus::Closed { cause: ChannelClosed::Server });

    replay.section("push with stale join_ref");
    assert!(replay.joined("30").is_ok() && replay.pushed("32").is_ok());
    assert_is!(replay.status("echo:1"), ChannelStatus::Joined);

    replay.section("duplicate join: old closed");
    let second = r#"{"joined":"echo:1","params":{"second":true}}"#;
    assert_is!(replay.joined("33"), Ok(reply) if reply.payload().as_str() == Some(second));
    assert_eq!(answers(replay.pushed("35")), ("ok", r#"{"new":1}"#));
    assert_is!(replay.status("echo:1"), ChannelStatus::Joined);

    replay.section("duplicate join with the SAME join_ref");
    assert_is!(replay.status("echo:1"), ChannelStatus::Closed { cause: ChannelClosed::Server });

    replay.section("duplicate join refused at 2nd time");
    assert!(replay.joined("40").is_ok());

    replay.section("join with join_ref null");
    assert!(replay.delivered().is_empty());

    replay.section("join with join_ref != ref");
    assert_eq!(answers(replay.pushed("cc")), ("ok", r#"{"n":1}"#));
    assert_eq!(replay.delivered(), [("msg", r#"{"data":"","i":1}"#)]);

    replay.section("join with numeric refs");
    assert_eq!(answers(replay.pushed("9")), ("ok", r#"{"n":1}"#));
    assert_eq!(replay.delivered(), [("msg", r#"{"data":"","i":1}"#)]);

    two_leaves(&mut replay);
    stops_and_crashes(&mut replay);

    replay.section("flaky");
    assert_is!(replay.joined("20"), Err(JoinError::Refused(_)));
    assert!(replay.joined("21").is_ok());
    assert_is!(replay.status("echo:flaky:k1"), ChannelStatus::Joined);

    out_of_order(&mut replay);
    slow_join(&mut replay);

    let lines = replay.take("leave during slow reply");
    replay.sent(r#"["30","50","echo:o","slow",{}]"#);
    replay.sent(r#"["30","51","echo:o","phx_leave",{}]"#);
    assert_is!(replay.pushed("50"), Err(PushError::Disconnected));
    assert!(replay.is_pending("51"));
    lines.into_iter().for_each(|line| replay.line(line));
    assert!(replay.left("51"));
    assert_is!(replay.status("echo:o"), ChannelStatus::Closed { cause: ChannelClosed::Left });
    assert_eq!(replay.finish().len(), 20);
}

fn two_leaves(replay: &mut Replay) {
    let lines = replay.take("leave racing");
    lines[..2].iter().for_each(|line| replay.line(line));
    assert!(replay.joined("1").is_ok());
    replay.line(lines[2]);
    replay.sent(r#"["b","2","echo:n2","phx_leave",{}]"#);
    let written = replay.sim.written.len();
    let second = replay.sim.leave(replay.id("echo:n2"));
    assert_eq!(replay.sim.written.len(), written);
    replay.line(lines[3]);
    assert!(replay.left("2") && replay.sim.left_as(second).is_ok());
    lines[4..].iter().for_each(|line| replay.line(line));
    assert_is!(replay.status("echo:n2"), ChannelStatus::Closed { cause: ChannelClosed::Left });
}

fn stops_and_crashes(replay: &mut Replay) {
    replay.section("stop / stop_reply");
    for stopped in ["2", "7", "9", "12", "17"] {
        assert_is!(replay.pushed(stopped), Err(PushError::Disconnected));
    }
    assert_eq!(answers(replay.pushed("5")), ("ok", r#"{"bye":true}"#));
    for joined in ["1", "4", "6", "8", "11", "13", "14", "15", "16", "18"] {
        assert!(replay.joined(joined).is_ok(), "{joined}");
    }
    let name = |status: &ChannelStatus| match status {
        ChannelStatus::Closed { cause: ChannelClosed::Server } => "closed",
        ChannelStatus::Errored { cause: NotJoined::Crashed(_) } => "crashed",
        ChannelStatus::Joining => "",
        ChannelStatus::Joined => "joined",
        other => panic!("{other:?}"),
    };
    let lives = replay.sim.channels[&replay.id("echo:s")].iter().map(name).filter(|name| !name.is_empty());
    let ends: Vec<_> = lives.filter(|name| *name != "joined").collect();
    assert_eq!(ends, ["closed", "closed", "closed", "crashed", "crashed", "crashed", "crashed", "crashed"]);
    assert_is!(replay.status("echo:autoclose"), ChannelStatus::Closed { cause: ChannelClosed::Server });
    assert_eq!(replay.delivered(), [("hello", r#"{"first":true}"#)]);
}

fn out_of_order(replay: &mut Replay) {
    let lines = replay.take("slow (async reply)");
    replay.sent(r#"["30","30","echo:o","phx_join",{}]"#);
    replay.received(r#"["30","30","echo:o","phx_reply",{"response":{},"status":"ok"}]"#);
    replay.line(lines[0]);
    let (slow, fast) = lines[0].strip_prefix("> ").and_then(|line| line.split_once(" then ")).expect("two of them");
    replay.sent(slow);
    replay.sent(fast);
    replay.line(lines[1]);
    assert!(replay.is_pending("31"));
    assert_eq!(answers(replay.pushed("32")), ("ok", r#"{"fast":1}"#));
    replay.line(lines[2]);
    assert_eq!(answers(replay.pushed("31")), ("ok", r#"{"ms":300}"#));
}

/// A join that blocks the server for two seconds: what is behind it is late, and nothing is wrong.
fn slow_join(replay: &mut Replay) {
    let lines = replay.take("slowjoin blocks");
    replay.sim.advance(ms(29_900));
    replay.sent(r#"["40","40","echo:slowjoin","phx_join",{}]"#);
    replay.sent(r#"[null,"41","phoenix","heartbeat",{}]"#);
    replay.sent(r#"["30","42","echo:o","echo",{"behind":"slowjoin"}]"#);
    replay.sim.advance(ms(2_000));
    assert!(replay.is_pending("40") && replay.is_pending("42"));
    lines.into_iter().for_each(|line| replay.line(line));
    assert!(replay.joined("40").is_ok());
    assert_eq!(answers(replay.pushed("42")), ("ok", r#"{"behind":"slowjoin"}"#));
    let trip = replay.sim.telemetry.iter().rev().find_map(|told| match told {
        Telemetry::Heartbeat { round_trip } => Some(*round_trip),
        _ => None,
    });
    assert_eq!(trip, Some(ms(2_000)));
}

// C-39, W-15, W-16, W-20, W-21
#[test]
fn duplicate_joins_and_binary_frames() {
    let mut replay = Replay::new(C);
    replay.section("dup join, 2nd refused");
    assert!(replay.joined("1").is_ok());
    assert_is!(replay.joined("2"), Err(JoinError::Refused(reply)) if reply.reason().as_deref() == Some("once"));
    assert_is!(replay.status("echo:once:a"), ChannelStatus::Errored { cause: NotJoined::Refused(_) });
    assert_is!(replay.joined("5"), Err(JoinError::Crashed(_)));
    assert_is!(replay.status("echo:p"), ChannelStatus::Errored { cause: NotJoined::Crashed(_) });
    assert!(replay.joined("6").is_ok() && replay.joined("7").is_ok());
    assert_is!(replay.status("echo:q"), ChannelStatus::Joined);

    let lines = replay.take("binary: push / reply");
    lines[..4].iter().for_each(|line| replay.line(line));
    assert_is!(replay.pushed("2"), Ok(reply) if reply.payload().as_bytes() == [0, 1, 2, 255]);
    lines[4..].iter().for_each(|line| replay.line(line));
    assert_is!(replay.pushed("3"), Err(PushError::Rejected(reply)) if reply.payload().as_bytes() == [0xfe]);
    assert_eq!(answers(replay.pushed("4")), ("ok", r#"{"size":5}"#));
    assert_eq!(answers(replay.pushed("5")), ("ok", r#"{"n":2}"#));
    assert_is!(replay.pushed("6"), Ok(reply) if reply.payload().as_bytes() == [1, 2]);
    assert!(replay.pushed("9").is_ok());
    assert!(replay.joined("12").is_ok());
    let data: [&[u8]; 3] = [&[0, 0, 0, 1, 255, 255], &[0, 0, 0, 2, 255, 255], &[0, 255, 16]];
    let data = data.map(String::from_utf8_lossy);
    assert_eq!(replay.delivered(), [("bin", &*data[0]), ("bin", &*data[1]), ("shout_bin", &*data[2])]);

    replay.section("binary frame to a V2 socket");
    assert_is!(replay.sim.status(), Status::Waiting { cause, .. }
        if matches!(**cause, ConnectError::ClosedByServer { code: 1011, .. }));
    assert_is!(replay.status("echo:b"), ChannelStatus::Errored { cause: NotJoined::ConnectionLost(_) });

    fatal_input(&mut replay);
    let lines = replay.take("max channels");
    let refused = lines[0].split('\'').nth(1).expect("a message");
    replay.sim.advance(ms(1_000));
    replay.sim.up();
    replay.sent(r#"["100","100","echo:m100","phx_join",{}]"#);
    replay.received(refused);
    assert_is!(replay.joined("100"), Err(JoinError::Refused(reply))
        if reply.reason().as_deref() == Some("too many channels joined"));
    assert_eq!(replay.finish().len(), 6);
}

/// What ends a connection is raw bytes that this side never sends; that it ends is the same as ever.
fn fatal_input(replay: &mut Replay) {
    let titles = ["fatal input", "fragmented text", "bad utf-8", "max_frame_size", "big frame"];
    let lines: Vec<_> = titles.iter().flat_map(|title| replay.take(title)).collect();
    let codes: Vec<_> = lines.iter().filter_map(|line| close_code(line)).collect();
    assert_eq!(codes.len(), 23);
    for code in codes {
        let (mut sim, room, _) = Sim::joined("room:1");
        sim.server_closes(code);
        sim.lost(ConnectError::Ended);
        assert_is!(sim.status(), Status::Waiting { .. });
        assert_is!(sim.channel_status(room), ChannelStatus::Errored { cause: NotJoined::ConnectionLost(_) });
        let closed = sim.telemetry.iter().filter(|told| matches!(told, Telemetry::Closed { .. }));
        assert_eq!(closed.count(), 1, "{code}");
        sim.advance(ms(1_000));
        sim.up();
        assert_eq!(sim.last("phx_join")[2], "room:1");
    }
    // The others are answered, whatever the topic is.
    let (mut sim, room, _) = Sim::joined("room:1");
    let answers =
        lines.iter().filter_map(|line| line.trim_start().strip_prefix("< [").filter(|_| !line.contains("CLOSE")));
    let answers: Vec<_> = answers.map(|answer| format!("[{answer}")).collect();
    assert_eq!(answers.len(), 7);
    for answer in answers {
        sim.receive_frame(crate::transport::Frame::Text(answer.into()));
    }
    assert_is!(sim.status(), Status::Connected { .. });
    assert_is!(sim.channel_status(room), ChannelStatus::Joined);
    assert!(sim.delivered.is_empty());
}

// P-12, W-4
#[test]
fn a_state_is_a_push_and_diffs_are_broadcasts() {
    let mut clients = BTreeMap::from(["A", "B", "C"].map(|name| (name, Replay::new(F))));
    let lines = clients.values_mut().map(|client| client.take("presence")).last().expect("a client");
    for line in &lines {
        let (name, rest) = line.split_at(1);
        if let Some(client) = clients.get_mut(name) {
            client.line(rest);
        }
    }
    for (name, client) in &clients {
        let told = lines.iter().filter_map(|line| line.strip_prefix(name)?.strip_prefix("< "));
        let told = told.map(|message| serde_json::from_str::<[Value; 5]>(message).expect("a message"));
        let told = told.filter(|[.., event, _]| event.as_str().is_some_and(|event| event.starts_with("presence_")));
        let told: Vec<_> = told.map(|[.., event, payload]| (event, payload)).collect();
        let delivered = client
            .delivered()
            .into_iter()
            .map(|(event, payload)| (Value::from(event), serde_json::from_str(payload).expect("the payload is JSON")));
        assert_eq!(delivered.collect::<Vec<_>>(), told, "{name}");
    }
    assert_is!(clients["A"].status("presence:1795234956"), ChannelStatus::Errored { .. });
}

// M-6, C-27, W-4
#[test]
fn broadcasts_and_intercepted_ones() {
    let (mut a, mut b) = (Replay::new(F), Replay::new(F));
    a.take("presence");
    b.take("presence");
    let (lines, topic) = (a.take("broadcasts"), "room:1795234956");
    b.take("broadcasts");
    for line in lines {
        match line.split_at(1) {
            ("A", rest) => a.line(rest),
            ("B", rest) => b.line(rest),
            _ => {}
        }
    }
    assert!(a.joined("1").is_ok() && a.pushed("2").is_ok() && a.pushed("3").is_ok());
    let binary = String::from_utf8_lossy(&[0, 0, 0, 1, b'x']).into_owned();
    let events = [("e", r#"{"data":"xxx","i":1}"#), ("e", r#"{"data":"xxx","i":2}"#), ("e", &binary)];
    // Names of the protocol are an application's own where no join ref says otherwise.
    let blast = ["blast", "phx_close", "phx_error", "phx_reply"].map(|event| (event, r#"{"data":"","i":1}"#));
    assert_eq!(a.delivered(), [&[("shout", r#"{"t":1}"#)][..], &events, &blast].concat());
    assert_is!(a.status(topic), ChannelStatus::Joined);

    let shouts = [("shout", r#"{"t":1}"#), ("shout", r#"{"t":2}"#)];
    assert_eq!(b.delivered(), [&shouts[..], &events].concat());
    assert!(b.joined("1").is_ok() && b.left("4"));
    assert_is!(b.status(topic), ChannelStatus::Closed { cause: ChannelClosed::Left });

    for line in a.take("intercept") {
        a.line(&line[1..]);
    }
    assert!(a.joined("20").is_ok() && a.pushed("23").is_ok());
    assert!(a.is_pending("21") && a.is_pending("22"));
    assert_eq!(a.delivered(), [("shout", r#"{"m":1,"seen_by":"A"}"#), ("plain", r#"{"m":2}"#)]);
    assert!(a.finish().is_empty());
}

#[test]
fn every_listed_line_is_in_a_transcript() {
    for (line, why) in NOT_OURS {
        let found = [A, B, C].iter().any(|transcript| transcript.lines().any(|known| known == line));
        assert!(found && !why.is_empty(), "{line}");
    }
}
