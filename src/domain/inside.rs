//! Internal network addresses, which the service must not call at a caller's request.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// Addresses that callbacks may reach: external ones and the networks that the operator allows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reachable {
    allowed: Vec<IpNet>,
    denied: Vec<IpNet>,
}

impl Reachable {
    /// Allows external addresses and these networks, which the operator names.
    pub fn with(allowed: Vec<IpNet>) -> Self {
        Self {
            allowed,
            denied: Vec::new(),
        }
    }

    /// Denies these networks, except where an allowed network contains the address.
    #[must_use]
    pub fn without(mut self, denied: Vec<IpNet>) -> Self {
        self.denied = denied;
        self
    }

    /// Returns true if the service may call this address.
    pub fn contains(&self, address: IpAddr) -> bool {
        let plain = address.to_canonical();
        let holds = |net: &IpNet| net.contains(&address) || net.contains(&plain);
        self.allowed.iter().any(holds) || (is_outside(address) && !self.denied.iter().any(holds))
    }

    /// Returns true if the service may call a URL whose host is an IP address. `None` for a host name: its
    /// addresses are known, and checked, only when it is resolved.
    pub fn literal(&self, url: &url::Url) -> Option<bool> {
        match url.host()? {
            url::Host::Domain(_) => None,
            url::Host::Ipv4(address) => Some(self.contains(address.into())),
            url::Host::Ipv6(address) => Some(self.contains(address.into())),
        }
    }
}

fn is_outside(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => v4_is_outside(address),
        IpAddr::V6(address) => v6_is_outside(address),
    }
}

/// Returns false for every address that IANA reserves for a special purpose.
fn v4_is_outside(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !(a == 0
        || address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        // Shared address space between a carrier and its customers (CGNAT).
        || (a == 100 && (64..128).contains(&b))
        // Protocol assignments, documentation, the old relays of 6to4, benchmarks.
        || (a, b, c) == (192, 0, 0)
        || address.is_documentation()
        || (a, b, c) == (192, 88, 99)
        || (a == 198 && (b == 18 || b == 19))
        // Multicast, reserved, broadcast.
        || a >= 224)
}

/// Returns true for global unicast addresses only, except those that stand for an IPv4 address or lead
/// through a tunnel.
fn v6_is_outside(address: Ipv6Addr) -> bool {
    let parts = address.segments();
    if address.to_ipv4_mapped().is_some() {
        return false;
    }
    // 2000::/3 is the only allocated range; NAT64, unique local, link local and multicast addresses are
    // outside of it.
    (parts[0] & 0xe000) == 0x2000
        // Teredo, benchmarks, ORCHID, and other protocol assignments.
        && !(parts[0] == 0x2001 && parts[1] < 0x0200)
        // Documentation.
        && !(parts[0] == 0x2001 && parts[1] == 0x0db8)
        && !(parts[0] == 0x3fff && parts[1] < 0x1000)
        // 6to4.
        && parts[0] != 0x2002
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reachable(text: &str) -> bool {
        Reachable::default().contains(text.parse().expect(text))
    }

    #[test]
    fn the_inside_is_refused_however_it_is_written() {
        for address in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:169.254.169.254",
            "::ffff:8.8.8.8",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:a9fe:a9fe::1",
            "3fff::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!reachable(address), "{address}");
        }
        for address in [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.255.255",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "198.17.0.1",
            "223.255.255.254",
            "2606:4700::1111",
            "2001:4860:4860::8888",
        ] {
            assert!(reachable(address), "{address}");
        }
    }

    #[test]
    fn a_number_in_an_address_is_what_a_browser_makes_of_it() {
        let reachable = Reachable::default();
        for url in [
            "http://2130706433/",
            "http://0x7f000001/",
            "http://0177.0.0.1/",
            "http://127.1/",
            "http://[::ffff:169.254.169.254]/",
            "http://[::ffff:a9fe:a9fe]/",
            "http://127.0.0.1./",
        ] {
            let parsed: url::Url = url.parse().expect(url);
            assert_eq!(reachable.literal(&parsed), Some(false), "{url}");
        }
        let parsed = "http://localhost/".parse().expect("an address");
        assert_eq!(reachable.literal(&parsed), None);
    }

    #[test]
    fn the_operator_may_allow_networks() {
        let reachable = Reachable::with(vec![
            "10.0.0.0/8".parse().expect("a network"),
            "fd00::/8".parse().expect("a network"),
        ]);
        for address in ["10.1.2.3", "::ffff:10.1.2.3", "fd00::1", "8.8.8.8"] {
            assert!(reachable.contains(address.parse().expect(address)), "{address}");
        }
        for address in ["127.0.0.1", "192.168.0.1", "::1", "64:ff9b::a01:203"] {
            assert!(!reachable.contains(address.parse().expect(address)), "{address}");
        }
    }

    #[test]
    fn the_operator_may_deny_what_is_outside() {
        let nets = |nets: &[&str]| nets.iter().map(|net| net.parse().expect("a network")).collect();
        let reachable =
            Reachable::with(nets(&["10.0.0.0/8", "1.1.1.0/24"])).without(nets(&["0.0.0.0/0", "::/0"]));
        for address in ["10.1.2.3", "1.1.1.1"] {
            assert!(reachable.contains(address.parse().expect(address)), "{address}");
        }
        for address in ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "127.0.0.1"] {
            assert!(!reachable.contains(address.parse().expect(address)), "{address}");
        }
    }
}
