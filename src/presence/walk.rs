//! The fields of a large JSON object, one by one, with pauses as long as one likes.

use serde::Deserialize;
use serde_json::Deserializer;

use super::person::Text;
use crate::{error::DecodeError, payload::Payload};

/// How far the walk has come.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Walk {
    at: usize,
    ended: bool,
}

impl Walk {
    /// In bytes.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// The next field, or none behind the last one. It goes on in the same object.
    pub(super) fn next<'a, T: Deserialize<'a>>(
        &mut self,
        object: &'a Payload,
    ) -> Result<Option<(Text<'a>, T)>, DecodeError> {
        if object.is_binary() {
            return Err(DecodeError::new("a binary payload is not JSON"));
        }
        if self.ended {
            return Ok(None);
        }
        let text = object.as_bytes();
        if self.at == 0 {
            self.expect(text, b"{")?;
            if self.peek(text) == Some(b'}') {
                self.ended = true;
                return Ok(None);
            }
        } else if self.expect(text, b",}")? == b'}' {
            self.ended = true;
            return Ok(None);
        }
        let name = self.value(text)?;
        self.expect(text, b":")?;
        Ok(Some((name, self.value(text)?)))
    }

    fn value<'a, T: Deserialize<'a>>(&mut self, text: &'a [u8]) -> Result<T, DecodeError> {
        let mut values = Deserializer::from_slice(&text[self.at..]).into_iter();
        let value = values.next().unwrap_or_else(|| Err(serde::de::Error::custom("an object that does not end")));
        let value = value.map_err(DecodeError::new)?;
        self.at += values.byte_offset();
        Ok(value)
    }

    fn peek(&mut self, text: &[u8]) -> Option<u8> {
        let blanks = text[self.at..].iter().take_while(|byte| b" \t\n\r".contains(byte)).count();
        self.at += blanks;
        text.get(self.at).copied()
    }

    fn expect(&mut self, text: &[u8], wanted: &[u8]) -> Result<u8, DecodeError> {
        match self.peek(text).filter(|byte| wanted.contains(byte)) {
            Some(byte) => {
                self.at += 1;
                Ok(byte)
            }
            None => {
                Err(DecodeError::new(format!("no object of presences: no `{}` where one has to be", wanted[0] as char)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(text: &'static str) -> Result<Vec<(String, String)>, DecodeError> {
        let (object, mut walk, mut found) = (Payload::from_raw(text, false), Walk::default(), Vec::new());
        while let Some((name, value)) = walk.next(&object)? {
            found.push((name.0.into_owned(), value));
        }
        assert!(walk.next::<String>(&object)?.is_none(), "it has ended");
        Ok(found)
    }

    #[test]
    fn it_goes_through_all_fields() {
        assert_eq!(walk("{}").unwrap(), []);
        assert_eq!(walk(" { } ").unwrap(), []);
        let found = walk(" {\n\"a\" : \"1\" , \"\\u00e9\\\"\":\"2\",\"\":\"3\"}, and more").unwrap();
        assert_eq!(
            found,
            [("a", "1"), ("é\"", "2"), ("", "3")].map(|(name, value)| (name.to_owned(), value.to_owned()))
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
        ] {
            assert!(walk(text).is_err(), "{text}");
        }
        let binary = Payload::from_raw("{}", true);
        assert!(Walk::default().next::<String>(&binary).is_err());
    }
}
