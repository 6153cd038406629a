//! Istio at a gateway: Gateway, VirtualService and DestinationRule, as the folder `examples/istio`
//! has them and beyond it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use weft_testkit::{
    Certificates, Gateway, H2Client, Next, RawClient, RawOrigin, Response, TcpOrigin, TlsDial,
};

use crate::common::{GET, builder, to_echo};

/// A service of the namespace `shop`, each of whose endpoints has a version.
fn service(name: &str, port: u16, endpoints: &[(SocketAddr, &str)]) -> String {
    let mut text = format!(
        "apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}, namespace: shop}}
spec:
  hosts: [{name}.shop.svc.cluster.local]
  resolution: STATIC
  ports: [{{number: {port}, name: http, protocol: HTTP}}]
  endpoints:
"
    );
    for (addr, version) in endpoints {
        text.push_str(&format!(
            "  - {{address: {}, ports: {{http: {}}}, labels: {{version: {version}}}}}\n",
            addr.ip(),
            addr.port()
        ));
    }
    text
}

fn document(kind: &str, name: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: networking.istio.io/v1\nkind: {kind}\nmetadata: {{name: {name}, namespace: \
         shop}}\nspec:\n{spec}"
    )
}

/// A Gateway `public` with these servers (each a flow map without braces).
fn gateway(servers: &[&str]) -> String {
    let servers: String = servers.iter().map(|server| format!("  - {{{server}}}\n")).collect();
    document("Gateway", "public", &format!("  servers:\n{servers}"))
}

/// HTTP on port 80 for every host.
const PLAIN: &str = "port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']";

/// Rules for every host, of HTTP or what else is said.
fn rules(text: &str) -> String {
    document("VirtualService", "it", &format!("  hosts: ['*']\n  gateways: [public]\n{text}"))
}

/// Two versions of the service `cart:8080`, and a gateway in front.
struct Shop {
    gateway: Gateway,
    v1: RawOrigin,
    v2: RawOrigin,
}

const SUBSETS: &str = "  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: \
                       {version: v2}}]\n";

/// A gateway with these rules, and with this in the DestinationRule of `cart` beside the subsets.
fn shop(text: &str, policy: &str) -> Shop {
    let (v1, v2) = (RawOrigin::start("v1"), RawOrigin::start("v2"));
    let endpoints = [(v1.addr(), "v1"), (v2.addr(), "v2")];
    let rule = document("DestinationRule", "cart", &format!("  host: cart\n{policy}{SUBSETS}"));
    let gateway = builder()
        .port(80)
        .document("services.yaml", &service("cart", 8080, &endpoints))
        .document("rules.yaml", &format!("{rule}{}{}", gateway(&[PLAIN]), rules(text)))
        .start();
    Shop { gateway, v1, v2 }
}

impl Shop {
    fn send(&self, method: &str, target: &str, headers: &[(&str, &str)]) -> Response {
        send(&self.gateway, method, "a.test", target, headers)
    }

    fn get(&self, target: &str) -> Response {
        self.send("GET", target, &[])
    }
}

/// A request to port 80.
fn send(
    gateway: &Gateway,
    method: &str,
    host: &str,
    target: &str,
    headers: &[(&str, &str)],
) -> Response {
    let headers: String =
        headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    RawClient::connect(gateway.port(80)).request(format!(
        "{method} {target} HTTP/1.1\r\nHost: {host}\r\n{headers}Connection: close\r\n\r\n"
    ))
}

/// A rule that leads to a subset.
fn to(subset: &str) -> String {
    format!("route: [{{destination: {{host: cart, subset: {subset}}}}}]")
}

#[test]
fn requests_go_to_the_subset_that_a_header_asks_for() {
    let it = shop(
        &format!(
            "  http:\n  - {{match: [{{headers: {{x-tester: {{exact: 'yes'}}}}}}], {}}}\n  - {{{}}}\n",
            to("v2"),
            to("v1")
        ),
        "",
    );
    for _ in 0..4 {
        assert_eq!(it.get("/").who(), "v1");
        assert_eq!(it.send("GET", "/", &[("X-Tester", "yes")]).who(), "v2");
    }
}

#[test]
fn weights_share_requests_between_subsets() {
    let it = shop(
        "  http:
  - route:
    - {destination: {host: cart, subset: v1}, weight: 75}
    - {destination: {host: cart, subset: v2}, weight: 25}
",
        "",
    );
    let mut shares: BTreeMap<String, u32> = BTreeMap::new();
    for _ in 0..80 {
        *shares.entry(it.get("/").who()).or_default() += 1;
    }
    assert!((40..=75).contains(&shares["v1"]), "{shares:?}");
    assert_eq!(shares["v1"] + shares["v2"], 80);
}

#[test]
fn a_subset_that_nobody_describes_is_answered_503() {
    let it = shop(&format!("  http: [{{{}}}]\n", to("v3")), "");
    assert_eq!(it.get("/").status, 503);
}

#[test]
fn headers_are_edited_both_ways() {
    let it = shop(
        &format!(
            "  http:
  - headers:
      request: {{set: {{x-set: new}}, add: {{x-add: more}}, remove: [x-gone]}}
      response: {{set: {{x-answer: '1'}}, remove: [x-inner]}}
    {}
",
            to("v1")
        ),
        "",
    );
    let headers = [("X-Set", "old"), ("X-Add", "one"), ("X-Gone", "x")];
    let echo = it.send("GET", "/", &headers).echo();
    assert_eq!(echo.header("x-set"), Some("new"));
    assert_eq!(echo.header("x-gone"), None);
    let added: Vec<_> = echo.headers_named("x-add").flat_map(|text| text.split(", ")).collect();
    assert_eq!(added, ["one", "more"]);
    it.v1.on("/answer", |x| {
        x.respond(200, &[("X-Inner", "secret")], "")?;
        Ok(Next::KeepAlive)
    });
    let response = it.get("/answer");
    assert_eq!((response.header("x-answer"), response.header("x-inner")), (Some("1"), None));
}

#[test]
fn paths_and_authorities_are_rewritten() {
    let it = shop(
        &format!(
            "  http:
  - {{match: [{{uri: {{prefix: /api/}}}}], rewrite: {{uri: /, authority: inner.test}}, {}}}
  - match: [{{uri: {{prefix: /users}}}}]
    rewrite: {{uriRegexRewrite: {{match: '^/users/([^/]+)(.*)$', rewrite: '/u\\2/\\1'}}}}
    {}
",
            to("v1"),
            to("v1")
        ),
        "",
    );
    let echo = it.get("/api/cart").echo();
    assert_eq!((&*echo.target, &*echo.host), ("/cart", "inner.test"));
    assert_eq!(it.get("/users/7/orders").echo().target, "/u/orders/7");
}

#[test]
fn the_gateway_redirects_and_answers_by_itself() {
    let it = shop(
        "  http:
  - {match: [{uri: {prefix: /old}}], redirect: {uri: /new, authority: other.test, redirectCode: 302}}
  - {directResponse: {status: 403, body: {string: not from here}}}
",
        "",
    );
    let moved = it.get("/old");
    assert_eq!((moved.status, moved.header("location")), (302, Some("http://other.test/new")));
    let closed = it.get("/");
    assert_eq!((closed.status, closed.text()), (403, "not from here".into()));
    assert!(it.v1.requests().is_empty() && it.v2.requests().is_empty());
}

#[test]
fn faults_are_made_for_the_share_that_is_asked_for() {
    let it = shop(
        &format!(
            "  http:
  - match: [{{uri: {{prefix: /always}}}}]
    fault: {{abort: {{httpStatus: 418, percentage: {{value: 100}}}}}}
    {}
  - {{fault: {{abort: {{httpStatus: 418, percentage: {{value: 0}}}}}}, {}}}
",
            to("v1"),
            to("v1")
        ),
        "",
    );
    assert_eq!(it.get("/always").status, 418);
    assert_eq!(it.get("/never").who(), "v1");
    assert_eq!(it.v1.requests().len(), 1);
}

#[test]
fn what_failed_is_sent_again_as_often_as_the_rule_says() {
    let it = shop(
        &format!(
            "  http: [{{retries: {{attempts: 2, retryOn: 5xx, backoff: 1ms}}, {}}}]\n",
            to("v1")
        ),
        "",
    );
    it.v1.on_status("/", 500, "broken");
    assert_eq!(it.get("/").status, 500);
    assert_eq!(it.v1.requests().len(), 3);
}

#[test]
fn by_default_an_answered_500_is_not_sent_again() {
    let it = shop(&format!("  http: [{{{}}}]\n", to("v1")), "");
    it.v1.on_status("/", 500, "broken");
    assert_eq!(it.get("/").status, 500);
    assert_eq!(it.v1.requests().len(), 1);
}

#[test]
fn timeout_and_retries_in_a_destination_rule_hold() {
    let it = shop(
        &format!("  http: [{{{}}}]\n", to("v1")),
        "  trafficPolicy: {retries: {attempts: 1, retryOn: 5xx, backoff: 1ms}}\n",
    );
    it.v1.on_status("/", 500, "broken");
    assert_eq!(it.get("/").status, 500);
    assert_eq!(it.v1.requests().len(), 2);
}

#[test]
fn copies_go_to_a_mirror_and_nobody_waits_for_them() {
    let it = shop(
        &format!(
            "  http: [{{mirrors: [{{destination: {{host: cart, subset: v2}}}}], {}}}]\n",
            to("v1")
        ),
        "",
    );
    assert_eq!(it.get("/copied").who(), "v1");
    it.v2.wait_for("a copy", |_, requests| requests.len() == 1);
}

#[test]
fn a_hashed_header_keeps_requests_together() {
    let it = shop(
        "  http: [{route: [{destination: {host: cart}}]}]\n",
        "  trafficPolicy: {loadBalancer: {consistentHash: {httpHeaderName: x-user}}}\n",
    );
    let who = |user: &str| it.send("GET", "/", &[("X-User", user)]).who();
    let mut met = BTreeMap::new();
    for user in 0..20 {
        let user = user.to_string();
        let first = who(&user);
        assert_eq!((who(&user), who(&user)), (first.clone(), first.clone()), "{user}");
        met.insert(first, ());
    }
    assert_eq!(met.len(), 2);
}

#[test]
fn tls_begins_at_the_gateway() {
    let authority = Certificates::new("partner");
    let origin =
        RawOrigin::builder("partner").tls(&authority.leaf(&["partner.example.net"])).start();
    let secret = format!(
        "---\napiVersion: v1\nkind: Secret\nmetadata: {{name: partner, namespace: \
         shop}}\nstringData:\n  ca.crt: |\n    {}\n",
        weft_testkit::documents::pem_block(authority.pem())
    );
    let policy = |ca: &str| {
        let tls = format!("{{mode: SIMPLE, credentialName: {ca}, sni: partner.example.net}}");
        document(
            "DestinationRule",
            "partner",
            &format!("  host: partner\n  trafficPolicy: {{tls: {tls}}}\n"),
        )
    };
    let rules = gateway(&[PLAIN]) + &rules("  http: [{route: [{destination: {host: partner}}]}]\n");
    let start = |ca: &str| {
        builder()
            .port(80)
            .document("services.yaml", &service("partner", 8443, &[(origin.addr(), "v1")]))
            .document("rules.yaml", &format!("{}{rules}{secret}", policy(ca)))
            .start()
    };
    assert_eq!(send(&start("partner"), "GET", "a.test", "/", &[]).who(), "partner");
    // Without the authority nothing is called, rather than unprotected.
    let status = send(&start("nobody"), "GET", "a.test", "/", &[]).status;
    assert_eq!(status, 503);
    assert_eq!(origin.requests().len(), 1);
}

#[test]
fn a_service_behind_the_proxy_protocol_is_told_who_asks() {
    let trust = ["--trust-proxy-protocol-from", "127.0.0.0/8"];
    let origin = RawOrigin::start("cart");
    let behind = to_echo(&origin).args(&trust).start();
    for version in ["V1", "V2"] {
        let policy = format!("  trafficPolicy: {{proxyProtocol: {{version: {version}}}}}\n");
        let rule = document("DestinationRule", "cart", &format!("  host: cart\n{policy}"));
        let rules = rules("  http: [{route: [{destination: {host: cart}}]}]\n");
        let front = builder()
            .port(80)
            .args(&trust)
            .document("services.yaml", &service("cart", 8080, &[(behind.addr("web"), "v1")]))
            .document("rules.yaml", &format!("{rule}{}{rules}", gateway(&[PLAIN])))
            .start();
        for client in ["192.0.2.7", "192.0.2.8"] {
            let mut conn = RawClient::connect(front.port(80));
            conn.send(format!("PROXY TCP4 {client} 192.0.2.1 40000 80\r\n"));
            for _ in 0..2 {
                let echo = conn.request(GET).echo();
                assert_eq!(echo.header("x-forwarded-for"), Some(client), "{version}");
            }
        }
    }
}

/// The Secret of a certificate in the namespace `shop`.
fn secret(authority: &Certificates, name: &str, hosts: &[&str]) -> String {
    let secret = authority.leaf(hosts).secret(name);
    let named = format!("  name: {name}\n");
    format!("---\n{}", secret.replace(&named, &format!("{named}  namespace: shop\n")))
}

#[test]
fn tls_ends_at_a_server_and_plain_requests_are_sent_there() {
    let authority = Certificates::new("test");
    let origin = RawOrigin::start("cart");
    let servers = [
        "port: {number: 80, name: http, protocol: HTTP}, hosts: [a.test], tls: {httpsRedirect: true}",
        "port: {number: 443, name: https, protocol: HTTPS}, hosts: [a.test], tls: {mode: SIMPLE, \
         credentialName: cert}",
    ];
    let rules = rules("  http: [{route: [{destination: {host: cart}}]}]\n");
    let it = builder()
        .port(80)
        .port(443)
        .document("services.yaml", &service("cart", 8080, &[(origin.addr(), "v1")]))
        .document("cert.yaml", &secret(&authority, "cert", &["a.test"]))
        .document("rules.yaml", &(gateway(&servers) + &rules))
        .start();
    let moved = send(&it, "GET", "a.test", "/x?y=1", &[]);
    assert_eq!((moved.status, moved.header("location")), (301, Some("https://a.test/x?y=1")));
    let dial = TlsDial::http1("a.test", authority.roots());
    let mut client = RawClient::connect_tls(it.port(443), &dial);
    let response = client.request("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!(response.who(), "cart");
    let client = H2Client::connect_tls(it.port(443), &dial.alpn(&["h2"]));
    assert_eq!(client.get("a.test", "/").echo().backend, "cart");
}

#[test]
fn tls_goes_through_by_server_name() {
    let authority = Certificates::new("test");
    let exact = TcpOrigin::start_tls("exact", &authority.leaf(&["a.vault.test"]));
    let wide = TcpOrigin::start_tls("wide", &authority.leaf(&["b.vault.test"]));
    let server = "port: {number: 443, name: tls, protocol: TLS}, hosts: ['*.vault.test'], tls: \
                  {mode: PASSTHROUGH}";
    let rules = rules(
        "  tls:
  - {match: [{sniHosts: ['*.vault.test']}], route: [{destination: {host: wide}}]}
  - {match: [{sniHosts: [a.vault.test]}], route: [{destination: {host: exact}}]}
",
    )
    .replace("hosts: ['*']", "hosts: ['*.vault.test']");
    let services = service("exact", 443, &[(exact.addr(), "v1")])
        + "---\n"
        + &service("wide", 443, &[(wide.addr(), "v1")]);
    let it = builder()
        .port(443)
        .document("services.yaml", &services)
        .document("rules.yaml", &(gateway(&[server]) + &rules))
        .start();
    for (name, expected) in [("a.vault.test", &b"exact\n"[..]), ("b.vault.test", b"wide\n")] {
        let dial = TlsDial::http1(name, authority.roots()).alpn(&[]);
        let mut client = RawClient::connect_tls(it.port(443), &dial);
        assert_eq!(client.read_until(b"\n").unwrap(), expected);
    }
    assert!(RawClient::try_connect_tls(it.port(443), &TlsDial::insecure("c.test")).is_err());
}

#[test]
fn bytes_go_where_the_rules_for_tcp_lead() {
    let origin = TcpOrigin::start("db");
    let server = "port: {number: 3306, name: db, protocol: TCP}, hosts: ['*']";
    let rules = rules("  tcp: [{match: [{port: 3306}], route: [{destination: {host: db}}]}]\n");
    let it = builder()
        .port(3306)
        .document("services.yaml", &service("db", 3306, &[(origin.addr(), "v1")]))
        .document("rules.yaml", &(gateway(&[server]) + &rules))
        .start();
    let mut client = RawClient::connect(it.port(3306));
    assert_eq!(client.read_until(b"\n").unwrap(), b"db\n");
    client.send("hello");
    assert_eq!(client.read_exact(5).unwrap(), b"hello");
}

/// `examples/istio` does what its comments say.
#[test]
fn the_example_does_what_it_says() {
    let (v1, v2, audit) =
        (RawOrigin::start("v1"), RawOrigin::start("v2"), RawOrigin::start("audit"));
    let database = TcpOrigin::start("database");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../examples/istio");
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let mut services = read("services.yaml");
    for (port, addr) in [
        ("9001", v1.addr()),
        ("9002", v2.addr()),
        ("9003", audit.addr()),
        ("9306", database.addr()),
    ] {
        services = services.replace(port, &addr.port().to_string());
    }
    let it = builder()
        .port(80)
        .port(443)
        .port(3306)
        .document("services.yaml", &services)
        .document("gateway.yaml", &read("gateway.yaml"))
        .document("routes.yaml", &read("routes.yaml"))
        .document("rules.yaml", &read("rules.yaml"))
        .start();
    let get = |host: &str, target: &str, headers: &[(&str, &str)]| {
        send(&it, "GET", host, target, headers)
    };
    assert_eq!(get("shop.example", "/api/cart", &[("X-Tester", "yes")]).who(), "v2");
    let echoes: Vec<_> = (0..30).map(|_| get("shop.example", "/api/cart", &[]).echo()).collect();
    assert!(echoes.iter().all(|echo| echo.target == "/cart"));
    assert!(echoes.iter().all(|echo| echo.header("x-from") == Some("gateway")));
    assert!(echoes.iter().filter(|echo| echo.backend == "v1").count() > 15);
    let moved = get("shop.example", "/old", &[]);
    assert_eq!((moved.status, moved.header("location")), (308, Some("http://shop.example/")));
    assert_eq!(get("shop.example", "/admin", &[]).status, 403);
    assert_eq!(get("shop.example", "/else", &[]).status, 404);
    let secure = get("account.example", "/", &[]);
    assert_eq!((secure.status, secure.header("location")), (301, Some("https://account.example/")));
    let mut client = RawClient::connect(it.port(3306));
    assert_eq!(client.read_until(b"\n").unwrap(), b"database\n");
}
