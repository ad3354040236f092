//! A proxy: where it is, and what it is told.

use std::fmt;

use http::HeaderValue;
use percent_encoding::percent_decode_str;
use url::Url;

use super::{Target, credentials::basic};
use crate::error::BuildError;

#[derive(Clone)]
pub(super) struct Proxy {
    host: String,
    port: u16,
    tls: bool,
    pub(super) credentials: Option<HeaderValue>,
}

impl Proxy {
    /// Reads `http://user:password@host:port`. Without a scheme it is `http`; a path says nothing.
    ///
    /// # Errors
    /// [`BuildError::Proxy`], in words that hold nothing of the userinfo.
    pub(super) fn parse(text: &str) -> Result<Self, BuildError> {
        let text = text.trim();
        let whole = if text.contains("://") { text } else { &format!("http://{text}") };
        let url = Url::parse(whole).map_err(unusable)?;
        let tls = match url.scheme() {
            "http" => false,
            "https" if cfg!(any(feature = "rustls", feature = "native-tls")) => true,
            "https" => return Err(unusable("`https` takes the feature `rustls` or `native-tls`")),
            scheme if scheme.starts_with("socks") => {
                return Err(unusable("SOCKS is not spoken, only CONNECT with an `http` or `https` proxy"));
            }
            _ => return Err(unusable("its scheme is neither `http` nor `https`")),
        };
        let (host, port) = url.host_str().zip(url.port_or_known_default()).ok_or_else(|| unusable("it has no host"))?;
        let credentials = match (url.username(), url.password()) {
            ("", None) => None,
            (user, password) => {
                let decode = |part| percent_decode_str(part).collect::<Vec<u8>>();
                Some(credentials(&decode(user), &decode(password.unwrap_or_default()))?)
            }
        };
        Ok(Proxy { host: host.to_owned(), port, tls, credentials })
    }

    /// The same, and this is what it is told.
    pub(super) fn telling(&self, credentials: Option<HeaderValue>) -> Self {
        Proxy { credentials, ..self.clone() }
    }

    pub(super) fn target(&self) -> Target<'_> {
        Target { host: &self.host, port: self.port, tls: self.tls, is_proxy: true }
    }
}

/// What a proxy is told in its own header.
///
/// # Errors
/// [`BuildError::Proxy`]: `Basic` ends the user at the first colon.
pub(super) fn credentials(user: &[u8], password: &[u8]) -> Result<HeaderValue, BuildError> {
    if user.contains(&b':') { Err(unusable("its user has a colon in the name")) } else { Ok(basic(user, password)) }
}

/// Without credentials.
impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.tls { "https" } else { "http" }, self.target())
    }
}

fn unusable(why: impl fmt::Display) -> BuildError {
    BuildError::Proxy(why.to_string().into())
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::STANDARD};

    use super::*;

    fn parsed(text: &str) -> (String, Option<String>) {
        let proxy = Proxy::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let credentials = proxy.credentials.as_ref().map(|value| value.to_str().unwrap().to_owned());
        (format!("{proxy:?}"), credentials)
    }

    #[test]
    fn proxies_are_read_as_they_are_written() {
        for (text, expected) in [
            ("http://proxy.example:3128", "http://proxy.example:3128"),
            ("HTTP://Proxy.Example:3128/", "http://proxy.example:3128"),
            ("http://proxy.example", "http://proxy.example:80"),
            ("https://proxy.example", "https://proxy.example:443"),
            (" proxy.example:3128\n", "http://proxy.example:3128"),
            ("10.0.0.1:8080", "http://10.0.0.1:8080"),
            ("http://[fd00::1]:8080/proxy.pac?x", "http://[fd00::1]:8080"),
        ] {
            if text.starts_with("https") && cfg!(not(any(feature = "rustls", feature = "native-tls"))) {
                assert!(Proxy::parse(text).is_err());
                continue;
            }
            assert_eq!(parsed(text), (expected.to_owned(), None), "{text}");
        }
    }

    #[test]
    fn userinfo_is_basic_and_percent_decoded() {
        for (userinfo, pair) in [
            ("ann:secret", "ann:secret"),
            ("ann", "ann:"),
            (":secret", ":secret"),
            ("ann:p%40ss%3A%2F", "ann:p@ss:/"),
            ("ann:a:b", "ann:a:b"),
            ("zo%C3%AB:%FF", "zo\u{eb}:\u{ff}"),
        ] {
            let expected: Vec<u8> = if userinfo.contains("%FF") { b"zo\xc3\xab:\xff".to_vec() } else { pair.into() };
            let (at, credentials) = parsed(&format!("{userinfo}@proxy:1"));
            assert_eq!(at, "http://proxy:1");
            assert_eq!(credentials, Some(format!("Basic {}", STANDARD.encode(expected))));
        }
    }

    // T-29
    #[test]
    fn what_is_no_proxy_is_an_error_without_its_secrets() {
        for text in [
            "",
            "http://",
            "http://ann:hunter2@",
            "http://ann:hunter2@proxy:port",
            "http://ann:hunter2@pro xy:1",
            "http://ann:hunter2@proxy:99999",
            "http://an%3An:hunter2@proxy:1",
            "ftp://ann:hunter2@proxy:1",
            "ws://ann:hunter2@proxy:1",
        ] {
            let error = Proxy::parse(text).unwrap_err();
            assert!(matches!(error, BuildError::Proxy(_)), "{error:?}");
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        }
        for scheme in ["socks", "socks4", "socks4a", "socks5", "socks5h"] {
            let error = Proxy::parse(&format!("{scheme}://ann:hunter2@proxy:1080")).unwrap_err();
            assert!(error.to_string().contains("SOCKS") && !error.to_string().contains("hunter2"), "{error}");
        }
        let proxy = Proxy::parse("ann:hunter2@proxy:1").unwrap();
        assert!(
            !format!("{proxy:?} {:?}", proxy.credentials).contains(&basic(b"ann", b"hunter2").to_str().unwrap()[6..])
        );
    }
}
