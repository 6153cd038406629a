use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use weft_message::{Method, RequestHead};
use weft_model::backend::{HostHeader, UpstreamProtocol};
use weft_model::policy::StepKind;
use weft_model::route::{Route, Target};
use weft_resources::{Severity, load};
use weft_route::HttpTable;

use crate::{EntryPoint, Options, World, compile};

/// Services `a` to `e` on port 80 of the namespace `default`; documents follow.
fn world_with(options: &Options, documents: &str) -> World {
    let mut text = String::new();
    for (number, name) in (1..).zip(["a", "b", "c", "d", "e"]) {
        text.push_str(&format!(
            "apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec: {{ports: [{{name: http, port: 80}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: {name}-1, labels: {{kubernetes.io/service-name: {name}}}}}
addressType: IPv4
ports: [{{name: http, port: 8080}}]
endpoints: [{{addresses: [10.0.0.{number}]}}]
---
"
        ));
    }
    compile(&load(&[("a.yaml", format!("{text}{documents}"))]), options, None)
}

fn world(documents: &str) -> World {
    world_with(&Options::new(Vec::new()), documents)
}

/// An Ingress with these annotations (a flow map without braces) and this spec.
fn ingress(name: &str, annotations: &str, spec: &str) -> String {
    format!(
        "apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {{name: {name}, annotations: {{{annotations}}}}}
spec:
{spec}
---
"
    )
}

fn backend(name: &str) -> String {
    format!("{{service: {{name: {name}, port: {{number: 80}}}}}}")
}

/// A rule of one path.
fn rule(host: &str, path_type: &str, path: &str, name: &str) -> String {
    let host = if host.is_empty() { String::new() } else { format!("host: '{host}', ") };
    format!(
        "  - {{{host}http: {{paths: [{{path: {path}, pathType: {path_type}, backend: {}}}]}}}}\n",
        backend(name)
    )
}

fn rules(rules: &[String]) -> String {
    ingress("i", "", &format!("  rules:\n{}", rules.concat()))
}

fn problems(world: &World) -> Vec<String> {
    let all = world.report.problems();
    let worth = all.iter().filter(|problem| problem.severity != Severity::Note);
    worth.map(ToString::to_string).collect()
}

fn assert_reported(world: &World, text: &str) {
    let all = world.report.problems();
    assert!(
        all.iter().any(|problem| problem.to_string().contains(text)),
        "no `{text}` among {all:#?}"
    );
}

fn find(world: &World, port: u16, is_tls: bool, host: &str, path: &str) -> Option<Arc<Route>> {
    let listener = world.snapshot.listeners.iter().find(|found| found.addr.port() == port)?;
    let served = match is_tls {
        true => &listener.tls.as_ref()?.served,
        false => listener.plain.as_ref()?,
    };
    let mut head = RequestHead::new();
    head.set_method(Method::Get);
    head.set_authority(host).unwrap();
    head.set_path(path).unwrap();
    let table = HttpTable::new(&served.http.routes);
    table.find(&head, IpAddr::V4(Ipv4Addr::LOCALHOST)).map(|found| Arc::clone(found.route()))
}

fn words(route: &Route) -> String {
    match &route.target {
        Target::Backend(id) => {
            id.as_str().trim_start_matches("default/").trim_end_matches(":80").into()
        }
        Target::Refuse(refusal) => refusal.reason.status().to_string(),
        other => format!("{other:?}"),
    }
}

fn ask(world: &World, host: &str, path: &str) -> String {
    find(world, 80, false, host, path).map_or("404".into(), |route| words(&route))
}

/// The examples of the Kubernetes documentation: one path each, and whether it takes the request.
#[test]
fn path_types() {
    let check = |path_type: &str, paths: &[&str], request: &str, expected: &str| {
        let names = ["a", "b", "c"];
        let rules_of: Vec<String> =
            paths.iter().zip(names).map(|(path, name)| rule("", path_type, path, name)).collect();
        let world = world(&rules(&rules_of));
        assert_eq!(problems(&world), Vec::<String>::new());
        assert_eq!(ask(&world, "h", request), expected, "{path_type} {paths:?} {request}");
    };
    check("Prefix", &["/"], "/any/path", "a");
    check("Exact", &["/foo"], "/foo", "a");
    check("Exact", &["/foo"], "/bar", "404");
    check("Exact", &["/foo"], "/foo/", "404");
    check("Exact", &["/foo/"], "/foo", "404");
    check("Prefix", &["/foo"], "/foo", "a");
    check("Prefix", &["/foo"], "/foo/", "a");
    check("Prefix", &["/foo/"], "/foo", "a");
    check("Prefix", &["/foo/"], "/foo/", "a");
    check("Prefix", &["/aaa/bb"], "/aaa/bbb", "404");
    check("Prefix", &["/aaa/bbb"], "/aaa/bbb", "a");
    check("Prefix", &["/aaa/bbb/"], "/aaa/bbb", "a");
    check("Prefix", &["/aaa/bbb"], "/aaa/bbb/", "a");
    check("Prefix", &["/aaa/bbb"], "/aaa/bbb/ccc", "a");
    check("Prefix", &["/aaa/bbb"], "/aaa/bbbxyz", "404");
    check("Prefix", &["/", "/aaa"], "/aaa/ccc", "b");
    check("Prefix", &["/", "/aaa", "/aaa/bbb"], "/aaa/bbb", "c");
    check("Prefix", &["/", "/aaa", "/aaa/bbb"], "/ccc", "a");
    check("Prefix", &["/aaa"], "/ccc", "404");
    check("ImplementationSpecific", &["/aaa"], "/aaab", "a");
}

#[test]
fn exact_beats_a_prefix_of_the_same_length() {
    let world = world(&rules(&[
        rule("", "Prefix", "/foo", "a"),
        rule("", "Exact", "/foo", "b"),
        rule("", "Prefix", "/foo/bar", "c"),
    ]));
    assert_eq!(ask(&world, "h", "/foo"), "b");
    assert_eq!(ask(&world, "h", "/foo/"), "a");
    assert_eq!(ask(&world, "h", "/foo/bar/x"), "c");
}

/// The examples of host names in the Kubernetes documentation.
#[test]
fn hosts() {
    let world = world(&rules(&[
        rule("*.foo.com", "Prefix", "/", "a"),
        rule("bar.foo.com", "Prefix", "/", "b"),
        rule("", "Prefix", "/long/path", "c"),
    ]));
    assert_eq!(ask(&world, "bar.foo.com", "/long/path"), "b", "hosts come first");
    assert_eq!(ask(&world, "baz.foo.com", "/"), "a");
    assert_eq!(ask(&world, "baz.bar.foo.com", "/"), "404", "one label only");
    assert_eq!(ask(&world, "foo.com", "/"), "404");
    assert_eq!(ask(&world, "else.com", "/long/path"), "c");
}

#[test]
fn default_backends() {
    let spec = format!(
        "  defaultBackend: {}\n  rules:\n{}  - {{host: whole.com}}\n",
        backend("d"),
        rule("a.com", "Prefix", "/x", "a")
    );
    let world = world(&ingress("i", "", &spec));
    assert_eq!(ask(&world, "a.com", "/x"), "a");
    assert_eq!(ask(&world, "a.com", "/y"), "d");
    assert_eq!(ask(&world, "whole.com", "/"), "d");
    assert_eq!(ask(&world, "else.com", "/"), "d");
}

#[test]
fn the_older_ingress_wins() {
    let dated = |name: &str, created: &str, service: &str| {
        ingress(name, "", &format!("  rules:\n{}", rule("h", "Prefix", "/", service)))
            .replace("metadata: {", &format!("metadata: {{creationTimestamp: '{created}', "))
    };
    let (old, new) = ("2024-01-01T00:00:00Z", "2024-01-02T00:00:00Z");
    let text = format!("{}{}", dated("a", new, "a"), dated("b", old, "b"));
    assert_eq!(ask(&world(&text), "h", "/"), "b");
}

#[test]
fn backends_that_are_missing() {
    let lost = world(&rules(&[rule("", "Prefix", "/", "nobody")]));
    assert_eq!(ask(&lost, "h", "/"), "503");
    assert_reported(&lost, "service `default/nobody` is not found");
    let spec = "  defaultBackend: {resource: {apiGroup: k.example, kind: Bucket, name: b}}";
    let resource = world(&ingress("i", "", spec));
    assert_eq!(ask(&resource, "h", "/"), "500");
    assert_reported(&resource, "requests cannot be sent to Bucket b");
}

#[test]
fn classes() {
    let class = |name: &str, controller: &str, default: bool| {
        format!(
            "apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata:
  name: {name}
  annotations: {{ingressclass.kubernetes.io/is-default-class: '{default}'}}
spec: {{controller: {controller}}}
---
"
        )
    };
    let named = |class: &str| {
        let rules = rule("", "Prefix", "/", "a");
        ingress("i", "", &format!("{class}  rules:\n{rules}"))
    };
    let check = |classes: &[String], class: &str, expected: &str| {
        let world = world(&format!("{}{}", classes.concat(), named(class)));
        assert_eq!(ask(&world, "h", "/"), expected, "{classes:?} {class}");
        assert_eq!(problems(&world), Vec::<String>::new());
    };
    let ours = |default| class("ours", "weftway.io/ingress-controller", default);
    let traefik = class("traefik", "traefik.io/ingress-controller", false);
    let nginx = |default| class("nginx", "k8s.io/ingress-nginx", default);
    check(&[], "", "a");
    check(&[], "  ingressClassName: any\n", "a");
    check(&[ours(false)], "  ingressClassName: ours\n", "a");
    check(&[traefik], "  ingressClassName: traefik\n", "a");
    check(&[nginx(false)], "  ingressClassName: nginx\n", "404");
    check(&[ours(false)], "", "404");
    check(&[ours(true)], "", "a");
    check(&[nginx(true), ours(false)], "", "404");
    let old =
        named("").replace("annotations: {", "annotations: {kubernetes.io/ingress.class: nginx");
    assert_eq!(ask(&world(&format!("{}{old}", nginx(false))), "h", "/"), "404");
}

fn entry_points() -> Options {
    let at = |name: &str, port: u16, tls| EntryPoint {
        name: name.into(),
        addr: SocketAddr::from(([127, 0, 0, 1], port)),
        tls,
    };
    Options::new(vec![at("web", 8000, false), at("websecure", 8443, true)])
}

#[test]
fn annotations_of_routers() {
    let prefix = "traefik.ingress.kubernetes.io/router";
    let middleware = "apiVersion: traefik.io/v1alpha1
kind: Middleware
metadata: {name: strip}
spec: {stripPrefix: {prefixes: [/x]}}
---
";
    let annotations = format!(
        "{prefix}.entrypoints: 'web, websecure', \
         {prefix}.middlewares: default-strip@kubernetescrd, \
         {prefix}.pathmatcher: PathRegexp, {prefix}.priority: '100'"
    );
    let spec = format!("  rules:\n{}", rule("", "ImplementationSpecific", "'/x[0-9]'", "a"));
    let text = format!("{middleware}{}", ingress("i", &annotations, &spec));
    let world = world_with(&entry_points(), &text);
    assert_eq!(problems(&world), Vec::<String>::new());
    let route = find(&world, 8000, false, "h", "/y/x7").unwrap();
    assert_eq!(words(&route), "a");
    assert!(matches!(&route.steps[0].kind, StepKind::StripPrefix(_)));
    assert_eq!(route.rank.major, 100);
    assert!(find(&world, 8443, true, "h", "/x7").is_some());
    assert!(find(&world, 80, false, "h", "/x7").is_none(), "the ports of its own are not used");
}

#[test]
fn a_missing_middleware_keeps_the_route_closed() {
    let annotation = "traefik.ingress.kubernetes.io/router.middlewares: default-auth@kubernetescrd";
    let spec = format!("  rules:\n{}", rule("", "Prefix", "/", "a"));
    let world = world(&ingress("i", annotation, &spec));
    assert_eq!(ask(&world, "h", "/"), "503");
    assert_reported(&world, "is not found");
}

#[test]
fn priorities_stand_before_all_or_after_all() {
    let prioritized = |name: &str, priority: &str, service: &str| {
        ingress(
            name,
            &format!("traefik.ingress.kubernetes.io/router.priority: '{priority}'"),
            &format!("  rules:\n{}", rule("", "Prefix", "/", service)),
        )
    };
    let plain = ingress("p", "", &format!("  rules:\n{}", rule("h", "Prefix", "/x", "c")));
    let low = format!("{}{plain}", prioritized("i", "1", "a"));
    assert_eq!(ask(&world(&low), "h", "/x"), "c");
    let high = format!("{}{plain}", prioritized("i", "1000", "a"));
    assert_eq!(ask(&world(&high), "h", "/x"), "a");
}

#[test]
fn annotations_of_services() {
    let prefix = "traefik.ingress.kubernetes.io/service";
    let service = format!(
        "apiVersion: v1
kind: Service
metadata:
  name: own
  annotations:
    {prefix}.serversscheme: h2c
    {prefix}.passhostheader: 'false'
    {prefix}.sticky.cookie: 'true'
    {prefix}.sticky.cookie.name: session
    {prefix}.sticky.cookie.secure: 'true'
    {prefix}.nativelb: 'true'
    {prefix}.colour: blue
spec: {{ports: [{{port: 80}}]}}
---
"
    );
    let world = world(&format!("{service}{}", rules(&[rule("", "Prefix", "/", "own")])));
    let route = find(&world, 80, false, "h", "/").unwrap();
    let Target::Backend(id) = &route.target else { panic!("no backend") };
    let backend = &world.snapshot.backends[id];
    assert_eq!(backend.protocol, UpstreamProtocol::Http2);
    assert_eq!(backend.host, HostHeader::Endpoint);
    let sticky = backend.calling.sticky.as_ref().unwrap().cookie().unwrap();
    assert_eq!((&*sticky.name, sticky.secure, sticky.http_only), ("session", true, false));
    assert_reported(&world, "service.nativelb]: it has no effect");
    assert_reported(&world, "service.colour]: it is not known");
}

#[test]
fn annotations_without_effect_are_named() {
    let prefix = "traefik.ingress.kubernetes.io";
    let annotations = format!(
        "{prefix}/router.tls.certresolver: le, {prefix}/router.tls.domains.0.main: a.b, \
         {prefix}/router.observability.metrics: 'false', {prefix}/service.nativelb: 'true', \
         {prefix}/whatever: x, nginx.ingress.kubernetes.io/proxy-body-size: 1m, \
         cert-manager.io/cluster-issuer: le"
    );
    let spec = format!("  rules:\n{}", rule("", "Prefix", "/", "a"));
    let world = world(&ingress("i", &annotations, &spec));
    assert_eq!(ask(&world, "h", "/"), "a");
    for name in [
        "certResolver",
        "router.tls.domains.0.main",
        "router.observability.metrics",
        "put it on the Service",
        "whatever",
        "`proxy-body-size` is not supported",
    ] {
        let all: String = world.report.problems().iter().map(|p| p.render(None)).collect();
        assert!(all.contains(name), "{name} is not in {all}");
    }
    assert!(!problems(&world).iter().any(|problem| problem.contains("cert-manager")));
}

#[test]
fn annotations_that_protect_elsewhere_close_the_route() {
    let spec = format!("  rules:\n{}", rule("", "Prefix", "/", "a"));
    let check = |annotation: &str, expected: &str| {
        let annotation = format!("nginx.ingress.kubernetes.io/{annotation}");
        let world = world(&ingress("i", &annotation, &spec));
        assert_eq!(ask(&world, "h", "/"), expected, "{annotation}");
        assert_eq!(problems(&world).len(), 1, "{annotation}");
    };
    check("auth-url: http://auth.example", "503");
    check("auth-type: basic", "503");
    check("whitelist-source-range: 10.0.0.0/8", "503");
    check("denylist-source-range: 10.0.0.0/8", "503");
    check("limit-rps: '5'", "503");
    check("enable-modsecurity: 'true'", "503");
    check("enable-modsecurity: 'false'", "a");
    check("rewrite-target: /x", "a");
    check("configuration-snippet: 'deny all;'", "503");
    check("configuration-snippet: 'more_set_headers a;'", "a");
    // Other controllers have other names for it.
    for annotation in [
        "haproxy.org/whitelist: 10.0.0.0/8",
        "haproxy.org/allow-list: 10.0.0.0/8",
        "haproxy.org/deny-list: 10.0.0.0/8",
        "haproxy-ingress.github.io/oauth: oauth2_proxy",
        "alb.ingress.kubernetes.io/inbound-cidrs: 10.0.0.0/8",
        "alb.ingress.kubernetes.io/wafv2-acl-arn: arn",
        "konghq.com/plugins: key-auth",
        "nginx.com/jwt-key: secret",
        "nginx.org/policies: webapp-policy",
        "nginx.org/server-snippets: 'deny all;'",
        "appprotect.f5.com/app-protect-enable: 'True'",
    ] {
        let world = world(&ingress("i", annotation, &spec));
        assert_eq!(ask(&world, "h", "/"), "503", "{annotation}");
    }
}

/// A Secret with a certificate for these names.
fn secret(name: &str, hosts: &[&str]) -> String {
    let names: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let indented = |pem: &str| pem.trim_end().replace('\n', "\n    ");
    format!(
        "apiVersion: v1
kind: Secret
metadata: {{name: {name}}}
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

#[test]
fn tls_hosts_and_certificates() {
    let spec = format!(
        "  tls: [{{hosts: [a.com, '*.b.com'], secretName: cert}}, {{hosts: [c.com], secretName: lost}}]
  rules:
{}{}{}",
        rule("a.com", "Prefix", "/", "a"),
        rule("x.b.com", "Prefix", "/", "b"),
        rule("d.com", "Prefix", "/", "d")
    );
    let world = world(&format!("{}{}", secret("cert", &["a.com"]), ingress("i", "", &spec)));
    let on = |port, is_tls, host: &str| {
        find(&world, port, is_tls, host, "/").map_or("404".into(), |route| words(&route))
    };
    assert_eq!(on(443, true, "a.com"), "a");
    assert_eq!(on(443, true, "x.b.com"), "b");
    assert_eq!(on(443, true, "d.com"), "404", "`tls` does not name it");
    assert_eq!(on(80, false, "d.com"), "d");
    let redirect = find(&world, 80, false, "a.com", "/").unwrap();
    assert!(matches!(
        &redirect.steps[0].kind,
        StepKind::RedirectScheme { scheme, port, .. } if **scheme == *"https" && port.is_empty()
    ));
    assert!(find(&world, 80, false, "d.com", "/").unwrap().steps.is_empty());
    let listener =
        world.snapshot.listeners.iter().find(|listener| listener.addr.port() == 443).unwrap();
    let table = &listener.tls.as_ref().unwrap().terminate;
    let mut hosts: Vec<&str> = table.entries.iter().map(|entry| &*entry.host).collect();
    hosts.sort_unstable();
    assert_eq!(hosts, ["*.b.com", "a.com"]);
    assert_reported(
        &world,
        "secret `default/lost` is not found; the default certificate is served",
    );
}

#[test]
fn tls_options_that_ask_for_client_certificates_are_never_gone_round() {
    let authority = rcgen::generate_simple_self_signed(vec!["ca".into()]).unwrap().cert.pem();
    let option = format!(
        "apiVersion: traefik.io/v1alpha1
kind: TLSOption
metadata: {{name: mutual}}
spec: {{clientAuth: {{clientAuthType: RequireAndVerifyClientCert, secretNames: [ca]}}}}
---
apiVersion: v1
kind: Secret
metadata: {{name: ca}}
stringData:
  ca.crt: |
    {}
---
",
        authority.trim_end().replace('\n', "\n    ")
    );
    let annotation = "traefik.ingress.kubernetes.io/router.tls.options: \
                      default-mutual@kubernetescrd, \
                      traefik.ingress.kubernetes.io/router.entrypoints: websecure";
    let spec = |hosts: &str| {
        let rules = rule("a.com", "Prefix", "/", "a") + &rule("b.com", "Prefix", "/", "b");
        format!("  tls: [{{{hosts}secretName: cert}}]\n  rules:\n{rules}")
    };
    let text =
        format!("{option}{}{}", secret("cert", &["a.com"]), ingress("i", annotation, &spec("")));
    let world = world_with(&entry_points(), &text);
    let on = |host: &str| words(&find(&world, 8443, true, host, "/").unwrap());
    assert_eq!(on("a.com"), "a");
    assert_eq!(on("b.com"), "503", "no certificate, so nobody would be asked");
    let listener =
        world.snapshot.listeners.iter().find(|listener| listener.addr.port() == 8443).unwrap();
    let table = &listener.tls.as_ref().unwrap().terminate;
    let entry = table.entries.iter().find(|entry| *entry.host == *"a.com").unwrap();
    assert!(matches!(
        entry.options.client_auth,
        weft_model::listener::ClientAuth::RequireAndVerify(_)
    ));
    assert_eq!(&*entry.site, "traefik/default/mutual");
}

#[test]
fn gateway_api_wins_over_ingress_for_one_request() {
    let gateway = "apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gw}
spec:
  gatewayClassName: weftway
  listeners: [{name: http, port: 80, protocol: HTTP}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: r}
spec:
  parentRefs: [{name: gw}]
  rules: [{matches: [{path: {value: /x}}], backendRefs: [{name: b, port: 80}]}]
---
";
    let text = format!("{gateway}{}", rules(&[rule("h", "Exact", "/x/long", "a")]));
    let world = world(&text);
    assert_eq!(ask(&world, "h", "/x/long"), "b");
    let text = text.replace("/x/long", "/y");
    assert_eq!(ask(&self::world(&text), "h", "/y"), "a", "what it does not take is Ingress's");
    let text = text.replace("protocol: HTTP}", "protocol: HTTP, hostname: h}");
    assert_eq!(ask(&self::world(&text), "h", "/y"), "a", "whether the listener has a host or not");
}

/// A canary would be a route like any other, and win or lose by its age.
#[test]
fn a_canary_is_not_served_in_the_place_of_the_main_ingress() {
    let canary = |value: &str| {
        let annotations = format!(
            "nginx.ingress.kubernetes.io/canary: '{value}', nginx.ingress.kubernetes.io/canary-weight: '10'"
        );
        let main = ingress("z", "", &format!("  rules:\n{}", rule("a.test", "Prefix", "/", "a")));
        let path = rule("a.test", "Prefix", "/", "b") + &rule("a.test", "Prefix", "/canary", "b");
        world(&(main + &ingress("c", &annotations, &format!("  rules:\n{path}"))))
    };
    let world = canary("true");
    assert_eq!(ask(&world, "a.test", "/"), "a");
    assert_eq!(ask(&world, "a.test", "/canary"), "a");
    assert_reported(
        &world,
        "error: metadata.annotations[nginx.ingress.kubernetes.io/canary]: not served: canaries are \
         not supported",
    );
    assert_eq!(problems(&world).len(), 1, "{:?}", problems(&world));
    // One that is switched off is an Ingress.
    assert_eq!(ask(&canary("false"), "a.test", "/canary"), "b");
}

/// Each annotation is pointed at where it is written.
#[test]
fn annotations_are_told_at_their_lines() {
    let world = world(
        "apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: i
  annotations:
    traefik.ingress.kubernetes.io/router.tls: maybe
    nginx.ingress.kubernetes.io/proxy-body-size: 8m
    traefik.ingress.kubernetes.io/router.entrypoints: nowhere
    traefik.ingress.kubernetes.io/router.middlewares: default-gone@kubernetescrd
spec:
  defaultBackend: {service: {name: a, port: {number: 80}}}
",
    );
    let first = world.report.resources.last().expect("it is there").at().line;
    let mut places: Vec<(u32, u32)> = world
        .report
        .problems()
        .iter()
        .map(|problem| (problem.at.line - first + 1, problem.at.column))
        .collect();
    places.dedup();
    assert_eq!(places, [(6, 5), (7, 5), (8, 5), (9, 5)]);
}
