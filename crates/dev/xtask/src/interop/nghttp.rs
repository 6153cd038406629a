//! nghttp and h2load, the clients of nghttp2.

use std::process::Command;

use anyhow::{Context, ensure};
use serde_json::Value;

use super::curl::is_same;
use super::program;
use super::report::Report;
use super::stage::{FILE_BYTES, Stage};
use super::tools::Tools;

/// Requests of one run of h2load.
const REQUESTS: u32 = 2_000;

/// nghttp: a name, a path, arguments, and what must come.
type Request = (&'static str, &'static str, &'static [&'static str], Expected);

#[derive(Debug, Clone, Copy)]
enum Expected {
    /// The file.
    File,
    /// An answer that says the file has arrived.
    Arrived,
    /// An answer that says the file has arrived with a trailer field `x-sum: 42`.
    ArrivedWithTrailer,
    /// The answer of `/echo`.
    Echo,
    /// The answer of `/refuse`.
    Refused,
}

const REQUESTS_OF_NGHTTP: &[Request] = &[
    ("large download", "/file", &[], Expected::File),
    ("windows of one kilobyte", "/file", &["-w10", "-W10"], Expected::File),
    ("padded frames", "/file", &["--padding=255"], Expected::File),
    ("no dependency tree", "/file", &["--no-dep"], Expected::File),
    ("a header of many frames", "/echo", &["--continuation"], Expected::Echo),
    ("a header table of 0 bytes", "/echo", &["--header-table-size=0"], Expected::Echo),
    ("upload", "/upload", &["-d", "FILE"], Expected::Arrived),
    ("upload, padded", "/upload", &["-d", "FILE", "--padding=100"], Expected::Arrived),
    (
        "upload of unknown length",
        "/upload",
        &["-d", "FILE", "--no-content-length"],
        Expected::Arrived,
    ),
    ("upload with Expect", "/upload", &["-d", "FILE", "--expect-continue"], Expected::Arrived),
    (
        "upload refused before its body",
        "/refuse",
        &["-d", "FILE", "--expect-continue"],
        Expected::Refused,
    ),
    (
        "upload refused while it is sent",
        "/refuse",
        &["-d", "FILE", "-Hexpect: 100-continue"],
        Expected::Refused,
    ),
    (
        "upload with trailers",
        "/upload",
        &["-d", "FILE", "--no-content-length", "--trailer=x-sum: 42"],
        Expected::ArrivedWithTrailer,
    ),
];

/// h2load: a name, whether over TLS, and arguments.
const RUNS_OF_H2LOAD: &[(&str, bool, &[&str])] = &[
    ("h2c", false, &["-c8", "-m16"]),
    ("h2 over TLS", true, &["-c8", "-m16"]),
    ("http/1.1", false, &["-c8", "--h1"]),
    ("http/1.1 over TLS", true, &["-c8", "--h1"]),
    ("h2c, hundred streams on one connection", false, &["-c1", "-m100"]),
    ("h2c, small windows", false, &["-c4", "-m8", "-w12", "-W12"]),
];

/// All checks with both.
pub(super) fn run(stage: &Stage, tools: &Tools, report: &mut Report) {
    for (suffix, is_tls) in [("", false), (" over TLS", true)] {
        if tools.nghttp.is_none() {
            report.skip(&format!("nghttp{suffix}"), "nghttp");
            continue;
        }
        for request in REQUESTS_OF_NGHTTP {
            let name = format!("nghttp{suffix}: {}", request.0);
            report.check(&name, || nghttp(stage, is_tls, request));
        }
    }
    if tools.h2load.is_none() {
        return report.skip("h2load", "h2load");
    }
    for (name, is_tls, args) in RUNS_OF_H2LOAD {
        report.check(&format!("h2load {name}"), || h2load(stage, *is_tls, args));
    }
}

fn nghttp(stage: &Stage, is_tls: bool, request: &Request) -> anyhow::Result<()> {
    let (_, path, args, expected) = *request;
    let file = stage.path("file");
    let mut command = Command::new("nghttp");
    // It has no way to name an authority to trust; other checks verify the certificate.
    command.args(["--no-verify-peer", "--timeout=45"]);
    for arg in args {
        if *arg == "FILE" {
            command.arg(&file)
        } else {
            command.arg(arg)
        };
    }
    // A certificate is chosen, and a route found, by the name; the address is the gateway's.
    command.args(["-H", ":authority: web.test"]);
    command.arg(url(stage, is_tls, path)?);
    let ended = program::succeed(&mut command)?;
    match expected {
        Expected::File => is_same(&ended.stdout, stage.file()),
        Expected::Echo => seen(&ended.stdout).map(drop),
        Expected::Refused => is_same(&ended.stdout, b"too large\n"),
        Expected::Arrived => arrived(&ended.stdout).map(drop),
        Expected::ArrivedWithTrailer => {
            let trailers = &arrived(&ended.stdout)?["trailers"];
            ensure!(trailers["x-sum"] == "42", "the origin saw the trailers {trailers}");
            Ok(())
        }
    }
}

fn h2load(stage: &Stage, is_tls: bool, args: &[&str]) -> anyhow::Result<()> {
    let addr = stage.addr(if is_tls { "websecure" } else { "web" })?;
    let scheme = if is_tls { "https" } else { "http" };
    let mut command = Command::new("h2load");
    command.arg(format!("-n{REQUESTS}")).args(args);
    command.arg(format!("--connect-to={addr}")).arg("--connection-inactivity-timeout=30");
    command.arg(format!("{scheme}://web.test/echo"));
    let ended = program::succeed(&mut command)?;
    let text = ended.text();
    let line = |start: &str| text.lines().find(|line| line.starts_with(start)).unwrap_or_default();
    let (requests, statuses) = (line("requests:"), line("status codes:"));
    for part in [&*format!("{REQUESTS} succeeded"), " 0 failed", " 0 errored", " 0 timeout"] {
        ensure!(requests.contains(part), "not {part}: {requests} {statuses}");
    }
    ensure!(statuses.contains(&format!(" {REQUESTS} 2xx")), "{statuses}");
    Ok(())
}

fn url(stage: &Stage, is_tls: bool, path: &str) -> anyhow::Result<String> {
    let addr = stage.addr(if is_tls { "websecure" } else { "web" })?;
    let scheme = if is_tls { "https" } else { "http" };
    Ok(format!("{scheme}://{addr}{path}"))
}

/// What the origin saw.
fn seen(body: &[u8]) -> anyhow::Result<Value> {
    let start = String::from_utf8_lossy(&body[..body.len().min(80)]);
    serde_json::from_slice(body).with_context(|| format!("not an answer of the origin: {start}"))
}

fn arrived(body: &[u8]) -> anyhow::Result<Value> {
    let seen = seen(body)?;
    ensure!(seen["same"] == true, "{} of {FILE_BYTES} bytes arrived", seen["bytes"]);
    Ok(seen)
}
