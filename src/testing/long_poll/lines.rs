//! What a POST holds.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, header};

use crate::transport::Frame;

/// More are dropped, and nobody is told.
const MOST: usize = 100;

/// Up to the first that is neither text nor base64, and whether there is one.
pub(super) fn read(headers: &HeaderMap, body: &Bytes) -> (Vec<Frame>, bool) {
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let lines = types.next().is_some_and(|value| value == "application/x-ndjson") && types.next().is_none();
    if !lines {
        return (vec![Frame::Text(body.clone())], false);
    }
    let mut frames = Vec::new();
    for line in body.split(|byte| *byte == b'\n').take(MOST) {
        match frame(body, line) {
            Some(frame) => frames.push(frame),
            None => return (frames, true),
        }
    }
    (frames, false)
}

fn frame(body: &Bytes, line: &[u8]) -> Option<Frame> {
    // A return before the end of the body alone is not part of a line's end.
    let last = line.as_ptr_range().end == body.as_ptr_range().end;
    let line = line.strip_suffix(b"\r").filter(|_| !last).unwrap_or(line);
    if line.starts_with(b"[") {
        return Some(Frame::Text(body.slice_ref(line)));
    }
    STANDARD.decode(line).ok().map(|bytes| Frame::Binary(bytes.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(body: &str) -> (Vec<Frame>, bool) {
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, "application/x-ndjson".parse().unwrap())]);
        read(&headers, &Bytes::copy_from_slice(body.as_bytes()))
    }

    fn text(text: &'static str) -> Frame {
        Frame::Text(text.into())
    }

    // L-25
    #[test]
    fn lines_end_either_way() {
        assert_eq!(lines("[1]\n[2]\r\n[3]"), (vec![text("[1]"), text("[2]"), text("[3]")], false));
        assert_eq!(lines("[1]\r"), (vec![text("[1]\r")], false));
        assert_eq!(lines("[1]\n"), (vec![text("[1]"), Frame::Binary(Bytes::new())], false));
        assert_eq!(lines(""), (vec![Frame::Binary(Bytes::new())], false));
    }

    // L-29, L-30
    #[test]
    fn what_is_no_text_is_padded_base64() {
        assert_eq!(lines("AP8=\n[1]"), (vec![Frame::Binary(Bytes::from_static(b"\0\xff")), text("[1]")], false));
        for bad in ["AP8", "hello!", " [1]", "{}", "A-_="] {
            assert_eq!(lines(bad), (vec![], true), "{bad}");
        }
        assert_eq!(lines("[1]\nAP8\n[2]"), (vec![text("[1]")], true));
    }

    // L-26
    #[test]
    fn more_than_a_hundred_are_dropped() {
        assert_eq!(lines(&vec!["[1]"; 150].join("\n")).0.len(), 100);
        assert_eq!(lines(&[&["[1]"; 100][..], &["bad"]].concat().join("\n")), (vec![text("[1]"); 100], false));
    }

    // L-25, L-33
    #[test]
    fn any_other_type_is_one_text() {
        for kind in ["application/x-ndjson; charset=utf-8", "application/json", "Application/X-NDJSON"] {
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, kind.parse().unwrap())]);
            assert_eq!(read(&headers, &"[1]\n[2]".into()), (vec![text("[1]\n[2]")], false), "{kind}");
        }
        assert_eq!(read(&HeaderMap::new(), &"AP8=".into()), (vec![text("AP8=")], false));
    }
}
