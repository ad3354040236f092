//! Where a connection leads.

use std::fmt;

use http::Uri;

/// A host and port, and whether to speak TLS there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target<'a> {
    /// A name or an address; IPv6 in brackets.
    pub(crate) host: &'a str,
    pub(crate) port: u16,
    pub(crate) tls: bool,
}

impl<'a> Target<'a> {
    pub(crate) fn of(url: &'a Uri) -> Self {
        let tls = matches!(url.scheme_str(), Some("wss" | "https"));
        let port = url.port_u16().unwrap_or(if tls { 443 } else { 80 });
        Target { host: url.host().unwrap_or_default(), port, tls }
    }

    /// The host as a `Host` header names it: with the port where that is not the usual one.
    pub(crate) fn authority(&self) -> String {
        let usual = if self.tls { 443 } else { 80 };
        if self.port == usual { self.host.to_owned() } else { self.to_string() }
    }

    #[cfg(any(feature = "rustls", feature = "native-tls"))]
    /// The host as a certificate names it: IPv6 without brackets.
    pub(super) fn name(&self) -> &'a str {
        self.host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(self.host)
    }
}

impl fmt::Display for Target<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}
