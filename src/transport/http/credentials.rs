//! A user and a password, as HTTP and SOCKS carry them.

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderValue, Uri};
use percent_encoding::percent_decode_str;

use crate::error::BuildError;

/// What the userinfo of a URL says in an `Authorization` header: `Basic`, percent-decoded.
pub(crate) fn of(url: &Uri) -> Option<HeaderValue> {
    let (userinfo, _) = url.authority()?.as_str().rsplit_once('@')?;
    let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
    Some(basic(&decode(user), &decode(password)))
}

/// What a proxy is told, as it is. Without `Debug`, since nobody is to see it.
#[derive(Clone)]
pub(super) struct Credentials {
    user: Vec<u8>,
    password: Vec<u8>,
}

impl Credentials {
    pub(super) fn new(user: &str, password: &str) -> Self {
        Credentials { user: user.into(), password: password.into() }
    }

    pub(super) fn decoded(user: &str, password: &str) -> Self {
        Credentials { user: decode(user), password: decode(password) }
    }

    /// For a header.
    ///
    /// # Errors
    /// [`BuildError::Proxy`]: `Basic` ends the user at the first colon.
    pub(super) fn basic(&self) -> Result<HeaderValue, BuildError> {
        if self.user.contains(&b':') {
            return Err(BuildError::Proxy("its user has a colon in the name".into()));
        }
        Ok(basic(&self.user, &self.password))
    }

    /// For SOCKS (RFC 1929).
    ///
    /// # Errors
    /// [`BuildError::Proxy`]: either takes 1 to 255 bytes, and is text.
    pub(super) fn socks(&self) -> Result<(&str, &str), BuildError> {
        Ok((socks("user", &self.user)?, socks("password", &self.password)?))
    }
}

fn socks<'a>(what: &str, bytes: &'a [u8]) -> Result<&'a str, BuildError> {
    let unusable = |why| BuildError::Proxy(format!("its {what} {why}").into());
    match bytes.len() {
        0 => Err(unusable("is empty, which SOCKS does not allow")),
        1..=255 => str::from_utf8(bytes).map_err(|_| unusable("is no UTF-8")),
        _ => Err(unusable("is longer than 255 bytes, which is all that SOCKS carries")),
    }
}

fn decode(part: &str) -> Vec<u8> {
    percent_decode_str(part).collect()
}

/// The `Basic` of RFC 7617.
fn basic(user: &[u8], password: &[u8]) -> HeaderValue {
    let both = [user, b":", password].concat();
    let mut value = HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(both))).expect("base64 is legal");
    value.set_sensitive(true);
    value
}
