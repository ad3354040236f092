//! The answers of the long-poll protocol: HTTP 200, with the status in the body.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, header};
use http_body_util::Full;
use serde_json::Value;

use super::super::answers::Answer;
use crate::transport::Frame;

/// To a POST, or a refusal.
pub(super) fn status(status: u16) -> Answer {
    json(format!(r#"{{"status":{status}}}"#))
}

/// To a GET. `None` is a message that JSON cannot hold: a binary one that is no UTF-8.
pub(super) fn messages(status: u16, token: &str, messages: &[Frame]) -> Option<Answer> {
    let messages: Option<Vec<String>> = messages.iter().map(quoted).collect();
    let (messages, token) = (messages?.join(","), Value::from(token));
    Some(json(format!(r#"{{"messages":[{messages}],"status":{status},"token":{token}}}"#)))
}

/// To all that is asked of the long-poll.
pub(super) fn allow_all(headers: &mut HeaderMap) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
}

fn quoted(frame: &Frame) -> Option<String> {
    let (Frame::Text(bytes) | Frame::Binary(bytes)) = frame else { return None };
    Some(Value::from(std::str::from_utf8(bytes).ok()?).to_string())
}

fn json(body: String) -> Answer {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    let headers: [(HeaderName, &'static str); 3] = [
        (header::VARY, "accept-encoding"),
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_TYPE, "application/json; charset=utf-8"),
    ];
    response.headers_mut().extend(headers.map(|(name, value)| (name, HeaderValue::from_static(value))));
    allow_all(response.headers_mut());
    response
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    async fn body(answer: Answer) -> String {
        String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
    }

    // L-32
    #[tokio::test]
    async fn a_binary_message_is_a_string_where_it_can_be_one() {
        let ascii = Frame::Binary(Bytes::from_static(b"\0\x01\"\x7f"));
        let text = Frame::Text("[\"1\"]\n".into());
        let answer = messages(200, "t", &[ascii, text]).unwrap();
        let want = "{\"messages\":[\"\\u0000\\u0001\\\"\u{7f}\",\"[\\\"1\\\"]\\n\"],\"status\":200,\"token\":\"t\"}";
        assert_eq!(body(answer).await, want);
        for bad in [Frame::Binary(Bytes::from_static(b"\xff")), Frame::Close { code: 1000, reason: "".into() }] {
            assert!(messages(200, "t", &[Frame::Text("[]".into()), bad]).is_none());
        }
    }
}
