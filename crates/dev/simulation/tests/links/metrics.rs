//! What a control plane counts, as a scrape shows it.

use std::time::Duration;

use tonic::Code;
use weft_runtime::metrics::Registry;
use weft_runtime::time;
use weft_wire::discovery::{
    DELTA_PATH, DeltaDiscoveryRequest, DeltaDiscoveryResponse, Node, Rejected,
};
use weft_wire::resource;
use weft_wire::workload_api::{FETCH_SVID_PATH, X509SvidRequest, X509SvidResponse};

use crate::harness::{Harness, Raw, run};

const ONE: &[(&str, u16)] = &[("a.shop.svc.cluster.local", 80)];

/// The present value of a series; `None` where there is none.
fn value(harness: &Harness, series: &str) -> Option<f64> {
    let plane = harness.plane();
    plane.measure();
    let registry = Registry::new();
    registry.register(plane.metrics());
    let text = registry.render();
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.map(|value| value.parse().unwrap())
}

#[track_caller]
fn check(harness: &Harness, expected: &[(&str, f64)]) {
    for (series, number) in expected {
        let series = format!("weftway_control_{series}");
        assert_eq!(value(harness, &series), Some(*number), "{series}");
    }
}

#[test]
fn proxies_are_counted_by_how_far_they_are() {
    run(async || {
        let harness = Harness::new(ONE).await;
        check(&harness, &[("proxies{state=\"current\"}", 0.0), ("generation{of=\"newest\"}", 1.0)]);
        let (one, two) = (harness.proxy("one").await, harness.proxy("two").await);
        harness.until("in force", |plane| plane.status().in_force() == (2, 2)).await;
        check(
            &harness,
            &[
                ("proxies{state=\"current\"}", 2.0),
                ("proxies{state=\"behind\"}", 0.0),
                ("connections_open", 2.0),
                ("resources{kind=\"index\"}", 1.0),
                ("resources{kind=\"service\"}", 1.0),
                ("resources{kind=\"workload\"}", 2.0),
            ],
        );
        two.way.close();
        harness.publish(2, &[]);
        check(
            &harness,
            &[("generation{of=\"newest\"}", 2.0), ("generation{of=\"in_force\"}", 1.0)],
        );
        one.has(2).await;
        harness.until("in force", |plane| plane.status().in_force() == (1, 1)).await;
        check(
            &harness,
            &[
                ("proxies{state=\"current\"}", 1.0),
                ("proxies{state=\"gone\"}", 1.0),
                ("generation{of=\"in_force\"}", 2.0),
                ("resources{kind=\"index\"}", 0.0),
            ],
        );
    });
}

#[test]
fn a_change_is_timed_until_the_last_proxy_has_it() {
    run(async || {
        let harness = Harness::new(ONE).await;
        let _quick = harness.proxy("one").await;
        let raw = Raw::connect(&harness, "two").await;
        let (requests, mut responses) =
            raw.stream::<DeltaDiscoveryRequest, DeltaDiscoveryResponse>(DELTA_PATH).await.unwrap();
        let node = Node { client_features: vec![Node::feature(1)], ..Default::default() };
        let hello = |type_url: &str| DeltaDiscoveryRequest {
            node: Some(node.clone()),
            type_url: type_url.into(),
            resource_names_subscribe: vec!["*".into()],
            ..Default::default()
        };
        requests.send(hello(resource::INDEX_ENTRY)).await.unwrap();
        requests.send(hello(resource::WORKLOAD)).await.unwrap();
        // Takes what it is sent, and says so a minute later.
        let mut take = async |generation: u64, rejected: Vec<Rejected>| {
            loop {
                let response = responses.message().await.unwrap().unwrap();
                let is_whole = response.system_version_info == generation.to_string();
                if is_whole {
                    time::sleep(Duration::from_secs(60)).await;
                }
                let answer = DeltaDiscoveryRequest {
                    type_url: response.type_url,
                    response_nonce: response.nonce,
                    generation: if is_whole { generation } else { 0 },
                    rejected: rejected.clone(),
                    ..Default::default()
                };
                requests.send(answer).await.unwrap();
                if is_whole {
                    return;
                }
            }
        };
        take(1, Vec::new()).await;
        harness.until("in force", |plane| plane.status().in_force() == (2, 2)).await;
        check(&harness, &[("convergence_seconds_count", 0.0)]);
        let pushes = value(&harness, "weftway_control_pushes_total{kind=\"index\"}").unwrap();
        harness.publish(2, &[]);
        let rejected = Rejected { name: "a".into(), version: "1".into(), reason: "no".into() };
        take(2, vec![rejected]).await;
        harness.until("in force", |plane| plane.status().in_force() == (2, 2)).await;
        check(
            &harness,
            &[
                ("convergence_seconds_count", 1.0),
                ("convergence_seconds_bucket{le=\"10\"}", 0.0),
                ("pushes_total{kind=\"index\"}", pushes + 2.0),
                ("acks_total{kind=\"index\"}", pushes + 2.0),
                ("nacks_total{kind=\"index\"}", 1.0),
                ("nacks_total{kind=\"service\"}", 0.0),
                ("proxies{state=\"rejecting\"}", 1.0),
                ("proxies{state=\"current\"}", 1.0),
            ],
        );
    });
}

#[test]
fn certificates_are_counted_and_their_ends_foretold() {
    run(async || {
        let harness = Harness::new(&[]).await;
        check(&harness, &[("certificates_total{to=\"proxy\",outcome=\"issued\"}", 0.0)]);
        let leaf_ends = "weftway_control_certificate_ends_in_seconds{holder=\"leaf\"}";
        assert_eq!(value(&harness, leaf_ends), None, "there is no leaf");
        let standstill = value(&harness, "weftway_control_time_to_standstill_seconds").unwrap();
        check(
            &harness,
            &[
                ("time_to_outage_seconds", standstill),
                ("certificate_ends_in_seconds{holder=\"intermediate\"}", standstill),
            ],
        );
        let proxy = harness.proxy("one").await;
        proxy.has(1).await;
        let ends = value(&harness, leaf_ends).unwrap();
        assert!((3000.0..=3600.0).contains(&ends), "{ends}");
        check(
            &harness,
            &[
                ("certificates_total{to=\"proxy\",outcome=\"issued\"}", 1.0),
                ("time_to_outage_seconds", ends),
            ],
        );
        time::sleep(Duration::from_secs(2600)).await;
        check(&harness, &[("certificates_total{to=\"proxy\",outcome=\"renewed\"}", 1.0)]);

        let endpoint = weft_link::Endpoint::other(harness.way(), Some(harness.peer(Some("none"))));
        let way = harness.way();
        let stranger = crate::harness::Proxy::start(harness.settings_at("two", endpoint), way);
        crate::harness::until("refused", || stranger.last_error().contains("is unknown")).await;
        let refused =
            value(&harness, "weftway_control_certificates_total{to=\"proxy\",outcome=\"refused\"}");
        assert!(refused >= Some(1.0), "{refused:?}");
    });
}

#[test]
fn what_cannot_be_written_down_is_counted() {
    run(async || {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("is").join("not").join("there");
        let harness = Harness::with_fleet(&path).await;
        check(&harness, &[("store_failures_total{store=\"fleet\"}", 0.0)]);
        let proxy = harness.proxy("one").await;
        proxy.has(1).await;
        let failures = "weftway_control_store_failures_total{store=\"fleet\"}";
        crate::harness::until("counted", || value(&harness, failures) >= Some(1.0)).await;
    });
}

#[test]
fn a_socket_for_proxies_hands_out_no_svids() {
    run(async || {
        let harness = Harness::new(&[]).await;
        let raw = Raw::connect(&harness, "one").await;
        let refused =
            raw.stream::<X509SvidRequest, X509SvidResponse>(FETCH_SVID_PATH).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unimplemented);
    });
}
