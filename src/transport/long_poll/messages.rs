//! The messages of an answer, each a JSON string, read one at a time.

use bytes::{Buf, Bytes, BytesMut};
use memchr::memchr2;

use crate::{error::ConnectError, transport::Frame};

/// Messages are unescaped into buffers of this size, one after the other; a larger one into one of its own.
const BUFFER: usize = 8 * 1024;

/// What is left of a JSON array of strings. Nothing is made of it but what is asked for, so that it takes no more memory
/// than its text has.
#[derive(Debug, Default)]
pub(super) struct Messages {
    left: Bytes,
    buffer: BytesMut,
}

impl Messages {
    /// `text` is a slice of `body`, and is JSON.
    ///
    /// # Errors
    /// It is no array.
    pub(super) fn new(body: &Bytes, text: Option<&str>) -> Result<Self, ()> {
        match text {
            None | Some("null") => Ok(Messages::default()),
            Some(text) if text.starts_with('[') => {
                Ok(Messages { left: body.slice_ref(&text.as_bytes()[1..]), buffer: BytesMut::new() })
            }
            Some(_) => Err(()),
        }
    }
}

impl Iterator for Messages {
    type Item = Result<Frame, ConnectError>;

    fn next(&mut self) -> Option<Self::Item> {
        let begin = self.left.iter().position(|byte| !matches!(byte, b',' | b' ' | b'\t' | b'\n' | b'\r'))?;
        self.left.advance(begin);
        if self.left.first() == Some(&b']') {
            self.left = Bytes::new();
            return None;
        }
        let message = self.string();
        if message.is_none() {
            self.left = Bytes::new();
        }
        Some(message.map(frame).ok_or_else(|| ConnectError::Handshake("a message of its answer is no text".into())))
    }
}

impl Messages {
    /// The string that is next.
    fn string(&mut self) -> Option<Bytes> {
        if self.buffer.capacity() == 0 {
            self.buffer.reserve(self.left.len().min(BUFFER));
        }
        if let Some(len) = unescape(&self.left, &mut self.buffer) {
            self.left.advance(len);
            let message = self.buffer.split().freeze();
            if message.len() > BUFFER {
                // What came behind it in there would keep it from being freed.
                self.buffer = BytesMut::new();
            }
            return Some(message);
        }
        self.buffer = BytesMut::new();
        let mut parsed = serde_json::Deserializer::from_slice(&self.left).into_iter::<String>();
        let message = parsed.next()?.ok()?;
        let len = parsed.byte_offset();
        self.left.advance(len);
        Some(message.into())
    }
}

/// Appends the JSON string with which this begins; how long it is there. `None`, and some of it, where anything is escaped
/// but what stands in JSON text: that is rare.
fn unescape(text: &[u8], out: &mut BytesMut) -> Option<usize> {
    let mut at = text.strip_prefix(b"\"").map(|_| 1)?;
    // What is escaped stands right before what follows it.
    let mut left = at;
    loop {
        let found = at + special(text.get(at..)?)?;
        out.extend_from_slice(&text[left..found]);
        if text[found] == b'"' {
            return Some(found + 1);
        }
        if !matches!(text.get(found + 1), Some(b'"' | b'\\' | b'/')) {
            return None;
        }
        (left, at) = (found + 1, found + 2);
    }
}

/// Where the first is that does not stand for itself. In a header it is never far.
fn special(text: &[u8]) -> Option<usize> {
    const NEAR: usize = 16;
    let near = &text[..text.len().min(NEAR)];
    let found = near.iter().position(|byte| matches!(byte, b'"' | b'\\'));
    found.or_else(|| Some(near.len() + memchr2(b'"', b'\\', &text[near.len()..])?))
}

/// A binary frame comes as the text that its bytes happen to be: its first one is its kind. No text begins so (L-32).
fn frame(message: Bytes) -> Frame {
    match message.first() {
        Some(0..=2) => Frame::Binary(message),
        _ => Frame::Text(message),
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
        assert_eq!(
            read(r#"["\/", "a\tb", "\"", "\\", "c\ud83d\ude00"]"#),
            [text("/"), text("a\tb"), text("\""), text("\\"), text("c\u{1f600}")]
        );
    }

    #[test]
    fn of_many_messages_each_is_its_own() {
        let sent: Vec<String> = (0..300).map(|n| format!("{n}\"{}", "x".repeat(n * 37 % 5000))).collect();
        let body = Bytes::from(serde_json::to_vec(&sent).unwrap());
        let messages = Messages::new(&body, Some(std::str::from_utf8(&body).unwrap())).unwrap();
        let read: Vec<Frame> = messages.map(Result::unwrap).collect();
        let sent: Vec<Frame> = sent.into_iter().map(|text| Frame::Text(text.into())).collect();
        assert_eq!(read, sent);
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
