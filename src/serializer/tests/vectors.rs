//! What phoenix.js writes and reads, as it was observed.

use super::*;

fn vectors(name: &str) -> Vec<Value> {
    let all: Value = serde_json::from_str(include_str!("../../../tests/vectors.json")).unwrap();
    let found = all[name].as_array().unwrap().clone();
    assert!(!found.is_empty());
    found
}

fn hex(value: &Value) -> Vec<u8> {
    let digits = value.as_str().unwrap();
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

fn envelope(vector: &Value, payload: Payload) -> Envelope {
    let name = |key: &str| vector[key].as_str();
    Envelope {
        topic: name("topic").unwrap().into(),
        event: name("event").unwrap().into(),
        ..message(name("join_ref"), name("ref"), payload)
    }
}

// W-1, W-2
#[test]
fn json_is_written_as_phoenix_js_writes_it() {
    for vector in vectors("json_encode") {
        let sent = envelope(&vector["msg"], (&vector["msg"]["payload"]).into_payload().unwrap());
        assert_eq!(V2.encode(&sent).unwrap(), text(vector["out"].as_str().unwrap()));
    }
}

// W-9, W-11, W-14
#[test]
fn binary_is_written_as_phoenix_js_writes_it() {
    for vector in vectors("binary_encode") {
        let sent = envelope(&vector, Payload::from_raw(hex(&vector["payload_hex"]), true));
        assert_eq!(written(&sent), hex(&vector["out_hex"]));
    }
}

// W-15, W-16, W-17
#[test]
fn binary_is_read_as_phoenix_js_reads_it() {
    for vector in vectors("binary_decode") {
        let seen = V2.decode(binary(&hex(&vector["in_hex"]))).unwrap();
        // An empty ref is none here.
        let reference = |key: &str| vector[key].as_str().filter(|text| !text.is_empty());
        assert_eq!(refs(&seen), (reference("join_ref"), reference("ref")));
        assert_eq!(
            (&*seen.topic, &*seen.event),
            (vector["topic"].as_str().unwrap(), vector["event"].as_str().unwrap())
        );
        let payload = &vector["payload"];
        let expected = match payload["status"].as_str() {
            Some(status) => Payload::binary_reply(status, &hex(&payload["response_hex"])).unwrap(),
            None => Payload::from_raw(hex(&payload["hex"]), true),
        };
        assert_eq!(seen.payload, expected);
    }
}
