//! One view of a path: what a request is routed, authorized and limited by is what the origin sees.

use weft_testkit::documents::{ingress_route, middleware};
use weft_testkit::{Gateway, H2Origin, Outcome, RawOrigin, wait};

use super::{Ask, WIRES, Wire};
use crate::common::{TEST_USER, USERS, builder, through};

struct Setup {
    open: RawOrigin,
    admin: RawOrigin,
    gateway: Gateway,
}

/// `/admin` needs a password and leads to an origin of its own; everything else is open.
fn setup() -> Setup {
    let (open, admin) = (RawOrigin::start("open"), RawOrigin::start("admin"));
    let routes =
        ingress_route(&[("PathPrefix(`/`)", "open:80"), ("PathPrefix(`/admin`)", "admin:80")]);
    let routes = routes.replace(
        "  - match: PathPrefix(`/admin`)\n    kind: Rule\n",
        "  - match: PathPrefix(`/admin`)\n    kind: Rule\n    middlewares:\n    - name: guard\n",
    );
    let guard = middleware("guard", "  basicAuth:\n    secret: users");
    let gateway = builder()
        .document("routes.yaml", &(routes + &guard + USERS))
        .backend("open:80", open.addr())
        .backend("admin:80", admin.addr())
        .start();
    Setup { open, admin, gateway }
}

/// Spellings of `/admin`: they need the password.
const GUARDED: &[&str] = &[
    "/admin",
    "//admin",
    "///admin",
    "/./admin",
    "/x/../admin",
    "/x/./../admin",
    "/x/%2e%2e/admin",
    "/x/.%2E/admin",
    "/%2e/admin",
    "/%61dmin",
    "/%61%64%6d%69%6e",
    "/admin/",
    "/admin.",
    "/admin?x=/../",
    "/admin;a=b",
    "/admin%23",
    "/admin%3f",
    "/admin%20",
];

/// What has no single reading: 400.
const AMBIGUOUS: &[&str] = &[
    "/x%2fadmin",
    "/x%2Fadmin",
    "/x/..%2fadmin",
    "/x%5cadmin",
    "/x%5Cadmin",
    "/x\\admin",
    "/\\admin",
    "\\admin",
    "/admin%00",
    "/%00/admin",
    "/user/..;x=y/admin",
    "/user/..;/admin",
    "/user/%2e%2e;/admin",
    "/x/%252e%252e/admin",
    "/x%252fadmin",
    "/x/%25252e/admin",
    "/%c0%ae%c0%ae/admin",
    "/x%c0%afadmin",
    "/x/%e0%80%ae/admin",
    "/%ff",
    "/x%",
    "/x%2",
    "/x%zz",
    "/x%u002f",
    "/../admin",
    "/..",
    "/x/../../admin",
    "/caf\u{e9}",
    "/a\tb",
    "/a\u{b}b",
];

/// What is another path stays another path, and is passed on in its canonical form.
const OTHERS: &[(&str, &str)] = &[
    ("/ADMIN", "/ADMIN"),
    ("/%41DMIN", "/ADMIN"),
    ("/x/admin", "/x/admin"),
    ("/;/admin", "/;/admin"),
    ("/a;b=c/d", "/a;b=c/d"),
    ("/%2561dmin", "/%2561dmin"),
    ("/.admin", "/.admin"),
    ("/...", "/..."),
    ("/a/%e2%82%ac", "/a/%E2%82%AC"),
    ("/a%20b", "/a%20b"),
    ("/a%7eb", "/a~b"),
    ("/a//b/./c", "/a/b/c"),
    ("/a?x=1;y=2&z=/../admin", "/a?x=1;y=2&z=/../admin"),
    ("/a?%2e%2e/admin", "/a?%2e%2e/admin"),
];

/// Row: `/admin`, `//admin`, `/./admin`, `/x/../admin`, escapes, separators, parameters, fragments,
/// double encoding, overlong UTF-8, case, matrix parameters and semicolons: one canonical path for
/// routing, authentication and the origin; what is ambiguous is 400. Over both versions.
#[test]
fn one_path_for_routing_authentication_and_the_origin() {
    let setup = setup();
    for wire in WIRES {
        for target in GUARDED {
            let outcome = wire.outcome(&setup.gateway, &Ask::get(target));
            assert_eq!(outcome, Outcome::Status(401), "{wire:?} {target:?}");
        }
        for target in AMBIGUOUS {
            wire.check_refused(&setup.gateway, &Ask::get(target), 400);
        }
        assert!(setup.open.requests().is_empty(), "{wire:?}: the guard was gone round");
        for (target, seen) in OTHERS {
            let outcome = wire.outcome(&setup.gateway, &Ask::get(target));
            assert_eq!(outcome, Outcome::Status(200), "{wire:?} {target:?}");
            assert_eq!(setup.open.requests().pop().unwrap().target, *seen, "{wire:?} {target:?}");
        }
        setup.open.forget();
    }
    assert!(setup.admin.requests().is_empty(), "the guard was passed");
}

/// A fragment is 400.
#[test]
fn fragments_hide_no_path() {
    let setup = setup();
    for wire in WIRES {
        for target in ["/admin#f", "/x#/../admin"] {
            wire.check_refused(&setup.gateway, &Ask::get(target), 400);
        }
    }
    assert!(setup.open.requests().is_empty(), "nobody sees it");
    assert!(setup.admin.requests().is_empty(), "the guard was passed");
}

#[test]
fn the_guard_lets_the_right_one_through_under_every_spelling() {
    let setup = setup();
    for wire in WIRES {
        for target in ["/admin", "//admin", "/x/../admin", "/%61dmin"] {
            let echo = wire.echo(&setup.gateway, &Ask::get(target).fields([TEST_USER]));
            assert_eq!((&*echo.backend, &*echo.target), ("admin", "/admin"), "{wire:?} {target}");
        }
    }
}

/// The same view towards an HTTP/2 origin, and in an absolute target.
#[test]
fn the_upstream_sees_the_canonical_path_whatever_it_speaks() {
    let origin = H2Origin::start("two");
    let route = ingress_route(&[("PathPrefix(`/`)", "two:80")])
        .replace("      port: 80\n", "      port: 80\n      scheme: h2c\n");
    let gateway =
        builder().document("routes.yaml", &route).backend("two:80", origin.addr()).start();
    for wire in WIRES {
        for (target, expected) in [("/x/../y//z", "/y/z"), ("/%61", "/a"), ("/a?q=%61", "/a?q=%61")]
        {
            let echo = wire.echo(&gateway, &Ask::get(target));
            assert_eq!((&*echo.target, &*echo.version), (expected, "HTTP/2"), "{wire:?} {target}");
        }
    }
    for (target, expected) in
        [("http://a.test/x/%2e%2e/y?q=%61", "/y?q=%61"), ("http://A.TEST.:80?q", "/?q")]
    {
        assert_eq!(gateway.get("a.test", target).echo().target, expected, "{target}");
    }
}

/// Row: `/api../foo` after strip-prefix; trailing dot.
#[test]
fn stripping_a_prefix_leaves_a_path() {
    let origin = RawOrigin::start("echo");
    let strip = "  stripPrefix:\n    prefixes: [/api]\n";
    let gateway = through(&origin, &[("strip", strip)]).start();
    for wire in WIRES {
        for (target, expected) in [
            ("/api/foo", "/foo"),
            ("/api", "/"),
            ("/api/", "/"),
            ("/api//foo", "/foo"),
            ("/api/../foo", "/foo"),
            ("/api/%2e%2e/foo", "/foo"),
            ("/api/..foo", "/..foo"),
        ] {
            assert_eq!(wire.echo(&gateway, &Ask::get(target)).target, expected, "{target}");
        }
        // What is left must again be canonical: it may not climb.
        for target in ["/api../foo", "/api..%2ffoo", "/api..;/foo", "/api."] {
            wire.check_refused(&gateway, &Ask::get(target), 400);
        }
    }
}

/// Row: rate-limit evasion by case or encoding of the path.
#[test]
fn a_limit_counts_every_spelling_of_a_path() {
    let limit = "  rateLimit:\n    average: 1\n    period: 1h\n    burst: 3\n";
    for wire in WIRES {
        let origin = RawOrigin::start("echo");
        let gateway = through(&origin, &[("limit", limit)]).start();
        let spellings = ["/x", "//x", "/./x", "/%78", "/y/../x", "/x?y"];
        let statuses = spellings.map(|target| wire.response(&gateway, &Ask::get(target)).status);
        assert_eq!(statuses, [200, 200, 200, 429, 429, 429], "{wire:?}");
        assert!(origin.requests().iter().all(|request| request.target == "/x"));
    }
}

/// Row: regexp routes with `(a+)+$` style patterns from users.
#[test]
fn patterns_of_users_cost_linear_time() {
    let origin = RawOrigin::start("echo");
    let rules =
        [("PathRegexp(`^/(a+)+$`)", "echo:80"), ("HeaderRegexp(`X`, `(x|x)*y`)", "echo:80")];
    let gateway = builder()
        .document("routes.yaml", &ingress_route(&rules))
        .backend("echo:80", origin.addr())
        .start();
    let evil = Ask::get(&format!("/{}!", "a".repeat(10_000))).field("x", &"x".repeat(10_000));
    let (statuses, time) =
        wait::timed(|| WIRES.map(|wire| [0; 10].map(|_| wire.response(&gateway, &evil).status)));
    assert_eq!(statuses, [[404; 10]; 2]);
    // A backtracking engine would take longer than the universe has been there.
    assert!(time < wait::DEADLINE, "{time:?}");
    let good = Ask::get(&format!("/{}", "a".repeat(10_000)));
    assert_eq!(Wire::Http1.response(&gateway, &good).status, 200);
}

#[test]
fn a_pattern_that_grows_too_large_is_refused_at_once() {
    let origin = RawOrigin::start("echo");
    let huge = format!("PathRegexp(`^/{}$`)", "(a{1,1000}){1,1000}");
    let gateway = builder()
        .document("routes.yaml", &ingress_route(&[(&huge, "echo:80"), ("Path(`/ok`)", "echo:80")]))
        .backend("echo:80", origin.addr())
        .start();
    assert!(gateway.stderr().iter().any(|line| line.contains("error")), "{:?}", gateway.stderr());
    assert_eq!(gateway.get("a.test", "/aaa").status, 404);
}
