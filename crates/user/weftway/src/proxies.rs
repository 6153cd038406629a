//! `weftway proxies`: what each proxy has of the configuration, and newer ones in their place.

#[cfg(test)]
mod tests;
mod upgrade;

use std::process::ExitCode;

use anyhow::Context as _;
use weft_admin_api::ProxiesView;
use weft_admin_api::proxies::ProxyView;
use weft_runtime::worker;

use crate::args::{ListFormat, ProxiesArgs, ProxiesCommand};
use crate::print_line;
use crate::status::StatusClient;
use crate::table::{span, table};

/// Prints the list, or does what is asked for.
pub(crate) fn run(args: &ProxiesArgs) -> anyhow::Result<ExitCode> {
    if let Some(ProxiesCommand::Upgrade(upgrade)) = &args.command {
        return upgrade::run(&args.asked, upgrade);
    }
    let client = StatusClient::new(args.asked.state.as_deref());
    let view = worker::block_on(client.show::<ProxiesView>("/proxies"))
        .context("the runtime cannot be started")??;
    match args.asked.output {
        ListFormat::Table => print_line(&render(&view)),
        ListFormat::Json => print_line(&serde_json::to_string_pretty(&view)?),
    }
    Ok(ExitCode::SUCCESS)
}

fn render(view: &ProxiesView) -> String {
    let header = ["WORKLOAD", "STATE", "SINCE", "VERSION", "SENT", "IN FORCE", "SERVICES", "FROM"];
    let row = |proxy: &ProxyView| {
        [
            proxy.workload.clone(),
            if proxy.is_connected { "connected" } else { "gone" }.to_owned(),
            span(proxy.since_secs),
            proxy.product_version.clone(),
            proxy.sent.to_string(),
            proxy.in_force.to_string(),
            proxy.services.to_string(),
            proxy.peer.clone(),
        ]
    };
    let mut text = table(header, view.proxies.iter().map(row));
    for proxy in &view.proxies {
        for rejected in &proxy.rejected {
            let (workload, kind, name) = (&proxy.workload, &rejected.kind, &rejected.name);
            text += &format!("\n{workload} does not take the {kind} {name}: {}", rejected.reason);
        }
    }
    let ProxiesView { generation, in_force, connected, .. } = view;
    let plural = if *connected == 1 { "proxy" } else { "proxies" };
    text + &format!("\n\ngeneration {generation} in force on {in_force} of {connected} {plural}")
}
