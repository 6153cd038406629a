//! What a proxy makes of rules that it cannot read: something of a later version, or damaged.

use prost::Message as _;
use weft_message::Method;
use weft_model::backend::Endpoints;
use weft_model::calling::{Calling, LocalityOrder};
use weft_model::mesh::Traffic;
use weft_model::policy::{ForwardAuth, Refusal, StepKind};
use weft_model::route::{Matcher, PathMatch, Route, Target, TcpMatcher, TcpRoute, TcpTls};
use weft_resilience::settings::{BudgetSettings, PickerKind};

use super::*;
use crate::resource::calling as calls;
use crate::resource::route::{
    Choice, MatcherKind, Matchers, PathMatchKind, RoutedHttp, RoutedTcp, TargetKind, Weighted,
};
use crate::resource::traffic::{self as wire, HttpRules, TcpRules};
use crate::resource::{route, step};

/// The same bytes, as a proxy reads them.
fn read(message: &wire::Traffic) -> Result<Traffic, InvalidResource> {
    let service = resource::Service {
        entry: Some(resource::IndexEntry::default()),
        traffic: Some(message.clone()),
        ..Default::default()
    };
    let read = decode::service("a", &service.encode_to_vec())?;
    Ok(Traffic::clone(&read.traffic))
}

fn http(routes: &[route::Route]) -> Vec<Route> {
    let routed =
        |route: &route::Route| RoutedHttp { route: Some(route.clone()), ..Default::default() };
    let rules = HttpRules { routes: routes.iter().map(routed).collect() };
    let set = wire::RouteSet { http: Some(rules), ..Default::default() };
    let traffic = read(&wire::Traffic { routing: vec![set], ..Default::default() }).unwrap();
    let rules = traffic.routing[0].http.clone().unwrap();
    rules.iter().map(|routed| Route::clone(&routed.route)).collect()
}

fn tcp(route: route::TcpRoute) -> TcpRoute {
    let rules = TcpRules { routes: vec![RoutedTcp { route: Some(route), ..Default::default() }] };
    let set = wire::RouteSet { tcp: Some(rules), ..Default::default() };
    let traffic = read(&wire::Traffic { routing: vec![set], ..Default::default() }).unwrap();
    TcpRoute::clone(&traffic.routing[0].tcp.as_ref().unwrap()[0].route)
}

fn good() -> route::Route {
    route::Route {
        id: "good".into(),
        matcher: Some(path("/good")),
        target: Some(route::Target { kind: Some(TargetKind::Backend("b".into())) }),
        ..Default::default()
    }
}

fn matcher(kind: MatcherKind) -> route::Matcher {
    route::Matcher { kind: Some(kind) }
}

fn path(prefix: &str) -> route::Matcher {
    let kind = Some(PathMatchKind::Prefix(prefix.into()));
    matcher(MatcherKind::Path(route::PathMatch { kind }))
}

fn all(all: Vec<route::Matcher>) -> MatcherKind {
    MatcherKind::All(Matchers { all })
}

fn any_of(all: Vec<route::Matcher>) -> MatcherKind {
    MatcherKind::Any(Matchers { all })
}

fn refused(target: &Target) -> &Refusal {
    match target {
        Target::Refuse(refusal) if refusal.reason == Reason::PolicyUnenforceable => refusal,
        other => panic!("{other:?}"),
    }
}

fn prefix(text: &str) -> Matcher {
    Matcher::Path(PathMatch::Prefix(text.into()))
}

/// A condition that a later version may have: one without a kind that is known here.
fn unknown() -> route::Matcher {
    route::Matcher::default()
}

fn fits_all() -> Matcher {
    Matcher::All(vec![])
}

fn fits_none() -> Matcher {
    Matcher::Any(vec![])
}

#[test]
fn a_rule_that_cannot_be_read_refuses_and_the_others_stay() {
    let bad = route::Route { matcher: Some(unknown()), ..good() };
    let read = http(&[bad, good()]);
    refused(&read[0].target);
    assert_eq!(read[1].target, Target::Backend(weft_model::id::BackendId::new("b")));
    assert_eq!(read[1].matcher, prefix("/good"));
}

/// Whatever the part that is not known means, nothing that the rule takes escapes it.
#[test]
fn a_condition_that_is_not_known_takes_too_much_rather_than_too_little() {
    let check = |kind, expected: Matcher| {
        let read = http(&[route::Route { matcher: Some(matcher(kind)), ..good() }]);
        refused(&read[0].target);
        assert_eq!(read[0].matcher, expected);
    };
    let not = |inner| MatcherKind::Not(Box::new(inner));
    check(all(vec![path("/a"), unknown()]), Matcher::All(vec![prefix("/a"), fits_all()]));
    check(any_of(vec![path("/a"), unknown()]), Matcher::Any(vec![prefix("/a"), fits_all()]));
    check(not(unknown()), Matcher::Not(Box::new(fits_none())));
    check(not(matcher(all(vec![path("/a"), unknown()]))), {
        Matcher::Not(Box::new(Matcher::All(vec![prefix("/a"), fits_none()])))
    });
    check(not(matcher(not(unknown()))), {
        Matcher::Not(Box::new(Matcher::Not(Box::new(fits_all()))))
    });
}

/// Whoever writes such a thing wants the reader to end.
#[test]
fn conditions_inside_of_each_other_have_a_bound() {
    let nested = |depth| {
        let not = |inner, _| matcher(MatcherKind::Not(Box::new(inner)));
        let matcher = Some((0..depth).fold(path("/a"), not));
        let rules = HttpRules {
            routes: vec![RoutedHttp {
                route: Some(route::Route { matcher, ..good() }),
                ..Default::default()
            }],
        };
        let set = wire::RouteSet { http: Some(rules), ..Default::default() };
        read(&wire::Traffic { routing: vec![set], ..Default::default() })
    };
    assert!(nested(30).is_ok());
    assert!(matches!(nested(1_000), Err(InvalidResource::Message(_))));
}

#[test]
fn what_is_no_pattern_method_or_name_makes_a_rule_refuse() {
    let check = |kind: MatcherKind, said: &str| {
        let read = http(&[route::Route { matcher: Some(matcher(kind)), ..good() }]);
        assert_eq!(read[0].matcher, fits_all());
        let detail = &refused(&read[0].target).detail;
        assert!(detail.contains(said), "{detail}");
    };
    let regex = |text: &str| Some(PathMatchKind::Regex(text.into()));
    check(MatcherKind::Path(route::PathMatch { kind: regex("(") }), "regular expression");
    check(MatcherKind::Path(route::PathMatch { kind: None }), "update this proxy");
    check(MatcherKind::Method("G T".into()), "method");
    check(MatcherKind::Scheme(9), "9");
    let header = route::NamedMatch { name: " ".into(), text: None };
    check(MatcherKind::Header(header), "header");
    let header = route::NamedMatch { name: "x".into(), text: Some(route::TextMatch::default()) };
    check(MatcherKind::Header(header), "text");
    let network = resource::Network { ip: vec![1, 2, 3, 4], prefix: 33 };
    check(MatcherKind::ClientIp(network), "33");
    // And what is one does not.
    let read = http(&[route::Route {
        matcher: Some(matcher(MatcherKind::Method("PATCH".into()))),
        ..good()
    }]);
    assert_eq!(read[0].matcher, Matcher::Method(Method::Patch));
}

#[test]
fn a_target_that_is_not_known_refuses() {
    let read = http(&[route::Route { target: None, ..good() }]);
    refused(&read[0].target);
    let choice = |target| Choice { name: "c".into(), weight: 1, target, ..Default::default() };
    let weighted = Weighted {
        choices: vec![choice(Some(route::Target::default())), choice(good().target)],
        sticky: None,
    };
    let target = Some(route::Target { kind: Some(TargetKind::Weighted(weighted)) });
    let read = http(&[route::Route { target, ..good() }]);
    let Target::Weighted(weighted) = &read[0].target else { panic!("{:?}", read[0].target) };
    refused(&weighted.choices[0].target);
    assert!(matches!(weighted.choices[1].target, Target::Backend(_)));
}

#[test]
fn a_step_that_cannot_be_read_refuses_in_its_place() {
    let step = |kind| step::Step { id: "s".into(), kind };
    let edits = |name: &str| {
        let header = step::Header { name: name.into(), value: "v".into() };
        step::StepKind::RequestHeaders(step::HeaderEdits {
            set: vec![header],
            ..Default::default()
        })
    };
    let check = |kind: Option<step::StepKind>| {
        let steps = vec![step(Some(edits("x"))), step(kind)];
        let read = http(&[route::Route { steps, ..good() }]);
        assert!(matches!(read[0].steps[0].kind, StepKind::RequestHeaders(_)));
        assert_eq!(read[0].steps[1].id.as_str(), "s");
        match &read[0].steps[1].kind {
            StepKind::Refuse(refusal) => {
                assert_eq!(refusal.reason, Reason::PolicyUnenforceable);
            }
            other => panic!("{other:?}"),
        }
    };
    check(None);
    check(Some(edits("not a name")));
    check(Some(step::StepKind::RateLimit(step::RateLimit::default())));
    check(Some(step::StepKind::Respond(step::FixedAnswer {
        status: 70_000,
        ..Default::default()
    })));
    let abort = Some(step::Abort::default());
    check(Some(step::StepKind::Fault(step::Fault { delay: None, abort })));
    let retry = step::RetryPolicy { factor: f64::NAN, ..Default::default() };
    check(Some(step::StepKind::Retry(retry)));
}

#[test]
fn a_workload_keeps_requests_out_that_a_step_was_to_keep_out() {
    let message = resource::Workload {
        identity: identity().to_string(),
        steps: vec![step::Step::default()],
        ..Default::default()
    };
    let read = decode::workload("shop/one", &message.encode_to_vec()).unwrap();
    assert!(matches!(read.steps[0].kind, StepKind::Refuse(_)));
}

#[test]
fn connections_of_bytes_are_refused_by_a_rule_that_cannot_be_read() {
    let good = || route::TcpRoute { target: good().target, ..Default::default() };
    assert!(matches!(tcp(good()).target, Target::Backend(_)));
    let check = |route| {
        refused(&tcp(route).target);
    };
    check(route::TcpRoute { tls: 2, ..good() });
    // Whatever it was to take, TLS or not.
    assert_eq!(tcp(route::TcpRoute { tls: 2, ..good() }).tls, TcpTls::Plain);
    check(route::TcpRoute { target: None, ..good() });
    check(route::TcpRoute { matcher: Some(route::TcpMatcher::default()), ..good() });
    let network = resource::Network { ip: vec![1], prefix: 0 };
    // Without it, more clients were allowed.
    check(route::TcpRoute { allow: vec![network], ..good() });
    let rank = Some(route::Rank { dialect: 256, ..Default::default() });
    check(route::TcpRoute { rank, ..good() });
    assert_eq!(tcp(good()).matcher, TcpMatcher::All(vec![]));
}

/// Nothing that was written for one kind of proxy is lost on another.
#[test]
fn what_has_no_form_on_the_wire_arrives_as_a_refusal() {
    let auth = ForwardAuth {
        backend: weft_model::id::BackendId::new("auth"),
        host: "auth".into(),
        path: "/".into(),
        trust_forward_header: false,
        request_headers: vec![],
        response_headers: vec![],
        response_headers_pattern: None,
        add_cookies: vec![],
        forward_body: false,
        body_bytes_max: None,
        answer_bytes_max: None,
        header: None,
        preserve_location: false,
        preserve_method: false,
    };
    let kinds = [
        StepKind::AddPrefix("/a".into()),
        StepKind::ForwardAuth(Box::new(auth)),
        StepKind::StripPrefix(vec![]),
    ];
    for kind in kinds {
        let step = weft_model::policy::Step { id: weft_model::id::PolicyId::new("s"), kind };
        let workload = Workload {
            steps: [Arc::new(step)].into(),
            ..Workload::new(WorkloadName::new("shop/one"), identity())
        };
        let read = decode::workload("shop/one", &encode::workload(&workload)).unwrap();
        assert!(matches!(read.steps[0].kind, StepKind::Refuse(_)), "{:?}", read.steps[0]);
    }
}

fn called(calling: calls::Calling) -> Result<Calling, InvalidResource> {
    let entry = wire::CallingFor { calling: Some(calling), ..Default::default() };
    let traffic = read(&wire::Traffic { calling: vec![entry], ..Default::default() })?;
    Ok(Calling::clone(&traffic.calling[0].calling))
}

#[test]
fn settings_that_only_tune_fall_back_where_they_are_not_known() {
    let strange = calls::Calling {
        picker: Some(calls::Picker::Plain(99)),
        upgrade: 99,
        retry_budget: Some(calls::Budget { kind: None }),
        locality: Some(calls::Locality { order: 99, ..Default::default() }),
        ..Default::default()
    };
    let read = called(strange).unwrap();
    assert_eq!(read.picker, PickerKind::RoundRobin);
    // A bound stays a bound.
    assert_eq!(read.retry_budget, Some(BudgetSettings::DEFAULT));
    assert_eq!(read.locality.unwrap().order, LocalityOrder::None);
}

#[test]
fn settings_that_say_who_is_spoken_to_are_not_guessed() {
    let name = calls::SubjectAltName { kind: None };
    let tls = calls::Tls { subject_alt_names: vec![name], ..Default::default() };
    let read = called(calls::Calling { tls: Some(tls), ..Default::default() });
    assert_eq!(read, Err(InvalidResource::Kind("subject_alt_name")));
    let read = called(calls::Calling { proxy_protocol: 3, ..Default::default() });
    assert_eq!(read, Err(InvalidResource::Unknown { field: "proxy_protocol", value: 3 }));
    let slow_start = calls::SlowStart { window: 1, ratio_min: -1.0, aggression: 1.0 };
    let read = called(calls::Calling { slow_start: Some(slow_start), ..Default::default() });
    assert_eq!(read, Err(InvalidResource::Quantity { field: "ratio_min", value: -1.0 }));
}

#[test]
fn a_backend_that_cannot_be_read_has_no_endpoint() {
    let bad = wire::Backend { id: "b".into(), ..Default::default() };
    let traffic = read(&wire::Traffic { backends: vec![bad], ..Default::default() }).unwrap();
    assert_eq!(traffic.backends["b"].endpoints, Endpoints::Static([].into()));
}

#[test]
fn labels_that_are_not_there_make_a_service_invalid() {
    let endpoint = resource::Endpoint { ip: vec![1, 2, 3, 4], labels: 2, ..Default::default() };
    let message = resource::Service {
        entry: Some(resource::IndexEntry::default()),
        endpoints: vec![endpoint],
        label_sets: vec![resource::LabelSet::default()],
        ..Default::default()
    };
    let expected = InvalidResource::Bounds { field: "labels", value: 2 };
    assert_eq!(decode::service("a", &message.encode_to_vec()), Err(expected));
}

#[test]
fn the_key_of_a_certificate_is_not_shown() {
    let certificate = calls::Certificate { key_pem: b"SECRET".to_vec(), ..Default::default() };
    let shown = format!("{certificate:?}");
    assert!(!shown.contains("key_pem") && !shown.contains("83, 69"), "{shown}");
}

/// A later version tells audiences by more than this one knows: the rule must not hold for more.
#[test]
fn an_audience_of_a_kind_that_is_not_known_is_refused_and_not_widened() {
    let of = |audience: wire::Audience| {
        let entry = wire::CallingFor { audience: Some(audience.clone()), ..Default::default() };
        let set = wire::RouteSet { audience: Some(audience.clone()), ..Default::default() };
        let routed =
            RoutedHttp { audience: Some(audience), route: Some(good()), ..Default::default() };
        let http = Some(HttpRules { routes: vec![routed] });
        let rules = wire::RouteSet { http, ..Default::default() };
        [
            read(&wire::Traffic { calling: vec![entry], ..Default::default() }),
            read(&wire::Traffic { routing: vec![set], ..Default::default() }),
            read(&wire::Traffic { routing: vec![rules], ..Default::default() }),
        ]
    };
    let shop = wire::Audience {
        namespaces: vec!["shop".into()],
        kind: wire::BY_NAMESPACE_AND_LABELS,
        ..Default::default()
    };
    assert!(of(shop.clone()).iter().all(Result::is_ok));
    for kind in [1, 2] {
        for result in of(wire::Audience { kind, ..shop.clone() }) {
            let expected = InvalidResource::Unknown { field: "audience", value: kind };
            assert_eq!(result.err(), Some(expected));
        }
    }
}
