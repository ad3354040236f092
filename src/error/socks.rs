//! What a SOCKS proxy refuses.

use std::fmt;

/// Why a SOCKS proxy opened no way to the server.
///
/// That a name does not resolve at the proxy has no word of its own in SOCKS 5: most say
/// [`HostUnreachable`](Self::HostUnreachable), some [`General`](Self::General).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SocksRefusal {
    /// It takes none of the ways to log in that it was offered: nothing at all, and, where there are
    /// [`proxy_credentials`](crate::Http::proxy_credentials), a user and a password.
    LoginWanted,
    /// It does not accept the user and the password (RFC 1929).
    LoginRefused,
    /// Reply 1: it failed, and does not say how.
    General,
    /// Reply 2: its rules do not allow this server.
    NotAllowed,
    /// Reply 3: no network leads from the proxy to the server.
    NetworkUnreachable,
    /// Reply 4: it does not reach the server, or does not find its name.
    HostUnreachable,
    /// Reply 5: nothing listens at the server's port.
    ConnectionRefused,
    /// Reply 6: it is too far from the server, or waited too long for it.
    TtlExpired,
    /// Reply 7: it opens no connections.
    CommandNotSupported,
    /// Reply 8: it does not take an address of this kind: a name, IPv4 or IPv6.
    AddressTypeNotSupported,
}

impl SocksRefusal {
    /// Whether it is who asks that is refused, and not what is asked for: a socket stops.
    pub fn is_login(&self) -> bool {
        matches!(self, SocksRefusal::LoginWanted | SocksRefusal::LoginRefused)
    }
}

impl fmt::Display for SocksRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the SOCKS proxy refused the connection: ")?;
        f.write_str(match self {
            SocksRefusal::LoginWanted => "it asks for a user and a password, or for more than these",
            SocksRefusal::LoginRefused => "it does not accept this user and password",
            SocksRefusal::General => "it failed, and does not say how",
            SocksRefusal::NotAllowed => "its rules do not allow this server",
            SocksRefusal::NetworkUnreachable => "no network leads from it to the server",
            SocksRefusal::HostUnreachable => "it did not find the server, or did not reach it",
            SocksRefusal::ConnectionRefused => "nothing listens at the server's port",
            SocksRefusal::TtlExpired => "it is too far from the server, or waited too long for it",
            SocksRefusal::CommandNotSupported => "it opens no connections",
            SocksRefusal::AddressTypeNotSupported => "it does not take an address of this kind",
        })
    }
}
