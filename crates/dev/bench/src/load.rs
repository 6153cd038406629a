//! Makes load, with the quietest generator that is installed.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};
use serde::Deserialize;
use weft_load::{Options, Protocol, Trust};

use crate::lab::Lab;
use crate::machine;
use crate::stats;

/// One kind of traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) method: &'static str,
    /// Instead of the target's own path.
    pub(crate) path: Option<&'static str>,
    pub(crate) body_bytes: usize,
    pub(crate) connections: usize,
    /// More than one means HTTP/2.
    pub(crate) streams: usize,
    pub(crate) is_tls: bool,
}

/// What is asked for, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) addr: SocketAddr,
    /// The Host field.
    pub(crate) host: String,
    /// Path and query.
    pub(crate) path: String,
}

/// What one run of load saw.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Seen {
    pub(crate) requests: u64,
    /// Not answered, or not with a 2xx status.
    pub(crate) failed: u64,
    pub(crate) per_sec: f64,
    pub(crate) p50_micros: f64,
    pub(crate) p99_micros: f64,
}

/// Which generators there are.
pub(crate) struct Generators {
    /// The version line of wrk.
    pub(crate) wrk: Option<String>,
    /// The version line of h2load.
    pub(crate) h2load: Option<String>,
}

/// What a browser would send along; every proxy has to parse it.
const HEADERS: &[(&str, &str)] = &[
    ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/120"),
    ("Accept", "application/json, text/plain, */*"),
    ("Accept-Encoding", "gzip, deflate, br"),
    ("Accept-Language", "en-US,en;q=0.9"),
    ("X-Request-Id", "7f1c2b9a-4d1e-4f7b-9c3e-1234567890ab"),
    ("Authorization", "Bearer abcdefghijklmnopqrstuvwxyz0123456789"),
];

// === impl Shape ===

impl Shape {
    /// 64 keep-alive connections, small answers.
    pub(crate) const SMALL: Self = Self {
        method: "GET",
        path: None,
        body_bytes: 0,
        connections: 64,
        streams: 1,
        is_tls: false,
    };

    pub(crate) fn is_h2(self) -> bool {
        self.streams > 1
    }

    fn url(self, target: &Target) -> String {
        let path = self.path.unwrap_or(&target.path);
        // A name, for TLS: server name indication knows no addresses.
        let name = match target.addr.ip() {
            IpAddr::V4(Ipv4Addr::LOCALHOST) => "localhost".to_owned(),
            ip => ip.to_string(),
        };
        let scheme = if self.is_tls { "https" } else { "http" };
        format!("{scheme}://{name}:{}{path}", target.addr.port())
    }

    /// The same load as options of our own generator.
    pub(crate) fn options(self, target: &Target) -> Options {
        let mut options = Options::new(self.url(target));
        options.connect_to = Some(target.addr);
        options.method = self.method.to_owned();
        options.host = Some(target.host.clone());
        options.headers =
            HEADERS.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        options.body = vec![b'x'; self.body_bytes];
        options.connections = self.connections;
        options.streams = self.streams;
        options.protocol = if self.is_h2() { Protocol::Http2 } else { Protocol::Http1 };
        options.trust = Trust::Insecure;
        options
    }
}

// === impl Seen ===

impl Seen {
    pub(crate) fn from_report(report: &weft_load::Report) -> Self {
        let succeeded: u64 = report
            .status_codes
            .iter()
            .filter(|(code, _)| code.starts_with('2'))
            .map(|(_, count)| count)
            .sum();
        Self {
            requests: report.requests,
            failed: report.failed + report.requests - succeeded,
            per_sec: report.rps,
            p50_micros: report.latencies.p50 * 1000.0,
            p99_micros: report.latencies.p99 * 1000.0,
        }
    }
}

// === impl Generators ===

impl Generators {
    pub(crate) fn find() -> Self {
        Self {
            wrk: machine::version_line("wrk", &["-v"], "wrk "),
            h2load: machine::version_line("h2load", &["--version"], "h2load "),
        }
    }

    /// One line for the header of the result.
    pub(crate) fn describe(&self) -> String {
        let own = concat!("weft-load ", env!("CARGO_PKG_VERSION"));
        let first_words = |line: &String| line.split(' ').take(2).collect::<Vec<_>>().join(" ");
        let h1 = self.wrk.as_ref().map_or_else(|| own.to_owned(), first_words);
        let h2 = self.h2load.as_ref().map_or_else(|| own.to_owned(), first_words);
        format!("{h1} (HTTP/1.1 closed loop), {h2} (HTTP/2), {own} (open loop, churn)")
    }

    /// Runs closed-loop load for `secs` seconds.
    pub(crate) fn closed(
        &self,
        lab: &Lab,
        shape: Shape,
        target: &Target,
        secs: u64,
    ) -> anyhow::Result<Seen> {
        match (shape.is_h2(), &self.wrk, &self.h2load) {
            (false, Some(_), _) => wrk(lab, shape, target, secs),
            (true, _, Some(_)) => h2load(lab, shape, target, secs),
            _ => {
                let mut options = shape.options(target);
                options.duration = Some(std::time::Duration::from_secs(secs));
                Ok(Seen::from_report(&weft_load::run(&options, |_| {})?))
            }
        }
    }
}

/// What the script below prints at the end.
#[derive(Deserialize)]
struct WrkResult {
    requests: u64,
    micros: f64,
    failed: u64,
    p50: f64,
    p99: f64,
}

fn wrk(lab: &Lab, shape: Shape, target: &Target, secs: u64) -> anyhow::Result<Seen> {
    let script = lab.path("wrk.lua");
    std::fs::write(&script, wrk_script(shape, target))?;
    let output = Command::new("wrk")
        .args(["-t1", &format!("-c{}", shape.connections), &format!("-d{secs}s"), "-s"])
        .arg(&script)
        .arg(shape.url(target))
        .output()
        .context("cannot run wrk")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().find(|line| line.starts_with('{'));
    let line = line.with_context(|| {
        format!("wrk said nothing useful: {text} {}", String::from_utf8_lossy(&output.stderr))
    })?;
    let result: WrkResult = serde_json::from_str(line)?;
    Ok(Seen {
        requests: result.requests,
        failed: result.failed,
        per_sec: result.requests as f64 * 1e6 / result.micros,
        p50_micros: result.p50,
        p99_micros: result.p99,
    })
}

fn wrk_script(shape: Shape, target: &Target) -> String {
    let mut script =
        format!("wrk.method = {:?}\nwrk.headers[\"Host\"] = {:?}\n", shape.method, target.host);
    for (name, value) in HEADERS {
        script.push_str(&format!("wrk.headers[{name:?}] = {value:?}\n"));
    }
    if shape.body_bytes > 0 {
        script.push_str(&format!("wrk.body = string.rep(\"x\", {})\n", shape.body_bytes));
    }
    script.push_str(
        "done = function(summary, latency, requests)\n  local e = summary.errors\n  \
         io.write(string.format('{\"requests\":%d,\"micros\":%d,\"failed\":%d,\"p50\":%d,\
         \"p99\":%d}\\n', summary.requests, summary.duration, \
         e.connect + e.read + e.write + e.status + e.timeout, latency:percentile(50), \
         latency:percentile(99)))\nend\n",
    );
    script
}

fn h2load(lab: &Lab, shape: Shape, target: &Target, secs: u64) -> anyhow::Result<Seen> {
    let log = lab.path("h2load.log");
    // It appends.
    let _ = std::fs::remove_file(&log);
    let mut command = Command::new("h2load");
    command
        .args(["-t1", &format!("-c{}", shape.connections), &format!("-m{}", shape.streams)])
        .args([format!("-D{secs}"), format!("--log-file={}", log.display())])
        .args(["-H", &format!(":authority: {}", target.host)]);
    for (name, value) in HEADERS {
        command.args(["-H", &format!("{}: {value}", name.to_ascii_lowercase())]);
    }
    let output = command.arg(shape.url(target)).output().context("cannot run h2load")?;
    if !output.status.success() {
        bail!("h2load failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    h2load_result(&String::from_utf8_lossy(&output.stdout), &log, secs)
}

fn h2load_result(text: &str, log: &Path, secs: u64) -> anyhow::Result<Seen> {
    let number = |marker: &str, name: &str| -> Option<u64> {
        let line = text.lines().find(|line| line.starts_with(marker))?;
        let part = line.split(&[',', ':'][..]).find(|part| part.trim().ends_with(name))?;
        part.trim().split(' ').next()?.parse().ok()
    };
    let requests = number("requests:", "done").context("h2load names no requests")?;
    let succeeded = number("status codes:", "2xx").context("h2load names no statuses")?;
    // start in µs, status, duration in µs, separated by tabs
    let log = std::fs::read_to_string(log).context("h2load wrote no log")?;
    let durations: Vec<f64> =
        log.lines().filter_map(|line| line.split('\t').nth(2)?.trim().parse().ok()).collect();
    Ok(Seen {
        requests,
        failed: requests.saturating_sub(succeeded),
        per_sec: requests as f64 / secs as f64,
        p50_micros: stats::quantile(&durations, 0.5),
        p99_micros: stats::quantile(&durations, 0.99),
    })
}
