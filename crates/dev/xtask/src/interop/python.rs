//! The clients in Python: WebSocket on plain sockets, gRPC with the wheel grpcio.

use std::path::Path;
use std::process::Command;

use super::program;
use super::report::Report;
use super::stage::Stage;
use super::tools::Tools;
use crate::run::root;

/// A script of `tests/interop`.
pub(super) fn command(script: &str) -> Command {
    let mut command = Command::new("python3");
    command.arg(root().join("tests/interop").join(script)).env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// A WebSocket echo, plain and over TLS.
pub(super) fn websocket(stage: &Stage, _tools: &Tools, report: &mut Report) {
    for (name, listener, is_tls) in
        [("websocket", "web", false), ("websocket over TLS", "websecure", true)]
    {
        run(
            stage,
            report,
            name,
            "websocket_client.py",
            Target { listener, host: "web.test", is_tls },
        );
    }
}

/// gRPC through an IngressRoute with `scheme: h2c`, and through a GRPCRoute.
pub(super) fn grpc(stage: &Stage, tools: &Tools, report: &mut Report) {
    for (name, listener, is_tls) in [
        ("grpc by IngressRoute", "web", false),
        ("grpc by IngressRoute over TLS", "websecure", true),
        ("grpc by GRPCRoute", "gateway/default/edge:80", false),
        ("grpc by GRPCRoute over TLS", "gateway/default/edge:443", true),
    ] {
        if tools.grpcio.is_none() {
            report.skip(name, "the wheel grpcio");
            continue;
        }
        run(stage, report, name, "grpc_client.py", Target { listener, host: "grpc.test", is_tls });
    }
}

/// What a client connects to.
struct Target<'a> {
    listener: &'a str,
    host: &'a str,
    is_tls: bool,
}

/// Runs a script, which tells the outcome of its checks in lines, and adds them to the report.
fn run(stage: &Stage, report: &mut Report, group: &str, script: &str, target: Target<'_>) {
    if !report.wants_some_of(group) {
        return;
    }
    let outcome = stage.addr(target.listener).and_then(|addr| {
        let mut command = command(script);
        command.arg("--address").arg(addr.to_string()).arg("--host").arg(target.host);
        if target.is_tls {
            command.arg("--ca").arg(stage.authority());
        }
        program::run(&mut command)
    });
    let ended = match outcome {
        Ok(ended) => ended,
        Err(error) => return report.record(group, Err(format!("{error:#}"))),
    };
    let text = ended.text();
    let outcomes = outcomes(&text);
    let has_failed = outcomes.iter().any(|(_, outcome)| outcome.is_err());
    // A script that dies says nothing of the checks it did not reach.
    if outcomes.is_empty() || (!ended.status.success() && !has_failed) {
        let script = Path::new(script).display();
        report
            .record(group, Err(format!("{script} ended with {}: {}", ended.status, ended.said())));
    }
    for (name, outcome) in outcomes {
        let name = format!("{group}: {name}");
        if report.wants(&name) {
            report.record(&name, outcome);
        }
    }
}

/// Lines `ok<TAB>name` and `FAIL<TAB>name<TAB>what`; others are not for us.
pub(super) fn outcomes(text: &str) -> Vec<(&str, Result<(), String>)> {
    let outcome = |line| {
        let line: &str = line;
        let mut parts = line.splitn(3, '\t');
        match (parts.next()?, parts.next()?, parts.next()) {
            ("ok", name, None) => Some((name, Ok(()))),
            ("FAIL", name, what) => Some((name, Err(what.unwrap_or_default().to_owned()))),
            _ => None,
        }
    };
    text.lines().filter_map(outcome).collect()
}
