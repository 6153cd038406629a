//! Documents that change while it runs.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use weft_testkit::documents::{
    endpoint_slice, ingress_route, middleware, secure_ingress_route, service, with_middlewares,
};
use weft_testkit::{
    Certificates, Gateway, H2Client, RawClient, RawOrigin, TcpOrigin, TlsDial, wait,
};

use crate::common::{GET, builder};

/// The origin that answers, or the status.
fn who(gateway: &Gateway, target: &str) -> String {
    gateway.get("a.test", target).who()
}

fn wait_for(gateway: &Gateway, target: &str, expected: &str) {
    wait::until_true(&format!("{expected} at {target}"), || who(gateway, target) == expected);
}

#[test]
fn routes_come_change_and_go() {
    let (a, b) = (RawOrigin::start("a"), RawOrigin::start("b"));
    let gateway = builder().backend("a:80", a.addr()).backend("b:80", b.addr()).start();
    assert_eq!(who(&gateway, "/"), "404");
    gateway.write("one.yaml", &ingress_route(&[("PathPrefix(`/`)", "a:80")]));
    wait_for(&gateway, "/", "a");
    gateway.write("one.yaml", &ingress_route(&[("PathPrefix(`/`)", "b:80")]));
    wait_for(&gateway, "/", "b");
    // In place, as some editors write.
    gateway.overwrite("one.yaml", &ingress_route(&[("PathPrefix(`/x`)", "a:80")]));
    wait_for(&gateway, "/x", "a");
    assert_eq!(who(&gateway, "/"), "404");
    gateway.remove("one.yaml");
    wait_for(&gateway, "/x", "404");
}

#[test]
fn a_route_that_moves_in_its_file_is_told_of_at_its_new_line() {
    let a = RawOrigin::start("a");
    let routes = ingress_route(&[("PathPrefix(`/a`)", "a:80"), ("PathPrefix(`/b`)", "gone:80")]);
    let gateway = builder().backend("a:80", a.addr()).document("one.yaml", &routes).start();
    let place = |text: &str, part: &str| {
        format!("one.yaml:{}", text.lines().position(|line| line.contains(part)).unwrap() + 1)
    };
    let check = |text: &str| {
        assert_eq!((&*who(&gateway, "/a"), &*who(&gateway, "/b")), ("a", "503"));
        let config = gateway.admin("/config").text();
        for rule in ["`/a`", "`/b`"] {
            let place = format!("/{}\"", place(text, rule));
            assert!(config.contains(&place), "no {place} in {config}");
        }
        let missing = place(text, "name: gone");
        gateway.log_line("a refusal with its line", |line| line.contains(&missing));
    };
    check(&routes);
    let moved = format!("# a\n\n# b\n{routes}");
    let before = gateway.generation();
    gateway.write("one.yaml", &moved);
    gateway.wait_generation_after(before);
    check(&moved);
}

#[test]
fn files_in_new_folders_are_found() {
    let a = RawOrigin::start("a");
    let gateway = builder().backend("a:80", a.addr()).start();
    gateway.write("team/shop/routes.yaml", &ingress_route(&[("PathPrefix(`/`)", "a:80")]));
    wait_for(&gateway, "/", "a");
    std::fs::rename(gateway.folder().join("team"), gateway.folder().join("moved")).unwrap();
    wait_for(&gateway, "/", "a");
    std::fs::remove_dir_all(gateway.folder().join("moved")).unwrap();
    wait_for(&gateway, "/", "404");
}

#[test]
fn an_open_connection_sees_the_change_with_its_next_request() {
    let (a, b) = (RawOrigin::start("a"), RawOrigin::start("b"));
    let gateway = builder()
        .backend("a:80", a.addr())
        .backend("b:80", b.addr())
        .document("one.yaml", &ingress_route(&[("PathPrefix(`/`)", "a:80")]))
        .start();
    let mut h1 = gateway.client();
    let h2 = H2Client::connect(gateway.web());
    assert_eq!(h1.request(GET).echo().backend, "a");
    assert_eq!(h2.get("a.test", "/").echo().backend, "a");
    gateway.write("one.yaml", &ingress_route(&[("PathPrefix(`/`)", "b:80")]));
    wait_for(&gateway, "/", "b");
    assert_eq!(h1.request(GET).echo().backend, "b");
    assert_eq!(h2.get("a.test", "/").echo().backend, "b");
    assert_eq!(h2.ended(), None);
}

#[test]
fn a_request_under_way_ends_as_it_began() {
    let (a, b) = (RawOrigin::start("a"), RawOrigin::start("b"));
    let gate = a.hold("/slow");
    let gateway = builder()
        .backend("a:80", a.addr())
        .backend("b:80", b.addr())
        .document("one.yaml", &ingress_route(&[("PathPrefix(`/`)", "a:80")]))
        .start();
    let mut client = gateway.client();
    client.send("GET /slow HTTP/1.1\r\nHost: a.test\r\n\r\n");
    a.wait_for("the request", |requests, _| requests.len() == 1);
    gateway.write("one.yaml", &ingress_route(&[("PathPrefix(`/`)", "b:80")]));
    wait_for(&gateway, "/", "b");
    gate.open();
    assert_eq!(client.response().echo().backend, "a");
}

#[test]
fn endpoints_follow_their_slices() {
    let (a, b) = (RawOrigin::start("a"), RawOrigin::start("b"));
    let slice = |origins: &[&RawOrigin]| {
        let addrs: Vec<_> = origins.iter().map(|origin| origin.addr()).collect();
        service("echo", 80) + &endpoint_slice("echo", &addrs)
    };
    let gateway = builder()
        .document("route.yaml", &ingress_route(&[("PathPrefix(`/`)", "echo:80")]))
        .document("slice.yaml", &slice(&[&a]))
        .start();
    assert_eq!(who(&gateway, "/"), "a");
    gateway.write("slice.yaml", &slice(&[&a, &b]));
    wait_for(&gateway, "/", "b");
    gateway.write("slice.yaml", &slice(&[&b]));
    wait::until_true("only b", || (0..5).all(|_| who(&gateway, "/") == "b"));
    gateway.write("slice.yaml", &slice(&[]));
    wait_for(&gateway, "/", "503");
    gateway.write("slice.yaml", &slice(&[&a]));
    wait_for(&gateway, "/", "a");
}

#[test]
fn weights_change() {
    let (a, b) = (RawOrigin::start("a"), RawOrigin::start("b"));
    let weighted = |left: u32, right: u32| {
        ingress_route(&[("PathPrefix(`/`)", "a:80")]).replace(
            "    - name: a\n      port: 80\n",
            &format!(
                "    - name: a\n      port: 80\n      weight: {left}\n    - name: b\n      port: 80\n      \
                 weight: {right}\n"
            ),
        )
    };
    let gateway = builder()
        .backend("a:80", a.addr())
        .backend("b:80", b.addr())
        .document("one.yaml", &weighted(1, 0))
        .start();
    assert!((0..5).all(|_| who(&gateway, "/") == "a"));
    gateway.write("one.yaml", &weighted(0, 1));
    wait::until_true("only b", || (0..5).all(|_| who(&gateway, "/") == "b"));
}

#[test]
fn tcp_routes_change_for_new_connections_only() {
    let (a, b) = (TcpOrigin::start("a"), TcpOrigin::start("b"));
    let route = |service: &str| {
        format!(
            "apiVersion: traefik.io/v1alpha1\nkind: IngressRouteTCP\nmetadata:\n  name: tcp\nspec:\n  \
             entryPoints: [tcp]\n  routes:\n  - match: HostSNI(`*`)\n    services:\n    - name: \
             {service}\n      port: 1\n"
        )
    };
    let gateway = builder()
        .entry_point("tcp")
        .backend("a:1", a.addr())
        .backend("b:1", b.addr())
        .document("tcp.yaml", &route("a"))
        .start();
    let greeting = || {
        let mut client = RawClient::connect(gateway.addr("tcp"));
        let greeting = client.read_until(b"\n").expect("the origin greets");
        (client, greeting)
    };
    let (mut old, greeted) = greeting();
    assert_eq!(greeted, b"a\n");
    gateway.write("tcp.yaml", &route("b"));
    wait::until_true("b", || greeting().1 == b"b\n");
    old.send("still here");
    assert_eq!(old.read_exact(10).expect("the connection stays"), b"still here");
}

#[test]
fn a_bad_document_keeps_its_last_good_form() {
    let (a, b) = (RawOrigin::start("a"), RawOrigin::start("b"));
    let route = |name: &str, path: &str| {
        ingress_route(&[(&*format!("PathPrefix(`{path}`)"), &*format!("{name}:80"))])
            .replace("name: routes", &format!("name: {name}"))
    };
    let gateway = builder()
        .backend("a:80", a.addr())
        .backend("b:80", b.addr())
        .document("a.yaml", &route("a", "/a"))
        .document("b.yaml", &route("b", "/b"))
        .start();
    let broken = [
        // Not YAML at all.
        "apiVersion: traefik.io/v1alpha1\nkind: [IngressRoute\n".to_owned(),
        // A rule that is none.
        route("a", "/a").replace("PathPrefix(`/a`)", "PathPrefix(`/a`"),
        // A field that does not exist.
        route("a", "/a").replace("    kind: Rule\n", "    kind: Rule\n    colour: blue\n"),
    ];
    for (index, document) in broken.iter().enumerate() {
        let before = gateway.generation();
        gateway.write("a.yaml", document);
        // Another document changes at the same time and is in force.
        let prefix = format!("/b{index}");
        gateway.write("b.yaml", &route("b", &prefix));
        wait_for(&gateway, &prefix, "b");
        gateway.wait_generation_after(before);
        assert_eq!(who(&gateway, "/a"), "a", "{document}");
        assert!(gateway.stderr().iter().any(|line| line.contains("a.yaml")));
    }
    gateway.write("a.yaml", &route("a", "/fixed"));
    wait_for(&gateway, "/fixed", "a");
    assert_eq!(who(&gateway, "/a"), "404");
}

#[test]
fn a_document_that_is_bad_from_the_start_serves_nothing_and_harms_nothing() {
    let a = RawOrigin::start("a");
    let gateway = builder()
        .backend("a:80", a.addr())
        .document("good.yaml", &ingress_route(&[("PathPrefix(`/`)", "a:80")]))
        .document("bad.yaml", "kind: IngressRoute\nspec: {}\n")
        .start();
    assert_eq!(who(&gateway, "/"), "a");
}

#[test]
fn a_middleware_that_changes_changes_its_routes() {
    let a = RawOrigin::start("a");
    let gateway = builder()
        .backend("a:80", a.addr())
        .document(
            "one.yaml",
            &with_middlewares("a:80", &[])
                .replace("    services:\n", "    middlewares:\n    - name: it\n    services:\n"),
        )
        .document("two.yaml", &middleware("it", "  addPrefix:\n    prefix: /one"))
        .start();
    assert_eq!(gateway.get("a.test", "/").echo().target, "/one/");
    gateway.write("two.yaml", &middleware("it", "  addPrefix:\n    prefix: /two"));
    wait::until_true("the other prefix", || gateway.get("a.test", "/").echo().target == "/two/");
    // Without the middleware the route is not served any more.
    gateway.remove("two.yaml");
    wait_for(&gateway, "/", "503");
}

/// Ends the loads of a test, also when it fails.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
// long: the loads and the changes belong side by side
fn requests_never_fail_while_everything_changes() {
    let (a, b) = (RawOrigin::start("a"), RawOrigin::start("b"));
    let authority = Certificates::new("test");
    let routes = |service: &str| {
        ingress_route(&[("PathPrefix(`/`)", service)])
            + "---\n"
            + &secure_ingress_route(&[("PathPrefix(`/`)", service)])
            + &self::service("slices", 80)
    };
    let slices = |origin: &RawOrigin| endpoint_slice("slices", &[origin.addr()]);
    let gateway = builder()
        .workers(2)
        .access_log("off")
        .backend("a:80", a.addr())
        .backend("b:80", b.addr())
        .document("routes.yaml", &routes("a:80"))
        .document("slices.yaml", &slices(&a))
        .certificate(&authority.leaf(&["a.test"]))
        .start();
    let stop = AtomicBool::new(false);
    let answered = AtomicUsize::new(0);
    let (web, websecure) = (gateway.web(), gateway.websecure());
    let dial = TlsDial::http1("a.test", authority.roots());
    std::thread::scope(|scope| {
        let mut loads = Vec::new();
        for kind in 0..6 {
            let (stop, answered, dial) = (&stop, &answered, dial.clone());
            loads.push(scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    match kind {
                        0 => drop(RawClient::get(web, "a.test", "/").echo()),
                        1 | 2 => {
                            let mut client = RawClient::connect(web);
                            (0..20).for_each(|_| drop(client.request(GET).echo()));
                        }
                        3 | 4 => {
                            let mut client = RawClient::connect_tls(websecure, &dial);
                            (0..5).for_each(|_| drop(client.request(GET).echo()));
                        }
                        _ => {
                            let client = H2Client::connect(web);
                            (0..20).for_each(|_| drop(client.get("a.test", "/").echo()));
                        }
                    }
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            }));
        }
        // However this ends, the loads end with it.
        let stopping = StopOnDrop(&stop);
        for round in 0..120 {
            let before = gateway.generation();
            // Never the same text twice: a change that is taken back before anybody looks is none.
            let unlike = |text: String| text + &format!("# {round}\n");
            match round % 4 {
                0 => gateway.write("routes.yaml", &unlike(routes("b:80"))),
                1 => gateway.write("routes.yaml", &unlike(routes("slices:80"))),
                2 => {
                    let origin = if round % 8 == 2 { &b } else { &a };
                    gateway.write("slices.yaml", &unlike(slices(origin)));
                }
                _ => gateway.write_certificate(&authority.leaf(&["a.test"])),
            }
            if round % 4 != 3 {
                gateway.wait_generation_after(before);
            }
        }
        drop(stopping);
        for load in loads {
            load.join().expect("no request failed");
        }
    });
    assert!(answered.load(Ordering::Relaxed) > 6);
    assert_eq!(gateway.metric("weftway_requests_total", &[("status", "5xx")]), 0.0);
}
