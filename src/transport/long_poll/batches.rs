//! What is to be sent, cut into what one request may carry.

use std::collections::VecDeque;

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::{BufMut, Bytes, BytesMut};

use crate::transport::Frame;

/// The server drops what comes behind so many lines, and says nothing (L-26).
const LINES: usize = 100;

/// What waits to be sent, in order.
#[derive(Debug)]
pub(super) struct Batches {
    waiting: VecDeque<Batch>,
    max_bytes: usize,
}

/// The body of one request.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) body: BytesMut,
    pub(super) form: Form,
    lines: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A message in each line: a text that begins with `[`, or a binary frame in Base64.
    Lines,
    /// The whole is one text, which is the form for any that does not begin so.
    Whole,
}

impl Form {
    /// The first is understood in exactly this spelling (L-25).
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Form::Lines => "application/x-ndjson",
            Form::Whole => "application/json",
        }
    }
}

impl Batches {
    pub(super) fn new(max_bytes: usize) -> Self {
        Batches { waiting: VecDeque::new(), max_bytes }
    }

    /// Whether another message should rather wait: one request is full.
    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() > 1
            || self.waiting.front().is_some_and(|batch| {
                batch.form == Form::Whole || batch.lines >= LINES || batch.body.len() >= self.max_bytes
            })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Nothing is made of a close frame, nor of an empty one, which is no message and would be an empty line.
    pub(super) fn push(&mut self, frame: &Frame) {
        match frame {
            Frame::Text(bytes) | Frame::Binary(bytes) if bytes.is_empty() => {}
            Frame::Text(text) if text.starts_with(b"[") => self.line(text.len(), |body| put_text(body, text)),
            Frame::Text(text) => {
                self.waiting.push_back(Batch { body: BytesMut::from(&text[..]), form: Form::Whole, lines: 1 });
            }
            Frame::Binary(bytes) => {
                self.line(bytes.len().div_ceil(3) * 4, |body| body.put(STANDARD.encode(bytes).as_bytes()));
            }
            Frame::Close { .. } => {}
        }
    }

    /// What the next request is to carry.
    pub(super) fn pop(&mut self) -> Option<Batch> {
        self.waiting.pop_front()
    }

    /// No newline stands at the end, nor an empty line anywhere: the session would not survive it.
    fn line(&mut self, len: usize, put: impl FnOnce(&mut BytesMut)) {
        let max = self.max_bytes;
        let fits =
            |batch: &&mut Batch| batch.form == Form::Lines && batch.lines < LINES && batch.body.len() + 1 + len <= max;
        match self.waiting.back_mut().filter(fits) {
            Some(batch) => {
                batch.body.put_u8(b'\n');
                put(&mut batch.body);
                batch.lines += 1;
            }
            None => {
                let mut body = BytesMut::with_capacity(len);
                put(&mut body);
                self.waiting.push_back(Batch { body, form: Form::Lines, lines: 1 });
            }
        }
    }
}

/// A line break in JSON text stands between tokens, where a space says the same.
fn put_text(body: &mut BytesMut, text: &Bytes) {
    let begin = body.len();
    body.put(&text[..]);
    if memchr::memchr2(b'\n', b'\r', text).is_some() {
        body[begin..].iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')).for_each(|byte| *byte = b' ');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Frame {
        Frame::Text(Bytes::copy_from_slice(text.as_bytes()))
    }

    fn all(mut batches: Batches) -> Vec<(String, Form)> {
        std::iter::from_fn(|| batches.pop())
            .map(|batch| (String::from_utf8(batch.body.to_vec()).unwrap(), batch.form))
            .collect()
    }

    fn batched(max_bytes: usize, frames: &[Frame]) -> Vec<(String, Form)> {
        let mut batches = Batches::new(max_bytes);
        frames.iter().for_each(|frame| batches.push(frame));
        all(batches)
    }

    // L-23, L-25
    #[test]
    fn messages_are_lines_without_a_newline_at_the_end() {
        let frames = [text("[1]"), text("[2]")];
        assert_eq!(batched(1000, &frames), [("[1]\n[2]".to_owned(), Form::Lines)]);
        assert_eq!(Form::Lines.content_type(), "application/x-ndjson");
    }

    // L-26
    #[test]
    fn a_request_carries_a_hundred_messages() {
        let frames: Vec<Frame> = (0..250).map(|n| text(&format!("[{n}]"))).collect();
        let batches = batched(1 << 20, &frames);
        let lines: Vec<usize> = batches.iter().map(|(body, _)| body.lines().count()).collect();
        assert_eq!(lines, [100, 100, 50]);
        let all: Vec<&str> = batches.iter().flat_map(|(body, _)| body.lines()).collect();
        let expected: Vec<String> = (0..250).map(|n| format!("[{n}]")).collect();
        assert_eq!(all, expected);
    }

    // L-34
    #[test]
    fn a_request_carries_so_many_bytes_and_a_larger_message_goes_alone() {
        let large = format!("[\"{}\"]", "x".repeat(20));
        let frames = [text("[1]"), text("[2]"), text("[3]"), text(&large), text("[4]")];
        let bodies: Vec<String> = batched(7, &frames).into_iter().map(|(body, _)| body).collect();
        assert_eq!(bodies, ["[1]\n[2]", "[3]", &large, "[4]"]);
    }

    // L-29, W-32
    #[test]
    fn binary_is_padded_base64() {
        let frames = [Frame::Binary(Bytes::from_static(b"\0\x01\x01\x07\x08\xff\xfe")), text("[1]")];
        assert_eq!(batched(1000, &frames), [("AAEBBwj//g==\n[1]".to_owned(), Form::Lines)]);
        let frame = Frame::Binary(Bytes::from_static(b"abcd"));
        assert_eq!(batched(1000, std::slice::from_ref(&frame)), [("YWJjZA==".to_owned(), Form::Lines)]);
    }

    // L-30, L-33
    #[test]
    fn what_does_not_begin_as_a_line_must_goes_alone_in_its_order() {
        let frames = [text("[1]"), text("{\"a\":1}"), text(" [2]"), text("[3]")];
        let lines = |body: &str| (body.to_owned(), Form::Lines);
        let whole = |body: &str| (body.to_owned(), Form::Whole);
        assert_eq!(batched(1000, &frames), [lines("[1]"), whole("{\"a\":1}"), whole(" [2]"), lines("[3]")]);
    }

    // L-25
    #[test]
    fn a_line_break_in_a_message_is_none_in_the_body() {
        let frames = [text("[1,\n\r\n{\"a\": \"\\n\"}]"), text("[2]")];
        assert_eq!(batched(1000, &frames), [("[1,   {\"a\": \"\\n\"}]\n[2]".to_owned(), Form::Lines)]);
    }

    #[test]
    fn a_full_request_holds_the_next_message_back() {
        let mut batches = Batches::new(1000);
        for n in 0..LINES {
            assert!(!batches.is_full());
            batches.push(&text(&format!("[{n}]")));
        }
        assert!(batches.is_full());
        assert!(batches.pop().is_some());
        assert!(!batches.is_full());
        batches.push(&text("{}"));
        assert!(batches.is_full());
    }
}
