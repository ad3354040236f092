//! The messages of an answer, each a JSON string, read one at a time.

use bytes::{Buf, BufMut, Bytes, BytesMut};
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
        let mut read = unescape(&self.left, &mut self.buffer);
        if let Read::Full = read {
            self.buffer.clear();
            if !self.buffer.try_reclaim(BUFFER) {
                self.buffer = BytesMut::with_capacity(self.left.len().min(BUFFER));
            }
            read = unescape(&self.left, &mut self.buffer);
        }
        let (message, len) = match read {
            Read::Whole(len) => (self.buffer.split().freeze(), len),
            Read::Full => {
                self.buffer.clear();
                let len = len(&self.left)?;
                let mut own = BytesMut::with_capacity(len);
                match unescape(&self.left, &mut own) {
                    Read::Whole(len) => (own.freeze(), len),
                    _ => parse(&self.left)?,
                }
            }
            Read::Other => {
                self.buffer.clear();
                parse(&self.left)?
            }
        };
        self.left.advance(len);
        Some(message)
    }
}

/// What came of a JSON string.
enum Read {
    /// It has been read, and is so long in the text.
    Whole(usize),
    /// There is no room for it.
    Full,
    /// Something is escaped but what stands in JSON text, which is rare; or it is no string.
    Other,
}

/// Appends the JSON string with which this begins, as far as there is room.
fn unescape(text: &[u8], out: &mut BytesMut) -> Read {
    let mut at = 1;
    if text.first() != Some(&b'"') {
        return Read::Other;
    }
    while let Some(found) = memchr2(b'"', b'\\', &text[at..]).map(|found| at + found) {
        if found - at >= out.capacity() - out.len() {
            return Read::Full;
        }
        out.put_slice(&text[at..found]);
        match (text[found], text.get(found + 1)) {
            (b'"', _) => return Read::Whole(found + 1),
            (_, Some(escaped @ (b'"' | b'\\' | b'/'))) => out.put_u8(*escaped),
            _ => return Read::Other,
        }
        at = found + 2;
    }
    Read::Other
}

/// How long the JSON string is with which this begins.
fn len(text: &[u8]) -> Option<usize> {
    let mut at = 1;
    loop {
        at += memchr2(b'"', b'\\', text.get(at..)?)?;
        if text[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}

/// The JSON string with which this begins, whatever is escaped in it; and how long it is there.
fn parse(text: &[u8]) -> Option<(Bytes, usize)> {
    let mut parsed = serde_json::Deserializer::from_slice(text).into_iter::<String>();
    let message = parsed.next()?.ok()?;
    Some((message.into(), parsed.byte_offset()))
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

    // T-32
    #[test]
    fn a_message_keeps_no_more_than_a_buffer_and_a_large_one_no_other() {
        let sizes = [1, 0, 8190, 8191, 8192, 8193, 1, 2 << 20, 1, 9000, 4000, 4000, 4000, 8000, 1, 5_000_000, 6000];
        for end in ["", "\"", "\u{1}"] {
            let sent: Vec<String> =
                sizes.iter().map(|size| "\"".repeat(size / 8) + &"x".repeat(size - size / 8) + end).collect();
            let body = Bytes::from(serde_json::to_vec(&sent).unwrap());
            let messages = Messages::new(&body, Some(std::str::from_utf8(&body).unwrap())).unwrap();
            let mut read: Vec<Bytes> = messages
                .map(|message| match message {
                    Ok(Frame::Text(text) | Frame::Binary(text)) => text,
                    other => panic!("{other:?}"),
                })
                .collect();
            assert!(read == sent);
            // The first in each buffer is the last that has it.
            while let Some(message) = read.pop() {
                let len = message.len();
                let kept = message.try_into_mut().map_or(0, |buffer| buffer.capacity());
                assert!(kept <= BUFFER.max(2 * len), "{len} bytes keep {kept}");
            }
        }
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
