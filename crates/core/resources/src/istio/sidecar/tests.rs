use super::*;
use crate::istio::tests::{read, says};
use crate::kind::Kind;

fn sidecar(spec: &str) -> Sidecar {
    match read("Sidecar", spec) {
        (Some(Kind::Sidecar(sidecar)), _) => *sidecar,
        other => panic!("not a Sidecar: {other:?}"),
    }
}

fn check(spec: &str, expected: &str) {
    says("Sidecar", spec, expected);
}

#[test]
fn what_is_taken() {
    let found = sidecar(
        "
  workloadSelector: {labels: {app: web}}
  ingress:
  - port: {number: 9080, protocol: http, name: a}
    bind: 10.0.0.1
    captureMode: IPTABLES
    defaultEndpoint: '[::]:8080'
    connectionPool: {http: {http2MaxRequests: 5}}
  - port: {number: 9443, protocol: TLS}
    defaultEndpoint: unix:///var/run/web.sock
    captureMode: DEFAULT
    tls: {mode: SIMPLE, serverCertificate: c.pem, privateKey: k.pem}
  inboundConnectionPool: {tcp: {maxConnections: 7}}
",
    );
    assert_eq!(*found.selector, [("app".into(), "web".into())]);
    let [first, second] = found.ingress.as_slice() else { panic!("{found:?}") };
    assert_eq!(*first.port.number, 9080);
    assert_eq!(first.port.protocol.map(|one| one.value), Some(PortProtocol::Http));
    assert_eq!(first.bind.map(|one| one.value), Some("10.0.0.1".parse().unwrap()));
    assert_eq!(first.capture.map(|one| one.value), Some(CaptureMode::Captured));
    let endpoint = first.default_endpoint.as_ref().map(|one| one.value.clone());
    assert_eq!(endpoint, Some(DefaultEndpoint::Instance(8080)));
    let pool = first.pool.as_ref().unwrap().http.as_ref().unwrap();
    assert_eq!(pool.max_requests.map(|one| one.value), Some(5));
    assert_eq!((second.capture, second.bind), (None, None));
    let endpoint = second.default_endpoint.as_ref().map(|one| one.value.clone());
    assert_eq!(endpoint, Some(DefaultEndpoint::Unix("/var/run/web.sock".into())));
    assert_eq!(*second.tls.as_ref().unwrap().mode, ServerTlsMode::Simple);
    let inbound = found.inbound_pool.unwrap().value.tcp.unwrap().value;
    assert_eq!(inbound.max_connections.map(|one| one.value), Some(7));
}

#[test]
fn places_of_the_workload() {
    let place = |text: &str| {
        let spec = format!("{{ingress: [{{port: {{number: 1}}, defaultEndpoint: '{text}'}}]}}");
        let found = sidecar(&spec).ingress.remove(0).default_endpoint;
        found.map(|endpoint| endpoint.value)
    };
    assert_eq!(place("127.0.0.1:80"), Some(DefaultEndpoint::Loopback(80)));
    assert_eq!(place("[::1]:80"), Some(DefaultEndpoint::Loopback(80)));
    assert_eq!(place(":80"), Some(DefaultEndpoint::Loopback(80)));
    assert_eq!(place("0.0.0.0:80"), Some(DefaultEndpoint::Instance(80)));
    for wrong in ["10.0.0.1:80", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:http", "::1:80"] {
        let spec = format!("{{ingress: [{{port: {{number: 1}}, defaultEndpoint: '{wrong}'}}]}}");
        check(&spec, "is not a place of the workload [write 127.0.0.1:PORT");
    }
}

#[test]
fn what_is_seen() {
    let found = sidecar(
        "{egress: [{port: {number: 3306, protocol: MYSQL}, captureMode: NONE, bind: '::1', \
         hosts: [./db.example]}, {hosts: ['*/*', ./*, prod/A.example, ~prod/*.b.example, ~/*]}]}",
    );
    let [first, rest] = found.egress.as_slice() else { panic!("{found:?}") };
    assert_eq!(first.port.as_ref().map(|port| *port.number), Some(3306));
    assert_eq!(first.capture.map(|one| one.value), Some(CaptureMode::Dialled));
    assert!(rest.port.is_none());
    let hosts: Vec<EgressHost> = rest.hosts.iter().map(|one| one.value.clone()).collect();
    let host = |is_excluded, namespace, host: &str| EgressHost {
        is_excluded,
        namespace,
        host: host.into(),
    };
    let prod = EgressNamespace::One(NamespaceRef::Named("prod".into()));
    let expected = [
        host(false, EgressNamespace::Any, "*"),
        host(false, EgressNamespace::One(NamespaceRef::Own), "*"),
        host(false, prod.clone(), "a.example"),
        host(true, prod, "*.b.example"),
        host(false, EgressNamespace::None, "*"),
    ];
    assert_eq!(hosts, expected);
}

#[test]
fn calls_to_what_is_not_known() {
    let found = sidecar(
        "{outboundTrafficPolicy: {mode: ALLOW_ANY, \
         egressProxy: {host: out.example, port: {number: 443}}}}",
    );
    assert_eq!(found.outbound, Some(OutboundMode::AllowAny));
    let proxy = found.egress_proxy.unwrap().value;
    assert_eq!((&*proxy.host.value, proxy.port.map(|port| port.value)), ("out.example", Some(443)));
    let none = "{outboundTrafficPolicy: {}}";
    assert_eq!(sidecar(none).outbound, Some(OutboundMode::RegistryOnly));
    check(none, "without `mode` this is REGISTRY_ONLY");
    assert_eq!(sidecar("{egress: [{hosts: [./*]}]}").outbound, None);
    let policy = |fields: &str| format!("{{outboundTrafficPolicy: {{{fields}}}}}");
    let proxy = "egressProxy: {host: a, port: {number: 1}}";
    check(&policy(&format!("mode: REGISTRY_ONLY, {proxy}")), "needs the mode ALLOW_ANY");
    check(&policy("mode: ALLOW_ANY, egressProxy: {host: a}"), "`egressProxy` needs a port");
    check(&policy("mode: ALLOW_ANY_DYNAMIC_DNS"), "is not a value of this field");
}

#[test]
fn impossible_sidecars() {
    let ingress = |fields: &str| format!("{{ingress: [{{port: {{number: 80}}, {fields}}}]}}");
    check("{ingress: [{}]}", "the field `port` is required");
    check("{ingress: [{port: {number: 80, targetPort: 1}}]}", "has no meaning in a Sidecar");
    check("{ingress: [{port: {number: 80, protocol: X}}]}", "`X` is not a protocol of a port");
    check(&ingress("bind: unix:///a"), "Unix sockets are not supported");
    check(&ingress("bind: localhost"), "`localhost` is not an address");
    check(&ingress("tls: {mode: SIMPLE}"), "`tls` is for a port that speaks TLS");
    check(&ingress("tls: {credentialName: a}"), "`credentialName` is for gateways alone");
    check(&ingress("tls: {httpsRedirect: true}"), "`httpsRedirect` is for gateways alone");
    check(&ingress("tls: {mode: ISTIO_MUTUAL}"), "`tls` of a Sidecar is SIMPLE, MUTUAL");
    check(
        "{ingress: [{port: {number: 80}}, {port: {number: 80}}]}",
        "port 80 is in `ingress` already",
    );
    check(
        "{ingress: [{port: {number: 80, protocol: TCP}, connectionPool: {http: {}}}]}",
        "`connectionPool.http` has no effect on a port that is not HTTP",
    );
    check("{egress: [{}]}", "at least one host is required [write \"*/*\" for all");
    check("{egress: [{hosts: [a.example]}]}", "names no namespace [write */a.example, or");
    check("{egress: [{hosts: [A_/a.example]}]}", "`A_` is not the name of a namespace");
    check("{egress: [{hosts: [./short]}]}", "`short` is not the whole name of a host");
    check(
        "{egress: [{hosts: [./*]}, {hosts: [./*], port: {number: 1}}]}",
        "what is seen at all other ports has to stand last",
    );
}
