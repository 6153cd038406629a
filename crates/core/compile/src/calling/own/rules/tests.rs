use std::collections::HashMap;

use weft_model::id::RouteId;
use weft_model::policy::{AnswerDiff, FixedAnswer, HeaderEdits};
use weft_model::route::{Failover, Matcher, Mirrors, Origin, Rank, Timeouts};

use super::*;

/// What a policy with a bound of so many requests adds.
fn bound(amount: u32) -> Added {
    let kind = StepKind::InFlight { amount, source: SourceCriterion::All };
    let extra = Extra { policy: "trafficpolicy/n/p".into(), shared: None, part: "limit", kind };
    Added { extras: vec![extra], ..Added::default() }
}

fn backend(id: &str) -> Target {
    Target::Backend(BackendId::new(id))
}

fn choice(name: &str, target: Target) -> Choice {
    let edits = StepKind::RequestHeaders(HeaderEdits::default());
    let step = Step { id: PolicyId::new("own"), kind: edits };
    Choice { name: name.into(), weight: 1, steps: [Arc::new(step)].into(), target }
}

/// A route to that target, to which policies have added what is theirs: bounds of `a` and `b`.
fn guarded(target: Target) -> Route {
    let mut route = Arc::new(Route {
        id: RouteId::new("ingressroute/n/r/0"),
        origin: Origin::default(),
        rank: Rank::default(),
        matcher: Matcher::All(Vec::new()),
        steps: Arc::default(),
        target,
        timeouts: Timeouts::default(),
    });
    let all: HashMap<&str, Added> =
        [("a:1", bound(1)), ("a:2", bound(1)), ("b:1", bound(2))].into();
    apply_by_target(&mut route, &|id| all.get(id.as_str()));
    Arc::unwrap_or_clone(route)
}

/// The bounds among steps, with `-` for what was there before.
fn bounds(steps: &[Arc<Step>]) -> Vec<String> {
    let name = |step: &Arc<Step>| match step.kind {
        StepKind::InFlight { amount, .. } => amount.to_string(),
        _ => "-".into(),
    };
    steps.iter().map(name).collect()
}

/// The bounds on a target that was wrapped for them.
fn wrapped(target: &Target) -> Vec<String> {
    match target {
        Target::Weighted(weighted) if weighted.choices.len() == 1 => {
            bounds(&weighted.choices[0].steps)
        }
        _ => Vec::new(),
    }
}

#[test]
fn what_holds_for_all_targets_holds_for_the_rule() {
    let both = Failover {
        main: backend("a:1"),
        fallback: backend("a:2"),
        statuses: Vec::new(),
        body_bytes_max: 0,
    };
    let nested = Weighted { choices: vec![choice("x", backend("a:2"))], sticky: None };
    for target in [
        backend("a:1"),
        Target::Failover(Arc::new(both)),
        Target::HighestRandomWeight([choice("x", Target::Weighted(Arc::new(nested)))].into()),
    ] {
        let route = guarded(target.clone());
        assert_eq!((bounds(&route.steps), &route.target), (vec!["1".into()], &target));
    }
    assert_eq!(bounds(&guarded(backend("c:1")).steps), [""; 0]);
}

#[test]
fn a_second_choice_is_bounded_though_the_first_is_not() {
    let failover = Failover {
        main: backend("c:1"),
        fallback: backend("a:1"),
        statuses: Vec::new(),
        body_bytes_max: 0,
    };
    let route = guarded(Target::Failover(Arc::new(failover)));
    let Target::Failover(failover) = &route.target else { panic!("{route:?}") };
    assert_eq!(failover.main, backend("c:1"));
    assert_eq!((bounds(&route.steps).len(), wrapped(&failover.fallback)), (0, vec!["1".into()]));
}

#[test]
fn each_of_several_targets_has_its_own_bound_before_its_own_steps() {
    let choices =
        vec![choice("a", backend("a:1")), choice("b", backend("b:1")), choice("c", backend("c:1"))];
    let check = |found: &[Choice]| {
        let found: Vec<_> = found.iter().map(|choice| bounds(&choice.steps).join(" ")).collect();
        assert_eq!(found, ["1 -", "2 -", "-"]);
    };
    let route = guarded(Target::HighestRandomWeight(choices.clone().into()));
    let Target::HighestRandomWeight(found) = &route.target else { panic!("{route:?}") };
    check(found);
    // The main target of a mirror, whatever gets copies.
    let main = Target::Weighted(Arc::new(Weighted { choices, sticky: None }));
    let (mirrors, body) = (Vec::new(), true);
    let mirror = Mirrors { main, mirrors, body, body_bytes_max: None, compared: None };
    let route = guarded(Target::Mirror(Arc::new(mirror)));
    let Target::Mirror(mirror) = &route.target else { panic!("{route:?}") };
    let Target::Weighted(found) = &mirror.main else { panic!("{route:?}") };
    check(&found.choices);
}

#[test]
fn what_is_refused_does_nothing_besides() {
    let refusal = Refusal { reason: Reason::PolicyUnenforceable, detail: "broken".into() };
    let refused = Added { refusal: Some(refusal.clone()), ..bound(1) };
    let answer = FixedAnswer { status: 200, body: Arc::from(&b"open"[..]) };
    let kind = StepKind::Respond(answer);
    let mut route = guarded(backend("c:1"));
    route.steps = [Arc::new(Step { id: PolicyId::new("own"), kind })].into();
    let mut alone = route.clone();
    refused.apply(&mut alone);
    assert_eq!((&*alone.steps, alone.target), (&[][..], Target::Refuse(refusal.clone())));
    // Of several targets, one alone.
    let choices = vec![choice("a", backend("a:1")), choice("b", backend("b:1"))];
    let weighted = Weighted { choices: choices.clone(), sticky: None };
    route.target = Target::Weighted(Arc::new(weighted));
    let mut route = Arc::new(route);
    apply_by_target(&mut route, &|id| (id.as_str() == "a:1").then_some(&refused));
    let Target::Weighted(weighted) = &route.target else { panic!("{route:?}") };
    let [a, b] = &*weighted.choices else { panic!("{weighted:?}") };
    assert_eq!((&*a.steps, &a.target), (&[][..], &Target::Refuse(refusal)));
    assert_eq!(*b, choices[1]);
}

#[test]
fn what_is_said_nearer_of_comparisons_stands() {
    let how = |parts_per_million| AnswerDiff {
        parts_per_million,
        status: true,
        headers: false,
        body: false,
    };
    let mirror = |compared| {
        let backend = BackendId::new("m");
        let kind = StepKind::Mirror { parts_per_million: 1, backend, compared };
        Arc::new(Step { id: PolicyId::new("mirror"), kind })
    };
    let mut route = guarded(backend("c:1"));
    route.steps = [mirror(None), mirror(Some(how(3)))].into();
    Added { compared: Some(how(7)), ..Added::default() }.apply(&mut route);
    assert_eq!(route.steps, [mirror(Some(how(7))), mirror(Some(how(3)))].into());
}

#[test]
fn the_routes_of_a_rule_are_told_by_their_ids() {
    for (id, expected) in [
        ("httproute/n/r/0", "httproute/n/r/0"),
        ("httproute/n/r/0/2@*.example", "httproute/n/r/0"),
        ("grpcroute/n/r/named@a.example", "grpcroute/n/r/named"),
        ("virtualservice/n/v/1:80", "virtualservice/n/v/1"),
        ("virtualservice/n/v/1/0:80", "virtualservice/n/v/1"),
        ("virtualservice/n/inner/1@n/outer/0@a.example", "virtualservice/n/inner/1"),
        // Others have one route for each rule.
        ("ingress/n/r/a.example/x/y", "ingress/n/r/a.example/x/y"),
        ("service/n/s/rest:80", "service/n/s/rest:80"),
    ] {
        assert_eq!(rule_of(id), expected);
    }
}
