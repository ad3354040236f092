//! The hosts that are reached without a proxy.

use std::net::IpAddr;

use crate::transport::http::Target;

/// Whether this list names the target: `*`, or entries parted by commas or spaces. A name (`example.org`,
/// `.example.org`) stands for itself and all below it; an address or a network (`10.0.0.0/8`) for addresses, which are
/// not looked up; either may say a port.
pub(super) fn names(list: &str, target: &Target<'_>) -> bool {
    list.split([',', ' ', '\t']).map(str::trim).filter(|entry| !entry.is_empty()).any(|entry| matches(entry, target))
}

fn matches(entry: &str, target: &Target<'_>) -> bool {
    if entry == "*" {
        return true;
    }
    if let Some((network, bits)) = entry.split_once('/') {
        let (network, bits) = (address(network), bits.parse().ok());
        return network.zip(bits).zip(target.address()).is_some_and(|((network, bits), ip)| within(ip, network, bits));
    }
    let (host, port) = split_port(entry);
    if port.is_some_and(|port| port != target.port) {
        return false;
    }
    match (address(host), target.address()) {
        (Some(entry), Some(ip)) => entry == ip,
        (None, None) => is_below(target.host, host),
        _ => false,
    }
}

/// The port of an entry, where what is behind the last colon can be one: IPv6 has colons of its own.
fn split_port(entry: &str) -> (&str, Option<u16>) {
    match entry.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => match port.parse() {
            Ok(port) => (host, Some(port)),
            Err(_) => (entry, None),
        },
        _ => (entry, None),
    }
}

fn address(host: &str) -> Option<IpAddr> {
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.parse().map(|ip: IpAddr| ip.to_canonical()).ok()
}

fn within(ip: IpAddr, network: IpAddr, bits: u32) -> bool {
    match (ip, network) {
        (IpAddr::V4(ip), IpAddr::V4(network)) if bits <= 32 => {
            (ip.to_bits() ^ network.to_bits()).checked_shr(32 - bits).unwrap_or(0) == 0
        }
        (IpAddr::V6(ip), IpAddr::V6(network)) if bits <= 128 => {
            (ip.to_bits() ^ network.to_bits()).checked_shr(128 - bits).unwrap_or(0) == 0
        }
        _ => false,
    }
}

fn is_below(host: &str, domain: &str) -> bool {
    let host = host.trim_end_matches('.');
    let domain = domain.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(domain).trim_matches('.');
    let Some(start) = host.len().checked_sub(domain.len()) else { return false };
    let Some((front, end)) = host.split_at_checked(start) else { return false };
    !domain.is_empty() && end.eq_ignore_ascii_case(domain) && (front.is_empty() || front.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(list: &str, url: &str) -> bool {
        names(list, &Target::of(&url.parse().unwrap()))
    }

    #[test]
    fn names_stand_for_themselves_and_what_is_below() {
        for entry in ["example.org", ".example.org", "*.example.org", "EXAMPLE.org", "example.org."] {
            for host in ["example.org", "www.example.org", "a.b.example.org", "WWW.Example.ORG", "example.org."] {
                assert!(named(entry, &format!("ws://{host}/")), "{entry} {host}");
            }
            for host in ["notexample.org", "example.org.evil", "org", "example.com", "10.0.0.1"] {
                assert!(!named(entry, &format!("ws://{host}/")), "{entry} {host}");
            }
        }
    }

    #[test]
    fn addresses_and_networks_stand_for_addresses() {
        for (entry, inside, outside) in [
            ("10.1.2.3", "10.1.2.3", "10.1.2.4"),
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
            ("10.42.1.1/24", "10.42.1.200", "10.42.2.1"),
            ("10.1.2.3/32", "10.1.2.3", "10.1.2.2"),
            ("0.0.0.0/0", "8.8.8.8", "[2001:db8::1]"),
            ("2001:db8::/32", "[2001:db8:1::1]", "[2001:db9::1]"),
            ("[2001:db8::1]", "[2001:db8::1]", "[2001:db8::2]"),
            ("::/0", "[2001:db8::1]", "8.8.8.8"),
            ("10.1.2.3", "[::ffff:10.1.2.3]", "[::ffff:10.1.2.4]"),
        ] {
            assert!(named(entry, &format!("ws://{inside}/")), "{entry} {inside}");
            assert!(!named(entry, &format!("ws://{outside}/")), "{entry} {outside}");
        }
        for nonsense in ["10.0.0.0/33", "10.0.0.0/x", "::/129", "/8", "10.0.0.0/-1", "example.org/8"] {
            assert!(!named(nonsense, "ws://10.0.0.1/") && !named(nonsense, "ws://example.org/"), "{nonsense}");
        }
    }

    #[test]
    fn a_port_narrows_it() {
        for (entry, url) in [
            ("example.org:4000", "ws://example.org:4000"),
            ("example.org:80", "ws://example.org"),
            ("example.org:443", "wss://www.example.org"),
            ("10.0.0.1:4000", "ws://10.0.0.1:4000"),
            ("[fd00::1]:4000", "ws://[fd00::1]:4000"),
            ("fd00::1", "ws://[fd00::1]:4000"),
        ] {
            assert!(named(entry, url), "{entry} {url}");
        }
        for (entry, url) in [
            ("example.org:4000", "ws://example.org"),
            ("10.0.0.1:4000", "ws://10.0.0.1"),
            ("[fd00::1]:4000", "ws://[fd00::1]"),
        ] {
            assert!(!named(entry, url), "{entry} {url}");
        }
    }

    #[test]
    fn a_list_is_parted_by_commas_or_spaces_and_a_star_is_all() {
        for list in ["a.example, b.example", "a.example b.example", " ,b.example,, ", "*", "x, *"] {
            assert!(named(list, "ws://b.example"), "{list}");
        }
        for list in ["", " , ", ".", "..", "*.", "b", "*example", "\u{e9}.example"] {
            assert!(!named(list, "ws://b.example"), "{list}");
        }
    }
}
