//! Header trust beyond the forwarding fields over HTTP/1.1 (those are in `refuse_paths.rs`): over
//! HTTP/2, where the gateway or an authorizer sets an identity, and in `Connection`.

use weft_testkit::documents::{ingress_route, with_middlewares};
use weft_testkit::{
    Echo, Gateway, GatewayBuilder, H2Client, H2Frames, H2Origin, H2Request, Next, Outcome,
    RawOrigin, Response,
};

fn builder(documents: &str, origin: &RawOrigin) -> GatewayBuilder {
    Gateway::builder(env!("CARGO_BIN_EXE_weftway"))
        .document("routes.yaml", documents)
        .backend("echo:80", origin.addr())
}

fn through(origin: &RawOrigin, spec: &str) -> Gateway {
    builder(&with_middlewares("echo:80", &[("it", spec)]), origin).start()
}

fn get(gateway: &Gateway, lines: &str) -> Response {
    gateway.client().request(format!("GET /x?y=1 HTTP/1.1\r\nHost: a.test\r\n{lines}\r\n"))
}

/// Every name under which an origin may read `name`.
fn spellings(name: &str) -> Vec<String> {
    let mut all = vec![name.to_owned(), name.to_uppercase(), name.to_lowercase()];
    all.extend(["_", ".", "~", "!", "'", "|"].map(|other| name.replace('-', other)));
    all.push(name.replacen('-', "_", 1));
    all
}

/// Lines that say `value` under every spelling.
fn spoofed(name: &str, value: &str) -> String {
    spellings(name).iter().map(|spelling| format!("{spelling}: {value}\r\n")).collect()
}

/// What an origin reads under a name, if it folds all that is no letter or digit.
fn as_read(echo: &Echo, name: &str) -> Vec<String> {
    let fold = |name: &str| -> String {
        name.chars()
            .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' })
            .collect()
    };
    let wanted = fold(name);
    let is_read = |(have, _): &&(String, String)| fold(have) == wanted;
    echo.headers.iter().filter(is_read).map(|(_, value)| value.clone()).collect()
}

const SPOOFED: &[(&str, &str)] = &[
    ("x-forwarded-for", "10.0.0.1"),
    ("x-forwarded-proto", "https"),
    ("x-forwarded-host", "evil.test"),
    ("x-forwarded-port", "443"),
    ("x-forwarded-prefix", "/evil"),
    ("x-forwarded-uri", "/evil"),
    ("x-forwarded-method", "DELETE"),
    ("x-forwarded-server", "evil"),
    ("x-real-ip", "10.0.0.1"),
    ("forwarded", "for=10.0.0.1;host=evil"),
    ("x-forwarded-tls-client-cert", "evil"),
    ("x-forwarded-tls-client-cert-info", "evil"),
];

fn is_clean(echo: &Echo) {
    for (name, _) in SPOOFED {
        let expected: &[&str] = match *name {
            "x-forwarded-for" | "x-real-ip" => &["127.0.0.1"],
            "x-forwarded-proto" => &["http"],
            "x-forwarded-host" => &["a.test"],
            "x-forwarded-port" => &["80"],
            _ => &[],
        };
        assert_eq!(as_read(echo, name), expected, "{name} in {:?}", echo.headers);
    }
}

#[test]
fn forwarding_headers_over_http2_are_replaced_towards_both_kinds_of_origin() {
    let (one, two) = (RawOrigin::start("one"), H2Origin::start("two"));
    let routes = ingress_route(&[("PathPrefix(`/`)", "echo:80"), ("PathPrefix(`/two`)", "two:80")])
        .replace(
            "    - name: two\n      port: 80\n",
            "    - name: two\n      port: 80\n      scheme: h2c\n",
        );
    let gateway = builder(&routes, &one).backend("two:80", two.addr()).start();
    let client = H2Client::connect(gateway.web());
    for target in ["/one", "/two"] {
        let mut request = H2Request::get("a.test", target);
        for (name, value) in SPOOFED {
            for spelling in [(*name).to_owned(), name.replace('-', "_"), name.replace('-', ".")] {
                request = request.header(&spelling, value);
            }
        }
        let echo = client.request(request).echo();
        assert_eq!(echo.backend, target[1..]);
        is_clean(&echo);
    }
    // In HTTP/2 nothing is named in `Connection`.
    let mut frames = H2Frames::connect(gateway.web(), &[]);
    let block = H2Frames::get("a.test", "/", &[("connection", "x-forwarded-for")]);
    frames.headers(1, &block, true);
    assert!(frames.outcome(1).is_refusal());
}

/// `Connection` takes fields off before we set ours, and never what frames the message.
#[test]
fn the_connection_header_reaches_neither_framing_nor_what_we_set() {
    let origin = RawOrigin::start("echo");
    let spec = "  headers:\n    customRequestHeaders:\n      X-Tenant: acme\n";
    let gateway = through(&origin, spec);
    let names = "content-length, transfer-encoding, host, connection, x-tenant, x-forwarded-for, x-real-ip, \
                 x-forwarded-host, x-forwarded-proto, x-forwarded-port, te, trailer, upgrade, keep-alive";
    for framing in [
        "Content-Length: 5\r\n\r\nhello",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ] {
        let mut client = gateway.client();
        let echo = client
            .request(format!("POST / HTTP/1.1\r\nHost: a.test\r\nConnection: {names}\r\nX-Tenant: evil\r\n{framing}"))
            .echo();
        assert_eq!((&*echo.host, echo.body.as_deref()), ("a.test", Some("hello")));
        assert_eq!(as_read(&echo, "x-tenant"), ["acme"]);
        is_clean(&echo);
        // The framing was the same for both sides: the connection goes on.
        client.request("GET /next HTTP/1.1\r\nHost: a.test\r\n\r\n").echo();
    }
    // Far too many names are an attack on whoever looks them up.
    let many = "x,".repeat(5_000);
    let response = get(&gateway, &format!("Connection: {many}close\r\n"));
    assert_eq!(response.status, 400);
}

#[test]
fn what_a_route_sets_or_removes_cannot_be_sent_by_another_name() {
    let origin = RawOrigin::start("echo");
    let spec = "  headers:\n    customRequestHeaders:\n      X-Tenant-Id: acme\n      X-Internal-Debug: ''\n";
    let gateway = through(&origin, spec);
    let lines = spoofed("X-Tenant-Id", "evil") + &spoofed("X-Internal-Debug", "on");
    let echo = get(&gateway, &lines).echo();
    assert_eq!(as_read(&echo, "X-Tenant-Id"), ["acme"]);
    assert_eq!(as_read(&echo, "X-Internal-Debug"), Vec::<String>::new());
    // The same over HTTP/2.
    let request = H2Request::get("a.test", "/")
        .header("x_tenant_id", "evil")
        .header("x.internal.debug", "on");
    let echo = H2Client::connect(gateway.web()).request(request).echo();
    assert_eq!(as_read(&echo, "X-Tenant-Id"), ["acme"]);
    assert_eq!(as_read(&echo, "X-Internal-Debug"), Vec::<String>::new());
}

#[test]
fn an_authorizers_headers_are_its_own() {
    let (origin, judge) = (RawOrigin::start("echo"), RawOrigin::start("judge"));
    judge.on("/check", |x| {
        let names = x.request().header("x-mode") == Some("named");
        let headers: &[(&str, &str)] =
            if names { &[("X-Auth-User", "alice"), ("X-Auth-Role", "guest")] } else { &[] };
        x.respond(200, headers, "")?;
        Ok(Next::KeepAlive)
    });
    for settings in
        ["authResponseHeaders: [X-Auth-User, X-Auth-Role]", "authResponseHeadersRegex: ^X-Auth-"]
    {
        let gateway = through(
            &origin,
            &format!(
                "  forwardAuth:\n    address: http://{}/check\n    {settings}\n",
                judge.addr()
            ),
        );
        let lines = spoofed("X-Auth-User", "root") + &spoofed("X-Auth-Role", "admin");
        let echo = get(&gateway, &format!("X-Mode: named\r\n{lines}")).echo();
        assert_eq!(as_read(&echo, "X-Auth-User"), ["alice"], "{settings}");
        assert_eq!(as_read(&echo, "X-Auth-Role"), ["guest"], "{settings}");
        // An authorizer that says nothing names nobody.
        let echo = get(&gateway, &lines).echo();
        assert_eq!(as_read(&echo, "X-Auth-User"), Vec::<String>::new(), "{settings}");
        assert_eq!(as_read(&echo, "X-Auth-Role"), Vec::<String>::new(), "{settings}");
        let names = "Connection: X-Auth-User, X-Auth-Role\r\nX-Mode: named\r\n";
        let echo = get(&gateway, &format!("{names}{lines}")).echo();
        assert_eq!(as_read(&echo, "X-Auth-User"), ["alice"], "{settings}");
    }
}

/// What the authorizer is asked is about this request, whatever the client says of it; and where it
/// redirects to is for the client, nobody here follows it.
#[test]
fn an_authorizer_is_asked_about_the_canonical_request() {
    let (origin, judge) = (RawOrigin::start("echo"), RawOrigin::start("judge"));
    judge.on("/check", |x| {
        x.respond(
            302,
            &[("Location", "http://127.0.0.1:1/latest/meta-data"), ("X-Auth-User", "root")],
            "",
        )?;
        Ok(Next::KeepAlive)
    });
    for trust in ["false", "true"] {
        let spec = format!(
            "  forwardAuth:\n    address: http://{}/check\n    trustForwardHeader: {trust}\n    authResponseHeaders: [X-Auth-User]\n",
            judge.addr()
        );
        let gateway = through(&origin, &spec);
        let lines: String = SPOOFED.iter().map(|(name, value)| spoofed(name, value)).collect();
        let response = gateway
            .client()
            .request(format!("DELETE /a/%2e%2e/b//c?d HTTP/1.1\r\nHost: A.Test.\r\n{lines}\r\n"));
        assert_eq!(response.status, 302);
        assert_eq!(response.header("location"), Some("http://127.0.0.1:1/latest/meta-data"));
        let asked = judge.requests().pop().unwrap();
        for (name, expected) in [
            ("x-forwarded-method", "DELETE"),
            ("x-forwarded-uri", "/b/c?d"),
            ("x-forwarded-host", "a.test"),
            ("x-forwarded-proto", "http"),
            ("x-forwarded-for", "127.0.0.1"),
        ] {
            assert_eq!(
                asked.headers_named(name).collect::<Vec<_>>(),
                [expected],
                "{name}, trust {trust}"
            );
        }
        let text = asked.head_text();
        assert!(!text.contains("evil") && !text.contains("10.0.0.1"), "{text}");
    }
    assert_eq!(judge.requests().len(), 2);
    assert!(origin.requests().is_empty());
}

/// A host is looked up in the routes, and nowhere else: no name or address in a request makes the
/// gateway connect to it.
#[test]
fn no_request_chooses_where_the_gateway_connects_to() {
    let (origin, inside) = (RawOrigin::start("echo"), RawOrigin::start("inside"));
    let gateway = builder(&ingress_route(&[("PathPrefix(`/`)", "echo:80")]), &origin).start();
    let inside_addr = inside.addr();
    for request in [
        format!("GET / HTTP/1.1\r\nHost: {inside_addr}\r\n\r\n"),
        format!("GET http://{inside_addr}/ HTTP/1.1\r\nHost: {inside_addr}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-Host: {inside_addr}\r\n\r\n"),
        format!(
            "GET / HTTP/1.1\r\nHost: a.test\r\nX-Original-Host: {inside_addr}\r\nX-Host: {inside_addr}\r\n\r\n"
        ),
        format!("GET / HTTP/1.1\r\nHost: a.test\r\nForwarded: host=\"{inside_addr}\"\r\n\r\n"),
        "GET / HTTP/1.1\r\nHost: 169.254.169.254\r\n\r\n".into(),
        "GET / HTTP/1.1\r\nHost: [::ffff:127.0.0.1]\r\n\r\n".into(),
    ] {
        assert_eq!(gateway.client().request(&request).echo().backend, "echo", "{request:?}");
    }
    let connect = format!("CONNECT {inside_addr} HTTP/1.1\r\nHost: {inside_addr}\r\n\r\n");
    assert_eq!(gateway.client().request(connect).status, 501);
    let mut frames = H2Frames::connect(gateway.web(), &[]);
    let authority = inside_addr.to_string();
    frames.headers(
        1,
        &H2Frames::block(&[(":method", "CONNECT"), (":authority", &authority)]),
        false,
    );
    assert_ne!(frames.outcome(1), Outcome::Status(200));
    assert!(inside.connections().is_empty());
}

/// What goes with a request to a mirror or to a page of errors is as clean as the request itself.
#[test]
fn other_requests_made_for_a_request_are_as_clean() {
    let (origin, pages) = (RawOrigin::start("echo"), RawOrigin::start("pages"));
    origin.on_status("/x", 500, "secret trace");
    let spec = "  errors:\n    status: ['500-599']\n    query: /page/{status}?u={url}\n    service:\n      name: pages\n      port: 80\n";
    let gateway = builder(&with_middlewares("echo:80", &[("it", spec)]), &origin)
        .backend("pages:80", pages.addr())
        .start();
    let lines: String = SPOOFED.iter().map(|(name, value)| spoofed(name, value)).collect();
    let response = get(&gateway, &format!("{lines}Content-Type: a/b\r\n"));
    assert_eq!(response.status, 500);
    assert!(!response.text().contains("secret trace"), "{}", response.text());
    let asked = pages.requests().pop().unwrap();
    assert!(asked.target.starts_with("/page/500?u="), "{}", asked.target);
    let text = asked.head_text();
    assert!(!text.contains("evil") && !text.contains("10.0.0.1"), "{text}");
}
