//! TrafficPolicies about routes of a gateway, and about services that it leads to.

use weft_testkit::documents::{endpoint_slice, pem_block, service, with_middlewares};
use weft_testkit::{Certificates, Gateway, RawClient, RawOrigin, Response, TlsDial, wait};

use crate::common::{GET, TEST_USER, USERS, builder};

/// A policy about an object, with the separator in front; `about` and `spec` are flow maps without
/// braces.
fn policy(about: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: weftway.io/v1alpha1\nkind: TrafficPolicy\nmetadata: {{name: p}}\nspec: \
         {{targetRefs: [{{{about}}}], {spec}}}\n"
    )
}

/// The service `echo:80` at that origin.
fn echo(origin: &RawOrigin) -> String {
    service("echo", 80) + &endpoint_slice("echo", &[origin.addr()])
}

/// Asks until too much has been asked, and answers how often it was not. Tokens that come back
/// meanwhile may make it more.
fn until_limited(mut ask: impl FnMut() -> Response) -> usize {
    for count in 0..1000 {
        let response = ask();
        match response.status {
            200 => {}
            429 => return count,
            status => panic!("{status}: {}", response.text()),
        }
    }
    panic!("nothing was limited");
}

#[test]
fn clients_are_counted_by_their_certificates() {
    let (authority, clients) = (Certificates::new("servers"), Certificates::new("clients"));
    let origin = RawOrigin::start("echo");
    let documents = format!(
        "{}---\napiVersion: v1\nkind: Secret\nmetadata: {{name: clients}}\nstringData:\n  ca.crt: |\n    \
         {}\n---\napiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {{name: public}}\n\
         spec:\n  servers:\n  - port: {{number: 443, name: https, protocol: HTTPS}}\n    hosts: \
         [a.test]\n    tls: {{mode: MUTUAL, credentialName: a, caCertCredentialName: clients}}\n\
         ---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: a}}\n\
         spec:\n  hosts: [a.test]\n  gateways: [public]\n  http: [{{route: [{{destination: {{host: \
         echo}}}}]}}]\n",
        authority.leaf(&["a.test"]).secret("a"),
        pem_block(clients.pem())
    );
    let policy = policy(
        "group: networking.istio.io, kind: VirtualService, name: a",
        "localRateLimit: {perIdentity: {requestsPerSecond: 1, burst: 2}, overrides: \
         [{requestsPerSecond: 1, burst: 20, clientRefs: [{name: batch, namespace: jobs}]}]}",
    );
    let gateway = builder()
        .port(443)
        .document("echo.yaml", &echo(&origin))
        .document("a.yaml", &(documents + &policy))
        .start();
    let dial = TlsDial::http1("a.test", authority.roots());
    let count = |name: &str| {
        let mut client =
            RawClient::connect_tls(gateway.port(443), &dial.clone().client(&clients.leaf(&[name])));
        until_limited(|| client.request(GET))
    };
    assert!(count("anna.test") >= 2);
    // What one client has used up is not what another has.
    assert!(count("bob.test") >= 2);
    assert!(count("spiffe://cluster.local/ns/jobs/sa/batch") >= 20);
}

#[test]
fn users_are_counted_by_their_names() {
    let origin = RawOrigin::start("echo");
    let users = [("users", "  basicAuth:\n    secret: users")];
    let policy = policy(
        "group: '', kind: Service, name: echo",
        "localRateLimit: {perIdentity: {requestsPerSecond: 1, burst: 3}}",
    );
    let gateway = builder()
        .document("routes.yaml", &with_middlewares("echo:80", &users))
        .document("users.yaml", USERS)
        .document("echo.yaml", &(echo(&origin) + &policy))
        .start();
    let mut client = gateway.client();
    let mut get = |value: &str| {
        client.request(format!("GET / HTTP/1.1\r\nHost: a.test\r\nAuthorization: {value}\r\n\r\n"))
    };
    // Whoever cannot say who it is takes nothing from those who can.
    for _ in 0..5 {
        assert_eq!(get("Basic dGVzdDp3cm9uZw==").status, 401);
    }
    assert!(until_limited(|| get(TEST_USER.1)) >= 3);
    assert!(until_limited(|| get("Basic c2hhOnRlc3Q=")) >= 3);
}

/// A gateway with the rules `one` (for `/one`) and `two` of an HTTPRoute, of which the first has
/// room for one request.
fn bounded(origin: &RawOrigin) -> Gateway {
    let rule = |name: &str| {
        format!(
            "{{name: {name}, matches: [{{path: {{value: /{name}}}}}], backendRefs: [{{name: echo, \
             port: 80}}]}}"
        )
    };
    let documents = format!(
        "---\napiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{name: gw}}\nspec:\n  \
         gatewayClassName: weftway\n  listeners: [{{name: http, port: 80, protocol: HTTP}}]\n\
         ---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: r}}\n\
         spec:\n  parentRefs: [{{name: gw}}]\n  rules: [{}, {}]\n",
        rule("one"),
        rule("two")
    );
    let about = "group: gateway.networking.k8s.io, kind: HTTPRoute, name: r, sectionName: one";
    let policy = policy(about, "limits: {perRoute: {requests: 1}}");
    builder().port(80).document("all.yaml", &(echo(origin) + &documents + &policy)).start()
}

#[test]
fn a_rule_of_a_gateway_has_as_many_requests_under_way_as_its_policy_allows() {
    let origin = RawOrigin::start("echo");
    let gateway = bounded(&origin);
    let get = |target: &str| RawClient::get(gateway.port(80), "a.test", target);
    let gate = origin.hold("/one/hold");
    let mut held = RawClient::connect(gateway.port(80));
    held.send("GET /one/hold HTTP/1.1\r\nHost: a.test\r\n\r\n");
    origin.wait_for("the request", |requests, _| requests.len() == 1);
    assert_eq!((get("/one").status, get("/two").status), (429, 200));
    gate.open();
    held.response().echo();
    wait::until_true("room again", || get("/one").status == 200);
}
