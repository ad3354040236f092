//! A walk through JSON, which parses what it is asked for and passes the rest, with pauses as long as one likes.

use std::{borrow::Cow, mem};

use serde::{
    Deserialize,
    de::{Error, IgnoredAny},
};
use serde_json::Deserializer;

use crate::{error::DecodeError, payload::Payload};

/// How far one has come.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    text: &'a [u8],
    at: usize,
}

const OBJECT: &[u8; 2] = b"{}";
const LIST: &[u8; 2] = b"[]";

impl<'a> Walk<'a> {
    /// Goes on in this place, in bytes; 0 is where it begins.
    pub(super) fn new(payload: &'a Payload, at: usize) -> Result<Self, DecodeError> {
        if payload.is_binary() {
            return Err(DecodeError::new("a binary payload is not JSON"));
        }
        Ok(Walk { text: payload.as_bytes(), at })
    }

    /// In bytes.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// The name of the next field of an object, or none behind the last one. Its value is to be walked through next.
    pub(super) fn field(&mut self, is_first: bool) -> Result<Option<Cow<'a, str>>, DecodeError> {
        if !self.next(OBJECT, is_first)? {
            return Ok(None);
        }
        let name = self.string()?;
        self.expect(b":")?;
        Ok(Some(name))
    }

    /// All fields of an object: whoever is given the name walks through the value.
    pub(super) fn fields(
        &mut self,
        mut each: impl FnMut(&mut Self, Cow<'a, str>) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        let mut is_first = true;
        while let Some(name) = self.field(mem::take(&mut is_first))? {
            each(self, name)?;
        }
        Ok(())
    }

    /// All values of a list, which somebody walks through.
    pub(super) fn list(
        &mut self,
        mut each: impl FnMut(&mut Self) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        let mut is_first = true;
        while self.next(LIST, mem::take(&mut is_first))? {
            each(self)?;
        }
        Ok(())
    }

    /// Passes whatever is walked through; its text.
    pub(super) fn text(
        &mut self,
        walk: impl FnOnce(&mut Self) -> Result<(), DecodeError>,
    ) -> Result<&'a str, DecodeError> {
        self.peek();
        let start = self.at;
        walk(self)?;
        std::str::from_utf8(&self.text[start..self.at]).map_err(DecodeError::new)
    }

    /// A string, borrowed where it has no escapes.
    pub(super) fn string(&mut self) -> Result<Cow<'a, str>, DecodeError> {
        if let Some(plain) = self.plain() {
            return std::str::from_utf8(plain).map(Cow::Borrowed).map_err(DecodeError::new);
        }
        #[derive(Deserialize)]
        struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
        self.value().map(|Text(text)| text)
    }

    /// Passes a value of any kind. That it is UTF-8 is not looked at.
    pub(super) fn pass(&mut self) -> Result<(), DecodeError> {
        match self.plain() {
            Some(_) => Ok(()),
            None => self.value().map(|IgnoredAny| ()),
        }
    }

    /// Passes a string without escapes, if one is next: most values are.
    fn plain(&mut self) -> Option<&'a [u8]> {
        if self.peek() != Some(b'"') {
            return None;
        }
        let text = &self.text[self.at + 1..];
        let len = text.iter().position(|byte| matches!(byte, b'"' | b'\\' | ..b' '))?;
        (text[len] == b'"').then(|| {
            self.at += len + 2;
            &text[..len]
        })
    }

    fn value<T: Deserialize<'a>>(&mut self) -> Result<T, DecodeError> {
        let mut values = Deserializer::from_slice(&self.text[self.at..]).into_iter();
        let value = values.next().unwrap_or_else(|| Err(Error::custom("it ends where a value has to be")));
        let (at, read) = (self.at, values.byte_offset());
        self.at += read;
        value.map_err(|error| {
            // Its place is counted from where this value begins.
            let error = error.to_string();
            let why = error.rsplit_once(" at line ").map_or(&*error, |(why, _)| why);
            DecodeError::new(format!("{why}, in the value at byte {at}"))
        })
    }

    /// Whether there is another one between these brackets.
    fn next(&mut self, [open, close]: &[u8; 2], is_first: bool) -> Result<bool, DecodeError> {
        if !is_first {
            return Ok(self.expect(&[b',', *close])? == b',');
        }
        self.expect(&[*open])?;
        let is_empty = self.peek() == Some(*close);
        self.at += usize::from(is_empty);
        Ok(!is_empty)
    }

    fn peek(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.text.get(self.at) {
            self.at += 1;
        }
        self.text.get(self.at).copied()
    }

    fn expect(&mut self, wanted: &[u8]) -> Result<u8, DecodeError> {
        match self.peek().filter(|byte| wanted.contains(byte)) {
            Some(byte) => {
                self.at += 1;
                Ok(byte)
            }
            None => {
                let (wanted, at) = (wanted[0] as char, self.at);
                Err(DecodeError::new(format!("no object of presences: no `{wanted}` at byte {at}")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(text: &'static str) -> Result<Vec<(String, String)>, DecodeError> {
        let payload = Payload::from_raw(text, false);
        let (mut walk, mut found) = (Walk::new(&payload, 0)?, Vec::new());
        walk.fields(|walk, name| {
            found.push((name.into_owned(), walk.text(Walk::pass)?.to_owned()));
            Ok(())
        })?;
        Ok(found)
    }

    #[test]
    fn it_goes_through_all_fields() {
        assert_eq!(walk("{}").unwrap(), []);
        assert_eq!(walk(" { } ").unwrap(), []);
        let found = walk(" {\n\"a\" : \"1\" , \"\\u00e9\\\"\":\"\\\"\",\"\":[3, {}]}, and more").unwrap();
        assert_eq!(
            found,
            [("a", "\"1\""), ("é\"", r#""\"""#), ("", "[3, {}]")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
    }

    // P-42
    #[test]
    fn what_is_no_object_is_an_error() {
        for text in [
            "",
            "[]",
            "null",
            "7",
            "{",
            "{,}",
            "{\"a\"}",
            "{\"a\":\"1\"",
            "{\"a\":\"1\",}",
            "{\"a\":\"1\";\"b\":\"2\"}",
            "{a:\"1\"}",
            "{\"a\":}",
            "{\"a\":\"1}",
            "{\"a\":\"\n\"}",
            "{\"a\":\"\\x\"}",
            "{\"a\":1x}",
        ] {
            assert!(walk(text).is_err(), "{text}");
        }
        assert!(Walk::new(&Payload::from_raw("{}", true), 0).is_err());
        let mistaken = Payload::from_raw(&b"{\"a\":\"\xff\"}"[..], false);
        let passed = Walk::new(&mistaken, 0).unwrap().text(|walk| walk.fields(|walk, _| walk.pass()));
        assert!(passed.is_err(), "it is no text");
    }
}
