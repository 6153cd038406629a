//! An application that takes its identity from the Workload API by the library of SPIFFE, as a
//! workload of a mesh on loopback addresses.

use std::path::Path;
use std::process::Command;

use anyhow::{bail, ensure};

use super::program::{self, Running, Server, wait_for};
use super::python::outcomes;
use super::report::Report;
use super::stage::Stage;
use super::tools::Tools;
use crate::run::root;

const GROUP: &str = "spiffe";

/// Runs the application, and rotates the root while it waits for that.
pub(super) fn run(stage: &Stage, tools: &Tools, report: &mut Report) {
    if !report.wants_some_of(GROUP) {
        return;
    }
    if tools.go.is_none() {
        return report.skip(GROUP, "go");
    }
    let folder = stage.path("spiffe");
    let client = stage.path("spiffe-client");
    let built = std::fs::create_dir_all(&folder).map_err(anyhow::Error::from).and_then(|()| {
        let mut command = Command::new("go");
        command.current_dir(root().join("tests/interop/spiffe")).args(["build", "-o"]);
        program::succeed(command.arg(&client).arg("."))
    });
    if let Err(error) = built {
        return report.skip(GROUP, &format!("the Go module go-spiffe ({error:#})"));
    }
    match observe(stage.binary(), &folder, &client) {
        Ok(text) => {
            for (name, outcome) in outcomes(&text) {
                let name = format!("{GROUP}: {name}");
                if report.wants(&name) {
                    report.record(&name, outcome);
                }
            }
        }
        Err(error) => report.record(GROUP, Err(format!("{error:#}"))),
    }
}

/// What the application says of its checks.
fn observe(binary: &Path, folder: &Path, client: &Path) -> anyhow::Result<String> {
    let mut command = Command::new(binary);
    command.args(["up", "--loopback", "--admin", "off", "--state"]).arg(folder);
    let mesh = Server::start(&mut command, &folder.join("out"), &folder.join("log"))?;
    wait_for("the mesh", || Ok(folder.join("node.sock").exists().then_some(())))?;
    let rotate = folder.join("rotate");
    let mut command = Command::new(binary);
    command.args(["run", "shop/app", "--service-account", "app", "--state"]).arg(folder);
    command.arg("--").arg(client).args(["-id", "spiffe://cluster.local/ns/shop/sa/app", "-ready"]);
    let mut application = Running::start(command.arg(&rotate))?;
    wait_for("the application to wait for a rotation", || {
        if !application.is_running() {
            return Ok(Some(()));
        }
        Ok(rotate.exists().then_some(()))
    })?;
    if rotate.exists() {
        let mut command = Command::new(binary);
        program::succeed(command.args(["certs", "rotate", "--state"]).arg(folder))?;
    }
    let ended = application.wait()?;
    ensure!(mesh.terminate()?.success(), "the mesh has not ended in order");
    let text = ended.text();
    if outcomes(&text).is_empty() {
        bail!("the application ended with {}: {}", ended.status, ended.said());
    }
    Ok(text)
}
