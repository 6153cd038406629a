use std::time::Duration;

use super::*;
use crate::istio::tests::{clean, read, says};
use crate::kind::Kind;

const DESTINATION_RULE: &str = "DestinationRule";

/// A document whose policy has these fields.
fn policy(fields: &str) -> String {
    format!("{{host: a, trafficPolicy: {{{fields}}}}}")
}

fn rule(spec: &str) -> DestinationRule {
    match clean(DESTINATION_RULE, spec) {
        Kind::DestinationRule(rule) => *rule,
        other => panic!("not a DestinationRule: {other:?}"),
    }
}

/// What is read where something is said as well.
fn warned(spec: &str) -> DestinationRule {
    match read(DESTINATION_RULE, spec) {
        (Some(Kind::DestinationRule(rule)), problems) => {
            assert_ne!(problems, Vec::<String>::new(), "{spec}");
            *rule
        }
        other => panic!("not a DestinationRule: {other:?}"),
    }
}

fn settings(fields: &str) -> UpstreamSettings {
    rule(&policy(fields)).policy.settings
}

fn balancer(fields: &str) -> LoadBalancer {
    settings(&format!("loadBalancer: {{{fields}}}")).load_balancer.unwrap().value
}

fn check(spec: &str, expected: &str) {
    says(DESTINATION_RULE, spec, expected);
}

/// Checks what is said of a policy with these fields.
fn check_policy(fields: &str, expected: &str) {
    check(&policy(fields), expected);
}

fn value<T: Copy>(one: &Option<Spanned<T>>) -> Option<T> {
    one.as_ref().map(|one| one.value)
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn hosts_subsets_and_who_sees_them() {
    let found = rule(
        "{host: A.Example., exportTo: ['*'], subsets: [{name: v1, labels: {version: v1}}, \
         {name: v2, trafficPolicy: {loadBalancer: {simple: RANDOM}}}]}",
    );
    assert_eq!(&*found.host.value, "a.example");
    assert_eq!(*found.subset("v1").unwrap().labels, [("version".into(), "v1".into())]);
    let own = found.subset("v2").unwrap().policy.settings.load_balancer.as_ref().unwrap();
    assert_eq!(own.algorithm.as_ref().map(|one| one.value.clone()), Some(Algorithm::Random));
    assert!(found.subset("v3").is_none() && found.selector.is_none() && !found.is_broken);
    assert!(found.export_to.unwrap().reaches("a", "b"));
    let selected = rule("{host: a, workloadSelector: {matchLabels: {app: web}}, exportTo: ['.']}");
    assert_eq!(*selected.selector.unwrap().value, [("app".into(), "web".into())]);
}

#[test]
fn impossible_rules() {
    check("{}", "the field `host` is required");
    check("{host: ''}", "must not be empty");
    check("{host: a, subsets: [{labels: {}}]}", "the field `name` is required");
    check("{host: a, subsets: [{name: a.b}]}", "`a.b` is not the name of a subset");
    check("{host: a, subsets: [{name: b}, {name: b}]}", "the subset `b` is there already");
    check("{host: a, trafficPolicy: {}}", "a policy needs at least one field [remove it]");
    check(
        "{host: a, workloadSelector: {matchLabels: {a: b}}, exportTo: ['*']}",
        "with `workloadSelector` a rule is for its own namespace alone",
    );
    check_policy("loadbalancer: {}", "did you mean `loadBalancer`?");
}

#[test]
fn simple_balancers() {
    let simple = |word: &str| {
        balancer(&format!("simple: {word}")).algorithm.map(|algorithm| algorithm.value)
    };
    assert_eq!(simple("UNSPECIFIED"), None);
    assert_eq!(simple("ROUND_ROBIN"), Some(Algorithm::RoundRobin));
    assert_eq!(simple("LEAST_REQUEST"), Some(Algorithm::LeastRequest));
    assert_eq!(simple("RANDOM"), Some(Algorithm::Random));
    assert_eq!(simple("PASSTHROUGH"), Some(Algorithm::Passthrough));
    assert_eq!(balancer("").algorithm, None);
    let old = policy("loadBalancer: {simple: LEAST_CONN}");
    let found = warned(&old).policy.settings.load_balancer.unwrap().value.algorithm.unwrap();
    assert_eq!(found.value, Algorithm::LeastRequest);
    check(&old, "`LEAST_CONN` is the old name of `LEAST_REQUEST`");
    check_policy("loadBalancer: {simple: ROUNDROBIN}", "did you mean `ROUND_ROBIN`?");
}

#[test]
fn consistent_hashes() {
    let hash = |fields: &str| {
        let found = balancer(&format!("consistentHash: {{{fields}}}")).algorithm.unwrap().value;
        let Algorithm::ConsistentHash(hash) = found else { panic!("{found:?}") };
        (hash.key.unwrap().value, hash.algorithm)
    };
    let ring = HashAlgorithm::Ring { minimum_size: 1024 };
    assert_eq!(hash("httpHeaderName: X-User"), (HashKey::Header("x-user".into()), ring));
    assert_eq!(hash("useSourceIp: true"), (HashKey::SourceIp, ring));
    let query = HashKey::QueryParameter("User".into());
    assert_eq!(hash("httpQueryParameterName: User, useSourceIp: false"), (query, ring));
    let cookie = |ttl, path: Option<&str>, attributes| {
        let path = path.map(Into::into);
        HashKey::Cookie(HashCookie { name: "user".into(), path, ttl, attributes })
    };
    assert_eq!(hash("httpCookie: {name: user}").0, cookie(None, None, vec![]));
    let attribute =
        |name: &str, value: &str| CookieAttribute { name: name.into(), value: value.into() };
    let full = "httpCookie: {name: user, ttl: 0s, path: /a, attributes: [{name: SameSite, \
                value: Lax}, {name: Secure}]}";
    let attributes = vec![attribute("SameSite", "Lax"), attribute("Secure", "")];
    assert_eq!(hash(full).0, cookie(Some(Duration::ZERO), Some("/a"), attributes));
    let sized = |fields: &str| hash(&format!("useSourceIp: true, {fields}")).1;
    assert_eq!(sized("ringHash: {minimumRingSize: 5}"), HashAlgorithm::Ring { minimum_size: 5 });
    assert_eq!(sized("ringHash: {}"), ring);
    assert_eq!(sized("maglev: {}"), HashAlgorithm::Maglev { table_size: 65_537 });
    assert_eq!(sized("maglev: {tableSize: 251}"), HashAlgorithm::Maglev { table_size: 251 });
}

#[test]
fn odd_consistent_hashes() {
    let hash = |fields: &str| policy(&format!("loadBalancer: {{consistentHash: {{{fields}}}}}"));
    check(&hash("httpHeaderName: a, useSourceIp: true"), "exclude each other [keep one of them]");
    check(&hash(""), "nothing says what has to be alike, so chance decides");
    check(&hash("useSourceIp: false"), "nothing says what has to be alike");
    check(&hash("httpCookie: {}"), "the field `name` is required");
    check(&hash("httpCookie: {name: a, attributes: [{name: b}, {name: b}]}"), "there already");
    check(&hash("useSourceIp: true, maglev: {tableSize: 100}"), "100 is no prime");
    check(&hash("useSourceIp: true, maglev: {tableSize: 5000011}"), "5000011 is out of range");
    check(&hash("useSourceIp: true, maglev: {}, ringHash: {}"), "exclude each other");
    check(
        &hash("useSourceIp: true, minimumRingSize: 2048"),
        "`minimumRingSize` at this place is the old way to size a ring",
    );
    let old = warned(&hash("useSourceIp: true, minimumRingSize: 2048"));
    let found = old.policy.settings.load_balancer.unwrap().value.algorithm.unwrap().value;
    let Algorithm::ConsistentHash(found) = found else { panic!("{found:?}") };
    assert_eq!(found.algorithm, HashAlgorithm::Ring { minimum_size: 2048 });
    check_policy(
        "loadBalancer: {simple: RANDOM, consistentHash: {useSourceIp: true}}",
        "`simple` and `consistentHash` exclude each other",
    );
}

#[test]
fn localities() {
    let locality = |fields: &str| {
        balancer(&format!("localityLbSetting: {{{fields}}}")).locality.unwrap().value
    };
    let found = locality("enabled: false, distribute: [{from: eu/*, to: {eu/a/r1: 70, us: 30}}]");
    assert_eq!(found.enabled, Some(false));
    let [one] = found.distribute.as_slice() else { panic!("{found:?}") };
    assert_eq!(one.from.to_string(), "eu/*");
    assert!(one.from.is_match("eu", "b", "") && !one.from.is_match("us", "b", ""));
    let to: Vec<_> = one.to.iter().map(|(place, share)| (place.to_string(), *share)).collect();
    assert_eq!(to, [("eu/a/r1".to_owned(), 70), ("us/*".to_owned(), 30)]);
    let failover = locality("failover: [{from: eu, to: us}], failoverPriority: [a, b=c]");
    let pair = &failover.failover[0];
    assert_eq!((&*pair.from, &*pair.to), ("eu", "us"));
    let labels: Vec<_> =
        failover.failover_priority.iter().map(|one| (&*one.name, one.value.as_deref())).collect();
    assert_eq!(labels, [("a", None), ("b", Some("c"))]);
    let zones = balancer("zoneAwareLbSetting: {enabled: true}").zone_aware.unwrap().value;
    assert_eq!((zones.enabled, zones.min_cluster_size), (Some(true), 6));
}

#[test]
fn impossible_localities() {
    let check = |fields: &str, expected: &str| {
        check_policy(&format!("loadBalancer: {{localityLbSetting: {{{fields}}}}}"), expected);
    };
    check("distribute: [{from: a, to: {b: 50}}]", "the shares add up to 50 instead of 100");
    check("distribute: [{from: a, to: {b: 0, c: 100}}]", "0 is out of range");
    check("distribute: [{to: {b: 100}}]", "the field `from` is required");
    check("distribute: [{from: a//b, to: {b: 100}}]", "`a//b` is not a place");
    check("distribute: [{from: '*/a', to: {b: 100}}]", "`*/a` is not a place");
    check(
        "distribute: [{from: a, to: {b/*: 50, b/c: 50}}]",
        "`b/c/*` and `b/*` have places in common",
    );
    check(
        "distribute: [{from: a, to: {b: 100}}, {from: '*', to: {b: 100}}]",
        "`*` and `a/*` have places in common",
    );
    check(
        "distribute: [{from: a, to: {b: 100}}], failover: [{from: a, to: b}]",
        "`distribute` and `failover` exclude each other",
    );
    check("failover: [{from: a, to: a}]", "`a` cannot take its own place");
    check("failover: [{from: a/b, to: c}]", "`a/b` is not the name of a region");
    check(
        "failover: [{from: a, to: b}], failoverPriority: [topology.kubernetes.io/zone]",
        "`failover` and the label `topology.kubernetes.io/zone` exclude each other",
    );
    check_policy(
        "loadBalancer: {localityLbSetting: {}, zoneAwareLbSetting: {}}",
        "`localityLbSetting` and `zoneAwareLbSetting` exclude each other",
    );
    check_policy(
        "loadBalancer: {zoneAwareLbSetting: {failoverPriority: [topology.kubernetes.io/region]}}",
        "plays its role without being named",
    );
}

#[test]
fn warmups() {
    let warmup = |fields: &str| balancer(&format!("warmup: {{{fields}}}")).warmup.unwrap().value;
    let default = warmup("duration: 1s");
    assert_eq!((default.duration, default.minimum_percent.value(), default.aggression), {
        (SECOND, 10.0, 1.0)
    });
    let full = warmup("duration: 1s, minimumPercent: 5, aggression: 0.5");
    assert_eq!((full.minimum_percent.value(), full.aggression), (5.0, 0.5));
    let old = warned(&policy("loadBalancer: {warmupDurationSecs: 1s}"));
    let old = old.policy.settings.load_balancer.unwrap().value.warmup.unwrap().value;
    assert_eq!(old, default);
    let both = "loadBalancer: {warmupDurationSecs: 9s, warmup: {duration: 1s}}";
    check_policy(both, "`warmupDurationSecs` has no effect beside `warmup`");
    let newer = warned(&policy(both)).policy.settings.load_balancer.unwrap().value.warmup;
    assert_eq!(newer.unwrap().value, default);
    check_policy("loadBalancer: {warmup: {}}", "the field `duration` is required");
    check_policy("loadBalancer: {warmup: {duration: 1s, aggression: 0}}", "must be above 0");
    check_policy("loadBalancer: {warmup: {duration: 1s, minimumPercent: 101}}", "out of range");
}

#[test]
fn connection_pools() {
    let found = settings(
        "connectionPool: {tcp: {maxConnections: 1, connectTimeout: 30ms, maxConnectionDuration: \
         2s, idleTimeout: 0s, tcpKeepalive: {probes: 3, time: 7200s, interval: 75s}}, \
         http: {http1MaxPendingRequests: 2, http2MaxRequests: 3, maxRequestsPerConnection: 4, \
         maxRetries: 5, idleTimeout: 6s, h2UpgradePolicy: UPGRADE, useClientProtocol: false, \
         maxConcurrentStreams: 7, http2KeepAlive: {interval: 8s, timeout: 9s}}}",
    );
    let pool = found.connection_pool.unwrap().value;
    let (tcp, http) = (pool.tcp.unwrap().value, pool.http.unwrap().value);
    assert_eq!(value(&tcp.max_connections), Some(1));
    assert_eq!(value(&tcp.connect_timeout), Some(Duration::from_millis(30)));
    assert_eq!(value(&tcp.max_connection_duration), Some(2 * SECOND));
    assert_eq!(value(&tcp.idle_timeout), Some(Duration::ZERO));
    let keepalive = tcp.keepalive.unwrap().value;
    let expected =
        TcpKeepalive { probes: Some(3), time: Some(7200 * SECOND), interval: Some(75 * SECOND) };
    assert_eq!(keepalive, expected);
    assert_eq!(value(&http.max_pending_requests), Some(2));
    assert_eq!(value(&http.max_requests), Some(3));
    assert_eq!(value(&http.max_requests_per_connection), Some(4));
    assert_eq!(value(&http.max_retries), Some(5));
    assert_eq!(value(&http.idle_timeout), Some(6 * SECOND));
    assert_eq!(value(&http.h2_upgrade), Some(H2Upgrade::Always));
    assert_eq!(value(&http.uses_client_protocol), Some(false));
    assert_eq!(value(&http.max_concurrent_streams), Some(7));
    let keepalive = Http2Keepalive { interval: 8 * SECOND, timeout: 9 * SECOND };
    assert_eq!(value(&http.http2_keepalive), Some(keepalive));
}

#[test]
fn odd_connection_pools() {
    let check = |fields: &str, expected: &str| {
        check_policy(&format!("connectionPool: {{{fields}}}"), expected);
    };
    check("", "a connection pool needs `tcp` or `http`");
    check("http: {maxRetries: 0}", "`maxRetries: 0` is no bound in Istio, nor is it here");
    check("tcp: {maxConnections: -1}", "-1 is out of range");
    check("tcp: {maxConnections: '100'}", "write 100 without quotes");
    check("tcp: {connectTimeout: 0s}", "the duration is shorter than 1ms");
    check("http: {http2KeepAlive: {interval: 1s}}", "the field `timeout` is required");
    check(
        "http: {h2UpgradePolicy: UPGRADE, useClientProtocol: true}",
        "`h2UpgradePolicy: UPGRADE` and `useClientProtocol` exclude each other",
    );
    let none = settings("connectionPool: {http: {maxRequestsPerConnection: 0}}");
    let http = none.connection_pool.unwrap().value.http.unwrap().value;
    assert_eq!(http, HttpPool::default());
}

#[test]
fn outliers() {
    let outliers = |fields: &str| {
        settings(&format!("outlierDetection: {{{fields}}}")).outlier_detection.unwrap().value
    };
    let found = outliers(
        "consecutive5xxErrors: 0, consecutiveGatewayErrors: 2, consecutiveLocalOriginFailures: 3, \
         splitExternalLocalOriginErrors: true, interval: 4s, baseEjectionTime: 5m, \
         maxEjectionPercent: 100, minHealthPercent: 6, outlierDetectionHttpErrorCodes: [500, 429]",
    );
    assert_eq!(value(&found.consecutive_5xx_errors), Some(0));
    assert_eq!(value(&found.consecutive_gateway_errors), Some(2));
    assert_eq!(value(&found.consecutive_local_failures), Some(3));
    assert_eq!(value(&found.splits_local_errors), Some(true));
    assert_eq!(value(&found.interval), Some(4 * SECOND));
    assert_eq!(value(&found.base_ejection_time), Some(300 * SECOND));
    assert_eq!(value(&found.max_ejection_percent), Some(100));
    assert_eq!(value(&found.min_health_percent), Some(6));
    let codes: Vec<u16> = found.http_error_codes.iter().map(|code| code.value).collect();
    assert_eq!(codes, [500, 429]);
    assert_eq!(outliers(""), OutlierDetection::default());
    assert_eq!(outliers("maxEjectionPercent: 0"), OutlierDetection::default());
    let old = |fields: &str| {
        let found = warned(&policy(&format!("outlierDetection: {{{fields}}}")));
        let found = found.policy.settings.outlier_detection.unwrap().value;
        value(&found.consecutive_gateway_errors)
    };
    assert_eq!(old("consecutiveErrors: 7"), Some(7));
    assert_eq!(old("consecutiveErrors: 7, consecutiveGatewayErrors: 2"), Some(2));
    let check = |fields: &str, expected: &str| {
        check_policy(&format!("outlierDetection: {{{fields}}}"), expected);
    };
    check("consecutiveErrors: 7", "is the old name of `consecutiveGatewayErrors`");
    check("consecutiveLocalOriginFailures: 3", "write splitExternalLocalOriginErrors: true");
    check("maxEjectionPercent: 101", "101 is out of range");
    check("outlierDetectionHttpErrorCodes: [600]", "600 is out of range");
    check("interval: 5", "`5` is not a duration [write 5s]");
    check("consecutive5XXErrors: 1", "did you mean `consecutive5xxErrors`?");
}

#[test]
fn tls_towards_the_host() {
    let tls = |fields: &str| settings(&format!("tls: {{{fields}}}")).tls.unwrap().value;
    let modes = [
        ("DISABLE", ClientTlsMode::Disable),
        ("SIMPLE", ClientTlsMode::Simple),
        ("ISTIO_MUTUAL", ClientTlsMode::IstioMutual),
    ];
    for (word, mode) in modes {
        assert_eq!(*tls(&format!("mode: {word}")).mode, mode);
    }
    let found =
        tls("mode: MUTUAL, clientCertificate: c.pem, privateKey: k.pem, caCertificates: ca.pem, \
         caCrl: crl.pem, subjectAltNames: [a.example], sni: b.example, insecureSkipVerify: false");
    let texts = [
        found.client_certificate,
        found.private_key,
        found.ca_certificates,
        found.ca_crl,
        found.sni,
    ];
    let texts = texts.map(|text| text.unwrap().value.to_string());
    assert_eq!(texts, ["c.pem", "k.pem", "ca.pem", "crl.pem", "b.example"]);
    assert_eq!(&*found.subject_alt_names[0].value, "a.example");
    assert_eq!(value(&found.insecure_skip_verify), Some(false));
    let secret = tls("mode: MUTUAL, credentialName: c").credential_name.unwrap();
    assert_eq!(&*secret.value, "c");
}

#[test]
fn odd_tls() {
    let check = |fields: &str, expected: &str| {
        check_policy(&format!("tls: {{{fields}}}"), expected);
    };
    check("sni: a", "without `mode` connections are not encrypted");
    check("mode: MUTUAL", "MUTUAL needs `clientCertificate`");
    check("mode: MUTUAL, clientCertificate: a", "MUTUAL needs `privateKey`");
    check("mode: SIMPLE, credentialName: a, caCertificates: b", "exclude each other");
    check("mode: SIMPLE, insecureSkipVerify: true, sni: a, subjectAltNames: [b]", "excludes");
    check("mode: SIMPLE, clientCertificate: a", "`clientCertificate` has no effect with SIMPLE");
    check("mode: ISTIO_MUTUAL, privateKey: a", "`privateKey` has no effect with ISTIO_MUTUAL");
    check("mode: DISABLE, credentialName: a", "`credentialName` has no effect with DISABLE");
    check("mode: ISTIO_MUTUAL, caCertificates: a", "`caCertificates` has no effect");
    check("mode: ISTIO_MUTUAL, caCrl: a", "`caCrl` has no effect");
    check("mode: STRICT", "use one of DISABLE, SIMPLE, MUTUAL, ISTIO_MUTUAL");
}

#[test]
fn what_asks_for_tls_stays_when_it_is_broken() {
    let broken = |spec: &str| {
        let (body, problems) = read(DESTINATION_RULE, spec);
        assert!(problems.iter().any(|problem| problem.starts_with("error")), "{spec}");
        body.is_some_and(|body| body.is_broken())
    };
    assert!(broken("{host: a, trafficPolicy: {tls: {mode: SIMPLE}, x: 1}}"));
    assert!(broken("{host: a, trafficPolicy: {tls: {mode: STRICT}}}"));
    assert!(broken("{host: a, trafficPolicy: {tls: yes}}"));
    assert!(broken("{host: a, subsets: [{name: b, trafficPolicy: {tls: {mode: MUTUAL}}}]}"));
    let port = "portLevelSettings: [{port: {number: 1}, tls: {mode: SIMPLE}}]";
    assert!(broken(&format!("{{host: a, x: 1, trafficPolicy: {{{port}}}}}")));
    assert!(!broken("{host: a, trafficPolicy: {tls: {mode: DISABLE}, x: 1}}"));
    assert!(!broken("{host: a, x: 1}"));
}

#[test]
fn single_ports() {
    let found = rule(&policy(
        "portLevelSettings: [{port: {number: 80}, loadBalancer: {simple: RANDOM}}, \
         {port: {number: 81}, tls: {mode: SIMPLE}}]",
    ));
    let balancer = &found.policy.port(80).unwrap().settings.load_balancer;
    assert!(balancer.is_some() && found.policy.port(82).is_none());
    assert!(found.asks_for_tls());
    let check = |fields: &str, expected: &str| {
        check_policy(&format!("portLevelSettings: [{fields}]"), expected);
    };
    let simple = "loadBalancer: {simple: RANDOM}";
    check(&format!("{{{simple}}}"), "the field `port` is required");
    check(&format!("{{port: {{number: 80}}, timeout: 1s, {simple}}}"), "is for no single port");
    check("{port: {number: 80}}", "a policy for a port needs at least one field");
    check(&format!("{{port: {{name: http}}, {simple}}}"), "ports are not found by name here");
    check(&format!("{{port: 80, {simple}}}"), "[write {number: 80}]");
    let twice = format!("{{port: {{number: 80}}, {simple}}}");
    check(&format!("{twice}, {twice}"), "port 80 is there already");
}

#[test]
fn tunnels_headers_and_budgets() {
    let found = rule(&policy("tunnel: {targetHost: B.example, targetPort: 443}")).policy;
    let tunnel = found.tunnel.unwrap().value;
    assert_eq!((&*tunnel.target_host.value, tunnel.target_port), ("b.example", 443));
    assert!(!tunnel.uses_post);
    let version = |fields: &str| value(&rule(&policy(fields)).policy.proxy_protocol);
    assert_eq!(version("proxyProtocol: {}"), Some(ProxyProtocol::V1));
    assert_eq!(version("proxyProtocol: {version: V2}"), Some(ProxyProtocol::V2));
    let budget = |fields: &str| {
        value(&rule(&policy(&format!("retryBudget: {{{fields}}}"))).policy.retry_budget).unwrap()
    };
    let shown = |one: RetryBudget| (one.percent.value(), one.min_concurrency, one.interval);
    assert_eq!(shown(budget("")), (20.0, 3, Duration::ZERO));
    let full = "percent: 0, minRetryConcurrency: 0, budgetInterval: 10s";
    assert_eq!(shown(budget(full)), (0.0, 0, 10 * SECOND));
    check_policy("tunnel: {targetHost: a, targetPort: 1, protocol: GET}", "is not a value");
    check_policy("tunnel: {}", "the field `targetHost` is required");
    check_policy("tunnel: {targetHost: a, targetPort: 1}, proxyProtocol: {}", "exclude each other");
    check_policy("retryBudget: {percent: 101}", "101 is out of range");
}

/// The sample of a document in `seeds` (S0), with its indentation restored.
#[test]
fn a_timeout_and_retries_in_a_policy_are_honoured_with_a_warning() {
    let spec = "\n  host: greeter\n  trafficPolicy:\n    connectionPool:\n      tcp:\n        \
                maxConnections: 100\n    outlierDetection:\n      consecutive5xxErrors: 1\n      \
                interval: 5s\n    timeout: 5s\n    retry:\n      attempts: 2\n      \
                perTryTimeout: 2s";
    let found = warned(spec).policy;
    assert_eq!(value(&found.timeout), Some(5 * SECOND));
    let retries = found.retries.unwrap();
    assert_eq!(retries.attempts, 2);
    assert_eq!(value(&retries.per_try_timeout), Some(2 * SECOND));
    check(
        spec,
        "warning: spec.trafficPolicy.timeout: `timeout` is honoured here, but Istio has no such \
         field in a DestinationRule and drops it [write it as `http[].timeout` of a VirtualService",
    );
    check(spec, "warning: spec.trafficPolicy.retry: `retry` is honoured here");
    check(spec, "[write it as `http[].retries` of a VirtualService for this host]");
    check_policy("retries: {attempts: 1}", "`retries` is honoured here");
    check_policy(
        "retries: {attempts: 1}, retry: {attempts: 2}",
        "`retries` and `retry` exclude each other [keep `retries`]",
    );
}

#[test]
fn options_of_envoy_are_named_as_such() {
    let places = [
        "{host: a, http2ProtocolOptions: {}}".to_owned(),
        policy("http2ProtocolOptions: {}"),
        policy("connectionPool: {tcp: {}, http2ProtocolOptions: {}}"),
        policy("connectionPool: {http: {http2ProtocolOptions: {}}}"),
        policy("portLevelSettings: [{port: {number: 1}, http2ProtocolOptions: }]"),
    ];
    for spec in places {
        check(&spec, "`http2ProtocolOptions` is a field of Envoy's clusters, and none of Istio's");
        check(&spec, "connectionPool.http.h2UpgradePolicy: UPGRADE");
    }
}
