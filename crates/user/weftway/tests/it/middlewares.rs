//! Each of Traefik's middlewares with real requests.

mod authentication;

use weft_testkit::documents::{middleware, with_middlewares};
use weft_testkit::{Gateway, Next, RawOrigin, Reserved, Response, wait};

use crate::common::{builder, pattern, through};

/// Takes errors to the service `pages`.
const PAGES: &str = "  errors:\n    status: ['403', '500-599']\n    query: /{status}.html\n    \
                     service:\n      name: pages\n      port: 80";

/// A gateway with one middleware.
fn pair(spec: &str) -> (RawOrigin, Gateway) {
    let origin = RawOrigin::start("echo");
    let gateway = through(&origin, &[("it", spec)]).start();
    (origin, gateway)
}

fn send(gateway: &Gateway, method: &str, target: &str, more: &str) -> Response {
    gateway.client().request(format!("{method} {target} HTTP/1.1\r\nHost: a.test\r\n{more}\r\n"))
}

fn get(gateway: &Gateway, target: &str, more: &str) -> Response {
    send(gateway, "GET", target, more)
}

#[test]
fn add_prefix() {
    let (_origin, gateway) = pair("  addPrefix:\n    prefix: /api");
    assert_eq!(get(&gateway, "/x?y=1", "").echo().target, "/api/x?y=1");
}

#[test]
fn strip_prefix() {
    let (origin, gateway) = pair("  stripPrefix:\n    prefixes: [/api, /v1]");
    for (target, upstream, prefix) in [
        ("/api/x?y=1", "/x?y=1", Some("/api")),
        ("/v1", "/", Some("/v1")),
        ("/other", "/other", None),
        // Only the first that fits.
        ("/api/v1/x", "/v1/x", Some("/api")),
    ] {
        let echo = get(&gateway, target, "").echo();
        assert_eq!(
            (&*echo.target, echo.header("x-forwarded-prefix")),
            (upstream, prefix),
            "{target}"
        );
    }
    let before = origin.requests().len();
    assert_eq!(get(&gateway, "/api../secret", "").status, 400);
    assert_eq!(origin.requests().len(), before);
}

#[test]
fn strip_prefix_regex() {
    let (_origin, gateway) = pair("  stripPrefixRegex:\n    regex: ['/team/[a-z]+']");
    let echo = get(&gateway, "/team/blue/x", "").echo();
    assert_eq!((&*echo.target, echo.header("x-forwarded-prefix")), ("/x", Some("/team/blue")));
    assert_eq!(get(&gateway, "/team/7/x", "").echo().target, "/team/7/x");
}

#[test]
fn replace_path() {
    let (_origin, gateway) = pair("  replacePath:\n    path: /fixed");
    let echo = get(&gateway, "/x?y=1", "").echo();
    assert_eq!((&*echo.target, echo.header("x-replaced-path")), ("/fixed?y=1", Some("/x")));
}

#[test]
fn replace_path_regex() {
    let (_origin, gateway) =
        pair("  replacePathRegex:\n    regex: ^/users/(\\d+)$\n    replacement: /v2/user/$1");
    let echo = get(&gateway, "/users/42", "").echo();
    assert_eq!((&*echo.target, echo.header("x-replaced-path")), ("/v2/user/42", Some("/users/42")));
    assert_eq!(get(&gateway, "/users/x", "").echo().target, "/users/x");
}

#[test]
fn redirect_scheme() {
    let (origin, gateway) = pair("  redirectScheme:\n    scheme: https\n    permanent: true");
    let response = get(&gateway, "/x?y=1", "");
    assert_eq!((response.status, response.header("location")), (301, Some("https://a.test/x?y=1")));
    let response = send(&gateway, "POST", "/x", "Content-Length: 0\r\n");
    assert_eq!((response.status, response.header("location")), (308, Some("https://a.test/x")));
    assert!(origin.requests().is_empty());
}

#[test]
fn redirect_regex() {
    let (_origin, gateway) = pair(
        "  redirectRegex:\n    regex: ^http://a\\.test/old/(.*)$\n    replacement: http://b.test/new/${1}",
    );
    let response = get(&gateway, "/old/x?y=1", "");
    assert_eq!(
        (response.status, response.header("location")),
        (302, Some("http://b.test/new/x?y=1"))
    );
    assert_eq!(get(&gateway, "/other", "").echo().target, "/other");
}

#[test]
fn chain_keeps_its_order() {
    let origin = RawOrigin::start("echo");
    let gateway = through(
        &origin,
        &[("it", "  chain:\n    middlewares:\n    - name: strip\n    - name: add")],
    )
    .document(
        "more.yaml",
        &(middleware("strip", "  stripPrefix:\n    prefixes: [/a]")
            + &middleware("add", "  addPrefix:\n    prefix: /a/b")),
    )
    .start();
    assert_eq!(get(&gateway, "/a/x", "").echo().target, "/a/b/x");
}

#[test]
fn headers_are_set_and_removed_both_ways() {
    let (origin, gateway) = pair(
        "  headers:\n    customRequestHeaders:\n      X-New: one\n      X-Gone: ''\n    \
         customResponseHeaders:\n      X-Answer: two\n      Server: ''\n    frameDeny: true\n    \
         contentTypeNosniff: true",
    );
    origin.on("/", |x| {
        let body = serde_json::to_vec(&x.to_echo()).unwrap();
        x.respond(200, &[("Server", "secret"), ("X-Kept", "1")], body)?;
        Ok(Next::KeepAlive)
    });
    let response = get(&gateway, "/", "X-Gone: 1\r\nX-New: zero\r\n");
    let echo = response.echo();
    assert_eq!(echo.headers_named("x-new").collect::<Vec<_>>(), ["one"]);
    assert_eq!(echo.header("x-gone"), None);
    assert_eq!(response.header("x-answer"), Some("two"));
    assert_eq!((response.header("server"), response.header("x-kept")), (None, Some("1")));
    assert_eq!(response.header("x-frame-options"), Some("DENY"));
    assert_eq!(response.header("x-content-type-options"), Some("nosniff"));
}

#[test]
fn headers_answer_preflights() {
    let (origin, gateway) = pair(
        "  headers:\n    accessControlAllowMethods: [GET, PUT]\n    accessControlAllowHeaders: [X-Mine]\n    \
         accessControlAllowOriginList: ['https://app.test']\n    accessControlMaxAge: 100\n    \
         addVaryHeader: true",
    );
    let preflight = "Access-Control-Request-Method: PUT\r\nOrigin: https://app.test\r\n";
    let response = send(&gateway, "OPTIONS", "/", preflight);
    assert_eq!(response.status, 200);
    assert_eq!(response.header("access-control-allow-origin"), Some("https://app.test"));
    assert_eq!(response.header("access-control-allow-methods"), Some("GET,PUT"));
    assert_eq!(response.header("access-control-max-age"), Some("100"));
    assert!(origin.requests().is_empty());
    let response = get(&gateway, "/", "Origin: https://app.test\r\n");
    assert_eq!(response.header("access-control-allow-origin"), Some("https://app.test"));
    assert_eq!(response.header("vary"), Some("Origin"));
    let response = get(&gateway, "/", "Origin: https://evil.test\r\n");
    assert_eq!(response.header("access-control-allow-origin"), None);
}

#[test]
fn retry_sends_again_what_the_origin_lost() {
    let (origin, gateway) = pair("  retry:\n    attempts: 3\n    initialInterval: 1ms");
    // A connection that breaks without an answer.
    origin.on("/lost", |x| match x.request().header("x-last") {
        None if x.number() < 2 => Ok(Next::Reset),
        _ => x.echo(),
    });
    assert_eq!(get(&gateway, "/lost", "").echo().target, "/lost");
    assert_eq!(origin.requests().len(), 3);
    assert_eq!(gateway.metric("weftway_upstream_retries_total", &[]), 2.0);
}

#[test]
fn retry_does_not_repeat_a_post_that_may_have_been_done() {
    let (origin, gateway) = pair("  retry:\n    attempts: 3\n    initialInterval: 1ms");
    origin.on("/", |x| {
        x.read_body()?;
        Ok(Next::Reset)
    });
    let response =
        gateway.client().request("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\nabc");
    assert_eq!(response.status, 502);
    assert_eq!(origin.requests().len(), 1);
}

#[test]
fn retry_by_status_repeats_idempotent_methods_only() {
    let (origin, gateway) =
        pair("  retry:\n    attempts: 2\n    initialInterval: 1ms\n    status: ['503']");
    origin.on_status("/", 503, "busy");
    for (method, tries) in [("GET", 2), ("PUT", 2), ("POST", 1), ("PATCH", 1)] {
        let before = origin.requests().len();
        let response = gateway.client().request(format!(
            "{method} / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\nabc"
        ));
        assert_eq!((response.status, &*response.text()), (503, "busy"), "{method}");
        let requests = origin.requests();
        assert_eq!(requests.len() - before, tries, "{method}");
        assert!(requests[before..].iter().all(|request| request.body == b"abc"), "{method}");
    }
}

#[test]
fn circuit_breaker_opens_and_recovers() {
    let (origin, gateway) = pair(
        "  circuitBreaker:\n    expression: ResponseCodeRatio(500, 600, 0, 600) > 0.5\n    \
         checkPeriod: 10ms\n    fallbackDuration: 300ms\n    recoveryDuration: 100ms\n    \
         responseCode: 509",
    );
    origin.on_status("/", 500, "broken");
    wait::until_true("the breaker to open", || get(&gateway, "/", "").status == 509);
    let before = origin.requests().len();
    assert_eq!(get(&gateway, "/", "").status, 509);
    assert_eq!(origin.requests().len(), before);
    gateway.wait_metric("weftway_request_failures_total", &[("reason", "circuit_open")], |count| {
        count >= 2.0
    });
    origin.on_status("/", 200, "well");
    wait::until_true("the breaker to close", || {
        (0..10).all(|_| get(&gateway, "/", "").status == 200)
    });
}

#[test]
fn rate_limit_lets_the_burst_through() {
    let (origin, gateway) = pair("  rateLimit:\n    average: 1\n    period: 1h\n    burst: 5");
    let statuses: Vec<u16> = (0..8).map(|_| get(&gateway, "/", "").status).collect();
    assert_eq!(statuses, [200, 200, 200, 200, 200, 429, 429, 429]);
    let response = get(&gateway, "/", "");
    let after: u64 = response.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=3600).contains(&after), "{after}");
    assert_eq!(origin.requests().len(), 5);
}

#[test]
fn rate_limit_counts_by_its_source() {
    let (_origin, gateway) = pair(
        "  rateLimit:\n    average: 1\n    period: 1h\n    burst: 1\n    sourceCriterion:\n      \
         requestHeaderName: X-Key",
    );
    for (key, status) in [("a", 200), ("b", 200), ("a", 429), ("b", 429), ("c", 200)] {
        assert_eq!(get(&gateway, "/", &format!("X-Key: {key}\r\n")).status, status, "{key}");
    }
}

#[test]
fn in_flight_req_bounds_what_runs_at_one_time() {
    let (origin, gateway) = pair(
        "  inFlightReq:\n    amount: 2\n    sourceCriterion:\n      ipStrategy:\n        depth: 0",
    );
    let gate = origin.hold("/hold");
    let mut clients = [gateway.client(), gateway.client()];
    for client in &mut clients {
        client.send("GET /hold HTTP/1.1\r\nHost: a.test\r\n\r\n");
    }
    origin.wait_for("both", |requests, _| requests.len() == 2);
    assert_eq!(get(&gateway, "/", "").status, 429);
    gate.open();
    for client in &mut clients {
        client.response().echo();
    }
    wait::until_true("room again", || get(&gateway, "/", "").status == 200);
}

#[test]
fn ip_allow_list() {
    let (_origin, gateway) = pair("  ipAllowList:\n    sourceRange: [127.0.0.0/8]");
    assert_eq!(get(&gateway, "/", "").status, 200);
    let (origin, gateway) =
        pair("  ipAllowList:\n    sourceRange: [10.0.0.0/8]\n    rejectStatusCode: 404");
    assert_eq!(get(&gateway, "/", "X-Forwarded-For: 10.0.0.1\r\n").status, 404);
    assert!(origin.requests().is_empty());
}

#[test]
fn ip_allow_list_by_depth_believes_trusted_peers_only() {
    let spec = "  ipAllowList:\n    sourceRange: [10.0.0.0/8]\n    ipStrategy:\n      depth: 1";
    let origin = RawOrigin::start("echo");
    let trusting =
        through(&origin, &[("it", spec)]).args(&["--trust-forwarded-from", "127.0.0.0/8"]).start();
    for (list, status) in
        [("10.0.0.1", 200), ("10.0.0.1, 192.0.2.1", 403), ("192.0.2.1, 10.0.0.1", 200)]
    {
        let header = format!("X-Forwarded-For: {list}\r\n");
        assert_eq!(get(&trusting, "/", &header).status, status, "{list}");
    }
    let wary = through(&origin, &[("it", spec)]).start();
    assert_eq!(get(&wary, "/", "X-Forwarded-For: 10.0.0.1\r\n").status, 403);
}

#[test]
fn errors_are_replaced_by_pages() {
    let origin = RawOrigin::start("echo");
    let pages = RawOrigin::start("pages");
    let spec = "  errors:\n    status: ['500-599']\n    query: /{status}.html?url={url}\n    \
                errorRequestHeaders: [Accept]\n    service:\n      name: pages\n      port: 80";
    let gateway = through(&origin, &[("it", spec)]).backend("pages:80", pages.addr()).start();
    origin.on_status("/bad", 502, "internals");
    pages.on_status("/502.html", 200, "a kind page");
    let response = get(&gateway, "/bad", "Accept: text/html\r\nAuthorization: Basic eDp5\r\n");
    assert_eq!((response.status, &*response.text()), (502, "a kind page"));
    let asked = &pages.requests()[0];
    assert_eq!(asked.header("accept"), Some("text/html"));
    assert_eq!(asked.header("authorization"), None);
    assert_eq!(get(&gateway, "/good", "").echo().backend, "echo");
}

/// A page has its own headers, and those of the steps around the one that asked for it.
#[test]
fn a_page_comes_with_its_own_headers() {
    let (origin, pages) = (RawOrigin::start("echo"), RawOrigin::start("pages"));
    let gateway = through(
        &origin,
        &[
            ("outer", "  headers:\n    customResponseHeaders:\n      X-Outer: 'yes'"),
            ("it", PAGES),
            ("inner", "  headers:\n    customResponseHeaders:\n      X-Inner: 'yes'"),
        ],
    )
    .backend("pages:80", pages.addr())
    .start();
    origin.on("/bad", |x| {
        x.respond(500, &[("Content-Type", "text/plain"), ("X-Secret", "trace")], "internals")?;
        Ok(Next::KeepAlive)
    });
    pages.on("/500.html", |x| {
        x.respond(200, &[("Content-Type", "text/html"), ("Content-Language", "en")], "sorry")?;
        Ok(Next::KeepAlive)
    });
    let response = get(&gateway, "/bad", "");
    assert_eq!((response.status, &*response.text()), (500, "sorry"));
    for (name, value) in [
        ("content-type", Some("text/html")),
        ("content-language", Some("en")),
        ("x-outer", Some("yes")),
        ("x-inner", None),
        ("x-secret", None),
    ] {
        assert_eq!(response.header(name), value, "{name}");
    }
}

/// The answers of the gateway itself are replaced as well: what people want pages for most is a
/// service that is down.
#[test]
fn errors_of_the_gateway_are_replaced_by_pages() {
    let (origin, pages) = (RawOrigin::start("echo"), RawOrigin::start("pages"));
    let nobody = "  ipAllowList:\n    sourceRange: [192.0.2.1]";
    let gateway = through(&origin, &[("it", PAGES), ("inner", nobody)])
        .backend("pages:80", pages.addr())
        .start();
    pages.on_status("/403.html", 200, "not for you");
    let response = get(&gateway, "/", "");
    assert_eq!((response.status, &*response.text()), (403, "not for you"));

    // What refuses outside of the step is no business of it.
    let gateway = through(&origin, &[("outer", nobody), ("it", PAGES)])
        .backend("pages:80", pages.addr())
        .start();
    let response = get(&gateway, "/", "");
    assert_eq!((response.status, &*response.text()), (403, "access is denied\n"));

    let nowhere = Reserved::any();
    let gateway = builder()
        .document("routes.yaml", &with_middlewares("down:80", &[("it", PAGES)]))
        .backend("down:80", nowhere.addr())
        .backend("pages:80", pages.addr())
        .start();
    pages.on_status("/502.html", 200, "back soon");
    let response = get(&gateway, "/", "");
    assert_eq!((response.status, &*response.text()), (502, "back soon"));
    let entry = gateway.log_entry("reason", "connect_failed");
    assert_eq!(
        (&entry["status"], &entry["upstream"]),
        (&502.into(), &nowhere.addr().to_string().into())
    );
}

#[test]
fn compress() {
    let (origin, gateway) = pair("  compress:\n    minResponseBodyBytes: 100");
    let text = "all work and no play ".repeat(500);
    let body = text.clone();
    origin.on("/text", move |x| {
        x.respond(200, &[("Content-Type", "text/plain"), ("ETag", "\"v1\"")], &body)?;
        Ok(Next::KeepAlive)
    });
    origin.on("/small", |x| {
        x.respond(200, &[("Content-Type", "text/plain")], "small")?;
        Ok(Next::KeepAlive)
    });
    let response = get(&gateway, "/text", "Accept-Encoding: gzip\r\n");
    assert_eq!(response.header("content-encoding"), Some("gzip"));
    assert_eq!(response.header("vary").map(str::to_lowercase).as_deref(), Some("accept-encoding"));
    assert!(response.body.len() < text.len() / 10);
    assert_eq!(weft_testkit::gunzip(&response.body), text.as_bytes());
    assert_ne!(response.header("etag"), Some("\"v1\""), "a strong validator of other bytes");
    for (target, accept) in [
        ("/text", ""),
        ("/text", "Accept-Encoding: identity\r\n"),
        ("/text", "Accept-Encoding: gzip;q=0\r\n"),
        ("/small", "Accept-Encoding: gzip\r\n"),
    ] {
        let response = get(&gateway, target, accept);
        assert_eq!(response.header("content-encoding"), None, "{target} {accept}");
    }
    for coding in ["br", "zstd"] {
        let response = get(&gateway, "/text", &format!("Accept-Encoding: {coding}\r\n"));
        assert_eq!(response.header("content-encoding"), Some(coding));
        assert!(response.body.len() < text.len() / 10);
    }
    // HEAD tells of the same answer and has no body.
    let response = send(&gateway, "HEAD", "/text", "Accept-Encoding: gzip\r\n");
    assert!(response.body.is_empty());
}

#[test]
fn buffering_bounds_bodies_and_knows_their_length() {
    let (origin, gateway) =
        pair("  buffering:\n    maxRequestBodyBytes: 10\n    maxResponseBodyBytes: 100");
    origin.on("/short", |x| {
        x.read_body()?;
        x.respond(200, &[], "ok")?;
        Ok(Next::KeepAlive)
    });
    origin.on("/long", |x| {
        x.respond(200, &[], vec![b'x'; 200])?;
        Ok(Next::KeepAlive)
    });
    let chunked = "POST /short HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n";
    let response = gateway.client().request(format!("{chunked}3\r\nabc\r\n0\r\n\r\n"));
    assert_eq!(response.status, 200);
    assert_eq!(origin.requests()[0].header("content-length"), Some("3"));
    let response = gateway.client().request(format!("{chunked}b\r\nabcdefghijk\r\n0\r\n\r\n"));
    assert_eq!(response.status, 413);
    let response = gateway
        .client()
        .request("POST /short HTTP/1.1\r\nHost: a.test\r\nContent-Length: 11\r\n\r\nabcdefghijk");
    assert_eq!(response.status, 413);
    assert_eq!(get(&gateway, "/long", "").status, 500);
    assert_eq!(origin.requests_for("/short").len(), 1);
}

/// A request whose body is this.
fn post(gateway: &Gateway, body: &[u8]) -> Response {
    let mut client = gateway.client();
    let length = body.len();
    client.send(format!("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: {length}\r\n\r\n"));
    client.send(body);
    client.response()
}

#[test]
fn buffering_spills_large_bodies_to_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let origin = RawOrigin::start("echo");
    origin.send_back("/");
    let spec = "  buffering:\n    memRequestBodyBytes: 1000\n    memResponseBodyBytes: 1000\n    \
                maxResponseBodyBytes: 10000000";
    let gateway = through(&origin, &[("it", spec)])
        .args(&["--spool-dir", &folder.path().display().to_string()])
        .start();
    let files = || gateway.metric("weftway_spool_files_total", &[]);
    assert_eq!(post(&gateway, b"short").body, b"short");
    assert_eq!(files(), 0.0);
    let body = pattern(3_000_000);
    assert!(post(&gateway, &body).body == body);
    assert_eq!(files(), 2.0, "one for the request, one for its answer");
    gateway.wait_metric("weftway_spool_bytes", &[], |bytes| bytes == 0.0);
    // They have no name, so that nothing is left behind however the process ends.
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn buffering_does_not_fill_the_disk() {
    let origin = RawOrigin::start("echo");
    origin.send_back("/");
    let gateway = through(&origin, &[("it", "  buffering:\n    memRequestBodyBytes: 1000")])
        .args(&["--spool-bytes-max", "2097152"])
        .start();
    let body = pattern(1_000_000);
    assert!(post(&gateway, &body).body == body);
    // All but 1,000 bytes of it are for the file.
    assert_eq!(post(&gateway, &pattern((2 << 20) + 1_001)).status, 503);
    let line = gateway.log_entry("reason", "no_room");
    assert!(line["detail"].as_str().unwrap().contains("2097152 bytes"), "{line}");
    assert_eq!(gateway.metric("weftway_spool_refused_total", &[]), 1.0);
    gateway.wait_metric("weftway_spool_bytes", &[], |bytes| bytes == 0.0);
    assert_eq!(origin.requests().len(), 1);
}

#[test]
fn buffering_retries_by_its_expression() {
    let (origin, gateway) =
        pair("  buffering:\n    retryExpression: IsNetworkError() && Attempts() < 3");
    origin.on("/", |x| {
        x.read_body()?;
        if x.number() < 2 { Ok(Next::Reset) } else { x.echo() }
    });
    let response =
        gateway.client().request("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\nabc");
    assert_eq!(response.echo().body.as_deref(), Some("abc"));
}

#[test]
fn a_protection_that_is_not_supported_is_not_left_out() {
    for spec in [
        "  digestAuth:\n    secret: users",
        "  plugin:\n    waf: {}",
        "  jwt:\n    signingSecret: x",
    ] {
        let (origin, gateway) = pair(spec);
        assert_eq!(get(&gateway, "/", "").status, 503, "{spec}");
        assert!(origin.requests().is_empty());
        let name = spec.trim().split(':').next().unwrap();
        let reported = gateway.stderr().iter().any(|line| line.contains(name));
        assert!(reported, "{name}: {:?}", gateway.stderr());
    }
}

#[test]
fn a_middleware_that_does_not_exist_keeps_the_route_shut() {
    let origin = RawOrigin::start("echo");
    let documents = with_middlewares("echo:80", &[("it", "  addPrefix:\n    prefix: /x")])
        .replace("    - name: it\n", "    - name: missing\n");
    let gateway =
        builder().document("routes.yaml", &documents).backend("echo:80", origin.addr()).start();
    assert_eq!(get(&gateway, "/", "").status, 503);
    assert!(origin.requests().is_empty());
}

#[test]
fn rate_limits_survive_a_change_of_something_else() {
    let (_origin, gateway) = pair("  rateLimit:\n    average: 1\n    period: 1h\n    burst: 2");
    for status in [200, 200, 429] {
        assert_eq!(get(&gateway, "/", "").status, status);
    }
    let before = gateway.generation();
    gateway.write("other.yaml", &middleware("other", "  addPrefix:\n    prefix: /x"));
    gateway.wait_generation_after(before);
    assert_eq!(get(&gateway, "/", "").status, 429);
}
