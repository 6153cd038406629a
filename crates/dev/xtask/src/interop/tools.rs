//! The clients that are installed.

use std::process::Command;

use super::program;

/// What was found. Names of programs are looked up in `PATH`.
#[derive(Debug)]
pub(super) struct Tools {
    pub(super) curl: Option<String>,
    /// Whether curl was built with HTTP/2.
    pub(super) curl_has_http2: bool,
    /// curl 7 has faults in HTTP/2 that are seen with every server.
    pub(super) curl_is_7: bool,
    pub(super) nghttp: Option<String>,
    pub(super) h2load: Option<String>,
    pub(super) openssl: Option<String>,
    pub(super) python: Option<String>,
    /// The version of the wheel grpcio.
    pub(super) grpcio: Option<String>,
    pub(super) go: Option<String>,
}

// === impl Tools ===

impl Tools {
    pub(super) fn find() -> Self {
        let curl = first_line("curl", &["--version"]);
        let curl_is_7 = curl.as_deref().is_some_and(|version| version.starts_with("curl 7."));
        let features = program::run(Command::new("curl").arg("--version"));
        Self {
            curl,
            curl_has_http2: features.is_ok_and(|ended| ended.text().contains("HTTP2")),
            curl_is_7,
            nghttp: first_line("nghttp", &["--version"]),
            h2load: first_line("h2load", &["--version"]),
            openssl: first_line("openssl", &["version"]),
            python: first_line("python3", &["--version"]),
            grpcio: first_line(
                "python3",
                &["-c", "import grpc; print('grpcio', grpc.__version__)"],
            ),
            go: first_line("go", &["version"]),
        }
    }

    /// What must be there for any check: OpenSSL makes the certificates, Python runs the origins.
    pub(super) fn missing_for_stage(&self) -> Vec<&'static str> {
        let mut missing = Vec::new();
        if self.openssl.is_none() {
            missing.push("openssl");
        }
        if self.python.is_none() {
            missing.push("python3");
        }
        missing
    }

    pub(super) fn print_versions(&self) {
        let Self { curl, nghttp, h2load, openssl, python, grpcio, go, .. } = self;
        for version in [curl, nghttp, h2load, openssl, python, grpcio, go].into_iter().flatten() {
            println!("with {version}");
        }
    }
}

/// The first line that a program prints, if it is there and succeeds.
fn first_line(name: &str, args: &[&str]) -> Option<String> {
    let ended = program::run(Command::new(name).args(args)).ok()?;
    let text = ended.text();
    ended.status.success().then(|| text.lines().next().unwrap_or(name).to_owned())
}
