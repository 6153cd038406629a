//! `weftway explain` and `weftway plan`: by files, and by a gateway that runs.

use weft_testkit::RawOrigin;

use crate::cli::{Ran, folder, weftway};
use crate::common::to_echo;

/// The VirtualService of the project's first documents: a subset, and retries.
const PAYMENT: &str = "\
apiVersion: v1
kind: Service
metadata: {name: payment-service}
spec: {selector: {app: payment-service}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: networking.istio.io/v1alpha3
kind: VirtualService
metadata: {name: payment-vs}
spec:
  hosts: [payment-service]
  http:
  - match: [{headers: {x-user: {exact: '7'}}}]
    route: [{destination: {host: payment-service}}]
  - route: [{destination: {host: payment-service, subset: v2}}]
    timeout: 5s
    retries: {attempts: 3, perTryTimeout: 2s}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: payment}
spec:
  host: payment-service
  trafficPolicy: {loadBalancer: {simple: RANDOM}}
  subsets: [{name: v2, labels: {version: v2}}]
";

fn by_files(request: &str, more: &[&str]) -> Ran {
    let documents = folder(&[("all.yaml", PAYMENT)]);
    let path = documents.path().to_str().unwrap();
    weftway(&[&["explain", request, "--from", "checkout", "-f", path], more].concat())
}

fn has(ran: &Ran, words: &str) {
    let shown = ran.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(shown.contains(words), "no `{words}` in {}\n{}", ran.stdout, ran.stderr);
}

#[test]
fn files_say_which_rule_wins_and_where_each_setting_comes_from() {
    let ran = by_files("GET http://payment-service/v2/charge", &[]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    has(&ran, "taken by VirtualService default/payment-vs");
    has(&ran, "all.yaml:14)");
    has(&ran, "wants Header(`x-user`, `7`), and there is none");
    has(&ran, "request timeout 5s VirtualService default/payment-vs");
    has(&ran, "up to 4 tries");
    has(&ran, "payment-service.default.svc.cluster.local:80/v2 (100 %)");
    has(&ran, "load balancing random DestinationRule default/payment");
    has(&ran, "retry budget 20 % of the requests of 10s, or 10 each 1s default");
}

#[test]
fn a_header_may_lead_elsewhere() {
    let ran = by_files("GET http://payment-service/", &["--header", "x-user: 7"]);
    has(&ran, "to payment-service.default.svc.cluster.local:80 (100 %)");
    has(&ran, "outranked");
}

#[test]
fn the_explanation_can_be_read_by_programs() {
    let ran = by_files("POST http://payment-service:80/", &["-o", "json"]);
    let view: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(view["rules"][0]["verdict"], "wins");
    assert_eq!(view["leads"][0]["percent"], 100.0);
}

#[test]
fn what_is_no_request_or_no_service_is_said() {
    let ran = by_files("payment-service/", &[]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("is no request; write it as"), "{}", ran.stderr);
    let ran = by_files("GET http://payment-service:81/", &[]);
    assert_eq!(ran.code, 1);
    has(&ran, "no rule takes it");
}

#[test]
fn a_gateway_that_runs_explains_by_what_it_serves() {
    let origin = RawOrigin::start("echo");
    let gateway = to_echo(&origin).start();
    let mut client = gateway.client();
    client.request("GET /cart HTTP/1.1\r\nHost: a.test\r\nX-Request-Id: order-7\r\n\r\n").echo();
    gateway.wait_metric("weftway_requests_total", &[], |count| count >= 1.0);
    let admin = gateway.admin_addr().to_string();
    let ran = weftway(&["explain", "GET http://a.test/cart", "--admin", &admin]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    has(&ran, "taken by IngressRoute default/routes");
    has(&ran, &format!("{} 1 0", origin.addr()));
    has(&ran, "usable");

    let past = weftway(&["explain", "--id", "order-7", "--admin", &admin]);
    assert_eq!(past.code, 0, "{}", past.stderr);
    has(&past, "what became of it: 200 (upstream) after 1 try");
    has(&past, &format!("last at {}", origin.addr()));
    has(&past, "rule then: ingressroute/default/routes/0");
    let unknown = weftway(&["explain", "--id", "order-8", "--admin", &admin]);
    assert_eq!(unknown.code, 1);
    assert!(unknown.stderr.contains("no request `order-8`"), "{}", unknown.stderr);
}

#[test]
fn recent_requests_hold_no_secrets() {
    let origin = RawOrigin::start("echo");
    let gateway = to_echo(&origin).start();
    gateway
        .client()
        .request(
            "GET /a HTTP/1.1\r\nHost: a.test\r\nX-Request-Id: one\r\nAuthorization: Basic c2VjcmV0\r\n\
             Cookie: session=hush\r\n\r\n",
        )
        .echo();
    gateway.wait_metric("weftway_requests_total", &[], |count| count >= 1.0);
    let text = gateway.admin("/recent").text();
    assert!(text.contains("order") || text.contains("\"request_id\":\"one\""), "{text}");
    assert!(!text.contains("c2VjcmV0") && !text.contains("hush"), "{text}");
}

fn plan(before: &str, change: &str, more: &[&str]) -> Ran {
    let documents = folder(&[("all.yaml", before), ("change.txt", change)]);
    let changed = folder(&[("change.yaml", change)]);
    let against = documents.path().join("all.yaml");
    let paths = [changed.path().to_str().unwrap(), against.to_str().unwrap()];
    weftway(&[&["plan", "-f", paths[0], "--against", paths[1]], more].concat())
}

const NARROWER: &str = "\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: payment-vs}
spec:
  hosts: [payment-service]
  http:
  - match: [{uri: {prefix: /v2}}]
    route: [{destination: {host: payment-service, subset: v2}}]
";

#[test]
fn a_change_that_takes_calls_away_is_told_before_it_is_made() {
    let ran = plan(PAYMENT, NARROWER, &[]);
    assert_eq!(ran.code, 1, "something would be lost\n{}", ran.stdout);
    has(&ran, "LOST GET http://payment-service.default.svc.cluster.local/");
    has(&ran, "no rule takes it, until now taken by virtualservice/default/payment-vs");
    has(&ran, "VirtualService default/payment-vs");
}

#[test]
fn a_change_of_nothing_changes_nothing() {
    let ran = plan(PAYMENT, PAYMENT, &[]);
    assert_eq!((ran.code, ran.stdout.trim()), (0, "nothing would be different"));
}

#[test]
fn a_document_that_would_go_is_told() {
    let ran = plan(PAYMENT, "", &["--without", "VirtualService/default/payment-vs"]);
    has(&ran, "vanishes VirtualService default/payment-vs");
    let ran = plan(PAYMENT, "", &["--without", "VirtualService/default/none"]);
    assert!(ran.stderr.contains("there is no document"), "{}", ran.stderr);
}
