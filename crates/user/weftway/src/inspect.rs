//! Asking proxies that run: what would become of a request, what became of recent ones. And the
//! other side of it, what a proxy answers.

#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use axum::body::{Body, to_bytes};
use axum::http::header::HOST;
use axum::http::{Request, StatusCode};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use weft_admin_api::explain::SampleView;
use weft_admin_api::{ExplanationView, RecentView};
use weft_explain::{InvalidQuestion, Question, Standpoint};
use weft_model::Snapshot;
use weft_proxy::sample::{Sample, Samples};
use weft_runtime::{task, time};
use weft_upstream::shared::Shared;

use crate::args::WhereArgs;
use crate::explain::view;
use crate::folder;

/// The socket of a proxy's admin endpoint in its folder. `admin.sock` is the control plane's, which
/// may have the same folder.
pub(crate) const SOCKET: &str = "proxy.sock";

/// An answer that takes longer comes from a proxy that hangs.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A larger answer is none of ours.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// What is asked.
#[derive(Debug, Clone)]
pub(crate) enum Asked {
    /// What would become of a request.
    Request {
        /// The request.
        request: String,
        /// `name: value` each.
        headers: Vec<String>,
    },
    /// What became of the request of this id, and what would become of it now.
    Id(String),
}

/// What a proxy answers from besides its configuration.
#[derive(Debug, Clone)]
pub(crate) struct Inspect {
    /// Where its requests are made.
    pub(crate) standpoint: Standpoint,
    /// Its recent requests.
    pub(crate) samples: Samples,
    /// How its endpoints stand.
    pub(crate) shared: Shared,
}

/// Why a proxy has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoAnswer {
    /// The question is none.
    #[error(transparent)]
    Question(#[from] InvalidQuestion),
    /// Nobody has seen that request, or it is too long ago.
    #[error("no request `{0}` is among the recent ones: the last few hundred of each worker")]
    NoRequest(String),
    /// Neither a request nor an id.
    #[error("say which request (`request=GET http://host/path`) or its id (`id=...`)")]
    Nothing,
}

// === impl Inspect ===

impl Inspect {
    /// What would become of a request under `snapshot`.
    pub(crate) fn explain(&self, snapshot: &Snapshot, question: &Question) -> ExplanationView {
        let explanation = weft_explain::explain(snapshot, &self.standpoint, question);
        let state = |backend: &_, addr| {
            let Some(standing) = self.shared.standing(backend, addr) else {
                return Some("not used yet".to_owned());
            };
            let mut words = Vec::new();
            words.extend((!standing.is_healthy).then(|| "unhealthy".to_owned()));
            words.extend(standing.is_set_aside.then(|| "set aside".to_owned()));
            let is_fit = words.is_empty();
            words.extend(is_fit.then(|| "usable".to_owned()));
            let busy = (standing.requests > 0).then(|| format!("{} requests", standing.requests));
            words.extend(busy);
            Some(words.join(", "))
        };
        view::explanation(question, snapshot, &explanation, Some(&state))
    }

    /// The same for a recent request.
    pub(crate) fn explain_past(
        &self,
        snapshot: &Snapshot,
        id: &str,
    ) -> Result<ExplanationView, NoAnswer> {
        let sample = self.samples.find(id).ok_or_else(|| NoAnswer::NoRequest(id.to_owned()))?;
        let past = view::sample(&sample);
        let question = question_of(&past, &sample)?;
        let view = self.explain(snapshot, &question);
        Ok(ExplanationView { past: Some(past), ..view })
    }

    /// The recent requests, the newest first.
    pub(crate) fn recent(&self) -> RecentView {
        RecentView { requests: self.samples.recent().iter().map(view::sample).collect() }
    }
}

/// The question that asks for a recent request again.
fn question_of(past: &SampleView, sample: &Sample) -> Result<Question, InvalidQuestion> {
    let headers = past.headers.iter().map(String::as_str);
    let mut question = Question::parse(&past.request, headers)?;
    question.client = sample.client.ip();
    Ok(question)
}

/// The same for one that was written to JSON.
pub(crate) fn question(past: &SampleView) -> Result<Question, InvalidQuestion> {
    let mut question = Question::parse(&past.request, past.headers.iter().map(String::as_str))?;
    question.client = past.client.ip();
    Ok(question)
}

/// The answer of the proxy or gateway that is meant; of the first that knows a past request.
///
/// # Errors
///
/// When none answers, or none knows.
pub(crate) async fn explain(at: &WhereArgs, asked: &Asked) -> anyhow::Result<ExplanationView> {
    let path = match asked {
        Asked::Request { request, headers } => {
            let headers = headers.iter().map(|header| format!("&header={}", escaped(header)));
            format!("/explain?request={}{}", escaped(request), headers.collect::<String>())
        }
        Asked::Id(id) => format!("/explain?id={}", escaped(id)),
    };
    let doors = doors(at)?;
    let mut failed = None;
    for door in &doors {
        match door.get(&path).await {
            Ok(view) => return Ok(view),
            Err(error) => failed = Some(error),
        }
    }
    Err(failed.unwrap_or_else(|| anyhow::anyhow!("there is no proxy to ask (see --from, --admin)")))
}

/// The recent requests of every proxy of the mesh below `state`, with the workload beside it.
pub(crate) async fn recent(state: &Path) -> Vec<(String, RecentView)> {
    let mut all = Vec::new();
    for (name, door) in proxies(state) {
        match door.get::<RecentView>("/recent").await {
            Ok(view) => all.push((name, view)),
            Err(error) => tracing::debug!(workload = name, "{error:#}"),
        }
    }
    all
}

/// Where an admin endpoint is.
#[derive(Debug, Clone)]
enum Door {
    Tcp(String),
    Socket(PathBuf),
}

/// The endpoints that are meant.
fn doors(at: &WhereArgs) -> anyhow::Result<Vec<Door>> {
    if let Some(admin) = &at.admin {
        return Ok(vec![Door::Tcp(admin.clone())]);
    }
    let state = folder::path(at.state.as_deref());
    folder::check(&state)?;
    // As the node calls folders after workloads.
    let wanted = at.from.as_deref().map(|from| match crate::offline::caller(from) {
        ("default", name) => name.to_owned(),
        (namespace, name) => format!("{namespace}.{name}"),
    });
    let is_meant = |name: &str| match &wanted {
        None => true,
        Some(wanted) => {
            let rest = name.strip_prefix(wanted.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        }
    };
    let found: Vec<Door> = proxies(&state)
        .into_iter()
        .filter(|(name, _)| is_meant(name))
        .map(|(_, door)| door)
        .collect();
    if let (Some(from), []) = (&at.from, &*found) {
        bail!("no workload `{from}` runs in the mesh of {}", state.display());
    }
    Ok(found)
}

/// The proxies of a mesh by the names of their folders: `name`, or `namespace.name`.
fn proxies(state: &Path) -> Vec<(String, Door)> {
    let folders = std::fs::read_dir(state.join("proxies"));
    let mut found: Vec<(String, Door)> = folders
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
        .filter(|entry| entry.path().join(SOCKET).exists())
        .map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            (name, Door::Socket(entry.path().join(SOCKET)))
        })
        .collect();
    found.sort_by(|(a, _), (b, _)| a.cmp(b));
    found
}

// === impl Door ===

impl Door {
    async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        let exchanged = time::timeout(TIMEOUT, self.exchange(path)).await;
        let (status, bytes) =
            exchanged.unwrap_or_else(|_| bail!("the proxy at {self} does not answer"))?;
        match status {
            StatusCode::OK => serde_json::from_slice(&bytes)
                .with_context(|| format!("the answer of {self} is not understood")),
            _ => bail!("{}", String::from_utf8_lossy(&bytes).trim_end()),
        }
    }

    async fn exchange(&self, path: &str) -> anyhow::Result<(StatusCode, Vec<u8>)> {
        let unreachable = |error: io::Error| {
            anyhow::Error::new(error).context(format!("the proxy at {self} cannot be reached"))
        };
        match self {
            Self::Tcp(addr) => {
                exchange(TcpStream::connect(addr).await.map_err(unreachable)?, path).await
            }
            Self::Socket(socket) => {
                exchange(UnixStream::connect(socket).await.map_err(unreachable)?, path).await
            }
        }
    }
}

impl std::fmt::Display for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(addr) => f.write_str(addr),
            Self::Socket(path) => path.display().fmt(f),
        }
    }
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    path: &str,
) -> anyhow::Result<(StatusCode, Vec<u8>)> {
    let broken = "the proxy broke off";
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.context(broken)?;
    let connection = task::spawn("admin-client", connection);
    let req = Request::get(path).header(HOST, "localhost").body(Body::empty())?;
    let rsp = sender.send_request(req).await.context(broken)?;
    let status = rsp.status();
    let bytes = to_bytes(Body::new(rsp.into_body()), ANSWER_BYTES_MAX).await;
    connection.abort();
    Ok((status, bytes.context(broken)?.to_vec()))
}

/// Text as it stands in a query.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                escaped.push(char::from(byte));
            }
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}
