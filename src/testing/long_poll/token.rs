//! Session tokens: as long and as opaque as Phoenix', and as sure of themselves.

use std::{
    hash::{BuildHasher, RandomState},
    sync::LazyLock,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

const ALGORITHM: &str = "SFMyNTY";
/// How Phoenix' tokens begin: `{{:v1, endpoint_id, ..`.
const HEAD: &[u8] = b"\x83h\x03h\x04d\0\x02v1m\0\0\0\x16";
/// What makes a token of 224 characters.
const LEN: usize = 129;

/// Signs the tokens of all servers in this process, so that each knows the others' as real, if not as its own.
static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// Which session of which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct SessionId {
    pub(in super::super) server: u64,
    pub(in super::super) id: u64,
}

impl SessionId {
    pub(super) fn token(self) -> String {
        let mut data = [HEAD, &self.server.to_be_bytes(), &self.id.to_be_bytes()].concat();
        data.resize_with(LEN, || fastrand::u8(..));
        let [text, signature] = [&data[..], &signature(&data)].map(|part| URL_SAFE_NO_PAD.encode(part));
        format!("{ALGORITHM}.{text}.{signature}")
    }

    /// `None` is nothing that any server gave out.
    pub(super) fn read(token: &str) -> Option<Self> {
        let (text, signed) = token.strip_prefix(ALGORITHM)?.strip_prefix('.')?.split_once('.')?;
        let data = URL_SAFE_NO_PAD.decode(text).ok()?;
        if URL_SAFE_NO_PAD.decode(signed).ok()? != signature(&data) {
            return None;
        }
        let (server, rest) = data.strip_prefix(HEAD)?.split_first_chunk()?;
        let (id, _) = rest.split_first_chunk()?;
        Some(SessionId { server: u64::from_be_bytes(*server), id: u64::from_be_bytes(*id) })
    }
}

/// As long as Phoenix'. Nothing here needs it to withstand an attack.
fn signature(data: &[u8]) -> [u8; 32] {
    let mut signature = [0; 32];
    for (n, part) in signature.chunks_exact_mut(8).enumerate() {
        part.copy_from_slice(&KEY.hash_one((n, data)).to_be_bytes());
    }
    signature
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: SessionId = SessionId { server: u64::MAX, id: 7 };

    // L-38
    #[test]
    fn a_token_is_read_as_it_was_written() {
        let token = ID.token();
        assert_eq!(token.len(), 224);
        assert!(token.starts_with("SFMyNTY.g2gDaARkAAJ2MW0AAAAW"));
        assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)), "{token}");
        assert_eq!(SessionId::read(&token), Some(ID));
        assert_ne!(token, ID.token());
    }

    #[test]
    fn nothing_else_is_a_token() {
        let token = ID.token();
        for at in 0..token.len() {
            let mut other = token.clone().into_bytes();
            other[at] = if other[at] == b'A' { b'B' } else { b'A' };
            let other = String::from_utf8(other).unwrap();
            assert_eq!(SessionId::read(&other), None, "{other}");
            assert_eq!(SessionId::read(&token[..at]), None);
        }
        for other in ["", ".", "..", "garbage", "SFMyNTY..", "é", &format!("{token}A")] {
            assert_eq!(SessionId::read(other), None);
        }
    }
}
