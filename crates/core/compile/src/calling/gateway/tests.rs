//! How backends of routes of every dialect are called.

mod own;

use std::sync::Arc;
use std::time::Duration;

use weft_model::backend::{Backend, UpstreamProtocol};
use weft_model::route::Target;
use weft_resilience::settings::{BudgetSettings, PickerKind};
use weft_resources::load;

use crate::gateway_api::tests::tls::secret;
use crate::gateway_api::tests::{assert_reported, find, problems};
use crate::{EntryPoint, Options, World, compile};

/// The service `web` of `shop`.
const SERVICE: &str = "apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {ports: [{port: 80, name: http}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: shop, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{port: 3000, name: http}]
endpoints: [{addresses: [10.0.0.1]}, {addresses: [10.0.0.2]}]
---
";

/// Routes of `namespace` to it for `gw.test`, `traefik.test` and `ingress.test`; `settings` are
/// those of Traefik's service.
fn routes(settings: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: gw, namespace: shop}}
spec:
  gatewayClassName: weftway
  listeners: [{{name: http, port: 80, protocol: HTTP}}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: r, namespace: shop}}
spec:
  parentRefs: [{{name: gw}}]
  hostnames: [gw.test]
  rules: [{{backendRefs: [{{name: web, port: 80}}]}}]
---
apiVersion: traefik.io/v1alpha1
kind: IngressRoute
metadata: {{name: r, namespace: shop}}
spec:
  routes:
  - match: Host(`traefik.test`)
    services: [{{name: web, port: 80{settings}}}]
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {{name: r, namespace: shop}}
spec:
  rules:
  - host: ingress.test
    http:
      paths: [{{path: /, pathType: Prefix, backend: {{service: {{name: web, port: {{number: 80}}}}}}}}]
---
"
    )
}

/// A DestinationRule for it, of that namespace.
fn rule(namespace: &str, rest: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: web, namespace: {namespace}}}
spec: {{host: web.shop.svc.cluster.local, {rest}}}
---
"
    )
}

fn options() -> Options {
    let addr = "0.0.0.0:80".parse().expect("an address");
    Options::new(vec![EntryPoint { name: "web".into(), addr, tls: false }])
}

fn world(documents: &[&str]) -> World {
    let text = format!("{SERVICE}{}", documents.concat());
    compile(&load(&[("a.yaml", text)]), &options(), None)
}

fn clean(documents: &[&str]) -> World {
    let world = world(documents);
    assert_eq!(problems(&world), Vec::<String>::new());
    world
}

/// The backend of the routes of a dialect, or the reason why there is none.
fn backend(world: &World, host: &str) -> Result<Arc<Backend>, String> {
    let route = find(world, 80, false, &format!("GET {host}/")).expect("there is a route");
    match &route.target {
        Target::Backend(id) => Ok(Arc::clone(&world.snapshot.backends[id])),
        Target::Refuse(refusal) => Err(format!("{}: {}", refusal.reason.status(), refusal.detail)),
        other => panic!("{other:?}"),
    }
}

const HOSTS: [&str; 3] = ["gw.test", "traefik.test", "ingress.test"];

#[test]
fn a_destination_rule_governs_the_backends_of_every_dialect() {
    let policy = "trafficPolicy: {loadBalancer: {simple: RANDOM}, \
                  connectionPool: {tcp: {connectTimeout: 3s}, http: {maxRetries: 2}}, \
                  outlierDetection: {consecutive5xxErrors: 4}, retryBudget: {percent: 10}}";
    let world = clean(&[&routes(""), &rule("shop", policy)]);
    for host in HOSTS {
        let backend = backend(&world, host).expect("it is served");
        let calling = &backend.calling;
        assert_eq!(calling.picker, PickerKind::Random, "{host}");
        assert_eq!(calling.pool.connect_timeout, Duration::from_secs(3), "{host}");
        assert_eq!(calling.limits.retries, Some(2), "{host}");
        assert_eq!(calling.outlier.and_then(|found| found.consecutive), Some(4), "{host}");
        assert!(matches!(calling.retry_budget, Some(BudgetSettings::Active(_))), "{host}");
        let sources: Vec<_> = world.snapshot.sources[&backend.id]
            .iter()
            .map(|source| format!("{} {}", source.setting, source.document))
            .collect();
        assert!(
            sources.contains(&"trafficPolicy.outlierDetection DestinationRule shop/web".into()),
            "{sources:?}"
        );
    }
}

#[test]
fn without_documents_backends_are_as_their_dialect_says() {
    let world = clean(&[&routes(", strategy: p2c")]);
    let picker = |host| backend(&world, host).expect("it is served").calling.picker;
    assert_eq!(picker("gw.test"), PickerKind::RoundRobin);
    assert_eq!(picker("traefik.test"), PickerKind::LeastRequest);
    assert!(world.snapshot.sources.is_empty());
}

#[test]
fn what_traefik_says_itself_yields_and_both_are_told() {
    let settings = ", strategy: hrw, sticky: {cookie: {name: at}}";
    let world = world(&[
        &routes(settings),
        &rule("shop", "trafficPolicy: {loadBalancer: {simple: RANDOM}}"),
    ]);
    let traefik = backend(&world, "traefik.test").expect("it is served");
    assert_eq!(traefik.calling.picker, PickerKind::Random);
    // Of sessions Istio has said nothing.
    assert!(traefik.calling.sticky.is_some());
    assert_reported(&world, "`trafficPolicy.loadBalancer` of DestinationRule shop/web (a.yaml:");
    assert_reported(&world, "it holds instead of `strategy` of IngressRoute shop/r (a.yaml:");
}

#[test]
fn kubernetes_yields_to_traefik_and_linkerd_to_istio() {
    let service = SERVICE
        .replace("namespace: shop}\nspec: {ports", "namespace: shop, annotations: {balancer.linkerd.io/failure-accrual: consecutive}}\nspec: {sessionAffinity: ClientIP, ports");
    let set = |more: &str, settings: &str| {
        let text = format!("{service}{}{more}", routes(settings));
        compile(&load(&[("a.yaml", text)]), &options(), None)
    };
    // Linkerd's way to choose goes with its accrual.
    let linkerd = backend(&set("", ", strategy: p2c"), "traefik.test").expect("it is served");
    assert_eq!(linkerd.calling.picker, PickerKind::PeakEwma);
    let consecutive = |backend: &Backend| backend.calling.outlier.and_then(|it| it.consecutive);
    assert_eq!(consecutive(&linkerd), Some(7));
    let policy = "trafficPolicy: {outlierDetection: {consecutive5xxErrors: 3}}";
    let istio = set(&rule("shop", policy), "");
    let istio = backend(&istio, "traefik.test").expect("it is served");
    assert_eq!(consecutive(&istio), Some(3));
    assert_eq!(istio.calling.picker, PickerKind::LeastRequest);
}

#[test]
fn policies_of_gateway_api_and_of_our_own_hold_for_every_dialect() {
    let policies = "apiVersion: gateway.networking.x-k8s.io/v1alpha1
kind: XBackendTrafficPolicy
metadata: {name: budget, namespace: shop}
spec:
  targetRefs: [{group: '', kind: Service, name: web}]
  retryConstraint: {budget: {percent: 33, interval: 7s}, minRetryRate: {count: 4, interval: 2s}}
---
apiVersion: weftway.io/v1alpha1
kind: TrafficPolicy
metadata: {name: more, namespace: shop}
spec:
  targetRefs: [{group: '', kind: Service, name: web, port: 80}]
  hedging: {percentile: 90}
---
";
    let world = clean(&[&routes(""), policies]);
    for host in HOSTS {
        let calling = &backend(&world, host).expect("it is served").calling;
        let Some(BudgetSettings::Recent(budget)) = calling.retry_budget else {
            panic!("{host}: {:?}", calling.retry_budget)
        };
        assert_eq!((budget.ratio, budget.interval), (0.33, Duration::from_secs(7)));
        assert_eq!(calling.hedge.map(|hedge| hedge.quantile), Some(0.9));
    }
}

#[test]
fn rules_of_the_callers_namespace_come_first() {
    let other = routes("").replace("namespace: shop", "namespace: front").replace(
        "backendRefs: [{name: web, port: 80}]",
        "backendRefs: [{name: web, namespace: shop, port: 80}]",
    );
    let other = other.split("---\n").nth(1).expect("the route").replace("gw.test", "front.test");
    let grant = "apiVersion: gateway.networking.k8s.io/v1
kind: ReferenceGrant
metadata: {name: g, namespace: shop}
spec:
  from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: front}]
  to: [{group: '', kind: Service}]
---
";
    let own = routes("")
        .replace("protocol: HTTP}]", "protocol: HTTP, allowedRoutes: {namespaces: {from: All}}}]");
    let world = world(&[
        &own,
        &other.replace("[{name: gw}]", "[{name: gw, namespace: shop}]"),
        "---\n",
        grant,
        &rule("shop", "trafficPolicy: {loadBalancer: {simple: RANDOM}}"),
        &rule("front", "trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}}"),
    ]);
    let found = |host| backend(&world, host).expect("it is served");
    assert_eq!(found("gw.test").calling.picker, PickerKind::Random);
    assert_eq!(found("front.test").calling.picker, PickerKind::RoundRobin);
    assert_eq!(found("front.test").id.as_str(), "shop/web:80+for=front");
}

#[test]
fn tls_begins_at_the_gateway_with_secrets_and_files() {
    let secret = secret("shop", "partner", &["partner.example"]);
    let tls = "trafficPolicy: {tls: {mode: MUTUAL, credentialName: partner, sni: partner.example, \
               subjectAltNames: [partner.example]}}";
    let mutual = clean(&[&routes(""), &secret, &rule("shop", tls)]);
    for host in HOSTS {
        let calling = &backend(&mutual, host).expect("it is served").calling;
        let tls = calling.tls.as_deref().expect("TLS");
        assert_eq!(tls.server_name.as_deref(), Some("partner.example"));
        assert_eq!(&*tls.client.as_ref().expect("a certificate").origin, "secret shop/partner");
        assert_eq!(tls.subject_alt_names.len(), 1);
    }

    // A certificate is shown with MUTUAL alone.
    let tls = "trafficPolicy: {tls: {mode: SIMPLE, caCertificates: /certs/ca.pem, \
               clientCertificate: /certs/cert.pem, privateKey: /certs/key.pem}}";
    let text = format!("{SERVICE}{}{}", routes(""), rule("shop", tls));
    let set = load(&[("a.yaml", text)]);
    assert_eq!(crate::referenced_files(&set), ["/certs/ca.pem".into()]);
    let mut options = options();
    let missing = compile(&set, &options, None);
    assert_reported(&missing, "file `/certs/ca.pem` cannot be read");
    let made = rcgen::generate_simple_self_signed(["ca".to_owned()]).expect("a certificate");
    let pem: Arc<[u8]> = made.cert.pem().into_bytes().into();
    options.files.insert("/certs/ca.pem".into(), Arc::clone(&pem));
    let world = compile(&set, &options, None);
    let calling = &backend(&world, "gw.test").expect("it is served").calling;
    let tls = calling.tls.as_ref().expect("TLS");
    assert_eq!((tls.roots_pem.as_deref(), &tls.client), (Some(&*pem), &None));
    assert_reported(&world, "`clientCertificate` has no effect with SIMPLE");
}

#[test]
fn a_backend_tls_policy_comes_before_a_destination_rule() {
    let policy = "apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: {name: p, namespace: shop}
spec:
  targetRefs: [{group: '', kind: Service, name: web}]
  validation: {hostname: web.example, wellKnownCACertificates: System}
---
";
    let tls = "trafficPolicy: {tls: {mode: DISABLE}}";
    let world = world(&[&routes(""), policy, &rule("shop", tls)]);
    let calling = &backend(&world, "gw.test").expect("it is served").calling;
    let tls = calling.tls.as_deref().expect("TLS");
    assert_eq!(tls.server_name.as_deref(), Some("web.example"));
    assert_reported(&world, "`spec.validation` of BackendTLSPolicy shop/p");
}

#[test]
fn tls_that_a_route_asks_for_is_not_taken_from_it() {
    let tls = "trafficPolicy: {tls: {mode: DISABLE}}";
    let world = world(&[&routes(", scheme: https"), &rule("shop", tls)]);
    let calling = &backend(&world, "traefik.test").expect("it is served").calling;
    assert!(calling.tls.is_some());
    assert_reported(&world, "`scheme` of IngressRoute shop/r");
}

#[test]
fn the_certificates_of_the_mesh_are_not_replaced_by_plain_text() {
    let tls = "trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}";
    let world = world(&[&routes(""), &rule("shop", tls)]);
    for host in HOSTS {
        let refused = backend(&world, host).expect_err("it is refused");
        assert!(refused.starts_with("503: "), "{host}: {refused}");
    }
    assert_reported(&world, "a gateway by itself has no certificate of the mesh");
}

#[test]
fn certificates_that_may_be_revoked_are_not_trusted() {
    let tls = "trafficPolicy: {tls: {mode: SIMPLE, caCrl: /certs/crl.pem}}";
    let world = world(&[&routes(""), &rule("shop", tls)]);
    let refused = backend(&world, "gw.test").expect_err("it is refused");
    assert!(refused.starts_with("503: "), "{refused}");
    assert_reported(&world, "lists of revoked certificates (`caCrl`) are not read");
}

#[test]
fn a_broken_rule_that_asks_for_tls_closes_its_service() {
    let tls = "trafficPolicy: {tls: {mode: SIMPEL}}";
    let world = world(&[&routes(""), &rule("shop", tls)]);
    let refused = backend(&world, "gw.test").expect_err("it is refused");
    assert!(refused.starts_with("503: "), "{refused}");
}

#[test]
fn the_version_of_http_follows_the_rule() {
    for (policy, expected) in [
        ("h2UpgradePolicy: UPGRADE", UpstreamProtocol::Http2),
        ("useClientProtocol: true", UpstreamProtocol::AsClient),
        ("maxRetries: 1", UpstreamProtocol::Auto),
    ] {
        let policy = format!("trafficPolicy: {{connectionPool: {{http: {{{policy}}}}}}}");
        let world = clean(&[&routes(""), &rule("shop", &policy)]);
        assert_eq!(backend(&world, "gw.test").expect("it is served").protocol, expected);
    }
}

#[test]
fn timeout_and_retries_of_a_rule_hold_for_routes_without() {
    let world = world(&[
        &routes(""),
        &rule("shop", "trafficPolicy: {timeout: 2s, retries: {attempts: 3}}"),
    ]);
    for host in HOSTS {
        let route = find(&world, 80, false, &format!("GET {host}/")).expect("there is a route");
        assert_eq!(route.timeouts.request, Some(Duration::from_secs(2)), "{host}");
        assert_eq!(route.timeouts.retry.as_ref().map(|retry| retry.attempts), Some(4), "{host}");
        let sources = route.timeouts.inherited.iter().map(|(_, source)| &*source.setting);
        let sources: Vec<_> = sources.collect();
        assert_eq!(sources, ["trafficPolicy.timeout", "trafficPolicy.retries"], "{host}");
    }
    let own =
        routes("").replace("rules: [{backendRefs", "rules: [{timeouts: {request: 9s}, backendRefs");
    let world = self::world(&[&own, &rule("shop", "trafficPolicy: {timeout: 2s}")]);
    let route = find(&world, 80, false, "GET gw.test/").expect("there is a route");
    assert_eq!(route.timeouts.request, Some(Duration::from_secs(9)));
    assert!(route.timeouts.inherited.is_empty(), "{route:?}");
}

#[test]
fn what_means_nothing_to_a_gateway_is_reported() {
    for (rest, expected) in [
        (
            "trafficPolicy: {loadBalancer: {localityLbSetting: {failover: [{from: a, to: b}]}}}",
            "which has no place of its own",
        ),
        (
            "workloadSelector: {matchLabels: {app: x}}, trafficPolicy: {tls: {mode: DISABLE}}",
            "a gateway by itself has no labels",
        ),
    ] {
        assert_reported(&world(&[&routes(""), &rule("shop", rest)]), expected);
    }
    let unknown = rule("shop", "trafficPolicy: {tls: {mode: DISABLE}}")
        .replace("host: web.shop", "host: nobody.shop");
    assert_reported(&world(&[&unknown]), "no service `nobody.shop.svc.cluster.local` is known");
}
