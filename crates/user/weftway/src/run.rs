//! `weftway run`: adds a process to the mesh of this machine.

use std::collections::BTreeMap;
use std::os::fd::AsFd as _;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use weft_node::Name;
use weft_node::api::{Port, Run};
use weft_node::client::{Client, Notice};
use weft_node::launch::Application;
use weft_node::life::{Event, Outcome};
use weft_node::plan::Exclusions;
use weft_runtime::signal::Termination;
use weft_runtime::worker;

use crate::args::RunArgs;
use crate::folder;

/// Runs the application, and ends as it ends.
pub(crate) fn run(args: &RunArgs) -> anyhow::Result<ExitCode> {
    worker::block_on(follow(args)).context("the runtime cannot be started")?
}

async fn follow(args: &RunArgs) -> anyhow::Result<ExitCode> {
    let mut termination = Termination::listen().context("signals cannot be handled")?;
    let folder = folder::path(args.state.as_deref());
    let socket = folder.join("node.sock");
    if folder.exists() {
        // It gets the environment and the terminal.
        folder::check(&folder)?;
    }
    let client = Client::connect(&socket).await.with_context(|| {
        format!("there is no node at {}: start one with `weftway up`", socket.display())
    })?;
    let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    let mut running =
        client.run(request(args)?, stdin.as_fd(), stdout.as_fd(), stderr.as_fd()).await?;
    loop {
        tokio::select! {
            // Once: the application may end as it should; again: everything ends.
            _ = termination.next() => running.stop().await?,
            notice = running.next() => match notice? {
                Notice::Event(event) => report(&event),
                Notice::Ended(outcome) => return Ok(code(&outcome)),
            },
        }
    }
}

fn request(args: &RunArgs) -> anyhow::Result<Run> {
    let name: Name = args.name.parse()?;
    let exclude = |given: &Option<String>, flag: &str| match given {
        Some(text) => text.parse().with_context(|| format!("--{flag}")),
        None => Ok(Default::default()),
    };
    Ok(Run {
        name,
        service_account: Some(args.service_account.clone()),
        labels: args.labels.iter().cloned().collect::<BTreeMap<_, _>>(),
        ports: args.ports.iter().map(|text| port(text)).collect::<Result<_, _>>()?,
        exclusions: Exclusions {
            inbound: exclude(&args.exclude_inbound_ports, "exclude-inbound-ports")?,
            outbound: exclude(&args.exclude_outbound_ports, "exclude-outbound-ports")?,
            networks: Vec::new(),
        },
        application: application(&args.command)?,
        user: None,
        grace_ms: None,
        detach: false,
    })
}

/// The application as whoever typed the command would start it.
fn application(command: &[String]) -> anyhow::Result<Application> {
    let cwd = std::env::current_dir().context("the working directory cannot be found")?;
    let mask = rustix::process::umask(rustix::fs::Mode::empty());
    rustix::process::umask(mask);
    // The application gets the caller's environment.
    let env = std::env::vars_os();
    let text = |text: std::ffi::OsString| text.into_string().ok();
    Ok(Application {
        argv: command.to_vec(),
        env: env.filter_map(|(name, value)| Some((text(name)?, text(value)?))).collect(),
        cwd,
        umask: mask.bits(),
    })
}

/// `8080`, or `http:8080`.
fn port(text: &str) -> anyhow::Result<Port> {
    let (name, number) = text.split_once(':').unwrap_or(("", text));
    match number.parse() {
        Ok(number) if number != 0 => Ok(Port { number, name: name.to_owned(), protocol: None }),
        _ => bail!("`{text}` is no port: write 8080, or http:8080 (see --port)"),
    }
}

/// What the application prints is its own; this is said beside it.
fn report(event: &Event) {
    let text = match event {
        Event::ProxyReady => "the proxy is ready".to_owned(),
        Event::ProxyLost { reason, restart_in_ms } => format!(
            "the proxy is gone ({reason}); connections are refused until it is back, in \
             {restart_in_ms} ms or a little more"
        ),
        Event::ProxyUpgraded => "a newer proxy serves, the one before finishes".to_owned(),
        Event::ProxyNotUpgraded { reason } => format!("the proxy goes on as it was: {reason}"),
        Event::ApplicationStarted => "the application is being started".to_owned(),
        Event::ApplicationListens => "the application listens".to_owned(),
        Event::ApplicationSilent { after_ms } => format!(
            "the application does not listen on its port after {after_ms} ms: nobody is led to it \
             before it does (on 0.0.0.0 or on $WEFTWAY_ADDRESS; see --port)"
        ),
        Event::Stopping => "stopping".to_owned(),
        Event::ApplicationEnded(_) => "the application has ended, the proxy finishes".to_owned(),
    };
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "weftway: {text}");
}

fn code(outcome: &Outcome) -> ExitCode {
    match outcome {
        Outcome::Exited(exit) => ExitCode::from(u8::try_from(exit.code()).unwrap_or(1)),
        Outcome::Stopped => ExitCode::SUCCESS,
        Outcome::Failed(why) => {
            crate::print_error(&anyhow::anyhow!("{why}"));
            ExitCode::FAILURE
        }
    }
}
