//! What stands for addresses that no service has: networks that documents speak of, and all else that
//! the mesh does not know.
//!
//! Services without addresses (a ServiceEntry with hosts alone) are found there by the host that a
//! request or TLS asks for, on their ports: their rules come before all others.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use weft_model::backend::{Backend, Endpoints};
use weft_model::id::{RouteId, ServiceName};
use weft_model::listener::{Destination, Direction, Listener};
use weft_model::mesh::{
    AddressRange, Mtls, Outside, Protocol, Service, ServiceEndpoints, ServicePort,
    UnknownDestinations, Workload,
};
use weft_model::outcome::Reason;
use weft_model::policy::Refusal;
use weft_model::route::{
    HostMatch, Matcher, Origin, Rank, Route, Target, TcpMatcher, TcpRoute, TcpTls, Timeouts,
};

use super::parts::Meant;
use super::rules::{self, Rules};
use super::{Assembly, backend, whole};
use crate::resolve::{self, Resolved};

/// The dialect of rules that come before those of every other.
const FIRST: u8 = u8::MAX;

/// Addresses that are no service's, and what is known of calls to them.
struct Place<'a> {
    id: String,
    range: Option<AddressRange>,
    /// What has the rules; `None` where there are none, or none are known yet.
    network: Option<&'a Service>,
    closed: Option<Refusal>,
}

/// A service that is found by its host, with its rules for one port.
struct ByHost<'a> {
    service: Option<&'a Service>,
    /// What stands for it where no rule says otherwise.
    own: Option<Backend>,
    port: ServicePort,
    rules: Rules,
}

// === impl Assembly ===

impl<'a> Assembly<'a> {
    /// What stands for addresses that no service has.
    pub(super) fn outside(&mut self, workload: Option<&Workload>) {
        let hosts = self.hosts();
        for place in self.places(workload) {
            let mut ports: BTreeSet<u16> = hosts.keys().copied().collect();
            let sets = place.network.iter().flat_map(|network| &network.traffic.routing);
            ports.extend(sets.flat_map(|set| set.ports.iter().copied()));
            for port in ports.into_iter().map(Some).chain([None]) {
                let hosts = port.and_then(|port| hosts.get(&port));
                self.place(&place, port, hosts.map(Vec::as_slice).unwrap_or_default());
            }
        }
    }

    /// The networks that hold for this workload, and then the rest.
    fn places(&self, workload: Option<&Workload>) -> Vec<Place<'a>> {
        let refused = |reason, detail: String| Refusal { reason, detail: detail.into() };
        let unknown = |detail: &str| refused(Reason::UnknownDestination, detail.into());
        let closed = match workload.map(|own| own.unknown) {
            Some(UnknownDestinations::Allow) => None,
            Some(UnknownDestinations::Refuse) => {
                Some(unknown("only what the mesh knows may be called"))
            }
            // Perhaps it may not.
            None => Some(unknown("the control plane has not said yet what this workload may call")),
        };
        let place = |outside: &Outside| {
            let Outside { range, network: name } = outside;
            let network = self.state.services.get(name).map(|has| &*has.value);
            let unlearned = || {
                let detail = format!("the rules of {name} are not known yet");
                network.is_none().then(|| refused(Reason::ServiceUnlearned, detail))
            };
            Place {
                id: format!("outbound/{name}/{}", range.within),
                range: Some(range.clone()),
                network,
                closed: closed.clone().or_else(unlearned),
            }
        };
        let networks = workload.iter().flat_map(|own| &own.outside).map(place);
        let closed = closed.clone();
        let rest = Place { id: "outbound/unknown".into(), range: None, network: None, closed };
        networks.chain([rest]).collect()
    }

    /// The services that are found by their hosts, by port; names before wildcards, and long
    /// wildcards before short ones.
    fn hosts(&self) -> BTreeMap<u16, Vec<ByHost<'a>>> {
        let mut found: BTreeMap<u16, Vec<ByHost<'a>>> = BTreeMap::new();
        let mut entries: Vec<_> =
            self.services.found_by_host().map(|listed| listed.entry()).collect();
        entries.sort_by_cached_key(|entry| {
            let name = entry.name.as_str();
            (name.starts_with('*'), Reverse(name.len()), entry.name.clone())
        });
        for entry in entries {
            let service = self.state.services.get(&entry.name).map(|has| &*has.value);
            if service.is_none() && self.state.missing.contains(&entry.name) {
                continue;
            }
            // Bytes ask for no host.
            let ports = entry.ports.iter().filter(|port| port.protocol != Protocol::Tcp);
            for port in ports {
                let host = self.host(&entry.name, service, port.clone());
                found.entry(port.number).or_default().push(host);
            }
        }
        found
    }

    fn host(
        &self,
        name: &ServiceName,
        service: Option<&'a Service>,
        port: ServicePort,
    ) -> ByHost<'a> {
        let Some(known) = service else {
            let detail = format!("nothing is known of {name} yet");
            let refusal = Refusal { reason: Reason::ServiceUnlearned, detail: detail.into() };
            let rules = Rules::default().of_host(name, port.protocol, &Target::Refuse(refusal));
            return ByHost { service, own: None, port, rules };
        };
        let id = format!("outbound/{name}:{}", port.number);
        let is_pattern = matches!(
            &known.endpoints, ServiceEndpoints::Dns { name, .. } if name.contains('*')
        );
        let own = match is_pattern || self.is_as_dialled(known, &port) {
            true => backend(&id, port.protocol, Endpoints::Dialled),
            false => whole(known, &port),
        };
        let rules = Rules::new(&known.traffic, &self.resolver.caller(), port.number);
        let rules = match own.endpoints.is_dialled() {
            true => rules.at_address(known, port.number, &own.id),
            false => rules,
        };
        let rules = rules.of_host(name, port.protocol, &Target::Backend(own.id.clone()));
        ByHost { service, own: Some(own), port, rules }
    }

    /// What stands for the addresses of a place, on one port or on all others.
    fn place(&mut self, place: &Place<'a>, port: Option<u16>, hosts: &[ByHost<'a>]) {
        let id = match port {
            Some(port) => format!("{}:{port}", place.id),
            None => place.id.clone(),
        };
        let caller = self.resolver.caller();
        // No port is 0: rules for some ports are not for all others.
        let of_network =
            |network: &Service| Rules::new(&network.traffic, &caller, port.unwrap_or(0));
        let own = backend("outbound/unknown", Protocol::Detect, Endpoints::Dialled);
        let own = Backend { calling: resolve::dialled(None), ..own };
        let listener = self.parts.destination(&id, || Meant {
            kind: "Workload",
            destination: Destination {
                direction: Direction::Outbound,
                addrs: [].into(),
                range: place.range.clone(),
                port,
                protocol: Protocol::Detect,
                name: "unknown".into(),
                mtls: Mtls::Permissive,
                closed: place.closed.clone(),
            },
            backend: own.id.clone(),
            rules: place.network.map(of_network).unwrap_or_default(),
            first: first(hosts),
            steps: Arc::default(),
        });
        self.lead(&listener, place.network, own, hosts);
    }

    /// Adds the backends that the rules of a place lead to, and the lines at which they stand.
    fn lead(
        &mut self,
        listener: &Listener,
        network: Option<&Service>,
        unknown: Backend,
        hosts: &[ByHost<'a>],
    ) {
        let resolver = self.resolver;
        for named in rules::named(listener) {
            if named == unknown.id {
                let own = unknown.clone();
                self.parts.backend(&named, false, || Resolved { backend: own, sources: None });
                continue;
            }
            let is_own = |host: &&ByHost<'a>| host.own.as_ref().is_some_and(|own| own.id == named);
            if let Some(ByHost { service: Some(service), own: Some(own), port, .. }) =
                hosts.iter().find(is_own)
            {
                self.parts.backend(&named, false, || match own.endpoints.is_dialled() {
                    true => resolver.resolve_at(own.clone(), service, Some(port)),
                    false => resolver.resolve(own),
                });
                continue;
            }
            let services = network.into_iter().chain(hosts.iter().filter_map(|host| host.service));
            let mut known = services.filter_map(|service| service.traffic.backends.get(&named));
            // A route to what nobody has described is answered by the proxy.
            let Some(known) = known.next() else { continue };
            self.parts.backend(&named, false, || match known.endpoints.is_dialled() {
                true => {
                    let calling = resolve::dialled(None);
                    let backend = Backend { calling, ..Backend::clone(known) };
                    Resolved { backend, sources: None }
                }
                false => resolver.resolve(known),
            });
        }
        let services = network.into_iter().chain(hosts.iter().filter_map(|host| host.service));
        let ids: BTreeSet<&RouteId> = rules::ids(listener).collect();
        for (id, line) in services.flat_map(|service| &service.traffic.lines) {
            if ids.contains(id) {
                self.lines.insert(id.clone(), *line);
            }
        }
    }
}

// === impl Rules ===

impl Rules {
    /// The same for requests and connections that ask for a host, in order: what is none of theirs is
    /// not for it. `own` is where all goes without any.
    fn of_host(self, name: &ServiceName, protocol: Protocol, own: &Target) -> Self {
        let refusal = |detail: String| {
            Target::Refuse(Refusal { reason: Reason::NoRoute, detail: detail.into() })
        };
        let host = match name.as_str().strip_prefix("*.") {
            Some(suffix) => HostMatch::AnyLabels(suffix.into()),
            None => HostMatch::Exact(name.as_str().into()),
        };
        let last = |has_rules: bool| match has_rules {
            true => refusal(format!("no rule of {name} takes it")),
            false => own.clone(),
        };
        let http = (protocol != Protocol::Tls).then(|| {
            let last = route(name, last(self.http.is_some()));
            let mut routes = self.http.unwrap_or_default();
            routes.sort_by_key(|route| Reverse(route.rank));
            let of_host = |route: Arc<Route>| {
                let matcher = match &route.matcher {
                    Matcher::All(all) if all.is_empty() => Matcher::Host(host.clone()),
                    own => Matcher::All(vec![Matcher::Host(host.clone()), own.clone()]),
                };
                Arc::new(Route { matcher, ..Route::clone(&route) })
            };
            routes.into_iter().chain([Arc::new(last)]).map(of_host).collect()
        });
        let speaks_bytes = matches!(protocol, Protocol::Detect | Protocol::Tls);
        let tcp = speaks_bytes.then(|| {
            let last = tcp_route(name, last(self.tcp.is_some()));
            let mut routes = self.tcp.unwrap_or_default();
            routes.sort_by_key(|route| Reverse(route.rank));
            let of_host = |route: Arc<TcpRoute>| {
                let asked = TcpMatcher::Sni(host.clone());
                let matcher = match &route.matcher {
                    TcpMatcher::All(all) if all.is_empty() => asked,
                    own => TcpMatcher::All(vec![asked, own.clone()]),
                };
                Arc::new(TcpRoute { matcher, tls: TcpTls::Passthrough, ..TcpRoute::clone(&route) })
            };
            routes.into_iter().chain([Arc::new(last)]).map(of_host).collect()
        });
        Self { http, tcp }
    }
}

// === functions ===

/// The rules of all of these hosts, each before those that follow.
fn first(hosts: &[ByHost<'_>]) -> Rules {
    let rank = |place: usize| Rank { dialect: FIRST, major: -(place as i64), ..Rank::default() };
    let http = hosts.iter().flat_map(|host| host.rules.http.iter().flatten()).enumerate();
    let http =
        http.map(|(place, route)| Arc::new(Route { rank: rank(place), ..Route::clone(route) }));
    let tcp = hosts.iter().flat_map(|host| host.rules.tcp.iter().flatten()).enumerate();
    let tcp = tcp
        .map(|(place, route)| Arc::new(TcpRoute { rank: rank(place), ..TcpRoute::clone(route) }));
    Rules { http: Some(http.collect()), tcp: Some(tcp.collect()) }
}

fn origin(name: &ServiceName) -> Origin {
    Origin { kind: "Service".into(), name: name.as_str().into(), ..Origin::default() }
}

fn route(name: &ServiceName, target: Target) -> Route {
    Route {
        id: RouteId::new(format!("outbound/{name}")),
        origin: origin(name),
        rank: Rank::default(),
        matcher: Matcher::All(Vec::new()),
        steps: Arc::default(),
        target,
        timeouts: Timeouts::default(),
    }
}

fn tcp_route(name: &ServiceName, target: Target) -> TcpRoute {
    TcpRoute {
        id: RouteId::new(format!("outbound/{name}")),
        origin: origin(name),
        rank: Rank::default(),
        matcher: TcpMatcher::All(Vec::new()),
        tls: TcpTls::Passthrough,
        in_flight_max: None,
        allow: Vec::new(),
        target,
    }
}
