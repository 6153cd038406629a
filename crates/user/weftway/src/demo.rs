//! `weftway demo`: everything, on sample services, on a laptop.
//!
//! It writes the files of examples/demo and examples/mesh to a folder, and starts a mesh with them.
//! To its gateway it sends requests, for sample services in this process, and shows what came back;
//! then it adds services that are processes beside their proxies, and shows who called whom.

mod client;
mod gateway;
mod mesh;
mod process;
mod sample;
mod services;
mod tour;

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use weft_runtime::signal::Termination;
use weft_runtime::worker;

use crate::args::DemoArgs;
use crate::print_line;

use mesh::Mesh;

pub(crate) use sample::run as run_sample;

/// A folder that goes away with the demo.
struct Folder(PathBuf);

/// What was started so far.
#[derive(Default)]
struct Running {
    mesh: Option<Mesh>,
}

/// The gateway's files, as they are in examples/demo.
const GATEWAY_FILES: [(&str, &str); 3] = [
    ("greeter.yaml", include_str!("../../../../examples/demo/greeter.yaml")),
    ("canary.yaml", include_str!("../../../../examples/demo/canary.yaml")),
    ("limits.yaml", include_str!("../../../../examples/demo/limits.yaml")),
];

/// The mesh's, as they are in examples/mesh.
const MESH_FILES: [(&str, &str); 4] = [
    ("strict.yaml", include_str!("../../../../examples/mesh/strict.yaml")),
    ("services.yaml", include_str!("../../../../examples/mesh/services.yaml")),
    ("external.yaml", include_str!("../../../../examples/mesh/external.yaml")),
    ("route.yaml", include_str!("../../../../examples/mesh/route.yaml")),
];

/// Names that are tried for the folder.
const FOLDERS_TRIED: u32 = 100;

/// Shows gateway and mesh; with `once`, checks every answer and ends.
pub(crate) fn run(args: &DemoArgs) -> anyhow::Result<ExitCode> {
    let folder = Folder::new()?;
    folder.write("gateway", &GATEWAY_FILES)?;
    folder.write("mesh", &MESH_FILES)?;
    worker::block_on(show(args, &folder.0)).context("the runtime cannot be started")?
}

async fn show(args: &DemoArgs, folder: &Path) -> anyhow::Result<ExitCode> {
    let mut termination = Termination::listen().context("signals cannot be handled")?;
    let mut running = Running::default();
    let shown = tokio::select! {
        failed = running.show(args, folder) => failed.map(Some),
        _ = termination.next() => Ok(None),
    };
    if !args.once {
        if matches!(shown, Ok(Some(_))) {
            termination.next().await;
        }
        print_line("\nStopping.");
    }
    // Whatever has happened, nothing stays behind.
    let stopped = running.stop().await;
    let failed = shown?;
    stopped?;
    Ok(match (args.once, failed) {
        (false, _) => ExitCode::SUCCESS,
        (true, Some(0)) => {
            print_line("All answers are right.");
            ExitCode::SUCCESS
        }
        (true, Some(_)) => {
            print_line("Some answers are wrong.");
            ExitCode::FAILURE
        }
        (true, None) => bail!("interrupted"),
    })
}

// === impl Running ===

impl Running {
    /// Starts and shows everything; gives how many answers were wrong.
    async fn show(&mut self, args: &DemoArgs, folder: &Path) -> anyhow::Result<u32> {
        let services = services::start().await?;
        print_line("Three sample services are running:");
        for service in &services {
            print_line(&format!("  {:<12} {}", service.name, service.addr));
        }
        let documents = folder.join("gateway");
        fs::write(documents.join("services.yaml"), services::documents(&services))
            .context("the demo's files cannot be written")?;
        let mesh = self.mesh.insert(Mesh::start(args, folder)?);
        let addresses = mesh.ready().await?;
        print_line(&format!("A gateway serves the files in {}:", documents.display()));
        for (name, addr) in &addresses.listeners {
            print_line(&format!("  {name:<24} {addr}"));
        }
        let mut failed = tour::walk(&addresses).await?;
        failed += mesh.show(&addresses).await?;
        if !args.once {
            tour::what_next(&addresses, &documents);
            mesh.what_next();
            print_line("Ctrl-C ends it all.");
        }
        Ok(failed)
    }

    /// Ends what was started, in order.
    async fn stop(self) -> anyhow::Result<()> {
        match self.mesh {
            Some(mesh) => mesh.stop().await,
            None => Ok(()),
        }
    }
}

// === impl Folder ===

impl Folder {
    /// A new one that nobody else can write to: what stands there already is left alone. Proxies,
    /// which run as another user, find the sockets in it.
    fn new() -> anyhow::Result<Self> {
        let parent = std::env::temp_dir();
        let process = std::process::id();
        for number in 0..FOLDERS_TRIED {
            let path = parent.join(format!("weftway-demo-{process}-{number}"));
            match fs::DirBuilder::new().mode(0o711).create(&path) {
                Ok(()) => return Ok(Self(path)),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => {
                    return Err(error).context("no folder for the demo's files can be made");
                }
            }
        }
        bail!("{} is full of folders of demos that died; remove them", parent.display())
    }

    /// Writes documents to a folder in it.
    fn write(&self, folder: &str, files: &[(&str, &str)]) -> anyhow::Result<()> {
        let folder = self.0.join(folder);
        let written = fs::create_dir(&folder).and_then(|()| {
            files.iter().try_for_each(|(name, text)| fs::write(folder.join(name), text))
        });
        written.context("the demo's files cannot be written")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What stays in a folder for temporary files does no harm.
        let _ = fs::remove_dir_all(&self.0);
    }
}
