//! What the clients talk to: the gateway, an HTTP/1.1 origin and a gRPC server.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail, ensure};
use serde::Deserialize;
use tempfile::TempDir;

use super::program::{Server, succeed};
use super::report::Report;
use super::tools::Tools;
use crate::run::root;

/// Size of what is downloaded and uploaded: more than all buffers on the way hold.
pub(super) const FILE_BYTES: usize = 8 << 20;

/// Clients that come from here must send a PROXY header.
pub(super) const PROXY_CLIENT: &str = "127.0.0.2";

/// The gateway's standard output, in the temporary folder.
pub(super) const ACCESS_LOG: &str = "access.log";

/// Lines of the gateway's log that are shown after a failure.
const LOG_LINES: usize = 40;

/// All servers. They end when it is dropped.
#[derive(Debug)]
pub(super) struct Stage {
    // The gateway ends first, so that it does not complain about the others.
    gateway: Server,
    _origin: Server,
    _grpc: Option<Server>,
    addresses: Addresses,
    folder: TempDir,
    file: Vec<u8>,
    binary: PathBuf,
}

/// What `--address-file` says.
#[derive(Debug, Deserialize)]
struct Addresses {
    listeners: BTreeMap<String, SocketAddr>,
}

/// Extensions of the certificates.
const OPENSSL_CONFIG: &str = "\
[req]
distinguished_name = name
prompt = no
[name]
CN = interop
[authority]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical,CA:FALSE
extendedKeyUsage = serverAuth
subjectAltName = DNS:web.test,DNS:grpc.test,DNS:clients.test
[client]
basicConstraints = critical,CA:FALSE
extendedKeyUsage = clientAuth
";

// === impl Stage ===

impl Stage {
    /// Starts everything and waits until it answers.
    pub(super) fn start(binary: &Path, tools: &Tools) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("no temporary folder")?;
        let path = folder.path();
        let file = noise(FILE_BYTES);
        std::fs::write(path.join("file"), &file)?;
        certificates(path).context("the certificates cannot be made")?;
        secrets(path)?;
        let (origin, origin_addr) =
            python(path, "origin.py", &[Path::new("--file"), &path.join("file")])?;
        let mut grpc = None;
        // Without the wheel nothing asks for it.
        let mut grpc_addr = origin_addr.clone();
        if tools.grpcio.is_some() {
            let (server, addr) = python(path, "grpc_server.py", &[])?;
            (grpc, grpc_addr) = (Some(server), addr);
        }
        let (gateway, addresses) = gateway(binary, path, &origin_addr, &grpc_addr)?;
        let binary = binary.to_path_buf();
        Ok(Self { gateway, _origin: origin, _grpc: grpc, addresses, folder, file, binary })
    }

    /// Where a listener is bound.
    pub(super) fn addr(&self, listener: &str) -> anyhow::Result<SocketAddr> {
        let found = self.addresses.listeners.get(listener);
        found.copied().with_context(|| {
            let known: Vec<&String> = self.addresses.listeners.keys().collect();
            format!("no listener {listener} among {known:?}")
        })
    }

    /// A file in the temporary folder.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The program that is checked.
    pub(super) fn binary(&self) -> &Path {
        &self.binary
    }

    /// The certificate of the authority that signed all others, PEM.
    pub(super) fn authority(&self) -> PathBuf {
        self.path("authority.pem")
    }

    /// What `/file` serves.
    pub(super) fn file(&self) -> &[u8] {
        &self.file
    }

    /// Ends the gateway as an operator would, and checks that. Returns the end of its log.
    pub(super) fn end(self, report: &mut Report) -> String {
        let Self { gateway, _origin, _grpc, addresses: _, folder, file: _, binary: _ } = self;
        let log = folder.path().join("gateway.log");
        report.check("gateway: SIGTERM ends it in order", || {
            let status = gateway.terminate()?;
            ensure!(status.success(), "it ended with {status}");
            Ok(())
        });
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        report.check("gateway: no panic and no error in its log", || {
            let is_bad = |line: &&str| line.contains("panicked") || line.contains("ERROR");
            match text.lines().find(is_bad) {
                Some(line) => bail!("{line}"),
                None => Ok(()),
            }
        });
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    }
}

/// The gateway on `tests/interop/gateway.yaml` and the secrets of the folder.
fn gateway(
    binary: &Path,
    folder: &Path,
    origin: &str,
    grpc: &str,
) -> anyhow::Result<(Server, Addresses)> {
    let addresses = folder.join("addresses.json");
    let mut command = Command::new(binary);
    command.arg("gateway").arg("-f").arg(root().join("tests/interop/gateway.yaml"));
    command.arg("-f").arg(folder.join("secrets.yaml"));
    for flag in ["--http", "--https", "--admin"] {
        command.args([flag, "127.0.0.1:0"]);
    }
    command.args(["--port-map", "80=0,443=0", "--bind", "127.0.0.1", "--workers", "2"]);
    command.arg("--cert").arg(folder.join("server.pem"));
    command.arg("--key").arg(folder.join("server.key"));
    command.arg("--trust-proxy-protocol-from").arg(format!("{PROXY_CLIENT}/32"));
    for (name, addr) in [("origin:80", origin), ("echo:50051", grpc), ("down:50051", "127.0.0.1:1")]
    {
        command.arg("--backend").arg(format!("{name}={addr}"));
    }
    command.args(["--access-log", "text", "--drain-timeout", "10s", "--address-file"]);
    command.arg(&addresses);
    let log = folder.join("gateway.log");
    let mut server = Server::start(&mut command, &folder.join(ACCESS_LOG), &log)?;
    let text = server.wait_for_file(&addresses).with_context(|| {
        format!(
            "the gateway does not start:\n{}",
            std::fs::read_to_string(&log).unwrap_or_default()
        )
    })?;
    Ok((server, serde_json::from_str(&text).context("the address file is not understood")?))
}

/// A server of `tests/interop`, and its address.
fn python(folder: &Path, script: &str, args: &[&Path]) -> anyhow::Result<(Server, String)> {
    let address = folder.join(script).with_extension("address");
    let log = folder.join(script).with_extension("log");
    let mut command = super::python::command(script);
    command.args(args).arg("--address-file").arg(&address);
    let output = folder.join(script).with_extension("output");
    let mut server = Server::start(&mut command, &output, &log)?;
    let addr = server.wait_for_file(&address).with_context(|| {
        format!("{script} does not start: {}", std::fs::read_to_string(&log).unwrap_or_default())
    })?;
    Ok((server, addr))
}

/// An authority, a server's and a client's certificate, good for two days.
fn certificates(folder: &Path) -> anyhow::Result<()> {
    std::fs::write(folder.join("openssl.cnf"), OPENSSL_CONFIG)?;
    for role in ["authority", "server", "client"] {
        let mut command = Command::new("openssl");
        command.current_dir(folder).args(["req", "-x509", "-config", "openssl.cnf"]);
        command.args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]);
        command.args(["-days", "2", "-extensions", role, "-subj", &format!("/CN=interop {role}")]);
        command.args(["-keyout", &format!("{role}.key"), "-out", &format!("{role}.pem")]);
        if role != "authority" {
            command.args(["-CA", "authority.pem", "-CAkey", "authority.key"]);
        }
        succeed(&mut command)?;
    }
    Ok(())
}

/// The Secrets that `tests/interop/gateway.yaml` names.
fn secrets(folder: &Path) -> anyhow::Result<()> {
    let indented = |name: &str| -> anyhow::Result<String> {
        let pem = std::fs::read_to_string(folder.join(name))?;
        Ok(pem.trim_end().replace('\n', "\n    "))
    };
    let text = format!(
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: server\ntype: kubernetes.io/tls\n\
         stringData:\n  tls.crt: |\n    {}\n  tls.key: |\n    {}\n---\napiVersion: v1\nkind: Secret\n\
         metadata:\n  name: authority\nstringData:\n  ca.crt: |\n    {}\n",
        indented("server.pem")?,
        indented("server.key")?,
        indented("authority.pem")?,
    );
    Ok(std::fs::write(folder.join("secrets.yaml"), text)?)
}

/// Bytes that do not compress and are the same each time.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        // Marsaglia, "Xorshift RNGs" (2003), the 64-bit generator.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}
