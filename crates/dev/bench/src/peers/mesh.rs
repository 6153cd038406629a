//! A mesh of the product on loopback addresses: a control plane and sidecars, real processes all.
//!
//! Nothing is captured, so no privilege is needed: the sidecar of the client takes requests at an
//! address of its own, for any service of the mesh. From there on it is the same code as for captured
//! connections.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::client;
use crate::lab::{LOAD_CPU, Lab, PROXY_CPU};
use crate::process::{Process, pinned};

/// What is in a mesh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    /// Services with a workload of their own each.
    pub(crate) services: usize,
}

/// A control plane that is up, and what its sidecars need.
pub(crate) struct Mesh<'a> {
    lab: &'a Lab,
    program: &'a Path,
    folder: PathBuf,
    _control: Process,
}

/// A proxy beside a workload.
pub(crate) struct Sidecar {
    pub(crate) process: Process,
    /// Where it takes requests of its application.
    pub(crate) addr: SocketAddr,
}

/// The ports of each service, and the origin that each leads to.
const HTTP_PORT: u16 = 80;
const TCP_PORT: u16 = 81;

/// The workload that calls.
const CLIENT: usize = 0;

/// Workloads of one byte of an address.
const PER_BYTE: usize = 250;

const OUTBOUND_PORT: u16 = 15001;
const READY_PORT: u16 = 15021;

/// Longest wait for the control plane.
const START: Duration = Duration::from_secs(30);

// === impl Size ===

impl Size {
    /// One service behind one sidecar.
    pub(crate) const PAIR: Self = Self { services: 1 };
}

// === impl Mesh ===

impl<'a> Mesh<'a> {
    /// Starts the control plane of a mesh of that size.
    pub(crate) fn start(lab: &'a Lab, program: &'a Path, size: Size) -> anyhow::Result<Self> {
        let folder = lab.folder("mesh")?;
        std::fs::write(folder.join("mesh.yaml"), documents(lab, size))?;
        let socket = folder.join("control.sock");
        let mut command = pinned(LOAD_CPU, program);
        command.args(["control", "--admin", "off", "--log", "warn", "-f"]);
        command.arg(folder.join("mesh.yaml")).arg("--state").arg(folder.join("control"));
        command.arg("--socket").arg(&socket);
        let log = folder.join("control.log");
        let mut control = Process::start(&mut command, &log)?;
        let deadline = Instant::now() + START;
        while !socket.exists() {
            if control.has_ended() || Instant::now() > deadline {
                bail!("weftway control: {}", std::fs::read_to_string(log).unwrap_or_default());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(Self { lab, program, folder, _control: control })
    }

    /// The sidecar of the workload that calls, once it is ready.
    pub(crate) fn client(&self) -> anyhow::Result<Sidecar> {
        self.sidecar(CLIENT)
    }

    /// The sidecar of the workload of service `number`, counted from 0, once it is ready.
    pub(crate) fn server(&self, number: usize) -> anyhow::Result<Sidecar> {
        self.sidecar(number + 1)
    }

    fn sidecar(&self, workload: usize) -> anyhow::Result<Sidecar> {
        let (name, ip) = (workload_name(workload), workload_ip(workload));
        let mut command = pinned(PROXY_CPU, self.program);
        command.args(["proxy", "--workload", &format!("default/{name}")]);
        command.args(["--service-account", &name, "--control"]);
        command.arg(self.folder.join("control.sock")).arg("--state").arg(self.folder.join(&name));
        command.args(["--explicit", &ip.to_string(), "--workers", "1", "--access-log", "off"]);
        command.args(["--admin", "off", "--metrics", "off", "--log", "warn"]);
        command.args(["--ready", &format!("{ip}:{READY_PORT}")]);
        let log = self.folder.join(format!("{name}.log"));
        let mut process = Process::start(&mut command, &log)?;
        let probe = SocketAddr::from((ip, READY_PORT));
        client::wait_ready(probe, &ip.to_string(), "/readyz", &mut process).with_context(|| {
            format!("weftway proxy: {}", std::fs::read_to_string(log).unwrap_or_default())
        })?;
        Ok(Sidecar { process, addr: (ip, OUTBOUND_PORT).into() })
    }

    /// Two sidecars, one for the client and one for the first service, that have met.
    pub(crate) fn pair(&self) -> anyhow::Result<(Vec<Process>, SocketAddr)> {
        let (server, mut client) = (self.server(0)?, self.client()?);
        let host = http_host(0);
        client::wait_ready(client.addr, &host, "/", &mut client.process)
            .with_context(|| format!("the pair of sidecars; {}", self.lab.origins[0]))?;
        Ok((vec![server.process, client.process], client.addr))
    }
}

/// The name by which service `number` is called with HTTP.
pub(crate) fn http_host(number: usize) -> String {
    service_name(number)
}

/// Name and port by which service `number` is called with bytes that nobody reads.
pub(crate) fn tcp_authority(number: usize) -> String {
    format!("{}:{TCP_PORT}", service_name(number))
}

fn service_name(number: usize) -> String {
    format!("{}.default.svc.cluster.local", workload_name(number + 1))
}

fn workload_name(workload: usize) -> String {
    match workload {
        CLIENT => "client".to_owned(),
        number => format!("service-{number}"),
    }
}

/// An address of the loopback interface, which needs no set-up.
fn workload_ip(workload: usize) -> Ipv4Addr {
    let (high, low) = (workload / PER_BYTE, workload % PER_BYTE);
    Ipv4Addr::new(127, 78, high as u8, low as u8 + 1)
}

fn documents(lab: &Lab, size: Size) -> String {
    let [http, tcp] = lab.origins.map(|origin| origin.port());
    let mut text = String::new();
    for workload in 0..=size.services {
        let (name, ip) = (workload_name(workload), workload_ip(workload));
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "---\napiVersion: networking.istio.io/v1\nkind: WorkloadEntry\n\
             metadata: {{name: {name}, namespace: default}}\n\
             spec:\n  address: {ip}\n  serviceAccount: {name}\n  \
             labels: {{app: {name}, networking.istio.io/tunnel: http}}\n"
        );
        if workload != CLIENT {
            let _ = write!(
                text,
                "---\napiVersion: v1\nkind: Service\n\
                 metadata: {{name: {name}, namespace: default}}\n\
                 spec:\n  selector: {{app: {name}}}\n  ports:\n  \
                 - {{name: http, port: {HTTP_PORT}, targetPort: {http}}}\n  \
                 - {{name: tcp, port: {TCP_PORT}, targetPort: {tcp}}}\n"
            );
        }
    }
    text
}
