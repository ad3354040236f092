use serde_json::{Value, json};

use super::*;
use crate::{Binary, IntoPayload};

mod hostile;
mod vectors;

fn message(join_ref: Option<&str>, reference: Option<&str>, payload: impl IntoPayload) -> Envelope {
    Envelope {
        join_ref: join_ref.map(Into::into),
        r#ref: reference.map(Into::into),
        topic: "t".into(),
        event: "e".into(),
        payload: payload.into_payload().unwrap(),
    }
}

fn text(frame: &str) -> Frame {
    Frame::Text(frame.to_owned().into())
}

fn binary(bytes: &[u8]) -> Frame {
    Frame::Binary(bytes.to_vec().into())
}

fn written(message: &Envelope) -> Vec<u8> {
    match V2.encode(message).unwrap() {
        Frame::Text(bytes) | Frame::Binary(bytes) => bytes.into(),
        Frame::Close { .. } => panic!("a close frame"),
    }
}

fn read(frame: &str) -> Envelope {
    V2.decode(text(frame)).unwrap()
}

fn wrong(frame: Frame) -> String {
    V2.decode(frame).unwrap_err().to_string()
}

fn refs(message: &Envelope) -> (Option<&str>, Option<&str>) {
    (message.join_ref.as_deref(), message.r#ref.as_deref())
}

// W-1, W-31
#[test]
fn a_text_frame_has_five_elements() {
    let sent = message(Some("1"), Some("2"), json!({ "a": 1 }));
    assert_eq!(V2.encode(&sent).unwrap(), text(r#"["1","2","t","e",{"a":1}]"#));
    let seen = read(r#"["1","2","t","e",{"a":1}]"#);
    assert_eq!(refs(&seen), (Some("1"), Some("2")));
    assert_eq!((&*seen.topic, &*seen.event), ("t", "e"));
    assert_eq!(seen.payload, sent.payload);
}

// W-2, H-2
#[test]
fn absent_refs_are_null() {
    let beat = Outgoing {
        join_ref: None,
        reference: Some(7),
        topic: "phoenix",
        event: "heartbeat".into(),
        payload: &Payload::empty(),
    };
    assert_eq!(Codec::new(V2).encode(beat).unwrap(), text(r#"[null,"7","phoenix","heartbeat",{}]"#));
    assert_eq!(V2.encode(&message(None, None, ())).unwrap(), text(r#"[null,null,"t","e",{}]"#));
}

// W-3, T-7
#[test]
fn fewer_than_five_elements_are_an_error_and_more_are_ignored() {
    for few in ["[]", r#"["1"]"#, r#"["1","2","t"]"#, r#"["1","2","t","e"]"#, r#"["1","2","t","e",]"#] {
        wrong(text(few));
    }
    let more = read(r#"["1","2","t","e",{"a":1},"x",[2]]"#);
    assert_eq!(more.payload.json::<Value>().unwrap(), json!({ "a": 1 }));
}

// W-5
#[test]
fn numeric_refs_are_strings() {
    assert_eq!(refs(&read(r#"[1,22,"t","e",{}]"#)), (Some("1"), Some("22")));
    assert_eq!(refs(&read(r#"[ 0 , null ,"t","e",{}]"#)), (Some("0"), None));
    for neither in [r#"[true,"1","t","e",{}]"#, r#"[{},"1","t","e",{}]"#, r#"[[],"1","t","e",{}]"#] {
        assert!(wrong(text(neither)).contains("a ref that is neither"));
    }
}

// M-3
#[test]
fn null_and_empty_refs_are_none() {
    assert_eq!(refs(&read(r#"[null,null,"t","e",{}]"#)), (None, None));
    assert_eq!(refs(&read(r#"["","","t","e",{}]"#)), (None, None));
    assert_eq!(refs(&V2.decode(binary(b"\0\0\x01\x01teX")).unwrap()), (None, None));
}

// W-9, W-22
#[test]
fn a_binary_payload_makes_a_binary_frame() {
    let sent = message(Some("10"), Some("1"), Binary(vec![1]));
    assert_eq!(V2.encode(&sent).unwrap(), binary(b"\0\x02\x01\x01\x01101te\x01"));
    assert!(matches!(V2.encode(&message(Some("10"), Some("1"), "text")).unwrap(), Frame::Text(_)));
}

// W-10, W-11
#[test]
fn names_lie_back_to_back_and_are_counted_in_bytes() {
    let sent =
        Envelope { topic: "café".into(), event: "π".into(), ..message(Some("🚀"), None, Binary(vec![0xff])) };
    assert_eq!(written(&sent), [b"\0\x04\x00\x05\x02", "🚀caféπ".as_bytes(), b"\xff"].concat());
    let seen = V2.decode(binary(&[b"\0\x04\x05\x02", "🚀caféπ".as_bytes(), b"\xff"].concat())).unwrap();
    assert_eq!((seen.join_ref.as_deref(), &*seen.topic, &*seen.event), (Some("🚀"), "café", "π"));
    assert_eq!(seen.payload.as_bytes(), [0xff]);
}

// W-12, T-9
#[test]
fn names_of_a_binary_frame_have_at_most_255_bytes() {
    let with = |field: &str, text: String| {
        let mut sent = message(Some("1"), Some("2"), Binary(vec![7]));
        match field {
            "join_ref" => sent.join_ref = Some(text.into()),
            "ref" => sent.r#ref = Some(text.into()),
            "topic" => sent.topic = text.into(),
            _ => sent.event = text.into(),
        }
        sent
    };
    for field in ["join_ref", "ref", "topic", "event"] {
        let most = written(&with(field, "x".repeat(255)));
        assert_eq!(most.len(), 5 + 255 + 3 + 1);
        for long in ["x".repeat(256), format!("{}é", "x".repeat(254))] {
            let error = V2.encode(&with(field, long)).unwrap_err().to_string();
            assert!(error.contains(&format!("the {field} has 256 bytes")), "{error}");
        }
        let json = Envelope { payload: Payload::empty(), ..with(field, "x".repeat(256)) };
        assert!(V2.encode(&json).is_ok());
    }
    let seen = V2.decode(binary(&[b"\x02\xff\xff" as &[u8], &[b'x'; 510]].concat())).unwrap();
    assert_eq!((seen.topic.len(), seen.event.len(), seen.payload.as_bytes().len()), (255, 255, 0));
}

// W-13
#[test]
fn a_binary_payload_needs_a_join_ref() {
    for none in [None, Some("")] {
        let error = V2.encode(&message(none, Some("1"), Binary(vec![1]))).unwrap_err();
        assert!(error.to_string().contains("outside of a joined channel"), "{error}");
    }
    assert_eq!(written(&message(Some("1"), None, Binary(vec![9]))), b"\0\x01\0\x01\x011te\x09");
}

// W-14
#[test]
fn a_binary_payload_may_be_empty() {
    assert_eq!(written(&message(Some("0"), Some("1"), Binary(vec![]))), b"\0\x01\x01\x01\x0101te");
    for frame in [b"\0\x01\x01\x010te" as &[u8], b"\x01\x01\x01\x01\x0201tok", b"\x02\x01\x01te"] {
        let seen = V2.decode(binary(frame)).unwrap();
        assert!(seen.payload.is_binary() && seen.payload.as_bytes().is_empty());
    }
}

// W-15
#[test]
fn binary_pushes_and_broadcasts_have_no_ref() {
    assert_eq!(refs(&V2.decode(binary(b"\0\x01\x01\x017te\xff")).unwrap()), (Some("7"), None));
    let all = V2.decode(binary(b"\x02\x01\x01te\xff")).unwrap();
    assert_eq!((refs(&all), &*all.topic, &*all.event), ((None, None), "t", "e"));
}

// W-16
#[test]
fn a_binary_reply_has_a_status_and_bytes() {
    let frame = binary(b"\x01\x01\x02\x01\x05122terror\x07\x08");
    let seen = V2.decode(frame.clone()).unwrap();
    assert_eq!((refs(&seen), &*seen.topic, &*seen.event), ((Some("1"), Some("22")), "t", "phx_reply"));
    assert_eq!(seen.payload, Payload::binary_reply("error", &[7, 8]).unwrap());
    assert_eq!(Codec::new(V2).decode(&frame, &mut Kept::default()).unwrap().body.kind, Kind::Reply(5));
}

// W-17
#[test]
fn a_name_of_no_bytes_is_no_ref() {
    assert_eq!(refs(&V2.decode(binary(b"\0\0\x01\x01te")).unwrap()), (None, None));
    assert_eq!(refs(&V2.decode(binary(b"\x01\0\0\x01\x02tok")).unwrap()), (None, None));
    assert_eq!(refs(&V2.decode(binary(b"\x01\0\x01\x01\x029tok")).unwrap()), (None, Some("9")));
}

// W-29
#[test]
fn it_asks_for_version_2() {
    assert_eq!(V2.vsn(), "2.0.0");
    assert_eq!(Codec::new(V2).vsn(), "2.0.0");
    assert!(matches!(Codec::new(V2), Codec::V2(_)));
}

// W-34
#[test]
fn text_that_would_break_the_connection_is_not_sent() {
    for broken in [Payload::from_raw(vec![b'"', 0xff, b'"'], false), Payload::from_raw("", false)] {
        assert!(V2.encode(&message(Some("1"), Some("2"), broken)).is_err());
    }
}

// T-32
#[test]
fn a_small_payload_leaves_its_frame_behind_and_a_large_one_shares_it() {
    for (size, shared) in [(SLICE_FROM - 3, false), (SLICE_FROM, true)] {
        let bytes = Bytes::from(format!(r#"[null,null,"t","e","{}"]"#, "x".repeat(size)));
        let payload = V2.decode(Frame::Text(bytes.clone())).unwrap().payload;
        assert_eq!(payload.as_bytes().len(), size + 2);
        assert_eq!(bytes.as_ptr_range().contains(&payload.as_bytes().as_ptr()), shared);
    }
}

// W-33
#[test]
fn another_encoding_maps_messages_to_either_frame_and_may_fail() {
    struct Reversed;
    impl Serializer for Reversed {
        fn vsn(&self) -> &str {
            "9.0.0"
        }
        fn encode(&self, message: &Envelope) -> Result<Frame, EncodeError> {
            match V2.encode(message)? {
                Frame::Text(text) => Ok(Frame::Binary(text.iter().rev().copied().collect())),
                _ => Err(EncodeError::new("no bytes")),
            }
        }
        fn decode(&self, frame: Frame) -> Result<Envelope, DecodeError> {
            match frame {
                Frame::Binary(bytes) => V2.decode(Frame::Text(bytes.iter().rev().copied().collect())),
                _ => Err(DecodeError::new("no text")),
            }
        }
    }
    let mut codec = Codec::new(Reversed);
    assert_eq!(codec.vsn(), "9.0.0");
    let payload = "hi".into_payload().unwrap();
    let out = Outgoing { join_ref: Some(1), reference: Some(2), topic: "t", event: "e".into(), payload: &payload };
    let frame = codec.encode(out).unwrap();
    assert_eq!(frame, binary(br#"]"ih","e","t","2","1"["#));
    let mut kept = Kept::default();
    let seen = codec.decode(&frame, &mut kept).unwrap();
    assert_eq!((seen.join_ref, seen.body.to_payload()), (Some("1".into()), payload.clone()));
    assert!(codec.encode(Outgoing { payload: &Payload::from_raw("x", true), ..out }).is_err());
    assert!(codec.decode(&text("x"), &mut Kept::default()).is_err());
}

// W-1, W-3, W-18: frames one after the other, as one connection brings them, are read as each is read alone.
#[test]
fn a_header_that_repeats_is_read_as_if_it_were_new() {
    let headers = [
        r#"["1",null,"t","e","#,
        r#"["1",null,"t","ee","#,
        r#"["1",null,"t","e" , "#,
        r#"[null,null,"t","e","#,
        r#"["1",null,"t\u0061","e","#,
        r#"["1",null,"\x","e","#,
        r#"["1",null,"t""#,
        r#"["1",null,"","","#,
        "[7,\"\",\"\u{e9}\",\"\u{1F680}\",",
        "[",
        "",
    ];
    let payloads = ["{}]", " {\"a\":1} ] ", "]", "", "1,2]", "\"],\"]", "{}"];
    let long = format!(r#"["1",null,"{}","e","#, "t".repeat(1 << 10));
    let mut frames = Vec::new();
    for header in headers.into_iter().chain([&*long]) {
        for other in headers {
            for payload in payloads {
                // Each header behind each other one, and behind itself.
                frames.extend([other, header, header].map(|header| format!("{header}{payload}")));
            }
        }
    }
    let mut codec = Codec::new(V2);
    for frame in frames {
        let alone = V2.decode(text(&frame)).map(|message| format!("{message:?}")).ok();
        let frame = text(&frame);
        let mut kept = Kept::default();
        let seen = codec.decode(&frame, &mut kept).map(|seen| format!("{:?}", seen.to_envelope())).ok();
        assert_eq!(seen, alone, "{frame:?}");
    }
}

// W-18
#[test]
fn a_text_frame_whose_names_are_not_utf8_is_an_error_also_behind_one_that_is() {
    let mut codec = Codec::new(V2);
    let mut is_read = |frame: &'static [u8]| {
        let frame = Frame::Text(Bytes::from_static(frame));
        codec.decode(&frame, &mut Kept::default()).is_ok()
    };
    for _ in 0..2 {
        assert!(is_read(b"[null,null,\"t\",\"e\",{}]"));
        assert!(is_read(b"[null,null,\"t\",\"e\",\"\xff\"]"), "a payload is its reader's concern");
        assert!(!is_read(b"[null,null,\"t\",\"\xff\",{}]"));
        assert!(!is_read(b"[null,null,\"t\",\"\xff\",{}]"), "nor is it remembered");
        assert!(!is_read(b"[\"\xff\",null,\"t\",\"e\",{}]"));
    }
}

// W-1
#[test]
fn names_are_written_as_json_writes_them() {
    for special in (0..=0x7f_u8).map(char::from).chain(['\u{80}', 'ä', '\u{2028}', '🚀']) {
        for len in 0..20 {
            for at in 0..=len {
                let name: String = (0..=len).map(|place| if place == at { special } else { 'x' }).collect();
                let quoted = serde_json::to_string(&name).unwrap();
                let expected = format!(r#"["1","2",{quoted},"e",{{}}]"#);
                let sent = Envelope { topic: (&*name).into(), ..message(Some("1"), Some("2"), ()) };
                assert_eq!(written(&sent), expected.into_bytes());
                let expected = format!(r#"["1",{quoted},"t",{quoted},{{}}]"#);
                let sent = Envelope { event: (&*name).into(), ..message(Some("1"), Some(&name), ()) };
                assert_eq!(written(&sent), expected.into_bytes());
            }
        }
    }
}
