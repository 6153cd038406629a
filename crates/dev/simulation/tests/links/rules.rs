//! Services that nobody has dialled, but that rules lead to.

use std::sync::Arc;
use std::time::Duration;

use weft_link::State;
use weft_model::backend::{Backend, Endpoints, HostHeader, UpstreamProtocol};
use weft_model::calling::Audience;
use weft_model::id::{BackendId, RouteId, ServiceName};
use weft_model::mesh::{Mesh, Service, Traffic};
use weft_model::route::{Matcher, Origin, Rank, Route, RouteSet, Routed, Target, Timeouts};
use weft_runtime::{task, time};

use crate::harness::{Harness, Proxy, mesh, run, until};

const THREE: &[(&str, u16)] = &[
    ("a.shop.svc.cluster.local", 80),
    ("b.shop.svc.cluster.local", 80),
    ("c.shop.svc.cluster.local", 80),
];

fn name(text: &str) -> ServiceName {
    ServiceName::new(format!("{text}.shop.svc.cluster.local"))
}

/// What leads all requests to that service.
fn traffic(to: &ServiceName) -> Traffic {
    let id = BackendId::new(format!("{to}:80"));
    let backend = Backend {
        id: id.clone(),
        endpoints: Endpoints::Service { name: to.clone(), port: 80, subset: None },
        protocol: UpstreamProtocol::AsClient,
        health_check: None,
        host: HostHeader::Pass,
        termination_delay: None,
        calling: Arc::default(),
    };
    let route = Route {
        id: RouteId::new("rule"),
        origin: Origin::default(),
        rank: Rank::default(),
        matcher: Matcher::All(Vec::new()),
        steps: Arc::default(),
        target: Target::Backend(id.clone()),
        timeouts: Timeouts::default(),
    };
    let (audience, ports) = (Audience::default(), Box::default());
    let routed = Routed { audience, ports, route: Arc::new(route) };
    Traffic {
        routing: [RouteSet { http: Some([routed].into()), ..RouteSet::default() }].into(),
        backends: [(id, Arc::new(backend))].into(),
        ..Traffic::default()
    }
}

/// A mesh in which each of these services leads to the other.
fn led(generation: u64, leads: &[(&str, &str)]) -> Mesh {
    let mut mesh = mesh(generation, THREE);
    for (from, to) in leads {
        let service = mesh.services.get_mut(&name(from)).unwrap();
        let traffic = Arc::new(traffic(&name(to)));
        *service = Arc::new(Service { traffic, ..Service::clone(service) });
    }
    mesh
}

fn publish(harness: &Harness, mesh: &Mesh) {
    harness.published.send_modify(|published| *published = published.next(mesh));
}

fn known(state: &State) -> Vec<String> {
    let names = state.services.keys().map(|name| name.as_str().split('.').next().unwrap());
    names.map(str::to_owned).collect()
}

async fn dial(proxy: &Proxy, service: &str) {
    assert!(proxy.link.demand().want(name(service)));
    let states = proxy.link.state();
    until("the service", || states.borrow().services.contains_key(&name(service))).await;
}

/// Otherwise the first requests that it takes would find nobody there.
#[test]
fn a_rule_is_put_in_force_together_with_what_it_leads_to() {
    run(async || {
        let harness = Harness::new(THREE).await;
        let proxy = harness.proxy("one").await;
        proxy.has(1).await;
        dial(&proxy, "a").await;
        let mut states = proxy.link.state();
        // A task sees every state; the test itself is only polled now and then.
        let seen = task::spawn("observer", async move {
            let mut seen = Vec::new();
            while !seen.last().is_some_and(|(has_rule, _)| *has_rule) {
                states.changed().await.unwrap();
                let state = states.borrow_and_update();
                let traffic = &state.services[&name("a")].value.traffic;
                seen.push((!traffic.routing.is_empty(), known(&state)));
            }
            seen
        });
        publish(&harness, &led(2, &[("a", "b")]));
        proxy.has(2).await;
        assert_eq!(seen.await.unwrap(), [(true, vec!["a".to_owned(), "b".to_owned()])]);
    });
}

#[test]
fn a_rule_that_leads_to_nothing_is_put_in_force() {
    run(async || {
        let harness = Harness::new(THREE).await;
        let proxy = harness.proxy("one").await;
        proxy.has(1).await;
        dial(&proxy, "a").await;
        publish(&harness, &led(2, &[("a", "nowhere")]));
        proxy.has(2).await;
        assert!(proxy.link.state().borrow().missing.contains(&name("nowhere")));
    });
}

/// A first connection to what has the rule waits for a second.
#[test]
fn a_rule_waits_less_than_a_connection_for_what_it_leads_to() {
    run(async || {
        let harness = Harness::new(THREE).await;
        let proxy = harness.proxy("one").await;
        proxy.has(1).await;
        dial(&proxy, "a").await;
        proxy.way.mute();
        let start = time::now();
        publish(&harness, &led(2, &[("a", "b")]));
        proxy.has(2).await;
        assert!(time::now() - start < Duration::from_secs(1));
        assert_eq!(known(&proxy.link.state().borrow()), ["a"], "nobody has told of the other");
    });
}

/// As when the control plane ends between telling of the rule and of what it leads to.
#[test]
fn a_rule_does_not_wait_for_a_stream_that_broke() {
    run(async || {
        let harness = Harness::new(THREE).await;
        let proxy = harness.proxy("one").await;
        proxy.has(1).await;
        dial(&proxy, "a").await;
        proxy.way.mute();
        publish(&harness, &led(2, &[("a", "b")]));
        // The clock stands still until there is nothing else to do: by then it has been told.
        time::sleep(Duration::from_millis(100)).await;
        assert_eq!(proxy.link.state().borrow().generation.0, 1, "it waits");
        proxy.way.close();
        proxy.has(2).await;
        assert!(!proxy.link.status().borrow().is_connected);
    });
}

#[test]
fn what_a_rule_leads_to_is_forgotten_with_the_rule() {
    run(async || {
        let harness = Harness::new(THREE).await;
        let proxy = harness.proxy("one").await;
        proxy.has(1).await;
        publish(&harness, &led(2, &[("a", "b")]));
        dial(&proxy, "a").await;
        let states = proxy.link.state();
        for _ in 0..20 {
            time::sleep(Duration::from_secs(60)).await;
            proxy.link.demand().want(name("a"));
        }
        assert_eq!(known(&states.borrow()), ["a", "b"], "longer than anything stays unused");
        publish(&harness, &led(3, &[]));
        until("forgotten", || known(&states.borrow()) == ["a"]).await;
        until("unsubscribed", || harness.plane().status().proxies[0].subscribed == 1).await;
    });
}

#[test]
fn services_that_lead_to_each_other_are_forgotten_when_nobody_dials_them() {
    run(async || {
        let harness = Harness::new(THREE).await;
        let proxy = harness.proxy("one").await;
        proxy.has(1).await;
        publish(&harness, &led(2, &[("a", "b"), ("b", "a")]));
        dial(&proxy, "a").await;
        let states = proxy.link.state();
        until("both", || known(&states.borrow()) == ["a", "b"]).await;
        // It is looked once a minute which are idle.
        time::sleep(Duration::from_secs(60)).await;
        until("idle", || states.borrow().services.is_empty()).await;
    });
}

/// It has rules of its own, which say what it leads to.
#[test]
fn a_gateway_asks_for_nothing_that_rules_of_services_lead_to() {
    run(async || {
        let harness = Harness::new(THREE).await;
        let (settings, way) = harness.settings("one").await;
        let proxy = Proxy::start(weft_link::Settings { follows_rules: false, ..settings }, way);
        proxy.has(1).await;
        publish(&harness, &led(2, &[("a", "b")]));
        dial(&proxy, "a").await;
        proxy.has(2).await;
        time::sleep(Duration::from_secs(120)).await;
        assert_eq!(known(&proxy.link.state().borrow()), ["a"]);
    });
}
