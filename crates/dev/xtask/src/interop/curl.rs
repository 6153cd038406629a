//! curl, with the same checks in each way to speak HTTP.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use super::program::{self, Running};
use super::report::Report;
use super::stage::{FILE_BYTES, Stage};
use super::tools::Tools;

/// One way to speak HTTP.
#[derive(Debug, Clone, Copy)]
pub(super) struct Way {
    pub(super) name: &'static str,
    pub(super) flags: &'static [&'static str],
    pub(super) is_tls: bool,
    /// What curl calls the version of the answer.
    pub(super) version: &'static str,
}

const WAYS: &[Way] = &[
    Way { name: "http/1.1", flags: &["--http1.1"], is_tls: false, version: "1.1" },
    Way { name: "h2c", flags: &["--http2-prior-knowledge"], is_tls: false, version: "2" },
    Way { name: "http/1.1 over TLS", flags: &["--http1.1"], is_tls: true, version: "1.1" },
    Way { name: "h2 over TLS", flags: &["--http2"], is_tls: true, version: "2" },
];

/// What curl 7 gets wrong in HTTP/2 with nginx and HAProxy as well; curl 8 is right. The clients of
/// nghttp2 check the same.
const FAULTS_OF_CURL_7: &[(&str, &str, &str)] = &[
    ("h2c", REUSE, "it forgets what it speaks after the first request"),
    ("h2c", REFUSED_UPLOAD, "it drops an answer that ends before the body was sent"),
    ("h2 over TLS", REFUSED_UPLOAD, "it drops an answer that ends before the body was sent"),
];

const REUSE: &str = "connection is used again";
const REFUSED_UPLOAD: &str = "upload refused before its body";

type Check = (&'static str, fn(&Curl<'_>) -> anyhow::Result<()>);

const CHECKS: &[Check] = &[
    ("small body", small_body),
    ("large download", large_download),
    ("HEAD", head),
    ("range", range),
    ("compressed", compressed),
    ("upload with Expect: 100-continue", |curl| upload(curl, "Expect: 100-continue")),
    ("upload without Expect", |curl| upload(curl, "Expect:")),
    ("upload of unknown length", upload_of_unknown_length),
    (REFUSED_UPLOAD, refused_upload),
    (REUSE, connection_is_used_again),
    ("trailers", trailers),
    ("events are not held back", events),
    ("fifty at once", fifty_at_once),
];

/// Runs curl in one way.
#[derive(Debug)]
pub(super) struct Curl<'a> {
    pub(super) stage: &'a Stage,
    pub(super) way: Way,
    pub(super) host: &'static str,
}

/// What curl got.
#[derive(Debug)]
pub(super) struct Answer {
    /// What curl says of each transfer.
    facts: Vec<Value>,
    /// All heads, as received.
    heads: String,
    pub(super) body: Vec<u8>,
}

/// All checks in all ways.
pub(super) fn run(stage: &Stage, tools: &Tools, report: &mut Report) {
    for way in WAYS {
        let group = format!("curl {}", way.name);
        if tools.curl.is_none() {
            report.skip(&group, "curl");
            continue;
        }
        if way.version == "2" && !tools.curl_has_http2 {
            report.skip(&group, "curl with HTTP/2");
            continue;
        }
        let curl = Curl { stage, way: *way, host: "web.test" };
        for (name, check) in CHECKS {
            let name_in_full = format!("{group}: {name}");
            let fault =
                FAULTS_OF_CURL_7.iter().find(|fault| (fault.0, fault.1) == (way.name, name));
            match fault {
                Some((_, _, why)) if tools.curl_is_7 => {
                    report.leave_out(&name_in_full, "curl 7", why)
                }
                _ => report.check(&name_in_full, || check(&curl)),
            }
        }
    }
}

// === impl Curl ===

impl Curl<'_> {
    /// A command that sends to the gateway whatever the environment and a `.curlrc` say.
    pub(super) fn command(&self) -> anyhow::Result<Command> {
        let addr = self.addr()?;
        let mut command = Command::new("curl");
        command.args(["-q", "--silent", "--show-error", "--noproxy", "*", "--max-time", "45"]);
        command.arg("--resolve").arg(format!("{}:{}:{}", self.host, addr.port(), addr.ip()));
        command.args(self.way.flags);
        if self.way.is_tls {
            command.arg("--cacert").arg(self.stage.authority());
        }
        Ok(command)
    }

    /// The URL of a path.
    pub(super) fn url(&self, path: &str) -> anyhow::Result<String> {
        let scheme = if self.way.is_tls { "https" } else { "http" };
        Ok(format!("{scheme}://{}:{}{path}", self.host, self.addr()?.port()))
    }

    /// Sends one request.
    pub(super) fn send(&self, path: &str, args: &[&str]) -> anyhow::Result<Answer> {
        self.send_all(&[path], args)
    }

    /// Sends requests one after the other; the body of the answer is the last one's.
    fn send_all(&self, paths: &[&str], args: &[&str]) -> anyhow::Result<Answer> {
        let heads = self.stage.path("heads");
        let mut command = self.command()?;
        command.args(args).arg("--write-out").arg("%{stderr}%{json}\\n");
        command.arg("--dump-header").arg(&heads);
        let mut body = PathBuf::new();
        for (index, path) in paths.iter().enumerate() {
            body = self.stage.path(&format!("body{index}"));
            // curl makes no file for an answer without a body.
            std::fs::write(&body, b"")?;
            command.arg("--output").arg(&body).arg(self.url(path)?);
        }
        let ended = Running::feed(&mut command, &self.stage.path("file"))?.wait()?;
        let facts = ended.stderr.lines().filter_map(|line| serde_json::from_str(line).ok());
        let answer = Answer {
            facts: facts.collect(),
            heads: std::fs::read_to_string(&heads).unwrap_or_default(),
            body: std::fs::read(&body)?,
        };
        if !ended.status.success() {
            let complaints: Vec<&str> =
                ended.stderr.lines().filter(|line| !line.starts_with('{')).collect();
            bail!("curl ended with {}: {}", ended.status, complaints.join(" "));
        }
        ensure!(answer.facts.len() == paths.len(), "curl reports {} answers", answer.facts.len());
        Ok(answer)
    }

    /// Sends one request that must be answered with that status, in this way's version.
    pub(super) fn expect(&self, path: &str, args: &[&str], status: u64) -> anyhow::Result<Answer> {
        let answer = self.send(path, args)?;
        let (found, version) = (answer.number("http_code")?, answer.fact("http_version")?);
        ensure!(found == status, "status {found} instead of {status}: {}", answer.start());
        let expected = self.way.version;
        ensure!(version == expected, "HTTP version {version} instead of {expected}");
        Ok(answer)
    }

    fn addr(&self) -> anyhow::Result<std::net::SocketAddr> {
        self.stage.addr(if self.way.is_tls { "websecure" } else { "web" })
    }
}

// === impl Answer ===

impl Answer {
    /// What curl says of the last transfer, as a number.
    pub(super) fn number(&self, name: &str) -> anyhow::Result<u64> {
        let fact = self.fact(name)?;
        fact.as_u64().with_context(|| format!("curl says {name}: {fact}"))
    }

    fn fact(&self, name: &str) -> anyhow::Result<&Value> {
        let fact = self.facts.last().and_then(|facts| facts.get(name));
        fact.with_context(|| format!("curl says nothing of {name}"))
    }

    /// The number of connections that all transfers made.
    fn connections(&self) -> u64 {
        self.facts.iter().filter_map(|facts| facts["num_connects"].as_u64()).sum()
    }

    /// A field of the last head, or of the trailers after it. `name` is in lower case.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let start = self.heads.rfind("HTTP/").unwrap_or(0);
        self.heads[start..].lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// The body as JSON: what the origin saw.
    pub(super) fn seen(&self) -> anyhow::Result<Value> {
        serde_json::from_slice(&self.body).with_context(|| format!("not JSON: {}", self.start()))
    }

    fn start(&self) -> String {
        let start = &self.body[..self.body.len().min(80)];
        String::from_utf8_lossy(start).trim().to_owned()
    }
}

fn small_body(curl: &Curl<'_>) -> anyhow::Result<()> {
    let seen = curl.expect("/echo?a=b%20c", &["--header", "X-Marker: here"], 200)?.seen()?;
    let scheme = if curl.way.is_tls { "https" } else { "http" };
    let headers = &seen["headers"];
    ensure!(seen["target"] == "/echo?a=b%20c", "the origin saw {}", seen["target"]);
    ensure!(headers["x-marker"] == "here", "the origin saw {headers}");
    ensure!(headers["x-forwarded-proto"] == scheme, "the origin saw {headers}");
    let host = headers["host"].as_str().unwrap_or_default();
    ensure!(host.split(':').next() == Some("web.test"), "the origin saw the host {host}");
    Ok(())
}

fn large_download(curl: &Curl<'_>) -> anyhow::Result<()> {
    let answer = curl.expect("/file", &[], 200)?;
    ensure!(answer.header("content-length") == Some(&FILE_BYTES.to_string()), "Content-Length");
    is_same(&answer.body, curl.stage.file())
}

fn head(curl: &Curl<'_>) -> anyhow::Result<()> {
    let answer = curl.expect("/file", &["--head"], 200)?;
    let length = answer.header("content-length");
    ensure!(length == Some(&FILE_BYTES.to_string()), "Content-Length is {length:?}");
    ensure!(answer.number("size_download")? == 0, "there is a body");
    Ok(())
}

fn range(curl: &Curl<'_>) -> anyhow::Result<()> {
    let (first, last) = (1_000_000, 3_000_000);
    let answer = curl.expect("/file", &["--range", &format!("{first}-{last}")], 206)?;
    let expected = format!("bytes {first}-{last}/{FILE_BYTES}");
    let found = answer.header("content-range");
    ensure!(found == Some(&expected), "Content-Range is {found:?}");
    is_same(&answer.body, &curl.stage.file()[first..=last])
}

fn compressed(curl: &Curl<'_>) -> anyhow::Result<()> {
    let plain = curl.expect("/compressed/text", &[], 200)?;
    ensure!(plain.header("content-encoding").is_none(), "compressed though nobody asked");
    for encoding in ["gzip", "br", "zstd"] {
        // This value wins over the one that --compressed would send.
        let accept = format!("Accept-Encoding: {encoding}");
        let answer =
            curl.expect("/compressed/text", &["--compressed", "--header", &accept], 200)?;
        let found = answer.header("content-encoding");
        ensure!(found == Some(encoding), "Content-Encoding is {found:?}, {encoding} was asked for");
        is_same(&answer.body, &plain.body)?;
        let (sent, size) = (answer.number("size_download")?, plain.body.len() as u64);
        ensure!(sent < size / 4, "{sent} bytes were sent for {size}");
    }
    Ok(())
}

fn upload(curl: &Curl<'_>, expect: &str) -> anyhow::Result<()> {
    let file = curl.stage.path("file");
    let file = file.to_str().context("the temporary folder is not UTF-8")?;
    let answer = curl.expect("/upload", &["--upload-file", file, "--header", expect], 200)?;
    arrived(&answer)?;
    let length = &answer.seen()?["headers"]["content-length"];
    ensure!(
        length.as_str() == Some(&FILE_BYTES.to_string()),
        "the origin saw Content-Length {length}"
    );
    Ok(())
}

fn upload_of_unknown_length(curl: &Curl<'_>) -> anyhow::Result<()> {
    arrived(&curl.expect("/upload", &["--upload-file", "-"], 200)?)
}

/// The origin's refusal reaches a client that waits for 100 before it sends anything.
fn refused_upload(curl: &Curl<'_>) -> anyhow::Result<()> {
    let file = curl.stage.path("file");
    let file = file.to_str().context("the temporary folder is not UTF-8")?;
    let args =
        ["--upload-file", file, "--header", "Expect: 100-continue", "--expect100-timeout", "20"];
    let answer = curl.expect("/refuse", &args, 413)?;
    ensure!(answer.body == b"too large\n", "another answer: {}", answer.start());
    // In HTTP/2 not every release of curl waits.
    if curl.way.version == "1.1" {
        let sent = answer.number("size_upload")?;
        ensure!(sent == 0, "{sent} bytes were sent");
    }
    Ok(())
}

/// Answers without a body are framed so that the connection goes on.
fn connection_is_used_again(curl: &Curl<'_>) -> anyhow::Result<()> {
    let paths = ["/echo", "/status/204", "/status/304", "/status/404", "/echo"];
    let answer = curl.send_all(&paths, &[])?;
    let status = answer.number("http_code")?;
    ensure!(status == 200, "status {status} of the last");
    let connections = answer.connections();
    ensure!(connections == 1, "{connections} connections for {} requests", paths.len());
    Ok(())
}

fn trailers(curl: &Curl<'_>) -> anyhow::Result<()> {
    let answer = curl.expect("/trailers", &["--header", "TE: trailers"], 200)?;
    is_same(&answer.body, b"one two three\n")?;
    for (name, value) in [("x-sum", "42"), ("x-count", "3")] {
        let found = answer.header(name);
        ensure!(found == Some(value), "{name} is {found:?}");
    }
    Ok(())
}

/// The second event is sent only after the first has been seen.
fn events(curl: &Curl<'_>) -> anyhow::Result<()> {
    let key = curl.way.name.replace([' ', '/'], "-");
    let output = curl.stage.path("events");
    std::fs::write(&output, b"")?;
    let mut command = curl.command()?;
    command
        .arg("--no-buffer")
        .arg("--output")
        .arg(&output)
        .arg(curl.url(&format!("/events?{key}"))?);
    let mut running = Running::start(&mut command)?;
    let first = b"data: first\n\n";
    program::wait_for("the first event", || {
        ensure!(running.is_running(), "curl has ended");
        Ok((std::fs::read(&output)? == first).then_some(()))
    })?;
    curl.expect(&format!("/release?{key}"), &[], 200)?;
    let ended = running.wait()?;
    ensure!(ended.status.success(), "curl ended with {}: {}", ended.status, ended.said());
    is_same(&std::fs::read(&output)?, b"data: first\n\ndata: second\n\n")
}

fn fifty_at_once(curl: &Curl<'_>) -> anyhow::Result<()> {
    let mut command = curl.command()?;
    command.args(["--parallel", "--parallel-immediate", "--parallel-max", "50"]);
    command.args(["--fail", "--write-out", "%{http_code} %{size_download}\\n"]);
    command.arg("--output").arg(curl.stage.path("part#1")).arg(curl.url("/file?[1-50]")?);
    command.args(["--range", "0-99999"]);
    let ended = program::succeed(&mut command)?;
    let text = ended.text();
    let good = text.lines().filter(|line| *line == "206 100000").count();
    ensure!(good == 50, "{good} of 50 answers are right: {}", ended.said());
    for index in 1..=50 {
        let path = curl.stage.path(&format!("part{index}"));
        is_same(&std::fs::read(&path)?, &curl.stage.file()[..100_000])?;
    }
    Ok(())
}

/// What the origin says of an upload.
fn arrived(answer: &Answer) -> anyhow::Result<()> {
    let seen = answer.seen()?;
    ensure!(seen["same"] == true, "{} bytes arrived, not the same", seen["bytes"]);
    Ok(())
}

/// Without printing megabytes.
pub(super) fn is_same(found: &[u8], expected: &[u8]) -> anyhow::Result<()> {
    if found == expected {
        return Ok(());
    }
    let at = found.iter().zip(expected).take_while(|(a, b)| a == b).count();
    bail!("{} bytes instead of {}, different from byte {at} on", found.len(), expected.len())
}
