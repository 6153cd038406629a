use std::time::Duration;

use tonic::Code;
use weft_model::Generation;
use weft_model::id::ServiceName;
use weft_runtime::time;
use weft_wire::discovery::{
    DELTA_PATH, DeltaDiscoveryRequest, DeltaDiscoveryResponse, Node, Rejected,
};
use weft_wire::resource;

use crate::harness::{Harness, Raw, run, until};
use weft_controlplane::ProxyPhase;

const TWO: &[(&str, u16)] = &[("a.shop.svc.cluster.local", 80), ("b.shop.svc.cluster.local", 80)];

fn name(text: &str) -> ServiceName {
    ServiceName::new(format!("{text}.shop.svc.cluster.local"))
}

fn hello(type_url: &str, version: u32) -> DeltaDiscoveryRequest {
    let node = Node { client_features: vec![Node::feature(version)], ..Default::default() };
    DeltaDiscoveryRequest {
        node: Some(node),
        type_url: type_url.into(),
        resource_names_subscribe: vec!["*".into()],
        ..Default::default()
    }
}

fn answer(response: &DeltaDiscoveryResponse) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        type_url: response.type_url.clone(),
        response_nonce: response.nonce.clone(),
        ..Default::default()
    }
}

#[test]
fn a_proxy_gets_what_there_is_and_what_changes() {
    run(async || {
        let harness = Harness::new(TWO).await;
        let proxy = harness.proxy("one").await;
        assert_eq!(proxy.readiness.pending(), ["certificate", "configuration"]);
        proxy.has(1).await;
        assert!(proxy.readiness.is_ready());
        let states = proxy.link.state();
        assert_eq!(states.borrow().index.len(), 2);
        assert!(states.borrow().services.is_empty(), "nothing was dialled");
        assert_eq!(states.borrow().workload.as_ref().unwrap().value.name.as_str(), "shop/one-1");
        harness.until("in force", |plane| plane.status().in_force() == (1, 1)).await;

        harness.publish(2, &[("a.shop.svc.cluster.local", 81)]);
        assert_eq!(harness.plane().status().in_force(), (0, 1));
        proxy.has(2).await;
        let entry = states.borrow().index.get(name("a").as_str()).unwrap().entry();
        assert_eq!((states.borrow().index.len(), entry.ports[0].number), (1, 81));
        harness.until("in force", |plane| plane.status().in_force() == (1, 1)).await;
    });
}

#[test]
fn a_service_comes_when_it_is_dialled_and_goes_when_it_is_idle() {
    run(async || {
        let harness = Harness::new(TWO).await;
        let proxy = harness.proxy("one").await;
        proxy.has(1).await;
        let states = proxy.link.state();
        assert!(proxy.link.demand().want(name("a")));
        assert!(proxy.link.demand().want(name("none")));
        until("the service", || states.borrow().services.contains_key(&name("a"))).await;
        until("no service", || states.borrow().missing.contains(&name("none"))).await;
        let subscribed = |count| harness.plane().status().proxies[0].subscribed == count;
        assert!(subscribed(2));
        time::sleep(Duration::from_secs(400)).await;
        proxy.link.demand().want(name("a"));
        time::sleep(Duration::from_secs(400)).await;
        assert!(states.borrow().services.contains_key(&name("a")), "it is in use");
        assert!(states.borrow().missing.is_empty(), "it is not");
        until("idle", || states.borrow().services.is_empty()).await;
        until("unsubscribed", || subscribed(0)).await;
    });
}

/// Changes that come more often than it is looked for idle services do not put the look off.
#[test]
fn an_idle_service_goes_however_much_the_control_plane_has_to_say() {
    run(async || {
        let harness = Harness::new(TWO).await;
        let proxy = harness.proxy("one").await;
        proxy.has(1).await;
        let states = proxy.link.state();
        proxy.link.demand().want(name("a"));
        until("the service", || states.borrow().services.contains_key(&name("a"))).await;
        let other = "b.shop.svc.cluster.local";
        // As many seconds as it takes to forget it, and as many as it takes to look.
        for generation in 2..2 + 700 / 20 {
            time::sleep(Duration::from_secs(20)).await;
            harness.publish(generation, &[(TWO[0].0, 80), (other, 1000 + generation as u16)]);
            proxy.has(generation).await;
        }
        assert!(states.borrow().services.is_empty(), "nobody has dialled it for so long");
    });
}

#[test]
fn nothing_is_sent_again_after_a_restart_that_the_proxy_has() {
    run(async || {
        let names: Vec<String> = (0..500).map(|n| format!("s{n}.shop.svc.cluster.local")).collect();
        let services: Vec<(&str, u16)> = names.iter().map(|name| (&**name, 80)).collect();
        let harness = Harness::new(&services).await;
        let proxy = harness.proxy("one").await;
        proxy.has(1).await;
        let first = proxy.way.received_bytes.replace(0);
        harness.stop().await;
        until("noticed", || !proxy.link.status().borrow().is_connected).await;
        assert_eq!(proxy.link.state().borrow().index.len(), 500, "what is known goes on");
        let mut services = services.clone();
        services[7].1 = 81;
        harness.start(2, &services).await;
        proxy.has(2).await;
        let again = proxy.way.received_bytes.get();
        assert!(first > 30_000 && again < 5_000, "{first} bytes at first, {again} later");
        let entry = proxy.link.state().borrow().index.get(services[7].0).unwrap().entry();
        assert_eq!(entry.ports[0].number, 81);
    });
}

#[test]
fn attempts_to_connect_are_at_most_one_a_second_and_at_most_ten_seconds_apart() {
    run(async || {
        let harness = Harness::new(TWO).await;
        let proxy = harness.proxy("one").await;
        proxy.has(1).await;
        proxy.way.close();
        until("noticed", || !proxy.link.status().borrow().is_connected).await;
        let attempts = || proxy.link.status().borrow().attempts;
        let before = attempts();
        time::sleep(Duration::from_secs(300)).await;
        let made = attempts() - before;
        assert!((30..=300).contains(&made), "{made} attempts in 300 s");
        proxy.way.open();
        let open = time::now();
        until("connected", || proxy.link.status().borrow().is_connected).await;
        assert!(time::now() - open <= Duration::from_secs(11));
    });
}

#[test]
fn a_slow_proxy_holds_nobody_back_and_skips_to_the_newest() {
    run(async || {
        let harness = Harness::new(TWO).await;
        let fast = harness.proxy("one").await;
        let raw = Raw::connect(&harness, "two").await;
        let (requests, mut responses) =
            raw.stream::<DeltaDiscoveryRequest, DeltaDiscoveryResponse>(DELTA_PATH).await.unwrap();
        requests.send(hello(resource::INDEX_ENTRY, 1)).await.unwrap();
        requests.send(hello(resource::WORKLOAD, 1)).await.unwrap();
        let first = responses.message().await.unwrap().unwrap();
        for generation in 2..=50 {
            let port = generation as u16;
            harness.publish(generation, &[("a.shop.svc.cluster.local", port)]);
            fast.has(generation).await;
        }
        requests.send(answer(&first)).await.unwrap();
        let mut last = responses.message().await.unwrap().unwrap();
        let mut count = 1;
        while last.system_version_info.is_empty() {
            requests.send(answer(&last)).await.unwrap();
            last = responses.message().await.unwrap().unwrap();
            count += 1;
        }
        assert_eq!(last.system_version_info, "50");
        assert!(count <= 2, "{count} responses: one for each kind are enough");
    });
}

#[test]
fn a_resource_that_a_proxy_cannot_take_is_reported() {
    run(async || {
        let harness = Harness::new(TWO).await;
        let raw = Raw::connect(&harness, "one").await;
        let (requests, mut responses) =
            raw.stream::<DeltaDiscoveryRequest, DeltaDiscoveryResponse>(DELTA_PATH).await.unwrap();
        requests.send(hello(resource::INDEX_ENTRY, 1)).await.unwrap();
        let response = responses.message().await.unwrap().unwrap();
        let name = response.resources[0].name.clone();
        let reason = "7 in `protocol` is not known to this version".to_owned();
        let rejected = Rejected { name: name.clone(), version: String::new(), reason };
        let request = DeltaDiscoveryRequest { rejected: vec![rejected], ..answer(&response) };
        requests.send(request).await.unwrap();
        harness.until("reported", |plane| !plane.status().proxies[0].rejected.is_empty()).await;
        let entry = harness.plane().status().proxies.remove(0);
        assert_eq!(&*entry.rejected[0].1, name);
        assert!(entry.rejected[0].2.contains("protocol"));
    });
}

#[test]
fn neighbouring_versions_work_together_and_older_ones_are_told() {
    run(async || {
        let harness = Harness::new(TWO).await;
        for (version, works) in [(1, true), (2, true), (0, false)] {
            let raw = Raw::connect(&harness, "one").await;
            let (requests, mut responses) = raw
                .stream::<DeltaDiscoveryRequest, DeltaDiscoveryResponse>(DELTA_PATH)
                .await
                .unwrap();
            requests.send(hello(resource::INDEX_ENTRY, version)).await.unwrap();
            match responses.message().await {
                Ok(response) => assert!(works && response.unwrap().resources.len() == 2),
                Err(status) => {
                    assert!(!works, "{version}: {status}");
                    assert_eq!(status.code(), Code::FailedPrecondition);
                    assert!(status.message().contains("version 0"), "{}", status.message());
                    assert!(status.message().contains("update the older one"));
                }
            }
        }
    });
}

#[test]
fn a_proxy_that_is_gone_stays_listed_for_a_while() {
    run(async || {
        let harness = Harness::new(TWO).await;
        let proxy = harness.proxy("one").await;
        proxy.has(1).await;
        harness.until("in force", |plane| plane.status().in_force() == (1, 1)).await;
        proxy.kill();
        let gone = |phase| {
            move |plane: &weft_controlplane::ControlPlane| {
                plane.status().proxies.iter().any(|entry| entry.phase == phase)
            }
        };
        harness.until("gone", gone(ProxyPhase::Gone)).await;
        assert_eq!(harness.plane().status().in_force(), (0, 0));
        assert_eq!(harness.plane().status().generation, Generation(1));
        // Until its certificate ends, so long it may be waited for.
        time::sleep(Duration::from_secs(3500)).await;
        assert!(gone(ProxyPhase::Gone)(&harness.plane()));
        time::sleep(Duration::from_secs(300)).await;
        assert_eq!(harness.plane().status().proxies, []);
    });
}

#[test]
fn a_proxy_starts_without_a_control_plane_from_what_was_kept() {
    run(async || {
        let harness = Harness::new(TWO).await;
        let folder = tempfile::tempdir().unwrap();
        let (proxy, settings) = harness.kept_proxy("one", folder.path()).await;
        proxy.kill();
        harness.stop().await;

        let proxy = crate::harness::Proxy::start(settings, harness.way());
        proxy.has(1).await;
        until("ready", || proxy.readiness.is_ready()).await;
        assert!(proxy.link.tls().current().is_some());
        assert_eq!(proxy.link.state().borrow().index.len(), 2);
    });
}
