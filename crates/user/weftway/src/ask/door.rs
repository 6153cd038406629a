//! Where proxies can be asked.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use weft_runtime::time;

use crate::inspect::SOCKET;

/// An answer that takes longer comes from a proxy that hangs.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A larger answer is none of ours.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// An admin endpoint.
#[derive(Debug, Clone)]
pub(super) struct Door {
    /// Whose it is: a workload as `--from` takes it, the gateway, or an address.
    pub(super) by: String,
    place: Place,
}

#[derive(Debug, Clone)]
enum Place {
    Tcp(String),
    Socket(PathBuf),
}

/// Why an endpoint has given no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unasked {
    /// It has nothing of the kind.
    #[error("{0}")]
    Unknown(String),
    /// It cannot be asked.
    #[error("{0:#}")]
    Other(#[from] anyhow::Error),
}

/// The proxies of a mesh that run. Folders of those that run no more are left out.
pub(super) async fn proxies(state: &Path) -> Vec<Door> {
    let folders = std::fs::read_dir(state.join("proxies"));
    let mut found = Vec::new();
    for entry in folders.into_iter().flatten().filter_map(Result::ok) {
        let folder = entry.file_name().to_string_lossy().into_owned();
        let by = folder.split_once('.').map_or(folder.clone(), |(namespace, name)| {
            // As the node calls folders after workloads.
            format!("{namespace}/{name}")
        });
        let socket = entry.path().join(SOCKET);
        if !is_dead(&socket).await {
            found.push(Door { by, place: Place::Socket(socket) });
        }
    }
    found.sort_by(|a, b| a.by.cmp(&b.by));
    found
}

/// The gateway that `weftway up` has started.
pub(super) fn gateway(state: &Path) -> Option<Door> {
    let socket = state.join("gateway").join(SOCKET);
    let door = || Door { by: super::GATEWAY.to_owned(), place: Place::Socket(socket.clone()) };
    socket.exists().then(door)
}

/// Whether a name is that of another instance of the workload `from`: `checkout-2` of `checkout`.
pub(super) fn is_instance_of(from: &str) -> impl Fn(&str) -> bool {
    let name = crate::offline::name(from).to_owned();
    move |by| {
        let number = by.strip_prefix(&*name).and_then(|rest| rest.strip_prefix('-'));
        number.is_some_and(|number| number.parse::<u32>().is_ok())
    }
}

/// Whether nobody listens there any more. One that is not there was never bound.
async fn is_dead(socket: &Path) -> bool {
    let connected = UnixStream::connect(socket).await;
    connected.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

// === impl Door ===

impl Door {
    /// The endpoint at an address.
    pub(super) fn at(addr: &str) -> Self {
        Self { by: addr.to_owned(), place: Place::Tcp(addr.to_owned()) }
    }

    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Unasked> {
        let exchanged = time::timeout(TIMEOUT, self.exchange(path)).await;
        let (status, bytes) = exchanged.unwrap_or_else(|_| {
            Err(anyhow!("{self} does not answer within {} s", TIMEOUT.as_secs()))
        })?;
        let said = || String::from_utf8_lossy(&bytes).trim_end().to_owned();
        match status {
            StatusCode::OK => Ok(serde_json::from_slice(&bytes)
                .with_context(|| format!("the answer of {self} is not understood"))?),
            StatusCode::GONE => Err(Unasked::Unknown(said())),
            StatusCode::NOT_FOUND => Err(self.is_older().into()),
            _ => Err(anyhow!("{self} says: {}", said()).into()),
        }
    }

    async fn exchange(&self, path: &str) -> anyhow::Result<(StatusCode, Vec<u8>)> {
        match &self.place {
            Place::Tcp(addr) => {
                let stream = TcpStream::connect(addr).await;
                exchange(stream.map_err(|error| self.unreachable(error))?, path).await
            }
            Place::Socket(socket) => {
                let stream = UnixStream::connect(socket).await;
                exchange(stream.map_err(|error| self.unreachable(error))?, path).await
            }
        }
    }

    fn unreachable(&self, error: io::Error) -> anyhow::Error {
        match (&self.place, error.kind()) {
            (Place::Socket(socket), io::ErrorKind::NotFound) => anyhow!(
                "{self} has no socket at {}: it is older than this command (`weftway proxies \
                 upgrade` replaces it), or only about to start",
                socket.display()
            ),
            (Place::Socket(socket), io::ErrorKind::PermissionDenied) => anyhow!(
                "{self} answers its own user and root alone at {}: try it with sudo",
                socket.display()
            ),
            (Place::Tcp(_), io::ErrorKind::ConnectionRefused) => {
                anyhow!("nobody listens at {self} (see --admin, here and of what runs there)")
            }
            _ => anyhow::Error::new(error).context(format!("{self} cannot be reached")),
        }
    }

    fn is_older(&self) -> anyhow::Error {
        anyhow!(
            "{self} cannot explain requests: it is older than this command (`weftway proxies \
             upgrade` replaces proxies of a mesh in place)"
        )
    }
}

impl std::fmt::Display for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.place {
            Place::Tcp(addr) => f.write_str(addr),
            Place::Socket(_) if self.by == super::GATEWAY => f.write_str(&self.by),
            Place::Socket(_) => write!(f, "the proxy of {}", self.by),
        }
    }
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    path: &str,
) -> anyhow::Result<(StatusCode, Vec<u8>)> {
    let req = Request::get(path).body(Body::empty())?;
    let exchanged = crate::exchange::exchange("admin-client", stream, req, ANSWER_BYTES_MAX).await;
    exchanged.context("the proxy broke off")
}
