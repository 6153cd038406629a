use proptest::prelude::*;

use super::server::{PortProtocol, ServerCertificates, ServerTlsMode, TlsVersion};
use super::value::{ExportTo, NamespaceRef, Percent};
use super::{Gateway, Resolution, ServiceEntry};
use crate::kind::Kind;
use crate::set::load;

/// What a document says, and what is wrong with it, with the advice in brackets.
pub(super) fn read(kind: &str, spec: &str) -> (Option<Kind>, Vec<String>) {
    let text = format!(
        "apiVersion: networking.istio.io/v1\nkind: {kind}\nmetadata: {{name: a}}\nspec: {spec}\n"
    );
    let set = load(&[("a.yaml", text)]);
    let body = set.resources().next().map(|resource| resource.body.clone());
    let shown = |problem: &crate::Problem| {
        let fix = problem.fix.as_ref().map(|fix| format!(" [{fix}]")).unwrap_or_default();
        format!("{}: {}: {}{fix}", problem.severity, problem.path, problem.message)
    };
    (body, set.problems().iter().map(shown).collect())
}

/// What a document says of which nothing is to be said.
pub(super) fn clean(kind: &str, spec: &str) -> Kind {
    let (body, problems) = read(kind, spec);
    assert_eq!(problems, Vec::<String>::new(), "{spec}");
    body.unwrap_or_else(|| panic!("nothing was read of {spec}"))
}

/// Checks that this is said of a document, which is in force unless it is an error.
pub(super) fn says(kind: &str, spec: &str, expected: &str) {
    let (body, problems) = read(kind, spec);
    assert!(problems.iter().any(|problem| problem.contains(expected)), "{spec}: {problems:#?}");
    let is_wrong = problems.iter().any(|problem| problem.starts_with("error"));
    let is_broken = body.as_ref().is_some_and(Kind::is_broken);
    assert_eq!(body.is_some(), !is_wrong || is_broken, "{spec}: {problems:#?}");
}

fn entry(spec: &str) -> ServiceEntry {
    match read("ServiceEntry", spec) {
        (Some(Kind::ServiceEntry(entry)), _) => *entry,
        other => panic!("not a ServiceEntry: {other:?}"),
    }
}

fn gateway(spec: &str) -> Gateway {
    match clean("Gateway", spec) {
        Kind::IstioGateway(gateway) => *gateway,
        other => panic!("not a Gateway: {other:?}"),
    }
}

#[test]
fn every_served_version_is_read() {
    for kind in ["VirtualService", "DestinationRule", "Gateway", "ServiceEntry", "Sidecar"] {
        for version in ["v1", "v1beta1", "v1alpha3"] {
            let api_version = format!("networking.istio.io/{version}");
            assert!(crate::kind::find(&api_version, kind).is_some(), "{api_version} {kind}");
        }
    }
}

#[test]
fn gateways_and_routes_are_of_more_than_a_mesh() {
    let bodies = [
        clean(
            "Gateway",
            "{servers: [{port: {number: 80, name: h, protocol: HTTP}, hosts: ['*']}]}",
        ),
        clean("DestinationRule", "{host: a}"),
        clean("VirtualService", "{hosts: [a], http: [{route: [{destination: {host: a}}]}]}"),
    ];
    assert!(bodies.iter().all(|body| !body.is_for_mesh()));
    let mesh = [
        clean("WorkloadEntry", "{address: 10.0.0.1}"),
        clean("WorkloadGroup", "{template: {serviceAccount: a}}"),
    ];
    assert!(mesh.iter().all(Kind::is_for_mesh));
}

#[test]
fn static_endpoints_with_their_own_ports() {
    let spec = "
  hosts: [Legacy.Example.]
  location: MESH_EXTERNAL
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: http, targetPort: 8080}]
  endpoints:
  - {address: 10.0.0.1, weight: 0}
  - {address: 10.0.0.2, ports: {http: 9090}, weight: 3, locality: eu/west/rack1}
";
    clean("ServiceEntry", spec);
    let entry = entry(spec);
    assert_eq!(entry.hosts, ["legacy.example".into()]);
    assert_eq!(entry.resolution, Resolution::Static);
    let port = entry.port(80).unwrap();
    assert_eq!(&*port.protocol, "HTTP");
    let ports: Vec<_> = entry.endpoints.iter().map(|e| (e.port(port), e.weight)).collect();
    assert_eq!(ports, [(8080, 1), (9090, 3)]);
    let second = &entry.endpoints[1];
    let places = [&second.region, &second.zone, &second.subzone];
    assert_eq!(places.map(|place| place.as_deref()), [Some("eu"), Some("west"), Some("rack1")]);
}

#[test]
fn what_a_service_entry_says_beside_its_endpoints() {
    let spec = "{hosts: [a.example], resolution: NONE, addresses: [240.0.0.1, 240.1.0.0/16], \
                exportTo: [., front], subjectAltNames: [b.example]}";
    let entry = entry(spec);
    assert_eq!(entry.addresses, ["240.0.0.1".parse::<std::net::IpAddr>().unwrap()]);
    assert_eq!(entry.ranges[0].value, "240.1.0.0/16".parse().unwrap());
    assert_eq!(&*entry.subject_alt_names[0].value, "b.example");
    let export = entry.export_to.unwrap();
    let own = NamespaceRef::Own;
    let named = NamespaceRef::Named("front".into());
    assert_eq!(export.value, ExportTo::Namespaces([own, named].into()));
    for (namespace, expected) in [("shop", true), ("front", true), ("back", false)] {
        assert_eq!(export.reaches("shop", namespace), expected, "{namespace}");
    }
}

#[test]
fn resolutions() {
    let check = |spec: &str, expected: Resolution| assert_eq!(entry(spec).resolution, expected);
    check("{hosts: [a.example]}", Resolution::None);
    check("{hosts: [a.example], resolution: DNS_ROUND_ROBIN}", Resolution::DnsRoundRobin);
    let ports = "ports: [{number: 443, name: tls, protocol: TLS}]";
    let dynamic = format!("{{hosts: ['*.a.example'], resolution: DYNAMIC_DNS, {ports}}}");
    check(&dynamic, Resolution::DynamicDns);
    clean("ServiceEntry", &dynamic);
}

#[test]
fn impossible_service_entries() {
    let check = |fields: &str, expected: &str| {
        says("ServiceEntry", &format!("{{{fields}}}"), expected);
    };
    check(
        "hosts: [a.example], resolution: STATIC, endpoints: [{address: b.example}]",
        "is a name, but the resolution is STATIC",
    );
    check("ports: []", "the field `hosts` is required");
    check("hosts: ['*']", "the host `*` is everything and nothing");
    check("hosts: ['a b']", "spec.hosts[0]: `a b` is not the name of a host");
    check("hosts: [a.example], exportTo: ['*', b]", "spec.exportTo: `*` stands alone");
    check("hosts: [a.example], exportTo: [a.b]", "`a.b` is not the name of a namespace");
    check(
        "hosts: [a.example], resolution: DYNAMIC_DNS",
        "DYNAMIC_DNS is for wildcards, and `a.example` is none [write resolution: DNS]",
    );
    check(
        "hosts: ['*.a.example'], resolution: DYNAMIC_DNS, addresses: [240.0.0.1]",
        "`addresses` and the resolution DYNAMIC_DNS exclude each other",
    );
    check(
        "hosts: ['*.a.example'], resolution: DYNAMIC_DNS, ports: [{number: 25, name: t}]",
        "calls to port 25 do not say which name they want",
    );
    check(
        "hosts: [a.example], resolution: DNS, addresses: [240.0.0.0/8]",
        "ranges of addresses need the resolution NONE or STATIC",
    );
    check(
        "hosts: [a.example], resolution: DNS_ROUND_ROBIN, \
         endpoints: [{address: b.example}, {address: c.example}]",
        "the resolution DNS_ROUND_ROBIN has one endpoint at most",
    );
    check("hosts: [a.example], endpoints: [{weight: 1}]", "the field `address` is required");
    check(
        "hosts: [a.example], resolution: STATIC, endpoints: [{address: unix:///tmp/a}]",
        "Unix sockets are not supported",
    );
}

#[test]
fn fields_without_effect_are_reported() {
    let check = |fields: &str, expected: &str| {
        says("ServiceEntry", &format!("{{hosts: [a.example], {fields}}}"), expected);
    };
    check("subjectAltNames: [b.example]", "`subjectAltNames` has no effect");
    check("addresses: [240.0.0.0/8]", "a range of virtual addresses has no effect");
    says("WorkloadEntry", "{address: 10.0.0.1, network: far}", "`network` has no effect");
}

#[test]
fn names_that_nobody_is_shown_are_noted() {
    let server = "{name: a, port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}";
    let port = "{number: 80, protocol: HTTP, name: a}";
    for (kind, spec, at) in [
        ("Gateway", format!("{{servers: [{server}]}}"), "spec.servers[0].name"),
        ("Sidecar", format!("{{ingress: [{{port: {port}}}]}}"), "spec.ingress[0].port.name"),
        (
            "Sidecar",
            format!("{{egress: [{{port: {port}, hosts: ['*/*']}}]}}"),
            "spec.egress[0].port.name",
        ),
    ] {
        says(kind, &spec, &format!("note: {at}: `name` has no effect"));
    }
}

#[test]
fn servers_of_a_gateway() {
    let gateway = gateway(
        "
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 80, name: http, protocol: http2}
    hosts: ['*', './a.example', 'shop/*.b.example', 10.0.0.1]
    tls: {httpsRedirect: true}
    bind: '::1'
  - port: {number: 443, name: https, protocol: HTTPS}
    hosts: [A.example]
    tls: {mode: MUTUAL, credentialName: c, minProtocolVersion: TLSV1_3, maxProtocolVersion: TLS_AUTO}
  - port: {number: 444, name: tls, protocol: TLS}
    hosts: [c.example]
    tls: {}
",
    );
    assert_eq!(*gateway.selector, [("istio".into(), "ingressgateway".into())]);
    let [plain, secure, passed] = gateway.servers.as_slice() else { panic!("{gateway:?}") };
    assert_eq!((*plain.port.number, *plain.port.protocol), (80, PortProtocol::Http2));
    assert_eq!(plain.bind.as_ref().map(|bind| &*bind.value), Some("::1"));
    let hosts: Vec<_> = plain.hosts.iter().map(|one| (one.namespace.clone(), &*one.host)).collect();
    let named = Some(NamespaceRef::Named("shop".into()));
    let expected = [
        (None, "*"),
        (Some(NamespaceRef::Own), "a.example"),
        (named, "*.b.example"),
        (None, "10.0.0.1"),
    ];
    assert_eq!(hosts, expected);
    let redirects = plain.tls.as_ref().unwrap().https_redirect.as_ref().unwrap();
    assert!(redirects.value);
    let tls = secure.tls.as_ref().unwrap();
    assert_eq!((*tls.mode, tls.certificates.clone()), {
        let ServerCertificates::Secrets(names) = &tls.certificates else { panic!("{tls:?}") };
        assert_eq!(&*names[0].value, "c");
        (ServerTlsMode::Mutual, tls.certificates.clone())
    });
    assert_eq!(tls.min_version.as_ref().map(|one| one.value), Some(TlsVersion::V1_3));
    assert_eq!((&tls.max_version, &*secure.hosts[0].host), (&None, "a.example"));
    assert_eq!(*passed.tls.as_ref().unwrap().mode, ServerTlsMode::Passthrough);
}

#[test]
fn impossible_gateways() {
    let check = |fields: &str, expected: &str| {
        says("Gateway", &format!("{{servers: [{{{fields}}}]}}"), expected);
    };
    let https = "port: {number: 443, name: s, protocol: HTTPS}, hosts: ['*']";
    let http = "port: {number: 80, name: h, protocol: HTTP}, hosts: ['*']";
    let tls = |tls: &str| format!("{https}, tls: {{{tls}}}");
    says("Gateway", "{servers: []}", "a Gateway needs at least one server");
    says(
        "Gateway",
        &format!("{{servers: [{{{http}}}, {{{http}}}]}}"),
        "the port `h` is there already",
    );
    check("port: {number: 80, name: h, protocol: HTTP}", "a server needs at least one host");
    check("hosts: ['*']", "the field `port` is required");
    check(
        "hosts: ['*'], port: {number: 80, name: h, protocol: QUIC}",
        "`QUIC` is not a protocol of a port",
    );
    check(
        "hosts: ['*'], port: {number: 80, name: h, protocol: HTTP, targetPort: 8080}",
        "`targetPort` has no meaning at a gateway",
    );
    check(
        "hosts: [short], port: {number: 80, name: h, protocol: HTTP}",
        "`short` is not the whole name of a host",
    );
    check(
        "hosts: [A_/a.example], port: {number: 80, name: h, protocol: HTTP}",
        "`A_` is not the name of a namespace",
    );
    check(&format!("{http}, bind: unix:///a"), "Unix sockets are not supported");
    check(https, "the protocol HTTPS needs `tls`");
    check(
        &format!("{http}, tls: {{mode: SIMPLE, credentialName: c}}"),
        "the protocol HTTP has no TLS [write protocol: HTTPS or TLS]",
    );
    check(&tls("mode: SIMPLE"), "a certificate is required [write `credentialName`]");
    check(&tls("mode: SIMPLE, serverCertificate: a"), "need each other");
    check(
        &tls("mode: SIMPLE, credentialName: c, credentialNames: [d]"),
        "`credentialName` and `credentialNames` exclude each other",
    );
    check(
        &tls("mode: MUTUAL, serverCertificate: a, privateKey: b"),
        "callers' certificates need an authority",
    );
    check(&tls("mode: ISTIO_MUTUAL, credentialName: c"), "takes the certificates of the mesh");
    check(&tls("mode: MUTUAL, credentialName: c, caCrl: d"), "`caCrl` is for MUTUAL with files");
    check(&tls("credentialName: c"), "warning: spec.servers[0].tls: certificates have no effect");
    check(
        &tls("mode: SIMPLE, credentialName: c, minProtocolVersion: TLSV1_3, \
              maxProtocolVersion: TLSV1_2"),
        "`minProtocolVersion` is newer than `maxProtocolVersion`",
    );
    check(&tls("mode: simple, credentialName: c"), "did you mean `SIMPLE`?");
}

#[test]
fn numbers_are_as_protobuf_has_them() {
    let check = |value: &str, expected: Option<f64>| {
        let spec = format!(
            "{{hosts: [a], http: [{{route: [{{destination: {{host: a}}}}], \
             mirrors: [{{destination: {{host: b}}, percentage: {value}}}]}}]}}"
        );
        let found = match read("VirtualService", &spec).0 {
            Some(Kind::VirtualService(service)) => Some(service.http[0].mirrors[0].percent.value()),
            _ => None,
        };
        assert_eq!(found, expected, "{value}");
    };
    check("{value: 12.5}", Some(12.5));
    check("{value: 1e1}", Some(10.0));
    check("{value: 100}", Some(100.0));
    check("{}", Some(0.0));
    check("{value: '5'}", None);
    check("{value: 100.1}", None);
    check("{value: -1}", None);
    check("{value: .nan}", None);
    check("5", None);
    assert_eq!(Percent::new(f64::NAN), None);
}

const SAMPLES: &[(&str, &str)] = &[
    ("VirtualService", include_str!("../../samples/networking.istio.io/VirtualService.yaml")),
    ("DestinationRule", include_str!("../../samples/networking.istio.io/DestinationRule.yaml")),
    ("Gateway", include_str!("../../samples/networking.istio.io/Gateway.yaml")),
    ("ServiceEntry", include_str!("../../samples/networking.istio.io/ServiceEntry.yaml")),
    ("Sidecar", include_str!("../../samples/networking.istio.io/Sidecar.yaml")),
    ("WorkloadGroup", include_str!("../../samples/networking.istio.io/WorkloadGroup.yaml")),
];

/// What stands where something else is expected.
const JUNK: &[&str] = &[
    "",
    "~",
    "{}",
    "[]",
    "''",
    "'*'",
    "-1",
    "0",
    "4294967296",
    "1e99",
    "0s",
    "-5s",
    "1ns",
    "5",
    "true",
    "/",
    "a/b/c/d",
    "~/",
    "%",
    "\\",
    "{a: b}",
    "[{}]",
    "\u{e4}",
    "5xx,,nope",
];

proptest! {
    /// Whatever stands in a document, either it is read or something is said.
    #[test]
    fn nothing_is_lost_silently(
        sample in 0..SAMPLES.len(),
        at in any::<prop::sample::Index>(),
        junk in prop::sample::select(JUNK),
    ) {
        let (kind, text) = SAMPLES[sample];
        let first = text.split("\n---\n").next().unwrap_or(text);
        let starts: Vec<usize> = first.match_indices(": ").map(|(at, _)| at + 2).collect();
        let start = starts[at.index(starts.len())];
        let length = first[start..].find([',', '}', '\n']).unwrap_or(first.len() - start);
        let changed = format!("{}{junk}{}", &first[..start], &first[start + length..]);
        let set = load(&[("a.yaml", changed.as_str())]);
        let is_wrong = set.problems().iter().any(crate::Problem::is_error);
        prop_assert!(is_wrong || set.resources().next().is_some(), "{kind}: {changed}");
    }
}
