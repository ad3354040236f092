//! A proxy: where it is, what it speaks, and what it is told.

use std::fmt;

use http::HeaderValue;
use url::{Host, Url};

use super::{Target, credentials::Credentials};
use crate::error::BuildError;

#[derive(Clone)]
pub(super) struct Proxy {
    host: String,
    port: u16,
    pub(super) protocol: Protocol,
    credentials: Option<Credentials>,
}

#[derive(Clone, Copy)]
pub(super) enum Protocol {
    Http,
    Https,
    Socks5(Names),
}

/// Where the names of servers are looked up.
#[derive(Clone, Copy)]
pub(super) enum Names {
    Here,
    ByProxy,
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
        let protocol = Protocol::of(url.scheme())?;
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(|| unusable("it has no host"))?;
        // Only of the schemes that a browser knows is the host read by now.
        let host = Host::parse(host).map_err(unusable)?.to_string();
        let port = url.port().unwrap_or(protocol.usual_port());
        let credentials = match (url.username(), url.password()) {
            ("", None) => None,
            (user, password) => Some(Credentials::decoded(user, password.unwrap_or_default())),
        };
        let proxy = Proxy { host, port, protocol, credentials };
        proxy.check()?;
        Ok(proxy)
    }

    /// The same, and where there are credentials here, it is told these.
    pub(super) fn telling(&self, credentials: Option<&Credentials>) -> Self {
        Proxy { credentials: credentials.or(self.credentials.as_ref()).cloned(), ..self.clone() }
    }

    /// Whether it can be told what it is to be told.
    pub(super) fn check(&self) -> Result<(), BuildError> {
        match self.protocol {
            Protocol::Http | Protocol::Https => self.authorization().map(drop),
            Protocol::Socks5(_) => self.login().map(drop),
        }
    }

    #[cfg(feature = "long-poll")]
    pub(super) fn speaks_http(&self) -> bool {
        matches!(self.protocol, Protocol::Http | Protocol::Https)
    }

    /// What it is told by HTTP, in its own header.
    pub(super) fn authorization(&self) -> Result<Option<HeaderValue>, BuildError> {
        self.credentials.as_ref().map(Credentials::basic).transpose()
    }

    /// The user and the password that it is told by SOCKS.
    pub(super) fn login(&self) -> Result<Option<(&str, &str)>, BuildError> {
        self.credentials.as_ref().map(Credentials::socks).transpose()
    }

    pub(super) fn target(&self) -> Target<'_> {
        let tls = matches!(self.protocol, Protocol::Https);
        Target { host: &self.host, port: self.port, tls, is_proxy: true }
    }
}

impl Protocol {
    fn of(scheme: &str) -> Result<Self, BuildError> {
        match scheme {
            "http" => Ok(Protocol::Http),
            "https" if cfg!(any(feature = "rustls", feature = "native-tls")) => Ok(Protocol::Https),
            "https" => Err(unusable("`https` takes the feature `rustls` or `native-tls`")),
            "socks5" => Ok(Protocol::Socks5(Names::Here)),
            "socks5h" => Ok(Protocol::Socks5(Names::ByProxy)),
            other if other.starts_with("socks") => Err(unusable(
                "of SOCKS only version 5 is spoken: `socks5`, or `socks5h` for a proxy that looks up names itself",
            )),
            _ => Err(unusable("its scheme is none of `http`, `https`, `socks5` and `socks5h`")),
        }
    }

    fn scheme(self) -> &'static str {
        match self {
            Protocol::Http => "http",
            Protocol::Https => "https",
            Protocol::Socks5(Names::Here) => "socks5",
            Protocol::Socks5(Names::ByProxy) => "socks5h",
        }
    }

    fn usual_port(self) -> u16 {
        match self {
            Protocol::Http => 80,
            Protocol::Https => 443,
            Protocol::Socks5(_) => 1080,
        }
    }
}

/// Without credentials.
impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.protocol.scheme(), self.target())
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
        let authorization = proxy.authorization().unwrap().map(|value| value.to_str().unwrap().to_owned());
        (format!("{proxy:?}"), authorization)
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
            ("http://b\u{fc}cher.example:1", "http://xn--bcher-kva.example:1"),
            ("socks5://Proxy.Example", "socks5://proxy.example:1080"),
            ("SOCKS5H://proxy.example:80/", "socks5h://proxy.example:80"),
            ("socks5h://[fd00::1]", "socks5h://[fd00::1]:1080"),
            ("socks5://127.1:9050", "socks5://127.0.0.1:9050"),
            ("socks5://b\u{fc}cher.example", "socks5://xn--bcher-kva.example:1080"),
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

    #[test]
    fn userinfo_for_socks_is_percent_decoded_text_of_1_to_255_bytes() {
        let long = "x".repeat(255);
        for (userinfo, login) in [
            ("ann:s%40fe", ("ann", "s@fe")),
            ("a%3An:p", ("a:n", "p")),
            ("zo%C3%AB:p%00", ("zo\u{eb}", "p\0")),
            (&format!("{long}:{long}"), (&*long, &*long)),
        ] {
            let proxy = Proxy::parse(&format!("socks5h://{userinfo}@proxy")).unwrap();
            assert_eq!(proxy.login().unwrap(), Some(login));
            assert!(proxy.telling(Some(&Credentials::new("bob", ""))).check().is_err());
            assert_eq!(proxy.telling(Some(&Credentials::new("bob", "p"))).login().unwrap(), Some(("bob", "p")));
        }
        assert_eq!(Proxy::parse("socks5://proxy").unwrap().login().unwrap(), None);
        for (userinfo, why) in [
            ("hunter2".to_owned(), "password is empty"),
            (":hunter2".to_owned(), "user is empty"),
            (format!("hunter2:{long}x"), "password is longer"),
            (format!("{long}%C3:hunter2"), "user is longer"),
            ("hunter2:%FF".to_owned(), "password is no UTF-8"),
        ] {
            let error = Proxy::parse(&format!("socks5://{userinfo}@proxy")).unwrap_err();
            assert!(error.to_string().contains(why), "{error}");
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
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
            "socks5://",
            "socks5://ann:hunter2@",
            "socks5://ann:hunter2@:1080",
            "socks5://ann:hunter2@proxy:port",
            "socks5://ann:hunter2@pro xy",
            "socks5://ann:hunter2@pro%20xy",
            "socks5h://ann:hunter2@[fd00",
        ] {
            let error = Proxy::parse(text).unwrap_err();
            assert!(matches!(error, BuildError::Proxy(_)), "{error:?}");
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        }
        for scheme in ["socks", "socks4", "socks4a", "socks6"] {
            let error = Proxy::parse(&format!("{scheme}://ann:hunter2@proxy:1080")).unwrap_err();
            assert!(error.to_string().contains("`socks5`") && !error.to_string().contains("hunter2"), "{error}");
        }
        for proxy in ["ann:hunter2@proxy:1", "socks5://ann:hunter2@proxy"] {
            let proxy = Proxy::parse(proxy).unwrap();
            let shown = format!("{proxy:?} {:?}", proxy.authorization());
            assert!(!shown.contains("hunter2") && !shown.contains(&STANDARD.encode("ann:hunter2")), "{shown}");
        }
    }
}
