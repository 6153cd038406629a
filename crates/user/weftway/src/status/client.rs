//! Asks a control plane by its status socket.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use weft_admin_api::rotation::RefusalView;
use weft_runtime::time;

use super::SOCKET;
use crate::exchange::exchange;
use crate::folder;

/// The largest answer: a thousand proxies and their certificates take one or two MB.
const ANSWER_BYTES_MAX: usize = 256 << 20;

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Where `weftway control` keeps its state by default.
const CONTROL_FOLDER: &str = "/var/lib/weftway";

/// Asks one control plane; each question has a connection of its own.
#[derive(Debug, Clone)]
pub(crate) struct StatusClient {
    socket: PathBuf,
}

/// What became of a change that was asked for.
#[derive(Debug)]
pub(crate) enum Answer<T> {
    /// It was made.
    Done(T),
    /// It was not.
    Refused(RefusalView),
}

// === impl StatusClient ===

impl StatusClient {
    /// Of the control plane with that folder; of the one that has a socket at the usual places when
    /// none is given.
    pub(crate) fn new(state: Option<&Path>) -> Self {
        let usual = folder::path(state).join(SOCKET);
        let other = Path::new(CONTROL_FOLDER).join(SOCKET);
        let is_other = state.is_none() && !usual.exists() && other.exists();
        Self { socket: if is_other { other } else { usual } }
    }

    /// Asks for something to be shown.
    pub(crate) async fn show<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        serde_json::from_slice(&self.text(path).await?)
            .with_context(|| format!("the control plane's answer to {path} is not understood"))
    }

    /// The same for what is not JSON.
    pub(crate) async fn text(&self, path: &str) -> anyhow::Result<Vec<u8>> {
        match self.send(Method::GET, path, Vec::new()).await? {
            (StatusCode::OK, bytes) => Ok(bytes),
            (status, bytes) => Err(unexpected(path, status, &bytes)),
        }
    }

    /// Asks for something to be changed.
    pub(crate) async fn change<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> anyhow::Result<Answer<T>> {
        let (status, bytes) = self.send(Method::POST, path, serde_json::to_vec(body)?).await?;
        let answer = match status {
            StatusCode::OK => serde_json::from_slice(&bytes).map(Answer::Done),
            StatusCode::CONFLICT | StatusCode::BAD_REQUEST | StatusCode::INTERNAL_SERVER_ERROR => {
                serde_json::from_slice(&bytes).map(Answer::Refused)
            }
            status => return Err(unexpected(path, status, &bytes)),
        };
        answer.with_context(|| format!("the control plane's answer to {path} is not understood"))
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> anyhow::Result<(StatusCode, Vec<u8>)> {
        let exchanged = time::timeout(TIMEOUT, self.exchange(method, path, body)).await;
        let socket = self.socket.display();
        exchanged.unwrap_or_else(|_| bail!("the control plane at {socket} does not answer"))
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> anyhow::Result<(StatusCode, Vec<u8>)> {
        let broken = || format!("the control plane at {} broke off", self.socket.display());
        let stream = UnixStream::connect(&self.socket).await;
        let stream = stream.map_err(|error| self.unreachable(error))?;
        self.is_trusted(&stream)?;
        let req = Request::builder().method(method).uri(path).body(Body::from(body))?;
        exchange("status-client", stream, req, ANSWER_BYTES_MAX).await.with_context(broken)
    }

    /// What is told here is believed: whom to trust, and tokens.
    fn is_trusted(&self, stream: &UnixStream) -> anyhow::Result<()> {
        let own = rustix::process::getuid();
        let socket = self.socket.display();
        let peer = stream.peer_cred().with_context(|| format!("nobody knows who has {socket}"))?;
        if own.is_root() || [0, own.as_raw()].contains(&peer.uid()) {
            return Ok(());
        }
        bail!("user {} listens at {socket}, and neither you nor root", peer.uid())
    }

    fn unreachable(&self, error: io::Error) -> anyhow::Error {
        let socket = self.socket.display();
        let said = match error.kind() {
            io::ErrorKind::PermissionDenied => {
                format!("{socket} is for its owner: run this as the user of the control plane")
            }
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => format!(
                "no control plane listens at {socket}: start one with `weftway up`, or say where \
                 it is (see --state)"
            ),
            _ => format!("the control plane at {socket} cannot be asked"),
        };
        anyhow!(error).context(said)
    }
}

fn unexpected(path: &str, status: StatusCode, bytes: &[u8]) -> anyhow::Error {
    let text = String::from_utf8_lossy(bytes);
    anyhow!("the control plane answers {path} with {status}: {}", text.trim())
}
