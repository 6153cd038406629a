//! A hundred rules on the host, a retry budget, bounds, outlier detection, a subset and edits of
//! headers, beside one route without any.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::Context;

use crate::cases::Bench;
use crate::cases::throughput::{self, Lane, OURS};
use crate::client;
use crate::lab::Lab;
use crate::load::{Shape, Target};
use crate::peers::Weftway;
use crate::report::Section;

const HOST: &str = "shop.example.com";

/// Rules of the rich set; the load meets one in the middle.
const RULES: usize = 100;

pub(super) fn run(bench: &Bench) -> anyhow::Result<Section> {
    let mut lanes = Vec::new();
    for (name, documents) in [(OURS, rich(&bench.lab)), ("bare", bare(&bench.lab))] {
        lanes.push(lane(bench, name, &documents)?);
    }
    throughput::interleave(bench, &mut lanes, Shape::SMALL, bench.rounds)?;
    let title = "A rich policy set (first row) and a bare route, 64 connections, 200 bytes";
    Ok(throughput::section("rich", title, &lanes, bench.rounds))
}

fn lane(bench: &Bench, name: &'static str, documents: &str) -> anyhow::Result<Lane> {
    let folder: PathBuf = bench.lab.folder(&format!("policy-{name}"))?;
    std::fs::write(folder.join("all.yaml"), documents)?;
    let peer = bench.weftway()?;
    let weftway = Weftway::new(peer.program(), folder, None).with_ports(80);
    let (mut process, addresses) = weftway.start(&bench.lab)?;
    let addr = *addresses.listeners.values().next().context("no listener")?;
    let path = format!("/svc{}/api/v1/items?id=42", RULES / 2);
    client::wait_ready(addr, HOST, &path, &mut process)?;
    Ok(Lane {
        name,
        version: format!("{} {name}", peer.version),
        processes: vec![process],
        target: Target { addr, host: HOST.to_owned(), path },
        samples: Vec::new(),
    })
}

/// The gateway and the origin.
fn scene(lab: &Lab) -> String {
    let origin = lab.origins[0];
    format!(
        "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {{name: shop}}\n\
         spec:\n  selector: {{istio: ingressgateway}}\n  servers:\n  \
         - port: {{number: 80, name: http, protocol: HTTP}}\n    hosts: ['{HOST}']\n---\n\
         apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: origin}}\n\
         spec:\n  hosts: [origin.internal]\n  location: MESH_INTERNAL\n  resolution: STATIC\n  \
         ports: [{{number: 9000, name: http, protocol: HTTP}}]\n  endpoints:\n  \
         - {{address: {}, ports: {{http: {}}}, labels: {{version: v1}}}}\n---\n",
        origin.ip(),
        origin.port(),
    )
}

fn bare(lab: &Lab) -> String {
    format!(
        "{}apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: shop}}\n\
         spec:\n  hosts: ['{HOST}']\n  gateways: [shop]\n  http:\n  \
         - retries: {{attempts: 0}}\n    \
           route: [{{destination: {{host: origin.internal, port: {{number: 9000}}}}}}]\n",
        scene(lab),
    )
}

fn rich(lab: &Lab) -> String {
    let mut text = scene(lab);
    text.push_str(
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: origin}\n\
         spec:\n  host: origin.internal\n  trafficPolicy:\n    \
         retryBudget: {percent: 20, minRetryConcurrency: 3}\n    \
         outlierDetection: {consecutive5xxErrors: 5, interval: 10s, baseEjectionTime: 30s}\n    \
         connectionPool:\n      tcp: {maxConnections: 1000}\n      \
         http: {http1MaxPendingRequests: 1000, http2MaxRequests: 1000, maxRetries: 10}\n  \
         subsets:\n  - {name: v1, labels: {version: v1}}\n---\n\
         apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: shop}\n",
    );
    // Writing to a string cannot fail.
    let _ = write!(text, "spec:\n  hosts: ['{HOST}']\n  gateways: [shop]\n  http:\n");
    for rule in 0..RULES {
        let _ = write!(
            text,
            "  - match: [{{uri: {{prefix: /svc{rule}/}}}}]\n    timeout: 5s\n    \
             retries: {{attempts: 3, perTryTimeout: 2s, retryOn: '5xx,reset,connect-failure'}}\n    \
             headers:\n      request: {{set: {{x-tier: gold}}, remove: [x-debug]}}\n      \
             response: {{set: {{x-served-by: shop}}}}\n    \
             route: [{{destination: {{host: origin.internal, subset: v1, \
             port: {{number: 9000}}}}}}]\n",
        );
    }
    text
}
