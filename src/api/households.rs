//! How many connections each client has: one address, or one /64 of IPv6, must not take all of them.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ipnet::IpNet;

use super::peer::household;

/// The connections of every client that has any.
#[derive(Debug, Clone)]
pub(super) struct Households {
    /// What one client may have; 0: any number.
    limit: usize,
    /// Those in whose connections many clients come, and who therefore have no limit.
    trusted: Arc<[IpNet]>,
    open: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Households {
    pub(super) fn new(limit: usize, trusted: &[IpNet]) -> Self {
        Self {
            limit,
            trusted: trusted.into(),
            open: Arc::default(),
        }
    }

    /// Takes one of a client's places, if one is left.
    pub(super) fn admit(&self, peer: IpAddr) -> Option<Place> {
        let peer = peer.to_canonical();
        if self.limit == 0 || self.trusted.iter().any(|net| net.contains(&peer)) {
            return Some(Place(None));
        }
        let client = household(peer);
        let mut open = self.lock();
        let count = open.entry(client).or_default();
        if *count >= self.limit {
            return None;
        }
        *count += 1;
        Some(Place(Some((self.clone(), client))))
    }

    fn leave(&self, client: IpAddr) {
        let mut open = self.lock();
        if let Some(count) = open.get_mut(&client) {
            *count -= 1;
            if *count == 0 {
                open.remove(&client);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        // Nothing panics while it is held.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection's place, free again when this is dropped.
#[derive(Debug)]
pub(super) struct Place(Option<(Households, IpAddr)>);

impl Drop for Place {
    fn drop(&mut self) {
        if let Some((households, client)) = self.0.take() {
            households.leave(client);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("it is an address")
    }

    #[test]
    fn a_client_has_so_many_places_and_others_have_their_own() {
        let households = Households::new(2, &[]);
        let admit = |text: &str| households.admit(address(text));
        let first = admit("192.0.2.1").expect("one is left");
        let second = admit("::ffff:192.0.2.1").expect("one is left");
        assert!(admit("192.0.2.1").is_none());
        assert!(admit("192.0.2.2").is_some());
        drop(first);
        let third = admit("192.0.2.1").expect("one is free again");
        assert!(admit("192.0.2.1").is_none());
        drop((second, third));
        assert!(households.lock().is_empty(), "who is gone is forgotten");
    }

    #[test]
    fn a_64_of_ipv6_is_one_client() {
        let households = Households::new(1, &[]);
        let _place = households.admit(address("2001:db8:1:2::1")).expect("one is left");
        assert!(households.admit(address("2001:db8:1:2:ffff::9")).is_none());
        assert!(households.admit(address("2001:db8:1:3::1")).is_some());
    }

    #[test]
    fn trusted_proxies_and_nobodys_limit_are_not_counted() {
        let proxy = "10.0.0.0/8".parse().expect("it is a network");
        for (households, peer) in [
            (Households::new(1, &[proxy]), "10.1.2.3"),
            (Households::new(0, &[]), "192.0.2.1"),
        ] {
            let places: Vec<_> = (0..10).map(|_| households.admit(address(peer))).collect();
            assert!(places.iter().all(Option::is_some));
            assert!(households.lock().is_empty());
        }
    }
}
