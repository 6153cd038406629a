//! What can be seen: metrics, access log, configuration, readiness. Nothing secret is among it.

use weft_testkit::documents::{ingress_route, middleware, with_middlewares};
use weft_testkit::{Certificates, H2Client, RawClient, RawOrigin, Reserved, wait};

use crate::common::{GET, USERS, builder, to_echo};

#[test]
fn requests_are_counted_by_route_and_status() {
    let origin = RawOrigin::start("echo");
    origin.on_status("/bad", 500, "bad");
    let gateway = to_echo(&origin).workers(2).start();
    let mut client = gateway.client();
    for _ in 0..5 {
        client.request(GET).echo();
    }
    client.request(
        "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100\r\n\r\n".to_owned()
            + &"x".repeat(100),
    );
    client.request("GET /bad HTTP/1.1\r\nHost: a.test\r\n\r\n");
    let route = ("route", "ingressroute/default/routes/0");
    // A request is counted when it is over, which its client may see first; the last one is last.
    gateway
        .wait_metric("weftway_requests_total", &[route, ("status", "5xx")], |count| count == 1.0);
    assert_eq!(gateway.metric("weftway_requests_total", &[route, ("status", "2xx")]), 6.0);
    assert_eq!(gateway.metric("weftway_request_duration_seconds_count", &[route]), 7.0);
    assert_eq!(
        gateway.metric("weftway_request_duration_seconds_bucket", &[route, ("le", "+Inf")]),
        7.0
    );
    assert_eq!(gateway.metric("weftway_request_bytes_total", &[route]), 100.0);
    assert!(gateway.metric("weftway_response_bytes_total", &[route]) > 500.0);
    assert_eq!(gateway.metric("weftway_upstream_connects_total", &[]), 1.0);
    assert_eq!(gateway.metric("weftway_config_generation", &[]), 1.0);
    assert_eq!(gateway.metric("weftway_upstream_requests_in_flight", &[]), 0.0);
}

#[test]
fn metrics_are_in_prometheus_form() {
    let origin = RawOrigin::start("echo");
    let gateway = to_echo(&origin).start();
    gateway.get("a.test", "/");
    let response = gateway.admin("/metrics");
    assert!(response.header("content-type").is_some_and(|kind| kind.starts_with("text/plain")));
    let mut families = std::collections::BTreeSet::new();
    for line in response.text().lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a name and a kind");
            assert!(matches!(kind, "counter" | "gauge" | "histogram"), "{line}");
            assert!(families.insert(name.to_owned()), "{name} twice");
            assert!(name.starts_with("weftway_"), "{name}");
        } else if !line.starts_with('#') {
            let (series, value) = line.rsplit_once(' ').expect("a series and a value");
            assert!(value.parse::<f64>().is_ok(), "{line}");
            let name = series.split('{').next().unwrap_or_default();
            let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
            assert!(
                families.contains(name) || base.is_some_and(|base| families.contains(base)),
                "{line}"
            );
        }
    }
    assert!(families.len() > 8, "{families:?}");
}

#[test]
fn series_do_not_grow_with_what_clients_send() {
    let origin = RawOrigin::start("echo");
    let gateway = to_echo(&origin).start();
    let series = || -> Vec<String> {
        let text = gateway.admin("/metrics").text();
        text.lines().filter_map(|line| Some(line.rsplit_once(' ')?.0.to_owned())).collect()
    };
    let bad = || gateway.client().request("GET /x HTTP/1.1\r\nbad\r\n\r\n");
    gateway.get("a.test", "/");
    bad();
    let both = [("route", "none"), ("status", "4xx")];
    gateway.wait_metric("weftway_requests_total", &both, |count| count == 1.0);
    let before = series();
    for index in 0..50 {
        gateway.get(&format!("host-{index}.test"), &format!("/path-{index}"));
        let method = format!("M{index} / HTTP/1.1\r\nHost: a.test\r\n\r\n");
        gateway.client().request(method);
    }
    bad();
    gateway.wait_metric("weftway_requests_total", &both, |count| count == 2.0);
    assert_eq!(series(), before);
}

#[test]
fn the_access_log_says_what_happened_and_why() {
    let origin = RawOrigin::start("echo");
    let gateway = to_echo(&origin).start();
    let mut client = gateway.client();
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    client.request(format!(
        "POST /a?secret=1 HTTP/1.1\r\nHost: a.test\r\ntraceparent: {parent}\r\nX-Request-Id: r1\r\n\
         Content-Length: 3\r\n\r\nabc"
    ));
    let json = gateway.log_entry("path", "/a");
    let line = json.to_string();
    for (name, expected) in [
        ("client", client.local_addr().to_string()),
        ("listener", "web".into()),
        ("scheme", "http".into()),
        ("method", "POST".into()),
        ("host", "a.test".into()),
        ("path", "/a".into()),
        ("version", "HTTP/1.1".into()),
        ("reason", "upstream".into()),
        ("route", "ingressroute/default/routes/0".into()),
        ("rule", "PathPrefix(`/`)".into()),
        ("upstream", origin.addr().to_string()),
        ("request_id", "r1".into()),
        ("traceparent", parent.into()),
    ] {
        assert_eq!(json[name].as_str(), Some(&*expected), "{name} in {line}");
    }
    for (name, expected) in
        [("status", 200), ("attempts", 1), ("request_bytes", 3), ("generation", 1)]
    {
        assert_eq!(json[name].as_u64(), Some(expected), "{name} in {line}");
    }
    assert!(json["duration_us"].as_u64() >= json["upstream_us"].as_u64(), "{line}");
    // Queries carry secrets.
    assert!(!line.contains("secret"), "{line}");
}

#[test]
fn the_access_log_is_one_line_a_request_whatever_it_holds() {
    let origin = RawOrigin::start("echo");
    for format in ["text", "json"] {
        let gateway = to_echo(&origin).access_log(format).start();
        let evil = "a\"b\\c\u{1b}[31m{}status=200";
        let response = gateway.client().request(format!(
            "GET /%0a%1b%22x HTTP/1.1\r\nHost: a.test\r\nX-Request-Id: {}\r\n\r\n",
            evil.replace('\u{1b}', "\t")
        ));
        assert_eq!(response.status, 200);
        gateway.get("b.test", "/second");
        gateway.log_line("the last line", |line| line.contains("/second"));
        let lines = gateway.stdout();
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines.iter().all(|line| !line.contains(['\u{1b}', '\t'])), "{lines:?}");
        if format == "json" {
            for line in &lines {
                serde_json::from_str::<serde_json::Value>(line).expect("it is JSON");
            }
        } else {
            assert!(
                lines[1].contains("status=200") && lines[1].contains("path=/second"),
                "{lines:?}"
            );
        }
    }
}

#[test]
fn the_access_log_can_be_off() {
    let origin = RawOrigin::start("echo");
    let mut gateway = to_echo(&origin).access_log("off").start();
    gateway.get("a.test", "/");
    gateway.terminate();
    gateway.exit();
    assert!(gateway.stdout().is_empty(), "{:?}", gateway.stdout());
}

#[test]
fn lines_are_not_lost_at_the_end() {
    let origin = RawOrigin::start("echo");
    let mut gateway = to_echo(&origin).start();
    let mut client = gateway.client();
    for index in 0..500 {
        client.request(format!("GET /{index} HTTP/1.1\r\nHost: a.test\r\n\r\n"));
    }
    gateway.terminate();
    gateway.exit();
    wait::until_true("all lines", || gateway.stdout().len() == 500);
}

#[test]
fn reasons_of_refusals_are_counted_and_logged() {
    let nowhere = Reserved::any();
    let gateway = builder()
        .document("routes.yaml", &ingress_route(&[("Path(`/gone`)", "gone:80")]))
        .backend("gone:80", nowhere.addr())
        .start();
    gateway.get("a.test", "/nothing");
    gateway.get("a.test", "/gone");
    gateway.client().request("GET / HTTP/1.1\r\nbad\r\n\r\n");
    for reason in ["no_route", "connect_failed", "bad_request"] {
        gateway.wait_metric("weftway_request_failures_total", &[("reason", reason)], |count| {
            count == 1.0
        });
        gateway.log_entry("reason", reason);
    }
    assert!(gateway.metric("weftway_upstream_connect_failures_total", &[]) >= 1.0);
}

#[test]
fn the_configuration_is_shown_without_secrets() {
    let origin = RawOrigin::start("echo");
    let authority = Certificates::new("test");
    let leaf = authority.leaf(&["a.test"]);
    let document = with_middlewares("echo:80", &[("guard", "  basicAuth:\n    secret: users")])
        + &middleware("shown", "  headers:\n    customRequestHeaders:\n      X-Token: hunter2")
        + USERS;
    let gateway = builder()
        .document("routes.yaml", &document)
        .document("tls.yaml", &leaf.secret("a-tls"))
        .backend("echo:80", origin.addr())
        .certificate(&leaf)
        .start();
    gateway
        .client()
        .request("GET / HTTP/1.1\r\nHost: a.test\r\nAuthorization: Basic dGVzdDp0ZXN0\r\n\r\n")
        .echo();
    let text = gateway.admin("/config").text();
    let json: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
    assert_eq!(json["generation"].as_u64(), Some(1));
    assert!(
        text.contains("ingressroute/default/routes/0") && text.contains("basic_auth"),
        "{text}"
    );
    assert!(text.contains("routes.yaml:"), "{text}");
    let key_line = leaf.key.lines().nth(1).expect("a key has lines");
    gateway.log_line("the request", |line| line.contains("\"status\":200"));
    let everything = [
        text,
        gateway.admin("/metrics").text(),
        gateway.stderr().join("\n"),
        gateway.stdout().join("\n"),
    ]
    .concat();
    for secret in ["$apr1$", "IgXLP6ew", "PRIVATE KEY", key_line, "dGVzdDp0ZXN0", "hunter2"] {
        assert!(!everything.contains(secret), "{secret} is shown");
    }
}

#[test]
fn the_configuration_names_what_is_wrong_and_where() {
    let origin = RawOrigin::start("echo");
    let broken =
        ingress_route(&[("Hots(`a.test`)", "echo:80")]).replace("name: routes", "name: broken");
    let gateway = to_echo(&origin).document("broken.yaml", &broken).start();
    let json: serde_json::Value = serde_json::from_str(&gateway.admin("/config").text()).unwrap();
    let problems = json["problems"].as_array().expect("a list");
    assert!(
        problems.iter().any(|problem| problem.to_string().contains("broken.yaml")),
        "{problems:?}"
    );
}

#[test]
fn health_and_readiness() {
    let origin = RawOrigin::start("echo");
    let gateway = to_echo(&origin).start();
    assert_eq!(gateway.admin("/healthz").status, 200);
    let ready = gateway.admin("/readyz");
    let json: serde_json::Value = serde_json::from_slice(&ready.body).unwrap();
    assert_eq!((ready.status, json["ready"].as_bool()), (200, Some(true)));
    assert_eq!(gateway.admin("/nothing").status, 404);
    // It only ever reads, and web pages cannot reach it under a name of their own.
    let mut client = RawClient::connect(gateway.admin_addr());
    let response =
        client.request("POST /config HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(response.status, 405);
    assert_eq!(RawClient::get(gateway.admin_addr(), "evil.test", "/config").status, 403);
}

#[test]
fn a_port_that_is_taken_keeps_it_from_being_ready() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap();
    let gateway = builder().http(addr).start_unready();
    let response = gateway.admin("/readyz");
    assert_eq!(response.status, 503, "{}", response.text());
    let why = response.text() + &gateway.stderr().join("\n");
    assert!(why.contains("web") && why.contains(&addr.to_string()), "{why}");
    assert_eq!(gateway.admin("/healthz").status, 200);
    // The next change tries again.
    drop(taken);
    gateway.write("routes.yaml", &ingress_route(&[]));
    wait::until_true("readiness", || gateway.admin("/readyz").status == 200);
}

#[test]
fn http2_streams_are_logged_one_by_one() {
    let origin = RawOrigin::start("echo");
    let gateway = to_echo(&origin).start();
    let client = H2Client::connect(gateway.web());
    for index in 0..3 {
        client.get("a.test", &format!("/{index}"));
    }
    for index in 0..3 {
        let entry = gateway.log_entry("path", &format!("/{index}"));
        assert_eq!(entry["version"], "HTTP/2.0");
    }
}
