//! Which address a request comes from.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use http::{HeaderMap, HeaderName};
use ipnet::IpNet;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The other end of the connection that a request came on: the listener adds it to every request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub(super) IpAddr);

/// The address that a request comes from: its connection's, unless that is a proxy whose word counts. Each proxy adds
/// to the end of `X-Forwarded-For` whom it was asked by, so that list is read from its end, up to the first address
/// that is no trusted proxy: what stands before that is what the client likes to say.
pub(super) fn client(peer: Peer, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: &IpAddr| trusted.iter().any(|net| net.contains(address));
    let mut client = peer.0.to_canonical();
    if !is_trusted(&client) {
        return client;
    }
    for said in headers.get_all(FORWARDED_FOR).iter().rev() {
        for entry in said.to_str().unwrap_or_default().rsplit(',') {
            let Some(address) = address(entry.trim()) else {
                return client;
            };
            client = address;
            if !is_trusted(&client) {
                return client;
            }
        }
    }
    client
}

/// An entry of the list: an address, with a port after it where the proxy adds one.
fn address(entry: &str) -> Option<IpAddr> {
    let bare = entry.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let address = bare.unwrap_or(entry).parse().ok();
    let address = address.or_else(|| entry.parse::<SocketAddr>().ok().map(|socket| socket.ip()));
    address.map(|address| address.to_canonical())
}

/// What stands for one client: an IPv4 address, or the /64 of an IPv6 address, of which everybody has 2^64.
pub(super) fn household(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        v4 @ IpAddr::V4(_) => v4,
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64)).into(),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn seen(peer: &str, said: &[&'static str]) -> String {
        let trusted = ["10.0.0.0/8", "fd00::/8"].map(|net| net.parse().expect("it is a network"));
        let headers = said
            .iter()
            .map(|line| (FORWARDED_FOR, HeaderValue::from_static(line)))
            .collect();
        client(Peer(peer.parse().expect("it is an address")), &headers, &trusted).to_string()
    }

    #[test]
    fn nobody_but_a_trusted_proxy_says_whom_it_speaks_for() {
        for (peer, said, expected) in [
            ("192.0.2.1", &[][..], "192.0.2.1"),
            ("192.0.2.1", &["203.0.113.9"], "192.0.2.1"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["203.0.113.9"], "203.0.113.9"),
            ("::ffff:10.0.0.1", &["203.0.113.9"], "203.0.113.9"),
            ("10.0.0.1", &["203.0.113.9:4711"], "203.0.113.9"),
            ("fd00::1", &["[2001:db8::1]:4711"], "2001:db8::1"),
            ("fd00::1", &["[2001:db8::1]"], "2001:db8::1"),
            ("10.0.0.1", &["::ffff:203.0.113.9"], "203.0.113.9"),
        ] {
            assert_eq!(seen(peer, said), expected, "{peer} {said:?}");
        }
    }

    #[test]
    fn what_a_client_claims_for_itself_does_not_count() {
        for (said, expected) in [
            (&["1.1.1.1, 203.0.113.9"][..], "203.0.113.9"),
            (&["1.1.1.1, 203.0.113.9, 10.0.0.2"], "203.0.113.9"),
            (&["1.1.1.1", "203.0.113.9", "10.0.0.2"], "203.0.113.9"),
            (&["10.0.0.3,10.0.0.2"], "10.0.0.3"),
            (&["unknown, 10.0.0.2"], "10.0.0.2"),
            (&["1.1.1.1, , 10.0.0.2"], "10.0.0.2"),
            (&[""], "10.0.0.1"),
        ] {
            assert_eq!(seen("10.0.0.1", said), expected, "{said:?}");
        }
    }

    #[test]
    fn a_household_of_ipv6_is_one_client() {
        let stands_for = |text: &str| household(text.parse().expect("it is an address")).to_string();
        assert_eq!(stands_for("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(stands_for("2001:db8:1:3:3:4:5:6"), "2001:db8:1:3::");
        assert_eq!(stands_for("192.0.2.1"), "192.0.2.1");
        assert_eq!(stands_for("::ffff:192.0.2.1"), "192.0.2.1");
    }
}
