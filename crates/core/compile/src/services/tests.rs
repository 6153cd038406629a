use weft_resources::load;

use super::*;
use crate::Options;

const SERVICE: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {ports: [{port: 80, name: http, targetPort: web}, {port: 53, protocol: UDP}]}\n";

/// Resolves port 80 of `s` in `default`.
fn resolve(documents: &[&str]) -> Result<Vec<String>, String> {
    resolve_port(documents, &PortRef::Number(80))
}

fn resolve_port(documents: &[&str], port: &PortRef) -> Result<Vec<String>, String> {
    resolve_beside(&Index::default(), documents, port)
}

/// The same for a gateway that is part of this mesh.
fn resolve_beside(
    index: &Index,
    documents: &[&str],
    port: &PortRef,
) -> Result<Vec<String>, String> {
    let mesh = Meshed { index, domain: "cluster.local" };
    let set = load(&[("f", documents.join("---\n"))]);
    assert_eq!(set.problems(), []);
    let services = Services::new(set.resources(), mesh, None);
    match services.resolve(&Options::new(Vec::new()), "default", "s", port) {
        Ok(resolved) => Ok(match resolved.endpoints {
            Endpoints::Static(list) => list
                .iter()
                .map(|endpoint| format!("{}*{}", endpoint.addr, endpoint.weight))
                .collect(),
            Endpoints::Dns { name, port } => vec![format!("{name}:{port}")],
            Endpoints::Service { name, port, subset: _ } => vec![format!("mesh {name}:{port}")],
            Endpoints::Dialled | Endpoints::DialledThrough(_) => Vec::new(),
        }),
        Err(error) => Err(error.to_string()),
    }
}

fn slice(name: &str, ports: &str, endpoints: &str) -> String {
    format!(
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: {name}, labels: {{kubernetes.io/service-name: s}}}}\naddressType: IPv4\nports: [{ports}]\nendpoints: [{endpoints}]\n"
    )
}

fn check(documents: &[&str], expected: &[&str]) {
    assert_eq!(resolve(documents), Ok(expected.iter().map(|text| (*text).to_owned()).collect()));
}

#[test]
fn slices_of_a_service_are_joined() {
    let a = slice("a", "{port: 8080, name: http}", "{addresses: [10.0.0.2, 10.0.0.1]}");
    let b = slice("b", "{port: 9090, name: http}", "{addresses: [10.0.0.1]}");
    let other = slice("c", "{port: 1, name: metrics}", "{addresses: [10.0.0.3]}");
    check(&[SERVICE, &a, &b, &other], &["10.0.0.1:8080*1", "10.0.0.1:9090*1", "10.0.0.2:8080*1"]);
}

/// Called by its name of several clusters.
const WHOLE: &str = "s.default.svc.clusterset.local";

#[test]
fn what_is_exported_joins_what_other_clusters_have() {
    let export =
        "apiVersion: multicluster.x-k8s.io/v1beta1\nkind: ServiceExport\nmetadata: {name: s}\n";
    let own = slice("own", "{port: 8080, name: http}", "{addresses: [10.0.0.1]}");
    let east = slice("east", "{port: 9090, name: http}", "{addresses: [10.1.0.1]}")
        .replace("kubernetes.io/service-name", "multicluster.kubernetes.io/service-name");
    let set = load(&[("f", [SERVICE, export, &own, &east].join("---\n"))]);
    assert_eq!(set.problems(), []);
    let index = Index::default();
    let mesh = Meshed { index: &index, domain: "cluster.local" };
    let services = Services::new(set.resources(), mesh, None);
    assert_eq!(services.of_host(WHOLE, "other"), ("default".into(), WHOLE.into()));
    let found = |name| {
        let port = PortRef::Number(80);
        let found = services.resolve(&Options::new(Vec::new()), "default", name, &port);
        let Ok(Resolved { endpoints: Endpoints::Static(all), .. }) = found else {
            panic!("{found:?}")
        };
        all.iter().map(|endpoint| endpoint.addr.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(found(WHOLE), ["10.0.0.1:8080", "10.1.0.1:9090"]);
    assert_eq!(found("s"), ["10.0.0.1:8080"]);
}

#[test]
fn a_federated_service_has_the_endpoints_of_its_local_part() {
    let part = SERVICE.replace("name: s}", "name: part}");
    let own = slice("own", "{port: 8080, name: http}", "{addresses: [10.0.0.1]}");
    let own = own.replace("service-name: s", "service-name: part");
    let east = slice("east", "{port: 9090, name: http}", "{addresses: [10.1.0.1]}");
    let federated = SERVICE.replace(
        "name: s}",
        "name: s, annotations: {multicluster.linkerd.io/local-discovery: part}}",
    );
    check(&[&federated, &part, &own, &east], &["10.0.0.1:8080*1", "10.1.0.1:9090*1"]);
}

#[test]
fn only_ready_endpoints_unless_there_is_none() {
    let endpoints = "{addresses: [10.0.0.1], conditions: {ready: true}}, \
         {addresses: [10.0.0.2], conditions: {ready: false}}, \
         {addresses: [10.0.0.3], conditions: {ready: false, serving: true, terminating: true}}";
    let a = slice("a", "{port: 8080, name: http}", endpoints);
    check(&[SERVICE, &a], &["10.0.0.1:8080*1"]);
    let ending =
        slice("a", "{port: 8080, name: http}", &endpoints.replace("ready: true", "ready: false"));
    check(&[SERVICE, &ending], &["10.0.0.3:8080*1"]);
}

#[test]
fn slices_alone_name_their_ports() {
    let a = slice("a", "{port: 80, name: http}", "{addresses: [10.0.0.1]}");
    check(&[&a], &["10.0.0.1:80*1"]);
    assert_eq!(
        resolve_port(&[&a], &PortRef::Name("http".into())),
        Ok(vec!["10.0.0.1:80*1".to_owned()])
    );
    assert_eq!(
        resolve_port(&[&a], &PortRef::Number(81)),
        Err("service `default/s` has no port `81`; it has 80".to_owned())
    );
}

#[test]
fn the_older_endpoints_count_without_slices() {
    let endpoints = "apiVersion: v1\nkind: Endpoints\nmetadata: {name: s}\nsubsets: [{addresses: [{ip: 10.0.0.7}], ports: [{port: 8080, name: http}]}]\n";
    check(&[SERVICE, endpoints], &["10.0.0.7:8080*1"]);
    let a = slice("a", "{port: 8080, name: http}", "{addresses: [10.0.0.1]}");
    check(&[SERVICE, endpoints, &a], &["10.0.0.1:8080*1"]);
}

#[test]
fn service_entries_give_addresses() {
    let entry = "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: e}\nspec:\n  hosts: [s.default.svc.cluster.local]\n  ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8080}]\n  resolution: STATIC\n  endpoints: [{address: 10.0.0.5, weight: 3}]\n";
    check(&[entry], &["10.0.0.5:8080*3"]);
    check(&[SERVICE, entry], &["10.0.0.5:8080*3"]);
    let dns = entry.replace("STATIC", "DNS").replace("10.0.0.5", "up.example");
    check(&[&dns], &["up.example:8080"]);
}

#[test]
fn udp_ports_are_none() {
    assert_eq!(
        resolve_port(&[SERVICE], &PortRef::Number(53)),
        Err("service `default/s` has no port `53`; it has 80 (http)".to_owned())
    );
}

#[test]
fn nothing_is_said_so() {
    assert_eq!(resolve(&["# none\n"]), Err("service `default/s` is not found".to_owned()));
    check(&[SERVICE], &[]);
}

#[test]
fn hosts_are_services() {
    let name = |host: &str| {
        let (service, namespace) = service_of_host(host, "here");
        format!("{namespace}/{service}")
    };
    assert_eq!(name("a"), "here/a");
    assert_eq!(name("a.b"), "b/a");
    assert_eq!(name("a.b.svc"), "b/a");
    assert_eq!(name("a.b.svc.cluster.local"), "b/a");
    assert_eq!(name("api.shop.example"), "here/api.shop.example");
}

/// A mesh with one service, at port 80 (named `web`).
fn mesh(name: &str, location: Location, protocol: Protocol) -> Index {
    let name = weft_model::id::ServiceName::new(name);
    let entry = IndexEntry {
        name: name.clone(),
        addrs: [[10, 78, 0, 1].into()].into(),
        endpoint_addrs: [].into(),
        ports: [ServicePort { number: 80, name: "web".into(), protocol }].into(),
        location,
    };
    Index { entries: [(name, Arc::new(entry))].into() }
}

#[test]
fn what_the_mesh_knows_runs_where_the_mesh_says() {
    const NAME: &str = "s.default.svc.cluster.local";
    let index = mesh(NAME, Location::Mesh, Protocol::Detect);
    let check = |documents: &[&str], port: PortRef, expected: Result<&str, &str>| {
        let resolved = resolve_beside(&index, documents, &port);
        let expected = expected.map(|text| vec![text.to_owned()]).map_err(str::to_owned);
        assert_eq!(resolved, expected, "{documents:?} {port}");
    };
    let runs = Ok("mesh s.default.svc.cluster.local:80");
    let a = slice("a", "{port: 8080, name: http}", "{addresses: [10.0.0.2]}");
    check(&[], PortRef::Number(80), runs);
    check(&[], PortRef::Name("web".into()), runs);
    check(&[SERVICE, &a], PortRef::Number(80), runs);
    // The Service calls its port otherwise.
    check(&[SERVICE], PortRef::Name("http".into()), runs);
    let unknown = "service `default/s` has no port `81`; it has 80 (web)";
    check(&[], PortRef::Number(81), Err(unknown));
    // A gateway may be told not to follow such a name.
    let external = "apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {type: ExternalName, externalName: e.test}\n";
    let resolved = resolve_beside(&index, &[external], &PortRef::Number(80));
    assert!(resolved.is_err_and(|error| error.contains("is an ExternalName")));
}

#[test]
fn what_the_mesh_says_is_spoken_is_known_of_a_port() {
    let check = |protocol, expected: Option<&str>| {
        let index = mesh("s.default.svc.cluster.local", Location::Mesh, protocol);
        let known = Meshed { index: &index, domain: "cluster.local" };
        let services = Services::new([], known, None);
        let options = Options::new(Vec::new());
        let resolved = services.resolve(&options, "default", "s", &PortRef::Number(80)).unwrap();
        assert_eq!(resolved.app_protocol.as_deref(), expected, "{protocol:?}");
    };
    check(Protocol::Http2, Some("h2c"));
    check(Protocol::Http, None);
    check(Protocol::Detect, None);
}

#[test]
fn hosts_of_service_entries_are_reached_as_the_mesh_says_if_they_are_part_of_it() {
    let entry = "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: e}\nspec: {hosts: [s], resolution: STATIC, ports: [{number: 80, name: web, protocol: HTTP}], endpoints: [{address: 192.0.2.1}]}\n";
    let check = |location, expected: &str| {
        let index = mesh("s", location, Protocol::Http);
        let resolved = resolve_beside(&index, &[entry], &PortRef::Number(80));
        assert_eq!(resolved, Ok(vec![expected.to_owned()]), "{location:?}");
    };
    check(Location::Mesh, "mesh s:80");
    check(Location::External, "192.0.2.1:80*1");
}
