//! Bytes that nobody reads, through a pair, beside one HAProxy that ends TLS.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use rustls::ClientConfig;

use crate::cases::throughput::ratios;
use crate::client::{Client, tls_config_aes128};
use crate::peers::Kind;
use crate::peers::haproxy::start_tls_relay;
use crate::peers::mesh::{Mesh, Size, tcp_authority};
use crate::process::Process;
use crate::report::{Finding, Rows, Section, number};
use crate::stats::{median, median_interval};

use super::{Bench, pair_label};

/// Connections at one time.
const CONNECTIONS: usize = 4;

/// Answers of 100 KiB that are asked for ahead, so that bytes are always on their way.
const AHEAD: usize = 8;

/// How the client gets to the origin.
enum Way {
    /// Through the sidecars, which connect it to this service.
    Connect(String),
    /// In TLS.
    Tls(Arc<ClientConfig>),
}

struct Lane {
    version: String,
    processes: Vec<Process>,
    addr: SocketAddr,
    way: Way,
    /// CPU time of a GB, and MB in a second.
    samples: Vec<(f64, f64)>,
}

pub(super) fn run(bench: &Bench) -> anyhow::Result<Section> {
    let mesh = Mesh::start(&bench.lab, bench.weftway()?.program(), Size::PAIR)?;
    let mut lanes = [ours(bench, &mesh)?, haproxy(bench)?];
    let rounds = bench.few_rounds();
    for lane in &lanes {
        lane.load(1)?;
    }
    for round in 0..rounds {
        for turn in 0..lanes.len() {
            let lane = &mut lanes[(round + turn) % 2];
            let sample = lane.load(bench.seconds)?;
            lane.samples.push(sample);
        }
        eprintln!("    round {} of {rounds}", round + 1);
    }
    Ok(section(&lanes, rounds))
}

fn ours(bench: &Bench, mesh: &Mesh<'_>) -> anyhow::Result<Lane> {
    let (processes, addr) = mesh.pair()?;
    let version = pair_label(&bench.weftway()?.version, "");
    let way = Way::Connect(tcp_authority(0));
    Ok(Lane { version, processes, addr, way, samples: Vec::new() })
}

fn haproxy(bench: &Bench) -> anyhow::Result<Lane> {
    let haproxy = bench.peer(Kind::Haproxy)?;
    let (process, addr) = start_tls_relay(haproxy, &bench.lab, bench.lab.origins[1])?;
    let version = format!("one {}, TLS to plain", haproxy.version);
    // The cipher that the sidecars take, too.
    let way = Way::Tls(tls_config_aes128(bench.lab.authority.pem().as_bytes())?);
    Ok(Lane { version, processes: vec![process], addr, way, samples: Vec::new() })
}

// === impl Lane ===

impl Lane {
    fn load(&self, secs: u64) -> anyhow::Result<(f64, f64)> {
        let before = self.cpu_secs();
        let (stop, bytes) = (AtomicBool::new(false), AtomicU64::new(0));
        let seen = std::thread::scope(|scope| {
            let pull = || self.pull(&stop, &bytes);
            let clients: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(pull)).collect();
            std::thread::sleep(Duration::from_secs(secs));
            stop.store(true, Ordering::Relaxed);
            clients.into_iter().try_for_each(|client| match client.join() {
                Ok(pulled) => pulled,
                Err(_) => Err(io::Error::other("a client panicked")),
            })
        });
        seen.with_context(|| self.version.clone())?;
        let bytes = bytes.into_inner() as f64;
        if bytes == 0.0 {
            bail!("{}: not a byte came", self.version);
        }
        Ok(((self.cpu_secs() - before) * 1e9 / bytes, bytes / 1e6 / secs as f64))
    }

    fn cpu_secs(&self) -> f64 {
        self.processes.iter().map(Process::cpu_secs).sum()
    }

    /// Reads large answers until it is to stop.
    fn pull(&self, stop: &AtomicBool, bytes: &AtomicU64) -> io::Result<()> {
        let mut stream = match &self.way {
            Way::Connect(authority) => {
                let mut client = Client::plain(self.addr)?;
                client.connect(authority)?;
                client.into_stream()
            }
            Way::Tls(config) => Client::tls(self.addr, config)?.into_stream(),
        };
        let request = b"GET /100k HTTP/1.1\r\nHost: origin\r\n\r\n";
        let size = first_answer(&mut stream, request)?;
        let mut left = vec![0_u8; size * AHEAD];
        stream.write_all(&request.repeat(AHEAD))?;
        stream.flush()?;
        while !stop.load(Ordering::Relaxed) {
            stream.write_all(&request.repeat(AHEAD))?;
            stream.flush()?;
            stream.read_exact(&mut left)?;
            bytes.fetch_add(left.len() as u64, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// Bytes of one answer, head and all; those that follow are alike.
fn first_answer(stream: &mut (impl Read + Write), request: &[u8]) -> io::Result<usize> {
    stream.write_all(request)?;
    stream.flush()?;
    let mut head = Vec::new();
    let mut byte = [0_u8];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let text = String::from_utf8_lossy(&head).to_ascii_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length = length.and_then(|length| length.trim().parse().ok());
    let length: usize = length.ok_or_else(|| io::Error::other("no content-length"))?;
    stream.read_exact(&mut vec![0; length])?;
    Ok(head.len() + length)
}

fn section(lanes: &[Lane; 2], rounds: usize) -> Section {
    let mut rows = Rows::new(&["Way", "CPU s a GB", "MB/s"]);
    let cpu = |lane: &Lane| lane.samples.iter().map(|(cpu, _)| *cpu).collect::<Vec<_>>();
    for lane in lanes {
        let rate: Vec<f64> = lane.samples.iter().map(|(_, rate)| *rate).collect();
        rows.add(&[
            lane.version.clone(),
            number(median(&cpu(lane)), ""),
            number(median(&rate), ""),
        ]);
    }
    let (ours, ratio) = (cpu(&lanes[0]), ratios(&cpu(&lanes[0]), &cpu(&lanes[1])));
    let finding = |measure: &str, values: &[f64], unit| Finding {
        case: "pair-tcp",
        measure: measure.to_owned(),
        value: median(values),
        interval: median_interval(values),
        unit,
    };
    Section {
        title: format!("TCP through a pair, {CONNECTIONS} connections"),
        body: format!(
            "From the origin to the client, TLS with AES-128-GCM; medians of {rounds} interleaved \
             rounds.\n\n{}",
            rows.finish()
        ),
        findings: vec![
            finding("CPU of a GB", &ours, "s"),
            finding("CPU ratio to one hop of HAProxy with TLS", &ratio, "x"),
        ],
    }
}
