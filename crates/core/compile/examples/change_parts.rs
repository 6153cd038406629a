//! What a change costs, part by part: 5,000 routes in one file, and an edit that moves all of them.
//! `load` includes another `split`.
//!
//! `cargo run --release -p weft-compile --example change_parts [ROUNDS]`

#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a measuring tool prints its result, reads the clock and its arguments"
)]

use std::error::Error;
use std::fmt::Write as _;
use std::net::AddrParseError;
use std::sync::Arc;
use std::time::{Duration, Instant};

use weft_compile::{EntryPoint, Options, World, compile};
use weft_model::route::Route;
use weft_resources::{load, load_incremental, yaml};
use weft_route::HttpTable;

/// Routes in the file.
const ROUTES: usize = 5_000;

const PARTS: [&str; 4] = ["split", "load", "compile", "table"];

fn main() -> Result<(), Box<dyn Error>> {
    let rounds: usize = match std::env::args().nth(1) {
        Some(text) => text.parse()?,
        None => 50,
    };
    let options = options()?;
    let first = text(0);
    let started = Instant::now();
    let mut set = load(&[("routes.yaml", &*first)]);
    let mut world = compile(&set, &options, None);
    let mut table = HttpTable::new(&routes(&world));
    println!("first: {:?}, {} documents parsed", started.elapsed(), set.parsed());
    let mut took: [Vec<Duration>; PARTS.len()] = Default::default();
    let (mut parsed, mut compiled) = (0, 0);
    for round in 1..=rounds {
        let text = text(round);
        let mut part = 0;
        let mut lap = Instant::now();
        let mut ends = || {
            took[part].push(lap.elapsed());
            part += 1;
            lap = Instant::now();
        };
        std::hint::black_box(yaml::split(&text));
        ends();
        let next = load_incremental(&set, &[("routes.yaml", Some(&*text))]);
        ends();
        let next_world = compile(&next, &options, Some(&world));
        ends();
        let next_table = HttpTable::update(&table, &routes(&next_world));
        ends();
        parsed = parsed.max(next.parsed());
        compiled = compiled.max(next_world.compiled());
        (set, world, table) = (next, next_world, next_table);
    }
    println!("a change: at most {parsed} documents parsed, {compiled} resources compiled");
    for (name, mut took) in PARTS.into_iter().zip(took) {
        took.sort_unstable();
        let (p50, max) = (took[took.len() / 2], took[took.len() - 1]);
        println!("{name:>8}: p50 {p50:?}, max {max:?}");
    }
    Ok(())
}

fn routes(world: &World) -> Vec<Arc<Route>> {
    world.snapshot.routes().cloned().collect()
}

fn options() -> Result<Options, AddrParseError> {
    let mut options = Options::new(vec![EntryPoint {
        name: "web".into(),
        addr: "127.0.0.1:80".parse()?,
        tls: false,
    }]);
    options.backends.insert(("origin".into(), 9000), vec!["127.0.0.1:9000".parse()?]);
    Ok(options)
}

/// One route for each host. With each round the first one has another path, and a line more stands
/// above them all.
fn text(round: usize) -> String {
    let mut text = "# one change\n".repeat(round);
    for host in 0..ROUTES {
        let path = if host == 0 { format!("/v{round}") } else { "/svc/".to_owned() };
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "---\napiVersion: traefik.io/v1alpha1\nkind: IngressRoute\nmetadata:\n  name: host{host}\n\
             spec:\n  entryPoints: [web]\n  routes:\n  - kind: Rule\n    \
             match: Host(`host{host}.example.com`) && PathPrefix(`{path}`)\n    services:\n    \
             - name: origin\n      port: 9000\n"
        );
    }
    text
}
