//! The admin endpoint: metrics, health, readiness and what is in force.
//!
//! It lives on the control thread, so that a slow reader of metrics never holds up traffic, and
//! stays up while the process drains, so that `/readyz` can say so.
//!
//! It is open to whoever can reach its address (loopback by default), so it only ever reads; a
//! question about a service has it learned of, as a call would. A browser on the same machine can
//! reach it too: requests whose `Host` is a name other than `localhost` are refused, which keeps a
//! web page from getting at it by rebinding its own name.

mod control;
mod dump;
mod host;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{FromRef, Query, Request, State};
use axum::http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HOST};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};
use weft_admin_api::{ExplanationView, ReadinessView};
use weft_compile::Report;
use weft_explain::Question;
use weft_model::Snapshot;
use weft_runtime::metrics::Registry;
use weft_runtime::ready::Readiness;
use weft_runtime::task::Task;
use weft_runtime::{task, time};

use crate::control::bind_unix_in_place;
use crate::inspect::{self, Inspect, NoAnswer};
use crate::takeover::{self, Inherited, Named};

pub(crate) use control::{ControlAdmin, serve as serve_control};

/// What the endpoint shows.
#[derive(Clone)]
pub(crate) struct AdminState {
    /// Metrics.
    pub(crate) registry: Registry,
    /// What still keeps the process from being ready.
    pub(crate) readiness: Readiness,
    /// What is in force; none before the first configuration.
    pub(crate) config: watch::Receiver<Option<AdminConfig>>,
    /// What is asked about requests.
    pub(crate) inspect: Inspect,
}

/// What is in force.
pub(crate) struct AdminConfig {
    /// The configuration.
    pub(crate) snapshot: Arc<Snapshot>,
    /// What became of each document.
    pub(crate) report: Arc<Report>,
    /// Bound addresses by listener.
    pub(crate) addresses: BTreeMap<String, SocketAddr>,
}

/// Readers are scrapers, probes and a person or two; more at one time wait to be accepted.
const CONNECTIONS_MAX: usize = 64;

/// A head that takes longer, or a connection that idles longer, is closed; scrapers come back every
/// 15 to 60 s and may as well connect again.
const HEAD_TIMEOUT: Duration = Duration::from_secs(75);

/// Whole life of a connection, so that readers who take no answer cannot hold all places.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(600);

/// As long as a first call to a service waits for what the control plane tells of it.
const LEARN_MAX: Duration = Duration::from_secs(1);

/// After accepting failed (descriptors are exhausted, say).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

const INDEX: &str = "\
weftway admin
/metrics  metrics in Prometheus' text format
/healthz  whether the process lives
/readyz   whether it is ready, and what blocks
/config   the configuration in force, as JSON
/explain  what would become of ?request=GET http://host/path&header=name: value, or of a recent ?id=
/recent   recent requests, without bodies and secrets, as JSON
";

/// A socket for an endpoint of this kind, new or taken over from an older process.
pub(crate) struct Listening {
    name: &'static str,
    addr: SocketAddr,
    socket: TcpListener,
    kept: Option<Named>,
}

/// An endpoint that serves until this is dropped; connections that are open go on.
pub(crate) struct Serving {
    name: &'static str,
    kept: Option<Named>,
    task: Task<()>,
}

/// Listens at `addr`, on the socket of that name of an older process if there is one.
pub(crate) async fn listen(
    name: &'static str,
    addr: SocketAddr,
    inherited: &mut Inherited,
) -> std::io::Result<Listening> {
    let socket = match inherited.tcp(name, addr).pop() {
        Some(socket) => {
            socket.set_nonblocking(true)?;
            TcpListener::from_std(socket)?
        }
        None => TcpListener::bind(addr).await?,
    };
    let kept = takeover::duplicate(name, &socket);
    Ok(Listening { name, addr: socket.local_addr()?, socket, kept })
}

/// Serves all of it until the process ends.
///
/// Cancel safe: dropping it stops accepting; connections that are open go on.
pub(crate) async fn serve(listener: TcpListener, state: AdminState) {
    serve_routes(listener, guarded(routes(), state), Rc::new(|_| {})).await;
}

/// The same on a socket of this machine, for whoever may connect to it.
///
/// Cancel safe, as [`serve`].
async fn serve_unix(listener: UnixListener, state: AdminState) {
    serve_routes(listener, guarded(routes(), state), Rc::new(|_| {})).await;
}

/// The same on the socket of a proxy in its folder, until the task is aborted.
pub(crate) fn serve_in(folder: &Path, state: AdminState) -> Option<Task<()>> {
    match bind_unix_in_place(&folder.join(inspect::SOCKET)) {
        Ok(socket) => Some(task::spawn("admin", serve_unix(socket, state))),
        Err(error) => {
            // It serves all the same; `weftway explain` cannot ask it.
            tracing::warn!("{error:#}");
            None
        }
    }
}

fn routes() -> Router<AdminState> {
    index(probes())
        .route("/config", get(config))
        .route("/explain", get(explain))
        .route("/recent", get(recent))
}

/// Serves what others than the operator of the machine may see, metrics and readiness, until the
/// process ends.
///
/// Cancel safe, as [`serve`].
pub(crate) async fn serve_probes(listener: TcpListener, state: AdminState) {
    serve_routes(listener, probes().with_state(state), Rc::new(|_| {})).await;
}

/// Looks at a request on the control thread before a handler does, which may not have everything
/// that lives there.
type Look = Rc<dyn Fn(&mut hyper::Request<Incoming>)>;

/// What connections come by.
trait Accept {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    async fn accept(&self) -> std::io::Result<Self::Stream>;
}

impl Accept for TcpListener {
    type Stream = TcpStream;

    async fn accept(&self) -> std::io::Result<TcpStream> {
        self.accept().await.map(|(stream, _)| stream)
    }
}

impl Accept for UnixListener {
    type Stream = UnixStream;

    async fn accept(&self) -> std::io::Result<UnixStream> {
        self.accept().await.map(|(stream, _)| stream)
    }
}

async fn serve_routes(listener: impl Accept, router: Router, look: Look) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        match Accept::accept(&listener).await {
            Ok(stream) => {
                let connection = connection(stream, router.clone(), look.clone());
                task::spawn("admin-connection", async move {
                    let _ = time::timeout(CONNECTION_TIMEOUT, connection).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the admin endpoint cannot accept a connection");
                time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    look: Look,
) {
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut req| {
        look(&mut req);
        router.call(req)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "an admin connection broke");
    }
}

fn probes<S>() -> Router<S>
where
    S: Clone + Send + Sync + 'static,
    Registry: FromRef<S>,
    Readiness: FromRef<S>,
{
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
}

/// Adds the list of paths.
fn index<S: Clone + Send + Sync + 'static>(routes: Router<S>) -> Router<S> {
    routes
        .route("/", get(|| async { INDEX }))
        .fallback(|| async { (StatusCode::NOT_FOUND, "not found; / lists what there is\n") })
}

fn guarded<S: Clone + Send + Sync + 'static>(routes: Router<S>, state: S) -> Router {
    routes.layer(middleware::from_fn(guard)).with_state(state)
}

/// What holds for every path.
async fn guard(req: Request, next: Next) -> Response {
    if !matches!(*req.method(), Method::GET | Method::HEAD) {
        let allow = [(ALLOW, "GET, HEAD")];
        return (StatusCode::METHOD_NOT_ALLOWED, allow, "read only\n").into_response();
    }
    let authority = req.uri().authority().map(|authority| authority.as_str().as_bytes());
    let hosts = req.headers().get_all(HOST).into_iter().map(HeaderValue::as_bytes);
    if !hosts.chain(authority).all(host::is_local) {
        let text = "use the address itself or localhost, not another name\n";
        return (StatusCode::FORBIDDEN, text).into_response();
    }
    let mut rsp = next.run(req).await;
    rsp.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    rsp
}

async fn metrics(State(registry): State<Registry>) -> Response {
    let kind = [(CONTENT_TYPE, "text/plain; version=0.0.4")];
    (kind, registry.render()).into_response()
}

async fn ready(State(readiness): State<Readiness>) -> Response {
    let view = ReadinessView::new(readiness.pending(), std::process::id());
    let status = if view.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, axum::Json(view)).into_response()
}

/// `request` and any number of `header`, or `id`. With `arrives`, an address of the workload, it is a
/// request that others send there, with `peer` for who they are.
async fn explain(
    State(state): State<AdminState>,
    Query(asked): Query<Vec<(String, String)>>,
) -> Response {
    match state.answer(&asked).await {
        Ok(view) => axum::Json(view).into_response(),
        Err(error) => (error.status(), format!("{error}\n")).into_response(),
    }
}

async fn recent(State(state): State<AdminState>) -> Response {
    axum::Json(state.inspect.recent()).into_response()
}

async fn config(State(state): State<AdminState>) -> Response {
    let dump = match &*state.config.borrow() {
        Some(config) => dump::dump(config),
        None => {
            let text = "there is no configuration yet\n";
            return (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
        }
    };
    axum::Json(dump).into_response()
}

// === impl AdminState ===

impl AdminState {
    async fn answer(&self, asked: &[(String, String)]) -> Result<ExplanationView, NoAnswer> {
        let values = |name: &'static str| {
            asked.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
        };
        let value = |name| values(name).next();
        if let Some(id) = value("id") {
            return self.explain_past(id).await;
        }
        let mut question =
            Question::parse(value("request").ok_or(NoAnswer::Nothing)?, values("header"))?;
        question.peer = value("peer").map(Into::into);
        match value("arrives") {
            Some(addr) => {
                let addr = addr.parse().map_err(|_| NoAnswer::Address(addr.to_owned()))?;
                self.explain_arrived(question, addr)
            }
            None => {
                let snapshot = self.learned(&question).await?;
                Ok(self.inspect.explain(&snapshot, &question))
            }
        }
    }

    /// What becomes of a request that others send to an address of the workload.
    fn explain_arrived(
        &self,
        question: Question,
        addr: SocketAddr,
    ) -> Result<ExplanationView, NoAnswer> {
        let snapshot = self.config.borrow().as_ref().map(|config| config.snapshot.clone());
        let snapshot = snapshot.ok_or(NoAnswer::NoConfiguration)?;
        let listener = inspect::inbound(&snapshot, addr).ok_or(NoAnswer::NotHere(addr))?;
        let question = Question { listener: Some(listener), ..question };
        Ok(self.inspect.explain(&snapshot, &question))
    }

    async fn explain_past(&self, id: &str) -> Result<ExplanationView, NoAnswer> {
        let past = self.inspect.past(id)?;
        let snapshot = self.learned(&past.question).await?;
        Ok(self.inspect.explain_past(&snapshot, past))
    }

    /// The configuration with what the request is meant for. A service that nobody has called so
    /// far is asked for, and waited for as long as a first call waits.
    async fn learned(&self, question: &Question) -> Result<Arc<Snapshot>, NoAnswer> {
        let mut config = self.config.clone();
        let snapshot = |config: &Option<AdminConfig>| Some(config.as_ref()?.snapshot.clone());
        let present = snapshot(&config.borrow()).ok_or(NoAnswer::NoConfiguration)?;
        if !self.inspect.demands(&present, question) {
            return Ok(present);
        }
        let is_there = |config: &Option<AdminConfig>| {
            let snapshot = config.as_ref().map(|config| &config.snapshot);
            snapshot.is_some_and(|snapshot| self.inspect.unlearned(snapshot, question).is_none())
        };
        match time::timeout(LEARN_MAX, config.wait_for(is_there)).await {
            Ok(Ok(config)) => snapshot(&config).ok_or(NoAnswer::NoConfiguration),
            // What is known is told, and that it is not all.
            Ok(Err(_)) | Err(_) => Ok(present),
        }
    }
}

impl FromRef<AdminState> for Registry {
    fn from_ref(state: &AdminState) -> Self {
        state.registry.clone()
    }
}

impl FromRef<AdminState> for Readiness {
    fn from_ref(state: &AdminState) -> Self {
        state.readiness.clone()
    }
}

// === impl Listening ===

impl Listening {
    /// What it is called.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// Where it is.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Serves with what `work` makes of the socket.
    pub(crate) fn serve<F>(self, work: impl FnOnce(TcpListener) -> F) -> Serving
    where
        F: Future<Output = ()> + 'static,
    {
        let Self { name, addr: _, socket, kept } = self;
        Serving { name, kept, task: task::spawn(name, work(socket)) }
    }
}

// === impl Serving ===

impl Serving {
    /// Its socket, for a newer process.
    pub(crate) fn duplicate(&self) -> Option<Named> {
        self.kept.as_ref().and_then(|(_, socket)| takeover::duplicate(self.name, socket))
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests;
