//! Odd, broken and random input, and replies in every order.

use super::*;

fn taken_apart(payload: &str) -> (String, String) {
    let (status, response) = reply(payload.as_bytes()).unwrap();
    (status.into_owned(), String::from_utf8(response.to_vec()).unwrap())
}

fn parts(status: &str, response: &str) -> (String, String) {
    (status.to_owned(), response.to_owned())
}

// W-18, DEV-21, T-7
#[test]
fn frames_that_are_none_are_errors() {
    let kinds: [&[u8]; 5] = [b"", b"\x03\x01\x01te", b"\x04", b"\xff\0\0\0", b"["];
    let short: [&[u8]; 4] = [b"\0", b"\0\x01\x01", b"\x01\x01\x01\x01\x0201to", b"\x02\x01\xffte"];
    let not_utf8: [&[u8]; 4] =
        [b"\0\x01\x01\x01\xffte", b"\x01\0\0\x01\x02t\xff\xfe", b"\x02\x01\x01\xffe", b"\x02\x01\x01t\xc3"];
    for frame in kinds.into_iter().chain(short).chain(not_utf8) {
        assert!(wrong(binary(frame)).starts_with("the payload cannot be decoded: a binary frame"), "{frame:?}");
    }
    for frame in ["", " ", "{}", "null", "[", "]", r#""x""#, r#"{"topic":"t","event":"e","payload":{},"ref":"1"}"#] {
        wrong(text(frame));
    }
    for frame in [
        r#"["1","2",3,"e",{}]"#,
        r#"["1","2","t",null,{}]"#,
        r#"["1","2","\ud800","e",{}]"#,
        r#"["1","2","\x","e",{}]"#,
    ] {
        wrong(text(frame));
    }
    wrong(Frame::Text(Bytes::from_static(b"[\"1\",\"2\",\"\xff\",\"e\",{}]")));
    wrong(Frame::Close { code: 1000, reason: "".into() });
}

// W-18
#[test]
fn a_binary_frame_cut_short_is_an_error_until_its_data() {
    let frames: [(&[u8], usize); 3] =
        [(b"\0\x01\x02\x021ttee!!", 9), (b"\x01\x01\x02\x02\x02122ttok!!", 12), (b"\x02\x02\x02ttee!!", 7)];
    for (frame, head) in frames {
        for len in 0..head {
            assert!(wrong(binary(&frame[..len])).contains("cut short"), "{len} of {frame:?}");
        }
        for len in head..=frame.len() {
            assert_eq!(V2.decode(binary(&frame[..len])).unwrap().payload.as_bytes().len(), len - head);
        }
    }
}

// W-18
#[test]
fn a_text_frame_cut_short_never_gives_other_names() {
    let frame = "[\"1\",\"22\",\"a\\\"\\u00e9b\",\"é,]\",{\"a\":[1,[\"]\"]]}]";
    let whole = read(frame);
    assert_eq!((&*whole.topic, &*whole.event), ("a\"éb", "é,]"));
    for len in 0..frame.len() {
        if let Ok(seen) = V2.decode(Frame::Text(Bytes::copy_from_slice(&frame.as_bytes()[..len]))) {
            assert_eq!((refs(&seen), &*seen.topic, &*seen.event), (refs(&whole), &*whole.topic, &*whole.event));
            assert!(seen.payload.json::<Value>().is_err(), "{len}");
        }
    }
}

// W-1
#[test]
fn whitespace_and_escapes_are_read_as_json_reads_them() {
    let seen =
        read(" [ \"1\" ,\t\"2\"\r\n, \"room:\\u0041\\/\\\\\\\"\\n\\ud83d\\ude80\" , \"\\u0065\" ,  {\"a\" : 1} ] \n");
    assert_eq!(refs(&seen), (Some("1"), Some("2")));
    assert_eq!((&*seen.topic, &*seen.event), ("room:A/\\\"\n🚀", "e"));
    assert_eq!(seen.payload.as_str(), Some("{\"a\" : 1}"));
    assert_eq!(refs(&read(r#"["\u0031","2","","",0]"#)), (Some("1"), Some("2")));
}

// M-11, W-7
#[test]
fn a_payload_is_any_json_value() {
    for payload in ["null", "0", "-1.5e3", "true", "\"]\"", "[]", "[[]]", "{\"]\":\"[\"}", "\"\\\"]\""] {
        assert_eq!(read(&format!(r#"[null,null,"t","e",{payload}]"#)).payload.as_str(), Some(payload));
        let response = format!(r#"{{"response":{payload},"status":"ok"}}"#);
        assert_eq!(taken_apart(&response), parts("ok", payload));
    }
}

// W-6
#[test]
fn a_reply_is_taken_apart_in_any_order() {
    let same = [
        r#"{"response":{"a":1},"status":"later"}"#,
        r#"{"status":"later","response":{"a":1}}"#,
        r#" { "response" : {"a":1} , "status" : "later" } "#,
        r#"{"x":1,"response":{"a":1},"status":"later","y":[2]}"#,
        r#"{"response":{"a":1},"status":"l\u0061ter"}"#,
    ];
    for payload in same {
        assert_eq!(taken_apart(payload), parts("later", r#"{"a":1}"#), "{payload}");
    }
    assert_eq!(taken_apart(r#"{"status":"ok"}"#), parts("ok", "null"));
    assert_eq!(taken_apart(r#"{"status":"ok","response":null}"#), parts("ok", "null"));
    assert_eq!(taken_apart(r#"{"response":{},"status":""}"#), parts("", "{}"));
}

// W-6, W-3
#[test]
fn what_stands_within_or_behind_a_reply_does_not_pass_for_its_status() {
    let inner = r#"{"a":1,"status":"ok"}"#;
    assert_eq!(taken_apart(&format!(r#"{{"response":{inner},"status":"error"}}"#)), parts("error", inner));
    assert_eq!(taken_apart(&format!(r#"{{"status":"error","response":{inner}}}"#)), parts("error", inner));
    assert_eq!(taken_apart(&format!(r#"{{"response":1,"status":"error"}},{inner}"#)), parts("error", "1"));
    let quoted = r#""\",\"status\":\"ok\"}""#;
    assert_eq!(taken_apart(&format!(r#"{{"response":{quoted},"status":"error"}}"#)), parts("error", quoted));
    assert_eq!(taken_apart(&format!(r#"{{"status":"error","response":{quoted}}}"#)), parts("error", quoted));
}

// T-7
#[test]
fn a_reply_without_a_status_is_an_error() {
    let none = [
        "",
        "{}",
        "[]",
        "null",
        r#""ok""#,
        r#"{"response":{}}"#,
        r#"{"response":{},"status":1}"#,
        r#"{"response":"a\",\"status\":\"ok"}"#,
        r#"{"response":{},"status":null}"#,
        r#"{"response":,"status":"#,
    ];
    for payload in none {
        assert!(reply(payload.as_bytes()).is_err(), "{payload}");
    }
    assert!(reply(b"{\"response\":1,\"status\":\"\xff\"}").is_err());
}

/// Names that are hard to quote, of every length up to 40 characters.
fn name(random: &mut fastrand::Rng) -> String {
    let odd = ['"', '\\', '\0', '\n', '\u{7f}', '\u{2028}', 'é', '🚀', ',', ']', '[', '{', '/', ' '];
    let len = random.usize(..40);
    (0..len).map(|_| if random.bool() { random.alphanumeric() } else { odd[random.usize(..odd.len())] }).collect()
}

// W-1, W-11
#[test]
fn whatever_is_written_is_read_back() {
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..5_000 {
        let reference = |name: String| (!name.is_empty()).then(|| Arc::from(name));
        let sent = Envelope {
            join_ref: reference(name(&mut random)),
            r#ref: reference(name(&mut random)),
            topic: name(&mut random).into(),
            event: name(&mut random).into(),
            payload: json!([name(&mut random), { name(&mut random): random.i64(..) }]).into_payload().unwrap(),
        };
        let seen = V2.decode(V2.encode(&sent).unwrap()).unwrap();
        assert_eq!((refs(&seen), &seen.topic, &seen.event), (refs(&sent), &sent.topic, &sent.event));
        assert_eq!(seen.payload, sent.payload);
    }
}

// W-18, T-9
#[test]
fn random_bytes_never_panic() {
    let mut random = fastrand::Rng::with_seed(7);
    let alphabet = b"[]{},:\"\\nul0e- \t\xff\xc3\x01ab";
    let mut read = 0;
    for round in 0..50_000 {
        let mut bytes: Vec<u8> = (0..random.usize(..48)).map(|_| alphabet[random.usize(..alphabet.len())]).collect();
        match round % 4 {
            0 => drop(bytes.splice(..0, *b"[\"1\",null,\"t\",\"")),
            1 => {
                bytes.splice(..0, *b"[\"1\",null,\"t\",\"e\",");
                bytes.push(b']');
            }
            2 => bytes.iter_mut().take(5).for_each(|byte| *byte %= 4),
            _ => {}
        }
        let bytes = Bytes::from(bytes);
        for frame in [Frame::Text(bytes.clone()), Frame::Binary(bytes.clone())] {
            if let Ok(seen) = V2.decode(frame) {
                read += 1;
                let _ = (seen.payload.json::<Value>(), seen.payload.as_str(), seen.payload.to_bytes());
            }
        }
        let _ = reply(&bytes);
    }
    assert!(read > 10_000, "only {read} of them were read at all");
}

// W-18
#[test]
fn one_wrong_byte_never_panics() {
    let good = [
        br#"["1","2","room:\u00e9","phx_reply",{"response":{"a":[1]},"status":"ok"}]"#.to_vec(),
        b"\x01\x01\x02\x02\x02122ttok!!".to_vec(),
    ];
    for frame in good {
        for at in 0..frame.len() {
            for byte in 0..=u8::MAX {
                let mut bytes = frame.clone();
                bytes[at] = byte;
                let bytes = Bytes::from(bytes);
                for frame in [Frame::Text(bytes.clone()), Frame::Binary(bytes)] {
                    if let Ok(seen) = V2.decode(frame) {
                        let _ = reply(seen.payload.as_bytes());
                    }
                }
            }
        }
    }
}
