//! Services, and services of services.

use std::time::Duration;

use weft_model::backend::{Endpoints, HostHeader, Probe, SubjectAltName, UpstreamProtocol};
use weft_model::calling::PoolSettings;
use weft_model::listener::TlsVersion;
use weft_model::outcome::Reason;
use weft_model::policy::StepKind;
use weft_model::route::{Affinity, Mirror, Route, Target};
use weft_resilience::settings::{BudgetSettings, PickerKind, WindowTrigger};

use super::{backend, kinds, object, only_route, options, problems, world, world_with};
use crate::World;

/// A world with one route whose services are this flow list, and other documents.
fn with_services(services: &str, others: &str) -> World {
    world(&documents(services, others))
}

fn documents(services: &str, others: &str) -> String {
    let route = object(
        "IngressRoute",
        "r",
        &format!(
            "  entryPoints: [web]\n  routes:\n  - match: PathPrefix(`/`)\n    services: {services}\n"
        ),
    );
    format!("{route}{others}")
}

fn clean(services: &str, others: &str) -> World {
    let world = with_services(services, others);
    assert_eq!(problems(&world), [""; 0], "{services}");
    world
}

fn target(world: &World) -> &Target {
    let route: &Route = only_route(world);
    &route.target
}

#[test]
fn endpoints_come_from_slices() {
    let world = clean("[{name: greeter, port: http}]", "");
    let backend = backend(&world, target(&world));
    assert_eq!(backend.id.as_str(), "default/greeter:8080");
    assert_eq!(
        format!("{:?}", backend.endpoints),
        "Static([Endpoint { addr: 10.0.0.1:9000, weight: 1, locality: None, tier: 0, peer: None }])"
    );
    assert_eq!(backend.protocol, UpstreamProtocol::Auto);
    assert_eq!(backend.host, HostHeader::Pass);
    assert_eq!(backend.calling.picker, PickerKind::RoundRobin);
    assert_eq!(backend.calling.pool, PoolSettings::DEFAULT);
    assert_eq!(
        (&backend.calling.tls, &backend.calling.sticky, &backend.health_check),
        (&None, &None, &None)
    );
}

#[test]
fn a_single_port_need_not_be_named() {
    let world = clean("[{name: greeter}]", "");
    assert_eq!(backend(&world, target(&world)).id.as_str(), "default/greeter:8080");
}

#[test]
fn settings_make_another_backend() {
    let world = clean(
        "[{name: greeter, port: 8080, strategy: p2c, passHostHeader: false, \
          responseForwarding: {flushInterval: -1}, passiveHealthCheck: {maxFailedAttempts: 3}, \
          healthCheck: {path: /up, interval: 5s, status: 204, headers: {X-A: b}}, \
          sticky: {cookie: {httpOnly: true, sameSite: lax, maxAge: 60}}}]",
        "",
    );
    let backend = backend(&world, target(&world));
    assert!(backend.id.as_str().starts_with("default/greeter:8080#"), "{}", backend.id);
    assert_eq!(backend.calling.picker, PickerKind::LeastRequest);
    assert_eq!(backend.host, HostHeader::Endpoint);
    let outlier = backend.calling.outlier.expect("passive health");
    assert_eq!(
        outlier.in_window,
        Some(WindowTrigger { failures: 3, window: Duration::from_secs(10) })
    );
    let check = backend.health_check.as_deref().expect("active health");
    assert_eq!((check.interval, check.timeout), (Duration::from_secs(5), Duration::from_secs(5)));
    let probe = Probe::Http {
        path: "/up".into(),
        method: "GET".into(),
        host: None,
        headers: vec![("X-A".into(), "b".into())],
        statuses: vec![(204, 204)],
    };
    assert_eq!(check.probe, probe);
    let cookie = backend.calling.sticky.as_ref().and_then(Affinity::cookie).expect("a cookie");
    // Traefik's name for that of its service, `default-greeter-8080@kubernetescrd`.
    assert_eq!(&*cookie.name, "_a5424");
    assert_eq!((&*cookie.path, &*cookie.same_site, cookie.max_age_secs), ("/", "lax", 60));
    assert!(cookie.http_only && !cookie.secure);
}

#[test]
fn health_checks_that_cannot_be_made_are_reported() {
    let check = |written: &str, path: &str, message: &str, fix: &str| {
        let services =
            format!("[{{name: greeter, port: 8080, healthCheck: {{{written}, interval: 5s}}}}]");
        let world = with_services(&services, "");
        let found = problems(&world);
        let path = format!("error: spec.routes[0].services[0].healthCheck.{path}: ");
        let message = format!("{path}{message}; servers are not checked, and all of them count as");
        let is_it = |line: &String| line.contains(&message) && line.ends_with(&format!("[{fix}]"));
        assert!(found.len() == 1 && is_it(&found[0]), "{written}: {found:?}");
        assert!(found[0].starts_with("t.yaml:9:"), "{found:?}");
        assert_eq!(backend(&world, target(&world)).health_check, None);
    };
    let fix = "write a path such as /health, without scheme and host";
    let path = "`http://h/up` is not a path: it is a whole URL";
    check("path: 'http://h/up'", "path", path, fix);
    check(
        "path: '/a%zz'",
        "path",
        "`/a%zz` is not a path: an escape in the path is malformed",
        fix,
    );
    let method = "`GE T` is not a method";
    check("method: 'GE T'", "method", method, "write a method such as GET or HEAD");
    let services = "[{name: greeter, port: 8080, healthCheck: {hostname: 'a b', path: up}}]";
    let found = problems(&with_services(services, ""));
    assert!(found[0].contains("healthCheck.hostname: `a b` is not a host: "), "{found:?}");
    check(
        "headers: {'X Y': v}",
        "headers.X Y",
        "`X Y` is not the name of a header",
        "correct it or remove it",
    );
    check(
        "headers: {Host: h}",
        "headers.Host",
        "`Host` cannot be set among the headers",
        "set `hostname` instead",
    );
    check(
        "headers: {Connection: close}",
        "headers.Connection",
        "`Connection` frames the message or belongs to the connection",
        "remove it",
    );
    check(
        "headers: {X-A: \"a\\nb\"}",
        "headers.X-A",
        "the value of `X-A` holds control characters",
        "correct it or remove it",
    );
}

#[test]
fn a_health_check_is_made_as_written() {
    let world = clean(
        "[{name: greeter, port: 8080, healthCheck: {path: 'up?deep=1', method: HEAD, \
          hostname: 'h.test:81'}}]",
        "",
    );
    let check = backend(&world, target(&world)).health_check.clone().expect("it is there");
    let Probe::Http { path, method, host, .. } = &check.probe else { panic!("{check:?}") };
    assert_eq!((&**path, &**method, host.as_deref()), ("up?deep=1", "HEAD", Some("h.test:81")));
}

#[test]
fn slow_start_is_the_services_own_or_the_options() {
    let mut options = options();
    options.slow_start = Duration::from_secs(7);
    let text = documents("[{name: greeter, port: 8080}]", "");
    let greeter = "metadata: {name: greeter, namespace: default}";
    let with = |annotation: &str| {
        let annotated = format!(
            "metadata: {{name: greeter, namespace: default, annotations: {{{annotation}}}}}"
        );
        let services = super::services().replacen(greeter, &annotated, 1);
        let files = [("services.yaml", services), ("t.yaml", text.clone())];
        crate::compile(&weft_resources::load(&files), &options, None)
    };
    let check = |annotation: &str, secs: u64| {
        let world = with(annotation);
        assert_eq!(problems(&world), [""; 0], "{annotation}");
        let found = backend(&world, target(&world)).calling.slow_start.window;
        assert_eq!(found, Duration::from_secs(secs), "{annotation}");
    };
    check("", 7);
    check("weftway.io/slow-start: 30s", 30);
    check("weftway.io/slow-start: 0s", 0);
    check("weftway.io/slow-start: '45'", 45);
    let world = with("weftway.io/slow-start: soon");
    assert_eq!(
        problems(&world),
        ["services.yaml:3:84: error: metadata.annotations.weftway.io/slow-start: `soon` is not a \
          duration; new endpoints get the share that --slow-start gives them [write a duration \
          such as 30s, or 0s for none]"]
    );
    assert_eq!(backend(&world, target(&world)).calling.slow_start.window, Duration::from_secs(7));
    let world = with("weftway.io/slowstart: 30s");
    assert_eq!(
        problems(&world),
        [
            "services.yaml:3:83: warning: metadata.annotations.weftway.io/slowstart: it is not known \
          and has no effect [did you mean `weftway.io/slow-start`?]"
        ]
    );
}

#[test]
fn retries_are_bounded_as_the_options_say() {
    let text = documents("[{name: greeter, port: 8080}]", "");
    let budget = |options: &crate::Options| {
        let world = world_with(&text, options);
        backend(&world, target(&world)).calling.retry_budget
    };
    let mut options = options();
    assert_eq!(budget(&options), Some(BudgetSettings::DEFAULT));
    options.retry_budget = None;
    assert_eq!(budget(&options), None);
}

#[test]
fn ids_do_not_depend_on_lines() {
    let services = "[{name: greeter, port: 8080, strategy: hrw, serversTransport: t}]";
    let transport = object("ServersTransport", "t", "  {}\n");
    let near = clean(services, &transport);
    let moved = format!("# Two lines\n# more.\n{}", documents(services, &transport));
    let far = world(&moved);
    assert_eq!(problems(&far), [""; 0]);
    assert_eq!(target(&near), target(&far));
}

#[test]
fn schemes() {
    let check = |rest: &str, port: &str, tls: bool, protocol: UpstreamProtocol| {
        let service = format!(
            "---\napiVersion: v1\nkind: Service\nmetadata: {{name: s}}\nspec: {{ports: [{port}]}}\n---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: s, labels: {{kubernetes.io/service-name: s}}}}\naddressType: IPv4\nports: [{{port: 1}}]\nendpoints: [{{addresses: [10.0.0.9]}}]\n"
        );
        let world = clean(&format!("[{{name: s{rest}}}]"), &service);
        let backend = backend(&world, target(&world));
        assert_eq!(
            (backend.calling.tls.is_some(), backend.protocol),
            (tls, protocol),
            "{rest} {port}"
        );
    };
    check("", "{port: 80}", false, UpstreamProtocol::Auto);
    check("", "{port: 443}", true, UpstreamProtocol::Auto);
    check("", "{port: 8443, name: https-main}", true, UpstreamProtocol::Auto);
    check(", scheme: http", "{port: 443}", false, UpstreamProtocol::Auto);
    check(", scheme: h2c", "{port: 80}", false, UpstreamProtocol::Http2);
    check("", "{port: 80, appProtocol: kubernetes.io/h2c}", false, UpstreamProtocol::Http2);
    check("", "{port: 80, name: grpc}", false, UpstreamProtocol::Http2);
    check("", "{port: 80, name: grpc-api}", false, UpstreamProtocol::Http2);
    check("", "{port: 80, name: grpcurl}", false, UpstreamProtocol::Auto);
}

#[test]
fn several_services_share_by_weight() {
    let world = clean(
        "[{name: greeter, port: 8080, weight: 3, middlewares: [{name: m}]}, {name: other, port: 8080}]",
        &object("Middleware", "m", "  addPrefix: {prefix: /a}\n"),
    );
    let Target::Weighted(weighted) = target(&world) else { panic!("{:?}", target(&world)) };
    let shares: Vec<(&str, u32, usize)> = weighted
        .choices
        .iter()
        .map(|choice| (&*choice.name, choice.weight, choice.steps.len()))
        .collect();
    assert_eq!(shares, [("default-greeter-8080", 3, 1), ("default-other-8080", 1, 0)]);
}

#[test]
fn middlewares_of_a_single_service_come_last() {
    let text = documents(
        "[{name: greeter, port: 8080, middlewares: [{name: m}]}]\n    middlewares: [{name: n}]",
        &[
            object("Middleware", "m", "  addPrefix: {prefix: /m}\n"),
            object("Middleware", "n", "  addPrefix: {prefix: /n}\n"),
        ]
        .concat(),
    );
    let world = world(&text);
    let ids: Vec<&str> = only_route(&world).steps.iter().map(|step| step.id.as_str()).collect();
    assert_eq!(ids, ["middleware/default/n", "middleware/default/m"]);
}

#[test]
fn what_is_missing_is_answered_503_with_the_reason() {
    let check = |services: &str, expected: &str| {
        let world = with_services(services, "");
        let found = problems(&world);
        assert!(found.iter().any(|line| line.contains(expected)), "{found:?}");
        let Target::Refuse(refusal) = target(&world) else { panic!("{:?}", target(&world)) };
        assert_eq!(refusal.reason, Reason::NoEndpoint);
    };
    check(
        "[{name: nope, port: 80}]",
        "t.yaml:9:16: error: spec.routes[0].services[0]: answered 503: service `default/nope` is not \
         found [add the Service with its EndpointSlice, or start with --backend nope:80=ADDR]",
    );
    check(
        "[{name: greeter, port: 81}]",
        "service `default/greeter` has no port `81`; it has 8080 (http)",
    );
    check("[{name: greeter, port: grpc}]", "has no port `grpc`");
    check("[{name: greeter, port: 8080, namespace: shop}]", "references to other namespaces");
    check(
        "[{name: greeter, port: 8080, serversTransport: t}]",
        "ServersTransport `default/t` is not found",
    );
    check("[{name: t, kind: TraefikService}]", "TraefikService `default/t` is not found");
    check(
        "[{name: api@internal, kind: TraefikService}]",
        "is a part of Traefik that does not exist here",
    );
    check("[]", "the route has no service");
}

#[test]
fn services_without_endpoints_warn_unless_allowed() {
    let service = "---\napiVersion: v1\nkind: Service\nmetadata: {name: empty}\nspec: {ports: [{port: 80}]}\n";
    let text = documents("[{name: empty, port: 80}]", service);
    let world = world(&text);
    assert_eq!(problems(&world).len(), 1);
    assert!(problems(&world)[0].contains("service `default/empty:80` has no endpoint"));
    assert_eq!(backend(&world, target(&world)).endpoints, Endpoints::Static([].into()));
    let mut options = options();
    options.allow_empty_services = true;
    assert_eq!(problems(&world_with(&text, &options)), [""; 0]);
}

#[test]
fn external_names_need_permission() {
    let service = "---\napiVersion: v1\nkind: Service\nmetadata: {name: ext}\nspec: {type: ExternalName, externalName: api.example}\n";
    let text = documents("[{name: ext, port: 443}]", service);
    assert!(problems(&world(&text))[0].contains("[start with --allow-external-names"));
    let mut options = options();
    options.allow_external_name_services = true;
    let world = world_with(&text, &options);
    assert_eq!(problems(&world), [""; 0]);
    let backend = backend(&world, target(&world));
    assert_eq!(backend.endpoints, Endpoints::Dns { name: "api.example".into(), port: 443 });
    let tls = backend.calling.tls.as_deref().expect("port 443 is https");
    assert_eq!(tls.server_name.as_deref(), Some("api.example"));
}

#[test]
fn the_command_line_wins() {
    let mut options = options();
    let addr = "127.0.0.1:9999".parse().expect("an address");
    options.backends.insert(("greeter".into(), 8080), vec![addr]);
    options.backends.insert(("ghost".into(), 80), vec![addr]);
    for services in ["[{name: greeter, port: 8080}]", "[{name: ghost, port: 80}]"] {
        let world = world_with(&documents(services, ""), &options);
        assert_eq!(problems(&world), [""; 0]);
        let Endpoints::Static(list) = &backend(&world, target(&world)).endpoints else {
            panic!("not static")
        };
        assert_eq!(list.iter().map(|endpoint| endpoint.addr).collect::<Vec<_>>(), [addr]);
    }
}

#[test]
fn transports() {
    let transport = object(
        "ServersTransport",
        "t",
        "  serverName: up.example\n  insecureSkipVerify: true\n  maxIdleConnsPerHost: -1\n  disableHTTP2: true\n  peerCertSANs: [{type: URI, value: 'spiffe://a/b'}]\n  minVersion: VersionTLS13\n  maxVersion: VersionTLS13\n  forwardingTimeouts: {dialTimeout: 1s, responseHeaderTimeout: 2s, idleConnTimeout: 3s}\n",
    );
    let world = with_services(
        "[{name: greeter, port: 8080, scheme: https, serversTransport: t}]",
        &transport,
    );
    assert_eq!(problems(&world).len(), 1);
    assert!(problems(&world)[0].contains("`insecureSkipVerify` accepts any certificate"));
    let backend = backend(&world, target(&world));
    let expected = PoolSettings {
        connect_timeout: Duration::from_secs(1),
        idle_per_endpoint_max: 0,
        idle_timeout: Duration::from_secs(3),
        response_head_timeout: Some(Duration::from_secs(2)),
        ..PoolSettings::DEFAULT
    };
    assert_eq!(backend.calling.pool, expected);
    assert_eq!(backend.protocol, UpstreamProtocol::Http1);
    let tls = backend.calling.tls.as_deref().expect("https");
    assert_eq!(tls.server_name.as_deref(), Some("up.example"));
    assert!(tls.insecure_skip_verify);
    assert_eq!(tls.subject_alt_names, [SubjectAltName::Uri("spiffe://a/b".into())]);
    assert_eq!((tls.min_version, tls.max_version), (TlsVersion::Tls13, TlsVersion::Tls13));
}

#[test]
fn versions_towards_servers_are_those_that_are_spoken() {
    for (spec, expected) in [
        ("  minVersion: VersionTLS13\n", Some((TlsVersion::Tls13, TlsVersion::Tls13))),
        ("  maxVersion: VersionTLS12\n", Some((TlsVersion::Tls12, TlsVersion::Tls12))),
        ("  minVersion: VersionTLS10\n", Some((TlsVersion::Tls12, TlsVersion::Tls13))),
        ("  maxVersion: VersionTLS11\n", None),
    ] {
        let transport = object("ServersTransport", "t", spec);
        let world = with_services(
            "[{name: greeter, port: 8080, scheme: https, serversTransport: t}]",
            &transport,
        );
        let found = match target(&world) {
            Target::Refuse(_) => None,
            target => {
                let backend = backend(&world, target);
                let tls = backend.calling.tls.as_deref().expect("https");
                Some((tls.min_version, tls.max_version))
            }
        };
        assert_eq!(found, expected, "{spec} {:?}", problems(&world));
        let is_old = spec.contains("10") || spec.contains("11");
        assert_eq!(problems(&world).len(), usize::from(is_old), "{:?}", problems(&world));
    }
}

#[test]
fn a_transport_that_cannot_protect_is_not_used() {
    for (spec, expected) in [
        ("  spiffe: {trustDomain: a}\n", "`spiffe` is not supported"),
        ("  rootCAs: [{secret: ca}]\n", "secret `default/ca` is not found"),
        ("  certificatesSecrets: [mine]\n", "secret `default/mine` is not found"),
    ] {
        let transport = object("ServersTransport", "t", spec);
        let world = with_services("[{name: greeter, port: 8080, serversTransport: t}]", &transport);
        assert!(problems(&world)[0].contains(expected), "{:?}", problems(&world));
        assert!(matches!(target(&world), Target::Refuse(_)));
    }
}

#[test]
fn weighted_services_nest() {
    let services = [
        object(
            "TraefikService",
            "w",
            "  weighted:\n    sticky: {cookie: {name: lvl1}}\n    services:\n    - {name: inner, kind: TraefikService, weight: 4}\n    - {name: other, port: 8080}\n",
        ),
        object(
            "TraefikService",
            "inner",
            "  weighted: {services: [{name: greeter, port: 8080}]}\n",
        ),
    ];
    let world = clean("[{name: w, kind: TraefikService}]", &services.concat());
    let Target::Weighted(outer) = target(&world) else { panic!("{:?}", target(&world)) };
    let cookie = outer.sticky.as_ref().and_then(Affinity::cookie);
    assert_eq!(cookie.map(|cookie| &*cookie.name), Some("lvl1"));
    assert_eq!(outer.choices.iter().map(|choice| choice.weight).collect::<Vec<_>>(), [4, 1]);
    assert!(matches!(outer.choices[0].target, Target::Weighted(_)));
}

#[test]
fn mirrors_failovers_and_hashes() {
    let mirror = object(
        "TraefikService",
        "t",
        "  mirroring:\n    name: greeter\n    port: 8080\n    maxBodySize: 100\n    mirrors: [{name: other, port: 8080, percent: 20}]\n",
    );
    let world = clean("[{name: t, kind: TraefikService}]", &mirror);
    let Target::Mirror(mirrors) = target(&world) else { panic!("{:?}", target(&world)) };
    assert_eq!((mirrors.body, mirrors.body_bytes_max), (true, Some(100)));
    assert_eq!(mirrors.mirrors[0].parts_per_million, 200_000);

    let failover = object(
        "TraefikService",
        "t",
        "  failover:\n    service: {name: greeter, port: 8080}\n    fallback: {name: other, port: 8080}\n    errors: {status: [500-504], maxRequestBodyBytes: 9}\n",
    );
    let world = clean("[{name: t, kind: TraefikService}]", &failover);
    let Target::Failover(failover) = target(&world) else { panic!("{:?}", target(&world)) };
    assert_eq!((&*failover.statuses, failover.body_bytes_max), (&[(500, 504)][..], 9));

    let hashed = object(
        "TraefikService",
        "t",
        "  highestRandomWeight: {services: [{name: greeter, port: 8080, weight: 2}]}\n",
    );
    let world = clean("[{name: t, kind: TraefikService}]", &hashed);
    let Target::HighestRandomWeight(choices) = target(&world) else {
        panic!("{:?}", target(&world))
    };
    assert_eq!(choices[0].weight, 2);
}

#[test]
fn middlewares_act_where_services_share_requests() {
    let middleware = object("Middleware", "m", "  addPrefix: {prefix: /m}\n");
    let one = "port: 8080, middlewares: [{name: m}]";
    let built = |spec: &str| {
        let service = object("TraefikService", "t", spec);
        clean("[{name: t, kind: TraefikService}]", &(service + &middleware))
    };
    let check = |found: &Target| {
        let Target::Weighted(weighted) = found else { panic!("{found:?}") };
        let [choice] = weighted.choices.as_slice() else { panic!("{weighted:?}") };
        let ids: Vec<&str> = choice.steps.iter().map(|step| step.id.as_str()).collect();
        assert_eq!(ids, ["middleware/default/m"]);
        assert!(matches!(choice.target, Target::Backend(_)), "{choice:?}");
    };
    let world = built(&format!(
        "  failover: {{service: {{name: greeter, {one}}}, fallback: {{name: other, {one}}}}}\n"
    ));
    let Target::Failover(failover) = target(&world) else { panic!("{:?}", target(&world)) };
    check(&failover.main);
    check(&failover.fallback);
    let world = built(&format!("  mirroring: {{name: greeter, {one}}}\n"));
    let Target::Mirror(mirrors) = target(&world) else { panic!("{:?}", target(&world)) };
    check(&mirrors.main);
}

#[test]
fn a_service_that_is_asked_on_the_side_has_no_middlewares() {
    let guarded = "{name: other, port: 8080, middlewares: [{name: m}]}";
    let others = [
        object("Middleware", "m", "  addPrefix: {prefix: /m}\n"),
        object(
            "TraefikService",
            "t",
            &format!(
                "  mirroring: {{name: greeter, port: 8080, mirrors: [{guarded}, \
                 {{name: inner, kind: TraefikService}}]}}\n"
            ),
        ),
        object(
            "TraefikService",
            "inner",
            &format!("  weighted: {{services: [{{name: other, port: 8080}}, {guarded}]}}\n"),
        ),
        object(
            "Middleware",
            "pages",
            &format!("  errors: {{status: ['500'], query: /, service: {guarded}}}\n"),
        ),
    ];
    let world = world(&documents(
        "[{name: t, kind: TraefikService}]\n    middlewares: [{name: pages}]",
        &others.concat(),
    ));
    let Target::Mirror(mirrors) = target(&world) else { panic!("{:?}", target(&world)) };
    assert!(matches!(mirrors.main, Target::Backend(_)), "{mirrors:?}");
    assert_eq!(mirrors.mirrors.len(), 2);
    let is_closed = |mirror: &Mirror| matches!(mirror.target, Target::Refuse(_));
    assert!(mirrors.mirrors.iter().all(is_closed), "{mirrors:?}");
    let [StepKind::Errors(pages)] = kinds(only_route(&world))[..] else { panic!("pages") };
    assert!(matches!(pages.target, Target::Refuse(_)), "{pages:?}");
    let said = problems(&world);
    let of =
        |path: &str| said.iter().any(|line| line.contains(path) && line.contains("is not called"));
    assert!(of("spec.mirroring.mirrors[0].middlewares"), "{said:?}");
    assert!(of("spec.mirroring.mirrors[1]"), "{said:?}");
    assert!(of("spec.errors.service.middlewares"), "{said:?}");
}

#[test]
fn circles_of_services_end() {
    let circle = object(
        "TraefikService",
        "t",
        "  weighted: {services: [{name: t, kind: TraefikService}]}\n",
    );
    let world = with_services("[{name: t, kind: TraefikService}]", &circle);
    assert!(problems(&world).iter().any(|line| line.contains("refers to itself")));
}

#[test]
fn one_service_is_one_backend() {
    let world = clean("[{name: greeter, port: 8080}, {name: greeter, port: http}]", "");
    assert_eq!(world.snapshot.backends.len(), 1);
}
