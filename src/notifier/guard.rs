//! Prevents requests to addresses from callers from reaching internal networks.

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use futures::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::domain::inside::Reachable;

/// Resolver of names.
pub(super) trait Lookup: Send + Sync + 'static {
    /// Returns all addresses of a host.
    fn addresses(&self, host: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>>;
}

/// The machine's resolver.
struct System;

impl Lookup for System {
    fn addresses(&self, host: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            let found = tokio::net::lookup_host((host, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// Resolves a name once, and passes its addresses to the connection only if every one of them may be called.
/// The connection uses one of these addresses and does not resolve the name again, so DNS rebinding has no
/// effect.
#[derive(Clone)]
pub(super) struct Guard {
    reachable: Reachable,
    lookup: Arc<dyn Lookup>,
}

/// An address that must not be called.
#[derive(Debug)]
pub(super) struct Inside;

impl fmt::Display for Inside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the address is not one that may be called from here")
    }
}

impl std::error::Error for Inside {}

impl Guard {
    pub(super) fn new(reachable: Reachable) -> Self {
        Self::with(reachable, Arc::new(System))
    }

    pub(super) fn with(reachable: Reachable, lookup: Arc<dyn Lookup>) -> Self {
        Self { reachable, lookup }
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let Self { reachable, lookup } = self.clone();
        Box::pin(async move {
            let found = lookup.addresses(name.as_str().to_owned()).await?;
            if !found.iter().all(|address| reachable.contains(*address)) {
                return Err(Inside.into());
            }
            let addresses = found.into_iter().map(|address| SocketAddr::new(address, 0));
            Ok(Box::new(addresses) as Addrs)
        })
    }
}
