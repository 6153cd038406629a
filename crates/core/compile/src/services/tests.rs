use weft_resources::load;

use super::*;
use crate::Options;

const SERVICE: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {ports: [{port: 80, name: http, targetPort: web}, {port: 53, protocol: UDP}]}\n";

/// Resolves port 80 of `s` in `default`.
fn resolve(documents: &[&str]) -> Result<Vec<String>, String> {
    resolve_port(documents, &PortRef::Number(80))
}

fn resolve_port(documents: &[&str], port: &PortRef) -> Result<Vec<String>, String> {
    let set = load(&[("f", documents.join("---\n"))]);
    assert_eq!(set.problems(), []);
    let services = Services::new(set.resources(), None);
    match services.resolve(&Options::new(Vec::new()), "default", "s", port) {
        Ok(resolved) => Ok(match resolved.endpoints {
            Endpoints::Static(list) => list
                .iter()
                .map(|endpoint| format!("{}*{}", endpoint.addr, endpoint.weight))
                .collect(),
            Endpoints::Dns { name, port } => vec![format!("{name}:{port}")],
            Endpoints::Dialled => Vec::new(),
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
