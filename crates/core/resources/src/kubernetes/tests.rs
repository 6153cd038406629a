use std::net::IpAddr;

use super::ingress::{IngressBackend, PathType};
use super::pod::Readiness;
use super::selector::{LabelSelector, Operator, Requirement};
use super::service::{PortRef, ServiceType};
use crate::kind::Kind;
use crate::set::load;

/// The only resource of `text` and what was said about it.
fn read(text: &str) -> (Option<Kind>, Vec<String>) {
    let set = load(&[("a.yaml", text)]);
    let kind = set.resources().next().map(|resource| resource.body.clone());
    (kind, set.problems().iter().map(ToString::to_string).collect())
}

/// The only resource of `text`, about which nothing may be said.
fn clean(text: &str) -> Kind {
    let (kind, problems) = read(text);
    assert_eq!(problems, Vec::<String>::new());
    kind.expect("a resource without problems is accepted")
}

#[test]
fn service_ports_have_targets_and_protocols() {
    let kind = clean(
        "apiVersion: v1
kind: Service
metadata: {name: greeter, namespace: shop}
spec:
  selector: {app: greeter}
  clusterIP: 10.0.0.7
  ports:
  - {name: http, port: 80, targetPort: 8080, nodePort: 30080}
  - {name: grpc, port: 81, targetPort: grpc, appProtocol: kubernetes.io/h2c}
  - {name: dns, port: 53, protocol: UDP}
",
    );
    let Kind::Service(service) = kind else { panic!("not a Service") };
    assert_eq!(service.kind, ServiceType::Cluster);
    assert_eq!(*service.cluster_ips, ["10.0.0.7".parse::<IpAddr>().unwrap()]);
    assert!(!service.is_headless);
    assert_eq!(*service.selector, [("app".into(), "greeter".into())]);
    let http = service.port(&PortRef::Number(80)).unwrap();
    assert_eq!((&*http.name, &http.target), ("http", &PortRef::Number(8080)));
    let grpc = service.port(&PortRef::Name("grpc".into())).unwrap();
    assert_eq!(grpc.target, PortRef::Name("grpc".into()));
    assert_eq!(grpc.app_protocol.as_deref(), Some("kubernetes.io/h2c"));
    assert_eq!(service.port(&PortRef::Number(53)), None, "UDP is not a TCP port");
}

#[test]
fn services_without_an_address_of_their_own_are_headless() {
    let check = |spec: &str, is_headless: bool, addrs: &[&str]| {
        let kind = clean(&format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: db}}\nspec: {{{spec}}}\n"
        ));
        let Kind::Service(service) = kind else { panic!("not a Service") };
        let addrs: Vec<IpAddr> = addrs.iter().map(|text| text.parse().unwrap()).collect();
        assert_eq!((service.is_headless, &*service.cluster_ips), (is_headless, &*addrs), "{spec}");
    };
    check("clusterIP: None", true, &[]);
    check("clusterIP: None, clusterIPs: [None]", true, &[]);
    check("ports: [{port: 80}]", false, &[]);
    check("clusterIP: ''", false, &[]);
    check(
        "clusterIP: 10.0.0.1, clusterIPs: [10.0.0.1, 'fd00::1']",
        false,
        &["10.0.0.1", "fd00::1"],
    );
    check("clusterIPs: ['fd00::1']", false, &["fd00::1"]);
}

#[test]
fn pods_say_where_they_run() {
    let kind = clean(
        "apiVersion: v1
kind: Pod
metadata: {name: db-0, namespace: shop, labels: {app: db}}
spec:
  serviceAccountName: db
  hostname: db-0
  subdomain: db
  priority: 3
  containers:
  - {name: a, image: x, ports: [{name: sql, containerPort: 5432}, {containerPort: 53, protocol: UDP}]}
  - {name: b, image: y, ports: [{containerPort: 9090}]}
  initContainers:
  - {name: proxy, restartPolicy: Always, ports: [{name: metrics, containerPort: 4191}]}
status:
  phase: Running
  podIP: 10.0.0.9
  podIPs: [{ip: 10.0.0.9}, {ip: 'fd00::9'}]
  conditions: [{type: Initialized, status: 'True'}, {type: Ready, status: 'True'}]
",
    );
    let Kind::Pod(pod) = kind else { panic!("not a Pod") };
    let addrs: Vec<_> = pod.addrs.iter().map(ToString::to_string).collect();
    assert_eq!(addrs, ["10.0.0.9", "fd00::9"]);
    let ports: Vec<_> = pod.ports.iter().map(|port| (&*port.name, port.number)).collect();
    assert_eq!(ports, [("sql", 5432), ("", 9090), ("metrics", 4191)]);
    assert_eq!((&*pod.service_account, pod.readiness), ("db", Readiness::Ready));
    assert_eq!((pod.hostname.as_deref(), pod.subdomain.as_deref()), (Some("db-0"), Some("db")));
}

#[test]
fn pods_are_ready_when_they_say_so() {
    let check = |metadata: &str, status: &str, expected: Readiness| {
        let kind = clean(&format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: a{metadata}}}\nspec: {{}}\n{status}"
        ));
        let Kind::Pod(pod) = kind else { panic!("not a Pod") };
        assert_eq!(pod.readiness, expected, "{metadata} {status}");
    };
    let ready = "status: {conditions: [{type: Ready, status: 'True'}]}\n";
    check("", ready, Readiness::Ready);
    check("", "status: {conditions: [{type: Ready, status: 'False'}]}\n", Readiness::Unready);
    check("", "status: {podIP: 10.0.0.1}\n", Readiness::Unready);
    check("", "", Readiness::Unready);
    check(", deletionTimestamp: '2026-01-01T00:00:00Z'", ready, Readiness::Terminating);
    check("", "status: {phase: Succeeded}\n", Readiness::Terminating);
    check("", "status: {phase: Failed}\n", Readiness::Terminating);
}

#[test]
fn external_name_is_a_lower_case_name_without_its_dot() {
    let kind = clean(
        "apiVersion: v1
kind: Service
metadata: {name: legacy}
spec: {type: ExternalName, externalName: Legacy.Example.COM.}
",
    );
    let Kind::Service(service) = kind else { panic!("not a Service") };
    assert_eq!(service.kind, ServiceType::ExternalName("legacy.example.com".into()));
}

/// A Service with these annotations and fields, and what is said of it.
fn service(annotations: &str, spec: &str) -> (super::Service, Vec<String>) {
    let (kind, problems) = read(&format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: a, annotations: {{{annotations}}}}}\n\
         spec: {{ports: [{{port: 80}}], {spec}}}\n"
    ));
    let Some(Kind::Service(service)) = kind else { panic!("not a Service: {problems:?}") };
    (*service, problems)
}

#[test]
fn clients_stay_for_three_hours_unless_told_otherwise() {
    let check = |spec: &str, secs: Option<u64>| {
        let (service, problems) = service("", spec);
        let found = service.client_affinity.map(|affinity| affinity.value.as_secs());
        assert_eq!((found, problems), (secs, vec![]), "{spec}");
    };
    check("", None);
    check("sessionAffinity: None", None);
    check("sessionAffinity: ClientIP", Some(10_800));
    let config = "sessionAffinityConfig: {clientIP: {timeoutSeconds: 60}}";
    check(&format!("sessionAffinity: ClientIP, {config}"), Some(60));
    check(config, None);
}

#[test]
fn the_field_comes_before_annotations_of_the_same() {
    use super::service::Distribution;
    let istio = |value: &str| format!("networking.istio.io/traffic-distribution: {value}");
    let hints = "service.kubernetes.io/topology-mode: Auto";
    let check = |annotations: &str, spec: &str, expected: Option<Distribution>| {
        let (service, problems) = service(annotations, spec);
        let found = service.distribution.map(|distribution| distribution.value);
        assert_eq!((found, problems), (expected, vec![]), "{annotations} {spec}");
    };
    check("", "", None);
    check("", "trafficDistribution: PreferClose", Some(Distribution::SameZone));
    check("", "trafficDistribution: PreferSameZone", Some(Distribution::SameZone));
    check(&istio("PreferSameNode"), "", Some(Distribution::SameNode));
    check(hints, "", Some(Distribution::Hints));
    check("service.kubernetes.io/topology-aware-hints: auto", "", Some(Distribution::Hints));
    check("service.kubernetes.io/topology-mode: Disabled", "", None);
    let both = format!("{}, {hints}", istio("PreferSameNode"));
    check(&both, "", Some(Distribution::SameNode));
    check(&both, "trafficDistribution: PreferSameZone", Some(Distribution::SameZone));
    let (service, problems) = service(&istio("Nearest"), "");
    assert_eq!(service.distribution, None);
    assert!(problems[0].contains("`Nearest` is not known: it has no effect"), "{problems:?}");
}

#[test]
fn endpoints_are_ready_unless_told_otherwise() {
    let kind = clean(
        "apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: a-1, labels: {kubernetes.io/service-name: a}}
addressType: IPv4
ports: [{name: http, port: 8080}]
endpoints:
- addresses: [10.0.0.1]
- addresses: [10.0.0.2]
  conditions: {ready: false, serving: true, terminating: true}
- addresses: [10.0.0.3]
  conditions: {ready: false}
  zone: a
",
    );
    let Kind::EndpointSlice(slice) = kind else { panic!("not an EndpointSlice") };
    let states: Vec<_> =
        slice.endpoints.iter().map(|e| (e.ready, e.serving, e.terminating)).collect();
    assert_eq!(states, [(true, true, false), (false, true, true), (false, false, false)]);
    assert_eq!(slice.endpoints[2].zone.as_deref(), Some("a"));
    assert_eq!(slice.ports[0].port, Some(8080));
}

#[test]
fn an_address_that_is_none_is_an_error() {
    let (kind, problems) = read(
        "apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: a-1}
addressType: IPv4
endpoints: [{addresses: [localhost]}]
",
    );
    assert!(kind.is_none());
    assert!(problems[0].contains("`localhost` is not an IP address"), "{problems:?}");
}

#[test]
fn old_endpoints_keep_those_not_ready_apart() {
    let kind = clean(
        "apiVersion: v1
kind: Endpoints
metadata: {name: a}
subsets:
- addresses: [{ip: 10.0.0.1}]
  notReadyAddresses: [{ip: 10.0.0.2}]
  ports: [{port: 8080}]
",
    );
    let Kind::Endpoints(endpoints) = kind else { panic!("not Endpoints") };
    let ready: Vec<_> = endpoints.subsets[0].endpoints.iter().map(|e| e.ready).collect();
    assert_eq!(ready, [true, false]);
}

#[test]
fn secret_values_are_decoded_and_string_data_wins() {
    let kind = clean(
        "apiVersion: v1
kind: Secret
metadata: {name: a}
type: kubernetes.io/tls
data:
  tls.crt: Y2Vy dA==
  tls.key: a2V5
stringData:
  tls.key: other
",
    );
    let Kind::Secret(secret) = kind else { panic!("not a Secret") };
    assert_eq!(secret.value("tls.crt"), Some(&b"cert"[..]));
    assert_eq!(secret.value("tls.key"), Some(&b"other"[..]));
    assert!(!format!("{secret:?}").contains("other"), "values must not be shown");
}

#[test]
fn secret_data_must_be_base64() {
    let (kind, problems) =
        read("apiVersion: v1\nkind: Secret\nmetadata: {name: a}\ndata: {users: 'bob:x'}\n");
    assert!(kind.is_none());
    assert!(problems[0].contains("the value of `users` is not base64"), "{problems:?}");
    assert!(!problems[0].contains("bob"), "the value must not be shown");
}

#[test]
fn ingress_backends_and_paths() {
    let kind = clean(
        "apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: a}
spec:
  ingressClassName: weftway
  defaultBackend: {service: {name: rest, port: {name: http}}}
  tls: [{hosts: [a.example], secretName: cert}]
  rules:
  - host: a.example
    http:
      paths:
      - {path: /x, pathType: Exact, backend: {service: {name: x, port: {number: 80}}}}
      - {pathType: Prefix, backend: {resource: {apiGroup: k.example, kind: Bucket, name: b}}}
",
    );
    let Kind::Ingress(ingress) = kind else { panic!("not an Ingress") };
    let paths: Vec<_> =
        ingress.rules[0].paths.iter().map(|path| (&*path.path, path.path_type)).collect();
    assert_eq!(paths, [("/x", PathType::Exact), ("/", PathType::Prefix)]);
    let IngressBackend::Resource { what, .. } = &ingress.rules[0].paths[1].backend else {
        panic!("not a resource")
    };
    assert_eq!(&**what, "Bucket b");
    assert!(matches!(
        &ingress.default_backend,
        Some(IngressBackend::Service { port: PortRef::Name(name), .. }) if **name == *"http"
    ));
}

#[test]
fn an_exact_path_must_be_there() {
    let (kind, problems) = read(
        "apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: a}
spec:
  rules:
  - http:
      paths: [{pathType: Exact, backend: {service: {name: x, port: {number: 80}}}}]
",
    );
    assert!(kind.is_none());
    assert!(problems[0].contains("is not an absolute path"), "{problems:?}");
}

#[test]
fn selectors() {
    let labels = [("env".into(), "prod".into()), ("tier".into(), "".into())];
    let check = |key: &str, operator: Operator, expected: bool| {
        let selector =
            LabelSelector { requirements: vec![Requirement { key: key.into(), operator }] };
        assert_eq!(selector.is_match(&labels), expected, "{selector:?}");
    };
    let values = |texts: &[&str]| texts.iter().map(|text| (*text).into()).collect::<Vec<_>>();
    check("env", Operator::In(values(&["test", "prod"])), true);
    check("env", Operator::In(values(&["test"])), false);
    check("zone", Operator::In(values(&["a"])), false);
    check("env", Operator::NotIn(values(&["prod"])), false);
    check("zone", Operator::NotIn(values(&["a"])), true);
    check("tier", Operator::Exists, true);
    check("zone", Operator::Exists, false);
    check("tier", Operator::DoesNotExist, false);
    check("zone", Operator::DoesNotExist, true);
    assert!(LabelSelector::default().is_match(&labels), "no requirement selects everything");
}

#[test]
fn annotations_of_ours_are_for_services() {
    let text = "apiVersion: v1
kind: ConfigMap
metadata: {name: c, annotations: {weftway.io/slow-start: 30s, example.test/x: y}}
";
    let (kind, problems) = read(text);
    assert!(matches!(kind, Some(Kind::ConfigMap(_))), "{kind:?}");
    assert_eq!(problems.len(), 1, "{problems:?}");
    let said = "metadata.annotations.weftway.io/slow-start: it has no effect on a ConfigMap";
    assert!(problems[0].contains(said), "{problems:?}");
}
