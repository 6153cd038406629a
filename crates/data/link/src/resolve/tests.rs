use weft_model::backend::HostHeader;
use weft_model::calling::{Audience, LocalityOrder};
use weft_model::id::BackendId;
use weft_model::mesh::{IndexEntry, Location, Traffic};
use weft_model::route::{Affinity, Cookie};
use weft_resilience::settings::{LimitSettings, PickerKind};

use super::*;

const SHOP: &str = "payments.shop.svc.cluster.local";

fn service(calling: Option<Calling>) -> Service {
    let entry = IndexEntry {
        name: ServiceName::new(SHOP),
        addrs: [].into(),
        endpoint_addrs: [].into(),
        ports: [ServicePort { number: 80, name: "".into(), protocol: Protocol::Http }].into(),
        location: Location::Mesh,
    };
    let entry_for = |calling| CallingFor {
        audience: Audience::default(),
        port: None,
        subset: None,
        calling: Arc::new(calling),
        sources: Arc::default(),
    };
    let calling = calling.into_iter().map(entry_for).collect();
    Service {
        entry: Arc::new(entry),
        endpoints: ServiceEndpoints::Dns { name: "x.example".into(), ports: [(80, 81)].into() },
        traffic: Arc::new(Traffic { calling, ..Traffic::default() }),
    }
}

fn services(service: Service) -> BTreeMap<ServiceName, Versioned<Service>> {
    let known = Versioned { version: "1".into(), value: Arc::new(service) };
    BTreeMap::from([(ServiceName::new(SHOP), known)])
}

fn backend(subset: Option<&str>, calling: Calling) -> Backend {
    let name = ServiceName::new(SHOP);
    Backend {
        id: BackendId::new("b"),
        endpoints: Endpoints::Service { name, port: 80, subset: subset.map(Into::into) },
        protocol: UpstreamProtocol::Auto,
        health_check: None,
        host: HostHeader::Pass,
        termination_delay: None,
        calling: Arc::new(calling),
    }
}

const CALLER: Caller<'_> = Caller { namespace: "shop", labels: &[], locality: None };

#[test]
fn what_a_backend_says_itself_holds_and_the_rest_is_the_services() {
    let limits = LimitSettings { requests: Some(3), ..LimitSettings::default() };
    let said = Calling { picker: PickerKind::PeakEwma, limits, ..Calling::default() };
    let services = services(service(Some(said.clone())));
    let resolver = Resolver::sidecar(&services, CALLER);
    let cookie = Affinity::Cookie(Cookie {
        name: "s".into(),
        path: "/".into(),
        domain: "".into(),
        http_only: false,
        secure: false,
        same_site: "".into(),
        max_age_secs: 0,
    });
    let own = Calling { sticky: Some(cookie.clone()), ..Calling::default() };
    let resolved = resolver.resolve(&backend(None, own)).backend;
    assert_eq!(*resolved.calling, Calling { sticky: Some(cookie), ..said });
    // One that says nothing shares what the service says.
    let resolved = resolver.resolve(&backend(None, Calling::default())).backend;
    let known = &services[SHOP].value.traffic.calling[0].calling;
    assert!(Arc::ptr_eq(&resolved.calling, known));
}

#[test]
fn what_nobody_says_is_the_meshs_own_in_sidecars_and_the_documents_in_gateways() {
    let services = services(service(None));
    let plain = backend(None, Calling::default());
    let sidecar = Resolver::sidecar(&services, CALLER).resolve(&plain).backend;
    assert_eq!(*sidecar.calling, Calling::mesh());
    let gateway = Resolver::gateway(&services, CALLER).resolve(&plain).backend;
    let expected = Calling { outlier: Calling::mesh().outlier, ..Calling::default() };
    assert_eq!(*gateway.calling, expected);
    // All share one.
    let again = Resolver::sidecar(&services, CALLER).resolve(&plain).backend;
    assert!(Arc::ptr_eq(&again.calling, &sidecar.calling));
}

#[test]
fn places_that_fail_are_left_although_no_document_asks_for_outlier_detection() {
    let locality = Locality { order: LocalityOrder::Place, ..Locality::default() };
    let said = Calling { locality: Some(Arc::new(locality)), ..Calling::default() };
    let services = services(service(Some(said)));
    let plain = backend(None, Calling::default());
    let resolved = Resolver::sidecar(&services, CALLER).resolve(&plain).backend;
    assert_eq!(resolved.calling.outlier, Calling::mesh().outlier);
}

#[test]
fn names_have_no_parts_but_the_whole() {
    let part = |labels: &[(&str, &str)]| {
        let labels = labels.iter().map(|(key, value)| ((*key).into(), (*value).into()));
        let subset = Some(Subset { name: "v1".into(), labels: labels.collect() });
        let mut service = service(Some(Calling::default()));
        let traffic = Arc::make_mut(&mut service.traffic);
        Arc::make_mut(&mut traffic.calling)[0].subset = subset;
        let services = services(service);
        let asked = backend(Some("v1"), Calling::default());
        Resolver::sidecar(&services, CALLER).resolve(&asked).backend.endpoints
    };
    assert_eq!(part(&[]), Endpoints::Dns { name: "x.example".into(), port: 81 });
    assert_eq!(part(&[("version", "1")]), Endpoints::Static([].into()));
}
