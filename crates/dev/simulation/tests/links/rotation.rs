use weft_authority::{Fingerprint, Phase, RefusedRotation};
use weft_runtime::time;

use crate::harness::{Harness, Proxy, run, until};
use weft_controlplane::{CannotChange, ControlPlane};

const NONE: &[(&str, u16)] = &[];

fn signing(plane: &ControlPlane) -> Fingerprint {
    plane.rotation().signing().root().certificate().fingerprint()
}

/// The live proxies that a step would strand.
fn stranded(step: Result<(), CannotChange<RefusedRotation>>) -> Vec<String> {
    match step.unwrap_err() {
        CannotChange::Refused(RefusedRotation::Stranded(stranded)) => {
            stranded.proxies.iter().map(|hindrance| hindrance.proxy.to_string()).collect()
        }
        other => panic!("{other}"),
    }
}

fn trusts(proxy: &Proxy) -> usize {
    proxy.link.credentials().borrow().as_ref().unwrap().bundle.len()
}

fn presents(plane: &ControlPlane, root: Fingerprint) -> usize {
    let reports = plane.registry().reports();
    reports.iter().filter(|it| it.leaf.as_ref().is_some_and(|leaf| leaf.root == root)).count()
}

#[test]
fn a_root_takes_over_and_waits_for_a_proxy_that_lags() {
    run(async || {
        let harness = Harness::new(NONE).await;
        let plane = harness.plane();
        let (one, two) = (harness.proxy("one").await, harness.proxy("two").await);
        one.has(1).await;
        two.has(1).await;
        let old = signing(&plane);
        until("both are known", || presents(&plane, old) == 2).await;

        two.way.close();
        plane.prepare(None).await.unwrap();
        until("one trusts both", || trusts(&one) == 2).await;
        let lagging = || {
            let reports = plane.registry().reports();
            reports.iter().filter(|report| report.trusts.len() < 2).count()
        };
        until("only two lags", || lagging() == 1).await;
        assert_eq!(stranded(plane.switch().await), ["shop/two-1"]);
        assert_eq!(signing(&plane), old);

        two.way.open();
        until("two trusts both", || trusts(&two) == 2).await;
        until("nobody lags", || lagging() == 0).await;
        plane.switch().await.unwrap();
        let new = signing(&plane);
        assert_ne!(new, old);
        assert_eq!(stranded(plane.retire().await), ["shop/one-1", "shop/two-1"]);

        until("both have renewed", || presents(&plane, new) == 2 && presents(&plane, old) == 0)
            .await;
        plane.retire().await.unwrap();
        assert!(matches!(plane.rotation().phase(), Phase::Steady));
        until("the old root is gone", || trusts(&one) == 1 && trusts(&two) == 1).await;

        // All of it goes on with the new root alone, the control plane's own certificate included.
        for proxy in [&one, &two] {
            let status = proxy.link.status();
            let attempts = status.borrow().attempts;
            proxy.way.cut();
            until("again", || status.borrow().is_connected && status.borrow().attempts > attempts)
                .await;
        }
        harness.publish(2, NONE);
        one.has(2).await;
        two.has(2).await;
    });
}

#[test]
fn who_says_goodbye_is_not_waited_for_and_who_is_killed_is() {
    run(async || {
        let harness = Harness::new(NONE).await;
        let plane = harness.plane();
        let (one, two) = (harness.proxy("one").await, harness.proxy("two").await);
        one.has(1).await;
        two.has(1).await;
        let old = signing(&plane);
        until("both are known", || presents(&plane, old) == 2).await;
        one.link.say_goodbye().await;
        until("one is gone", || presents(&plane, old) == 1).await;
        two.kill();
        plane.prepare(None).await.unwrap();
        assert_eq!(stranded(plane.switch().await), ["shop/two-1"]);
        // Its certificate ends, and with it what it could be stranded with.
        time::sleep(std::time::Duration::from_secs(3700)).await;
        plane.switch().await.unwrap();
        plane.retire().await.unwrap();
    });
}

#[test]
fn a_proxy_that_is_cut_off_is_waited_for_after_a_restart_too() {
    run(async || {
        let folder = tempfile::tempdir().unwrap();
        let harness = Harness::with_fleet(&folder.path().join("fleet")).await;
        let proxy = harness.proxy("one").await;
        proxy.has(1).await;
        proxy.way.close();
        harness.stop().await;
        harness.start(2, NONE).await;
        let plane = harness.plane();
        plane.prepare(None).await.unwrap();
        assert_eq!(stranded(plane.switch().await), ["shop/one-1"]);
    });
}
