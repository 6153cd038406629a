//! The sample services: each says who it is and what it was asked.

use std::net::SocketAddr;

use anyhow::Context as _;
use axum::Router;
use axum::extract::Request;
use axum::response::IntoResponse;
use tokio::net::TcpListener;
use weft_runtime::task;

/// A running sample service.
pub(super) struct Service {
    pub(super) name: &'static str,
    pub(super) addr: SocketAddr,
}

/// The port by which routes know all of them.
const PORT: u16 = 8080;

/// Starts them all, on ports that the system chooses.
pub(super) async fn start() -> anyhow::Result<Vec<Service>> {
    let mut services = Vec::new();
    for name in ["greeter", "greeter-v2", "echo"] {
        let listener =
            TcpListener::bind("127.0.0.1:0").await.context("a sample service cannot listen")?;
        services.push(Service { name, addr: listener.local_addr()? });
        let app = Router::new().fallback(move |request: Request| answer(name, request));
        task::spawn("sample-service", async move {
            if let Err(error) = axum::serve(listener, app).await {
                tracing::error!(service = name, %error, "a sample service has ended");
            }
        });
    }
    Ok(services)
}

/// The documents that lead to them: what a cluster would know of its own accord.
pub(super) fn documents(services: &[Service]) -> String {
    let document = |Service { name, addr }: &Service| {
        let (ip, port) = (addr.ip(), addr.port());
        format!(
            "apiVersion: v1\n\
             kind: Service\n\
             metadata: {{name: {name}}}\n\
             spec: {{ports: [{{port: {PORT}, targetPort: {port}}}]}}\n\
             ---\n\
             apiVersion: discovery.k8s.io/v1\n\
             kind: EndpointSlice\n\
             metadata: {{name: {name}, labels: {{kubernetes.io/service-name: {name}}}}}\n\
             addressType: IPv4\n\
             ports: [{{port: {port}}}]\n\
             endpoints: [{{addresses: [{ip}]}}]\n"
        )
    };
    services.iter().map(document).collect::<Vec<_>>().join("---\n")
}

async fn answer(name: &'static str, request: Request) -> impl IntoResponse {
    let headers = request.headers();
    let text = |header: &str| {
        headers.get(header).and_then(|value| value.to_str().ok()).unwrap_or("-").to_owned()
    };
    format!(
        "hello from {name}\n  path {}\n  host {}\n  x-forwarded-for {}\n",
        request.uri(),
        text("host"),
        text("x-forwarded-for")
    )
}
