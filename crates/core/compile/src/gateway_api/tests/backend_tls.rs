//! BackendTLSPolicy, and certificates shown to backends.

use weft_model::backend::{SubjectAltName, UpstreamTls};

use super::tls::secret;
use super::{ask, assert_reported, backend, clean, http_route, plain_gateway, world};

fn policy(name: &str, target: &str, validation: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: {{name: {name}, namespace: infra}}
spec:
  targetRefs: [{{group: '', kind: Service, {target}}}]
  validation: {{{validation}}}
---
"
    )
}

/// A ConfigMap with an authority.
fn authority() -> String {
    let pem = rcgen::generate_simple_self_signed(vec!["ca".into()]).unwrap().cert.pem();
    format!(
        "apiVersion: v1
kind: ConfigMap
metadata: {{name: ca, namespace: infra}}
data:
  ca.crt: |
    {}
---
",
        pem.trim_end().replace('\n', "\n    ")
    )
}

/// A Service with two named ports.
const SECURE: &str = "apiVersion: v1
kind: Service
metadata: {name: secure, namespace: infra}
spec: {ports: [{name: one, port: 443}, {name: two, port: 8443}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: secure-1, namespace: infra, labels: {kubernetes.io/service-name: secure}}
addressType: IPv4
ports: [{name: one, port: 443}, {name: two, port: 8443}]
endpoints: [{addresses: [10.0.0.20]}]
---
";

const CA: &str =
    "hostname: abc.example.com, caCertificateRefs: [{group: '', kind: ConfigMap, name: ca}]";

fn routes() -> String {
    http_route(
        "  - {matches: [{path: {value: /one}}], backendRefs: [{name: secure, port: 443}]}
  - {matches: [{path: {value: /two}}], backendRefs: [{name: secure, port: 8443}]}
  - {backendRefs: [{name: v1, port: 8080}]}
",
    )
}

fn tls(documents: &[&str], line: &str) -> Option<UpstreamTls> {
    let (gateway, routes) = (plain_gateway(), routes());
    let mut all = vec![SECURE, &gateway, &routes];
    all.extend(documents);
    backend(&clean(&all), line).calling.tls.as_deref().cloned()
}

/// BackendTLSPolicy
#[test]
fn services_are_reached_by_tls() {
    let (ca, policy) = (authority(), policy("p", "name: secure", CA));
    let found = tls(&[&ca, &policy], "GET h/one").unwrap();
    assert_eq!(found.server_name.as_deref(), Some("abc.example.com"));
    assert!(found.roots_pem.is_some() && !found.insecure_skip_verify);
    assert_eq!(tls(&[&ca, &policy], "GET h/"), None, "other services are not");
}

#[test]
fn the_systems_authorities() {
    let policy =
        policy("p", "name: secure", "hostname: a.example, wellKnownCACertificates: System");
    let found = tls(&[&policy], "GET h/one").unwrap();
    assert_eq!(found.roots_pem, None);
}

/// BackendTLSPolicySANValidation
#[test]
fn names_in_certificates() {
    let names = "subjectAltNames: [{type: Hostname, hostname: b.example}, \
                 {type: URI, uri: 'spiffe://td/ns/a/sa/b'}]";
    let policy = policy("p", "name: secure", &format!("{CA}, {names}"));
    let found = tls(&[&authority(), &policy], "GET h/one").unwrap();
    assert_eq!(
        found.subject_alt_names,
        [
            SubjectAltName::Dns("b.example".into()),
            SubjectAltName::Uri("spiffe://td/ns/a/sa/b".into())
        ]
    );
}

/// BackendTLSPolicyConflictResolution
#[test]
fn the_oldest_policy_counts_and_one_for_a_port_before_one_for_all() {
    let named = |host: &str| CA.replace("abc.example.com", host);
    let host = |documents: &[&str], line: &str| {
        let (gateway, routes, ca) = (plain_gateway(), routes(), authority());
        let mut all = vec![SECURE, &gateway, &routes, &ca];
        all.extend(documents);
        let world = world(&all);
        let name = backend(&world, line).calling.tls.as_ref().unwrap().server_name.clone().unwrap();
        (name.to_string(), world)
    };
    let a = policy("a", "name: secure", &named("a.example"));
    let b = policy("b", "name: secure", &named("b.example"));
    let (name, world) = host(&[&b, &a], "GET h/one");
    assert_eq!(name, "a.example");
    assert_reported(&world, "BackendTLSPolicy infra/a is older and has the same target");
    let old = b.replace("infra}", "infra, creationTimestamp: '2020-01-01T00:00:00Z'}");
    assert_eq!(host(&[&a, &old], "GET h/one").0, "b.example");
    let port = policy("z", "name: secure, sectionName: one", &named("z.example"));
    assert_eq!(host(&[&a, &port], "GET h/one").0, "z.example");
    assert_eq!(host(&[&a, &port], "GET h/two").0, "a.example");
}

/// BackendTLSPolicyInvalidCACertificateRef, BackendTLSPolicyInvalidKind
#[test]
fn a_policy_that_cannot_be_obeyed_is_never_gone_round() {
    let check = |validation: &str, documents: &str, reason: &str| {
        let policy = policy("p", "name: secure", validation);
        let world = world(&[SECURE, documents, &policy, &plain_gateway(), &routes()]);
        assert_eq!(ask(&world, 80, "GET h/one"), "503", "{validation}");
        assert_eq!(ask(&world, 80, "GET h/"), "v1", "{validation}");
        assert_reported(&world, reason);
    };
    check(CA, "", "ConfigMap infra/ca is not found");
    check(&CA.replace("ConfigMap", "Foo"), "", "authorities are not read from a Foo");
    let empty = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ca, namespace: infra}\n---\n";
    check(CA, empty, "ConfigMap infra/ca has no `ca.crt`");
    let bad = empty.replace("---", "data: {ca.crt: hello}\n---");
    check(CA, &bad, "has no valid certificate");
    // What is misspelt is not ignored either.
    check(&format!("{CA}, hotsname: x"), &authority(), "unknown field `hotsname`");
    check("hostname: a.example, wellKnownCACertificates: Sytem", "", "`Sytem` is not a value");
}

#[test]
fn the_last_good_form_of_a_policy_stays_in_force() {
    let good = policy("p", "name: secure", CA);
    let bad = good.replace("hostname", "hotsname");
    let (gateway, routes, ca) = (plain_gateway(), routes(), authority());
    let options = crate::Options::new(Vec::new());
    let compile = |policy: &str, before| {
        let text = format!("{SECURE}{gateway}{routes}{ca}{policy}");
        crate::compile(&weft_resources::load(&[("a.yaml", text)]), &options, before)
    };
    let before = compile(&good, None);
    let after = compile(&bad, Some(&before));
    assert!(backend(&after, "GET h/one").calling.tls.is_some());
    assert_reported(&after, "the last good form of BackendTLSPolicy infra/p is still in force");
}

/// GatewayBackendClientCertificate
#[test]
fn certificates_shown_to_backends() {
    let gateway = |secret: &str| {
        plain_gateway().replace(
            "  listeners:",
            &format!(
                "  tls: {{backend: {{clientCertificateRef: {{name: {secret}}}}}}}\n  listeners:"
            ),
        )
    };
    let (ca, policy) = (authority(), policy("p", "name: secure", CA));
    let own = secret("infra", "own", &["gateway.example"]);
    let world = clean(&[SECURE, &ca, &policy, &own, &gateway("own"), &routes()]);
    let shown = backend(&world, "GET h/one");
    let client = shown.calling.tls.as_ref().unwrap().client.clone().unwrap();
    assert_eq!(&*client.origin, "secret infra/own");
    assert_eq!(backend(&world, "GET h/").calling.tls, None, "plain backends are shown none");
    let lost = super::world(&[SECURE, &ca, &policy, &gateway("lost"), &routes()]);
    assert_eq!(ask(&lost, 80, "GET h/one"), "503");
}
