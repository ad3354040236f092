//! The header of a V2 text frame, found without parsing its payload.

use std::{borrow::Cow, sync::LazyLock};

use memchr::memmem;

/// Takes frames `[join_ref, ref, topic, event, payload]` apart, and remembers the last header: most frames of a flood
/// begin with the same one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scanner {
    /// All that stood before the payload of the last frame, unless it was long.
    header: Vec<u8>,
    /// Where join ref, ref, topic and event stand in it, in UTF-8; a ref that is not there is empty.
    names: [Span; 4],
    /// The number of this header. Another one has another.
    pub(super) number: u64,
    /// Whether escapes stand in any of them, which have to be [spelled](Scanner::spell) out.
    pub(super) escaped: bool,
}

/// From the first byte up to the other.
type Span = (usize, usize);

/// A longer header is not remembered.
const REMEMBERED: usize = 512;

impl Scanner {
    /// The payload of a frame, which is whatever stands before the closing bracket, neither parsed nor validated. What
    /// stands before it is told by [`names`](Scanner::names).
    #[inline]
    pub(super) fn scan<'a>(&mut self, text: &'a [u8]) -> Result<&'a [u8], &'static str> {
        let behind = match text.strip_prefix(&*self.header) {
            Some(behind) if !self.header.is_empty() => behind,
            _ => self.scan_header(text)?,
        };
        let inside = behind.trim_ascii_end().strip_suffix(b"]").ok_or("an array that does not end")?.trim_ascii();
        if inside.is_empty() { Err("an array of fewer than five elements") } else { Ok(inside) }
    }

    /// Join ref, ref, topic and event of the frame that was scanned last.
    #[inline]
    pub(super) fn names<'a>(&self, text: &'a [u8]) -> [&'a [u8]; 4] {
        let [join_ref, reference, topic, event] = self.names;
        let name = |(start, end): Span| &text[start..end];
        [name(join_ref), name(reference), name(topic), name(event)]
    }

    /// These names as they are meant, where escapes stand in them.
    #[cold]
    pub(super) fn spell<'a>(&self, text: &'a [u8]) -> Result<[Cow<'a, [u8]>; 4], &'static str> {
        let mut names = self.names(text).map(Cow::Borrowed);
        for name in names.iter_mut().filter(|name| name.contains(&b'\\')) {
            let quoted = [b"\"", &**name, b"\""].concat();
            let text: String = serde_json::from_slice(&quoted).map_err(|_| "a name whose escapes cannot be read")?;
            *name = Cow::Owned(text.into_bytes());
        }
        Ok(names)
    }

    /// What stands behind the header.
    fn scan_header<'a>(&mut self, text: &'a [u8]) -> Result<&'a [u8], &'static str> {
        const WRONG: [&str; 4] = {
            let reference = "a ref that is neither string, number nor null";
            [reference, reference, "a topic that is not a string", "an event that is not a string"]
        };
        self.header.clear();
        self.number += 1;
        self.escaped = false;
        let mut cursor = Cursor { text, at: 0 };
        cursor.expect(b'[', "a frame that is not an array")?;
        for (index, wrong) in WRONG.into_iter().enumerate() {
            self.names[index] = match cursor.peek() {
                Some(b'"') => cursor.quoted(&mut self.escaped).ok_or(wrong)?,
                _ if index < 2 => cursor.bare().ok_or(wrong)?,
                _ => return Err(wrong),
            };
            cursor.expect(b',', "an array of fewer than five elements")?;
        }
        let (header, behind) = text.split_at(cursor.at);
        if !header.is_ascii() && std::str::from_utf8(header).is_err() {
            return Err("names that are not UTF-8");
        }
        if header.len() <= REMEMBERED {
            self.header.extend_from_slice(header);
        }
        Ok(behind)
    }
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
    static SEARCH: LazyLock<memmem::Finder<'_>> = LazyLock::new(|| memmem::Finder::new(STATUS));
    if response.len() >= STATUS.len() && SEARCH.find(response).is_some() {
        return None;
    }
    let status = std::str::from_utf8(&inside[quote + 1..]).ok()?;
    (!status.contains('\\')).then_some((Cow::Borrowed(status), response))
}

struct Cursor<'a> {
    text: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    /// The next byte that is no blank.
    #[inline(always)]
    fn peek(&mut self) -> Option<u8> {
        loop {
            let byte = *self.text.get(self.at)?;
            if byte > b' ' || !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(byte);
            }
            self.at += 1;
        }
    }

    #[inline(always)]
    fn expect(&mut self, byte: u8, what: &'static str) -> Result<(), &'static str> {
        if self.peek() != Some(byte) {
            return Err(what);
        }
        self.at += 1;
        Ok(())
    }

    /// Where a ref without quotes stands: nowhere if it is null, or a number, which some servers send (W-5).
    #[inline(always)]
    fn bare(&mut self) -> Option<Span> {
        let rest = &self.text[self.at..];
        if rest.starts_with(b"null") {
            self.at += 4;
            return Some((0, 0));
        }
        let start = self.at;
        self.at += rest.iter().take_while(|byte| byte.is_ascii_digit() || b"+-.eE".contains(byte)).count();
        matches!(rest.first(), Some(b'0'..=b'9' | b'-')).then_some((start, self.at))
    }

    /// Where the string stands whose opening quote is next.
    #[inline(always)]
    fn quoted(&mut self, escaped: &mut bool) -> Option<Span> {
        let start = self.at + 1;
        let mut end = quote_or_backslash(self.text, start)?;
        while self.text[end] != b'"' {
            *escaped = true;
            end = quote_or_backslash(self.text, end + 2)?;
        }
        self.at = end + 1;
        Some((start, end))
    }
}

/// Where the first of them stands from there on. Names are short, and eight bytes at once are found sooner than a
/// search by vectors has begun.
#[inline(always)]
fn quote_or_backslash(text: &[u8], from: usize) -> Option<usize> {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const QUOTES: u64 = u64::from_ne_bytes([b'"'; 8]);
    const BACKSLASHES: u64 = u64::from_ne_bytes([b'\\'; 8]);
    // The highest bit of each byte that is zero, and maybe of those behind the first.
    let zeros = |bytes: u64| bytes.wrapping_sub(ONES) & !bytes & (ONES << 7);
    let mut at = from;
    while let Some(eight) = text.get(at..).and_then(<[u8]>::first_chunk) {
        let eight = u64::from_le_bytes(*eight);
        let found = zeros(eight ^ QUOTES) | zeros(eight ^ BACKSLASHES);
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    let rest = text.get(at..)?;
    rest.iter().position(|byte| matches!(byte, b'"' | b'\\')).map(|behind| at + behind)
}
