//! How often one client may ask. Each process counts for itself.

use std::{
    hash::Hash,
    net::IpAddr,
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use governor::{
    Quota, RateLimiter,
    clock::{Clock, DefaultClock},
    middleware::NoOpMiddleware,
    state::keyed::DefaultKeyedStateStore,
};
use http::{HeaderValue, header};
use ipnet::IpNet;
use sha2::{Digest, Sha256};

use super::{
    answer::ALWAYS_ANSWERED,
    peer::{self, Peer},
    problem::{Code, Problem},
};

/// So many seconds' worth of requests may come at once.
const BURST: NonZeroU32 = NonZeroU32::new(10).expect("it is not zero");
/// After so many requests, at the least, clients are forgotten that have not asked for long.
const TIDY_EVERY: usize = 4096;

/// How often clients may ask.
#[derive(Debug, Clone, Default)]
pub struct Rates {
    /// Requests a second from one address, or one /64 of IPv6; 0: any number.
    pub per_address: u32,
    /// Requests a second with the same credentials; 0: any number.
    pub per_token: u32,
    /// The proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
}

/// What every client still has, by both counts.
#[derive(Clone)]
pub(super) struct Allowance {
    addresses: Option<Arc<Buckets<IpAddr>>>,
    tokens: Option<Arc<Buckets<[u8; 32]>>>,
    trusted: Arc<[IpNet]>,
}

impl Allowance {
    pub(super) fn new(rates: &Rates) -> Self {
        Self {
            addresses: Buckets::new(rates.per_address, DefaultClock::default()).map(Arc::new),
            tokens: Buckets::new(rates.per_token, DefaultClock::default()).map(Arc::new),
            trusted: rates.trusted_proxies.as_slice().into(),
        }
    }

    /// Takes a request from its client's allowance, or says how long to wait for the next.
    fn take(&self, request: &Request) -> Result<(), Duration> {
        let peer = request.extensions().get::<Peer>();
        if let (Some(addresses), Some(peer)) = (&self.addresses, peer) {
            let client = peer::client(*peer, request.headers(), &self.trusted);
            addresses.take(&peer::household(client))?;
        }
        if let (Some(tokens), Some(credentials)) =
            (&self.tokens, request.headers().get(header::AUTHORIZATION))
        {
            tokens.take(&Sha256::digest(credentials.as_bytes()).into())?;
        }
        Ok(())
    }
}

/// Lets a request through that its client may make now.
pub(super) async fn limit(State(allowance): State<Allowance>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>();
    if route.is_some_and(|route| ALWAYS_ANSWERED.contains(&route.as_str())) {
        return next.run(request).await;
    }
    match allowance.take(&request) {
        Ok(()) => next.run(request).await,
        Err(wait) => refused(wait),
    }
}

fn refused(wait: Duration) -> Response {
    let seconds = HeaderValue::from(wait.as_secs() + 1);
    let mut response = Problem::new(Code::RateLimited)
        .detail("more requests come from here than one client may make")
        .into_response();
    response.headers_mut().insert(header::RETRY_AFTER, seconds);
    response
}

/// What each client still has: it fills up steadily, to ten seconds' worth.
struct Buckets<K: Hash + Eq + Clone, C: Clock = DefaultClock> {
    limiter: RateLimiter<K, DefaultKeyedStateStore<K>, C, NoOpMiddleware<C::Instant>>,
    clock: C,
    asked: AtomicUsize,
}

impl<K: Hash + Eq + Clone, C: Clock + Clone> Buckets<K, C> {
    /// `None` where any number may come.
    fn new(per_second: u32, clock: C) -> Option<Self> {
        let rate = NonZeroU32::new(per_second)?;
        let quota = Quota::per_second(rate).allow_burst(rate.saturating_mul(BURST));
        Some(Self {
            limiter: RateLimiter::new(quota, DefaultKeyedStateStore::default(), clock.clone()),
            clock,
            asked: AtomicUsize::new(0),
        })
    }

    fn take(&self, client: &K) -> Result<(), Duration> {
        self.tidy();
        self.limiter
            .check_key(client)
            .map_err(|until| until.wait_time_from(self.clock.now()))
            .map(drop)
    }

    /// Forgets those who have all of their allowance again. Done so rarely that it costs a request next to nothing.
    fn tidy(&self) {
        let asked = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
        // At least as many as those that were kept the last time.
        if asked.is_multiple_of(TIDY_EVERY) && 2 * asked >= self.limiter.len() {
            self.asked.store(0, Ordering::Relaxed);
            self.limiter.retain_recent();
            self.limiter.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use governor::clock::FakeRelativeClock;

    use super::*;

    #[test]
    fn an_allowance_is_used_up_and_comes_back() {
        let clock = FakeRelativeClock::default();
        let buckets = Buckets::new(2, clock.clone()).expect("it is a rate");
        for n in 0..20 {
            assert_eq!(buckets.take(&"a"), Ok(()), "{n}");
        }
        assert_eq!(buckets.take(&"a"), Err(Duration::from_millis(500)));
        assert_eq!(buckets.take(&"b"), Ok(()), "others have their own");
        clock.advance(Duration::from_millis(499));
        assert!(buckets.take(&"a").is_err());
        clock.advance(Duration::from_millis(1));
        assert_eq!(buckets.take(&"a"), Ok(()));
        assert!(buckets.take(&"a").is_err());
    }

    #[test]
    fn clients_who_are_gone_are_forgotten() {
        let clock = FakeRelativeClock::default();
        let buckets = Buckets::new(1, clock.clone()).expect("it is a rate");
        let mut most = 0;
        for client in 0..20 * TIDY_EVERY {
            assert_eq!(buckets.take(&client), Ok(()));
            clock.advance(Duration::from_millis(10));
            most = most.max(buckets.limiter.len());
        }
        assert!(most <= 3 * TIDY_EVERY, "{most} are known at once");
    }

    #[test]
    fn both_counts_are_kept() {
        let allowance = Allowance::new(&Rates {
            per_address: 2,
            per_token: 1,
            trusted_proxies: Vec::new(),
        });
        let ask = |address: &str, token: &str| {
            let request = Request::builder()
                .extension(Peer(address.parse().expect("it is an address")))
                .header("authorization", token)
                .body(Body::empty())
                .expect("it is a request");
            allowance.take(&request).is_ok()
        };
        let taken = |address: &str, token: &str| (0..15).filter(|_| ask(address, token)).count();
        assert_eq!(taken("192.0.2.1", "Bearer a"), 10, "the token is used up");
        assert_eq!(taken("192.0.2.2", "Bearer a"), 0, "wherever it comes from");
        assert_eq!(taken("192.0.2.1", "Bearer b"), 5, "then the address is, too");
        assert_eq!(taken("2001:db8::1", "Bearer c"), 10);
        assert_eq!(taken("2001:db8::2", "Bearer d"), 5, "of the same /64");
    }

    #[test]
    fn nothing_is_counted_that_has_no_limit() {
        let allowance = Allowance::new(&Rates::default());
        assert!(allowance.addresses.is_none() && allowance.tokens.is_none());
    }
}
