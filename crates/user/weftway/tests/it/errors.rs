//! Answers of our own: in the form that the caller reads, and naming nothing that is internal.

use weft_testkit::documents::{ingress_route, middleware, service};
use weft_testkit::{Gateway, H2Client, H2Request, Next, RawOrigin, Reserved, Response};

use crate::common::builder;

/// A path, and the status and reason that a request for it ends with.
const CASES: &[(&str, u16, &str)] = &[
    ("/none", 404, "no_route"),
    ("/x%2fy", 400, "ambiguous_target"),
    ("/refused", 502, "connect_failed"),
    ("/broken", 502, "upstream_reset"),
    ("/garbage", 502, "upstream_protocol"),
    ("/late", 504, "upstream_timeout"),
    ("/empty", 503, "no_endpoint"),
    ("/unknown", 503, "no_endpoint"),
    ("/guarded", 401, "unauthorized"),
    ("/closed", 403, "forbidden"),
    ("/unsupported", 503, "policy_unenforceable"),
    ("/asked", 500, "authorizer_failed"),
    ("/limited", 429, "rate_limited"),
];

struct Setup {
    origin: RawOrigin,
    gateway: Gateway,
    /// The address of `refused`, where nobody listens.
    _refused: Reserved,
}

fn route(path: &str, service: &str, more: &str) -> String {
    let (name, port) = service.split_once(':').unwrap();
    format!(
        "  - match: PathPrefix(`{path}`)\n    kind: Rule\n{more}    services:\n    - name: {name}\n      \
         port: {port}\n"
    )
}

fn documents(refused: &str) -> String {
    let through = |name: &str| format!("    middlewares:\n    - name: {name}\n");
    let mut text = ingress_route(&[]);
    for (path, service, more) in [
        ("/broken", "echo:80", String::new()),
        ("/garbage", "echo:80", String::new()),
        ("/late", "slow:80", String::new()),
        ("/refused", "refused:80", String::new()),
        ("/empty", "empty:80", String::new()),
        ("/unknown", "nowhere:80", String::new()),
        ("/guarded", "echo:80", through("guard")),
        ("/closed", "echo:80", through("list")),
        ("/unsupported", "echo:80", through("plugged")),
        ("/asked", "echo:80", through("ask")),
        ("/limited", "echo:80", through("limit")),
        ("/ok", "echo:80", String::new()),
    ] {
        text.push_str(&route(path, service, &more));
    }
    text = text.replace("    - name: slow\n", "    - name: slow\n      serversTransport: hasty\n");
    text.push_str(
        "---\napiVersion: traefik.io/v1alpha1\nkind: ServersTransport\nmetadata:\n  name: hasty\nspec:\n  \
         forwardingTimeouts:\n    responseHeaderTimeout: 200ms\n",
    );
    text.push_str(&service("empty", 80));
    let guard = "  basicAuth:\n    realm: inner-realm\n    users: ['u:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=']\n";
    text.push_str(&middleware("guard", guard));
    text.push_str(&middleware("list", "  ipAllowList:\n    sourceRange: [10.0.0.0/8]\n"));
    text.push_str(&middleware("plugged", "  plugin:\n    jwt:\n      secret: hunter2\n"));
    text.push_str(&middleware(
        "ask",
        &format!("  forwardAuth:\n    address: http://{refused}/auth\n"),
    ));
    text.push_str(&middleware(
        "limit",
        "  rateLimit:\n    average: 1\n    period: 1h\n    burst: 1\n",
    ));
    text
}

fn setup() -> Setup {
    let origin = RawOrigin::start("echo");
    origin.on("/broken", |_| Ok(Next::Reset));
    origin.on_raw("/garbage", "SSH-2.0-OpenSSH_9.2 private-host\r\n", Next::Close);
    origin.hang("/late");
    let refused = Reserved::any();
    let gateway = builder()
        .document("private-name.yaml", &documents(&refused.addr().to_string()))
        .backend("echo:80", origin.addr())
        .backend("slow:80", origin.addr())
        .backend("refused:80", refused.addr())
        .start();
    // The one request that the limit lets through.
    assert_eq!(gateway.get("a.test", "/limited").status, 200);
    Setup { origin, gateway, _refused: refused }
}

/// What no client may learn: addresses, names of files, resources, backends and libraries.
fn tells_nothing(path: &str, said: &str) {
    let said = said.to_lowercase();
    for internal in [
        "127.0.0.1",
        "private",
        ".yaml",
        ".rs",
        "default/",
        "ingressroute",
        "middleware",
        "echo",
        "refused:",
        "nowhere",
        "hasty",
        "os error",
        "econn",
        "rustls",
        "h2",
        "panic",
        "plugin",
        "hunter2",
        "weftway",
        "server:",
    ] {
        assert!(!said.contains(internal), "{path} tells {internal:?}: {said}");
    }
}

fn get(gateway: &Gateway, path: &str, lines: &str) -> Response {
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n{lines}\r\n");
    gateway.client().request(request)
}

/// The whole answer as text, but for the realm, which the document's author chose to show.
fn whole(response: &Response) -> String {
    (String::from_utf8_lossy(&response.head).into_owned() + &response.text())
        .replace("inner-realm", "")
}

#[test]
fn people_get_a_short_text() {
    let setup = setup();
    for (path, status, _reason) in CASES {
        let response =
            get(&setup.gateway, path, "Accept: text/html,application/json;q=0.9,*/*;q=0.8\r\n");
        assert_eq!(response.status, *status, "{path}");
        assert_eq!(response.header("content-type"), Some("text/plain; charset=utf-8"), "{path}");
        assert_eq!(response.header("x-content-type-options"), Some("nosniff"), "{path}");
        let text = response.text();
        assert!(
            text.ends_with('\n') && text.lines().count() == 1 && text.len() < 80,
            "{path}: {text:?}"
        );
        tells_nothing(path, &whole(&response));
    }
    assert_eq!(setup.gateway.get("a.test", "/none").text(), "404 page not found\n");
    // The log has the reason, and for what went wrong behind us also the words.
    for (path, status, reason) in CASES {
        let line = setup.gateway.log_entry("reason", reason);
        assert_eq!(line["status"], *status);
        if matches!(
            *reason,
            "connect_failed" | "upstream_reset" | "upstream_protocol" | "upstream_timeout"
        ) {
            assert_eq!(line["path"], *path);
            assert!(line["detail"].as_str().is_some_and(|detail| detail.len() > 10), "{line}");
            assert!(
                line["upstream"].as_str().is_some_and(|addr| addr.starts_with("127.0.0.1:")),
                "{line}"
            );
        }
    }
}

#[test]
fn programs_get_a_problem_document() {
    let setup = setup();
    for (path, status, _) in CASES {
        for accept in
            ["application/problem+json", "application/json, Application/Problem+JSON;q=0.5"]
        {
            let response =
                get(&setup.gateway, path, &format!("Accept: {accept}\r\nX-Request-Id: r\"<1>\r\n"));
            assert_eq!(response.status, *status, "{path}");
            assert_eq!(response.header("content-type"), Some("application/problem+json"), "{path}");
            let problem: serde_json::Value = serde_json::from_slice(&response.body).unwrap();
            assert_eq!(problem["status"], *status, "{path}");
            assert_eq!(problem["type"], "about:blank", "{path}");
            for member in ["title", "detail"] {
                assert!(
                    problem[member].as_str().is_some_and(|text| !text.is_empty()),
                    "{path}: {problem}"
                );
            }
            tells_nothing(path, &whole(&response));
        }
        let response =
            get(&setup.gateway, path, "Accept: application/problem+json;q=0, text/plain\r\n");
        assert_eq!(response.header("content-type"), Some("text/plain; charset=utf-8"), "{path}");
    }
}

/// RFC 9110 section 6.6.1: who makes an answer and has a clock says when.
#[test]
fn answers_of_our_own_say_when_they_were_made() {
    let setup = setup();
    let client = H2Client::connect(setup.gateway.web());
    let check = |date: Option<&str>, what: &str| {
        let date = date.unwrap_or_else(|| panic!("{what}: no date"));
        assert!(date.len() == 29 && date.ends_with(" GMT"), "{what}: {date}");
    };
    for (path, ..) in CASES {
        check(get(&setup.gateway, path, "").header("date"), path);
        check(client.get("a.test", path).header("date"), path);
    }
    // Also before anybody knows what is asked for.
    let response = setup.gateway.client().request("GET / HTTP/1.1\r\nNo Name: x\r\n\r\n");
    check(response.header("date"), "a head that breaks the rules");
    // An answer of somebody else says it by itself, or not.
    let date = |path| get(&setup.gateway, path, "").header("date").map(str::to_owned);
    setup.origin.on_raw("/ok", "HTTP/1.1 204 No Content\r\nDate: then\r\n\r\n", Next::KeepAlive);
    assert_eq!(date("/ok").as_deref(), Some("then"));
    setup.origin.on_raw("/ok", "HTTP/1.1 204 No Content\r\n\r\n", Next::KeepAlive);
    assert_eq!(date("/ok"), None);
}

#[test]
fn head_gets_no_body() {
    let setup = setup();
    for (path, status, _) in CASES {
        let mut client = setup.gateway.client();
        let request = format!("HEAD {path} HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n");
        let response = client.request(request);
        assert_eq!(response.status, *status, "{path}");
        let got = get(&setup.gateway, path, "");
        let length = |response: &weft_testkit::Response| {
            response.header("content-length").map(str::to_owned)
        };
        assert_eq!(length(&response), length(&got), "the length is that of GET: {path}");
        // A head that was refused is answered like any, for its method is not believed either.
        if *path != "/x%2fy" {
            assert!(client.closed().is_empty(), "{path}");
        }
    }
}

/// gRPC's table from HTTP's statuses (`http-grpc-status-mapping`), but for what took too long, of
/// which gRPC has its own word.
fn grpc_status(status: u16) -> i32 {
    match status {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502 | 503 => 14,
        504 => 4,
        _ => 2,
    }
}

#[test]
fn grpc_callers_get_a_grpc_status() {
    let setup = setup();
    let client = H2Client::connect(setup.gateway.web());
    for (path, status, _) in CASES {
        let reply = client.grpc("a.test", path, &["hello"]);
        assert_eq!((reply.http_status, reply.status), (200, Some(grpc_status(*status))), "{path}");
        assert!(!reply.message.is_empty() && reply.messages.is_empty(), "{path}");
        tells_nothing(path, &reply.message);
    }
    // gRPC over HTTP/1.1 is not gRPC, but whoever says so reads nothing else.
    let response = setup.gateway.client().request(
        "POST /none HTTP/1.1\r\nHost: a.test\r\nContent-Type: application/grpc+proto\r\n\
         Content-Length: 0\r\n\r\n",
    );
    assert_eq!((response.status, response.header("grpc-status")), (200, Some("12")));
    // gRPC-Web is another protocol.
    let request =
        H2Request::post("a.test", "/none", "x").header("content-type", "application/grpc-web");
    assert_eq!(client.request(request).status, 404);
}

#[test]
fn http2_callers_read_the_same() {
    let setup = setup();
    let client = H2Client::connect(setup.gateway.web());
    for (path, status, _) in CASES {
        let response = client.get("a.test", path);
        assert_eq!(response.status, *status, "{path}");
        tells_nothing(path, &response.text());
        let request = H2Request::get("a.test", path).header("accept", "application/problem+json");
        let problem: serde_json::Value =
            serde_json::from_slice(&client.request(request).body).unwrap();
        assert_eq!(problem["status"], *status, "{path}");
    }
    assert_eq!(client.ended(), None, "errors of requests are none of the connection");
    client.get("a.test", "/ok").echo();
}

/// An error is no reason to close a connection whose next request is where it has to be.
#[test]
fn connections_go_on_after_errors() {
    let setup = setup();
    let mut client = setup.gateway.client();
    for (path, status, _) in CASES.iter().filter(|(path, ..)| !path.contains('%')) {
        let response = client.request(format!("GET {path} HTTP/1.1\r\nHost: a.test\r\n\r\n"));
        assert_eq!((response.status, response.says_close()), (*status, false), "{path}");
    }
    client.request("GET /ok HTTP/1.1\r\nHost: a.test\r\n\r\n").echo();
    // With a body that nobody read, it is not known where the next one is.
    let mut client = setup.gateway.client();
    client.send("POST /none HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1000000\r\n\r\n");
    let response = client.response();
    assert_eq!((response.status, response.says_close()), (404, true));
    assert!(client.closed().is_empty());
    assert_eq!(setup.origin.requests_for("/none").len(), 0);
}

/// Most clients send everything before they read anything. Closing on them at once would make the
/// system throw the answer away.
#[test]
fn an_answer_is_not_lost_on_a_client_that_is_still_sending() {
    let setup = setup();
    let body = vec![b'x'; 5 << 20];
    for framing in ["Content-Length: 5242880", "Transfer-Encoding: chunked"] {
        let mut client = setup.gateway.client();
        client.send(format!("POST /none HTTP/1.1\r\nHost: a.test\r\n{framing}\r\n\r\n"));
        if framing.ends_with("chunked") {
            client.send("500000\r\n");
        }
        client.send(&body);
        let response = client.response();
        assert_eq!((response.status, response.says_close()), (404, true), "{framing}");
    }
}
