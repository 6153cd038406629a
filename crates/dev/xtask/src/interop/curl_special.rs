//! What curl can do beyond the checks that are the same in each way to speak HTTP.

use std::process::Command;

use anyhow::{Context, ensure};

use super::curl::{Curl, Way};
use super::program;
use super::report::Report;
use super::stage::{PROXY_CLIENT, Stage};
use super::tools::Tools;

type Check = (&'static str, fn(&Stage) -> anyhow::Result<()>);

const CHECKS: &[Check] = &[
    ("curl: HTTP/1.0", http10),
    ("curl: an offer of h2c by Upgrade is declined", upgrade_offer),
    ("curl: no ALPN", no_alpn),
    ("curl: a PROXY header of a trusted peer", proxy_header),
    ("curl: a client certificate", client_certificate),
    ("curl: no client certificate where one is required", no_client_certificate),
    ("curl: an untrusted authority", untrusted),
];

/// Runs them.
pub(super) fn run(stage: &Stage, tools: &Tools, report: &mut Report) {
    if tools.curl.is_none() {
        return report.skip("curl", "curl");
    }
    for (name, check) in CHECKS {
        report.check(name, || check(stage));
    }
}

fn plain<'a>(stage: &'a Stage, flags: &'static [&'static str], version: &'static str) -> Curl<'a> {
    Curl { stage, way: Way { name: "plain", flags, is_tls: false, version }, host: "web.test" }
}

fn secure<'a>(stage: &'a Stage, flags: &'static [&'static str], version: &'static str) -> Curl<'a> {
    Curl { stage, way: Way { name: "secure", flags, is_tls: true, version }, host: "web.test" }
}

/// An answer in chunks must come without them, and end with the connection.
fn http10(stage: &Stage) -> anyhow::Result<()> {
    let curl = plain(stage, &["--http1.0"], "1.1");
    for (path, body) in [("/trailers", "one two three\n"), ("/release?http10", "released\n")] {
        let answer = curl.send(path, &[])?;
        let status = answer.number("http_code")?;
        ensure!(status == 200, "status {status}");
        ensure!(answer.header("transfer-encoding").is_none(), "chunks for HTTP/1.0");
        ensure!(answer.body == body.as_bytes(), "{:?}", String::from_utf8_lossy(&answer.body));
    }
    Ok(())
}

/// RFC 9113 no longer has that upgrade; the request is answered as it is.
fn upgrade_offer(stage: &Stage) -> anyhow::Result<()> {
    let seen = plain(stage, &["--http2"], "1.1").expect("/echo", &[], 200)?.seen()?;
    let headers = &seen["headers"];
    ensure!(headers.get("http2-settings").is_none(), "the origin saw {headers}");
    ensure!(headers.get("upgrade").is_none(), "the origin saw {headers}");
    Ok(())
}

fn no_alpn(stage: &Stage) -> anyhow::Result<()> {
    secure(stage, &["--no-alpn"], "1.1").expect("/echo", &[], 200).map(drop)
}

fn proxy_header(stage: &Stage) -> anyhow::Result<()> {
    let flags = &["--http1.1", "--haproxy-protocol", "--interface", PROXY_CLIENT];
    let seen = plain(stage, flags, "1.1").expect("/echo", &[], 200)?.seen()?;
    let client = &seen["headers"]["x-forwarded-for"];
    ensure!(*client == PROXY_CLIENT, "the origin saw the client {client}");
    Ok(())
}

fn client_certificate(stage: &Stage) -> anyhow::Result<()> {
    for (flags, version) in [(&["--http1.1"], "1.1"), (&["--http2"], "2")] {
        let curl = Curl { host: "clients.test", ..secure(stage, flags, version) };
        let (chain, key) = (stage.path("client.pem"), stage.path("client.key"));
        let chain = chain.to_str().context("the temporary folder is not UTF-8")?;
        let key = key.to_str().context("the temporary folder is not UTF-8")?;
        curl.expect("/echo", &["--cert", chain, "--key", key], 200)?;
    }
    Ok(())
}

/// The handshake fails, in TLS 1.3 after the client believes it done.
fn no_client_certificate(stage: &Stage) -> anyhow::Result<()> {
    for version in [&["--tls-max", "1.2"], &["--tls-max", "1.3"]] {
        let curl = Curl { host: "clients.test", ..secure(stage, &["--http1.1"], "1.1") };
        let mut command = curl.command()?;
        let ended = program::run(command.args(version).arg(curl.url("/echo")?))?;
        ensure!(!ended.status.success(), "it was served with {version:?}: {}", ended.text());
    }
    Ok(())
}

/// curl does not know the authority, so it must not get through; the gateway goes on.
fn untrusted(stage: &Stage) -> anyhow::Result<()> {
    let url = secure(stage, &[], "2").url("/echo")?;
    let addr = stage.addr("websecure")?;
    let mut command = Command::new("curl");
    command.args(["-q", "--silent", "--show-error", "--noproxy", "*", "--max-time", "45"]);
    command.arg("--resolve").arg(format!("web.test:{}:{}", addr.port(), addr.ip())).arg(url);
    let ended = program::run(&mut command)?;
    // 60: the peer's certificate is not trusted.
    ensure!(ended.status.code() == Some(60), "curl ended with {}: {}", ended.status, ended.said());
    secure(stage, &["--http2"], "2").expect("/echo", &[], 200).map(drop)
}
