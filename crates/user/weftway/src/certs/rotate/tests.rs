use super::*;

fn hindrance(workload: &str, is_connected: bool) -> HindranceView {
    HindranceView {
        workload: workload.into(),
        why: format!("{workload} does not accept root 0123abcd (heard of 3 s ago)"),
        is_connected,
        left_secs: 7_200,
    }
}

#[test]
fn each_phase_leads_to_an_end_in_either_direction() {
    use Way::Back;
    const FORWARD: Way = Way::Forward(None);
    use PhaseView::{Prepared, Steady, Switched};
    for (phase, way, is_begun, step) in [
        (Steady, FORWARD, false, Some(StepName::Prepare)),
        (Prepared, FORWARD, true, Some(StepName::Switch)),
        (Switched, FORWARD, true, Some(StepName::Retire)),
        (Steady, FORWARD, true, None),
        // Where somebody has left it.
        (Prepared, FORWARD, false, Some(StepName::Switch)),
        (Switched, FORWARD, false, Some(StepName::Retire)),
        (Switched, Back, false, Some(StepName::Revert)),
        (Prepared, Back, true, Some(StepName::Cancel)),
        (Steady, Back, true, None),
        (Steady, Back, false, None),
    ] {
        assert_eq!(next(phase, &way, is_begun), step, "{phase:?} {way:?} {is_begun}");
    }
}

#[test]
fn a_refusal_names_who_is_in_the_way_and_the_way_out() {
    for (step, hindrances, parts, missing) in [
        (
            StepName::Prepare,
            &[hindrance("shop/cart", false)][..],
            &["1 live proxy is", "shop/cart does not", "out of reach", "(in 2 h)", "nothing has"][..],
            &["certs cancel", "follows by itself"][..],
        ),
        (
            StepName::Switch,
            &[hindrance("shop/cart", true), hindrance("shop/web", true)],
            &["2 live proxies are", "shop/web does not", "follows by itself", "certs cancel"],
            &["out of reach", "nothing has"],
        ),
    ] {
        let text = stranded(step, hindrances);
        for part in parts {
            assert!(text.contains(part), "{part:?} is missing in\n{text}");
        }
        for part in missing {
            assert!(!text.contains(part), "{part:?} is in\n{text}");
        }
    }
}

#[test]
fn it_waits_as_long_as_something_changes() {
    let (start, timeout) = (time::now(), Duration::from_secs(60));
    let at = |secs| start + Duration::from_secs(secs);
    let mut waiting = Waiting::new(start);
    let both = [hindrance("shop/cart", true), hindrance("shop/web", true)];
    assert!(!waiting.is_over(&both, timeout, at(0)));
    assert!(!waiting.is_over(&both, timeout, at(59)));
    assert!(!waiting.is_over(&both[1..], timeout, at(60)));
    assert!(!waiting.is_over(&both[1..], timeout, at(119)));
    assert!(waiting.is_over(&both[1..], timeout, at(120)));
}
