//! Routers: rules, priorities, entry points.

use weft_model::outcome::Reason;
use weft_model::policy::StepKind;
use weft_model::route::{HostMatch, Matcher, PathMatch, Target};

use super::{backend, kinds, object, only_route, problems, routes, side, world, world_with};
use crate::{EntryPoint, Verdict};

#[test]
fn the_sample_of_the_field() {
    let text = "apiVersion: traefik.io/v1alpha1
kind: IngressRoute
metadata:
  name: greeter-route
spec:
  entryPoints:
    - websecure
  routes:
    - match: PathPrefix(`/api/v1/hello`)
      kind: Rule
      services:
        - name: greeter
          port: 8080
  tls:
    certResolver: letsencrypt
---
apiVersion: traefik.io/v1alpha1
kind: Middleware
metadata:
  name: greeter-retries
spec:
  retry:
    attempts: 2
    initialInterval: \"250ms\"
";
    let world = world(text);
    assert_eq!(
        problems(&world),
        ["t.yaml:15:19: warning: spec.tls.certResolver: certificates are not fetched here, so \
          `letsencrypt` has no effect: a certificate that fits the name is served, or else the \
          default one [name a Secret in `secretName`, or start with --cert and --key]"]
    );
    assert_eq!(side(&world, "web", false).map(|served| served.http.routes.len()), Some(0));
    let served = side(&world, "websecure", true).expect("TLS is served");
    let [route] = served.http.routes.as_slice() else { panic!("{served:?}") };
    assert_eq!(route.matcher, Matcher::Path(PathMatch::Prefix("/api/v1/hello".into())));
    assert_eq!(
        route.target,
        Target::Backend(weft_model::id::BackendId::new("default/greeter:8080"))
    );
    assert_eq!(backend(&world, &route.target).id.as_str(), "default/greeter:8080");
    assert_eq!(route.id.as_str(), "ingressroute/default/greeter-route/0");
    let origin = &route.origin;
    assert_eq!((&*origin.kind, &*origin.name), ("IngressRoute", "default/greeter-route"));
    assert_eq!((&*origin.file, world.snapshot.line(&route.id)), ("t.yaml", 9));
    assert_eq!(&*origin.rule, "PathPrefix(`/api/v1/hello`)");
    assert!(world.report.resources.iter().all(|entry| entry.verdict == Verdict::Accepted));
}

/// A route for all of `a.test`, and one with this rule and these fields.
fn beside_a_wide_one(rule: &str, rest: &str) -> String {
    let wide = object(
        "IngressRoute",
        "wide",
        "  entryPoints: [web]\n  routes:\n  - match: Host(`a.test`)\n    services: [{name: greeter}]\n",
    );
    let broken = object(
        "IngressRoute",
        "broken",
        &format!(
            "  entryPoints: [web]\n  routes:\n  - match: {rule}\n    services: [{{name: other}}]\n{rest}"
        ),
    );
    let guard = object("Middleware", "guard", "  ipAllowList: {sourceRange: [10.0.0.0/8]}\n");
    let plain = object("Middleware", "plain", "  addPrefix: {prefix: /x}\n");
    format!("{wide}{broken}{guard}{plain}")
}

const INVALID: &str =
    "requests that it was meant for go to other routers that take them, or to none";

#[test]
fn a_broken_rule_whose_steps_protect_is_closed_as_far_as_it_can_be_read() {
    let rule = "Host(`a.test`) && PathPrefix(`/admin`) && Headr(`x`, `y`)";
    let world = world(&beside_a_wide_one(rule, "    middlewares: [{name: guard}]\n"));
    let found = problems(&world);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found.iter().any(|line| line.contains(INVALID)), "{found:?}");
    let closed = "not served (503): the rule cannot be read, and `middleware/default/guard` \
                  protects what it takes: requests for a.test that the readable parts of the rule \
                  take are refused [correct the rule]";
    assert!(found.iter().any(|line| line.contains(closed)), "{found:?}");
    let [first, second] = routes(&world) else { panic!("{:?}", routes(&world)) };
    assert_eq!((&*first.origin.name, &*second.origin.name), ("default/broken", "default/wide"));
    let part = weft_route::rule::parse_http("Host(`a.test`) && PathPrefix(`/admin`)").ok();
    assert_eq!(Some(&first.matcher), part.as_ref());
    let [StepKind::Refuse(refusal)] = kinds(first)[..] else { panic!("{first:?}") };
    assert_eq!(refusal.reason, Reason::PolicyUnenforceable);
    assert!(matches!(first.target, Target::Refuse(_)));
    assert_eq!(world.snapshot.backends.len(), 1, "those of the other route only");
}

#[test]
fn a_broken_rule_closes_nothing_that_it_does_not_protect() {
    let check = |rule: &str, rest: &str, message: &str| {
        let world = world(&beside_a_wide_one(rule, rest));
        let found = problems(&world);
        assert!(found.iter().all(|line| line.contains(": error: ")), "{found:?}");
        assert!(found.iter().any(|line| line.contains(INVALID)), "{found:?}");
        assert!(found.iter().any(|line| line.contains(message)), "{rule}: {found:?}");
        assert_eq!(&*only_route(&world).origin.name, "default/wide", "{rule}");
    };
    let broken = "Host(`a.test`) && Headr(`x`, `y`)";
    check(broken, "", INVALID);
    check(broken, "    middlewares: [{name: plain}]\n", INVALID);
    // What is not known to be its own stays open, and that is said.
    let guarded = "    middlewares: [{name: guard}]\n";
    let open = "the rule cannot be read, and names no host to close: other routers may take its \
                requests, and serve them without `middleware/default/guard` [correct the rule]";
    check("PathPrefix(`/admin`) && Headr(`x`, `y`)", guarded, open);
    check("Hst(`a.test`)", guarded, open);
    check("Host(`a.test`) && Headr(`x`, `y`) || Host(`b.test`)", guarded, open);
}

#[test]
fn a_broken_rule_with_a_middleware_that_is_missing_is_closed() {
    let rule = "Host(`a.test`) && Headr(`x`, `y`)";
    let world = world(&beside_a_wide_one(rule, "    middlewares: [{name: nobody}]\n"));
    let [first, _] = routes(&world) else { panic!("{:?}", routes(&world)) };
    assert_eq!(&*first.origin.name, "default/broken");
    assert!(matches!(kinds(first)[..], [StepKind::Refuse(_)]));
}

#[test]
fn priorities_are_lengths_unless_said() {
    let rule = |rule: &str, priority: &str| {
        format!("  - {{match: '{rule}', services: [{{name: greeter, port: 8080}}]{priority}}}\n")
    };
    let text = object(
        "IngressRoute",
        "r",
        &[
            "  entryPoints: [web]\n  routes:\n",
            &rule("Path(`/a`)", ""),
            &rule("Path(`/longer`)", ""),
            &rule("Path(`/b`)", ", priority: 1000"),
            &rule("Path(`/c`)", ", priority: -5"),
            &rule("Path(`/d`)", ", priority: 0"),
        ]
        .concat(),
    );
    let world = world(&text);
    assert_eq!(problems(&world), [""; 0]);
    let order: Vec<(&str, i64)> =
        routes(&world).iter().map(|route| (&*route.origin.rule, route.rank.major)).collect();
    assert_eq!(
        order,
        [
            ("Path(`/b`)", 1000),
            ("Path(`/longer`)", 15),
            ("Path(`/a`)", 10),
            ("Path(`/d`)", 10),
            ("Path(`/c`)", -5),
        ]
    );
}

#[test]
fn equal_priorities_go_by_name() {
    let route = |name: &str| {
        object(
            "IngressRoute",
            name,
            "  entryPoints: [web]\n  routes:\n  - {match: Path(`/a`), services: [{name: greeter, port: 8080}]}\n",
        )
    };
    let world = world(&[route("b"), route("a")].concat());
    let order: Vec<&str> = routes(&world).iter().map(|route| &*route.origin.name).collect();
    assert_eq!(order, ["default/a", "default/b"]);
}

#[test]
fn a_wrong_rule_costs_only_itself() {
    let text = object(
        "IngressRoute",
        "r",
        "  entryPoints: [web]\n  routes:\n  - {match: 'Path(`/a`)', services: [{name: greeter, port: 8080}]}\n  - {match: 'Nope()', services: [{name: greeter, port: 8080}]}\n",
    );
    let world = world(&text);
    assert_eq!(routes(&world).len(), 1);
    let entry = world.report.resources.last().expect("an entry");
    assert_eq!(entry.verdict, Verdict::Degraded);
}

#[test]
fn the_older_language() {
    let text = object(
        "IngressRoute",
        "r",
        "  entryPoints: [web]\n  routes:\n  - match: Host(`a.example`, `b.example`)\n    syntax: v2\n    services: [{name: greeter, port: 8080}]\n",
    );
    let world = world(&text);
    assert_eq!(problems(&world), [""; 0]);
    let host = |name: &str| Matcher::Host(HostMatch::Exact(name.into()));
    assert_eq!(
        only_route(&world).matcher,
        Matcher::Any(vec![host("a.example"), host("b.example")])
    );
}

#[test]
fn without_entry_points_all_are_meant() {
    let text = object(
        "IngressRoute",
        "r",
        "  routes:\n  - {match: Path(`/a`), services: [{name: greeter, port: 8080}]}\n",
    );
    let world = world(&text);
    let count = |name, tls| side(&world, name, tls).map(|served| served.http.routes.len());
    assert_eq!((count("web", false), count("websecure", false)), (Some(1), Some(1)));
    assert_eq!((count("web", true), count("websecure", true)), (None, None));
}

#[test]
fn an_entry_point_may_be_tls_as_a_whole() {
    let text = object(
        "IngressRoute",
        "r",
        "  routes:\n  - {match: Path(`/a`), services: [{name: greeter, port: 8080}]}\n",
    );
    let mut options = super::options();
    options.entry_points[1].tls = true;
    let world = world_with(&text, &options);
    let count = |name, tls| side(&world, name, tls).map(|served| served.http.routes.len());
    assert_eq!((count("web", false), count("websecure", true)), (Some(1), Some(1)));
    assert_eq!(count("websecure", false), None);
}

#[test]
fn unknown_entry_points_are_said() {
    let text = super::route("").replace("[web]", "[web, metrics]");
    let world = world(&text);
    assert_eq!(
        problems(&world),
        ["t.yaml:6:22: error: spec.entryPoints[1]: there is no entry point `metrics` [use one of \
          web, websecure, or start with --entry-point metrics=ADDR]"]
    );
    assert_eq!(routes(&world).len(), 1);
}

#[test]
fn parents_are_not_served() {
    let text = super::route("  parentRefs: [{name: p}]\n");
    let world = world(&text);
    assert!(problems(&world)[0].contains("routers with parents"), "{:?}", problems(&world));
    let [step] = &*only_route(&world).steps else { panic!("no step") };
    assert!(matches!(step.kind, weft_model::policy::StepKind::Refuse(_)));
}

#[test]
fn two_entry_points_of_one_address_share_it() {
    let mut options = super::options();
    options.entry_points.push(EntryPoint {
        name: "also".into(),
        addr: options.entry_points[0].addr,
        tls: false,
    });
    let world = world_with(&super::route(""), &options);
    assert_eq!(world.snapshot.listeners.len(), 2);
}
