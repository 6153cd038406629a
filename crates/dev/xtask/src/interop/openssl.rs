//! `openssl s_client`: versions, names, ALPN and resumption of TLS.

use std::path::Path;
use std::process::Command;

use anyhow::ensure;

use super::program::{Ended, Running};
use super::report::Report;
use super::stage::Stage;
use super::tools::Tools;

const GET: &str = "GET /echo HTTP/1.1\r\nHost: web.test\r\nConnection: close\r\n\r\n";

/// Checks that are the same in both versions: a name, the option and the name that is printed.
const VERSIONS: &[(&str, &str, &str)] =
    &[("TLS 1.2", "-tls1_2", "TLSv1.2"), ("TLS 1.3", "-tls1_3", "TLSv1.3")];

/// All checks with OpenSSL.
pub(super) fn run(stage: &Stage, _tools: &Tools, report: &mut Report) {
    for (name, option, version) in VERSIONS {
        report.check(&format!("openssl {name}: a verified request"), || {
            verified(stage, option, version)
        });
        report.check(&format!("openssl {name}: ALPN"), || alpn(stage, option));
        report.check(&format!("openssl {name}: a session is resumed"), || resumed(stage, option));
    }
    report.check("openssl: TLS 1.1 is refused", || refused(stage));
    report.check("openssl: a key share that is not ours is asked for again", || retry(stage));
}

/// Connects with the server name, sends a request, and waits for the server to close.
fn client(stage: &Stage, args: &[&str]) -> anyhow::Result<Ended> {
    let request = stage.path("request");
    std::fs::write(&request, GET)?;
    let mut command = Command::new("openssl");
    command.args(["s_client", "-ign_eof", "-connect", &stage.addr("websecure")?.to_string()]);
    command.args(["-servername", "web.test", "-verify_hostname", "web.test"]);
    command.arg("-verify_return_error").arg("-CAfile").arg(stage.authority()).args(args);
    Running::feed(&mut command, &request)?.wait()
}

fn verified(stage: &Stage, option: &str, version: &str) -> anyhow::Result<()> {
    let ended = client(stage, &[option])?;
    let text = ended.text();
    ensure!(text.contains("Verify return code: 0 (ok)"), "not verified: {}", ended.said());
    ensure!(
        text.contains(&format!("New, {version}, Cipher is")),
        "not {version}: {}",
        ended.said()
    );
    ensure!(text.contains("HTTP/1.1 200"), "no answer: {}", ended.said());
    // The end of the connection is told, so that nobody can cut it off unseen.
    ensure!(!ended.stderr.contains("unexpected eof"), "no close_notify: {}", ended.stderr);
    Ok(())
}

fn alpn(stage: &Stage, option: &str) -> anyhow::Result<()> {
    for (offer, expected) in [
        ("http/1.1", "ALPN protocol: http/1.1"),
        ("http/1.1,h2", "ALPN protocol: h2"),
        ("h2,http/1.1", "ALPN protocol: h2"),
    ] {
        // The request is not HTTP/2, so with h2 the server closes; what was agreed is printed.
        let ended = client(stage, &[option, "-alpn", offer])?;
        ensure!(ended.text().contains(expected), "{offer} led to: {}", ended.said());
    }
    let ended = client(stage, &[option])?;
    ensure!(ended.text().contains("No ALPN negotiated"), "without an offer: {}", ended.said());
    Ok(())
}

fn resumed(stage: &Stage, option: &str) -> anyhow::Result<()> {
    let session = stage.path("session");
    let _ = std::fs::remove_file(&session);
    let path = |path: &Path| path.to_string_lossy().into_owned();
    client(stage, &[option, "-sess_out", &path(&session)])?;
    ensure!(session.is_file(), "no session was handed out");
    let ended = client(stage, &[option, "-sess_in", &path(&session)])?;
    let text = ended.text();
    ensure!(text.contains("Reused, "), "a new session: {}", ended.said());
    ensure!(text.contains("HTTP/1.1 200"), "no answer: {}", ended.said());
    Ok(())
}

fn refused(stage: &Stage) -> anyhow::Result<()> {
    // Without the lower security level OpenSSL 3 would not even try.
    let ended = client(stage, &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"])?;
    ensure!(!ended.status.success(), "it was accepted: {}", ended.said());
    ensure!(ended.stderr.contains("alert"), "not told why: {}", ended.said());
    Ok(())
}

/// The first key share of the client is of a group that the server may not take.
fn retry(stage: &Stage) -> anyhow::Result<()> {
    let ended = client(stage, &["-tls1_3", "-groups", "X448:P-384:P-256"])?;
    ensure!(ended.text().contains("HTTP/1.1 200"), "no answer: {}", ended.said());
    Ok(())
}
