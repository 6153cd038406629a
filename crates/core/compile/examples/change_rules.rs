//! What the rules of a mesh cost to compile: 1,000 services with 5,000 rules, as a whole and after one
//! rule changed.
//!
//! `cargo run --release -p weft-compile --example change_rules [ROUNDS]`

#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a measuring tool prints its result, reads the clock and its arguments"
)]

use std::error::Error;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use weft_compile::{MeshOptions, MeshWorld, compile_mesh};
use weft_model::identity::TrustDomain;
use weft_model::mesh::Registered;
use weft_resources::{ResourceSet, load_incremental};

const SERVICES: usize = 1_000;
/// Rules of each service.
const RULES: usize = 5;

fn main() -> Result<(), Box<dyn Error>> {
    let rounds: usize = match std::env::args().nth(1) {
        Some(text) => text.parse()?,
        None => 30,
    };
    let options = MeshOptions::new(TrustDomain::default());
    let registered = Registered::default();
    let empty = ResourceSet::default();
    let (mut whole, mut change) = (Vec::new(), Vec::new());
    let mut parse = Vec::new();
    let first = text(0);
    let mut set = load_incremental(&empty, &[("rules.yaml", Some(&*first))]);
    for _ in 0..rounds.min(10) {
        let started = Instant::now();
        std::hint::black_box(compile_mesh(&set, &registered, &options, None));
        whole.push(started.elapsed());
    }
    let mut world = compile_mesh(&set, &registered, &options, None);
    show(&world);
    for round in 1..=rounds {
        let text = text(round);
        let started = Instant::now();
        set = load_incremental(&set, &[("rules.yaml", Some(&*text))]);
        parse.push(started.elapsed());
        let started = Instant::now();
        let next = compile_mesh(&set, &registered, &options, Some(&world));
        change.push(started.elapsed());
        assert_eq!((set.parsed(), next.compiled()), (1, 1), "only what changed is looked at");
        world = next;
    }
    for (name, took) in [("whole", whole), ("load of a change", parse), ("change", change)] {
        print(name, took);
    }
    Ok(())
}

fn show(world: &MeshWorld) {
    let rules: usize = world
        .mesh
        .services
        .values()
        .flat_map(|service| &service.traffic.routing)
        .map(|set| set.http.iter().flatten().count())
        .sum();
    let problems = world.report.problems();
    println!("{} services, {rules} rules, {} problems", world.mesh.services.len(), problems.len());
    for problem in problems.iter().take(3) {
        println!("  {problem}");
    }
}

fn print(name: &str, mut took: Vec<Duration>) {
    took.sort_unstable();
    let (p50, max) = (took[took.len() / 2], took[took.len() - 1]);
    println!("{name:>16}: p50 {p50:?}, max {max:?}");
}

/// Half of the services have five HTTPRoutes of one rule each, and half one VirtualService of five.
/// With each round one rule has another path.
fn text(round: usize) -> String {
    let mut text = String::new();
    for service in 0..SERVICES {
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "---\napiVersion: v1\nkind: Service\nmetadata: {{name: s{service}, namespace: shop}}\n\
             spec: {{ports: [{{port: 80, name: http}}]}}\n"
        );
        let is_istio = service % 2 == 1;
        if is_istio {
            let _ = write!(
                text,
                "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\n\
                 metadata: {{name: s{service}, namespace: shop}}\n\
                 spec:\n  hosts: [s{service}]\n  http:\n"
            );
        }
        for rule in 0..RULES {
            let path = match (service, rule) {
                (7, 0) => format!("/v{round}"),
                _ => format!("/rule{rule}"),
            };
            let to = (service + rule + 1) % SERVICES;
            let _ = match is_istio {
                false => write!(
                    text,
                    "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\n\
                     metadata: {{name: s{service}-{rule}, namespace: shop}}\nspec:\n  \
                     parentRefs: [{{group: '', kind: Service, name: s{service}}}]\n  rules:\n  \
                     - matches: [{{path: {{value: {path}}}, headers: [{{name: x-a, value: b}}]}}]\n    \
                     backendRefs: [{{name: s{to}, port: 80, weight: 9}}, {{name: s0, port: 80}}]\n"
                ),
                true => write!(
                    text,
                    "  - match: [{{uri: {{prefix: {path}}}, headers: {{x-a: {{exact: b}}}}}}]\n    \
                     retries: {{attempts: 3, retryOn: 5xx}}\n    \
                     route: [{{destination: {{host: s{to}}}, weight: 9}}, \
                     {{destination: {{host: s0}}, weight: 1}}]\n"
                ),
            };
        }
    }
    text
}
