//! A client of gRPC through the whole stack: deadline, retries, a timeout for each attempt, a
//! breaker, and balancing over three instances, of which one refuses every call.
//!
//! The messages and the client are written by hand here, in the shape in which tonic generates
//! them, so that no compiler for them is needed.
//!
//! ```text
//! cargo run -p resilience-tower --example tonic --features tonic
//! ```
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "an example is a program of its own"
)]

use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::task::{Context, Poll};
use std::time::Duration;

use http::uri::PathAndQuery;
use resilience_tower::balance::{BalanceSettings, HttpHints};
use resilience_tower::observe::Event;
use resilience_tower::retry::RetrySettings;
use resilience_tower::{Balance, Breaker, Endpoints, ErrorLayer, Retry, Timeout, breaker, grpc};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::body::Body;
use tonic::codegen::http::{Request as HttpRequest, Response as HttpResponse};
use tonic::codegen::{BoxFuture, Service, StdError};
use tonic::server::{Grpc as GrpcServer, NamedService, UnaryService};
use tonic::transport::{Endpoint, Server};
use tonic::{Code, Request, Response, Status};
use tonic_prost::ProstCodec;
use tower::{Layer, ServiceBuilder};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let endpoints = Endpoints::http(BalanceSettings::DEFAULT).observed_by(tell);
    for (name, refuses) in [("red", false), ("green", true), ("blue", false)] {
        let addr = serve(Greeter { name, refuses }).await?;
        let channel = Endpoint::from_shared(format!("http://{addr}"))?.connect_lazy();
        endpoints.insert(name, ErrorLayer.layer(channel));
    }
    let channel = ServiceBuilder::new()
        .map_err(grpc::status)
        .layer(Timeout::new(Duration::from_secs(2)))
        .layer(Retry::grpc(RetrySettings::DEFAULT).observed_by(tell))
        .layer(Timeout::new(Duration::from_millis(500)))
        .layer(Breaker::http(&breaker::on_failure_ratio(0.8, 50)).observed_by(tell))
        .service(Balance::new(endpoints).hinted_by(HttpHints));

    // A generated client takes it as well: `GreeterClient::new(channel)`.
    let mut client = GreeterClient { inner: tonic::client::Grpc::new(channel) };
    for number in 1..=12 {
        let said = client.say_hello(HelloRequest { name: format!("caller {number}") }).await?;
        println!("{}", said.into_inner().message);
    }
    Ok(())
}

/// In place of metrics.
fn tell(event: &Event<'_>) {
    match event {
        Event::Retry { number, wait } => println!("  attempt {number} in {wait:?}"),
        Event::Ejected { endpoint, duration, .. } => {
            println!("  {endpoint:?} is left alone for {duration:?}");
        }
        _ => {}
    }
}

// === what tonic generates from a .proto file ===

#[derive(Clone, PartialEq, prost::Message)]
struct HelloRequest {
    #[prost(string, tag = "1")]
    name: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct HelloReply {
    #[prost(string, tag = "1")]
    message: String,
}

struct GreeterClient<T> {
    inner: tonic::client::Grpc<T>,
}

impl<T> GreeterClient<T>
where
    T: tonic::client::GrpcService<Body>,
    T::Error: Into<StdError>,
    T::ResponseBody: http_body::Body<Data = bytes::Bytes> + Send + 'static,
    <T::ResponseBody as http_body::Body>::Error: Into<StdError> + Send,
{
    async fn say_hello(&mut self, said: HelloRequest) -> Result<Response<HelloReply>, Status> {
        let ready = self.inner.ready().await;
        ready.map_err(|error| Status::new(Code::Unknown, error.into().to_string()))?;
        let codec = ProstCodec::<HelloRequest, HelloReply>::default();
        let path = PathAndQuery::from_static("/greeter.Greeter/SayHello");
        self.inner.unary(Request::new(said), path, codec).await
    }
}

/// The server.
#[derive(Debug, Clone)]
struct Greeter {
    name: &'static str,
    refuses: bool,
}

impl NamedService for Greeter {
    const NAME: &'static str = "greeter.Greeter";
}

impl UnaryService<HelloRequest> for Greeter {
    type Response = HelloReply;
    type Future = BoxFuture<Response<HelloReply>, Status>;

    fn call(&mut self, said: Request<HelloRequest>) -> Self::Future {
        let Self { name, refuses } = self.clone();
        Box::pin(async move {
            if refuses {
                return Err(Status::unavailable("not taking calls"));
            }
            let message = format!("hello, {}, from {name}", said.into_inner().name);
            Ok(Response::new(HelloReply { message }))
        })
    }
}

impl Service<HttpRequest<Body>> for Greeter {
    type Response = HttpResponse<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, req: HttpRequest<Body>) -> Self::Future {
        let greeter = self.clone();
        Box::pin(async move {
            let codec = ProstCodec::<HelloReply, HelloRequest>::default();
            Ok(GrpcServer::new(codec).unary(greeter, req).await)
        })
    }
}

async fn serve(greeter: Greeter) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let addr = listener.local_addr()?;
    let served = Server::builder().add_service(greeter);
    tokio::spawn(served.serve_with_incoming(TcpListenerStream::new(listener)));
    Ok(addr)
}
