//! The auth token, as a WebSocket handshake carries it.

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};

/// The subprotocols to offer with a token, as one header value.
///
/// The name of the second says base64url, yet Phoenix reads the standard alphabet, without padding. A token may
/// so put a `/` where RFC 6455 allows none; the server takes it.
pub(crate) fn subprotocols(token: &str) -> String {
    format!("phoenix, base64url.bearer.phx.{}", STANDARD_NO_PAD.encode(token))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    // T-10
    #[test]
    fn golden_subprotocols() {
        let vectors: Value = serde_json::from_str(include_str!("../tests/vectors.json")).unwrap();
        let cases = vectors["auth_subprotocol"].as_array().unwrap();
        assert_eq!(cases.len(), 5);
        for case in cases {
            let pair: Vec<Value> = subprotocols(case["token"].as_str().unwrap()).split(", ").map(Value::from).collect();
            assert_eq!(Value::from(pair), case["protocols"]);
        }
    }

    // A-5, T-10
    #[test]
    fn the_alphabet_is_the_standard_one() {
        assert_eq!(subprotocols("??>"), "phoenix, base64url.bearer.phx.Pz8+");
        assert_eq!(subprotocols("???"), "phoenix, base64url.bearer.phx.Pz8/");
    }

    // A-6, DEV-4
    #[test]
    fn a_token_is_sent_as_utf_8() {
        assert_eq!(subprotocols("ä€"), "phoenix, base64url.bearer.phx.w6Tigqw");
    }
}
