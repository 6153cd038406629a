//! Builds tables and searches them, to be timed or run under an instruction counter.
//!
//! ```text
//! find_loop ROUTES FINDS    100 hosts, ROUTES / 100 paths on each; FINDS lookups
//! find_loop build ROUTES    times building and changing such a table
//! ```

#![expect(clippy::disallowed_methods, reason = "a measurement reads the clock and its arguments")]

use std::error::Error;
use std::fmt::Display;
use std::hint::black_box;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use weft_message::RequestHead;
use weft_model::id::{BackendId, RouteId};
use weft_model::route::{Matcher, Origin, Rank, Route, Target, Timeouts};
use weft_route::HttpTable;
use weft_route::rule::{default_priority, parse_http};

/// Hosts share the paths evenly.
const HOSTS: usize = 100;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &*arguments.iter().map(String::as_str).collect::<Vec<_>>() {
        ["build", routes] => build(routes.parse()?),
        [routes, finds] => find(routes.parse()?, finds.parse()?),
        _ => Err("usage: find_loop ROUTES FINDS | find_loop build ROUTES".into()),
    }
}

/// The `index`th route: hosts first, then paths.
fn route(index: usize) -> Result<Arc<Route>, Box<dyn Error>> {
    let (host, path) = (index % HOSTS, index / HOSTS);
    let rule = format!("Host(`host-{host:02}.example`) && PathPrefix(`/path-{path:03}/`)");
    let matcher: Matcher = parse_http(&rule)?;
    let major = default_priority(&rule);
    Ok(Arc::new(Route {
        id: RouteId::new(rule.as_str()),
        origin: Origin::default(),
        rank: Rank { major, tie: index as u32, ..Rank::default() },
        matcher,
        steps: Arc::new([]),
        target: Target::Backend(BackendId::new("backend")),
        timeouts: Timeouts::default(),
    }))
}

fn routes(count: usize) -> Result<Vec<Arc<Route>>, Box<dyn Error>> {
    (0..count).map(route).collect()
}

fn find(count: usize, finds: usize) -> Result<(), Box<dyn Error>> {
    let table = HttpTable::new(&routes(count)?);
    let mut head = RequestHead::new();
    head.set_authority("host-00.example")?;
    head.set_path("/path-000/some/thing")?;
    let client_ip = IpAddr::from([127, 0, 0, 1]);
    let start = Instant::now();
    let mut found = 0_usize;
    for _ in 0..finds {
        found += usize::from(table.find(black_box(&head), client_ip).is_some());
    }
    let nanoseconds = start.elapsed().as_nanos() as f64 / finds.max(1) as f64;
    print(format_args!("{count} routes: found {found} of {finds}, {nanoseconds:.1} ns each"))
}

fn build(count: usize) -> Result<(), Box<dyn Error>> {
    let mut routes = routes(count)?;
    let (table, fresh) = timed(|| HttpTable::new(&routes));
    routes[count / 2] = route(count)?;
    let (changed, update) = timed(|| HttpTable::update(&table, &routes));
    let (_, dropped) = timed(|| drop(table));
    drop(changed);
    print(format_args!(
        "{count} routes: built in {fresh:.2} ms, one changed in {update:.2} ms, \
         the old one dropped in {dropped:.2} ms"
    ))
}

/// The result, and the milliseconds it took.
fn timed<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let start = Instant::now();
    let result = work();
    (result, start.elapsed().as_secs_f64() * 1e3)
}

fn print(line: impl Display) -> Result<(), Box<dyn Error>> {
    use std::io::Write;
    Ok(writeln!(std::io::stdout(), "{line}")?)
}
