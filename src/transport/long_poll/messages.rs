//! The messages of an answer, each a JSON string, read one at a time.

use bytes::{Buf, Bytes};
use memchr::memchr2;

use crate::{error::ConnectError, transport::Frame};

/// What is left of a JSON array of strings. Nothing is made of it but what is asked for, so that it takes no more memory
/// than its text has.
#[derive(Debug, Default)]
pub(super) struct Messages(Bytes);

impl Messages {
    /// `text` is a slice of `body`, and is JSON.
    ///
    /// # Errors
    /// It is no array.
    pub(super) fn new(body: &Bytes, text: Option<&str>) -> Result<Self, ()> {
        match text {
            None | Some("null") => Ok(Messages::default()),
            Some(text) if text.starts_with('[') => Ok(Messages(body.slice_ref(&text.as_bytes()[1..]))),
            Some(_) => Err(()),
        }
    }
}

impl Iterator for Messages {
    type Item = Result<Frame, ConnectError>;

    fn next(&mut self) -> Option<Self::Item> {
        let begin = self.0.iter().position(|byte| !matches!(byte, b',' | b' ' | b'\t' | b'\n' | b'\r'))?;
        self.0.advance(begin);
        if self.0.first() == Some(&b']') {
            self.0 = Bytes::new();
            return None;
        }
        let message = string(&self.0).and_then(|len| {
            let text = self.0.split_to(len);
            serde_json::from_slice::<String>(&text).ok()
        });
        if message.is_none() {
            self.0 = Bytes::new();
        }
        Some(message.map(frame).ok_or_else(|| ConnectError::Handshake("a message of its answer is no text".into())))
    }
}

/// How long the JSON string is with which this begins.
fn string(text: &[u8]) -> Option<usize> {
    let mut at = text.strip_prefix(b"\"").map(|_| 1)?;
    loop {
        let found = at + memchr2(b'"', b'\\', text.get(at..)?)?;
        if text[found] == b'"' {
            return Some(found + 1);
        }
        at = found + 2;
    }
}

/// A binary frame comes as the text that its bytes happen to be: its first one is its kind. No text begins so (L-32).
fn frame(message: String) -> Frame {
    match message.as_bytes().first() {
        Some(0..=2) => Frame::Binary(message.into()),
        _ => Frame::Text(message.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &'static str) -> Vec<Result<Frame, String>> {
        let body = Bytes::from_static(text.as_bytes());
        let messages = Messages::new(&body, Some(text)).unwrap();
        messages.map(|message| message.map_err(|error| error.to_string())).collect()
    }

    fn text(text: &'static str) -> Result<Frame, String> {
        Ok(Frame::Text(Bytes::from_static(text.as_bytes())))
    }

    // L-12
    #[test]
    fn messages_come_in_order_and_unescaped() {
        assert_eq!(read("[]"), []);
        assert_eq!(read(r#"["a"]"#), [text("a")]);
        assert_eq!(read("[ \"a\" ,\n\"b\"\t]"), [text("a"), text("b")]);
        assert_eq!(read(r#"["[\"1\",\"\\\\\"]","\u00e9\n"]"#), [text("[\"1\",\"\\\\\"]"), text("\u{e9}\n")]);
        assert_eq!(read(r#"["", "]"]"#), [text(""), text("]")]);
    }

    // L-32, W-12
    #[test]
    fn a_binary_frame_is_known_by_its_first_byte() {
        let frame = read(r#"["\u0000\u0001\u0007\u00031echo:lpbin\u0000\u0000\u0000\u0001AA", "{}"]"#);
        let binary = Frame::Binary(Bytes::from_static(b"\0\x01\x07\x031echo:lpbin\0\0\0\x01AA"));
        assert_eq!(frame, [Ok(binary), text("{}")]);
    }

    #[test]
    fn what_is_no_text_is_an_error_once() {
        for bad in [r#"["a", 1, "b"]"#, r#"["a", ["b"]]"#, r#"["a", null]"#, r#"["a", "\ud800"]"#] {
            let read = read(bad);
            assert_eq!(read.len(), 2, "{bad}");
            assert!(read[1].as_ref().unwrap_err().contains("no text"), "{bad}");
        }
        assert!(Messages::new(&Bytes::from_static(b"{}"), Some("{}")).is_err());
    }
}
