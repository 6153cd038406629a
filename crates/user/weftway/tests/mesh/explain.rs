//! `weftway explain` of a mesh that runs: what the proxy beside the caller says.

use serde_json::Value;
use weft_testkit::wait;

use crate::echo::{App, Call};
use crate::mesh::{BINARY, Mesh};

const CALLER: &str = "checkout";

const V1: &str = "payments-1";

const V2: [&str; 2] = ["payments-2", "payments-3"];

/// Its rules are for the second version, which has two instances.
const DOCUMENTS: &str = "\
apiVersion: v1
kind: Service
metadata: {name: payments, namespace: default}
spec:
  selector: {app: payments}
  ports: [{name: http, port: 8080}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: payments, namespace: default}
spec:
  hosts: [payments]
  http:
  - match: [{uri: {prefix: /v2}, headers: {x-user: {exact: '7'}}}]
    route: [{destination: {host: payments, subset: v2}}]
    timeout: 5s
    retries: {attempts: 2, perTryTimeout: 2s, retryOn: 5xx}
  - match: [{uri: {prefix: /v2}, headers: {x-user: {exact: '8'}}}]
    route: [{destination: {host: payments, subset: v2}}]
  - route: [{destination: {host: payments, subset: v1}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: payments, namespace: default}
spec:
  host: payments
  subsets:
  - {name: v1, labels: {version: v1}}
  - {name: v2, labels: {version: v2}, trafficPolicy: {loadBalancer: {simple: RANDOM}}}
  trafficPolicy:
    outlierDetection: {consecutive5xxErrors: 1, baseEjectionTime: 300s, maxEjectionPercent: 50}
";

const CHARGE: &str = "GET http://payments:8080/v2/charge";

/// What a command has printed.
struct Said {
    code: i32,
    out: String,
    errors: String,
}

fn start(documents: &str) -> Mesh {
    let labels = |version: &'static [&'static str]| move |name| App::new(name).labels(version);
    let mut apps = vec![labels(&["app=payments", "version=v1"])(V1)];
    apps.extend(V2.map(labels(&["app=payments", "version=v2"])));
    apps.push(App::new(CALLER));
    let mesh = Mesh::of(documents, &apps);
    mesh.until_in_force();
    mesh
}

/// Runs a command of the binary against the mesh.
fn weftway(mesh: &Mesh, arguments: &[&str]) -> Said {
    let state = mesh.state();
    let argv = [&[BINARY], arguments, &["--state", state.to_str().unwrap()]].concat();
    let output = mesh.machine.run(&argv);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let code = output.status.code().unwrap();
    Said { code, out: text(output.stdout), errors: text(output.stderr) }
}

/// What is said of a request of the user with that number.
fn explain(mesh: &Mesh, user: &str, more: &[&str]) -> Said {
    let header = format!("x-user: {user}");
    let arguments = ["explain", CHARGE, "--from", CALLER, "--header", &header];
    weftway(mesh, &[&arguments[..], more].concat())
}

/// The same for programs.
fn explained(mesh: &Mesh, user: &str, more: &[&str]) -> Value {
    let said = explain(mesh, user, &[&["-o", "json"], more].concat());
    assert_eq!(said.code, 0, "{said:?}");
    serde_json::from_str(&said.out).unwrap()
}

impl Said {
    /// Requires these words, whatever the blanks between them.
    #[track_caller]
    fn has(&self, words: &str) {
        let all = format!("{} {}", self.out, self.errors);
        let shown = all.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(shown.contains(words), "no `{words}` in\n{}\n{}", self.out, self.errors);
    }
}

impl std::fmt::Debug for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}\n{}\n{}", self.code, self.out, self.errors)
    }
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn a_running_mesh_tells_the_rule_the_policies_and_how_each_endpoint_stands() {
    let mesh = start(DOCUMENTS);
    // Nobody has called it so far, and the proxy asks for it.
    let first = explain(&mesh, "7", &[]);
    assert_eq!(first.code, 0, "{first:?}");
    first.has("taken by VirtualService default/payments");
    first.has("mesh.yaml:14)");
    first.has("uri prefix /v2, header x-user exact 7");
    first.has("wants Header(`x-user`, `8`), and finds `7`");
    first.has("outranked");
    first.has("request timeout 5s VirtualService default/payments");
    first.has("up to 3 tries on");
    first.has("load balancing random DestinationRule default/payments");
    first.has("trafficPolicy.loadBalancer");
    first.has("after 1 failure in a row for 300s, at most 50 % of the endpoints");
    first.has("retry budget 20 % of the requests of 10s, or 10 each 1s default");
    first.has("connectionPool (its default)");
    first.has("not used yet");

    // One of two instances fails, and is set aside; the request of the caller is tried again.
    mesh.tell(V2[0], "status=503");
    let call = Call::get("payments:8080/v2/charge").header("x-user", "7");
    wait::until_true("an ejection", || {
        assert_eq!(mesh.call(CALLER, &call).status, 200);
        explain(&mesh, "7", &[]).out.contains("set aside")
    });
    let view = explained(&mesh, "7", &[]);
    assert_eq!(view["rules"][0]["verdict"], "wins");
    let endpoints = view["leads"][0]["endpoints"].as_array().unwrap();
    let state = |name: &str| {
        let addr = format!("{}:8080", mesh.addr(name));
        let one = endpoints.iter().find(|one| one["addr"] == addr);
        one.unwrap_or_else(|| panic!("{view}"))["state"].as_str().unwrap().to_owned()
    };
    assert_eq!((state(V2[0]), state(V2[1])), ("set aside".into(), "usable".into()), "{view}");
    assert_eq!(endpoints.len(), 2, "those of the subset: {view}");

    // Files alone say the same, but know no endpoints.
    let path = mesh.machine.folder().join("mesh.yaml");
    let by_files = explained(&mesh, "7", &["-f", path.to_str().unwrap()]);
    for part in ["rules", "policies", "arrives"] {
        assert_eq!(by_files[part], view[part], "{part}");
    }
    assert_eq!(by_files["leads"][0]["calling"], view["leads"][0]["calling"]);
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn a_past_request_is_told_by_its_id_from_whoever_has_sent_it() {
    let mesh = start(DOCUMENTS);
    mesh.tell(V2[0], "status=503");
    mesh.tell(V2[1], "status=503");
    let call = Call::get("payments:8080/v2/charge").header("x-user", "7");
    let call = call.header("x-request-id", "order-7");
    assert_eq!(mesh.call(CALLER, &call).status, 503);
    let logs = format!("cat {}/logs/{CALLER}.log", mesh.state().display());
    wait::until_true("the access log", || {
        mesh.machine.output(&["sh", "-c", &logs]).contains("order-7")
    });

    let past = weftway(&mesh, &["explain", "--id", "order-7"]);
    past.has("GET http://payments:8080/v2/charge");
    past.has(&format!("says {CALLER}, by generation"));
    past.has("what became of it: 503 (upstream) after 3 tries");
    past.has("rule then: virtualservice/default/payments/0");
    past.has("what would become of it now: taken by VirtualService default/payments");
    // Those who got it have seen it as well.
    past.has("other requests of that id");
    past.has("inbound");

    let one = weftway(&mesh, &["explain", "--id", "order-7", "--from", V2[0]]);
    one.has("from others");
    let unknown = weftway(&mesh, &["explain", "--id", "order-8"]);
    assert_eq!(unknown.code, 1, "{unknown:?}");
    unknown.has("no request `order-8` is among the recent ones of checkout, payments-1");
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn what_cannot_be_told_names_the_thing_and_the_way_out() {
    let mesh = start(DOCUMENTS);
    let fails = |arguments: &[&str], words: &[&str]| {
        let said = weftway(&mesh, arguments);
        assert_eq!(said.code, 1, "{said:?}");
        words.iter().for_each(|words| said.has(words));
    };
    let none = format!("no mesh runs in {}", mesh.machine.folder().join("none").display());
    let missing = mesh.machine.folder().join("none");
    let output = mesh.machine.run(&[
        BINARY,
        "explain",
        CHARGE,
        "--from",
        CALLER,
        "--state",
        missing.to_str().unwrap(),
    ]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains(&none) && said.contains("start one with `weftway up`"), "{said}");
    fails(
        &["explain", CHARGE, "--from", "chekout"],
        &["no workload `chekout` runs in the mesh of", "those that run: checkout, payments-1"],
    );
    fails(&["explain", CHARGE], &["no gateway runs", "say with --from which workload"]);
    fails(
        &["explain", "GET http://payments:9999/", "--from", CALLER],
        &["payments.default.svc.cluster.local has no port 9999; it has 8080"],
    );
    fails(&["explain", "payments", "--from", CALLER], &["is no request; write it as"]);
    let unknown = weftway(&mesh, &["explain", "GET http://paiments:8080/", "--from", CALLER]);
    unknown.has("as a call of paiments, which the mesh does not know");
    unknown.has("the mesh knows payments.default.svc.cluster.local");

    // By the address of a workload, and encrypted by the application itself.
    let addr = mesh.addr(V1);
    let by_address = format!("GET http://{addr}:8080/");
    let by_address = weftway(&mesh, &["explain", &by_address, "--from", CALLER]);
    assert_eq!(by_address.code, 0, "{by_address:?}");
    by_address.has(&format!("as a call of {addr}:8080"));
    by_address.has("spiffe://cluster.local/ns/default/sa/default");
    fails(
        &["explain", "GET https://payments:8080/", "--from", CALLER],
        &["an application that speaks TLS by itself opens a connection"],
    );

    // A proxy of a version that has no socket for questions.
    let proxies = mesh.state().join("proxies");
    std::fs::create_dir(proxies.join("older")).unwrap();
    fails(
        &["explain", CHARGE, "--from", "older"],
        &["the proxy of older has no socket at", "`weftway proxies upgrade` replaces it"],
    );
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn instances_that_see_different_things_are_told_apart() {
    let mut mesh = start(DOCUMENTS);
    // A second instance of the caller.
    mesh.echo(&App::new("checkout-2"));
    mesh.until_in_force();
    let alike = explained(&mesh, "7", &[]);
    assert_eq!(alike["by"], CALLER);
    assert_eq!(alike["otherwise"], Value::Array(Vec::new()), "{alike}");

    mesh.tell(V2[0], "status=503");
    let call = Call::get("payments:8080/v2/charge").header("x-user", "7");
    wait::until_true("an ejection by one of them", || {
        mesh.call("checkout-2", &call);
        explain(&mesh, "7", &["-o", "json"]).out.contains("set aside")
    });
    let said = explain(&mesh, "7", &[]);
    said.has("says checkout, by generation");
    said.has("--- checkout-2 sees it otherwise ---");
    let view = explained(&mesh, "7", &[]);
    assert_eq!(view["otherwise"][0]["by"], "checkout-2", "{view}");
    // Each can be asked alone.
    let one = weftway(&mesh, &["explain", CHARGE, "--from", "checkout-2"]);
    one.has("says checkout-2, by generation");
}

/// Two versions behind a gateway: one for testers, and one for all.
const GATEWAY: &str = "\
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: weftway}
spec: {controllerName: weftway.io/gateway-controller}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: public, namespace: default}
spec:
  gatewayClassName: weftway
  listeners: [{name: http, port: 80, protocol: HTTP}]
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec: {selector: {app: web}, ports: [{name: http, port: 8080}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: shop, namespace: default}
spec:
  parentRefs: [{name: public}]
  hostnames: [shop.example]
  rules:
  - matches: [{path: {value: /admin}}]
    filters: [{type: RequestRedirect, requestRedirect: {hostname: admin.example, statusCode: 302}}]
  - matches: [{path: {value: /cart}}]
    timeouts: {request: 3s}
    backendRefs: [{name: web, port: 8080}]
";

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn the_gateway_of_a_mesh_is_asked_and_planned_with_what_it_has_seen() {
    let mut mesh = Mesh::with_gateway(GATEWAY);
    mesh.echo(&App::new("web").account("web"));
    let call = |id: &str| {
        let id = format!("x-request-id: {id}");
        let argv = ["curl", "-sSi", "--max-time", "10", "-H", "host: shop.example", "-H", &id];
        let output = mesh.machine.run(&[&argv[..], &["http://127.0.0.1/cart/7"]].concat());
        output.stdout.starts_with(b"HTTP/1.1 200")
    };
    wait::until_true("an answer through the gateway", || call("early"));
    assert!(call("cart-7"));

    let said = weftway(&mesh, &["explain", "GET http://shop.example/cart/7"]);
    assert_eq!(said.code, 0, "{said:?}");
    said.has("says the gateway, by generation");
    said.has("taken by HTTPRoute default/shop");
    said.has("request timeout 3s HTTPRoute default/shop");
    said.has("spiffe://cluster.local/ns/default/sa/web usable");
    let redirect = weftway(&mesh, &["explain", "GET http://shop.example/admin"]);
    assert_eq!(redirect.code, 0, "{redirect:?}");
    redirect.has("redirect 302, host admin.example");
    assert!(!redirect.out.contains("answered 503"), "{redirect:?}");
    let none = weftway(&mesh, &["explain", "GET http://shop.example/other"]);
    assert_eq!(none.code, 1, "{none:?}");
    none.has("no rule takes it");

    // It has sent the request on, and the workload has got it.
    let past = weftway(&mesh, &["explain", "--id", "cart-7"]);
    past.has("says the gateway");
    past.has("what became of it: 200 (upstream) after 1 try");
    past.has("web inbound GET http://shop.example/cart/7 200 (upstream)");

    let change = GATEWAY.replace("value: /cart", "value: /basket");
    let path = mesh.machine.write("change.yaml", &change);
    let plan = weftway(&mesh, &["plan", "-f", path.to_str().unwrap()]);
    assert_eq!(plan.code, 1, "{plan:?}");
    plan.has("LOST GET http://shop.example/cart/7, seen");
    plan.has("no rule takes it, until now taken by httproute/default/shop/1");
    plan.has("a gateway");
}

/// Calls are counted where they arrive; a port that nobody may call is told there, too.
const GUARDED: &str = "\
---
apiVersion: weftway.io/v1alpha1
kind: TrafficPolicy
metadata: {name: payments, namespace: default}
spec:
  targetRefs: [{group: '', kind: Service, name: payments}]
  localRateLimit: {perIdentity: {requestsPerSecond: 50}}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: nobody, namespace: default}
spec:
  selector: {matchLabels: {version: v1}}
  action: DENY
  rules: [{to: [{operation: {ports: ['8080']}}]}]
";

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn what_is_done_where_a_request_arrives_is_told_as_well() {
    let mesh = start(&[DOCUMENTS, GUARDED].concat());
    let second = explain(&mesh, "7", &[]);
    second.has("where it arrives");
    second.has("rate limit of each client 50 each 1s");
    assert!(!second.out.contains("lets it not in"), "{second:?}");
    let first = explain(&mesh, "9", &[]);
    first.has("8080 lets it not in: 4");
    first.has("AuthorizationPolicy default/nobody");
    let view = explained(&mesh, "9", &[]);
    assert!(view["leads"][0]["endpoints"][0]["refuses"].is_string(), "{view}");
}
