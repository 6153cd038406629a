//! The table of TCP routes.
//!
//! Routes are filed by server name. What is filed under one name is tried in the order of rank.

use std::fmt;
use std::sync::Arc;

use weft_model::route::{TcpMatcher, TcpRoute, TcpTls};

use crate::matching::{TcpAsk, tcp_holds};
use crate::names::{NameKey, NameKeys, NameKind, Names};

/// TCP routes that compete with each other, ready to be searched.
pub struct TcpTable {
    /// The greatest rank first.
    routes: Box<[Arc<TcpRoute>]>,
    /// Ascending indexes into the routes, by server name.
    buckets: Names<Vec<u32>>,
}

// === impl TcpTable ===

impl TcpTable {
    /// Builds the table of `routes`. Ranks must differ.
    pub fn new(routes: &[Arc<TcpRoute>]) -> Self {
        let mut routes: Box<[Arc<TcpRoute>]> = routes.into();
        routes.sort_by_key(|route| std::cmp::Reverse(route.rank));
        let mut buckets: Names<Vec<u32>> = Names::default();
        for (index, route) in (0..).zip(&routes) {
            for key in keys(&route.matcher) {
                match buckets.get_mut(&key) {
                    Some(bucket) if bucket.last() == Some(&index) => {}
                    Some(bucket) => bucket.push(index),
                    None => buckets.insert(&key, vec![index]),
                }
            }
        }
        Self { routes, buckets }
    }

    /// The route with the greatest rank that takes the connection.
    ///
    /// A route that passes TLS through or ends it takes TLS connections only; a plain route takes
    /// any, its bytes untouched. `*` also matches without a server name; no other condition on the
    /// name does.
    ///
    /// A server name in upper case costs one allocation.
    pub fn find(&self, ask: &TcpAsk<'_>) -> Option<&Arc<TcpRoute>> {
        let lowered: String;
        let sni = match ask.sni {
            Some(name) if name.bytes().any(|byte| byte.is_ascii_uppercase()) => {
                lowered = name.to_ascii_lowercase();
                Some(&*lowered)
            }
            sni => sni,
        };
        let sni = sni.map(|name| name.strip_suffix('.').unwrap_or(name));
        let ask = TcpAsk { sni, ..*ask };
        let mut best = u32::MAX;
        let mut visit = |bucket: &Vec<u32>| {
            let better = bucket.iter().take_while(|index| **index < best).find(|index| {
                let route = &self.routes[**index as usize];
                (ask.tls || route.tls == TcpTls::Plain) && tcp_holds(&route.matcher, &ask)
            });
            best = better.copied().unwrap_or(best);
        };
        match sni {
            Some(name) => self.buckets.visit(name, visit),
            None => self.buckets.rest().into_iter().for_each(&mut visit),
        }
        self.routes.get(best as usize)
    }

    /// The routes, the greatest rank first.
    pub fn routes(&self) -> &[Arc<TcpRoute>] {
        &self.routes
    }
}

impl Default for TcpTable {
    fn default() -> Self {
        Self::new(&[])
    }
}

impl fmt::Debug for TcpTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TcpTable").field("routes", &self.routes.len()).finish_non_exhaustive()
    }
}

/// Keys one of which every connection that satisfies the matcher is found by.
fn keys(matcher: &TcpMatcher) -> Vec<NameKey<'_>> {
    match matcher {
        // The most selective condition: no key for the rest, then the fewest keys.
        TcpMatcher::All(list) => list
            .iter()
            .map(keys)
            .min_by_key(|keys| (keys.iter().any(|key| key.kind == NameKind::Rest), keys.len()))
            .unwrap_or_else(|| vec![NameKey::REST]),
        TcpMatcher::Any(list) => {
            let keys: Vec<_> = list.iter().flat_map(keys).collect();
            if keys.iter().any(|key| key.kind == NameKind::Rest) {
                vec![NameKey::REST]
            } else {
                keys
            }
        }
        TcpMatcher::Sni(host) => NameKeys::of(host).keys.into_vec(),
        TcpMatcher::Not(_)
        | TcpMatcher::ClientIp(_)
        | TcpMatcher::Alpn(_)
        | TcpMatcher::Destination(_) => vec![NameKey::REST],
    }
}

#[cfg(test)]
mod tests;
