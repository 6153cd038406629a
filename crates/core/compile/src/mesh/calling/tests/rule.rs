//! Every field of a DestinationRule has its place among the settings.

use std::time::Duration;

use weft_model::backend::{SubjectAltName, TlsFiles, UpstreamTls};
use weft_model::calling::{Distribute, HttpUpgrade, Locality, ProxyVersion, Tunnel};
use weft_model::route::Cookie;
use weft_resilience::settings::{
    ActiveBudget, EjectionSettings, MaglevSettings, RingHashSettings, SlowStartSettings, StatusSet,
};

use super::*;
use crate::mesh::tests::{bounded, every_bound};

/// What a part of a policy makes, which is the same wherever it stands: for the host, one of its
/// ports, a subset, and a port of a subset.
fn settings(part: &str) -> Calling {
    let ports = format!("portLevelSettings: [{{port: {{number: 8080}}, {part}}}]");
    let subset = |policy: &str| {
        format!("subsets: [{{name: v1, labels: {{version: v1}}, trafficPolicy: {{{policy}}}}}]")
    };
    let places = [
        (format!("trafficPolicy: {{{part}}}"), None),
        (format!("trafficPolicy: {{{ports}}}"), None),
        (subset(part), Some("v1")),
        (subset(&ports), Some("v1")),
    ];
    let found = places.map(|(spec, subset)| of_rule(&spec, subset));
    for other in &found {
        assert_eq!(*other, found[0], "{part}");
    }
    Calling::clone(&found[0])
}

/// What a rule makes of port 8080.
fn of_rule(spec: &str, subset: Option<&str>) -> Arc<Calling> {
    let world = with_secret(&format!("{{host: payments, {spec}}}"));
    let traffic = traffic_of(&world);
    let found = calling(&traffic, "default", 8080, subset);
    Arc::clone(&found.unwrap_or_else(|| panic!("{spec}: {:?}", problems(&world))).calling)
}

/// The world of a rule beside the Secret `own`, which holds an authority.
fn with_secret(spec: &str) -> crate::mesh::MeshWorld {
    let secret = secret("own", "ca.crt", authority());
    world(&[secret, rule("name: payments", spec)].concat(), &payments())
}

#[test]
fn every_bound_of_a_pool_has_its_place() {
    let found = settings(&format!("connectionPool: {}", every_bound("")));
    let (limits, pool) = bounded();
    assert_eq!(found.limits, limits);
    assert_eq!(found.pool, pool);
}

#[test]
fn the_version_of_http_is_that_of_the_pool() {
    for (http, expected) in [
        ("h2UpgradePolicy: UPGRADE", HttpUpgrade::Http2),
        ("h2UpgradePolicy: DO_NOT_UPGRADE", HttpUpgrade::Never),
        ("useClientProtocol: true", HttpUpgrade::AsClient),
        ("maxRetries: 1", HttpUpgrade::Default),
    ] {
        let found = settings(&format!("connectionPool: {{http: {{{http}}}}}"));
        assert_eq!(found.upgrade, expected, "{http}");
    }
}

#[test]
fn every_number_of_outlier_detection_has_its_place() {
    let outlier = |text: &str| settings(&format!("outlierDetection: {{{text}}}")).outlier.unwrap();
    let ejection = EjectionSettings {
        base: Duration::from_secs(400),
        max: Duration::from_secs(400),
        forgiven_after: Duration::from_secs(6),
        ..OutlierSettings::ISTIO.ejection
    };
    let expected = OutlierSettings {
        consecutive: Some(2),
        consecutive_gateway: Some(3),
        consecutive_local: Some(4),
        split_local: true,
        errors: [500, 429].into_iter().collect::<StatusSet>(),
        ejection,
        ejected_ratio_max: 0.4,
        usable_ratio_min: 0.3,
        ..OutlierSettings::ISTIO
    };
    let found = outlier(
        "consecutive5xxErrors: 2, consecutiveGatewayErrors: 3, consecutiveLocalOriginFailures: 4, \
         splitExternalLocalOriginErrors: true, interval: 6s, baseEjectionTime: 400s, \
         maxEjectionPercent: 40, minHealthPercent: 30, outlierDetectionHttpErrorCodes: [500, 429]",
    );
    assert_eq!(found, expected);
    assert_eq!(outlier("consecutiveErrors: 7").consecutive_gateway, Some(7), "the old name");
    assert_eq!(outlier("consecutive5xxErrors: 0").consecutive, None);
    let split = outlier("splitExternalLocalOriginErrors: true");
    assert_eq!((split.consecutive_local, split.split_local), (Some(5), true));
    assert_eq!(outlier(""), OutlierSettings::ISTIO);
}

#[test]
fn every_way_to_choose_an_endpoint_has_its_picker() {
    let ring =
        |size_min| PickerKind::RingHash(RingHashSettings { size_min, ..RingHashSettings::DEFAULT });
    let maglev = PickerKind::Maglev(MaglevSettings { size: 101, ..MaglevSettings::DEFAULT });
    let address = HashKey::ClientAddr;
    let query = HashKey::Query("user".into());
    let header = HashKey::Header(weft_message::FieldName::new("x-user").unwrap());
    for (text, picker, key) in [
        ("simple: ROUND_ROBIN", PickerKind::RoundRobin, &address),
        ("simple: LEAST_REQUEST", PickerKind::LeastRequest, &address),
        ("simple: RANDOM", PickerKind::Random, &address),
        ("consistentHash: {useSourceIp: true}", ring(1024), &address),
        ("consistentHash: {httpQueryParameterName: user}", ring(1024), &query),
        ("consistentHash: {httpHeaderName: x-user}", ring(1024), &header),
        ("consistentHash: {useSourceIp: true, ringHash: {minimumRingSize: 9}}", ring(9), &address),
        ("consistentHash: {useSourceIp: true, minimumRingSize: 7}", ring(7), &address),
        ("consistentHash: {useSourceIp: true, maglev: {tableSize: 101}}", maglev, &address),
    ] {
        let found = settings(&format!("loadBalancer: {{{text}}}"));
        assert_eq!((found.picker, &found.key, found.as_dialled), (picker, key, false), "{text}");
    }
    assert!(settings("loadBalancer: {simple: PASSTHROUGH}").as_dialled);
}

#[test]
fn a_cookie_that_is_hashed_is_given_as_written() {
    let cookie = |text: &str| {
        let text = format!("loadBalancer: {{consistentHash: {{httpCookie: {{{text}}}}}}}");
        let HashKey::Cookie(cookie) = settings(&text).key else { panic!("{text} is a cookie") };
        cookie
    };
    let found = cookie(
        "name: user, path: /app, ttl: 60s, attributes: [{name: SameSite, value: Strict}, \
          {name: Secure, value: ''}, {name: domain, value: shop.example}]",
    );
    let expected = Cookie {
        name: "user".into(),
        path: "/app".into(),
        domain: "shop.example".into(),
        http_only: true,
        secure: true,
        same_site: "Strict".into(),
        max_age_secs: 60,
    };
    assert_eq!(found, expected);
    assert_eq!(cookie("name: user, ttl: 0s").max_age_secs, 0);
}

#[test]
fn a_new_endpoint_warms_up_as_written() {
    let of = |text: &str| settings(&format!("loadBalancer: {{{text}}}")).slow_start;
    let window = Duration::from_secs(30);
    let expected = SlowStartSettings { window, ratio_min: 0.2, aggression: 2.0 };
    assert_eq!(of("warmup: {duration: 30s, minimumPercent: 20, aggression: 2.0}"), expected);
    assert_eq!(of("warmup: {duration: 30s}"), SlowStartSettings::linear(window));
    assert_eq!(of("warmupDurationSecs: 30s"), SlowStartSettings::linear(window));
}

#[test]
fn places_come_in_the_order_that_is_written() {
    let of = |text: &str| {
        let locality = settings(&format!("loadBalancer: {{{text}}}")).locality;
        locality.map(|locality| Locality::clone(&locality))
    };
    let near = Locality { order: LocalityOrder::Place, ..Locality::default() };
    assert_eq!(of(""), Some(near.clone()));
    assert_eq!(of("localityLbSetting: {enabled: false}"), None);
    assert_eq!(of("zoneAwareLbSetting: {enabled: false}"), None);
    let to = vec![("eu/west/*".into(), 80), ("eu/east/*".into(), 20)];
    let distribute = vec![Distribute { from: "eu/west/*".into(), to }];
    assert_eq!(
        of("localityLbSetting: {enabled: true, \
            distribute: [{from: eu/west/*, to: {eu/west/*: 80, eu/east/*: 20}}]}"),
        Some(Locality { distribute, ..near.clone() })
    );
    for (setting, zones_from) in [("localityLbSetting", 0), ("zoneAwareLbSetting", 6)] {
        let failover = vec![("eu".into(), "us".into())];
        assert_eq!(
            of(&format!("{setting}: {{failover: [{{from: eu, to: us}}]}}")),
            Some(Locality { failover, zones_from, ..near.clone() })
        );
        let order = LocalityOrder::Labels(vec!["version".into(), "app=web".into()]);
        assert_eq!(
            of(&format!("{setting}: {{failoverPriority: [version, app=web]}}")),
            Some(Locality { order, zones_from, ..near.clone() })
        );
    }
    let few = of("zoneAwareLbSetting: {enabled: true, minClusterSize: 3}");
    assert_eq!(few, Some(Locality { zones_from: 3, ..near }));
}

#[test]
fn every_part_of_tls_has_its_place() {
    let of = |text: &str| {
        let tls = settings(&format!("tls: {{{text}}}")).tls;
        UpstreamTls::clone(&tls.expect("it asks for TLS"))
    };
    assert_eq!(of("mode: SIMPLE"), UpstreamTls::default());
    let roots = Some(Arc::from(authority().as_bytes()));
    let named = UpstreamTls {
        server_name: Some("pay.example".into()),
        roots_pem: roots,
        subject_alt_names: vec![
            SubjectAltName::Dns("pay.example".into()),
            SubjectAltName::Uri("spiffe://a/b".into()),
        ],
        ..UpstreamTls::default()
    };
    let text = "mode: SIMPLE, sni: pay.example, credentialName: own, \
                subjectAltNames: [pay.example, 'spiffe://a/b']";
    assert_eq!(of(text), named);
    assert!(of("mode: SIMPLE, insecureSkipVerify: true").insecure_skip_verify);
    assert_eq!(of("mode: SIMPLE, caCertificates: system"), UpstreamTls::default());
    let client = Some(("/client.pem".into(), "/client.key".into()));
    let pair = "clientCertificate: /client.pem, privateKey: /client.key";
    for (text, roots, client) in [
        ("mode: SIMPLE, caCertificates: /ca.pem", Some("/ca.pem"), None),
        (&format!("mode: MUTUAL, {pair}"), None, client.clone()),
        (&format!("mode: MUTUAL, caCertificates: /ca.pem, {pair}"), Some("/ca.pem"), client),
    ] {
        let files = Some(Arc::new(TlsFiles { roots: roots.map(Into::into), client }));
        assert_eq!(of(text), UpstreamTls { files, ..UpstreamTls::default() }, "{text}");
    }
    let nobody = UpstreamTls { roots_pem: Some(Arc::new([])), ..UpstreamTls::default() };
    for files in [
        "mode: SIMPLE, caCertificates: ca.pem",
        "mode: SIMPLE, caCertificates: system, caCrl: /crl.pem",
        "mode: MUTUAL, clientCertificate: /client.pem, privateKey: client.key",
        "mode: MUTUAL, credentialName: own",
    ] {
        let spec = format!("{{host: payments, trafficPolicy: {{tls: {{{files}}}}}}}");
        assert_eq!(of(files), nobody, "{files}");
        let told = problems(&with_secret(&spec)).join("\n");
        assert!(told.contains("nothing is called, rather than unprotected"), "{files}: {told}");
    }
}

#[test]
fn authorities_of_a_rule_are_found_as_a_gateway_finds_them() {
    let spec = "{host: payments, trafficPolicy: {tls: {mode: SIMPLE, credentialName: own}}}";
    let check = |secrets: &[String], told: Option<&str>| {
        let text = [secrets.concat(), rule("name: payments", spec)].concat();
        let world = world(&text, &payments());
        let traffic = traffic_of(&world);
        let found = &calling(&traffic, "default", 8080, None).expect("there is a rule").calling;
        let roots = found.tls.as_ref().and_then(|tls| tls.roots_pem.as_deref());
        // Nobody is trusted where it is not known who may be.
        assert_eq!(roots, Some(told.map_or(authority(), |_| "").as_bytes()), "{secrets:?}");
        let problems = problems(&world).join("\n");
        assert!(problems.contains(told.unwrap_or_default()), "{problems}");
        assert_eq!(problems.is_empty(), told.is_none(), "{problems}");
    };
    let own = |key: &str, value: &str| secret("own", key, value);
    check(&[own("ca.crt", authority())], None);
    check(&[own("cacert", authority())], None);
    check(&[secret("own-cacert", "ca.crt", authority())], None);
    check(&[own("other", "none"), secret("own-cacert", "cacert", authority())], None);
    check(&[], Some("secret `default/own` is not found"));
    check(&[own("other", "none")], Some("secret `default/own` has no `ca.crt`"));
    check(&[own("ca.crt", "none")], Some("secret default/own has no valid certificate"));
}

#[test]
fn connections_are_wrapped_and_retries_bounded_as_written() {
    let of = |part: &str| {
        let host = of_rule(&format!("trafficPolicy: {{{part}}}"), None);
        let subset =
            format!("subsets: [{{name: v1, labels: {{version: v1}}, trafficPolicy: {{{part}}}}}]");
        assert_eq!(of_rule(&subset, Some("v1")), host, "{part}");
        host
    };
    for (protocol, post) in [("CONNECT", false), ("POST", true)] {
        let text = format!(
            "tunnel: {{protocol: {protocol}, targetHost: far.example.com, targetPort: 8443}}"
        );
        let expected = Tunnel { post, host: "far.example.com".into(), port: 8443 };
        assert_eq!(of(&text).tunnel, Some(expected));
    }
    for (version, expected) in [("V1", ProxyVersion::V1), ("V2", ProxyVersion::V2)] {
        let text = format!("proxyProtocol: {{version: {version}}}");
        assert_eq!(of(&text).proxy_protocol, Some(expected));
    }
    let budget = of("retryBudget: {percent: 30, minRetryConcurrency: 5, budgetInterval: 10s}");
    let expected = ActiveBudget { ratio: 0.3, retries_min: 5, interval: Duration::from_secs(10) };
    assert_eq!(budget.retry_budget, Some(BudgetSettings::Active(expected)));
}

#[test]
fn mesh_config_says_what_rules_leave_open() {
    let config = |text: &str| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: istio, namespace: istio-system}}\n\
             data: {{mesh: '{text}'}}\n"
        )
    };
    let locality = |text: &str, spec: &str| {
        let config = config(&format!("localityLbSetting: {text}"));
        let rule = rule("name: payments", &format!("{{host: payments, {spec}}}"));
        let traffic = traffic_of(&world(&[config, rule].join("---\n"), &payments()));
        let found = &calling(&traffic, "default", 8080, None).expect("there is a rule").calling;
        found.locality.as_ref().map(|locality| Locality::clone(locality))
    };
    let open = "trafficPolicy: {loadBalancer: {simple: RANDOM}}";
    let near = Locality { order: LocalityOrder::Place, ..Locality::default() };
    assert_eq!(locality("{enabled: false}", open), None);
    assert_eq!(locality("{enabled: true}", open), Some(near.clone()));
    let to = vec![("us/*".into(), 100)];
    let distribute = vec![Distribute { from: "eu/west/*".into(), to }];
    assert_eq!(
        locality("{distribute: [{from: eu/west/*, to: {us: 100}}]}", open),
        Some(Locality { distribute, ..near.clone() })
    );
    let failover = vec![("eu".into(), "us".into())];
    let expected = Locality { failover, ..near.clone() };
    assert_eq!(locality("{failover: [{from: eu, to: us}]}", open), Some(expected.clone()));
    let order = LocalityOrder::Labels(vec!["version".into()]);
    assert_eq!(locality("{failoverPriority: [version]}", open), Some(Locality { order, ..near }));
    // What a rule says itself holds.
    let own =
        "trafficPolicy: {loadBalancer: {localityLbSetting: {failover: [{from: eu, to: us}]}}}";
    assert_eq!(locality("{enabled: false}", own), Some(expected));
    let rule = rule("name: payments", &format!("{{host: payments, {open}}}"));
    let by_label = config("localityLbSetting: {failoverPriority: [version]}");
    let known = world(&[by_label, rule.clone()].join("---\n"), &payments());
    let service = &known.mesh.services[&ServiceName::new(PAYMENTS)];
    let labels = &service.endpoints.known()[0].labels;
    assert_eq!(**labels, [("version".into(), "v1".into())], "those that decide who is near");
    let hidden = config("defaultDestinationRuleExportTo: [default]");
    let traffic = traffic_of(&world(&[hidden, rule].join("---\n"), &payments()));
    assert!(calling(&traffic, "default", 8080, None).is_some());
    assert!(calling(&traffic, "shop", 8080, None).is_none());
}
