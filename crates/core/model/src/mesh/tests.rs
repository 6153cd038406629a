use super::*;

fn entry(name: &str, addrs: &[&str], endpoint_addrs: &[&str]) -> Arc<IndexEntry> {
    let ips = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
    Arc::new(IndexEntry {
        name: ServiceName::new(name),
        addrs: ips(addrs),
        endpoint_addrs: ips(endpoint_addrs),
        ports: [ServicePort { number: 80, name: "".into(), protocol: Protocol::Detect }].into(),
        location: Location::Mesh,
    })
}

fn index() -> Index {
    let entries = [
        entry("payments.shop.svc.cluster.local", &["10.78.0.1"], &[]),
        entry("payments.default.svc.cluster.local", &["10.78.0.2"], &[]),
        entry("db.shop.svc.cluster.local", &[], &["10.77.0.9"]),
        entry("api.example.com", &["10.78.0.3"], &[]),
        entry("*.example.com", &[], &[]),
        entry("example.shop", &["10.78.0.4"], &[]),
        entry("a.shop.svc.cluster.local", &[], &["10.78.0.4", "10.77.0.8"]),
        entry("example.shop.svc.cluster.local", &["10.78.0.5"], &[]),
        // Has an endpoint in common with the headless service before it, which takes connections.
        entry("other.shop.svc.cluster.local", &[], &["10.77.0.9"]),
    ];
    Index { entries: entries.into_iter().map(|entry| (entry.name.clone(), entry)).collect() }
}

#[test]
fn host_names_are_resolved() {
    let directory = Directory::new(index().entries.values());
    let check = |host: &str, namespace: &str, expected: &str| {
        let found = directory.resolve(host, namespace, "cluster.local");
        let shown = found.map(|named| match named.hostname {
            Some(hostname) => format!("{hostname} of {}", named.service.name()),
            None => named.service.name().to_owned(),
        });
        assert_eq!(shown.unwrap_or_default(), expected, "{host} in {namespace}");
    };
    check("payments", "shop", "payments.shop.svc.cluster.local");
    check("payments", "default", "payments.default.svc.cluster.local");
    check("payments", "other", "");
    check("payments.shop", "default", "payments.shop.svc.cluster.local");
    check("payments.shop.svc", "default", "payments.shop.svc.cluster.local");
    check("Payments.Shop.svc.Cluster.local", "default", "payments.shop.svc.cluster.local");
    check("payments.shop.svc.cluster.local.", "default", "payments.shop.svc.cluster.local");
    check("payments.shop.", "default", "");
    check("payments.", "shop", "");
    check("db-0.db", "shop", "db-0 of db.shop.svc.cluster.local");
    check("db-0.db.shop", "default", "db-0 of db.shop.svc.cluster.local");
    check("db-0.db.shop.svc.cluster.local.", "default", "db-0 of db.shop.svc.cluster.local");
    check("a.db-0.db.shop", "default", "");
    check("x.payments", "shop", "");
    check("api.example.com", "default", "api.example.com");
    check("www.example.com", "default", "*.example.com");
    check("a.www.example.com", "default", "*.example.com");
    check("example.com", "default", "");
    check("example.shop", "default", "example.shop");
    check("", "shop", "");
    check(".", "shop", "");
    check("*.example.com", "shop", "");
    check(".payments", "shop", "");
}

#[test]
fn connections_find_their_service() {
    let directory = Directory::new(index().entries.values());
    let check = |addr: &str, expected: &str| {
        let found = directory.holder(addr.parse().unwrap());
        assert_eq!(found.map_or("", Listed::name), expected, "{addr}");
    };
    check("10.78.0.1:80", "payments.shop.svc.cluster.local");
    check("10.78.0.1:81", "");
    check("10.77.0.9:80", "db.shop.svc.cluster.local");
    check("10.77.0.9:81", "");
    check("10.77.0.8:80", "a.shop.svc.cluster.local");
    check("10.78.0.4:80", "example.shop");
    check("10.99.0.1:80", "");
}

#[test]
fn headless_endpoints_are_found_by_name_and_address() {
    let endpoint = |ip: &str, hostname: &str, port: u16| MeshEndpoint {
        workload: WorkloadName::new("shop/db-0"),
        ip: ip.parse().unwrap(),
        ports: [(port, port)].into(),
        weight: 1,
        locality: None,
        labels: Arc::default(),
        hostname: Some(hostname.into()),
        transport: Transport::Plain,
    };
    let endpoints = [
        endpoint("10.77.0.9", "db-0", 80),
        endpoint("10.77.0.9", "db-0", 81),
        endpoint("10.77.0.10", "db-1", 80),
    ];
    let service = Service {
        entry: entry("db.shop.svc.cluster.local", &[], &["10.77.0.9", "10.77.0.10"]),
        endpoints: ServiceEndpoints::Known(endpoints.clone().into()),
        traffic: Arc::default(),
    };
    let named: Vec<_> = service.named("db-0").cloned().collect();
    assert_eq!(named, endpoints[..2]);
    assert_eq!(service.at("10.77.0.9:81".parse().unwrap()), Some(&endpoints[1]));
    assert_eq!(service.at("10.77.0.10:81".parse().unwrap()), None);
}
