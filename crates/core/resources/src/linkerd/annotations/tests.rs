use super::*;
use crate::kind::Kind;
use crate::set::load;

/// What the annotations of an object become, and what is said of them.
fn read(kind: &str, annotations: &str) -> (Kind, Vec<String>) {
    let head = match kind {
        "Service" => "apiVersion: v1\nspec: {ports: [{port: 80}]}",
        "EgressNetwork" => "apiVersion: policy.linkerd.io/v1alpha1\nspec: {trafficPolicy: Deny}",
        _ => "apiVersion: gateway.networking.k8s.io/v1\nspec: {rules: []}",
    };
    let text = format!("{head}\nkind: {kind}\nmetadata: {{name: a, annotations: {annotations}}}\n");
    let set = load(&[("a.yaml", text)]);
    let problems: Vec<String> = set.problems().iter().map(ToString::to_string).collect();
    let resource = set.resources().next();
    (resource.unwrap_or_else(|| panic!("{problems:?}")).body.clone(), problems)
}

fn calls(kind: &str, annotations: &str) -> (CallAnnotations, Vec<String>) {
    let (body, problems) = read(kind, annotations);
    let calls = match body {
        Kind::Service(service) => service.calls,
        Kind::HttpRoute(route) => route.calls,
        Kind::GrpcRoute(route) => route.calls,
        Kind::EgressNetwork(egress) => egress.calls,
        other => panic!("{other:?}"),
    };
    (calls, problems)
}

fn balancer(annotations: &str) -> (BalancerAnnotations, Vec<String>) {
    let (body, problems) = read("Service", annotations);
    let Kind::Service(service) = body else { panic!("not a Service") };
    (service.balancer, problems)
}

#[test]
fn nothing_said_is_nothing_done() {
    for kind in ["Service", "HTTPRoute", "GRPCRoute", "EgressNetwork"] {
        let (calls, problems) = calls(kind, "{}");
        assert_eq!((calls, problems), (CallAnnotations::default(), vec![]), "{kind}");
    }
    assert_eq!(balancer("{}"), (BalancerAnnotations::default(), vec![]));
}

#[test]
fn retries_have_conditions_and_a_limit_of_one() {
    let check = |kind: &str, annotations: &str, http: &[(u16, u16)], grpc: &[u16], limit: u32| {
        let (calls, problems) = calls(kind, annotations);
        let retry = calls.retry.unwrap_or_else(|| panic!("{annotations}: {problems:?}"));
        let found = (retry.http.as_slice(), retry.grpc.as_slice(), retry.limit);
        assert_eq!(found, (http, grpc, limit), "{annotations}");
        assert_eq!(problems, [""; 0], "{annotations}");
    };
    check("Service", "{retry.linkerd.io/http: 5xx}", &[(500, 599)], &[], 1);
    check("HTTPRoute", "{retry.linkerd.io/http: gateway-error}", &[(502, 504)], &[], 1);
    let many = "{retry.linkerd.io/http: '429, 500-503', retry.linkerd.io/limit: '4'}";
    check("EgressNetwork", many, &[(429, 429), (500, 503)], &[], 4);
    let grpc = "{retry.linkerd.io/grpc: \
                'cancelled,deadline-exceeded,resource-exhausted,internal,unavailable'}";
    check("GRPCRoute", grpc, &[], &[1, 4, 8, 13, 14], 1);
    // What is said of the number alone asks for no retry by status.
    check("Service", "{retry.linkerd.io/limit: '2'}", &[], &[], 2);
    check("Service", "{retry.linkerd.io/limit: '0'}", &[], &[], 1);
}

#[test]
fn durations_have_one_unit_and_zero_is_no_bound() {
    let check = |text: &str, expected: Option<Duration>| {
        let (calls, problems) = calls("Service", &format!("{{{TIMEOUT_REQUEST}: '{text}'}}"));
        assert_eq!((calls.timeouts.request, problems), (expected, vec![]), "{text}");
    };
    check("250ms", Some(Duration::from_millis(250)));
    check(" 9s ", Some(Duration::from_secs(9)));
    check("2m", Some(Duration::from_secs(120)));
    check("1h", Some(Duration::from_secs(3600)));
    check("1d", Some(Duration::from_secs(86_400)));
    check("0", None);
    check("0s", None);
}

#[test]
fn what_cannot_be_read_has_no_effect_and_that_is_said() {
    let check = |name: &str, value: &str, reason: &str| {
        let annotations = format!("{{{name}: '{value}', {FAILURE_ACCRUAL}: consecutive}}");
        let (_, problems) = read("Service", &annotations);
        let [problem] = problems.as_slice() else { panic!("{name}: {problems:?}") };
        let path = format!("warning: metadata.annotations.{name}: ");
        assert!(problem.contains(&path) && problem.contains(reason), "{problem}");
    };
    check(RETRY_HTTP, "5xx,reset", "`reset` is neither");
    check(RETRY_HTTP, "99", "`99` is neither");
    check(RETRY_HTTP, "503-500", "`503-500` is neither");
    check(RETRY_GRPC, "unavailabel", "did you mean `unavailable`?");
    check(RETRY_GRPC, "ok", "`ok` is none of cancelled");
    check(RETRY_LIMIT, "-1", "`-1` is not a number");
    check(RETRY_TIMEOUT, "1.5s", "`1.5s` is not a duration");
    check(TIMEOUT_IDLE, "5", "`5` is not a duration");
    check(TIMEOUT_RESPONSE, "99999999999999999d", "is not a duration");
    check(JITTER_RATIO, "101", "`101` is not a number between 0 and 100");
    check(PENALTY_MAX, "500ms", "it is not above the shortest");
    check(HONOR_RETRY_AFTER, "yes", "neither `true` nor `false`");
    check(PENALIZE_FAILURES, "maybe", "neither `true` nor `false`");
    check(SUCCESS_WINDOW, "20s", "no effect without failure-accrual: unified");
    check(BIASER_PENALTY, "2s", "no effect without balancer.alpha.linkerd.io/penalize-failures");
    check("retry.linkerd.io/limits", "2", "it is not known and has no effect");
}

#[test]
fn the_rest_of_a_list_holds() {
    let (calls, _) = calls("Service", "{retry.linkerd.io/http: '5xx,reset'}");
    assert_eq!(calls.retry.unwrap().http, [(500, 599)]);
}

#[test]
fn annotations_are_for_some_kinds() {
    let check = |kind: &str, name: &str, value: &str, put_on: &str| {
        let (_, problems) = read(kind, &format!("{{{name}: '{value}'}}"));
        let [problem] = problems.as_slice() else { panic!("{kind} {name}: {problems:?}") };
        assert!(problem.contains(&format!("it has no effect on a {kind}")), "{problem}");
        let table = ALL.iter().find(|(known, _)| *known == name).unwrap();
        assert_eq!(table.1[0], put_on);
    };
    check("HTTPRoute", FAILURE_ACCRUAL, "consecutive", "Service");
    check("EgressNetwork", PENALIZE_FAILURES, "true", "Service");
    check("HTTPRoute", RETRY_GRPC, "internal", "Service");
    check("GRPCRoute", RETRY_HTTP, "5xx", "Service");
}

#[test]
fn failure_accrual_has_linkerds_defaults() {
    let (read, problems) = balancer("{balancer.linkerd.io/failure-accrual: consecutive}");
    let accrual = read.failure_accrual.expect("it is switched on");
    assert_eq!(problems, [""; 0]);
    assert_eq!((accrual.failures_max, accrual.jitter_ratio), (7, 0.5));
    assert_eq!(accrual.penalty_min, Duration::from_secs(1));
    assert_eq!(accrual.penalty_max, Duration::from_secs(60));
    assert_eq!((accrual.success_rate, accrual.honors_retry_after), (None, false));
    let (read, problems) = balancer("{balancer.linkerd.io/failure-accrual: unified}");
    let rate =
        SuccessRate { threshold_ratio: 0.8, window: Duration::from_secs(10), requests_min: 5 };
    assert_eq!(read.failure_accrual.unwrap().success_rate, Some(rate));
    assert_eq!(problems, [""; 0]);
    let (read, problems) = balancer("{balancer.linkerd.io/failure-accrual: 'true'}");
    assert_eq!(read.failure_accrual, None);
    assert!(problems[0].contains("neither `consecutive` nor `unified`"), "{problems:?}");
}

#[test]
fn the_load_biaser_is_off_unless_asked_for() {
    let (read, _) = balancer("{balancer.alpha.linkerd.io/penalize-failures: T}");
    let biaser = read.load_biaser.expect("it is switched on");
    assert_eq!(biaser.penalty, Duration::from_secs(5));
    assert_eq!(biaser.retry_after_max, Duration::from_secs(300));
    assert_eq!(balancer("{balancer.alpha.linkerd.io/penalize-failures: F}").0.load_biaser, None);
}

#[test]
fn places_are_those_of_the_values() {
    let text = "kind: Service
apiVersion: v1
spec: {}
metadata:
  name: a
  annotations:
    timeout.linkerd.io/request: soon
";
    let list = format!(
        "kind: List\napiVersion: v1\nitems:\n-\n{}",
        text.lines().map(|line| format!("  {line}\n")).collect::<String>()
    );
    for (text, line) in [(text.to_owned(), 7), (format!("# one\n---\n{text}"), 9), (list, 11)] {
        let problems = load(&[("a.yaml", &text)]).problems();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert_eq!(problems[0].at.line, line, "{text}");
    }
}
