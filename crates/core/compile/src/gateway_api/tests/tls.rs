//! HTTPS listeners: certificates, who may use them, and which listener a connection belongs to.

use std::sync::Arc;

use weft_model::listener::{ClientAuth, TlsEntry, TlsTable};

use super::{assert_reported, clean, find, gateway, route, rule, words, world};
use crate::World;

/// A Secret in `namespace` with a certificate for these names.
pub(crate) fn secret(namespace: &str, name: &str, hosts: &[&str]) -> String {
    let names: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let indented = |pem: &str| pem.trim_end().replace('\n', "\n    ");
    format!(
        "apiVersion: v1
kind: Secret
metadata: {{name: {name}, namespace: {namespace}}}
type: kubernetes.io/tls
stringData:
  tls.crt: |
    {}
  tls.key: |
    {}
---
",
        indented(&made.cert.pem()),
        indented(&made.signing_key.serialize_pem())
    )
}

pub(crate) fn table(world: &World, port: u16) -> Arc<TlsTable> {
    let listeners = &world.snapshot.listeners;
    let listener = listeners.iter().find(|listener| listener.addr.port() == port).unwrap();
    Arc::clone(&listener.tls.as_ref().unwrap().terminate)
}

/// The entry of a server name: an exact one, else the longest wildcard, else the default.
pub(crate) fn entry<'a>(table: &'a TlsTable, name: &str) -> Option<&'a TlsEntry> {
    let fits = |entry: &&TlsEntry| match entry.host.strip_prefix("*.") {
        None => *entry.host == *name,
        Some(suffix) => name
            .strip_suffix(suffix)
            .and_then(|front| front.strip_suffix('.'))
            .is_some_and(|front| !front.is_empty() && (entry.deep || !front.contains('.'))),
    };
    let best = table
        .entries
        .iter()
        .filter(fits)
        .max_by_key(|entry| (!entry.host.starts_with('*'), entry.host.len()));
    best.or(table.default.as_ref())
}

/// What a request gets on a connection with that server name: the backend or a status.
fn ask(world: &World, sni: &str, host: &str) -> String {
    let table = table(world, 443);
    let Some(own) = entry(&table, sni) else { return "no handshake".into() };
    if entry(&table, host).is_some_and(|other| other.site != own.site) {
        return "421".into();
    }
    let line = format!("GET {host}/p");
    find(world, 443, true, &line).map_or("404".into(), |route| words(&route.target))
}

fn https(name: &str, host: &str, secret: &str) -> String {
    let host = if host.is_empty() { String::new() } else { format!("hostname: '{host}', ") };
    format!(
        "name: {name}, port: 443, protocol: HTTPS, {host}tls: {{certificateRefs: [{{{secret}}}]}}"
    )
}

fn attached(section: &str, hosts: &str, backend: &str) -> String {
    let spec = format!(
        "  parentRefs: [{{name: gw, sectionName: {section}}}]\n  hostnames: [{hosts}]\n  rules:\n{}",
        rule("", backend)
    );
    route("HTTPRoute", section, &spec)
}

/// HTTPRouteHTTPSListener
#[test]
fn https_listeners() {
    let world = clean(&[
        &secret("infra", "cert", &["example.org"]),
        &gateway(&[&https("a", "", "name: cert"), &https("b", "second-example.org", "name: cert")]),
        &attached("a", "example.org", "v1"),
        &attached("b", "", "v2"),
    ]);
    assert_eq!(ask(&world, "example.org", "example.org"), "v1");
    assert_eq!(ask(&world, "second-example.org", "second-example.org"), "v2");
    assert_eq!(ask(&world, "unknown-example.org", "unknown-example.org"), "404");
    let listener = &world.snapshot.listeners[0];
    assert!(listener.plain.is_none(), "nothing is served without TLS");
}

/// HTTPRouteHTTPSListenerDetectMisdirectedRequests
#[test]
fn misdirected_requests() {
    let world = clean(&[
        &secret("infra", "cert", &["example.org"]),
        &gateway(&[
            &https("a", "", "name: cert"),
            &https("b", "second-example.org", "name: cert"),
            &https("c", "*.wildcard.org", "name: cert"),
            &https("d", "fourth-example.wildcard.org", "name: cert"),
        ]),
        &attached("a", "example.org", "v1"),
        &attached("b", "", "v2"),
        &attached("c", "", "v3"),
        &attached("d", "", "v1"),
    ]);
    let table = [
        ("example.org", "example.org", "v1"),
        ("example.org", "second-example.org", "421"),
        ("example.org", "unknown-example.org", "404"),
        ("second-example.org", "second-example.org", "v2"),
        ("second-example.org", "example.org", "421"),
        ("second-example.org", "unknown-example.org", "421"),
        ("third-example.wildcard.org", "third-example.wildcard.org", "v3"),
        ("third-example.wildcard.org", "fith-example.wildcard.org", "v3"),
        ("third-example.wildcard.org", "fourth-example.wildcard.org", "421"),
        ("third-example.wildcard.org", "second-example.org", "421"),
        ("third-example.wildcard.org", "unknown-example.org", "421"),
        ("fourth-example.wildcard.org", "fourth-example.wildcard.org", "v1"),
        ("fourth-example.wildcard.org", "fith-example.wildcard.org", "421"),
        ("unknown-example.org", "example.org", "v1"),
        ("unknown-example.org", "unknown-example.org", "404"),
    ];
    for (sni, host, expected) in table {
        assert_eq!(ask(&world, sni, host), expected, "{sni} and {host}");
    }
}

/// GatewaySecretReferenceGrant*, GatewaySecretMissingReferenceGrant,
/// GatewaySecretInvalidReferenceGrant
#[test]
fn certificates_of_other_namespaces_need_a_grant() {
    let certificate = secret("other", "cert", &["example.org"]);
    let gateway = gateway(&[&https("a", "example.org", "name: cert, namespace: other")]);
    let grant = |from: &str, to: &str| {
        format!(
            "apiVersion: gateway.networking.k8s.io/v1
kind: ReferenceGrant
metadata: {{name: g, namespace: other}}
spec:
  from: [{{group: gateway.networking.k8s.io, {from}}}]
  to: [{{group: '', {to}}}]
---
"
        )
    };
    let check = |grant: &str, is_served: bool| {
        let world = world(&[&certificate, &gateway, &attached("a", "", "v1"), grant]);
        let expected = if is_served { "v1" } else { "no handshake" };
        assert_eq!(ask(&world, "example.org", "example.org"), expected, "{grant}");
        if !is_served {
            assert_reported(&world, "no ReferenceGrant allows Gateway infra/gw");
        }
    };
    check("", false);
    check(&grant("kind: Gateway, namespace: infra", "kind: Secret"), true);
    check(&grant("kind: Gateway, namespace: infra", "kind: Secret, name: cert"), true);
    check(&grant("kind: Gateway, namespace: infra", "kind: Secret, name: other"), false);
    check(&grant("kind: Gateway, namespace: third", "kind: Secret"), false);
    check(&grant("kind: HTTPRoute, namespace: infra", "kind: Secret"), false);
}

#[test]
fn a_set_of_listeners_is_granted_certificates_under_its_own_name() {
    let certificate = secret("other", "cert", &["example.org"]);
    let gateway = gateway(&["name: http, port: 80, protocol: HTTP"])
        .replace("  listeners:", "  allowedListeners: {namespaces: {from: All}}\n  listeners:");
    let check = |(group, kind): (&str, &str), granted: (&str, &str), is_served: bool| {
        let version = if group.contains("x-k8s") { "v1alpha1" } else { "v1" };
        let set = format!(
            "apiVersion: {group}/{version}
kind: {kind}
metadata: {{name: set, namespace: infra}}
spec:
  parentRef: {{name: gw}}
  listeners: [{{{}}}]
---
",
            https("a", "example.org", "name: cert, namespace: other")
        );
        let grant = format!(
            "apiVersion: gateway.networking.k8s.io/v1
kind: ReferenceGrant
metadata: {{name: g, namespace: other}}
spec:
  from: [{{group: {}, kind: {}, namespace: infra}}]
  to: [{{group: '', kind: Secret}}]
---
",
            granted.0, granted.1
        );
        let spec = format!(
            "  parentRefs: [{{group: {group}, kind: {kind}, name: set}}]\n  rules:\n{}",
            rule("", "v1")
        );
        let route = route("HTTPRoute", "r", &spec);
        let world = world(&[&certificate, &gateway, &set, &grant, &route]);
        let expected = if is_served { "v1" } else { "no handshake" };
        assert_eq!(ask(&world, "example.org", "example.org"), expected, "{kind}: {granted:?}");
    };
    let standard = ("gateway.networking.k8s.io", "ListenerSet");
    let experimental = ("gateway.networking.x-k8s.io", "XListenerSet");
    check(standard, standard, true);
    check(experimental, experimental, true);
    check(experimental, standard, false);
    check(experimental, ("gateway.networking.k8s.io", "XListenerSet"), false);
}

/// GatewayInvalidTLSConfiguration, GatewaySecretMissingReferencedSecret
#[test]
fn certificates_that_cannot_be_used() {
    let check = |reference: &str, documents: &str, reason: &str| {
        let listener = https("a", "example.org", reference);
        let world = world(&[documents, &gateway(&[&listener]), &attached("a", "", "v1")]);
        assert_eq!(ask(&world, "example.org", "example.org"), "no handshake");
        assert_reported(&world, reason);
    };
    check("name: none", "", "secret `infra/none` is not found");
    check("kind: Foo, name: none", "", "certificates are not read from a Foo");
    let malformed = "apiVersion: v1
kind: Secret
metadata: {name: bad, namespace: infra}
stringData: {tls.crt: Hello world, tls.key: Hello world}
---
";
    check("name: bad", malformed, "has no valid certificate");
}

#[test]
fn a_broken_listener_keeps_its_hosts_from_others() {
    let world = world(&[
        &secret("infra", "cert", &["*.example.org"]),
        &gateway(&[&https("a", "", "name: cert"), &https("b", "b.example.org", "name: none")]),
        &attached("a", "", "v1"),
        &attached("b", "", "v2"),
    ]);
    assert_eq!(ask(&world, "a.example.org", "a.example.org"), "v1");
    // The handshake may be that of the listener for every host; its routes must not answer.
    assert_eq!(ask(&world, "b.example.org", "b.example.org"), "503");
}

#[test]
fn of_several_certificates_the_one_for_the_name_is_shown() {
    let world = clean(&[
        &secret("infra", "one", &["one.example.org"]),
        &secret("infra", "wild", &["*.example.org"]),
        &secret("infra", "own", &["own.example.org"]),
        &gateway(&[
            "name: a, port: 443, protocol: HTTPS, \
             tls: {certificateRefs: [{name: one}, {name: wild}, {name: own}]}",
            &https("b", "own.example.org", "name: own"),
        ]),
        &attached("a", "", "v1"),
        &attached("b", "", "v2"),
    ]);
    let table = table(&world, 443);
    let shown = |name: &str| entry(&table, name).unwrap().certificates[0].origin.to_string();
    assert_eq!(shown("one.example.org"), "secret infra/one");
    assert_eq!(shown("two.example.org"), "secret infra/wild");
    assert_eq!(shown("own.example.org"), "secret infra/own");
    let site = |name: &str| entry(&table, name).unwrap().site.clone();
    assert_eq!(site("one.example.org"), site("two.example.org"), "one listener");
    assert_ne!(site("one.example.org"), site("own.example.org"), "a listener of its own");
}

/// GatewayFrontendClientCertificateValidation, ...InsecureFallback,
/// GatewayFrontendInvalidDefaultClientCertificateValidation
#[test]
fn client_certificates() {
    let gateway = |mode: &str, map: &str| {
        format!(
            "apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: gw, namespace: infra}}
spec:
  gatewayClassName: weftway
  tls:
    frontend:
      default: {{validation: {{caCertificateRefs: [{{group: '', kind: ConfigMap, name: {map}}}]{mode}}}}}
      perPort: [{{port: 8443, tls: {{}}}}]
  listeners:
  - {{{}}}
  - {{{}}}
---
",
            https("a", "", "name: cert"),
            https("b", "", "name: cert").replace("443", "8443"),
        )
    };
    let authority = rcgen::generate_simple_self_signed(vec!["ca".into()]).unwrap().cert.pem();
    let map = format!(
        "apiVersion: v1
kind: ConfigMap
metadata: {{name: ca, namespace: infra}}
data:
  ca.crt: |
    {}
---
",
        authority.trim_end().replace('\n', "\n    ")
    );
    let certificate = secret("infra", "cert", &["example.org"]);
    let auth = |world: &World, port| {
        table(world, port).default.as_ref().map(|entry| entry.options.client_auth.clone())
    };
    let strict = clean(&[&certificate, &map, &gateway("", "ca")]);
    assert!(matches!(auth(&strict, 443), Some(ClientAuth::RequireAndVerify(_))));
    assert_eq!(auth(&strict, 8443), Some(ClientAuth::None), "this port asks for none");
    let lenient = clean(&[&certificate, &map, &gateway(", mode: AllowInsecureFallback", "ca")]);
    assert_eq!(auth(&lenient, 443), Some(ClientAuth::Request));
    let broken = world(&[&certificate, &map, &gateway("", "nobody")]);
    assert!(
        !broken
            .snapshot
            .listeners
            .iter()
            .any(|listener| { listener.addr.port() == 443 && listener.tls.is_some() }),
        "nobody can be verified, so nobody is served"
    );
    assert_reported(&broken, "ConfigMap infra/nobody is not found");
}
