//! The secrets that are planted, and the shapes in which they could come up again.

use std::{fmt, ops::Range};

use base64::{Engine, engine::general_purpose::STANDARD};

/// Each with signs that every encoding writes differently, behind a stem that none but base64 and the like changes.
pub(crate) const PARAMS: Secret = Secret::new("params", "kX7paramsQ2v /?&=+%");
pub(crate) const PARAMS_GIVEN: Secret = Secret::new("params of a closure", "kX7asked4Q2v /?&=+%");
pub(crate) const QUERY: Secret = Secret::new("the query of the URL", "kX7queryQ2v-._~");
pub(crate) const USERINFO: Secret = Secret::new("the userinfo of the URL", "kX7userinfoQ2v");
pub(crate) const TOKEN: Secret = Secret::new("the auth token", "kX7tokenQ2v>>>???");
pub(crate) const TOKEN_GIVEN: Secret = Secret::new("the auth token of a closure", "kX7bearerQ2v>>>???");
pub(crate) const HEADER: Secret = Secret::new("a header", "kX7headerQ2v ;,\"");
pub(crate) const HEADER_GIVEN: Secret = Secret::new("a header of a closure", "kX7cookieQ2v ;,\"");
pub(crate) const PANIC: Secret = Secret::new("what a closure panicked with", "kX7panickedQ2v");
pub(crate) const JOIN: Secret = Secret::new("the payload of a join", "kX7joinQ2v {\"[");
pub(crate) const JOIN_GIVEN: Secret = Secret::new("the payload of a join by a closure", "kX7rejoinQ2v {\"[");
pub(crate) const PUSH: Secret = Secret::new("the payload of a push", "kX7pushQ2v {\"[");

pub(crate) const PROXY: Secret = Secret::new("the credentials of a proxy in its URL", "kX7proxyQ2v");
pub(crate) const PROXY_GIVEN: Secret = Secret::new("the credentials of a proxy", "kX7tunnelQ2v /?&=+%");
pub(crate) const PROXY_NAMED: Secret = Secret::new("the credentials of a proxy of the system", "kX7systemQ2v");
pub(crate) const KEY: Secret = Secret::new("the key of a client certificate", "kX7pemQ2v");

/// What a long-poll session goes by; the server gives it.
pub(crate) const SESSION: Secret = Secret::new("the token of a session", "kX7sessionQ2v.-_");

pub(crate) const ALL: [Secret; 17] = [
    PARAMS,
    PARAMS_GIVEN,
    QUERY,
    USERINFO,
    TOKEN,
    TOKEN_GIVEN,
    HEADER,
    HEADER_GIVEN,
    PANIC,
    JOIN,
    JOIN_GIVEN,
    PUSH,
    PROXY,
    PROXY_GIVEN,
    PROXY_NAMED,
    KEY,
    SESSION,
];

#[derive(Clone, Copy, PartialEq)]
pub(crate) struct Secret {
    pub(crate) place: &'static str,
    pub(crate) text: &'static str,
}

impl Secret {
    const fn new(place: &'static str, text: &'static str) -> Self {
        Secret { place, text }
    }

    /// Whether it is one that may be logged, at the finest level alone.
    pub(crate) fn is_payload(&self) -> bool {
        [JOIN, JOIN_GIVEN, PUSH].contains(self)
    }

    /// Letters and digits only.
    fn stem(&self) -> &'static str {
        let end = self.text.find(|sign: char| !sign.is_ascii_alphanumeric()).unwrap_or(self.text.len());
        &self.text[..end]
    }

    /// In what shape it stands in this text, if it does.
    pub(crate) fn found_in(&self, text: &str) -> Option<&'static str> {
        let stem = self.stem();
        let lower = text.to_ascii_lowercase();
        let spelled = |spell: fn(u8) -> String, between: &str| {
            let all: Vec<_> = stem.bytes().map(spell).collect();
            lower.contains(&all.join(between))
        };
        if lower.contains(&stem.to_ascii_lowercase()) {
            return Some("plain, or percent-encoded");
        }
        if in_base64(stem).iter().any(|inside| text.contains(inside)) {
            return Some("in base64");
        }
        // Bytes in a field of `tracing` are in hex with blanks between.
        let hex = ["", " "].iter().any(|between| spelled(|byte| format!("{byte:02x}"), between));
        if hex || spelled(|byte| format!("%{byte:02x}"), "") {
            return Some("in hex");
        }
        spelled(|byte| byte.to_string(), ", ").then_some("as a list of bytes")
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.place)
    }
}

/// What is sure to stand in the base64 of any text with this in it: it depends on where that begins.
fn in_base64(stem: &str) -> [String; 3] {
    [0, 1, 2].map(|before| {
        let encoded = STANDARD.encode([&vec![0; before][..], stem.as_bytes()].concat());
        // Signs that also hold bits of a neighbour are left out.
        let Range { start, end } = (before * 8).div_ceil(6)..(before + stem.len()) * 8 / 6;
        encoded[start..end].to_owned()
    })
}

#[test]
fn a_secret_is_found_in_whatever_shape_it_is() {
    for secret in ALL {
        let text = secret.text;
        let bytes = text.as_bytes();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
        let spaced = bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ");
        let percent: String = bytes.iter().map(|byte| format!("%{byte:02X}")).collect();
        let url: String = url::form_urlencoded::byte_serialize(bytes).collect();
        for shape in [format!("{text:?}"), text.to_uppercase(), url, hex, spaced, percent, format!("{bytes:?}")] {
            assert!(secret.found_in(&format!("before {shape} behind")).is_some(), "{secret:?}: {shape}");
        }
        for around in ["", "a", "ab", "abc:", "user:"] {
            let shape = STANDARD.encode(format!("{around}{text}{around}"));
            assert!(secret.found_in(&format!("Basic {shape}")).is_some(), "{secret:?}: {shape}");
        }
        let others = ALL.iter().filter(|other| **other != secret);
        assert!(others.clone().all(|other| other.found_in(text).is_none()), "{secret:?}");
    }
}
