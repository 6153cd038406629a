//! Routes, weights, endpoints and certificates change while requests run. None may fail.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use weft_load::Options;

use super::Bench;
use super::change::replace;
use crate::client::{self, Client};
use crate::lab::Lab;
use crate::load::{Seen, Shape};
use crate::peers::Weftway;
use crate::report::{Finding, Rows, Section};
use crate::stats::quantile;
use crate::table::{BACKEND, Table, rule};

const HOST: &str = "moving.bench.test";
const PATH: &str = "/svc3/api/v1/items?id=42";

/// Pause between two changes.
const PAUSE: Duration = Duration::from_millis(10);

/// A change that is not seen by then is lost.
const LOST: Duration = Duration::from_secs(10);

/// Load comes in pieces of this length until the changes are done.
const PIECE: Duration = Duration::from_secs(4);

/// New TLS connections a second, each with one request.
const HANDSHAKES_PER_SEC: f64 = 100.0;

/// One stream of load with its name.
struct Stream {
    name: &'static str,
    options: Options,
}

pub(super) fn run(bench: &Bench) -> anyhow::Result<Section> {
    let changes = if bench.is_quick { 40 } else { 1000 };
    let folder = bench.lab.folder("routes")?;
    Table::REALISTIC.write(&folder)?;
    let mut changer = Changer::new(&bench.lab, &folder)?;
    let weftway = bench.weftway()?;
    let weftway = Weftway::new(weftway.program(), folder.clone(), Some(bench.lab.origins[0]));
    let (mut process, addresses) = weftway.start(&bench.lab)?;
    let (plain, tls) = (addresses.listener("web")?, addresses.listener("websecure")?);
    client::wait_ready(plain, HOST, PATH, &mut process)?;
    let authority = client::tls_config(bench.lab.authority.pem().as_bytes())?;
    client::wait_ready_tls(tls, &authority, HOST, PATH, &mut process)?;

    let saturation = saturation(bench, plain)?;
    let streams = streams(&bench.lab, plain, tls, saturation / 2.0);
    let stop = AtomicBool::new(false);
    let (delays, seen) = std::thread::scope(|scope| {
        let loads: Vec<_> = streams
            .iter()
            .map(|stream| scope.spawn(|| load_until(&stream.options, &stop)))
            .collect();
        let delays = changer.run(changes, plain);
        stop.store(true, Ordering::Relaxed);
        let seen: Vec<_> = loads.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        (delays, seen)
    });
    let delays = delays?;
    changer.check_certificate(changes, tls, &authority)?;
    let mut rows = Rows::new(&["Load", "requests", "failed", "first reason"]);
    let mut failed = 0;
    for (stream, seen) in streams.iter().zip(seen) {
        let Ok(seen) = seen else { bail!("the load {} died", stream.name) };
        let (seen, reason) = seen?;
        failed += seen.failed;
        rows.add(&[
            stream.name.to_owned(),
            seen.requests.to_string(),
            seen.failed.to_string(),
            reason,
        ]);
    }
    Ok(section(changes, saturation / 2.0, failed, &delays, rows))
}

fn section(changes: usize, rate: f64, failed: u64, delays: &[f64], rows: Rows) -> Section {
    let finding = |measure: &str, value, unit| Finding {
        case: "churn",
        measure: measure.to_owned(),
        value,
        interval: None,
        unit,
    };
    let p99 = quantile(delays, 0.99);
    Section {
        title: format!("{changes} changes under load"),
        body: format!(
            "Routes, weights, endpoints and certificates in turn, at {rate:.0} requests/s together. \
             A new route was served after {:.0} ms (p50), {p99:.0} ms (p99).\n\n{}",
            quantile(delays, 0.5),
            rows.finish()
        ),
        findings: vec![
            finding("failed requests", failed as f64, ""),
            finding("new route served under load, p99", p99, "ms"),
        ],
    }
}

/// What it can do at most with this load, in requests per second.
fn saturation(bench: &Bench, plain: std::net::SocketAddr) -> anyhow::Result<f64> {
    let seen =
        bench.generators.closed(&bench.lab, Shape::SMALL, &Table::REALISTIC.target(plain), 2)?;
    if seen.failed > 0 {
        bail!("{} requests failed before anything changed", seen.failed);
    }
    Ok(seen.per_sec)
}

/// Half on kept HTTP/1.1 connections, a quarter on HTTP/2, a quarter on kept TLS connections, and
/// handshakes on top.
fn streams(
    lab: &Lab,
    plain: std::net::SocketAddr,
    tls: std::net::SocketAddr,
    rate: f64,
) -> Vec<Stream> {
    let stream = |name, shape: Shape, share: f64| {
        let addr = if shape.is_tls { tls } else { plain };
        let mut options = shape.options(&Table::REALISTIC.target(addr));
        options.host = Some(HOST.to_owned());
        options.rate_per_sec = Some(rate * share);
        options.duration = Some(PIECE);
        options.trust = weft_load::Trust::Pem(lab.authority.pem().into_bytes());
        Stream { name, options }
    };
    let h2 = Shape { connections: 4, streams: 16, ..Shape::SMALL };
    let secure = Shape { is_tls: true, ..Shape::SMALL };
    let mut handshakes = stream("TLS, new connections", secure, 0.0);
    handshakes.options.keep_alive = false;
    handshakes.options.rate_per_sec = Some(HANDSHAKES_PER_SEC);
    vec![
        stream("HTTP/1.1, 64 connections", Shape::SMALL, 0.5),
        stream("HTTP/2, 4 connections", h2, 0.25),
        stream("TLS, 64 connections", secure, 0.25),
        handshakes,
    ]
}

fn load_until(options: &Options, stop: &AtomicBool) -> anyhow::Result<(Seen, String)> {
    let mut total = Seen { requests: 0, failed: 0, per_sec: 0.0, p50_micros: 0.0, p99_micros: 0.0 };
    let mut reason = String::new();
    while !stop.load(Ordering::Relaxed) {
        let report = weft_load::run(options, |_| {})?;
        let seen = Seen::from_report(&report);
        total.requests += seen.requests;
        total.failed += seen.failed;
        if reason.is_empty() && seen.failed > 0 {
            reason = format!("{:?} {:?}", report.error_samples, report.status_codes);
        }
    }
    Ok((total, reason))
}

/// Writes one changed document after the other.
struct Changer<'a> {
    folder: &'a Path,
    ports: [u16; 2],
    certificates: Vec<(String, String)>,
}

impl<'a> Changer<'a> {
    fn new(lab: &Lab, folder: &'a Path) -> anyhow::Result<Self> {
        let certificates =
            (0..8).map(|_| lab.authority.issue()).collect::<anyhow::Result<Vec<_>>>()?;
        let ports = lab.origins.map(|origin| origin.port());
        let changer = Self { folder, ports, certificates };
        for number in 0..4 {
            changer.write(number)?;
        }
        Ok(changer)
    }

    /// Makes the changes; gives how long the new routes took, in milliseconds.
    fn run(&mut self, changes: usize, plain: std::net::SocketAddr) -> anyhow::Result<Vec<f64>> {
        let mut client = Client::plain(plain)?;
        let mut delays = Vec::new();
        for number in 0..changes {
            let start = Instant::now();
            self.write(number)?;
            if number % 4 == 0 {
                let path = new_path(number);
                while client.get(HOST, &path).context("a probe failed")? != 200 {
                    if start.elapsed() > LOST {
                        bail!("change {number} was not served within {LOST:?}");
                    }
                }
                delays.push(start.elapsed().as_secs_f64() * 1000.0);
            }
            std::thread::sleep(PAUSE);
        }
        Ok(delays)
    }

    /// The certificate written last must be the one that is served.
    fn check_certificate(
        &self,
        changes: usize,
        tls: std::net::SocketAddr,
        authority: &Arc<rustls::ClientConfig>,
    ) -> anyhow::Result<()> {
        let last = (0..changes).rev().find(|number| number % 4 == 3).unwrap_or(3);
        let expected = CertificateDer::from_pem_slice(self.certificate(last).0.as_bytes())?;
        let start = Instant::now();
        while client::served_certificate(tls, authority)? != expected {
            if start.elapsed() > LOST {
                bail!("the last certificate was not served within {LOST:?}");
            }
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }

    fn certificate(&self, number: usize) -> &(String, String) {
        &self.certificates[number / 4 % self.certificates.len()]
    }

    fn write(&self, number: usize) -> anyhow::Result<()> {
        match number % 4 {
            0 => replace(self.folder, "extra.yaml", &extra_route(number)),
            1 => replace(self.folder, "moving.yaml", &weighted_routes(number)),
            2 => replace(self.folder, "endpoints.yaml", &self.endpoints(number)),
            _ => replace(self.folder, "secret.yaml", &self.secret(number)),
        }
    }

    /// The first origin, the second, or both, in turn.
    fn endpoints(&self, number: usize) -> String {
        let chosen = match number / 4 % 3 {
            0 => &self.ports[..],
            1 => &self.ports[..1],
            _ => &self.ports[1..],
        };
        let mut text = String::from(
            "apiVersion: v1\nkind: Service\nmetadata:\n  name: moving\nspec:\n  ports:\n  \
             - name: http\n    port: 9000\n",
        );
        for (index, port) in chosen.iter().enumerate() {
            text.push_str(&format!(
                "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  \
                 name: moving-{index}\n  labels:\n    kubernetes.io/service-name: moving\n\
                 addressType: IPv4\nendpoints:\n- addresses: [\"127.0.0.1\"]\n  conditions:\n    \
                 ready: true\nports:\n- name: http\n  port: {port}\n",
            ));
        }
        text
    }

    fn secret(&self, number: usize) -> String {
        let (chain, key) = self.certificate(number);
        format!(
            "apiVersion: v1\nkind: Secret\ntype: kubernetes.io/tls\nmetadata:\n  name: bench\ndata:\
             \n  tls.crt: {}\n  tls.key: {}\n",
            STANDARD.encode(chain),
            STANDARD.encode(key)
        )
    }
}

fn new_path(number: usize) -> String {
    format!("/change-{number}")
}

fn extra_route(number: usize) -> String {
    let rule = rule(&format!("Host(`{HOST}`) && Path(`{}`)", new_path(number)));
    ingress_route("extra", "web", &rule)
}

/// The routes under load, with weights that move between a fixed and a moving service.
fn weighted_routes(number: usize) -> String {
    let weight = number / 4 % 9 + 1;
    let (name, port) = BACKEND.split_once(':').unwrap_or((BACKEND, "80"));
    let rules = format!(
        "  - kind: Rule\n    match: Host(`{HOST}`) && PathPrefix(`/svc3/`)\n    services:\n    \
         - name: moving\n      port: 9000\n      weight: {weight}\n    - name: {name}\n      \
         port: {port}\n      weight: {}\n",
        10 - weight
    );
    let plain = ingress_route("moving", "web", &rules);
    let secure = ingress_route("moving-tls", "websecure", &rules);
    format!("{plain}---\n{secure}  tls:\n    secretName: bench\n")
}

fn ingress_route(name: &str, entry_point: &str, rules: &str) -> String {
    format!(
        "apiVersion: traefik.io/v1alpha1\nkind: IngressRoute\nmetadata:\n  name: {name}\nspec:\n  \
         entryPoints: [{entry_point}]\n  routes:\n{rules}"
    )
}
