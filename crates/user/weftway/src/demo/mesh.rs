//! The demo's mesh: four services beside their proxies, and what is shown with them.

mod service;
mod tour;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use weft_admin_api::ProxiesView;
use weft_node::client::Client;
use weft_node::host::Host;
use weft_runtime::time;

use super::gateway::{self, Addresses};
use super::process::{Plan, Process};
use crate::args::{DemoArgs, SampleProtocol};
use crate::print_line;
use crate::status::StatusClient;

use service::Service;

/// A mesh of its own. [`Mesh::stop`] takes it down.
pub(super) struct Mesh {
    process: Process,
    folder: PathBuf,
    services: Vec<Service>,
    is_loopback: bool,
    is_check: bool,
}

/// A service of the mesh, as it is started.
struct Sample {
    name: &'static str,
    protocol: SampleProtocol,
    /// The service's, and its first instance's.
    port: u16,
}

const SHOP: Sample = Sample { name: "shop", protocol: SampleProtocol::Http, port: 8080 };
const PAYMENTS: Sample = Sample { name: "payments", protocol: SampleProtocol::Http, port: 8081 };
const LEDGER: Sample = Sample { name: "ledger", protocol: SampleProtocol::Grpc, port: 9090 };
const STOCK: Sample = Sample { name: "stock", protocol: SampleProtocol::Tcp, port: 7000 };

const SAMPLES: [Sample; 4] = [SHOP, PAYMENTS, LEDGER, STOCK];

/// Where the second instance of payments listens: without namespaces both share the machine's ports.
const SECOND_PORT: u16 = 8082;

/// A mesh that is not up by then has failed.
const READY_TIMEOUT: Duration = Duration::from_secs(10);

/// All that is shown takes less, or something hangs.
const SHOW_TIMEOUT: Duration = Duration::from_secs(40);

/// Between two looks at what the proxies know.
const LOOK: Duration = Duration::from_millis(100);

// === impl Mesh ===

impl Mesh {
    /// Starts one whose files are in `folder`. It has no services yet.
    pub(super) fn start(args: &DemoArgs, folder: &Path) -> anyhow::Result<Self> {
        let missing = Host::check();
        let is_loopback = args.loopback || !missing.is_empty();
        if !args.loopback && is_loopback {
            print_line("\nThe mesh has no network namespaces, because this needs");
            missing.iter().for_each(|missing| print_line(&format!("  {missing}")));
        }
        let is_check = args.once;
        let process = start(folder, is_loopback, is_check)?;
        let services = Vec::new();
        Ok(Self { process, folder: folder.to_owned(), services, is_loopback, is_check })
    }

    /// Waits until it is up; gives where its gateway listens.
    pub(super) async fn ready(&mut self) -> anyhow::Result<Addresses> {
        match wait(&mut self.process, &self.folder).await {
            Err(error) if !self.is_loopback => {
                print_line(&format!("\nThe mesh has no network namespaces: {error:#}"));
                self.is_loopback = true;
                self.process = start(&self.folder, true, self.is_check)?;
                wait(&mut self.process, &self.folder).await
            }
            ready => ready,
        }
    }

    /// Adds the services and shows what they do, and what `gateway` does with them; gives how many
    /// answers were wrong.
    pub(super) async fn show(&mut self, gateway: &Addresses) -> anyhow::Result<u32> {
        let shown = async {
            self.populate().await?;
            tour::walk(self, gateway).await
        };
        let shown = time::timeout(SHOW_TIMEOUT, shown).await;
        shown.map_err(|time::Elapsed| anyhow::anyhow!("the mesh takes too long"))?
    }

    /// Lines to paste.
    pub(super) fn what_next(&self) {
        let program = std::env::current_exe().unwrap_or_else(|_| "weftway".into());
        let program = program.display();
        let state = self.state();
        let state = state.display();
        let listen = if self.is_loopback { " --bind $WEFTWAY_ADDRESS" } else { "" };
        print_line(&format!(
            "\nYour own services in the mesh:\n\
             \x20 {program} run hello --state {state} --port 8000 -- \\\n\
             \x20   sh -c 'exec python3 -m http.server 8000{listen}'\n\
             \x20 {program} run me --state {state} -- curl -si http://hello:8000/\n\
             \x20 {program} run me --state {state} -- curl -s http://payments:8081/\n\
             \x20 {program} certs --state {state}\n\
             Edit a document in {}, and who may call whom is another.",
            self.folder.join("mesh").display()
        ));
    }

    /// Ends the services, and removes what was made for them.
    pub(super) async fn stop(self) -> anyhow::Result<()> {
        // The node ends a service when the connection that has started it is gone.
        drop(self.services);
        self.process.stop().await
    }

    /// The folder of the node and of the control plane.
    fn state(&self) -> PathBuf {
        state(&self.folder)
    }

    async fn populate(&mut self) -> anyhow::Result<()> {
        print_line(if self.is_loopback {
            "\nA mesh on loopback addresses; calls go through explicit proxies:"
        } else {
            "\nA mesh; each service has a network namespace, and its calls are captured:"
        });
        for sample in &SAMPLES {
            self.add(sample, sample.port).await?;
        }
        self.known().await
    }

    /// Waits until every proxy knows of every service.
    async fn known(&self) -> anyhow::Result<()> {
        let control = StatusClient::new(Some(&self.state()));
        loop {
            // What the node has said last may not be published yet.
            time::sleep(LOOK).await;
            let view: ProxiesView = control.show("/proxies").await?;
            if view.in_force == view.connected {
                return Ok(());
            }
        }
    }

    /// Starts an instance of a service that listens on `port`, beside those that there are.
    async fn add(&mut self, sample: &Sample, port: u16) -> anyhow::Result<()> {
        let service = Service::start(&self.socket(), sample, port).await;
        let service = service.with_context(|| format!("{} cannot be started", sample.name))?;
        print_line(&format!("  {service}"));
        self.services.push(service);
        Ok(())
    }

    /// The first instance of a service.
    fn service(&mut self, sample: &Sample) -> anyhow::Result<&mut Service> {
        let mut services = self.services.iter_mut();
        let found = services.find(|service| service.sample == sample.name);
        found.with_context(|| format!("there is no {}", sample.name))
    }

    async fn client(&self) -> anyhow::Result<Client> {
        Ok(Client::connect(&self.socket()).await?)
    }

    fn socket(&self) -> PathBuf {
        socket(&self.folder)
    }
}

// === impl Sample ===

impl Sample {
    /// By which others call it.
    fn authority(&self) -> String {
        format!("{}:{}", self.name, self.port)
    }
}

fn start(folder: &Path, is_loopback: bool, is_check: bool) -> anyhow::Result<Process> {
    let plan =
        Plan::new("up")?.args(["--log", "warn", "--admin", "off", "--state"]).arg(state(folder));
    let plan = plan.arg("-f").arg(folder.join("mesh")).arg(folder.join("gateway"));
    let plan = plan.args(gateway::arguments(is_check));
    let plan = if is_loopback { plan.arg("--loopback") } else { plan };
    plan.start(&folder.join("mesh.log"))
}

fn state(folder: &Path) -> PathBuf {
    folder.join("state")
}

fn socket(folder: &Path) -> PathBuf {
    state(folder).join("node.sock")
}

async fn wait(process: &mut Process, folder: &Path) -> anyhow::Result<Addresses> {
    let (socket, addresses) = (socket(folder), state(folder).join("gateway/addresses.json"));
    let ready = async || {
        Client::connect(&socket).await.ok()?;
        std::fs::read_to_string(&addresses).ok()
    };
    Addresses::read(&process.until(READY_TIMEOUT, ready).await?)
}
