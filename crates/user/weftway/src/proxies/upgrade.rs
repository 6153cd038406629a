//! `weftway proxies upgrade`: one proxy after the other is replaced in place.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use weft_node::Name;
use weft_node::client::{Client, ClientError};
use weft_runtime::worker;

use crate::args::{AskedArgs, UpgradeArgs};
use crate::{folder, print_line};

/// Upgrades; the exit code is 1 when a proxy goes on as it was.
pub(super) fn run(asked: &AskedArgs, args: &UpgradeArgs) -> anyhow::Result<ExitCode> {
    worker::block_on(upgrade(asked, args)).context("the runtime cannot be started")?
}

async fn upgrade(asked: &AskedArgs, args: &UpgradeArgs) -> anyhow::Result<ExitCode> {
    let program = program(args)?;
    let state = folder::path(asked.state.as_deref());
    let mut node = Client::connect(&state.join("node.sock")).await?;
    let chosen = chosen(&mut node, &args.names).await?;
    let mut failed = 0;
    for name in &chosen {
        match node.upgrade(name.clone(), &program).await {
            Ok(()) => print_line(&format!(
                "{name}: the newer proxy serves; the one before finishes what it has"
            )),
            Err(ClientError::Refused(refusal)) => {
                failed += 1;
                let log = state.join("logs").join(format!("{}.log", name.handle()));
                let log = log.display();
                print_line(&format!("{name}: the proxy goes on as it was: {refusal} (see {log})"));
            }
            Err(error) => return Err(error.into()),
        }
    }
    if failed > 0 {
        let all = chosen.len();
        bail!("{failed} of {all} proxies could not be upgraded");
    }
    if args.names.is_empty() {
        node.set_program(&program).await?;
        print_line(&format!("proxies that are started later run {}, too", program.display()));
    }
    Ok(ExitCode::SUCCESS)
}

/// From the root on, as the node takes it.
fn program(args: &UpgradeArgs) -> anyhow::Result<PathBuf> {
    match &args.program {
        Some(path) => {
            std::path::absolute(path).with_context(|| format!("{} (see --program)", path.display()))
        }
        None => std::env::current_exe().context("this program's own file is not known"),
    }
}

/// The named workloads, or all that there are.
async fn chosen(node: &mut Client, names: &[String]) -> anyhow::Result<Vec<Name>> {
    if names.is_empty() {
        let all = node.list().await?;
        return Ok(all.into_iter().map(|workload| workload.name).collect());
    }
    names.iter().map(|name| name.parse().with_context(|| format!("`{name}`"))).collect()
}
