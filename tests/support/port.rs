//! A port of a test's own, whether somebody listens on it at the moment or not.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::{
    fmt::{self, Display},
    hash::{BuildHasher, RandomState},
    net::{Ipv4Addr, TcpListener, UdpSocket},
    ops::Range,
};

/// Below what systems give to whoever connects or asks for any port (Linux: 32768 and above, macOS: 49152), and below
/// the node ports of Kubernetes (30000).
const PORTS: Range<u16> = 20_000..30_000;

/// A TCP port that nobody else has until this is dropped: a server on it can be stopped and started again, and is not
/// answered for by another test's meanwhile.
pub struct Port {
    number: u16,
    /// The mark by which tests of all processes see that it is taken: there is one socket of a number only.
    _mark: UdpSocket,
}

impl Port {
    pub fn reserve() -> Self {
        let count = u64::from(PORTS.end - PORTS.start);
        let begin = RandomState::new().hash_one(std::process::id()) % count;
        (0..count)
            .map(|step| PORTS.start + u16::try_from((begin + step) % count).expect("less than the count"))
            .find_map(Self::take)
            .expect("a port is free")
    }

    fn take(number: u16) -> Option<Self> {
        let mark = UdpSocket::bind((Ipv4Addr::LOCALHOST, number)).ok()?;
        // Of a program that is no test, nothing is known.
        TcpListener::bind((Ipv4Addr::UNSPECIFIED, number)).ok()?;
        Some(Self { number, _mark: mark })
    }

    pub fn number(&self) -> u16 {
        self.number
    }
}

/// The number.
impl Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.number.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::{PORTS, Port};

    #[test]
    fn no_port_is_had_twice() {
        let port = Port::reserve();
        assert!(Port::take(port.number()).is_none());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn none_is_given_to_whoever_wants_any() {
        let range =
            std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").expect("there is /proc");
        let ends: Vec<u16> = range
            .split_whitespace()
            .map(|end| end.parse().expect("a port"))
            .collect();
        if ends[0] < PORTS.end {
            println!("NOT RUN: this system gives away any port from {} on", ends[0]);
            return;
        }
        for port in (0..50).map(|_| Port::reserve()) {
            assert!(!(ends[0]..=ends[1]).contains(&port.number()), "{port} of {range}");
        }
    }
}
