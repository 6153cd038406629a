//! The rules that hold for a destination.

use std::collections::BTreeSet;
use std::sync::Arc;

use weft_model::backend::Endpoints;
use weft_model::id::{BackendId, RouteId, ServiceName, WorkloadName};
use weft_model::listener::Listener;
use weft_model::mesh::{Service, Traffic, Workload};
use weft_model::route::{Choice, Route, RouteSet, Routed, Target, TcpRoute, Weighted};

use super::egress::Scope;
use crate::resolve::Caller;
use crate::state::State;

/// Rules for one port of a service and one caller. `None` where no document says anything.
#[derive(Debug, Default)]
pub(super) struct Rules {
    pub(super) http: Option<Vec<Arc<Route>>>,
    pub(super) tcp: Option<Vec<Arc<TcpRoute>>>,
}

// === impl Rules ===

impl Rules {
    /// Of the first source each that has any for this caller.
    pub(super) fn new(traffic: &Traffic, caller: &Caller<'_>, port: u16) -> Self {
        let fits = |set: &&RouteSet| {
            set.audience.fits(caller.namespace, caller.labels) && is_one(&set.ports, port)
        };
        let mut sets = traffic.routing.iter().filter(fits);
        let http = sets.clone().find_map(|set| set.http.as_deref());
        let tcp = sets.find_map(|set| set.tcp.as_deref());
        Self {
            http: http.map(|routes| fitting(routes, caller, port)),
            tcp: tcp.map(|routes| fitting(routes, caller, port)),
        }
    }

    /// The same for callers who have dialled one address of the service: what leads to the port that
    /// they have dialled leads there.
    pub(super) fn at_address(mut self, service: &Service, port: u16, own: &BackendId) -> Self {
        let is_own = |id: &BackendId| {
            let backend = service.traffic.backends.get(id);
            backend.is_some_and(|backend| {
                matches!(
                    &backend.endpoints,
                    Endpoints::Service { name, port: other, subset: None }
                        if *name == service.entry.name && *other == port
                )
            })
        };
        for route in self.http.iter_mut().flatten() {
            if let Some(target) = led(&route.target, &is_own, own) {
                *route = Arc::new(Route { target, ..Route::clone(route) });
            }
        }
        for route in self.tcp.iter_mut().flatten() {
            if let Some(target) = led(&route.target, &is_own, own) {
                *route = Arc::new(TcpRoute { target, ..TcpRoute::clone(route) });
            }
        }
        self
    }

    fn backends(&self) -> impl Iterator<Item = &BackendId> {
        let http = self.http.iter().flatten().flat_map(|route| route.backends());
        http.chain(self.tcp.iter().flatten().flat_map(|route| route.target.backends()))
    }
}

// === functions ===

/// The services that are needed besides those in use, when the workload of that name calls: those
/// that rules of `used` ones lead to, those that are found by their hosts, the networks that hold for
/// it, and what the rules of these lead to.
pub(crate) fn led_to<'a>(
    state: &State,
    workload: &WorkloadName,
    used: impl IntoIterator<Item = &'a ServiceName>,
) -> BTreeSet<ServiceName> {
    let own = state.workload.as_ref().map(|has| &*has.value);
    let caller = Caller::new(workload, own);
    let networks = own.iter().flat_map(|own| &own.outside).map(|outside| outside.network.clone());
    let mut found: BTreeSet<ServiceName> = found_by_host(state, own).chain(networks).collect();
    let nobody_dials: Vec<ServiceName> = found.iter().cloned().collect();
    let used: Vec<&ServiceName> = used.into_iter().collect();
    for name in used.into_iter().chain(&nobody_dials) {
        let Some(service) = state.services.get(name).map(|has| &*has.value) else { continue };
        let traffic = &service.traffic;
        if traffic.routing.is_empty() {
            continue;
        }
        let ports = service.entry.ports.iter().map(|port| port.number);
        // A network has every port.
        let named = traffic.routing.iter().flat_map(|set| set.ports.iter().copied());
        let ports: BTreeSet<u16> = match service.entry.ports.is_empty() {
            true => named.chain([0]).collect(),
            false => ports.collect(),
        };
        for port in ports {
            for id in Rules::new(traffic, &caller, port).backends() {
                let backend = traffic.backends.get(id);
                if let Some(Endpoints::Service { name, .. }) =
                    backend.map(|backend| &backend.endpoints)
                {
                    found.insert(name.clone());
                }
            }
        }
    }
    found
}

/// The services that the workload may call and that are found by their hosts.
fn found_by_host(state: &State, own: Option<&Workload>) -> impl Iterator<Item = ServiceName> {
    let scope = Scope::new(own);
    let seen = state.index.found_by_host().filter_map(move |listed| scope.seen(listed.entry()));
    seen.map(|entry| entry.name)
}

/// The backends that a listener's routes name.
pub(super) fn named(listener: &Listener) -> BTreeSet<BackendId> {
    let served = listener.plain.iter();
    let http = served.clone().flat_map(|served| &served.http.routes);
    let tcp = served.flat_map(|served| &served.tcp);
    http.flat_map(|route| route.backends())
        .chain(tcp.flat_map(|route| route.target.backends()))
        .cloned()
        .collect()
}

/// The names of a listener's routes.
pub(super) fn ids(listener: &Listener) -> impl Iterator<Item = &RouteId> {
    let served = listener.plain.iter();
    let http = served.clone().flat_map(|served| &served.http.routes).map(|route| &route.id);
    http.chain(served.flat_map(|served| &served.tcp).map(|route| &route.id))
}

/// Whether a port is meant; no ports stand for all.
fn is_one(ports: &[u16], port: u16) -> bool {
    ports.is_empty() || ports.contains(&port)
}

fn fitting<T>(routes: &[Routed<T>], caller: &Caller<'_>, port: u16) -> Vec<Arc<T>> {
    let fits = |routed: &&Routed<T>| {
        routed.audience.fits(caller.namespace, caller.labels) && is_one(&routed.ports, port)
    };
    routes.iter().filter(fits).map(|routed| Arc::clone(&routed.route)).collect()
}

/// The target with `own` in place of what is meant by it; `None` when nothing is. Targets of other
/// kinds do not occur in rules of the mesh.
fn led(target: &Target, is_own: &dyn Fn(&BackendId) -> bool, own: &BackendId) -> Option<Target> {
    match target {
        Target::Backend(id) => is_own(id).then(|| Target::Backend(own.clone())),
        Target::Weighted(weighted) => {
            let targets: Vec<_> =
                weighted.choices.iter().map(|choice| led(&choice.target, is_own, own)).collect();
            if targets.iter().all(Option::is_none) {
                return None;
            }
            let choices = weighted.choices.iter().zip(targets).map(|(choice, target)| Choice {
                target: target.unwrap_or_else(|| choice.target.clone()),
                ..choice.clone()
            });
            let sticky = weighted.sticky.clone();
            Some(Target::Weighted(Arc::new(Weighted { choices: choices.collect(), sticky })))
        }
        Target::HighestRandomWeight(_)
        | Target::Mirror(_)
        | Target::Failover(_)
        | Target::Refuse(_) => None,
    }
}
