//! Every field of BackendTrafficPolicies and of our own TrafficPolicies has its place.

use std::time::Duration;

use weft_model::route::{Affinity, Cookie, SessionHeader, Word};
use weft_resilience::settings::{
    AdaptiveSettings, HedgeSettings, LimitSettings, LoadReportSettings, MaglevSettings,
    RecentBudget, RingHashSettings,
};

use super::*;

fn settings(api: &str, kind: &str, spec: &str) -> Arc<Calling> {
    let target = "targetRefs: [{group: '', kind: Service, name: payments}]";
    let text = document(api, kind, "name: payments", &format!("{{{target}, {spec}}}"));
    let world = world(&text, &payments());
    let traffic = traffic_of(&world);
    let found = calling(&traffic, "default", 8080, None);
    Arc::clone(&found.unwrap_or_else(|| panic!("{spec}: {:?}", problems(&world))).calling)
}

fn own(spec: &str) -> Arc<Calling> {
    settings("weftway.io/v1alpha1", "TrafficPolicy", spec)
}

#[test]
fn every_field_of_a_backend_traffic_policy_has_its_place() {
    let secs = Duration::from_secs;
    for kind in ["BackendTrafficPolicy", "XBackendTrafficPolicy"] {
        let of = |spec: &str| settings("gateway.networking.x-k8s.io/v1alpha1", kind, spec);
        let budget = of("retryConstraint: {budget: {percent: 30, interval: 20s}, \
             minRetryRate: {count: 5, interval: 2s}}");
        let expected = RecentBudget {
            ratio: 0.3,
            interval: secs(20),
            retries_min: 5,
            retries_min_interval: secs(2),
        };
        assert_eq!(budget.retry_budget, Some(BudgetSettings::Recent(expected)));
        let permanent = Cookie {
            name: "shop".into(),
            path: "/".into(),
            domain: "".into(),
            http_only: true,
            secure: false,
            same_site: "".into(),
            max_age_secs: 3600,
        };
        let named = "sessionName: shop, type: Cookie, absoluteTimeout: 1h";
        for (session, expected) in [
            (format!("{named}, cookieConfig: {{lifetimeType: Permanent}}"), permanent.clone()),
            (
                format!("{named}, cookieConfig: {{lifetimeType: Session}}"),
                Cookie { max_age_secs: 0, ..permanent.clone() },
            ),
            (
                "absoluteTimeout: 1h, \
                 cookie: {name: own, path: /pay, lifetimeType: Permanent}"
                    .to_owned(),
                Cookie { name: "own".into(), path: "/pay".into(), ..permanent.clone() },
            ),
        ] {
            let found = of(&format!("sessionPersistence: {{{session}}}"));
            assert_eq!(found.sticky, Some(Affinity::Cookie(expected)), "{session}");
        }
        let header = of("sessionPersistence: {type: Header, sessionName: x-shop}").sticky.clone();
        let expected = SessionHeader { name: "x-shop".into(), word: Word::Endpoint };
        assert_eq!(header, Some(Affinity::Header(expected)));
        let taken = "sessionPersistence: {type: Header, sessionName: host}, retryConstraint: {}";
        assert_eq!(of(taken).sticky, None);
    }
}

#[test]
fn every_bound_of_an_own_policy_has_its_place() {
    let found = own("limits: {perEndpoint: {requests: 50, connections: 20, pending: 10}, \
         perService: {requests: 200, connections: 80, pending: 40}}, \
         adaptiveConcurrency: {min: 5, max: 500}");
    let bounds = |requests, connections, pending| LimitSettings {
        requests: Some(requests),
        connections: Some(connections),
        pending: Some(pending),
        retries: None,
    };
    assert_eq!(found.endpoint_limits, bounds(50, 20, 10));
    assert_eq!(found.limits, bounds(200, 80, 40));
    let adaptive = AdaptiveSettings { limit_min: 5, limit_max: 500, ..AdaptiveSettings::DEFAULT };
    assert_eq!(found.adaptive, Some(adaptive));
}

#[test]
fn an_own_policy_hedges_and_bounds_retries_as_written() {
    let found = own("hedging: {percentile: 99, delayMin: 20ms, delayMax: 2s, budgetPercent: 3}, \
         retry: {budget: {percent: 10, interval: 20s, minPerSecond: 2}}");
    let hedge = HedgeSettings {
        quantile: 0.99,
        delay_min: Duration::from_millis(20),
        delay_max: Duration::from_secs(2),
        budget_ratio: 0.03,
        ..HedgeSettings::DEFAULT
    };
    assert_eq!(found.hedge, Some(hedge));
    let budget = RecentBudget {
        ratio: 0.1,
        interval: Duration::from_secs(20),
        retries_min: 2,
        ..RecentBudget::DEFAULT
    };
    assert_eq!(found.retry_budget, Some(BudgetSettings::Recent(budget)));
}

#[test]
fn an_own_policy_chooses_endpoints_as_written() {
    let ring = |load_max_percent| {
        PickerKind::RingHash(RingHashSettings { load_max_percent, ..RingHashSettings::DEFAULT })
    };
    let maglev = |load_max_percent| {
        PickerKind::Maglev(MaglevSettings { load_max_percent, ..MaglevSettings::DEFAULT })
    };
    for (text, expected) in [
        ("type: RoundRobin", PickerKind::RoundRobin),
        ("type: LeastRequest", PickerKind::LeastRequest),
        ("type: Random", PickerKind::Random),
        ("type: PeakEWMA", PickerKind::PeakEwma),
        ("type: WeightedByLoad", PickerKind::WeightedByLoad(LoadReportSettings::DEFAULT)),
        ("type: Rendezvous, key: {sourceAddress: true}", PickerKind::Rendezvous),
        ("type: RingHash, key: {sourceAddress: true}, balancePercent: 125", ring(Some(125))),
        ("type: RingHash, key: {sourceAddress: true}", ring(None)),
        ("type: Maglev, key: {sourceAddress: true}, balancePercent: 150", maglev(Some(150))),
    ] {
        assert_eq!(own(&format!("loadBalancer: {{{text}}}")).picker, expected, "{text}");
    }
    let key = |text: &str| {
        own(&format!("loadBalancer: {{type: Rendezvous, key: {{{text}}}}}")).key.clone()
    };
    assert_eq!(key("sourceAddress: true"), HashKey::ClientAddr);
    assert_eq!(key("query: user"), HashKey::Query("user".into()));
    let header = weft_message::FieldName::new("x-user").unwrap();
    assert_eq!(key("header: x-user"), HashKey::Header(header));
    let HashKey::Cookie(cookie) = key("cookie: user") else { panic!("a cookie") };
    assert_eq!((&*cookie.name, &*cookie.path, cookie.max_age_secs), ("user", "/", 0));
}
