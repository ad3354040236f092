//! The header of a V2 text frame, found without parsing its payload.

use std::borrow::Cow;

/// The five elements of `[join_ref, ref, topic, event, payload]`; the payload is whatever stands before the closing
/// bracket, neither parsed nor validated.
#[derive(Debug)]
pub(super) struct Scanned<'a> {
    pub(super) join_ref: Option<Cow<'a, str>>,
    pub(super) reference: Option<Cow<'a, str>>,
    pub(super) topic: Cow<'a, str>,
    pub(super) event: Cow<'a, str>,
    pub(super) payload: &'a [u8],
}

pub(super) fn scan(text: &[u8]) -> Result<Scanned<'_>, &'static str> {
    let mut cursor = Cursor { text, at: 0 };
    cursor.expect(b'[', "a frame that is not an array")?;
    let join_ref = cursor.reference()?;
    let reference = cursor.reference()?;
    let topic = cursor.string("a topic that is not a string")?;
    let event = cursor.string("an event that is not a string")?;
    let payload = cursor.rest()?;
    Ok(Scanned { join_ref, reference, topic, event, payload })
}

/// The status and response of a reply's payload. Phoenix writes `{"response":..,"status":"ok"}`, which is taken apart
/// without parsing the response; any other order, and a response that has a status of its own, is parsed.
pub(crate) fn reply(payload: &[u8]) -> Result<(Cow<'_, str>, &[u8]), serde_json::Error> {
    if let Some(found) = phoenix_reply(payload) {
        return Ok(found);
    }
    #[derive(serde::Deserialize)]
    struct Parts<'a> {
        #[serde(borrow)]
        status: Cow<'a, str>,
        #[serde(borrow, default)]
        response: Option<&'a serde_json::value::RawValue>,
    }
    let mut reader = serde_json::Deserializer::from_slice(payload);
    let parts: Parts<'_> = serde::Deserialize::deserialize(&mut reader)?;
    Ok((parts.status, parts.response.map_or(b"null", |raw| raw.get().as_bytes())))
}

fn phoenix_reply(payload: &[u8]) -> Option<(Cow<'_, str>, &[u8])> {
    const STATUS: &[u8] = b",\"status\":\"";
    let inside = payload.strip_prefix(b"{\"response\":")?.strip_suffix(b"\"}")?;
    let quote = memchr::memrchr(b'"', inside)?;
    let response = inside[..=quote].strip_suffix(STATUS)?;
    // A second one may be the reply's, and the last of an element behind the payload (W-3).
    if memchr::memmem::find(inside, STATUS) != Some(response.len()) {
        return None;
    }
    let status = std::str::from_utf8(&inside[quote + 1..]).ok()?;
    (!status.contains('\\')).then_some((Cow::Borrowed(status), response))
}

struct Cursor<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn blank(&mut self) {
        while matches!(self.text.get(self.at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn expect(&mut self, byte: u8, what: &'static str) -> Result<(), &'static str> {
        self.blank();
        if self.text.get(self.at) != Some(&byte) {
            return Err(what);
        }
        self.at += 1;
        Ok(())
    }

    fn comma(&mut self) -> Result<(), &'static str> {
        self.expect(b',', "an array of fewer than five elements")
    }

    /// A ref: a string, null, or a number, which some servers send (W-5).
    fn reference(&mut self) -> Result<Option<Cow<'a, str>>, &'static str> {
        const WRONG: &str = "a ref that is neither string, number nor null";
        self.blank();
        let rest = &self.text[self.at..];
        let found = match rest.first() {
            Some(b'"') => Some(self.quoted(WRONG)?),
            Some(b'n') if rest.starts_with(b"null") => {
                self.at += 4;
                None
            }
            Some(b'0'..=b'9' | b'-') => {
                let len = rest.iter().take_while(|b| b.is_ascii_digit() || b"+-.eE".contains(b)).count();
                self.at += len;
                Some(Cow::Borrowed(std::str::from_utf8(&rest[..len]).map_err(|_| WRONG)?))
            }
            _ => return Err(WRONG),
        };
        self.comma()?;
        Ok(found.filter(|text| !text.is_empty()))
    }

    fn string(&mut self, wrong: &'static str) -> Result<Cow<'a, str>, &'static str> {
        self.blank();
        if self.text.get(self.at) != Some(&b'"') {
            return Err(wrong);
        }
        let found = self.quoted(wrong)?;
        self.comma()?;
        Ok(found)
    }

    /// The string whose opening quote the cursor stands on.
    fn quoted(&mut self, wrong: &'static str) -> Result<Cow<'a, str>, &'static str> {
        let open = self.at;
        let (mut at, mut escaped) = (open + 1, false);
        loop {
            let rest = self.text.get(at..).ok_or(wrong)?;
            at += memchr::memchr2(b'"', b'\\', rest).ok_or(wrong)?;
            if self.text[at] == b'"' {
                break;
            }
            escaped = true;
            at += 2;
        }
        self.at = at + 1;
        if escaped {
            return serde_json::from_slice::<String>(&self.text[open..=at]).map(Cow::Owned).map_err(|_| wrong);
        }
        std::str::from_utf8(&self.text[open + 1..at]).map(Cow::Borrowed).map_err(|_| wrong)
    }

    /// What stands before the closing bracket.
    fn rest(mut self) -> Result<&'a [u8], &'static str> {
        self.blank();
        let inside = self.text[self.at..].trim_ascii_end().strip_suffix(b"]").ok_or("an array that does not end")?;
        let inside = inside.trim_ascii_end();
        if inside.is_empty() { Err("an array of fewer than five elements") } else { Ok(inside) }
    }
}
