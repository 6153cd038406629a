//! How a gateway is started.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use socket2::{Domain, Socket, Type};

use super::{Addresses, Gateway, Output, keep_lines, write_file};
use crate::certificates::Leaf;
use crate::raw_client::RawClient;
use crate::wait;

/// A gateway to be started. By default it has the entry points `web` and `websecure`, one worker
/// and an access log of JSON lines.
#[derive(Debug)]
pub struct GatewayBuilder {
    binary: PathBuf,
    documents: Vec<(String, String)>,
    sources: Vec<PathBuf>,
    http: SocketAddr,
    entry_points: Vec<String>,
    ports: BTreeMap<u16, Reserved>,
    arguments: Vec<String>,
    workers: usize,
    access_log: String,
    certificate: Option<Leaf>,
}

const ADDRESS_FILE: &str = "addresses.json";
const CHAIN_FILE: &str = "chain.pem";
const KEY_FILE: &str = "key.pem";

/// A port that nobody else gets while this lives. The gateway binds it as well, which works
/// because both share it and only the gateway listens.
#[derive(Debug)]
pub struct Reserved {
    _socket: Socket,
    addr: SocketAddr,
}

// === impl GatewayBuilder ===

impl GatewayBuilder {
    pub(super) fn new(binary: &str) -> Self {
        Self {
            binary: binary.into(),
            documents: Vec::new(),
            sources: Vec::new(),
            http: (Ipv4Addr::LOCALHOST, 0).into(),
            entry_points: Vec::new(),
            ports: BTreeMap::new(),
            arguments: Vec::new(),
            workers: 1,
            access_log: "json".into(),
            certificate: None,
        }
    }

    /// A document in the watched folder.
    #[must_use]
    pub fn document(mut self, name: &str, text: &str) -> Self {
        self.documents.push((name.into(), text.into()));
        self
    }

    /// A file or folder elsewhere.
    #[must_use]
    pub fn source(mut self, path: impl AsRef<Path>) -> Self {
        self.sources.push(path.as_ref().to_path_buf());
        self
    }

    /// The address of a service: `greeter:8080`.
    #[must_use]
    pub fn backend(self, name: &str, addr: SocketAddr) -> Self {
        self.backends(name, &[addr])
    }

    /// The addresses of a service.
    #[must_use]
    pub fn backends(self, name: &str, addrs: &[SocketAddr]) -> Self {
        let addrs: Vec<String> = addrs.iter().map(ToString::to_string).collect();
        let value = format!("{name}={}", addrs.join(","));
        self.args(&["--backend", &value])
    }

    /// The address of the entry point `web`, instead of any.
    #[must_use]
    pub fn http(mut self, addr: SocketAddr) -> Self {
        self.http = addr;
        self
    }

    /// A further entry point.
    #[must_use]
    pub fn entry_point(mut self, name: &str) -> Self {
        self.entry_points.push(name.into());
        self
    }

    /// Reserves a port for one that a Gateway or Ingress listens on; see [`Gateway::port`].
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.ports.insert(port, Reserved::any());
        self
    }

    /// The number of workers, 1 by default.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// `off`, `text` or `json`.
    #[must_use]
    pub fn access_log(mut self, format: &str) -> Self {
        self.access_log = format.into();
        self
    }

    /// The default certificate, in files; see [`Gateway::write_certificate`].
    #[must_use]
    pub fn certificate(mut self, leaf: &Leaf) -> Self {
        self.certificate = Some(leaf.clone());
        self
    }

    /// Further arguments.
    #[must_use]
    pub fn args(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(ToString::to_string));
        self
    }

    /// Starts it and waits until it is ready.
    ///
    /// # Panics
    ///
    /// When it ends instead, or is not ready within the deadline; what it printed is shown.
    pub fn start(self) -> Gateway {
        self.start_until(is_ready)
    }

    /// Starts it and waits until it is up, whether it is ready or not.
    ///
    /// # Panics
    ///
    /// As [`GatewayBuilder::start`], and when it gets ready all the same.
    pub fn start_unready(self) -> Gateway {
        let gateway = self.start_until(|_| true);
        assert_eq!(gateway.admin("/readyz").status, 503, "it is ready");
        gateway
    }

    fn start_until(self, is_up: impl Fn(&Addresses) -> bool) -> Gateway {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let run = tempfile::tempdir().expect("a temporary folder");
        if let Some(leaf) = &self.certificate {
            write_certificate(run.path(), leaf);
        }
        for (name, text) in &self.documents {
            write_file(&folder.path().join(name), text);
        }
        let mut command = self.command(folder.path(), run.path());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let output = Output::default();
        let readers = vec![
            keep_lines(child.stdout.take(), &output.stdout),
            keep_lines(child.stderr.take(), &output.stderr),
        ];
        let addresses = up(&mut child, &run.path().join(ADDRESS_FILE), &output, is_up);
        Gateway { child, folder, run, addresses, reserved: self.ports, output, readers }
    }

    fn command(&self, folder: &Path, run: &Path) -> Command {
        let mut command = Command::new(&self.binary);
        command.arg("gateway").arg("-f").arg(folder);
        for source in &self.sources {
            command.arg("-f").arg(source);
        }
        command.args(["--http", &self.http.to_string()]);
        for flag in ["--https", "--admin"] {
            command.args([flag, "127.0.0.1:0"]);
        }
        for name in &self.entry_points {
            command.arg("--entry-point").arg(format!("{name}=127.0.0.1:0"));
        }
        if !self.ports.is_empty() {
            let map =
                |(port, reserved): (&u16, &Reserved)| format!("{port}={}", reserved.addr.port());
            let maps: Vec<String> = self.ports.iter().map(map).collect();
            command.arg("--port-map").arg(maps.join(",")).args(["--bind", "127.0.0.1"]);
        }
        command.arg("--workers").arg(self.workers.to_string());
        command.arg("--access-log").arg(&self.access_log);
        command.arg("--address-file").arg(run.join(ADDRESS_FILE));
        if self.certificate.is_some() {
            command.arg("--cert").arg(run.join(CHAIN_FILE)).arg("--key").arg(run.join(KEY_FILE));
        }
        command.args(&self.arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

// === impl Reserved ===

impl Reserved {
    /// Any free port.
    ///
    /// # Panics
    ///
    /// When there is none.
    pub fn any() -> Self {
        let reserve = || -> std::io::Result<Self> {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
            socket.set_reuse_address(true)?;
            socket.set_reuse_port(true)?;
            socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
            let local = socket.local_addr()?.as_socket().ok_or(std::io::ErrorKind::Other)?;
            let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, local.port()));
            Ok(Self { _socket: socket, addr })
        };
        reserve().expect("a free port")
    }

    /// An address that refuses connections until the program ends. One that was given back could be
    /// another test's at once.
    ///
    /// # Panics
    ///
    /// When there is none.
    pub fn forever() -> SocketAddr {
        let reserved = Self::any();
        let addr = reserved.addr;
        std::mem::forget(reserved);
        addr
    }

    /// Where it can be reached.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
}

/// The key first: a chain without its key is never seen for longer than the two writes take.
pub(super) fn write_certificate(run: &Path, leaf: &Leaf) {
    write_file(&run.join(KEY_FILE), &leaf.key);
    write_file(&run.join(CHAIN_FILE), &leaf.chain);
}

/// Waits for the address file, and until the gateway at these addresses is up.
fn up(
    child: &mut Child,
    address_file: &Path,
    output: &Output,
    is_up: impl Fn(&Addresses) -> bool,
) -> Addresses {
    let found = wait::within(wait::DEADLINE, || {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(Err(format!("the gateway ended with {status}")));
        }
        let text = std::fs::read_to_string(address_file).ok()?;
        let addresses: Addresses = serde_json::from_str(&text).ok()?;
        is_up(&addresses).then_some(Ok(addresses))
    });
    match found.unwrap_or_else(|| Err("the gateway does not get ready".into())) {
        Ok(addresses) => addresses,
        Err(why) => {
            let _ = child.kill();
            let _ = child.wait();
            let lines = crate::raw_origin::lock(&output.stderr).join("\n");
            panic!("{why}; its standard error:\n{lines}");
        }
    }
}

fn is_ready(addresses: &Addresses) -> bool {
    let Ok(mut client) = RawClient::try_connect(addresses.admin) else { return false };
    let request = "GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    client.try_send(request).is_ok()
        && matches!(client.try_response(false), Ok(Some(response)) if response.status == 200)
}
