use std::net::IpAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use weft_admin_api::ConfigDump;
use weft_compile::{EntryPoint, Options, PemPair};
use weft_explain::Standpoint;
use weft_model::id::ListenerId;
use weft_model::listener::{Destination, Direction, Intake, Limits, Listener};
use weft_model::mesh::{Mtls, Protocol};
use weft_runtime::metrics::{Collect, Sink};
use weft_runtime::worker;
use weft_upstream::shared::Shared;

use super::*;

struct Bench {
    addr: SocketAddr,
    readiness: Readiness,
    config: watch::Sender<Option<AdminConfig>>,
    _up: Arc<dyn Collect>,
}

struct Up;

impl Collect for Up {
    fn collect(&self, sink: &mut Sink) {
        sink.gauge("up", "Up.", &[], 1.0);
    }
}

impl Bench {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (registry, readiness) = (Registry::new(), Readiness::new());
        let up: Arc<dyn Collect> = Arc::new(Up);
        registry.register_weak(Arc::downgrade(&up));
        let (config, receiver) = watch::channel(None);
        let inspect = Inspect {
            demand: None,
            standpoint: Standpoint::Gateway,
            samples: Default::default(),
            shared: Shared::new(weft_runtime::time::now()),
        };
        let state =
            AdminState { registry, readiness: readiness.clone(), config: receiver, inspect };
        task::spawn("admin", serve(listener, state));
        Self { addr, readiness, config, _up: up }
    }

    /// Status, head in lower case, and body.
    async fn send(&self, request: &str) -> (u16, String, String) {
        let mut stream = TcpStream::connect(self.addr).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").expect("a whole head");
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head.to_ascii_lowercase(), body.to_owned())
    }

    async fn get(&self, path: &str) -> (u16, String, String) {
        let host = self.addr;
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"))
            .await
    }
}

fn run(test: impl AsyncFnOnce(Bench)) {
    worker::block_on(async { test(Bench::start().await).await }).expect("a runtime can be made");
}

#[test]
fn metrics_health_and_index() {
    run(async |bench| {
        let (status, head, body) = bench.get("/metrics").await;
        assert_eq!(status, 200);
        assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
        assert!(body.contains("# TYPE up gauge\nup 1\n"), "{body}");
        assert_eq!(bench.get("/healthz").await.2, "ok\n");
        let (status, head, body) = bench.get("/").await;
        assert_eq!(status, 200);
        assert!(head.contains("cache-control: no-store"), "{head}");
        for path in ["/metrics", "/healthz", "/readyz", "/config"] {
            assert!(body.contains(path), "{path} is missing in\n{body}");
        }
        assert_eq!(bench.get("/favicon.ico").await.0, 404);
    });
}

#[test]
fn ready_names_what_blocks() {
    run(async |bench| {
        let blocker = bench.readiness.block("first configuration");
        let (status, _, body) = bench.get("/readyz").await;
        let process = std::process::id();
        let answer = |text: &str| format!("{{{text},\"process\":{process}}}");
        let blocked = answer(r#""ready":false,"blockers":["first configuration"]"#);
        assert_eq!((status, body), (503, blocked));
        blocker.clear();
        let (status, _, body) = bench.get("/readyz").await;
        assert_eq!((status, body), (200, answer(r#""ready":true,"blockers":[]"#)));
        let _draining = bench.readiness.block("draining");
        let draining = answer(r#""ready":false,"blockers":["draining"]"#);
        assert_eq!(bench.get("/readyz").await.2, draining);
    });
}

#[test]
fn only_reads_and_only_for_this_machine() {
    run(async |bench| {
        let request = |method: &str, target: &str, host: &str| {
            format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
        };
        for (method, target, host, wanted) in [
            ("GET", "/metrics", "localhost:15000", 200),
            ("HEAD", "/metrics", "[::1]", 200),
            ("POST", "/metrics", "localhost", 405),
            ("DELETE", "/config", "localhost", 405),
            ("OPTIONS", "/", "localhost", 405),
            ("GET", "/metrics", "evil.example", 403),
            ("GET", "/healthz", "127.0.0.1.evil.example", 403),
            ("GET", "/nothing", "evil.example", 403),
            ("GET", "http://evil.example/metrics", "localhost", 403),
            ("GET", "/metrics", "localhost\r\nHost: evil.example", 403),
        ] {
            let (status, ..) = bench.send(&request(method, target, host)).await;
            assert_eq!(status, wanted, "{method} {target} {host:?}");
        }
        assert_eq!(bench.send("GET /healthz HTTP/1.0\r\n\r\n").await.0, 200);
    });
}

#[test]
fn the_configuration_is_shown_without_secrets() {
    let documents = r"
apiVersion: traefik.io/v1alpha1
kind: IngressRoute
metadata: {name: shop, namespace: default}
spec:
  entryPoints: [web, websecure]
  routes:
  - match: Host(`shop.example`)
    kind: Rule
    priority: 5
    middlewares: [{name: users}]
    services: [{name: cart, port: 80}]
  - match: Host(`shop.example`) && PathPrefix(`/v2`)
    kind: Rule
    priority: 50
    services: [{name: gone, port: 80}]
  tls: {}
---
apiVersion: traefik.io/v1alpha1
kind: Middleware
metadata: {name: users, namespace: default}
spec: {basicAuth: {secret: users}}
---
apiVersion: v1
kind: Secret
metadata: {name: users, namespace: default}
stringData: {users: 'ada:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g='}
";
    let authority = weft_testkit::Certificates::new("authority");
    let leaf = authority.leaf(&["shop.example"]);
    let set = weft_resources::load(&[("shop.yaml", documents)]);
    let web = |name: &str, port| EntryPoint {
        name: name.into(),
        addr: ([127, 0, 0, 1], port).into(),
        tls: false,
    };
    let mut options = Options::new(vec![web("web", 8080), web("websecure", 8443)]);
    options.backends.insert(("cart".into(), 80), vec![([127, 0, 0, 1], 9000).into()]);
    options.certificates = vec![PemPair {
        origin: "tls.crt".into(),
        chain: leaf.chain.as_bytes().into(),
        key: leaf.key.as_bytes().into(),
    }];
    let world = weft_compile::compile(&set, &options, None);
    run(async |bench| {
        let (status, _, body) = bench.get("/config").await;
        assert_eq!((status, &*body), (503, "there is no configuration yet\n"));
        let bound: SocketAddr = ([127, 0, 0, 1], 34567).into();
        bench.config.send_replace(Some(AdminConfig {
            snapshot: world.snapshot.clone(),
            report: world.report.clone(),
            addresses: BTreeMap::from([("websecure".to_owned(), bound)]),
        }));
        let (status, head, body) = bench.get("/config").await;
        assert_eq!(status, 200);
        assert!(head.contains("content-type: application/json"), "{head}");
        for secret in ["W6ph5Mm5", "PRIVATE KEY", "BEGIN"] {
            assert!(!body.contains(secret), "{secret} in\n{body}");
        }
        let dump: ConfigDump = serde_json::from_str(&body).unwrap();
        check(&dump, bound);
    });
}

fn check(dump: &ConfigDump, bound: SocketAddr) {
    let listener = dump.listeners.iter().find(|one| one.id == "websecure").unwrap();
    assert_eq!(listener.bound, Some(bound));
    let rules: Vec<&str> = listener.tls.iter().map(|route| &*route.rule).collect();
    assert_eq!(
        rules,
        ["Host(`shop.example`) && PathPrefix(`/v2`)", "Host(`shop.example`)"],
        "the greater rank comes first"
    );
    let route = &listener.tls[1];
    assert_eq!(route.origin.kind, "IngressRoute");
    assert_eq!(route.origin.place, "shop.yaml:8");
    assert!(route.steps.iter().any(|step| step.kind == "basic_auth"), "{:?}", route.steps);
    let backend = dump.backends.iter().find(|one| one.id.contains("cart")).unwrap();
    assert_eq!(backend.endpoints[0].addr, ([127, 0, 0, 1], 9000).into());
    let certificate = &dump.certificates[0];
    assert_eq!(certificate.origin, "tls.crt");
    assert_eq!(certificate.names, ["shop.example"]);
    assert!(dump.problems.iter().any(|problem| problem.message.contains("gone")), "{dump:?}");
    assert!(dump.resources.iter().any(|one| one.name == "IngressRoute default/shop"));
}

/// What is in force beside a workload at 10.77.0.2.
fn beside_a_workload() -> Snapshot {
    let destination = Destination {
        direction: Direction::Inbound,
        addrs: [IpAddr::from([10, 77, 0, 2])].into(),
        range: None,
        port: None,
        protocol: Protocol::Http,
        name: "shop/payments".into(),
        mtls: Mtls::Permissive,
        closed: None,
    };
    let listener = Listener {
        id: ListenerId::new("inbound/other"),
        addr: ([10, 77, 0, 2], 0).into(),
        intake: Intake::Destination(destination),
        proxy_protocol_from: Vec::new(),
        forwarded_from: Vec::new(),
        limits: Limits::DEFAULT,
        path_rules: Default::default(),
        plain: None,
        tls: None,
    };
    Snapshot { listeners: vec![Arc::new(listener)], ..Snapshot::default() }
}

#[test]
fn what_arrives_is_asked_about_where_it_does() {
    run(async |bench| {
        let report = Arc::default();
        let (snapshot, addresses) = (Arc::new(beside_a_workload()), BTreeMap::new());
        bench.config.send_replace(Some(AdminConfig { snapshot, report, addresses }));
        for (arrives, status, says) in [
            ("10.77.0.2:8080", 200, "at shop/payments, from others"),
            ("10.77.0.3:8080", 410, "does not come to this proxy"),
            ("10.77.0.2", 400, "no address with a port"),
            ("payments:8080", 400, "no address with a port"),
            ("", 400, "no address with a port"),
        ] {
            let path = format!("/explain?request=GET%20http://payments/&arrives={arrives}");
            let (answered, _, body) = bench.get(&path).await;
            assert_eq!(answered, status, "{arrives}: {body}");
            assert!(body.contains(says), "{arrives}: {body}");
        }
    });
}
