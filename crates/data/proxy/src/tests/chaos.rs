//! Endpoints that fail in every way at once.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use weft_resilience::settings::{EjectionSettings, OutlierSettings};
use weft_testkit::Reserved;

use super::harness::{Begun, Client, Gateway, Http, Origin, Setup, matrix, reply, run_bounded};

fn ejecting(base: Duration) -> OutlierSettings {
    OutlierSettings {
        ejection: EjectionSettings { base, ..EjectionSettings::ENVOY },
        ejected_ratio_max: 0.8,
        ..OutlierSettings::ISTIO
    }
}

/// An origin that answers so for as long as it is ill.
async fn ill(http: Http, status: u16, is_ill: &Rc<Cell<bool>>) -> Origin {
    let is_ill = is_ill.clone();
    Origin::start(http, move |Begun { leg, .. }| {
        let status = if is_ill.get() { status } else { 200 };
        async move { reply(leg, status, b"").await }
    })
    .await
}

/// How many of so many requests had each status.
async fn statuses(gateway: &Gateway, down: Http, requests: usize) -> BTreeMap<u16, usize> {
    let mut client = Client::connect(down, gateway.addr).await;
    let mut counts = BTreeMap::new();
    for _ in 0..requests {
        *counts.entry(client.get("/").await.status).or_default() += 1;
    }
    counts
}

#[test]
fn one_that_is_well_among_the_dead_the_dying_and_the_ill_serves_all_but_a_few() {
    matrix(|down, up| async move {
        let well = Origin::echo(up).await;
        let ill = ill(up, 503, &Rc::new(Cell::new(true))).await;
        // It takes each request, and breaks off.
        let dying = Origin::start(up, |begun| async move {
            drop(begun);
            None
        })
        .await;
        let dead = Reserved::forever();
        let setup = Setup::new(up, &[ill.addr, dying.addr, dead, well.addr]).calling(|calling| {
            calling.outlier = Some(ejecting(Duration::from_secs(3_600)));
        });
        let gateway = setup.start().await;
        let counts = statuses(&gateway, down, 100).await;
        let of = |status| counts.get(&status).copied().unwrap_or_default();
        let what = format!("{down:?} to {up:?}: {counts:?}");
        // Five each, and nobody notices the dead one: what reached nobody goes elsewhere.
        assert!(of(503) <= 5 && of(502) <= 5, "{what}");
        assert_eq!(of(200) + of(502) + of(503), 100, "{what}");
        let before = (ill.requests().len(), dying.requests().len());
        assert_eq!(statuses(&gateway, down, 50).await, BTreeMap::from([(200, 50)]), "{what}");
        assert_eq!(before, (ill.requests().len(), dying.requests().len()), "{what}");
        gateway.until_idle().await;
    });
}

#[test]
fn one_that_recovers_is_asked_again_after_its_ejection() {
    run_bounded(async {
        let is_ill = Rc::new(Cell::new(true));
        let ill = ill(Http::One, 503, &is_ill).await;
        let well = Origin::echo(Http::One).await;
        let setup = Setup::new(Http::One, &[ill.addr, well.addr]).calling(|calling| {
            calling.outlier = Some(ejecting(Duration::from_millis(100)));
        });
        let gateway = setup.start().await;
        while ill.requests().len() < 5 {
            statuses(&gateway, Http::One, 1).await;
        }
        is_ill.set(false);
        let mut client = Client::connect(Http::One, gateway.addr).await;
        while ill.requests().len() < 6 {
            assert_eq!(client.get("/").await.status, 200, "it is not asked before");
        }
        assert_eq!(statuses(&gateway, Http::One, 20).await, BTreeMap::from([(200, 20)]));
        assert!(ill.requests().len() >= 15, "half of them are its own again");
        gateway.until_idle().await;
    });
}
