//! A user and a password, as HTTP carries them.

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderValue, Uri};
use percent_encoding::percent_decode_str;

/// What the userinfo of a URL says in an `Authorization` header: `Basic`, percent-decoded.
pub(crate) fn of(url: &Uri) -> Option<HeaderValue> {
    let (userinfo, _) = url.authority()?.as_str().rsplit_once('@')?;
    let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
    let decode = |part| percent_decode_str(part).collect::<Vec<u8>>();
    Some(basic(&decode(user), &decode(password)))
}

/// The `Basic` of RFC 7617.
pub(super) fn basic(user: &[u8], password: &[u8]) -> HeaderValue {
    let both = [user, b":", password].concat();
    let mut value = HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(both))).expect("base64 is legal");
    value.set_sensitive(true);
    value
}
