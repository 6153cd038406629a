//! Rules for a network outside of the mesh (Linkerd's EgressNetwork): those of its routes, and what
//! holds for calls that no route takes.

use std::sync::Arc;

use weft_model::backend::{Backend, Endpoints, HostHeader, UpstreamProtocol};
use weft_model::id::{BackendId, RouteId};
use weft_model::outcome::Reason;
use weft_model::policy::Refusal;
use weft_model::route::{
    Matcher, Rank, Route, RouteSet, Routed, Target, TcpMatcher, TcpRoute, Timeouts,
};
use weft_resources::linkerd::EgressNetwork;
use weft_resources::{Kind, Pos, Resource};

use super::profile;
use super::table::{Places, Subject, origin, routed, tcp_route};
use crate::context::Output;

/// The address that was dialled, as a backend.
pub(super) fn dialled(subject: Subject<'_>, out: &mut Output) -> BackendId {
    out.backend(Arc::new(Backend {
        id: BackendId::new(subject.name.as_str()),
        endpoints: Endpoints::Dialled,
        protocol: UpstreamProtocol::AsClient,
        health_check: None,
        host: HostHeader::Pass,
        termination_delay: None,
        calling: Arc::default(),
    }))
}

/// Adds to the rules of a network what becomes of calls that no route takes: they pass, as its
/// annotations say, or are refused.
pub(super) fn add_rest(
    subject: Subject<'_>,
    documents: &[&Arc<Resource>],
    sets: &mut Vec<RouteSet>,
    places: &mut Places,
    out: &mut Output,
) {
    let network = documents.iter().find_map(|resource| match &resource.body {
        Kind::EgressNetwork(network) => Some((&***resource, &**network)),
        _ => None,
    });
    let Some((resource, network)) = network else { return };
    let http = rest(subject, resource, network, out);
    places.insert(http.id.clone(), (resource.key.clone(), Pos::default()));
    let tcp = connections(&http);
    for set in &mut *sets {
        set.http = set.http.take().map(|rules| joined(rules, &http));
        set.tcp = set.tcp.take().map(|rules| joined(rules, &tcp));
    }
    sets.push(RouteSet {
        http: Some([routed(&[], http)].into()),
        tcp: Some([routed(&[], tcp)].into()),
        ..RouteSet::default()
    });
}

fn rest(
    subject: Subject<'_>,
    resource: &Resource,
    network: &EgressNetwork,
    out: &mut Output,
) -> Route {
    let id = format!("egressnetwork/{}/{}/rest", resource.namespace(), resource.name());
    let mut timeouts = Timeouts::default();
    let (target, words) = match network.allows && !network.is_broken {
        true => {
            let retry = network.calls.retry.as_ref().map(|retry| (resource, retry));
            profile::apply(retry, network.calls.timeouts, &mut timeouts, out);
            (Target::Backend(dialled(subject, out)), "Allow")
        }
        false => {
            let detail = format!("{} lets no such call out", resource.key);
            let refusal = Refusal { reason: Reason::Forbidden, detail: detail.into() };
            (Target::Refuse(refusal), "Deny")
        }
    };
    Route {
        id: RouteId::new(id),
        origin: origin(resource, format!("trafficPolicy: {words}")),
        rank: Rank::default(),
        matcher: Matcher::All(Vec::new()),
        steps: Arc::default(),
        target,
        timeouts,
    }
}

/// The same for connections.
fn connections(rest: &Route) -> TcpRoute {
    let everything = (TcpMatcher::All(Vec::new()), false);
    let named = (rest.id.clone(), rest.origin.clone());
    tcp_route(named, rest.rank, everything, rest.target.clone())
}

fn joined<T: Clone>(rules: Box<[Routed<T>]>, rest: &T) -> Box<[Routed<T>]> {
    let rest = routed(&[], rest.clone());
    rules.into_iter().chain([rest]).collect()
}
