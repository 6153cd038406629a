//! Istio: how endpoints are chosen and what bounds hold (DestinationRule), what a workload may call
//! at all (Sidecar), and what is outside (ServiceEntry).

use weft_testkit::{Certificates, wait};

use crate::echo::{Call, Load, Tally, answered, check, status};
use crate::mesh::{Mesh, PROBLEMS, PYTHON, script};

use super::{Borrowed, SHOP, WEB_1, WEB_2, document, heard, mesh, service, service_with};

/// A DestinationRule of that name for a host of that name, with its policy.
fn destination_rule(name: &str, policy: &str) -> String {
    let spec = format!("  host: {name}\n  trafficPolicy:\n{policy}");
    document("networking.istio.io/v1", "DestinationRule", name, &spec)
}

/// The mesh with a Service of that name and that policy.
fn host(name: &str, policy: &str) -> Borrowed {
    mesh(&[&service(name), &destination_rule(name, policy)])
}

fn tally(mesh: &Mesh, load: &Load) -> Tally {
    Tally::of(&mesh.calls(SHOP, load))
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn an_endpoint_that_fails_is_ejected_after_as_many_failures_as_the_rule_says() {
    let mesh = host(
        "ejecting",
        "    outlierDetection: {consecutive5xxErrors: 3, interval: 30s, baseEjectionTime: 60s, \
         maxEjectionPercent: 50}\n",
    );
    mesh.tell(WEB_2, "status=500");
    let found = tally(&mesh, &Load::times(&Call::get("ejecting/"), 40));
    assert_eq!((found.status(500), found.status(200)), (3, 37), "{found:?}");
    assert_eq!(mesh.seen(WEB_2), 3);
}

/// The other endpoint fails as well, and has to stay: 50 % of two are ejected, never both.
#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn no_more_endpoints_are_ejected_than_the_rule_says() {
    let mesh = host(
        "bounded",
        "    outlierDetection: {consecutive5xxErrors: 2, interval: 30s, baseEjectionTime: 60s, \
         maxEjectionPercent: 50}\n",
    );
    [WEB_1, WEB_2].iter().for_each(|app| mesh.tell(app, "status=500"));
    let replies = mesh.calls(SHOP, &Load::times(&Call::get("bounded/"), 40));
    let by_apps = replies.iter().filter(|reply| reply.name().is_some()).count();
    assert_eq!((by_apps, mesh.seen(WEB_1) + mesh.seen(WEB_2)), (40, 40));
    let least = mesh.seen(WEB_1).min(mesh.seen(WEB_2));
    assert!((2..=3).contains(&least), "{least}");
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn requests_beyond_the_connection_pool_are_told_the_reason() {
    let mesh = host("pooled", "    connectionPool: {http: {http2MaxRequests: 2}}\n");
    let call = Call::get("pooled/").which("delay=500");
    let (name, value) = PROBLEMS.split_once(": ").unwrap();
    let load = Load::times(&call.header(name, value), 12).at_once(6);
    let replies = mesh.calls(SHOP, &load);
    let (served, refused): (Vec<_>, Vec<_>) = replies.iter().partition(|reply| reply.status == 200);
    assert!(served.len() >= 2 && refused.len() >= 4, "{replies:?}");
    for reply in refused {
        assert_eq!((reply.status, &*reply.reason()), (503, "requests_overflow"), "{reply:?}");
    }
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn a_header_keeps_requests_at_one_endpoint() {
    for hash in ["maglev: {tableSize: 101}", "ringHash: {minimumRingSize: 128}"] {
        let policy =
            format!("    loadBalancer: {{consistentHash: {{httpHeaderName: x-user, {hash}}}}}\n");
        let mesh = host("hashed", &policy);
        let users: Vec<Call> = (0..16)
            .map(|user| Call::get("hashed/").header("x-user", &format!("user-{user}")))
            .collect();
        let [first, second] = [0, 1].map(|_| {
            let replies = mesh.calls(SHOP, &Load::each(&users));
            replies.iter().map(|reply| reply.name().unwrap()).collect::<Vec<_>>()
        });
        assert_eq!(first, second, "{hash}");
        for app in [WEB_1, WEB_2] {
            assert!(first.iter().any(|name| name == app), "{hash}: {first:?}");
        }
    }
}

/// Neither outlier detection nor anything else has to be asked for besides, as in Istio.
#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn calls_stay_in_their_region_until_nobody_there_takes_them() {
    let rule = destination_rule(
        "places",
        "    loadBalancer: {localityLbSetting: {enabled: true, failover: [{from: eu, to: us}]}}\n",
    );
    let mesh = mesh(&[&service_with("places", "app: place", ""), &rule]);
    let load = Load::times(&Call::get("places/"), 20);
    tally(&mesh, &load).check_shares(&[("near", 1.0)]);
    mesh.tell("near", "refuse");
    tally(&mesh, &load).check_shares(&[("far", 1.0)]);
    mesh.tell("near", "");
    wait::until_true("calls to be near again", || tally(&mesh, &load).share("near") == 1.0);
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn regions_get_the_shares_that_the_rule_distributes() {
    let rule = destination_rule(
        "shares",
        "    loadBalancer:
      localityLbSetting:
        enabled: true
        distribute: [{from: eu, to: {eu: 70, us: 30}}]
",
    );
    let mesh = mesh(&[&service_with("shares", "app: place", ""), &rule]);
    // The region is drawn for each call: the tolerance is five times the standard deviation.
    let found = tally(&mesh, &Load::times(&Call::get("shares/"), 2200));
    found.check_shares(&[("near", 0.7), ("far", 0.3)]);
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn a_port_has_the_settings_of_its_own_in_place_of_the_others() {
    let mesh = host(
        "ported",
        "    outlierDetection: {consecutive5xxErrors: 1, baseEjectionTime: 60s, \
         maxEjectionPercent: 50}
    portLevelSettings:
    - port: {number: 80}
      loadBalancer: {simple: ROUND_ROBIN}
",
    );
    mesh.tell(WEB_2, "status=500");
    let found = tally(&mesh, &Load::times(&Call::get("ported/"), 20));
    assert_eq!(found.status(500), 10, "{found:?}");
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn retries_have_the_budget_of_the_rule() {
    let route = document(
        "networking.istio.io/v1",
        "VirtualService",
        "budgeted",
        "  hosts: [budgeted]
  http:
  - route: [{destination: {host: budgeted}}]
    retries: {attempts: 3, retryOn: 5xx}
",
    );
    let rule =
        destination_rule("budgeted", "    retryBudget: {percent: 10, minRetryConcurrency: 1}\n");
    let mesh = mesh(&[&service("budgeted"), &rule, &route]);
    [WEB_1, WEB_2].iter().for_each(|app| mesh.tell(app, "delay=50 status=503"));
    // Of ten at one time one may be a retry, and with all failing each is tried again all the time.
    let load = Load::times(&Call::get("budgeted/"), 100).at_once(10);
    let found = tally(&mesh, &load);
    let seen = mesh.seen(WEB_1) + mesh.seen(WEB_2);
    assert_eq!(found.status(503), 100, "{found:?}");
    assert!((105..=160).contains(&seen), "{seen} tries");
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn a_sidecar_names_all_that_a_workload_may_call() {
    let sidecar = document(
        "networking.istio.io/v1",
        "Sidecar",
        "shop",
        "  workloadSelector: {labels: {app: shop}}
  egress: [{hosts: [./known.default.svc.cluster.local]}]
  outboundTrafficPolicy: {mode: REGISTRY_ONLY}
",
    );
    let mesh = mesh(&[&service("known"), &service("hidden"), &sidecar]);
    let (name, value) = PROBLEMS.split_once(": ").unwrap();
    assert_eq!(mesh.call(SHOP, &Call::get("known/")).status, 200);
    let hidden = mesh.call(SHOP, &Call::get("hidden/").header(name, value));
    assert_ne!(hidden.status, 200, "{hidden:?}");
    // Who is not meant by the document calls it.
    assert_eq!(mesh.call(WEB_1, &Call::get("hidden/")).status, 200);
}

/// `NAME.test`, which is the machine itself at that port, called with plain HTTP.
fn outside(name: &str, port: u16) -> String {
    document(
        "networking.istio.io/v1",
        "ServiceEntry",
        name,
        &format!(
            "  hosts: [{name}.test]\n  location: MESH_EXTERNAL\n  resolution: STATIC\n  ports: \
             [{{number: 80, name: http, protocol: HTTP, targetPort: {port}}}]\n  endpoints: \
             [{{address: {OUTSIDE}}}]\n"
        ),
    )
}

/// The machine itself, as workloads call it.
const OUTSIDE: &str = "10.77.0.1";

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn plain_calls_of_an_outside_host_leave_with_tls_that_the_proxy_speaks() {
    let certificates = Certificates::new("the root of the outside");
    let leaf = certificates.leaf(&["bank.test"]);
    let entry = outside("bank", 8443);
    let rule = destination_rule(
        "bank",
        "    tls: {mode: SIMPLE, sni: bank.test, subjectAltNames: [bank.test], credentialName: bank}\n",
    );
    let rule = rule.replace("host: bank", "host: bank.test");
    let with = |roots: &Certificates| {
        let roots = serde_json::to_string(roots.pem()).unwrap();
        let secret = format!(
            "---\napiVersion: v1\nkind: Secret\nmetadata: {{name: bank, namespace: \
             default}}\nstringData: {{ca.crt: {roots}}}\n"
        );
        mesh(&[&entry, &rule, &secret])
    };
    let mesh = with(&certificates);
    let pem = mesh.machine.write("bank.pem", &format!("{}{}", leaf.key, leaf.chain));
    let script = script("service.py");
    let argv = [PYTHON, &script, "tls", "8443", pem.to_str().unwrap(), "bank"];
    let server = mesh.machine.spawn("bank", &argv);
    server.until_printed("tls ");
    let call = Call::get("bank.test/account");
    check(
        &mesh,
        SHOP,
        &[(call.clone(), answered("bank").path("/account").no_request("x-forwarded-client-cert"))],
    );
    drop(mesh);
    // Somebody else's root: nothing is sent.
    let mesh = with(&Certificates::new("others"));
    check(&mesh, SHOP, &[(call, status(502))]);
}

/// What the proxy shows and trusts are files of its machine, which come late and are replaced.
#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn calls_of_an_outside_host_show_a_certificate_of_a_file() {
    let (servers, clients) = (Certificates::new("servers"), Certificates::new("clients"));
    let entry = outside("vault", 8444);
    let folder = mesh(&[]).machine.folder().display().to_string();
    let rule = destination_rule(
        "vault",
        &format!(
            "    tls: {{mode: MUTUAL, sni: vault.test, caCertificates: {folder}/servers.pem, \
             clientCertificate: {folder}/client.pem, privateKey: {folder}/client.key}}\n"
        ),
    );
    let mesh = mesh(&[&entry, &rule.replace("host: vault", "host: vault.test")]);
    let server = servers.leaf(&["vault.test"]);
    let pem = mesh.machine.write("vault.pem", &format!("{}{}", server.key, server.chain));
    let trusted = mesh.machine.write("clients.pem", clients.pem());
    let (script, pem) = (script("service.py"), pem.display().to_string());
    let argv = [PYTHON, &script, "mtls", "8444", &pem, trusted.to_str().unwrap(), "vault"];
    let process = mesh.machine.spawn("vault", &argv);
    process.until_printed("mtls ");
    let answered = || mesh.call(SHOP, &Call::get("vault.test/")).name().as_deref() == Some("vault");
    assert!(!answered(), "a certificate was shown that is not there");

    let show = |of: &Certificates| {
        let leaf = of.leaf(&["shop.test"]);
        mesh.machine.write("client.key", &leaf.key);
        mesh.machine.write("client.pem", &leaf.chain);
    };
    mesh.machine.write("servers.pem", servers.pem());
    show(&clients);
    wait::until_true("an answer to who shows the certificate", answered);
    show(&servers);
    wait::until_true("the other certificate to be shown", || !answered());
    show(&clients);
    wait::until_true("an answer to the first one again", answered);
    mesh.machine.write("servers.pem", clients.pem());
    wait::until_true("the other authority to be asked for", || !answered());
}

/// TLS of the application itself: what it asks for is enough, nobody on the way has a key.
#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn tls_of_an_application_is_led_by_the_name_it_asks_for() {
    let certificates = Certificates::new("the root of the applications");
    let leaf = certificates.leaf(&["one.test", "two.test"]);
    let entry = |name: &str, port: u16| {
        format!(
            "  hosts: [{name}]\n  location: MESH_EXTERNAL\n  resolution: STATIC\n  ports: \
             [{{number: 443, name: tls, protocol: TLS, targetPort: {port}}}]\n  endpoints: \
             [{{address: {OUTSIDE}}}]\n"
        )
    };
    let entry =
        |name, port| document("networking.istio.io/v1", "ServiceEntry", name, &entry(name, port));
    let route = document(
        "networking.istio.io/v1",
        "VirtualService",
        "one.test",
        "  hosts: [one.test, two.test]
  tls:
  - match: [{port: 443, sniHosts: [one.test]}]
    route: [{destination: {host: two.test}}]
  - match: [{port: 443, sniHosts: [two.test]}]
    route: [{destination: {host: one.test}}]
",
    );
    let mesh = mesh(&[&entry("one.test", 9443), &entry("two.test", 9444), &route]);
    let pem = mesh.machine.write("apps.pem", &format!("{}{}", leaf.key, leaf.chain));
    let roots = mesh.machine.write("apps-roots.pem", certificates.pem());
    let script = script("service.py");
    let servers = [("one", "9443"), ("two", "9444")].map(|(name, port)| {
        let argv = [PYTHON, &script, "tls", port, pem.to_str().unwrap(), name];
        let server = mesh.machine.spawn(name, &argv);
        server.until_printed("tls ");
        server
    });
    for (asked, led) in [("one.test", "two"), ("two.test", "one")] {
        let url = format!("https://{asked}/");
        let answer = mesh.get(SHOP, &["--cacert", roots.to_str().unwrap(), &url]);
        assert_eq!(answer.json()["name"], led, "{asked}");
    }
    drop(servers);
}

/// The header by which proxies tell an application who calls stands in what is heard.
#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn mutual_tls_of_the_mesh_stays_whatever_else_a_rule_says() {
    let mesh = host("kept", "    loadBalancer: {simple: RANDOM}\n");
    tally(&mesh, &Load::times(&Call::get("kept/"), 20));
    let callers = [WEB_1, WEB_2].map(|app| {
        heard(&mesh, app, |request| request["headers"]["x-forwarded-client-cert"].clone())
    });
    for caller in callers.concat() {
        assert!(caller.as_str().unwrap().contains("sa/shop"), "{caller}");
    }
}
