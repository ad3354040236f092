//! Where a connection leads.

use std::{fmt, net::IpAddr};

use http::Uri;

/// A host and port, and whether to speak TLS there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target<'a> {
    /// A name or an address; IPv6 in brackets.
    pub(crate) host: &'a str,
    pub(crate) port: u16,
    pub(crate) tls: bool,
    /// It is a proxy, and so not the end of the way.
    pub(super) is_proxy: bool,
}

impl<'a> Target<'a> {
    pub(crate) fn of(url: &'a Uri) -> Self {
        let tls = matches!(url.scheme_str(), Some("wss" | "https"));
        let port = url.port_u16().unwrap_or(if tls { 443 } else { 80 });
        Target { host: url.host().unwrap_or_default(), port, tls, is_proxy: false }
    }

    /// The host as a `Host` header names it: with the port where that is not the usual one.
    pub(crate) fn authority(&self) -> String {
        let usual = if self.tls { 443 } else { 80 };
        if self.port == usual { self.host.to_owned() } else { self.to_string() }
    }

    /// What it is called where something fails.
    pub(super) fn called(&self) -> String {
        if self.is_proxy { format!("the proxy {self}") } else { self.to_string() }
    }

    pub(super) fn address(&self) -> Option<IpAddr> {
        self.name().parse().map(|ip: IpAddr| ip.to_canonical()).ok()
    }

    pub(super) fn is_loopback(&self) -> bool {
        // All names below it are local too (RFC 6761, 6.3).
        let name = self.name().trim_end_matches('.').to_ascii_lowercase();
        self.address().map_or(name == "localhost" || name.ends_with(".localhost"), |ip| ip.is_loopback())
    }

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
