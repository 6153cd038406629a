//! gRPC on one of hyper's connections, on one thread.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use http::uri::PathAndQuery;
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;
use tonic::client::{Grpc, GrpcService};
use tonic::{Request, Status, Streaming};
use tonic_prost::ProstCodec;
use weft_runtime::task;

use crate::endpoint::Transport;

/// Size of a message that is received. The control plane sends about 1 MiB at a time, and no single
/// resource is that large.
const MESSAGE_BYTES_MAX: usize = 16 << 20;

/// How often the other end is asked whether it is still there, and how long it may take to answer.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// Messages on their way out.
const WAITING: usize = 16;

/// A connection to the control plane. Clones are the same connection, which ends with the last.
#[derive(Debug, Clone)]
pub(crate) struct Channel(http2::SendRequest<Body>);

/// Spawns onto the present thread.
#[derive(Debug, Clone, Copy)]
struct LocalExecutor;

type Answering = Pin<Box<dyn Future<Output = hyper::Result<http::Response<Incoming>>>>>;

// === impl Channel ===

impl Channel {
    /// Begins HTTP/2.
    pub(crate) async fn open(io: Box<dyn Transport>) -> hyper::Result<Self> {
        let mut builder = http2::Builder::new(LocalExecutor);
        builder
            .timer(TokioTimer::new())
            .keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE)
            .keep_alive_while_idle(true);
        let (sender, conn) = builder.handshake(TokioIo::new(io)).await?;
        task::spawn("link connection", async move {
            if let Err(error) = conn.await {
                tracing::debug!(%error, "the connection to the control plane has broken");
            }
        });
        Ok(Self(sender))
    }

    /// A call of one message each way.
    pub(crate) async fn unary<Req, Rsp>(
        &self,
        path: &'static str,
        request: Request<Req>,
    ) -> Result<Rsp, Status>
    where
        Req: prost::Message + Default + Send + Sync + 'static,
        Rsp: prost::Message + Default + Send + Sync + 'static,
    {
        let mut grpc = self.grpc();
        grpc.ready().await.map_err(broken)?;
        let codec = ProstCodec::<Req, Rsp>::new();
        let response = grpc.unary(request, PathAndQuery::from_static(path), codec).await?;
        Ok(response.into_inner())
    }

    /// A call with messages both ways.
    pub(crate) async fn stream<Req, Rsp>(
        &self,
        path: &'static str,
    ) -> Result<(mpsc::Sender<Req>, Streaming<Rsp>), Status>
    where
        Req: prost::Message + Default + Send + Sync + 'static,
        Rsp: prost::Message + Default + Send + Sync + 'static,
    {
        let (requests, sent) = mpsc::channel(WAITING);
        let mut grpc = self.grpc();
        grpc.ready().await.map_err(broken)?;
        let codec = ProstCodec::<Req, Rsp>::new();
        let request = Request::new(ReceiverStream::new(sent));
        let response = grpc.streaming(request, PathAndQuery::from_static(path), codec).await?;
        Ok((requests, response.into_inner()))
    }

    fn grpc(&self) -> Grpc<Self> {
        let origin = Uri::from_static("http://control");
        Grpc::with_origin(self.clone(), origin).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }
}

impl GrpcService<Body> for Channel {
    type ResponseBody = Incoming;
    type Error = hyper::Error;
    type Future = Answering;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<Body>) -> Answering {
        Box::pin(self.0.send_request(request))
    }
}

// === impl LocalExecutor ===

impl<F> hyper::rt::Executor<F> for LocalExecutor
where
    F: Future + 'static,
    F::Output: 'static,
{
    fn execute(&self, future: F) {
        task::spawn("link stream", future);
    }
}

fn broken(error: hyper::Error) -> Status {
    Status::unavailable(format!("the connection has broken: {error}"))
}
