use weft_admin_api::rotation::StepView;

use super::*;

/// The cells of each line.
fn cells(text: &str) -> Vec<Vec<&str>> {
    text.lines()
        .map(|line| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect())
        .collect()
}

#[test]
fn every_certificate_is_a_line_with_what_breaks() {
    let root = HeldCertificateView {
        holder: HolderView::Root,
        duty: DutyView::Signing,
        subject: "CN=root".into(),
        fingerprint: Some("0123456789abcdef".into()),
        root: "0123456789abcdef".into(),
        age_secs: 86_400,
        left_secs: 10 * 365 * 86_400,
        breaks: "all connections between proxies".into(),
        remedy: "rotate the root within 8 y".into(),
    };
    let leaf = HeldCertificateView {
        holder: HolderView::Proxy { workload: "shop/cart".into() },
        duty: DutyView::Presented,
        subject: "spiffe://cluster.local/ns/shop/sa/cart".into(),
        fingerprint: None,
        age_secs: 3_600,
        left_secs: 0,
        breaks: "connections of shop/cart".into(),
        remedy: "should have been renewed".into(),
        ..root.clone()
    };
    let view = CertificatesView { outage_in_secs: 7_200, certificates: vec![leaf, root] };
    let text = certificates(&view);
    let lines = cells(&text);
    assert_eq!(lines[0][..3], ["HOLDER", "DUTY", "SUBJECT"]);
    let id = "spiffe://cluster.local/ns/shop/sa/cart";
    let (breaks, remedy) = ("connections of shop/cart", "should have been renewed");
    assert_eq!(
        lines[1],
        ["shop/cart", "presented", id, "01234567", "1 h", "ended", breaks, remedy]
    );
    let (breaks, remedy) = ("all connections between proxies", "rotate the root within 8 y");
    assert_eq!(lines[2], ["root", "signs", "CN=root", "01234567", "1 d", "10 y", breaks, remedy]);
    assert_eq!(lines[4], ["if nobody does anything, the mesh stands still in 2 h"]);
}

#[test]
fn a_rotation_says_what_it_waits_for() {
    let waiting = |phase, other: Option<&str>, step, hindrances: &[HindranceView]| RotationView {
        phase,
        since_secs: other.map(|_| 61),
        signing: "1111111122".into(),
        other: other.map(str::to_owned),
        steps: vec![StepView { step, hindrances: hindrances.to_vec() }],
    };
    let gone = HindranceView {
        workload: "shop/cart".into(),
        why: "shop/cart presents a certificate under root 22222222".into(),
        is_connected: false,
        left_secs: 5,
    };
    for (view, expected) in [
        (
            waiting(PhaseView::Steady, None, StepName::Prepare, &[]),
            "no rotation is under way; root 11111111 signs",
        ),
        (
            waiting(PhaseView::Prepared, Some("2222222233"), StepName::Switch, &[]),
            "for 1 min 1 s root 22222222 has been trusted beside root 11111111, which signs\n\
             nothing is in the way of the next step, the new root signs",
        ),
        (
            waiting(PhaseView::Switched, Some("2222222233"), StepName::Retire, &[gone]),
            "for 1 min 1 s root 11111111 has signed; root 22222222, which signed before, is \
             trusted\nin the way of the next step, the old root is dropped:\n  shop/cart presents \
             a certificate under root 22222222, and is out of reach",
        ),
    ] {
        assert_eq!(rotation(&view), expected);
    }
}
