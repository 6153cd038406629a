//! `weftway demo`: everything, on sample services, on a laptop.
//!
//! It writes the files of examples/demo to a folder, starts sample services in this process and a
//! gateway as a process of its own, sends requests and shows what came back.

mod client;
mod services;
mod tour;

use std::fs;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use weft_runtime::{time, worker};

use crate::args::DemoArgs;
use crate::print_line;

/// Where things are.
struct Addresses {
    listeners: Vec<(String, SocketAddr)>,
    admin: SocketAddr,
}

/// A folder that goes away with the demo.
struct Folder(PathBuf);

/// The gateway's process; killed when dropped.
struct Gateway(Child);

/// The files, as they are in examples/demo.
const FILES: [(&str, &str); 3] = [
    ("greeter.yaml", include_str!("../../../../examples/demo/greeter.yaml")),
    ("canary.yaml", include_str!("../../../../examples/demo/canary.yaml")),
    ("limits.yaml", include_str!("../../../../examples/demo/limits.yaml")),
];

/// Names that are tried for the folder.
const FOLDERS_TRIED: u32 = 100;

/// A gateway that is not ready by then has failed.
const READY_TIMEOUT: Duration = Duration::from_secs(20);

/// A gateway that does not end by then is killed.
const END_TIMEOUT: Duration = Duration::from_secs(10);

/// Shows the gateway; with `once`, checks every answer and ends.
pub(crate) fn run(args: &DemoArgs) -> anyhow::Result<ExitCode> {
    let folder = Folder::new()?;
    for (name, text) in FILES {
        fs::write(folder.0.join(name), text).context("the demo's files cannot be written")?;
    }
    worker::block_on(show(args, &folder.0)).context("the runtime cannot be started")?
}

async fn show(args: &DemoArgs, folder: &Path) -> anyhow::Result<ExitCode> {
    let mut signals = weft_runtime::signal::Termination::listen()?;
    let services = services::start().await?;
    print_line("Three sample services are running:");
    for service in &services {
        print_line(&format!("  {:<12} {}", service.name, service.addr));
    }
    let mut gateway = Gateway::start(args, folder, &services)?;
    let addresses = gateway.ready(folder).await?;
    print_line(&format!("A gateway serves the files in {}:", folder.display()));
    for (name, addr) in &addresses.listeners {
        print_line(&format!("  {name:<24} {addr}"));
    }
    let failed = tour::walk(&addresses).await?;
    if args.once {
        gateway.stop().await?;
        print_line(if failed == 0 { "All answers are right." } else { "Some answers are wrong." });
        return Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    tour::what_next(&addresses, folder);
    signals.next().await;
    print_line("\nStopping.");
    gateway.stop().await?;
    Ok(ExitCode::SUCCESS)
}

// === impl Addresses ===

impl Addresses {
    /// A listener's address, by the beginning of its name.
    fn listener(&self, name: &str) -> anyhow::Result<SocketAddr> {
        self.listeners
            .iter()
            .find(|(have, _)| have.starts_with(name))
            .map(|(_, addr)| *addr)
            .with_context(|| format!("the gateway has no listener {name}"))
    }
}

// === impl Folder ===

impl Folder {
    /// A new one that nobody else can write to: what stands there already is left alone.
    fn new() -> anyhow::Result<Self> {
        let parent = std::env::temp_dir();
        let process = std::process::id();
        for number in 0..FOLDERS_TRIED {
            let path = parent.join(format!("weftway-demo-{process}-{number}"));
            match fs::DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self(path)),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => {
                    return Err(error).context("no folder for the demo's files can be made");
                }
            }
        }
        bail!("{} is full of folders of demos that died; remove them", parent.display())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What stays in a folder for temporary files does no harm.
        let _ = fs::remove_dir_all(&self.0);
    }
}

// === impl Gateway ===

impl Gateway {
    fn start(
        args: &DemoArgs,
        folder: &Path,
        services: &[services::Service],
    ) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("this program's own file is not known")?;
        let mut command = Command::new(program);
        command.arg("gateway").arg("-f").arg(folder).args(["--log", "warn", "--access-log", "off"]);
        command.arg("--address-file").arg(folder.join("addresses.json"));
        let [http, https, gateway, admin] = if args.once {
            ["127.0.0.1:0", "127.0.0.1:0", "80=0", "127.0.0.1:0"].map(String::from)
        } else {
            let port = |wanted: u16| if is_free(wanted) { wanted } else { 0 };
            [
                format!("127.0.0.1:{}", port(8080)),
                format!("127.0.0.1:{}", port(8443)),
                format!("80={}", port(8081)),
                format!("127.0.0.1:{}", port(15000)),
            ]
        };
        command.args(["--http", &http, "--https", &https, "--bind", "127.0.0.1"]);
        command.args(["--port-map", &gateway, "--admin", &admin]);
        for service in services {
            command.arg("--backend").arg(format!("{}:8080={}", service.name, service.addr));
        }
        if args.once {
            command.stderr(Stdio::null());
        }
        let child = command.spawn().context("the gateway cannot be started")?;
        Ok(Self(child))
    }

    /// Waits until the gateway has written where it listens.
    async fn ready(&mut self, folder: &Path) -> anyhow::Result<Addresses> {
        let path = folder.join("addresses.json");
        let started = time::now();
        loop {
            if let Ok(text) = fs::read_to_string(&path) {
                return parse_addresses(&text);
            }
            if let Some(status) = self.0.try_wait()? {
                bail!("the gateway ended at once, with {status}; its log above says why");
            }
            if time::now() - started > READY_TIMEOUT {
                bail!("the gateway did not become ready");
            }
            time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Ends the process in order.
    async fn stop(&mut self) -> anyhow::Result<()> {
        terminate(&self.0);
        let started = time::now();
        while self.0.try_wait()?.is_none() {
            if time::now() - started > END_TIMEOUT {
                self.0.kill()?;
            }
            time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn terminate(child: &Child) {
    // The child is ours and was not waited for, so the id is still its own.
    if let Some(pid) = rustix::process::Pid::from_raw(child.id().cast_signed()) {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
}

fn is_free(port: u16) -> bool {
    std::net::TcpListener::bind(("127.0.0.1", port)).is_ok()
}

fn parse_addresses(text: &str) -> anyhow::Result<Addresses> {
    let value: serde_json::Value = serde_json::from_str(text)?;
    let parse = |value: &serde_json::Value| -> anyhow::Result<SocketAddr> {
        Ok(value.as_str().context("an address is missing")?.parse()?)
    };
    let listeners = value["listeners"].as_object().context("the listeners are missing")?;
    let listeners = listeners
        .iter()
        .map(|(name, addr)| Ok((name.clone(), parse(addr)?)))
        .collect::<anyhow::Result<_>>()?;
    Ok(Addresses { listeners, admin: parse(&value["admin"])? })
}
