//! Law 12: a hostile server can cost at most one connection. Wrong frames of every kind come down while a second channel
//! goes on: it answers behind each of them, and nothing is kept.

use std::sync::atomic::Ordering::SeqCst;

use futures::{FutureExt, StreamExt};
use phoenix_streams::{ChannelStatus, EventError, Telemetry, json};
use serde_json::Value;

use super::{
    bed::{Bed, LIMIT},
    carries,
};

// T-7, DEV-21, W-34
#[tokio::test]
async fn text_that_is_no_message_costs_that_frame() {
    let mut bed = Bed::plain().await;
    let mut all = bed.target.messages();
    let whole = r#"[null,null,"room:target","e",{"a":"b"}]"#;
    let mut wrong: Vec<String> = (0..whole.len()).map(|end| whole[..end].to_owned()).collect();
    wrong.extend(
        [
            " ",
            "null",
            "true",
            "7",
            "\"text\"",
            "{}",
            "[]",
            "[[[[[]]]]]",
            "[null,null]",
            "\0",
            "<html>502 Bad Gateway</html>",
            r#"[null,null,"room:target","e"]"#,
            r#"[null,null,"room:target","e",]"#,
            r#"[null,null,"room:target",null,{}]"#,
            r#"[null,null,7,"e",{}]"#,
            r#"[null,null,["room:target"],"e",{}]"#,
            r#"[{},null,"room:target","e",{}]"#,
            r#"[null,[1],"room:target","e",{}]"#,
            r#"[true,false,"room:target","e",{}]"#,
            r#"[null,null,"room:target\ud800","e",{}]"#,
            r#"[null,null,"room:target\x","e",{}]"#,
            r#"[null,null,"room:target,"e",{}]"#,
            r#"{"topic":"room:target","event":"e","payload":{},"ref":null}"#,
        ]
        .map(str::to_owned),
    );
    for text in &wrong {
        bed.text(text);
        bed.unharmed().await;
        assert_eq!(bed.undecodable(), 1, "{text:?}");
    }
    assert!(all.next().now_or_never().is_none());
}

// W-18, T-7
#[tokio::test]
async fn binaries_cut_short_or_of_unknown_kind_cost_that_frame() {
    let mut bed = Bed::plain().await;
    let mut all = bed.target.messages();
    let frame = |kind: u8, fields: &[&str]| {
        let lens = fields.iter().map(|field| field.len() as u8);
        let texts = fields.iter().flat_map(|field| field.bytes());
        [kind].into_iter().chain(lens).chain(texts).collect::<Vec<u8>>()
    };
    let whole = [
        frame(0, &["1", "room:target", "e"]),
        frame(1, &["1", "7", "room:target", "ok"]),
        frame(2, &["room:target", "e"]),
    ];
    let mut wrong: Vec<Vec<u8>> =
        whole.iter().flat_map(|frame| (0..frame.len()).map(|end| frame[..end].to_vec())).collect();
    wrong.extend((3..=255).map(|kind| frame(kind, &["1", "room:target", "e", ""])));
    wrong.push(vec![0, 255, 255, 255]);
    wrong.push(vec![2, 1, 1, 0xff, b'e']);
    wrong.push(vec![1, 0, 1, 11, 1, b'7', 0xc3]);
    wrong.retain(|bytes| carries(bytes));
    for bytes in wrong {
        bed.binary(bytes.clone());
        bed.unharmed().await;
        assert_eq!(bed.undecodable(), 1, "{bytes:?}");
    }
    assert!(all.next().now_or_never().is_none());
}

// M-11, W-3, W-5, W-7, W-14
#[tokio::test]
async fn what_is_odd_but_has_five_elements_is_a_message() {
    let mut bed = Bed::plain().await;
    let mut all = bed.target.messages();
    for (text, payload) in [
        (r#"[null,null,"room:target","e",null]"#, "null"),
        (r#"[null,null,"room:target","e",[1,"]"]]"#, r#"[1,"]"]"#),
        (r#"[null,null,"room:target","e",7]"#, "7"),
        (r#"["","","room:target","e","text"]"#, r#""text""#),
        (r#"[null,7,"room:target","e",{}]"#, "{}"),
        (r#"[null,1e999,"room:target","e",{}]"#, "{}"),
        (r#"[null,null,"room:target","",{}]"#, "{}"),
        (r#"[null,null,"\u0072oom:target","nobody knows me",{}]"#, "{}"),
        (" [\tnull , null,\r\n\"room:target\",\"e\",{} ] ", "{}"),
    ] {
        bed.text(text);
        let message = all.next().await.unwrap().unwrap();
        assert_eq!(message.payload().to_string(), payload, "{text}");
        bed.silent(&mut all).await;
        bed.unharmed().await;
    }
    bed.text(r#"[null,null,"room:target","e",{"a":1},"more",[2]]"#);
    assert_eq!(all.next().await.unwrap().unwrap().json::<Value>().unwrap(), json!({ "a": 1 }));
    bed.binary(*b"\x02\x0b\x01room:targete");
    let empty = all.next().await.unwrap().unwrap();
    assert!(empty.payload().is_binary() && empty.payload().as_bytes().is_empty());
    bed.silent(&mut all).await;
    bed.unharmed().await;
    assert_eq!(bed.undecodable(), 0);
}

// T-7, DEV-21
#[tokio::test]
async fn a_payload_that_does_not_decode_is_its_readers_error_and_the_stream_goes_on() {
    let mut bed = Bed::plain().await;
    let mut values = bed.target.events_as::<Value>("e");
    let mut raw = bed.target.events("e");
    let deep = "[".repeat(10_000) + &"]".repeat(10_000);
    let open = "{\"a\":".repeat(10_000);
    for payload in ["{]", "nul", "{\"a\":}", "\"\\ud800\"", "1e9999", &deep, &open] {
        bed.text(&format!(r#"[null,null,"room:target","e",{payload}]"#));
        let Some(Err(EventError::Decode { message, .. })) = values.next().await else { panic!("{payload:.20}") };
        assert_eq!(message.payload().as_bytes(), payload.as_bytes());
        assert_eq!(raw.next().await.unwrap().unwrap().payload().as_bytes(), payload.as_bytes());
        bed.silent(&mut values).await;
        bed.silent(&mut raw).await;
        bed.unharmed().await;
    }
    bed.text(r#"[null,null,"room:target","e",{"fine":true}]"#);
    assert_eq!(values.next().await.unwrap().unwrap(), json!({ "fine": true }));
    assert_eq!(bed.undecodable(), 0);
}

// M-3, M-6, C-27
#[tokio::test]
async fn reserved_names_without_a_join_ref_are_ordinary_messages() {
    let mut bed = Bed::plain().await;
    let mut all = bed.target.messages();
    for event in ["phx_close", "phx_error", "phx_reply", "phx_join", "phx_leave", "heartbeat"] {
        for join_ref in ["null", "\"\""] {
            bed.text(&format!(r#"[{join_ref},null,"room:target","{event}",{{"status":"ok","response":{{}}}}]"#));
            assert_eq!(all.next().await.unwrap().unwrap().event(), event);
            bed.silent(&mut all).await;
            bed.unharmed().await;
        }
    }
    assert_eq!(bed.undecodable(), 0);
}

// T-1, C-27, M-2, M-5
#[tokio::test]
async fn what_carries_anothers_join_ref_does_not_touch_the_channel() {
    let mut bed = Bed::plain().await;
    let mut all = bed.target.messages();
    let huge = format!("\"{}\"", "9".repeat(100_000));
    for join_ref in
        ["\"0\"", "\"999\"", "\"-1\"", "\"1.0\"", "\"01\"", "\" 1\"", "\"x\"", "18446744073709551616", &huge]
    {
        for event in ["phx_close", "phx_error", "phx_reply", "e"] {
            bed.text(&format!(r#"[{join_ref},{join_ref},"room:target","{event}",{{"status":"ok","response":{{}}}}]"#));
        }
        bed.unharmed().await;
    }
    bed.binary(*b"\x00\x03\x0b\x01999room:targetedata");
    bed.unharmed().await;
    assert_eq!(bed.undecodable(), 0);
    assert!(all.next().now_or_never().is_none());
}

// M-2, M-9, Q-15
#[tokio::test]
async fn replies_to_what_was_never_sent_settle_nothing() {
    let mut bed = Bed::plain().await;
    let mut pending = bed.target.push("held", ());
    assert!((&mut pending).now_or_never().is_none());
    let later = bed.held.recv().await.unwrap();
    let fake = r#"{"status":"error","response":{"reason":"not mine"}}"#;
    for reference in (0..200).map(|n| n.to_string()) {
        for frame in [
            format!(r#"["999","{reference}","room:calm","phx_reply",{fake}]"#),
            format!(r#"[null,"{reference}","room:nobody","phx_reply",{fake}]"#),
            format!(r#"[null,"{reference}","phoenix","phx_reply",{fake}]"#),
            format!(r#"["999","{reference}","room:target","phx_reply",{fake}]"#),
            format!(r#"["x","{reference}","room:target","phx_reply",{fake}]"#),
            format!(r#"[null,"1{reference}000000","room:target","phx_reply",{fake}]"#),
        ] {
            bed.text(&frame);
        }
    }
    bed.text(&format!(r#"[null,"{}","room:target","phx_reply",{fake}]"#, "9".repeat(50)));
    bed.text(&format!(r#"[null,-1,"room:target","phx_reply",{fake}]"#));
    bed.answers().await;
    assert!((&mut pending).now_or_never().is_none());
    later.reply("ok", json!({ "mine": true }));
    assert_eq!(pending.await.unwrap().payload().to_string(), r#"{"mine":true}"#);
    bed.unharmed().await;
    assert_eq!(bed.undecodable(), 0);
}

// T-7, W-6
#[tokio::test]
async fn a_reply_without_a_status_answers_nothing() {
    let mut bed = Bed::plain().await;
    let mut pending = bed.target.push("held", ());
    assert!((&mut pending).now_or_never().is_none());
    let later = bed.held.recv().await.unwrap();
    let wrong = ["null", "7", "[]", "\"ok\"", "{}", r#"{"response":{}}"#, r#"{"status":7}"#, r#"{"status":"ok","#];
    // No more than this many refs were given out.
    for reference in 1..=20 {
        for payload in wrong {
            bed.text(&format!(r#"[null,"{reference}","room:target","phx_reply",{payload}]"#));
        }
    }
    bed.answers().await;
    assert_eq!(bed.undecodable(), 20 * wrong.len());
    assert!((&mut pending).now_or_never().is_none());
    later.reply("neither ok nor error", ());
    assert_eq!(pending.await.unwrap().status(), "neither ok nor error");
    bed.unharmed().await;
}

// T-7, DEV-21
#[tokio::test]
async fn a_reply_whose_response_is_garbage_is_a_reply_that_does_not_decode() {
    let mut bed = Bed::plain().await;
    let deep = "[".repeat(10_000) + &"]".repeat(10_000);
    for payload in [
        r#"{"response":{]garbage,"status":"ok"}"#.to_owned(),
        format!(r#"{{"response":{deep},"status":"ok"}}"#),
        format!(r#"{{"status":"ok","response":{deep}}}"#),
    ] {
        let mut pending = bed.target.push("held", ());
        assert!((&mut pending).now_or_never().is_none());
        // Unanswered by the server from here on: dropped.
        drop(bed.held.recv().await.unwrap());
        for reference in 1..=20 {
            bed.text(&format!(r#"[null,"{reference}","room:target","phx_reply",{payload}]"#));
        }
        let reply = pending.await.unwrap();
        assert_eq!(reply.status(), "ok");
        assert!(reply.json::<Value>().is_err(), "{payload:.40}");
        bed.unharmed().await;
    }
}

// C-25, T-6
#[tokio::test]
async fn a_storm_of_crashes_is_not_answered_by_a_storm_of_joins() {
    let mut bed = Bed::plain().await;
    let mut status = bed.target.status();
    for reference in 1..=5_000 {
        bed.text(&format!(r#"["{0}","{0}","room:target","phx_error",{{}}]"#, reference % 50));
    }
    status.wait_for(|status| matches!(status, ChannelStatus::Errored { .. })).await.unwrap();
    status.wait_for(ChannelStatus::is_joined).await.unwrap();
    bed.answers().await;
    // One rejoin would do; a slow machine may see one more crash hit it.
    assert!((2..=5).contains(&bed.joins.load(SeqCst)));
    assert!(bed.told().iter().all(|told| !matches!(told, Telemetry::Closed { .. })));
}

// M-2, T-19
#[tokio::test]
async fn a_flood_for_a_topic_that_nobody_joined_leaves_nothing_behind() {
    let mut bed = Bed::plain().await;
    let mut all = bed.target.messages();
    let padding = "x".repeat(100);
    for number in 0..20_000 {
        bed.text(&format!(r#"[null,null,"room:{number}","e",{{"n":"{padding}"}}]"#));
    }
    bed.unharmed().await;
    assert_eq!(bed.socket.stats().channels, 2);
    assert!(all.next().now_or_never().is_none());
    assert_eq!(bed.undecodable(), 0);
}

// T-13, T-15, T-16, T-32
#[tokio::test]
async fn a_flood_for_a_reader_that_sleeps_is_bounded_and_told() {
    let mut bed = Bed::plain().await;
    let mut sleeping = bed.target.events("e");
    let padding = "x".repeat(100);
    const SENT: u64 = 20_000;
    for _ in 0..SENT {
        bed.text(&format!(r#"[null,null,"room:target","e",{{"n":"{padding}"}}]"#));
        assert!(bed.socket.stats().incoming_bytes <= LIMIT);
    }
    bed.answers().await;
    let held = bed.socket.stats().incoming_bytes;
    assert!((LIMIT / 2..=LIMIT).contains(&held), "{held}");
    let (mut read, mut lost) = (0, 0);
    while let Some(item) = sleeping.next().now_or_never() {
        match item.unwrap() {
            Ok(_) => read += 1,
            Err(EventError::Lagged(missed)) => lost += missed,
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(read + lost, SENT);
    assert!(read > 0 && lost > 0);
    bed.text(r#"[null,null,"room:target","e",{"awake":true}]"#);
    assert_eq!(sleeping.next().await.unwrap().unwrap().json::<Value>().unwrap(), json!({ "awake": true }));
    bed.silent(&mut sleeping).await;
    bed.unharmed().await;
}

// T-16, law 12
#[tokio::test]
async fn a_frame_of_ten_megabytes_costs_no_more_than_its_reader_can_hold() {
    let mut bed = Bed::plain().await;
    let mut small = bed.target.events("e");
    let huge = "x".repeat(10 << 20);
    bed.text(&format!(r#"[null,null,"room:target","e","{huge}"]"#));
    bed.answers().await;
    // Told at once, though nothing follows.
    assert!(matches!(small.next().now_or_never(), Some(Some(Err(EventError::Lagged(1))))));
    bed.unharmed().await;
    // Beyond what may be held as well, and less work for a machine that is busy.
    let long = "x".repeat(8 * LIMIT);
    for text in [
        long.clone(),
        format!(r#"[null,null,"{long}","e",{{}}]"#),
        format!(r#"[null,null,"room:target","{long}",{{}}]"#),
        format!(r#"["{long}",null,"room:target","e",{{}}]"#),
        format!(r#"[null,"{long}","room:target","phx_reply",{{}}]"#),
    ] {
        bed.text(&text);
        bed.unharmed().await;
    }
    assert_eq!(bed.undecodable(), 1);
    assert!(small.next().now_or_never().is_none());

    let mut bed = Bed::new(|builder| builder.queue_limits(64 << 20, 64 << 20)).await;
    let mut large = bed.target.events("e");
    bed.text(&format!(r#"[null,null,"room:target","e","{huge}"]"#));
    assert_eq!(large.next().await.unwrap().unwrap().json::<&str>().unwrap().len(), huge.len());
    bed.silent(&mut large).await;
    bed.unharmed().await;
}
