use super::filter::{FilterKind, PathModifier};
use super::gateway::{FromNamespaces, Protocol};
use super::http::PathMatch;
use super::policy::BackendTrafficPolicy;
use crate::kind::Kind;
use crate::set::load;

/// The only resource of `spec` and what was said about it.
fn read(kind: &str, spec: &str) -> (Option<Kind>, Vec<String>) {
    let version = match kind {
        "TLSRoute" | "TCPRoute" => "v1alpha2",
        "BackendTLSPolicy" => "v1alpha3",
        "ReferenceGrant" => "v1beta1",
        _ => "v1",
    };
    let text = format!(
        "apiVersion: gateway.networking.k8s.io/{version}\nkind: {kind}\n\
         metadata: {{name: a}}\nspec:\n{spec}"
    );
    let set = load(&[("a.yaml", text)]);
    let kind = set.resources().next().map(|resource| resource.body.clone());
    (kind, set.problems().iter().map(ToString::to_string).collect())
}

fn clean(kind: &str, spec: &str) -> Kind {
    let (kind, problems) = read(kind, spec);
    assert_eq!(problems, Vec::<String>::new());
    kind.expect("a resource without problems is accepted")
}

/// Reads a spec that is refused for `reason`.
fn refused(kind: &str, spec: &str, reason: &str) {
    let (body, problems) = read(kind, spec);
    assert!(body.is_none(), "{spec}");
    assert!(problems.iter().any(|problem| problem.contains(reason)), "{problems:?}");
}

#[test]
fn a_gateway_with_its_defaults() {
    let kind = clean(
        "Gateway",
        "  gatewayClassName: weftway
  listeners:
  - {name: http, port: 80, protocol: HTTP, hostname: '*.Example.com'}
  - name: https
    port: 443
    protocol: HTTPS
    tls: {certificateRefs: [{name: cert}]}
    allowedRoutes: {namespaces: {from: Selector, selector: {matchLabels: {a: b}}}}
",
    );
    let Kind::Gateway(gateway) = kind else { panic!("not a Gateway") };
    let [http, https] = &gateway.listeners[..] else { panic!("not two listeners") };
    assert_eq!(http.hostname.as_deref(), Some("*.example.com"));
    assert_eq!(http.allowed.namespaces, FromNamespaces::Same);
    assert_eq!(https.protocol.value, Protocol::Https);
    let tls = https.tls.as_ref().unwrap();
    assert!(!tls.passthrough && tls.certificates[0].is("", "Secret"));
    assert!(matches!(https.allowed.namespaces, FromNamespaces::Selector(_)));
    assert_eq!(gateway.allowed_listeners, FromNamespaces::None);
}

#[test]
fn impossible_listeners() {
    let check = |listener: &str, reason: &str| {
        let spec = format!("  gatewayClassName: c\n  listeners:\n  - {{name: a, {listener}}}\n");
        refused("Gateway", &spec, reason);
    };
    check("port: 80, protocol: HTTP, tls: {mode: Passthrough}", "`tls` is not possible");
    check("port: 443, protocol: HTTPS", "`tls` is required");
    check("port: 443, protocol: HTTPS, tls: {}", "`certificateRefs` is required");
    check("port: 443, protocol: HTTPS, tls: {mode: Passthrough}", "Passthrough is not possible");
    check("port: 80, protocol: TCP, hostname: a.example", "`hostname` is not possible");
    check("port: 0, protocol: HTTP", "out of range");
    check("port: 80, protocol: HTTP, hostname: 10.0.0.1", "is an address");
    check("port: 80, protocol: HTTP, hostname: 'a.*.example'", "is not a host name");
    check(
        "port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: Selector}}",
        "`selector` is required",
    );
}

#[test]
fn a_rule_with_everything() {
    let kind = clean(
        "HTTPRoute",
        "  parentRefs: [{name: public, sectionName: http, port: 80}]
  hostnames: [a.example]
  rules:
  - name: all
    matches:
    - path: {type: Exact, value: /x}
      headers: [{name: Version, value: v1}]
      queryParams: [{name: q, type: RegularExpression, value: '[0-9]+'}]
      method: POST
    filters:
    - type: RequestHeaderModifier
      requestHeaderModifier: {set: [{name: a, value: b}], remove: [c]}
    - {type: RequestMirror, requestMirror: {backendRef: {name: m, port: 80}, percent: 25}}
    - type: RequestMirror
      requestMirror: {backendRef: {name: m, port: 80}, fraction: {numerator: 1, denominator: 3}}
    - type: URLRewrite
      urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: ''}}
    backendRefs: [{name: b, port: 8080, weight: 0}]
    timeouts: {request: 10s, backendRequest: 0s}
    retry: {codes: [500, 503], attempts: 2, backoff: 100ms}
    sessionPersistence: {cookie: {name: s}}
",
    );
    let Kind::HttpRoute(route) = kind else { panic!("not an HTTPRoute") };
    let rule = &route.rules[0];
    assert_eq!(rule.matches[0].path, PathMatch::Exact("/x".into()));
    assert!(rule.matches[0].query[0].is_regex);
    let shares: Vec<_> = rule
        .filters
        .iter()
        .filter_map(|filter| match &filter.kind {
            FilterKind::Mirror { parts_per_million, .. } => Some(*parts_per_million),
            _ => None,
        })
        .collect();
    assert_eq!(shares, [250_000, 333_333]);
    assert!(matches!(
        &rule.filters[3].kind,
        FilterKind::Rewrite(rewrite) if rewrite.path == Some(PathModifier::Prefix("".into()))
    ));
    assert_eq!(rule.backends[0].weight, 0);
    assert_eq!(rule.timeouts.backend_request, None, "zero switches the bound off");
    assert_eq!(rule.retry.as_ref().unwrap().attempts, Some(2));
}

#[test]
fn the_first_of_equal_header_names_counts() {
    let (kind, problems) = read(
        "HTTPRoute",
        "  rules:\n  - matches:\n    - headers: [{name: A, value: x}, {name: a, value: y}]\n",
    );
    let Some(Kind::HttpRoute(route)) = kind else { panic!("not an HTTPRoute") };
    let headers = &route.rules[0].matches[0].headers;
    assert_eq!((headers.len(), &*headers[0].value), (1, "x"));
    assert!(problems[0].contains("already named above"), "{problems:?}");
}

#[test]
fn impossible_rules() {
    let check = |rule: &str, reason: &str| {
        refused("HTTPRoute", &format!("  rules:\n  - {{{rule}}}\n"), reason);
    };
    check("matches: [{path: {value: x}}]", "is not an absolute path");
    check("matches: [{path: {value: /a//b}}]", "a path cannot contain `//`");
    check("matches: [{method: get}]", "`get` is not a value");
    check("matches: [{headers: [{name: a, value: b, type: Prefix}]}]", "`Prefix` is not a value");
    check("filters: [{type: URLRewrite}]", "`urlRewrite` is required");
    check("filters: [{type: CORS, urlRewrite: {hostname: a.b}, cors: {}}]", "does not fit");
    check(
        "filters: [{type: CORS, cors: {}}, {type: CORS, cors: {}}]",
        "the filter CORS is given twice",
    );
    check(
        "filters: [{type: URLRewrite, urlRewrite: {}}, \
         {type: RequestRedirect, requestRedirect: {}}]",
        "exclude each other",
    );
    check(
        "filters: [{type: RequestRedirect, requestRedirect: {statusCode: 304}}]",
        "cannot have the status 304",
    );
    check("timeouts: {request: 1s, backendRequest: 2s}", "cannot be longer");
    check("timeouts: {request: 1.5s}", "is not a duration");
    check("backendRefs: [{name: b, wieght: 2}]", "unknown field `wieght`");
}

#[test]
fn old_versions_of_l4_routes() {
    let spec = "  parentRefs: [{name: g}]\n  rules: [{backendRefs: [{name: b, port: 80}]}]\n";
    assert!(matches!(clean("TCPRoute", spec), Kind::TcpRoute(_)));
    let spec = format!("  hostnames: [a.example]\n{spec}");
    let Kind::TlsRoute(route) = clean("TLSRoute", &spec) else { panic!("not a TLSRoute") };
    assert_eq!(&*route.hostnames[0].value, "a.example");
}

#[test]
fn grants_are_exact() {
    let Kind::ReferenceGrant(grant) = clean(
        "ReferenceGrant",
        "  from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: x}]
  to: [{group: '', kind: Service, name: b}, {group: '', kind: Secret}]
",
    ) else {
        panic!("not a ReferenceGrant")
    };
    let route = |namespace| (super::GROUP, "HTTPRoute", namespace);
    assert!(grant.allows(route("x"), ("", "Service", "b")));
    assert!(!grant.allows(route("x"), ("", "Service", "c")));
    assert!(!grant.allows(route("y"), ("", "Service", "b")));
    assert!(!grant.allows((super::GROUP, "GRPCRoute", "x"), ("", "Service", "b")));
    assert!(grant.allows(route("x"), ("", "Secret", "any")));
}

#[test]
fn a_policy_with_errors_is_kept_for_what_it_protects() {
    let (kind, problems) = read(
        "BackendTLSPolicy",
        "  targetRefs: [{group: '', kind: Service, name: b}]
  validation: {hostname: b.example, wellKnownCACertificates: Sytem}
",
    );
    let Some(Kind::BackendTlsPolicy(policy)) = kind else { panic!("the policy is gone") };
    assert_eq!(&*policy.targets[0].object.name, "b");
    assert!(policy.is_broken);
    assert!(problems[0].contains("did you mean `System`?") || problems[0].contains("`Sytem`"));
}

/// Where the type is wrong, nothing is said of the fields that depend on it.
#[test]
fn one_mistake_is_said_once() {
    let rule = |text: &str| format!("  parentRefs: [{{name: a}}]\n  rules:\n  - {text}\n");
    for (kind, text) in [
        ("HTTPRoute", "matches: [{path: {type: Prefix, value: /a}}]"),
        ("HTTPRoute", "matches: [{headers: [{type: Foo, name: a, value: b}]}]"),
        ("HTTPRoute", "filters: [{type: Foo, requestMirror: {backendRef: {name: a, port: 80}}}]"),
        ("GRPCRoute", "matches: [{method: {type: Foo, service: a.B}}]"),
    ] {
        let (body, problems) = read(kind, &rule(text));
        assert!(body.is_none(), "{text}");
        let [problem] = &problems[..] else { panic!("{text}: {problems:?}") };
        assert!(problem.contains("is not a value of this field"), "{problem}");
    }
}

/// A policy of the experimental group, under either of its names.
fn traffic_policy(kind: &str, spec: &str) -> (Option<BackendTrafficPolicy>, Vec<String>) {
    let text = format!(
        "apiVersion: gateway.networking.x-k8s.io/v1alpha1\nkind: {kind}\n\
         metadata: {{name: a}}\n\
         spec: {{targetRefs: [{{group: '', kind: Service, name: b}}], {spec}}}\n"
    );
    let set = load(&[("a.yaml", text)]);
    let policy = set.resources().next().map(|resource| match &resource.body {
        Kind::BackendTrafficPolicy(policy) => (**policy).clone(),
        other => panic!("{other:?}"),
    });
    (policy, set.problems().iter().map(ToString::to_string).collect())
}

#[test]
fn retry_constraints_have_defaults() {
    let secs = std::time::Duration::from_secs;
    let check = |spec: &str, expected: (u32, u64, u32, u64)| {
        for kind in ["XBackendTrafficPolicy", "BackendTrafficPolicy"] {
            let (policy, problems) = traffic_policy(kind, spec);
            assert_eq!(problems, [""; 0]);
            let retry = policy.unwrap().retry.unwrap();
            let found = (retry.percent, retry.interval, retry.min_count, retry.min_interval);
            let (percent, interval, count, min_interval) = expected;
            assert_eq!(found, (percent, secs(interval), count, secs(min_interval)), "{spec}");
        }
    };
    check("retryConstraint: {}", (20, 10, 10, 1));
    check("retryConstraint: {budget: {percent: 5}}", (5, 10, 10, 1));
    let all = "retryConstraint: {budget: {interval: 1m}, minRetryRate: {count: 3, interval: 2s}}";
    check(all, (20, 60, 3, 2));
    assert_eq!(traffic_policy("XBackendTrafficPolicy", "").0.unwrap().retry, None);
}

#[test]
fn impossible_retry_constraints() {
    let check = |spec: &str, reason: &str| {
        let (policy, problems) = traffic_policy("XBackendTrafficPolicy", spec);
        assert!(policy.is_none(), "{spec}");
        assert!(problems.iter().any(|problem| problem.contains(reason)), "{problems:?}");
    };
    check("retryConstraint: {budget: {percent: 101}}", "must be between 0 and 100");
    check("retryConstraint: {budget: {interval: 2h}}", "must be between 1s and 1h");
    check("retryConstraint: {minRetryRate: {count: 0}}", "must be between 1 and 1000000");
    check("retryConstraint: {minRetryRate: {interval: 1ms}}", "must be between 1s and 1h");
    check("sessionPersistence: {cookieConfig: {lifetimeType: Permanent}}", "`absoluteTimeout` is");
}

#[test]
fn sessions_as_of_every_version() {
    let check = |session: &str, expected: (Option<&str>, bool, bool, Option<u64>)| {
        for kind in ["HTTPRoute", "GRPCRoute"] {
            let body = clean(kind, &format!("  rules: [{{sessionPersistence: {{{session}}}}}]\n"));
            let found = match body {
                Kind::HttpRoute(route) => route.rules[0].session.clone(),
                Kind::GrpcRoute(route) => route.rules[0].session.clone(),
                other => panic!("{other:?}"),
            };
            let found = found.unwrap();
            let idle = found.idle_timeout.map(|timeout| timeout.as_secs());
            let found = (found.name.as_deref(), found.by_header, found.permanent, idle);
            assert_eq!(found, expected, "{session}");
        }
    };
    check("sessionName: s", (Some("s"), false, false, None));
    check("type: Header, header: {name: x-s}", (Some("x-s"), true, false, None));
    check("idleTimeout: 10m", (None, false, false, Some(600)));
    let permanent = "absoluteTimeout: 1h, cookieConfig: {lifetimeType: Permanent}";
    check(permanent, (None, false, true, None));
    let newer = "absoluteTimeout: 1h, cookie: {name: c, lifetimeType: Permanent}";
    check(newer, (Some("c"), false, true, None));
}

#[test]
fn parents_may_be_ports_of_services() {
    let parents = "  parentRefs:
  - {group: '', kind: Service, name: a, port: 80}
  - {group: core, kind: Service, name: a, sectionName: http}
  - {name: g, sectionName: http}
";
    for kind in ["HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute"] {
        let body = clean(kind, &format!("{parents}  rules: [{{backendRefs: []}}]\n"));
        let parents = match body {
            Kind::HttpRoute(route) => route.parents.clone(),
            Kind::GrpcRoute(route) => route.parents.clone(),
            Kind::TlsRoute(route) | Kind::TcpRoute(route) => route.parents.clone(),
            other => panic!("{other:?}"),
        };
        let found: Vec<_> = parents
            .iter()
            .map(|parent| (parent.object.is_service(), parent.port, parent.section.as_deref()))
            .collect();
        let http = Some("http");
        assert_eq!(found, [(true, Some(80), None), (true, None, http), (false, None, http)]);
    }
}
