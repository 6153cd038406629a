//! Addresses as the system is configured to find them.

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use hickory_resolver::config::LookupIpStrategy;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::{ResolverBuilder, TokioResolver};
use weft_runtime::time;

use super::{Answer, Lookup, LookupError};

/// Asks the servers of `/etc/resolv.conf`, and knows `/etc/hosts`. Both are read at the first
/// question, and again after one that failed.
#[derive(Default)]
pub struct SystemLookup(RefCell<Option<TokioResolver>>);

// === impl SystemLookup ===

impl SystemLookup {
    fn resolver(&self) -> Result<TokioResolver, LookupError> {
        if let Some(resolver) = &*self.0.borrow() {
            return Ok(resolver.clone());
        }
        let builder = TokioResolver::builder_tokio().map_err(unusable)?;
        let resolver = build(builder)?;
        self.0.replace(Some(resolver.clone()));
        Ok(resolver)
    }
}

impl Lookup for SystemLookup {
    async fn lookup(&self, name: &str) -> Result<Answer, LookupError> {
        match self.resolver()?.lookup_ip(name).await {
            Ok(found) => {
                let ttl = found.valid_until().saturating_duration_since(time::now());
                let all: Vec<IpAddr> = found.iter().collect();
                Ok(Answer { addrs: reachable(all), ttl })
            }
            Err(error) => {
                self.0.replace(None);
                Err(LookupError::Failed(error.to_string()))
            }
        }
    }
}

impl std::fmt::Debug for SystemLookup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SystemLookup").finish_non_exhaustive()
    }
}

fn build(mut builder: ResolverBuilder<TokioRuntimeProvider>) -> Result<TokioResolver, LookupError> {
    let options = builder.options_mut();
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    // We keep answers ourselves, for as long as they hold.
    options.cache_size = 0;
    builder.build().map_err(unusable)
}

fn unusable(error: NetError) -> LookupError {
    LookupError::System(error.to_string())
}

/// Leaves out addresses of a family that this machine has no route for: a name with A and AAAA
/// records would otherwise fail every other request on a machine without IPv6. If that leaves
/// none, all are kept, so that the error is seen.
fn reachable(all: Vec<IpAddr>) -> Vec<IpAddr> {
    let some: Vec<IpAddr> = all.iter().copied().filter(|addr| has_route(*addr)).collect();
    if some.is_empty() { all } else { some }
}

/// Whether the kernel knows a way. Connecting a UDP socket looks up the route and sends nothing.
fn has_route(addr: IpAddr) -> bool {
    let any: SocketAddr = match addr {
        IpAddr::V4(_) => ([0; 4], 0).into(),
        IpAddr::V6(_) => ([0; 16], 0).into(),
    };
    UdpSocket::bind(any).and_then(|socket| socket.connect((addr, 9))).is_ok()
}

#[cfg(test)]
mod tests;
