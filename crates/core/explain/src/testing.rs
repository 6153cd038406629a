//! Small snapshots for the tests of this crate.

use std::sync::Arc;

use weft_message::PathRules;
use weft_model::Snapshot;
use weft_model::backend::{Backend, Endpoint, Endpoints, HostHeader, UpstreamProtocol};
use weft_model::id::{BackendId, ListenerId, RouteId};
use weft_model::listener::{Destination, Direction, HttpRoutes, Intake, Limits, Listener, Served};
use weft_model::mesh::{Directory, IndexEntry, Location, Mtls, Protocol, ServicePort};
use weft_model::route::{Matcher, Origin, PathMatch, Rank, Route, Target, Timeouts};

use crate::question::{Question, Standpoint};

pub(crate) const SERVICE: &str = "payments.shop.svc.cluster.local";

/// A rule for the paths below `prefix`; the longer one wins.
pub(crate) fn route(name: &str, prefix: &str, backend: &str) -> Route {
    Route {
        id: RouteId::new(name),
        origin: Origin {
            kind: "HTTPRoute".into(),
            name: format!("shop/{name}").into(),
            file: "routes.yaml".into(),
            rule: format!("path {prefix}").into(),
        },
        rank: Rank { minor: prefix.len() as u64, ..Rank::default() },
        matcher: Matcher::Path(PathMatch::Segments(prefix.into())),
        steps: Arc::default(),
        target: Target::Backend(BackendId::new(backend)),
        timeouts: Timeouts::default(),
    }
}

/// What stands for port 80 of [`SERVICE`].
pub(crate) fn destination() -> Destination {
    Destination {
        direction: Direction::Outbound,
        addrs: ["10.78.0.1".parse().unwrap()].into(),
        range: None,
        port: Some(80),
        protocol: Protocol::Http,
        name: SERVICE.into(),
        mtls: Mtls::Permissive,
        closed: None,
    }
}

/// A proxy's plan with these rules for port 80 of [`SERVICE`]; each rule stands at the line of its
/// position, from 10.
pub(crate) fn snapshot(routes: impl IntoIterator<Item = Route>) -> Snapshot {
    with_intake(Intake::Destination(destination()), routes)
}

pub(crate) fn with_intake(intake: Intake, routes: impl IntoIterator<Item = Route>) -> Snapshot {
    let routes: Vec<Arc<Route>> = routes.into_iter().map(Arc::new).collect();
    let lines = routes.iter().zip(10..).map(|(route, line)| (route.id.clone(), line)).collect();
    let http = Arc::new(HttpRoutes { routes, enabled: true });
    let listener = Listener {
        id: ListenerId::new("outbound/payments:80"),
        addr: "10.78.0.1:80".parse().unwrap(),
        intake,
        proxy_protocol_from: Vec::new(),
        forwarded_from: Vec::new(),
        limits: Limits::DEFAULT,
        path_rules: PathRules::default(),
        plain: Some(Served { tcp: Vec::new(), http }),
        tls: None,
    };
    let entry = IndexEntry {
        name: weft_model::id::ServiceName::new(SERVICE),
        addrs: ["10.78.0.1".parse().unwrap()].into(),
        endpoint_addrs: Box::default(),
        ports: [ServicePort { number: 80, name: "http".into(), protocol: Protocol::Http }].into(),
        location: Location::Mesh,
    };
    let backends = ["v1", "v2"].map(|id| (BackendId::new(id), Arc::new(backend(id))));
    Snapshot {
        listeners: vec![Arc::new(listener)],
        backends: backends.into(),
        lines,
        services: Arc::new(Directory::new([entry])),
        ..Snapshot::default()
    }
}

fn backend(id: &str) -> Backend {
    Backend {
        id: BackendId::new(id),
        endpoints: Endpoints::Static([Endpoint::new("10.77.0.2:8080".parse().unwrap())].into()),
        protocol: UpstreamProtocol::AsClient,
        health_check: None,
        host: HostHeader::Pass,
        termination_delay: None,
        calling: Arc::default(),
    }
}

pub(crate) fn in_shop() -> Standpoint {
    Standpoint::Workload { namespace: "shop".into(), domain: "cluster.local".into() }
}

pub(crate) fn question(text: &str) -> Question {
    Question::parse(text, []).unwrap()
}
