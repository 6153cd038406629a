//! The real binary on a folder of documents.

mod build;
mod metrics;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use tempfile::TempDir;

use crate::raw_client::RawClient;
use crate::raw_origin::lock;
use crate::response::Response;
use crate::wait;

pub use build::{GatewayBuilder, Reserved};

/// A running gateway. It is killed when dropped; what it printed is shown when the test failed.
#[derive(Debug)]
pub struct Gateway {
    child: Child,
    folder: TempDir,
    /// Files besides the documents: addresses, the default certificate.
    run: TempDir,
    addresses: Addresses,
    reserved: BTreeMap<u16, Reserved>,
    output: Output,
    readers: Vec<JoinHandle<()>>,
}

/// What `--address-file` says.
#[derive(Debug, Clone, Deserialize)]
struct Addresses {
    listeners: BTreeMap<String, SocketAddr>,
    admin: SocketAddr,
}

/// Lines that were printed.
#[derive(Debug, Clone, Default)]
struct Output {
    stdout: Arc<Mutex<Vec<String>>>,
    stderr: Arc<Mutex<Vec<String>>>,
}

/// Lines of each log that a failed test shows.
const LINES_SHOWN: usize = 20;

// === impl Gateway ===

impl Gateway {
    /// Prepares a gateway of that binary: `env!("CARGO_BIN_EXE_weftway")` in its own tests.
    pub fn builder(binary: &str) -> GatewayBuilder {
        GatewayBuilder::new(binary)
    }

    /// The address of an entry point or listener, by name.
    ///
    /// # Panics
    ///
    /// When there is none of that name.
    pub fn addr(&self, listener: &str) -> SocketAddr {
        let found = self.addresses.listeners.get(listener);
        *found.unwrap_or_else(|| panic!("no listener {listener}: {:?}", self.addresses))
    }

    /// The address of the entry point `web`.
    pub fn web(&self) -> SocketAddr {
        self.addr("web")
    }

    /// The address of the entry point `websecure`.
    pub fn websecure(&self) -> SocketAddr {
        self.addr("websecure")
    }

    /// Where a port of a Gateway or Ingress listener is bound, if it was reserved by
    /// [`GatewayBuilder::port`].
    ///
    /// # Panics
    ///
    /// When it was not.
    pub fn port(&self, port: u16) -> SocketAddr {
        self.reserved.get(&port).expect("the port was reserved").addr()
    }

    /// The administration's address.
    pub fn admin_addr(&self) -> SocketAddr {
        self.addresses.admin
    }

    /// A plain connection to `web`.
    pub fn client(&self) -> RawClient {
        RawClient::connect(self.web())
    }

    /// One GET to `web` on a connection of its own.
    pub fn get(&self, host: &str, target: &str) -> Response {
        RawClient::get(self.web(), host, target)
    }

    /// One GET to the administration.
    pub fn admin(&self, target: &str) -> Response {
        RawClient::get(self.addresses.admin, "localhost", target)
    }

    /// The folder of documents.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a document by rename, so that no half of it is ever seen.
    ///
    /// # Panics
    ///
    /// When the file cannot be written.
    pub fn write(&self, name: &str, text: &str) {
        write_file(&self.folder.path().join(name), text);
    }

    /// Writes a document in place, as an editor may.
    ///
    /// # Panics
    ///
    /// When the file cannot be written.
    pub fn overwrite(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).expect("the folder is writable");
    }

    /// Replaces the default certificate given by [`GatewayBuilder::certificate`].
    ///
    /// # Panics
    ///
    /// When the files cannot be written.
    pub fn write_certificate(&self, leaf: &crate::Leaf) {
        build::write_certificate(self.run.path(), leaf);
    }

    /// Removes a document.
    ///
    /// # Panics
    ///
    /// When there is none.
    pub fn remove(&self, name: &str) {
        std::fs::remove_file(self.folder.path().join(name)).expect("the document is there");
    }

    /// Sends a signal.
    ///
    /// # Panics
    ///
    /// When the process is gone.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("the process is there");
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// The process.
    ///
    /// # Panics
    ///
    /// Never: a child has an id.
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Waits for the process to end by itself.
    ///
    /// # Panics
    ///
    /// When it does not within the deadline.
    pub fn exit(&mut self) -> ExitStatus {
        let child = &mut self.child;
        wait::until("the gateway to end", || child.try_wait().expect("it is our child"))
    }

    /// Whether the process still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Lines of standard output so far: the access log.
    pub fn stdout(&self) -> Vec<String> {
        lock(&self.output.stdout).clone()
    }

    /// Lines of standard error so far: the process log.
    pub fn stderr(&self) -> Vec<String> {
        lock(&self.output.stderr).clone()
    }

    /// Waits for a line of the access log.
    ///
    /// # Panics
    ///
    /// When none comes within the deadline.
    pub fn log_line(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        wait::until(what, || self.stdout().into_iter().find(|line| wanted(line)))
    }

    /// Waits for an entry of the access log, which is JSON, whose member has this value.
    ///
    /// # Panics
    ///
    /// When none comes within the deadline, or the log is not JSON.
    pub fn log_entry(&self, member: &str, value: &str) -> serde_json::Value {
        wait::until(&format!("an entry with {member} {value}"), || {
            self.stdout().iter().find_map(|line| {
                let entry: serde_json::Value =
                    serde_json::from_str(line).expect("the access log is JSON");
                (entry[member] == value).then_some(entry)
            })
        })
    }

    /// Waits until a GET to `web` is answered with this status, as after a change of documents.
    ///
    /// # Panics
    ///
    /// When it is not within the deadline.
    pub fn wait_for_status(&self, host: &str, target: &str, status: u16) -> Response {
        wait::until(&format!("status {status} of {host}{target}"), || {
            let response = self.get(host, target);
            (response.status == status).then_some(response)
        })
    }

    /// Resident memory in bytes.
    ///
    /// # Panics
    ///
    /// When the process is gone.
    pub fn memory_bytes(&self) -> u64 {
        let path = format!("/proc/{}/status", self.pid().as_raw_nonzero());
        let text = std::fs::read_to_string(path).expect("the process is there");
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib: u64 = line
            .and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok())
            .expect("the system names the memory");
        kib * 1024
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
        if std::thread::panicking() {
            eprintln!("--- the end of the gateway's standard error:\n{}", end(&self.stderr()));
            eprintln!("--- the end of its access log:\n{}", end(&self.stdout()));
        }
    }
}

/// The last of many lines.
fn end(lines: &[String]) -> String {
    lines[lines.len().saturating_sub(LINES_SHOWN)..].join("\n")
}

/// Keeps the lines of a pipe.
fn keep_lines(
    pipe: Option<impl Read + Send + 'static>,
    lines: &Arc<Mutex<Vec<String>>>,
) -> JoinHandle<()> {
    let pipe = pipe.expect("the output is piped");
    let lines = lines.clone();
    std::thread::spawn(move || {
        let mut reader = BufReader::new(pipe);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
            lock(&lines).push(String::from_utf8_lossy(&line).trim_end().to_owned());
            line.clear();
        }
    })
}

fn write_file(path: &Path, text: &str) {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).expect("the folder is writable");
    }
    let mut hidden: PathBuf = path.to_path_buf();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    hidden.set_file_name(format!(".{name}.new"));
    std::fs::write(&hidden, text).expect("the folder is writable");
    std::fs::rename(&hidden, path).expect("the folder is writable");
}
