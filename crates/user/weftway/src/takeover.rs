//! Upgrade in place: a newer process takes the listening sockets over, and this one drains.
//!
//! The newer process connects to a Unix socket, gets every listening socket by descriptor, starts,
//! and says when it is ready. From then on the older one accepts nothing, finishes what runs and
//! ends. Connections that arrive meanwhile wait in the kernel's queues, which both processes hold;
//! none is refused, and none reset: even when the number of workers differs, every socket is
//! accepted from by somebody. A newer process that fails before it is ready changes nothing.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::rc::Rc;

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Notify;
use weft_net::pass::{self, Passed};
use weft_runtime::task;

use crate::control::bind_unix;

/// What the newer process says when it is ready.
const READY: u8 = b'R';

/// The older process' side.
pub(crate) struct Takeover {
    listener: Option<UnixListener>,
    ready: Rc<Notify>,
}

/// The newer process' side: what it was given.
#[derive(Default)]
pub(crate) struct Inherited {
    sockets: HashMap<String, Vec<Passed>>,
    predecessor: Option<UnixStream>,
    /// A newer process may ask for them in turn.
    keeps: bool,
    took_over: bool,
}

/// A listening socket and what it is for.
pub(crate) type Named = (String, OwnedFd);

// === impl Takeover ===

impl Takeover {
    /// Waits at `path` for a newer process; for none without a path. An older process that has
    /// passed its sockets on may still be there; its place is taken.
    pub(crate) fn new(path: Option<&Path>, inherited: &Inherited) -> anyhow::Result<Self> {
        if let (Some(path), true) = (path, inherited.took_over) {
            let _ = std::fs::remove_file(path);
        }
        let listener = path.map(bind_unix).transpose().context("see --takeover")?;
        Ok(Self { listener, ready: Rc::default() })
    }

    /// Waits for a newer process that asks for the sockets. [`Takeover::pass`] gives them.
    ///
    /// Cancel safe.
    pub(crate) async fn asked(&self) -> UnixStream {
        loop {
            let Some(listener) = &self.listener else { return std::future::pending().await };
            match listener.accept().await {
                Ok((stream, _)) if is_own(&stream) => return stream,
                Ok(_) => tracing::warn!("somebody else asks for the listening sockets: refused"),
                Err(error) => {
                    tracing::warn!(%error, "a newer process cannot be heard");
                    return std::future::pending().await;
                }
            }
        }
    }

    /// Passes the sockets. [`Takeover::succeeded`] says when the newer process is ready.
    pub(crate) fn pass(&self, mut stream: UnixStream, sockets: Vec<Named>) {
        let ready = self.ready.clone();
        task::spawn("takeover", async move {
            let named: Vec<_> =
                sockets.iter().map(|(name, socket)| (name.as_str(), socket.as_fd())).collect();
            if let Err(error) = pass::send(&mut stream, &named).await {
                tracing::warn!(%error, "the sockets could not be passed on; this one goes on");
                return;
            }
            tracing::info!(sockets = named.len(), "a newer process has the listening sockets");
            let mut said = [0];
            match stream.read_exact(&mut said).await {
                Ok(_) if said == [READY] => ready.notify_one(),
                _ => {
                    tracing::warn!("the newer process ended before it was ready; this one goes on")
                }
            }
        });
    }

    /// Waits until a newer process is ready.
    ///
    /// Cancel safe.
    pub(crate) async fn succeeded(&self) {
        self.ready.notified().await;
    }
}

// === impl Inherited ===

impl Inherited {
    /// Asks the process that listens at `path` for its sockets; gets nothing when nobody does.
    ///
    /// # Errors
    ///
    /// When somebody listens there and does not answer as expected.
    pub(crate) async fn ask(path: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = path else { return Ok(Self::default()) };
        let Ok(mut stream) = UnixStream::connect(path).await else {
            return Ok(Self { keeps: true, ..Self::default() });
        };
        let passed = pass::receive(&mut stream).await.with_context(|| {
            format!("the process at {} does not pass its sockets on", path.display())
        })?;
        tracing::info!(sockets = passed.len(), "took over from an older process");
        let mut sockets: HashMap<String, Vec<Passed>> = HashMap::new();
        for one in passed {
            sockets.entry(one.name.clone()).or_default().push(one);
        }
        Ok(Self { sockets, predecessor: Some(stream), keeps: true, took_over: true })
    }

    /// Whether sockets are to be kept for a newer process.
    pub(crate) fn keeps(&self) -> bool {
        self.keeps
    }

    /// Whether an older process serves until this one says that it is ready.
    pub(crate) fn has_predecessor(&self) -> bool {
        self.predecessor.is_some()
    }

    /// The listening sockets of that name, as far as they are at `addr`; port 0 is any port.
    pub(crate) fn tcp(&mut self, name: &str, addr: SocketAddr) -> Vec<TcpListener> {
        let passed = self.sockets.remove(name).unwrap_or_default();
        let listeners = passed.into_iter().filter_map(|one| match one.into_tcp_listener() {
            Ok(listener) => Some(listener),
            Err(error) => {
                tracing::warn!(%error, "a socket that was taken over cannot be used");
                None
            }
        });
        listeners.filter(|listener| listener.local_addr().is_ok_and(|at| is_at(at, addr))).collect()
    }

    /// The sockets for datagrams of that name.
    pub(crate) fn udp(&mut self, name: &str) -> Vec<UdpSocket> {
        let passed = self.sockets.remove(name).unwrap_or_default();
        passed.into_iter().filter_map(|one| one.into_udp_socket().ok()).collect()
    }

    /// Tells the older process that this one is ready. What was not taken is closed.
    pub(crate) async fn say_ready(&mut self) {
        self.sockets.clear();
        if let Some(mut predecessor) = self.predecessor.take()
            && let Err(error) = predecessor.write_all(&[READY]).await
        {
            tracing::warn!(%error, "the older process could not be told to end");
        }
    }
}

/// One more descriptor of a socket, to be passed on.
pub(crate) fn duplicate(name: &str, socket: &impl std::os::fd::AsFd) -> Option<Named> {
    match socket.as_fd().try_clone_to_owned() {
        Ok(socket) => Some((name.to_owned(), socket)),
        Err(error) => {
            tracing::warn!(%error, name, "a socket cannot be passed on");
            None
        }
    }
}

fn is_at(at: SocketAddr, wanted: SocketAddr) -> bool {
    (at.ip() == wanted.ip() || wanted.ip().is_unspecified())
        && (wanted.port() == 0 || at.port() == wanted.port())
}

/// Whether the other end runs as the same user, or as root.
fn is_own(stream: &UnixStream) -> bool {
    let own = rustix::process::getuid().as_raw();
    stream.peer_cred().is_ok_and(|peer| peer.uid() == own || peer.uid() == 0)
}
