//! TLS towards clients: which certificate, which options, and what changes while it runs.

use weft_testkit::documents::{pem_block, secure_ingress_route};
use weft_testkit::{
    Certificates, Gateway, GatewayBuilder, H2Client, H2Request, Leaf, RawClient, RawOrigin,
    TcpOrigin, TlsDial, wait,
};

use crate::common::{self, GET, pattern};

fn builder(origin: &RawOrigin) -> GatewayBuilder {
    common::builder().backend("echo:80", origin.addr())
}

/// An IngressRoute for one host with a certificate of its own, and its Secret.
fn host_with_secret(host: &str, leaf: &Leaf) -> String {
    let name = host.replace('.', "-");
    format!(
        "{}---\napiVersion: traefik.io/v1alpha1\nkind: IngressRoute\nmetadata:\n  name: {name}\n\
         spec:\n  entryPoints: [websecure]\n  routes:\n  - match: Host(`{host}`)\n    services:\n    \
         - name: echo\n      port: 80\n  tls:\n    secretName: {name}\n",
        leaf.secret(&name)
    )
}

/// The certificate that a server name leads to.
fn served(gateway: &Gateway, server_name: &str) -> Vec<u8> {
    let client = RawClient::connect_tls(gateway.websecure(), &TlsDial::insecure(server_name));
    client.tls_facts().0
}

#[test]
fn the_server_name_chooses_the_certificate() {
    let authority = Certificates::new("test");
    let (a, wild) = (authority.leaf(&["a.test"]), authority.leaf(&["*.b.test"]));
    let default = authority.leaf(&["default.test"]);
    let origin = RawOrigin::start("echo");
    let gateway = builder(&origin)
        .document("a.yaml", &host_with_secret("a.test", &a))
        .document("b.yaml", &host_with_secret("x.b.test", &wild))
        .certificate(&default)
        .start();
    for (name, leaf) in [
        ("a.test", &a),
        ("A.TEST", &a),
        ("x.b.test", &wild),
        ("unknown.test", &default),
        ("sub.a.test", &default),
    ] {
        assert!(served(&gateway, name) == leaf.der().to_vec(), "{name}");
    }
    // No server name at all, as clients that connect to an address do.
    let dial = TlsDial { server_name: None, ..TlsDial::insecure("") };
    let client = RawClient::connect_tls(gateway.websecure(), &dial);
    assert!(client.tls_facts().0 == default.der().to_vec());

    let dial = TlsDial::http1("a.test", authority.roots());
    let echo = RawClient::connect_tls(gateway.websecure(), &dial).request(GET).echo();
    assert_eq!((echo.header("x-forwarded-proto"), &*echo.host), (Some("https"), "a.test"));
}

#[test]
fn a_new_secret_is_served_without_losing_connections() {
    let authority = Certificates::new("test");
    let (first, second) = (authority.leaf(&["a.test"]), authority.leaf(&["a.test"]));
    let origin = RawOrigin::start("echo");
    let gateway = builder(&origin).document("a.yaml", &host_with_secret("a.test", &first)).start();
    let dial = TlsDial::http1("a.test", authority.roots());
    let mut old = RawClient::connect_tls(gateway.websecure(), &dial);
    old.request(GET).echo();
    assert!(served(&gateway, "a.test") == first.der().to_vec());
    gateway.write("a.yaml", &host_with_secret("a.test", &second));
    wait::until_true("the new certificate", || served(&gateway, "a.test") == second.der().to_vec());
    old.request(GET).echo();
    // A Secret that is no certificate changes nothing.
    let broken = Leaf { chain: "not a certificate".into(), key: second.key.clone() };
    let before = gateway.generation();
    gateway.write("a.yaml", &host_with_secret("a.test", &broken));
    gateway.wait_generation_after(before);
    assert!(served(&gateway, "a.test") == second.der().to_vec());
}

#[test]
fn the_default_certificate_is_reloaded_from_its_files() {
    let authority = Certificates::new("test");
    let (first, second) = (authority.leaf(&["a.test"]), authority.leaf(&["a.test"]));
    let origin = RawOrigin::start("echo");
    let gateway = builder(&origin)
        .document("routes.yaml", &secure_ingress_route(&[("PathPrefix(`/`)", "echo:80")]))
        .certificate(&first)
        .start();
    assert!(served(&gateway, "a.test") == first.der().to_vec());
    gateway.write_certificate(&second);
    wait::until_true("the new certificate", || served(&gateway, "a.test") == second.der().to_vec());
}

#[test]
fn a_pair_of_files_that_is_replaced_one_by_one_is_never_missing() {
    let authority = Certificates::new("test");
    let (first, second) = (authority.leaf(&["a.test"]), authority.leaf(&["a.test"]));
    let origin = RawOrigin::start("echo");
    let gateway = builder(&origin)
        .document("routes.yaml", &secure_ingress_route(&[("PathPrefix(`/`)", "echo:80")]))
        .start();
    let name = |file: &str| gateway.folder().join(file).display().to_string();
    gateway.write("tls/chain.pem", &first.chain);
    gateway.write("tls/key.pem", &first.key);
    let (chain, key) = (name("tls/chain.pem"), name("tls/key.pem"));
    let document = format!("tls:\n  certificates:\n  - certFile: {chain}\n    keyFile: {key}\n");
    gateway.write("dynamic.yaml", &document);
    let is_served = |leaf: &Leaf| served(&gateway, "a.test") == leaf.der().to_vec();
    wait::until_true("the certificate of the files", || is_served(&first));
    // Half of the new pair: the old one stays, and somebody is told.
    let before = gateway.generation();
    gateway.write("tls/key.pem", &second.key);
    gateway.wait_generation_after(before);
    assert!(is_served(&first));
    assert!(gateway.stderr().iter().any(|line| line.contains("does not belong")));
    gateway.write("tls/chain.pem", &second.chain);
    wait::until_true("the new certificate", || is_served(&second));
}

#[test]
fn a_resolver_without_acme_gets_the_default_certificate_and_a_report() {
    let origin = RawOrigin::start("echo");
    let document = secure_ingress_route(&[("PathPrefix(`/`)", "echo:80")])
        .replace("  tls: {}\n", "  tls:\n    certResolver: letsencrypt\n");
    let gateway = builder(&origin).document("routes.yaml", &document).start();
    let mut client = RawClient::connect_tls(gateway.websecure(), &TlsDial::insecure("a.test"));
    client.request(GET).echo();
    wait::until_true("the report", || {
        gateway.stderr().iter().any(|line| line.contains("letsencrypt"))
    });
}

#[test]
fn strict_server_names_are_refused_when_unknown() {
    let authority = Certificates::new("test");
    let leaf = authority.leaf(&["a.test"]);
    let origin = RawOrigin::start("echo");
    let option = "---\napiVersion: traefik.io/v1alpha1\nkind: TLSOption\nmetadata:\n  name: \
                  default\nspec:\n  sniStrict: true\n";
    let gateway = builder(&origin)
        .document("a.yaml", &host_with_secret("a.test", &leaf))
        .document("option.yaml", option)
        .start();
    let dial = |name| RawClient::try_connect_tls(gateway.websecure(), &TlsDial::insecure(name));
    assert!(dial("a.test").is_ok());
    let error = dial("b.test").expect_err("an unknown name is refused");
    assert!(error.to_string().to_lowercase().contains("unrecognised"), "{error}");
}

#[test]
fn versions_below_the_minimum_are_refused() {
    let origin = RawOrigin::start("echo");
    let option = "---\napiVersion: traefik.io/v1alpha1\nkind: TLSOption\nmetadata:\n  name: \
                  default\nspec:\n  minVersion: VersionTLS13\n";
    let gateway = builder(&origin)
        .document("routes.yaml", &secure_ingress_route(&[("PathPrefix(`/`)", "echo:80")]))
        .document("option.yaml", option)
        .start();
    let dial = TlsDial::insecure("a.test");
    assert!(RawClient::try_connect_tls(gateway.websecure(), &dial).is_ok());
    let old = dial.tls12_only();
    assert!(RawClient::try_connect_tls(gateway.websecure(), &old).is_err());
}

#[test]
fn client_certificates_are_required_where_the_option_says_so() {
    let (authority, clients) = (Certificates::new("servers"), Certificates::new("clients"));
    let leaf = authority.leaf(&["a.test"]);
    let origin = RawOrigin::start("echo");
    let ca = pem_block(clients.pem());
    let option = format!(
        "---\napiVersion: v1\nkind: Secret\nmetadata:\n  name: clients\nstringData:\n  tls.ca: \
         |\n    {ca}\n---\napiVersion: traefik.io/v1alpha1\nkind: TLSOption\nmetadata:\n  name: \
         mutual\nspec:\n  clientAuth:\n    clientAuthType: RequireAndVerifyClientCert\n    \
         secretNames: [clients]\n"
    );
    let route = host_with_secret("a.test", &leaf).replace(
        "    secretName: a-test\n",
        "    secretName: a-test\n    options:\n      name: mutual\n",
    );
    let gateway =
        builder(&origin).document("a.yaml", &route).document("option.yaml", &option).start();
    let dial = TlsDial::http1("a.test", authority.roots());
    let answered = |dial: &TlsDial| {
        let mut client = RawClient::try_connect_tls(gateway.websecure(), dial).ok()?;
        client.try_send(GET).ok()?;
        client.try_response(false).ok().flatten().map(|response| response.status)
    };
    assert_eq!(answered(&dial), None);
    assert_eq!(answered(&dial.clone().client(&authority.leaf(&["me"]))), None);
    assert_eq!(answered(&dial.client(&clients.leaf(&["me"]))), Some(200));
}

#[test]
fn a_connection_serves_only_the_hosts_of_its_options() {
    let authority = Certificates::new("test");
    let both = authority.leaf(&["a.test", "b.test"]);
    let origin = RawOrigin::start("echo");
    let option = "---\napiVersion: traefik.io/v1alpha1\nkind: TLSOption\nmetadata:\n  name: \
                  strict\nspec:\n  minVersion: VersionTLS13\n";
    let other = host_with_secret("b.test", &both).replace(
        "    secretName: b-test\n",
        "    secretName: b-test\n    options:\n      name: strict\n",
    );
    let gateway = builder(&origin)
        .document("a.yaml", &host_with_secret("a.test", &both))
        .document("b.yaml", &other)
        .document("option.yaml", option)
        .start();
    let dial = TlsDial::http1("a.test", authority.roots());
    let mut client = RawClient::connect_tls(gateway.websecure(), &dial);
    client.request(GET).echo();
    let response = client.request("GET / HTTP/1.1\r\nHost: b.test\r\n\r\n");
    assert_eq!(response.status, 421);
    let client = H2Client::connect_tls(gateway.websecure(), &dial);
    assert_eq!(client.get("a.test", "/").status, 200);
    assert_eq!(client.get("b.test", "/").status, 421);
}

#[test]
fn pass_through_by_server_name_leaves_tls_alone() {
    let authority = Certificates::new("test");
    let (inner, outer) = (authority.leaf(&["raw.test"]), authority.leaf(&["a.test"]));
    let origin = RawOrigin::start("echo");
    let tcp = TcpOrigin::start_tls("raw", &inner);
    let route = "apiVersion: traefik.io/v1alpha1\nkind: IngressRouteTCP\nmetadata:\n  name: raw\n\
                 spec:\n  entryPoints: [websecure]\n  routes:\n  - match: HostSNI(`raw.test`)\n    \
                 services:\n    - name: raw\n      port: 9000\n  tls:\n    passthrough: true\n";
    let gateway = builder(&origin)
        .backend("raw:9000", tcp.addr())
        .document("a.yaml", &host_with_secret("a.test", &outer))
        .document("raw.yaml", route)
        .start();
    // The handshake is the origin's: its certificate, and bytes that are not HTTP.
    let dial = TlsDial::http1("raw.test", authority.roots()).alpn(&[]);
    let mut client = RawClient::connect_tls(gateway.websecure(), &dial);
    assert!(client.tls_facts().0 == inner.der().to_vec());
    assert_eq!(client.read_until(b"\n").unwrap(), b"raw\n");
    client.send("anything");
    assert_eq!(client.read_exact(8).unwrap(), b"anything");
    // The same address terminates for other names.
    let dial = TlsDial::http1("a.test", authority.roots());
    RawClient::connect_tls(gateway.websecure(), &dial).request(GET).echo();
}

#[test]
fn an_upstream_is_verified_or_not_spoken_to() {
    let (good, bad) = (Certificates::new("good"), Certificates::new("bad"));
    let origin = RawOrigin::builder("secure").tls(&good.leaf(&["inner.test"])).start();
    let documents = |authority: &Certificates, name: &str| {
        format!(
            "apiVersion: traefik.io/v1alpha1\nkind: IngressRoute\nmetadata:\n  name: secure\nspec:\n  \
             entryPoints: [web]\n  routes:\n  - match: PathPrefix(`/`)\n    services:\n    - name: \
             echo\n      port: 80\n      scheme: https\n      serversTransport: inner\n---\n\
             apiVersion: traefik.io/v1alpha1\nkind: ServersTransport\nmetadata:\n  name: inner\n\
             spec:\n  serverName: {name}\n  rootCAs:\n  - secret: roots\n---\napiVersion: v1\n\
             kind: Secret\nmetadata:\n  name: roots\nstringData:\n  tls.ca: |\n    {}\n",
            pem_block(authority.pem())
        )
    };
    let gateway = builder(&origin).document("a.yaml", &documents(&good, "inner.test")).start();
    assert_eq!(gateway.get("a.test", "/").echo().backend, "secure");
    assert_eq!(origin.connections()[0].server_name.as_deref(), Some("inner.test"));
    gateway.write("a.yaml", &documents(&good, "other.test"));
    gateway.wait_for_status("a.test", "/", 502);
    gateway.write("a.yaml", &documents(&good, "inner.test"));
    gateway.wait_for_status("a.test", "/", 200);
    gateway.write("a.yaml", &documents(&bad, "inner.test"));
    let response = gateway.wait_for_status("a.test", "/", 502);
    assert!(!response.text().to_lowercase().contains("certificate"), "{}", response.text());
    gateway.log_line("the reason", |line| line.contains("upstream_tls"));
}

#[test]
fn large_bodies_pass_over_tls_both_ways() {
    let authority = Certificates::new("test");
    let origin = RawOrigin::start("echo");
    origin.send_back("/");
    let gateway = builder(&origin)
        .document("a.yaml", &host_with_secret("a.test", &authority.leaf(&["a.test"])))
        .start();
    let dial = TlsDial::http1("a.test", authority.roots());
    let body = pattern(4_000_000);
    let mut client = RawClient::connect_tls(gateway.websecure(), &dial);
    client
        .send(format!("PUT / HTTP/1.1\r\nHost: a.test\r\nContent-Length: {}\r\n\r\n", body.len()));
    client.send(&body);
    assert!(client.response().body == body);
    let client = H2Client::connect_tls(gateway.websecure(), &dial);
    assert!(client.request(H2Request::post("a.test", "/", body.clone())).body == body);
}

/// Routes with TLS are for connections with TLS: nobody gets round it by leaving it out.
#[test]
fn plain_http_on_a_tls_address_finds_no_route() {
    let origin = RawOrigin::start("echo");
    let gateway = builder(&origin)
        .document("routes.yaml", &secure_ingress_route(&[("PathPrefix(`/`)", "echo:80")]))
        .start();
    assert_eq!(RawClient::connect(gateway.websecure()).request(GET).status, 404);
    assert_eq!(H2Client::connect(gateway.websecure()).get("a.test", "/").status, 404);
    assert!(origin.requests().is_empty());
}
