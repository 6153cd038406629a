//! Listeners while they are being put together from several dialects.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;

use weft_model::id::{ListenerId, RouteId};
use weft_model::listener::{HttpRoutes, Listener, Served, TlsEntry, TlsServed, TlsTable};
use weft_model::route::{Route, TcpRoute};

use crate::options::Options;

/// Listeners by address.
#[derive(Debug, Default)]
pub(crate) struct Drafts {
    by_addr: BTreeMap<SocketAddr, Draft>,
}

/// One address with what the dialects serve on it.
#[derive(Debug)]
pub(crate) struct Draft {
    /// Name, of whoever asked first.
    pub(crate) id: ListenerId,
    /// Plain connections.
    pub(crate) plain: Side,
    /// TLS connections.
    pub(crate) tls: Side,
    /// Certificates and options by server name. The first entry of a host wins.
    pub(crate) entries: Vec<TlsEntry>,
    /// For every other name; the first dialect that gives one wins.
    pub(crate) default: Option<TlsEntry>,
}

/// One side of a listener.
#[derive(Debug, Default)]
pub(crate) struct Side {
    /// HTTP is spoken, even if no route is there (then everything is 404).
    pub(crate) http_enabled: bool,
    /// HTTP routes.
    pub(crate) http: Vec<Arc<Route>>,
    /// TCP routes.
    pub(crate) tcp: Vec<Arc<TcpRoute>>,
}

// === impl Drafts ===

impl Drafts {
    /// The draft of an address, made with that name if there is none.
    pub(crate) fn at(&mut self, addr: SocketAddr, id: impl FnOnce() -> ListenerId) -> &mut Draft {
        self.by_addr.entry(addr).or_insert_with(|| Draft {
            id: id(),
            plain: Side::default(),
            tls: Side::default(),
            entries: Vec::new(),
            default: None,
        })
    }

    /// What is served in the same way at the same address, with that address.
    pub(crate) fn sides(&self) -> impl Iterator<Item = (SocketAddr, &Side)> {
        self.by_addr.iter().flat_map(|(addr, draft)| [(*addr, &draft.plain), (*addr, &draft.tls)])
    }

    /// All routes of HTTP.
    pub(crate) fn routes_mut(&mut self) -> impl Iterator<Item = &mut Arc<Route>> {
        let sides = self.by_addr.values_mut().flat_map(|draft| [&mut draft.plain, &mut draft.tls]);
        sides.flat_map(|side| &mut side.http)
    }

    /// The listeners; what equals the one before keeps its `Arc`.
    pub(crate) fn finish(self, options: &Options, before: &[Arc<Listener>]) -> Vec<Arc<Listener>> {
        self.by_addr
            .into_iter()
            .map(|(addr, draft)| {
                let old = before.iter().find(|old| old.addr == addr);
                draft.finish(addr, options, old)
            })
            .collect()
    }
}

// === impl Draft ===

impl Draft {
    fn finish(
        self,
        addr: SocketAddr,
        options: &Options,
        old: Option<&Arc<Listener>>,
    ) -> Arc<Listener> {
        let old_tls = old.and_then(|old| old.tls.as_ref());
        let plain = self.plain.finish(old.and_then(|old| old.plain.as_ref()));
        let tls = self.tls.finish(old_tls.map(|tls| &tls.served)).map(|served| {
            let table = tls_table(self.entries, self.default);
            let terminate = match old_tls {
                Some(old) if *old.terminate == table => Arc::clone(&old.terminate),
                _ => Arc::new(table),
            };
            TlsServed { served, terminate }
        });
        let listener = Listener {
            intake: weft_model::listener::Intake::Bound,
            id: self.id,
            addr,
            proxy_protocol_from: options.proxy_protocol_from.clone(),
            forwarded_from: options.forwarded_from.clone(),
            limits: options.limits.clone(),
            path_rules: options.path_rules,
            plain,
            tls,
        };
        match old {
            Some(old) if is_same(old, &listener) => Arc::clone(old),
            _ => Arc::new(listener),
        }
    }
}

// === impl Side ===

impl Side {
    fn finish(mut self, old: Option<&Served>) -> Option<Served> {
        if !self.http_enabled && self.http.is_empty() && self.tcp.is_empty() {
            return None;
        }
        // Where ranks are equal, the route that stands first wins.
        self.http.sort_by(|a, b| b.rank.cmp(&a.rank).then_with(|| a.id.cmp(&b.id)));
        self.tcp.sort_by(|a, b| b.rank.cmp(&a.rank).then_with(|| a.id.cmp(&b.id)));
        let (old_http, old_tcp) = old.map(|old| (&*old.http.routes, &*old.tcp)).unwrap_or_default();
        reuse(&mut self.http, old_http, |route| &route.id);
        reuse(&mut self.tcp, old_tcp, |route| &route.id);
        let enabled = self.http_enabled || !self.http.is_empty();
        let http = match old.map(|old| &old.http) {
            Some(old) if old.enabled == enabled && all_same(&old.routes, &self.http) => {
                Arc::clone(old)
            }
            _ => Arc::new(HttpRoutes { routes: self.http, enabled }),
        };
        Some(Served { tcp: self.tcp, http })
    }
}

/// Replaces routes by their equal from before.
fn reuse<T: PartialEq>(new: &mut [Arc<T>], old: &[Arc<T>], id: impl Fn(&T) -> &RouteId) {
    if old.is_empty() || all_same(old, new) {
        return;
    }
    let by_id: HashMap<&RouteId, &Arc<T>> = old.iter().map(|route| (id(route), route)).collect();
    for route in new {
        if let Some(old) = by_id.get(id(route))
            && !Arc::ptr_eq(old, route)
            && ***old == **route
        {
            *route = Arc::clone(old);
        }
    }
}

fn all_same<T>(left: &[Arc<T>], right: &[Arc<T>]) -> bool {
    left.len() == right.len() && left.iter().zip(right).all(|(a, b)| Arc::ptr_eq(a, b))
}

/// The first entry of each host.
fn tls_table(entries: Vec<TlsEntry>, default: Option<TlsEntry>) -> TlsTable {
    let mut seen = std::collections::HashSet::new();
    let mut kept: Vec<TlsEntry> =
        entries.into_iter().filter(|entry| seen.insert((entry.host.clone(), entry.deep))).collect();
    kept.sort_by(|a, b| (&a.host, a.deep).cmp(&(&b.host, b.deep)));
    TlsTable { entries: kept, default }
}

/// Whether nothing changed, by pointer where that is enough.
fn is_same(old: &Listener, new: &Listener) -> bool {
    let side = |old: Option<&Served>, new: Option<&Served>| match (old, new) {
        (Some(old), Some(new)) => Arc::ptr_eq(&old.http, &new.http) && all_same(&old.tcp, &new.tcp),
        (None, None) => true,
        _ => false,
    };
    let tls = match (&old.tls, &new.tls) {
        (Some(old), Some(new)) => {
            side(Some(&old.served), Some(&new.served))
                && Arc::ptr_eq(&old.terminate, &new.terminate)
        }
        (None, None) => true,
        _ => false,
    };
    old.id == new.id
        && old.proxy_protocol_from == new.proxy_protocol_from
        && old.forwarded_from == new.forwarded_from
        && old.limits == new.limits
        && side(old.plain.as_ref(), new.plain.as_ref())
        && tls
}
