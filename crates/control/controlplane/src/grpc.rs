//! gRPC on hyper's connections, without generated code and on one thread.

use std::convert::Infallible;
use std::future::{Future, Ready, ready};

use hyper::body::Incoming;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::server::{Grpc, ServerStreamingService, StreamingService, UnaryService};
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;
use weft_runtime::task;

/// Messages that wait to be written to one stream. What is written is made when the peer is ready
/// for it, so that more would only be older.
const WAITING: usize = 1;

/// Spawns onto the present thread.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LocalExecutor;

/// Where the messages of one stream go.
pub(crate) type Replies<T> = mpsc::Sender<Result<T, Status>>;

/// A response on its way out.
pub(crate) type Answer = Result<http::Response<tonic::body::Body>, Infallible>;

/// Hands what a call says over to a task, and takes the messages of the task for its answer.
struct Bridge<Said, Rsp> {
    said: Option<oneshot::Sender<Said>>,
    replies: Option<mpsc::Receiver<Result<Rsp, Status>>>,
}

/// The side of a [`Bridge`] that the task is on.
struct OtherSide<Said, Rsp> {
    received: oneshot::Receiver<Said>,
    replies: Replies<Rsp>,
}

/// A call of one message each way.
struct Call<F>(Option<F>);

/// Runs `serve` as a task for a call with messages both ways.
pub(crate) async fn stream<Req, Rsp, F>(
    name: &'static str,
    request: http::Request<Incoming>,
    message_bytes: usize,
    serve: impl FnOnce(Streaming<Req>, Replies<Rsp>) -> F,
) -> http::Response<tonic::body::Body>
where
    Req: prost::Message + Default + Send + 'static,
    Rsp: prost::Message + Default + Send + 'static,
    F: Future<Output = ()> + 'static,
{
    let (bridge, other_side) = Bridge::new();
    let response = grpc(message_bytes).streaming(bridge, request).await;
    other_side.run(name, serve).await;
    response
}

/// Runs `serve` as a task for a call of one message that is answered by many.
pub(crate) async fn server_stream<Req, Rsp, F>(
    name: &'static str,
    request: http::Request<Incoming>,
    message_bytes: usize,
    serve: impl FnOnce(Request<Req>, Replies<Rsp>) -> F,
) -> http::Response<tonic::body::Body>
where
    Req: prost::Message + Default + Send + 'static,
    Rsp: prost::Message + Default + Send + 'static,
    F: Future<Output = ()> + 'static,
{
    let (bridge, other_side) = Bridge::new();
    let response = grpc(message_bytes).server_streaming(bridge, request).await;
    other_side.run(name, serve).await;
    response
}

/// Answers a call of one message each way.
pub(crate) async fn unary<Req, Rsp, F>(
    request: http::Request<Incoming>,
    message_bytes: usize,
    serve: impl FnOnce(Request<Req>) -> F,
) -> http::Response<tonic::body::Body>
where
    Req: prost::Message + Default + Send + 'static,
    Rsp: prost::Message + Default + Send + 'static,
    F: Future<Output = Result<Rsp, Status>>,
{
    let serve = move |request| {
        let served = serve(request);
        async move { served.await.map(Response::new) }
    };
    grpc(message_bytes).unary(Call(Some(serve)), request).await
}

fn grpc<Req, Rsp>(message_bytes: usize) -> Grpc<ProstCodec<Rsp, Req>>
where
    Req: prost::Message + Default + Send + 'static,
    Rsp: prost::Message + Default + Send + 'static,
{
    Grpc::new(ProstCodec::new()).max_decoding_message_size(message_bytes)
}

// === impl LocalExecutor ===

impl<F> hyper::rt::Executor<F> for LocalExecutor
where
    F: Future + 'static,
    F::Output: 'static,
{
    fn execute(&self, future: F) {
        task::spawn("control stream", future);
    }
}

// === impl Bridge ===

impl<Said, Rsp> Bridge<Said, Rsp> {
    fn new() -> (Self, OtherSide<Said, Rsp>) {
        let (said, received) = oneshot::channel();
        let (replies, taken) = mpsc::channel(WAITING);
        (Self { said: Some(said), replies: Some(taken) }, OtherSide { received, replies })
    }

    fn cross(
        &mut self,
        said: Said,
    ) -> Result<Response<ReceiverStream<Result<Rsp, Status>>>, Status> {
        let (Some(task), Some(replies)) = (self.said.take(), self.replies.take()) else {
            return Err(Status::internal("a call is answered once"));
        };
        // Fails when the call is gone already; then nobody reads the answer either.
        let _ = task.send(said);
        Ok(Response::new(ReceiverStream::new(replies)))
    }
}

impl<Req, Rsp> StreamingService<Req> for Bridge<Streaming<Req>, Rsp> {
    type Response = Rsp;
    type ResponseStream = ReceiverStream<Result<Rsp, Status>>;
    type Future = Ready<Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<Streaming<Req>>) -> Self::Future {
        ready(self.cross(request.into_inner()))
    }
}

impl<Req, Rsp> ServerStreamingService<Req> for Bridge<Request<Req>, Rsp> {
    type Response = Rsp;
    type ResponseStream = ReceiverStream<Result<Rsp, Status>>;
    type Future = Ready<Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<Req>) -> Self::Future {
        ready(self.cross(request))
    }
}

// === impl OtherSide ===

impl<Said, Rsp> OtherSide<Said, Rsp> {
    /// Runs `serve` as a task, if the call got so far as to say anything.
    async fn run<F>(self, name: &'static str, serve: impl FnOnce(Said, Replies<Rsp>) -> F)
    where
        F: Future<Output = ()> + 'static,
    {
        if let Ok(said) = self.received.await {
            task::spawn(name, serve(said, self.replies));
        }
    }
}

// === impl Call ===

impl<Req, Rsp, F, R> UnaryService<Req> for Call<F>
where
    F: FnOnce(Request<Req>) -> R,
    R: Future<Output = Result<Response<Rsp>, Status>>,
{
    type Response = Rsp;
    type Future = R;

    fn call(&mut self, request: Request<Req>) -> Self::Future {
        let serve = self.0.take().expect("tonic calls a service once for each request");
        serve(request)
    }
}
