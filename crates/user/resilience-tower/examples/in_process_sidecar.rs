//! A sidecar in the process: the application makes plain calls, and what is beside it discovers
//! instances, retries, stops calling what fails, and counts.
//!
//! ```text
//!   app --- get("/") ---> sidecar --- HTTP ---> one of the instances of service B
//!                            ^
//!                            | who they are, as that changes
//!                        discovery
//! ```
//!
//! The application below has no line that has to do with failures: it knows [`Caller`]. What a mesh
//! does beside the process, by a proxy of its own, [`Sidecar`] does inside of it, with the same
//! mechanisms: for programs in Rust that want neither the hop nor the second process.
//!
//! ```text
//! cargo run -p resilience-tower --example in_process_sidecar
//! ```
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "an example is a program of its own"
)]

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use bytes::Bytes;
use http::uri::{Authority, Scheme};
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use resilience_tower::balance::{BalanceSettings, Change, HttpHints};
use resilience_tower::observe::{Event, Observer};
use resilience_tower::retry::RetrySettings;
use resilience_tower::settings::{AdaptiveSettings, OutlierSettings};
use resilience_tower::{
    Balance, Breaker, ConcurrencyLimit, Endpoints, ErrorLayer, Retry, Timeout, breaker,
};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tower::util::BoxCloneSyncService;
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};

type BoxError = Box<dyn Error + Send + Sync>;

/// A client that calls one instance.
type Instance = BoxCloneSyncService<
    Request<Full<Bytes>>,
    Response<Incoming>,
    resilience_tower::Error<hyper_util::client::legacy::Error>,
>;

// === the application: plain calls ===

/// How the application calls service B.
trait Caller {
    async fn get(&self, path: &str) -> Result<String, BoxError>;
}

/// Knows nothing of instances, retries or breakers.
async fn app(service_b: &impl Caller) -> Result<(), BoxError> {
    for _ in 0..20 {
        println!("app sees: {}", service_b.get("/").await?);
    }
    Ok(())
}

// === the sidecar: policy ===

/// Calls service B, whatever its instances do.
struct Sidecar {
    stack: BoxCloneSyncService<
        Request<Full<Bytes>>,
        Response<Incoming>,
        resilience_tower::Error<hyper_util::client::legacy::Error>,
    >,
}

/// Counts what the sidecar does. Clones are one set of counters.
#[derive(Clone, Default)]
struct Telemetry(Arc<Counters>);

#[derive(Default)]
struct Counters {
    requests: AtomicU64,
    retries: AtomicU64,
    refused: AtomicU64,
    ejections: AtomicU64,
}

impl Sidecar {
    /// With instances as discovery tells of them.
    fn new(discovery: mpsc::UnboundedReceiver<Change<SocketAddr, Instance>>) -> (Self, Telemetry) {
        let telemetry = Telemetry::default();
        let outlier = OutlierSettings { consecutive: Some(2), ..OutlierSettings::ISTIO };
        let endpoints = Endpoints::http(BalanceSettings::DEFAULT.outlier(outlier))
            .observed_by(telemetry.clone());
        let stack = ServiceBuilder::new()
            .layer(Timeout::new(Duration::from_secs(3)).observed_by(telemetry.clone()))
            .layer(Retry::http(RetrySettings::DEFAULT).observed_by(telemetry.clone()))
            .layer(Timeout::new(Duration::from_secs(1)))
            .layer(Breaker::http(&breaker::on_failure_ratio(0.9, 20)))
            .layer(ConcurrencyLimit::adaptive(AdaptiveSettings::DEFAULT))
            .service(Balance::new(endpoints.clone()).hinted_by(HttpHints));
        tokio::spawn(async move {
            let changes = UnboundedReceiverStream::new(discovery);
            endpoints.follow(tokio_stream::StreamExt::map(changes, Ok::<_, BoxError>)).await
        });
        (Self { stack: BoxCloneSyncService::new(stack) }, telemetry)
    }
}

impl Caller for Sidecar {
    async fn get(&self, path: &str) -> Result<String, BoxError> {
        let req = Request::get(path).body(Full::default())?;
        let answer = self.stack.clone().oneshot(req).await?;
        let status = answer.status();
        let text = answer.into_body().collect().await?.to_bytes();
        Ok(format!("{status} {}", String::from_utf8_lossy(&text)))
    }
}

impl Observer for Telemetry {
    fn event(&self, event: &Event<'_>) {
        let counters = &self.0;
        let counter = match event {
            Event::Attempt { number: 1 } => &counters.requests,
            Event::Retry { number, wait } => {
                println!("[sidecar] attempt {number} in {wait:?}");
                &counters.retries
            }
            Event::Ejected { endpoint, duration, .. } => {
                println!("[sidecar] {endpoint:?} is left alone for {duration:?}");
                &counters.ejections
            }
            Event::Refused { .. } => &counters.refused,
            _ => return,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

// === what the example runs it in ===

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let (discovery, changes) = mpsc::unbounded_channel();
    let client = Client::builder(TokioExecutor::new()).build_http();
    let mut instances = Vec::new();
    for failing in [false, true, false] {
        let addr = service_b(failing).await?;
        discovery.send(Change::Insert(addr, instance(client.clone(), addr)?))?;
        instances.push(addr);
    }
    let (sidecar, telemetry) = Sidecar::new(changes);
    tokio::task::yield_now().await; // discovery is heard
    app(&sidecar).await?;

    // An instance goes away; the application does not notice.
    discovery.send(Change::Remove(instances[0]))?;
    tokio::task::yield_now().await;
    app(&sidecar).await?;

    let Counters { requests, retries, refused, ejections } = &*telemetry.0;
    println!(
        "[sidecar] {requests:?} requests, {retries:?} retries, {refused:?} refused, {ejections:?} ejected"
    );
    Ok(())
}

/// A client of one instance: all share the connections, the address decides.
fn instance(
    client: Client<HttpConnector, Full<Bytes>>,
    addr: SocketAddr,
) -> Result<Instance, BoxError> {
    let authority: Authority = addr.to_string().parse()?;
    let client = service_fn(move |mut req: Request<Full<Bytes>>| {
        let mut parts = req.uri().clone().into_parts();
        parts.scheme = Some(Scheme::HTTP);
        parts.authority = Some(authority.clone());
        if let Ok(uri) = Uri::from_parts(parts) {
            *req.uri_mut() = uri;
        }
        client.request(req)
    });
    Ok(BoxCloneSyncService::new(ErrorLayer.layer(client)))
}

/// An instance of service B on a free port of this machine.
async fn service_b(failing: bool) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let addr = listener.local_addr()?;
    let routes = Router::new().route(
        "/",
        get(move || async move {
            match failing {
                true => Err(StatusCode::SERVICE_UNAVAILABLE),
                false => Ok(format!("from service B at {addr}")),
            }
        }),
    );
    tokio::spawn(async move { axum::serve(listener, routes).await });
    Ok(addr)
}
