//! Gateway API: filters, timeouts and retries. Each test restates a case of the upstream
//! conformance suite and has its name.

use weft_testkit::conformance::{
    Conformance, backend_ref, filtered, gateway, path, route, rule, same_namespace,
};
use weft_testkit::{H2Origin, Next, Response, wait};

use crate::common::{BINARY, builder};

fn start(rules: &str) -> Conformance {
    Conformance::start(BINARY, &[&same_namespace(), &route("HTTPRoute", "it", rules)])
}

fn get(it: &Conformance, target: &str, headers: &[(&str, &str)]) -> Response {
    it.send("GET", "a.test", target, headers)
}

#[test]
fn http_route_request_header_modifier() {
    let modify =
        |text: &str| format!("{{type: RequestHeaderModifier, requestHeaderModifier: {{{text}}}}}");
    let rules =
        filtered(
            &path("PathPrefix", "/set"),
            &modify("set: [{name: X-Header-Set, value: set-overwrites-values}]"),
            "v1",
        ) + &filtered(
            &path("PathPrefix", "/add"),
            &modify("add: [{name: X-Header-Add, value: add-appends-values}]"),
            "v1",
        ) + &filtered(&path("PathPrefix", "/remove"), &modify("remove: [X-Header-Remove]"), "v1");
    let it = start(&rules);
    let echo = get(&it, "/set", &[("Some-Other-Header", "val"), ("x-header-set", "old")]).echo();
    assert_eq!(echo.headers_named("x-header-set").collect::<Vec<_>>(), ["set-overwrites-values"]);
    assert_eq!(echo.header("some-other-header"), Some("val"));
    let echo = get(&it, "/add", &[("X-Header-Add", "some-other-value")]).echo();
    let added: Vec<&str> =
        echo.headers_named("x-header-add").flat_map(|text| text.split(", ")).collect();
    assert_eq!(added, ["some-other-value", "add-appends-values"]);
    let echo = get(&it, "/remove", &[("X-Header-Remove", "val"), ("Kept", "1")]).echo();
    assert_eq!((echo.header("x-header-remove"), echo.header("kept")), (None, Some("1")));
}

#[test]
fn http_route_response_header_modifier() {
    let filter = "{type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: X-Header-Set, \
                  value: new}], add: [{name: X-Header-Add, value: more}], remove: [X-Header-Remove]}}";
    let it = start(&filtered(&path("PathPrefix", "/"), filter, "v1"));
    it.origins["v1"].on("/", |x| {
        let headers = [("X-Header-Set", "old"), ("X-Header-Add", "one"), ("X-Header-Remove", "x")];
        x.respond(200, &headers, "")?;
        Ok(Next::KeepAlive)
    });
    let response = get(&it, "/", &[]);
    assert_eq!(response.headers_named("x-header-set").collect::<Vec<_>>(), ["new"]);
    let added: Vec<&str> =
        response.headers_named("x-header-add").flat_map(|text| text.split(", ")).collect();
    assert_eq!(added, ["one", "more"]);
    assert_eq!(response.header("x-header-remove"), None);
}

#[test]
fn http_route_backend_request_header_modifier() {
    let backend = |name: &str| {
        format!(
            "{{name: infra-backend-{name}, port: 8080, filters: [{{type: RequestHeaderModifier, \
             requestHeaderModifier: {{set: [{{name: Backend, value: {name}}}]}}}}]}}"
        )
    };
    let it = start(&format!("  - backendRefs: [{}, {}]\n", backend("v1"), backend("v2")));
    for _ in 0..20 {
        let echo = get(&it, "/", &[]).echo();
        assert_eq!(echo.header("backend"), Some(&*echo.backend));
    }
}

#[test]
fn http_route_rewrite_host() {
    let filter = "{type: URLRewrite, urlRewrite: {hostname: one.example.org}}";
    let it = start(&filtered(&path("PathPrefix", "/one"), filter, "v1"));
    let echo = get(&it, "/one", &[]).echo();
    assert_eq!((&*echo.host, echo.header("x-forwarded-host")), ("one.example.org", Some("a.test")));
}

#[test]
fn http_route_rewrite_path() {
    let prefix = |value: &str| {
        format!(
            "{{type: URLRewrite, urlRewrite: {{path: {{type: ReplacePrefixMatch, replacePrefixMatch: {value}}}}}}}"
        )
    };
    let full =
        "{type: URLRewrite, urlRewrite: {path: {type: ReplaceFullPath, replaceFullPath: /one}}}";
    let rules = filtered(&path("PathPrefix", "/prefix/one"), &prefix("/one"), "v1")
        + &filtered(&path("PathPrefix", "/full/one"), full, "v1")
        + &filtered(&path("PathPrefix", "/strip-prefix"), &prefix("/"), "v1");
    let it = start(&rules);
    for (target, upstream) in [
        ("/prefix/one/two", "/one/two"),
        ("/prefix/one", "/one"),
        ("/prefix/one/two?a=1", "/one/two?a=1"),
        ("/full/one/two?a=1", "/one?a=1"),
        ("/strip-prefix/three", "/three"),
        ("/strip-prefix", "/"),
    ] {
        assert_eq!(get(&it, target, &[]).echo().target, upstream, "{target}");
    }
}

fn redirect(text: &str) -> String {
    format!("{{type: RequestRedirect, requestRedirect: {{{text}}}}}")
}

/// Rules that only redirect.
fn redirects(rules: &[(&str, &str)]) -> String {
    rules
        .iter()
        .map(|(prefix, text)| {
            let matches = path("PathPrefix", prefix);
            format!("  - {{matches: [{matches}], filters: [{}]}}\n", redirect(text))
        })
        .collect()
}

fn check_redirects(rules: &[(&str, &str)], cases: &[(&str, u16, &str)]) {
    let it = start(&redirects(rules));
    for (target, status, location) in cases {
        let response = get(&it, target, &[]);
        let found = response.header("location").unwrap_or_default();
        // The listener's port is moved by the command line; users see the moved one.
        let port = it.gateway.port(80).port();
        let found = found.replace(&format!(":{port}"), "");
        assert_eq!((response.status, &*found), (*status, *location), "{target}");
    }
}

#[test]
fn http_route_redirect_host_and_status() {
    check_redirects(
        &[
            ("/hostname-redirect", "hostname: example.org"),
            ("/host-and-status", "hostname: example.org, statusCode: 301"),
        ],
        &[
            ("/hostname-redirect", 302, "http://example.org/hostname-redirect"),
            ("/host-and-status", 301, "http://example.org/host-and-status"),
        ],
    );
}

#[test]
fn http_route_redirect_scheme() {
    check_redirects(
        &[
            ("/scheme", "scheme: https"),
            ("/scheme-and-host", "scheme: https, hostname: example.org, statusCode: 301"),
        ],
        &[
            ("/scheme?q=1", 302, "https://a.test/scheme?q=1"),
            ("/scheme-and-host", 301, "https://example.org/scheme-and-host"),
        ],
    );
}

#[test]
fn http_route_redirect_path() {
    let prefix =
        |text: &str| format!("path: {{type: ReplacePrefixMatch, replacePrefixMatch: {text}}}");
    let full = "path: {type: ReplaceFullPath, replaceFullPath: /full-path-replacement}";
    check_redirects(
        &[
            ("/original-prefix", &prefix("/replacement-prefix")),
            ("/full", full),
            (
                "/path-and-host",
                &format!("hostname: example.org, {}", prefix("/replacement-prefix")),
            ),
            ("/full-path-and-status", &format!("statusCode: 301, {full}")),
        ],
        &[
            ("/original-prefix/lemon", 302, "http://a.test/replacement-prefix/lemon"),
            ("/full/path/original", 302, "http://a.test/full-path-replacement"),
            ("/path-and-host/lemon", 302, "http://example.org/replacement-prefix/lemon"),
            ("/full-path-and-status", 301, "http://a.test/full-path-replacement"),
        ],
    );
}

#[test]
fn http_route_redirect_port() {
    check_redirects(
        &[
            ("/port", "port: 8083"),
            ("/port-and-host", "port: 8083, hostname: example.org"),
            ("/port-host-scheme", "port: 443, scheme: https, hostname: example.org"),
            ("/odd", "port: 8443, scheme: https, hostname: example.org"),
        ],
        &[
            ("/port", 302, "http://a.test:8083/port"),
            ("/port-and-host", 302, "http://example.org:8083/port-and-host"),
            ("/port-host-scheme", 302, "https://example.org/port-host-scheme"),
            ("/odd", 302, "https://example.org:8443/odd"),
        ],
    );
}

#[test]
fn http_route_other_redirect_statuses() {
    check_redirects(
        &[("/303", "statusCode: 303"), ("/307", "statusCode: 307"), ("/308", "statusCode: 308")],
        &[
            ("/303", 303, "http://a.test/303"),
            ("/307", 307, "http://a.test/307"),
            ("/308", 308, "http://a.test/308"),
        ],
    );
}

#[test]
fn http_route_request_mirror() {
    let mirror =
        format!("{{type: RequestMirror, requestMirror: {{backendRef: {}}}}}", backend_ref("v2"));
    let it = start(&filtered(&path("PathPrefix", "/mirror"), &mirror, "v1"));
    assert_eq!(get(&it, "/mirror", &[("X", "y")]).echo().backend, "v1");
    it.origins["v2"].wait_for("the copy", |requests, _| requests.len() == 1);
    let copy = &it.origins["v2"].requests()[0];
    assert_eq!((&*copy.target, copy.header("x")), ("/mirror", Some("y")));
}

#[test]
fn http_route_request_multiple_mirrors() {
    let mirror = |name: &str| {
        format!("{{type: RequestMirror, requestMirror: {{backendRef: {}}}}}", backend_ref(name))
    };
    let filters = format!("{}, {}", mirror("v2"), mirror("v3"));
    let it = start(&filtered(&path("PathPrefix", "/"), &filters, "v1"));
    assert_eq!(get(&it, "/", &[]).echo().backend, "v1");
    for name in ["v2", "v3"] {
        it.origins[name].wait_for("the copy", |requests, _| requests.len() == 1);
    }
}

#[test]
fn http_route_request_percentage_mirror() {
    let mirror = format!(
        "{{type: RequestMirror, requestMirror: {{backendRef: {}, percent: 20}}}}",
        backend_ref("v2")
    );
    let it = start(&filtered(&path("PathPrefix", "/"), &mirror, "v1"));
    for _ in 0..300 {
        assert_eq!(get(&it, "/", &[]).status, 200);
    }
    wait::until_true("some copies", || it.origins["v2"].requests().len() > 25);
    let copies = it.origins["v2"].requests().len();
    assert!(copies < 110, "{copies} of 300");
}

#[test]
fn http_route_timeout_request() {
    let rules = format!(
        "  - {{matches: [{}], timeouts: {{request: 200ms}}, backendRefs: [{}]}}\n  - {{matches: [{}], \
         timeouts: {{request: 0s}}, backendRefs: [{}]}}\n",
        path("PathPrefix", "/request-timeout"),
        backend_ref("v1"),
        path("PathPrefix", "/disable"),
        backend_ref("v1")
    );
    let it = start(&rules);
    for target in ["/request-timeout/slow", "/disable/slow"] {
        it.origins["v1"].on(target, |x| {
            x.pause(std::time::Duration::from_millis(600));
            x.echo()
        });
    }
    assert_eq!(get(&it, "/request-timeout/quick", &[]).status, 200);
    assert_eq!(get(&it, "/request-timeout/slow", &[]).status, 504);
    assert_eq!(get(&it, "/disable/slow", &[]).status, 200);
}

#[test]
fn http_route_timeout_backend_request() {
    let rules = format!(
        "  - {{timeouts: {{backendRequest: 200ms}}, backendRefs: [{}]}}\n",
        backend_ref("v1")
    );
    let it = start(&rules);
    it.origins["v1"].hang("/slow");
    assert_eq!(get(&it, "/slow", &[]).status, 504);
    assert_eq!(get(&it, "/", &[]).status, 200);
}

#[test]
fn http_route_retry() {
    let rules = format!(
        "  - {{retry: {{codes: [503], attempts: 2, backoff: 10ms}}, backendRefs: [{}]}}\n",
        backend_ref("v1")
    );
    let it = start(&rules);
    it.origins["v1"].on("/", |x| {
        if x.number() < 2 {
            x.respond(503, &[], "later")?;
            return Ok(Next::KeepAlive);
        }
        x.echo()
    });
    // Here attempts are those after the first.
    assert_eq!(get(&it, "/", &[]).status, 200);
    assert_eq!(it.origins["v1"].requests().len(), 3);
}

#[test]
fn http_route_cors() {
    let cors = "{type: CORS, cors: {allowOrigins: ['https://www.foo.com', 'https://*.bar.com'], allowMethods: \
                [GET, OPTIONS], allowHeaders: [x-header-1], exposeHeaders: [x-header-3], allowCredentials: \
                true, maxAge: 3600}}";
    let it = start(&filtered(&path("PathPrefix", "/"), cors, "v1"));
    let preflight = |origin: &str| {
        let headers = [("Origin", origin), ("Access-Control-Request-Method", "GET")];
        it.send("OPTIONS", "a.test", "/", &headers)
    };
    for origin in ["https://www.foo.com", "https://x.bar.com"] {
        let response = preflight(origin);
        assert!(matches!(response.status, 200 | 204), "{}", response.status);
        assert_eq!(response.header("access-control-allow-origin"), Some(origin));
        assert_eq!(response.header("access-control-allow-credentials"), Some("true"));
        assert_eq!(response.header("access-control-max-age"), Some("3600"));
        let response = get(&it, "/", &[("Origin", origin)]);
        assert_eq!(response.header("access-control-allow-origin"), Some(origin));
        assert_eq!(response.header("access-control-expose-headers"), Some("x-header-3"));
    }
    for origin in ["https://foobar.com", "https://bar.com", "http://www.foo.com"] {
        let allowed = preflight(origin).header("access-control-allow-origin").map(str::to_owned);
        assert_eq!(allowed, None, "{origin}");
    }
}

#[test]
fn http_route_backend_protocol_websocket() {
    let it = start(&rule(&path("PathPrefix", "/ws"), "v1"));
    it.origins["v1"].on("/ws", |x| x.upgrade_and_echo("websocket"));
    let mut client = weft_testkit::RawClient::connect(it.gateway.port(80));
    client.send(
        "GET /ws HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    );
    assert_eq!(client.head().status, 101);
    client.send("ping");
    assert_eq!(client.read_exact(4).unwrap(), b"ping");
}

#[test]
fn http_route_backend_protocol_h2c() {
    let origin = H2Origin::start("two");
    let namespace = weft_testkit::conformance::INFRA;
    let service = format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{name: two, namespace: {namespace}}}\nspec: {{ports: \
         [{{port: 8080, appProtocol: kubernetes.io/h2c}}]}}\n"
    );
    let rules = "  - backendRefs: [{name: two, port: 8080}]\n";
    let builder = builder().backend(&format!("{namespace}/two:8080"), origin.addr());
    let it = Conformance::start_with(
        builder,
        &[&same_namespace(), &service, &route("HTTPRoute", "it", rules)],
    );
    let echo = get(&it, "/x", &[]).echo();
    assert_eq!((&*echo.backend, &*echo.version), ("two", "HTTP/2"));
}

#[test]
fn filters_of_an_unknown_kind_answer_an_error() {
    let filter = "{type: ExtensionRef, extensionRef: {group: example.com, kind: Nothing, name: x}}";
    let it = start(&filtered(&path("PathPrefix", "/"), filter, "v1"));
    assert_eq!(get(&it, "/", &[]).status, 503);
    assert!(it.origins["v1"].requests().is_empty());
}

#[test]
fn http_route_named_rule() {
    let rules = format!(
        "  - {{name: named, matches: [{}], backendRefs: [{}]}}\n",
        path("PathPrefix", "/named"),
        backend_ref("v1")
    );
    let it = start(&rules);
    it.check(&[("a.test", "/named", &[], "v1"), ("a.test", "/", &[], "404")]);
}

#[test]
fn listeners_come_and_go_with_their_gateway() {
    let it = start(&rule(&path("PathPrefix", "/"), "v1"));
    it.check(&[("a.test", "/", &[], "v1")]);
    let two = ["name: http, port: 80, protocol: HTTP", "name: more, port: 8080, protocol: HTTP"];
    it.gateway.write("0.yaml", &gateway("same-namespace", &two));
    let connect = || weft_testkit::RawClient::try_connect(it.gateway.port(8080));
    wait::until_true("the new listener", || connect().is_ok());
    assert_eq!(it.send_to(8080, "GET", "a.test", "/", &[]).echo().backend, "v1");
    it.gateway.write("0.yaml", &same_namespace());
    wait::until_true("its end", || connect().is_err());
    it.check(&[("a.test", "/", &[], "v1")]);
}
