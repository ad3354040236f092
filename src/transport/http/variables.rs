//! The proxies that a system's variables name: `http_proxy`, `https_proxy`, `all_proxy`, and `no_proxy` for the hosts
//! that are reached without.

mod no_proxy;

use std::{fmt, sync::Arc};

use super::{Target, proxy::Proxy};
use crate::log::TRANSPORT;

/// Where variables are looked up.
#[derive(Clone)]
pub(super) struct Variables(Lookup);

type Lookup = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

impl Variables {
    /// The process' own.
    pub(super) fn of_process() -> Self {
        Variables::new(|name| std::env::var(name).ok())
    }

    pub(super) fn new(lookup: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        Variables(Arc::new(lookup))
    }

    /// The proxy for this target, if there is one.
    ///
    /// What is local is not to be disturbed by what a machine needs for the world: loopback targets have none.
    pub(super) fn proxy_for(&self, target: &Target<'_>) -> Option<Proxy> {
        if target.is_loopback() {
            return None;
        }
        let proxy =
            self.named(if target.tls { "https_proxy" } else { "http_proxy" }).or_else(|| self.named("all_proxy"))?;
        let excluded = self.look_up("no_proxy").is_some_and(|(_, hosts)| no_proxy::names(&hosts, target));
        (!excluded).then_some(proxy)
    }

    fn named(&self, name: &str) -> Option<Proxy> {
        let (name, text) = self.look_up(name)?;
        match Proxy::parse(&text) {
            Ok(proxy) => Some(proxy),
            Err(error) => {
                tracing::warn!(target: TRANSPORT, variable = name, %error, "a variable of the system is skipped");
                None
            }
        }
    }

    /// By its name in small letters, then in capitals; nothing in it is as if it were not there.
    fn look_up(&self, name: &str) -> Option<(String, String)> {
        let capitals = name.to_ascii_uppercase();
        // A CGI program gets the header `Proxy` of whoever asks it as HTTP_PROXY.
        let forged = capitals == "HTTP_PROXY" && (self.0)("REQUEST_METHOD").is_some();
        let names = [Some(name.to_owned()), (!forged).then_some(capitals)];
        names.into_iter().flatten().find_map(|name| {
            let text = (self.0)(&name).filter(|text| !text.trim().is_empty())?;
            Some((name, text))
        })
    }
}

impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("variables")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy(variables: &'static [(&str, &str)], url: &str) -> Option<String> {
        let lookup = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, text)| (*text).to_owned());
        let url = url.parse().unwrap();
        Variables::new(lookup).proxy_for(&Target::of(&url)).map(|proxy| format!("{proxy:?}"))
    }

    fn through(host: &str) -> Option<String> {
        Some(format!("http://{host}:1"))
    }

    #[test]
    fn each_scheme_has_its_variable() {
        const ALL: &[(&str, &str)] = &[("http_proxy", "h:1"), ("https_proxy", "s:1"), ("all_proxy", "a:1")];
        for (url, expected) in [("ws://e", "h"), ("http://e", "h"), ("wss://e", "s"), ("https://e", "s")] {
            assert_eq!(proxy(ALL, url), through(expected));
            assert_eq!(proxy(&[("all_proxy", "a:1")], url), through("a"));
            assert_eq!(proxy(&[("ws_proxy", "w:1"), ("wss_proxy", "w:1"), ("ftp_proxy", "f:1")], url), None);
            assert_eq!(proxy(&[], url), None);
        }
        assert_eq!(proxy(&[("https_proxy", "s:1")], "ws://e"), None);
        assert_eq!(proxy(&[("http_proxy", "h:1")], "wss://e"), None);
    }

    #[test]
    fn small_letters_come_before_capitals_and_nothing_counts_as_absent() {
        assert_eq!(proxy(&[("HTTPS_PROXY", "c:1")], "wss://e"), through("c"));
        assert_eq!(proxy(&[("HTTPS_PROXY", "c:1"), ("https_proxy", "s:1")], "wss://e"), through("s"));
        assert_eq!(proxy(&[("HTTPS_PROXY", "c:1"), ("https_proxy", " ")], "wss://e"), through("c"));
        assert_eq!(proxy(&[("https_proxy", ""), ("ALL_PROXY", "a:1")], "wss://e"), through("a"));
        assert_eq!(proxy(&[("all_proxy", "a:1"), ("NO_PROXY", "e")], "wss://e"), None);
        assert_eq!(proxy(&[("all_proxy", "a:1"), ("NO_PROXY", "e"), ("no_proxy", "other")], "wss://e"), through("a"));
    }

    #[test]
    fn what_a_cgi_program_is_told_by_whoever_asks_is_no_proxy() {
        assert_eq!(proxy(&[("HTTP_PROXY", "c:1"), ("REQUEST_METHOD", "GET")], "ws://e"), None);
        assert_eq!(proxy(&[("http_proxy", "s:1"), ("REQUEST_METHOD", "GET")], "ws://e"), through("s"));
        assert_eq!(proxy(&[("HTTPS_PROXY", "c:1"), ("REQUEST_METHOD", "GET")], "wss://e"), through("c"));
    }

    #[test]
    fn a_variable_that_cannot_be_used_is_skipped() {
        assert_eq!(proxy(&[("https_proxy", "socks4://s:1"), ("all_proxy", "a:1")], "wss://e"), through("a"));
        assert_eq!(proxy(&[("https_proxy", "http://:1")], "wss://e"), None);
    }

    #[test]
    fn what_is_local_is_reached_without() {
        const SET: &[(&str, &str)] = &[("all_proxy", "a:1")];
        for local in [
            "localhost",
            "LOCALHOST",
            "app.localhost",
            "localhost.",
            "127.0.0.1",
            "127.9.9.9",
            "[::1]",
            "[::ffff:127.0.0.1]",
        ] {
            assert_eq!(proxy(SET, &format!("ws://{local}:4000")), None, "{local}");
        }
        for other in ["localhost.example", "notlocalhost", "10.0.0.1", "128.0.0.1", "[::2]", "[fe80::1]"] {
            assert_eq!(proxy(SET, &format!("ws://{other}:4000")), through("a"), "{other}");
        }
    }
}
