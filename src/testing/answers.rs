//! What the server answers by HTTP, whatever was asked.

use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};

use super::connect::Refuse;

pub(super) type Answer = Response<Full<Bytes>>;

/// An answer of Phoenix' pipeline.
pub(super) fn respond(status: StatusCode, body: Bytes) -> Answer {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let cached = HeaderValue::from_static("max-age=0, private, must-revalidate");
    response.headers_mut().insert(header::CACHE_CONTROL, cached);
    response
}

pub(super) fn refuse(refusal: Refuse) -> Box<Answer> {
    let mut response = respond(refusal.status, refusal.body);
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    response.headers_mut().extend(refusal.headers);
    Box::new(response)
}

pub(super) fn crashed() -> Box<Answer> {
    failed(StatusCode::INTERNAL_SERVER_ERROR)
}

/// As Phoenix answers an exception.
pub(super) fn failed(status: StatusCode) -> Box<Answer> {
    let error = Refuse { status, ..Refuse::new(500) }.header("content-type", "application/json; charset=utf-8");
    refuse(error.body(format!(r#"{{"error":"{}"}}"#, status.canonical_reason().unwrap_or_default())))
}

/// As something before Phoenix answers.
pub(super) fn foreign(refusal: Refuse) -> Answer {
    let mut response = Response::new(Full::new(refusal.body));
    *response.status_mut() = refusal.status;
    response.headers_mut().extend(refusal.headers);
    response
}

/// A proxy's error page.
pub(super) fn page(status: StatusCode) -> Answer {
    let body =
        format!("<html>\r\n<head><title>{status}</title></head>\r\n<body><h1>{status}</h1></body>\r\n</html>\r\n");
    let refusal = Refuse { status, ..Refuse::new(502) }.header("server", "proxy").header("content-type", "text/html");
    foreign(refusal.body(body))
}

/// An answer as it goes out, to its end or to the middle of its body.
pub(super) async fn written(answer: Answer, half: bool) -> Bytes {
    let (head, body) = answer.into_parts();
    let Ok(body) = body.collect().await;
    let body = body.to_bytes();
    let mut bytes = format!("HTTP/1.1 {}\r\n", head.status).into_bytes();
    for (name, value) in &head.headers {
        bytes.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    let date = httpdate::fmt_http_date(SystemTime::now());
    bytes.extend(format!("content-length: {}\r\ndate: {date}\r\n\r\n", body.len()).into_bytes());
    bytes.extend(if half { &body[..body.len() / 2] } else { &body });
    bytes.into()
}
