//! The layers around real clients and over real sockets.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests outside of the proxy: they spawn servers, and fail where they unwrap"
)]

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::any;
use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use resilience_tower::hop;
use resilience_tower::replay::{GrpcReplay, HttpReplay, ReplayBody};
use resilience_tower::retry::RetrySettings;
use resilience_tower::{ErrorLayer, Retry, Timeout, grpc};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service};
use tonic::server::{ClientStreamingService, NamedService};
use tonic::transport::{Endpoint, Server};
use tonic::{Code, Status, Streaming};
use tonic_prost::ProstCodec;
use tower::{ServiceBuilder, ServiceExt};

/// What a server has got: which attempt it was, and its body.
type Got = Arc<Mutex<Vec<(String, String)>>>;

fn attempt(fields: &HeaderMap) -> String {
    fields.get(hop::ATTEMPT).map_or("", |value| value.to_str().unwrap()).to_owned()
}

/// Fails every first attempt.
async fn http_server(got: Got) -> SocketAddr {
    let handler = async |State(got): State<Got>, fields: HeaderMap, body: String| {
        let is_first = attempt(&fields) == "1";
        got.lock().unwrap().push((attempt(&fields), body));
        if is_first { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let routes = Router::new().route("/", any(handler)).with_state(got);
    tokio::spawn(async move { axum::serve(listener, routes).await });
    addr
}

fn pairs(got: &Got) -> Vec<(String, String)> {
    got.lock().unwrap().clone()
}

fn expected(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(attempt, body)| ((*attempt).to_owned(), (*body).to_owned())).collect()
}

#[tokio::test]
async fn hyper_repeats_a_request_with_its_body() {
    let got = Got::default();
    let addr = http_server(Arc::clone(&got)).await;
    let client = ServiceBuilder::new()
        .layer(Retry::http(RetrySettings::DEFAULT))
        .layer(ErrorLayer)
        .service(Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>());
    let uri = format!("http://{addr}/");
    let req = Request::put(&uri).body(Full::from("charge")).unwrap();
    let answer = client.clone().oneshot(req).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(pairs(&got), expected(&[("1", "charge"), ("2", "charge")]));

    // What must not be repeated is not, and carries no number.
    let req = Request::post(&uri).body(Full::from("once")).unwrap();
    assert_eq!(client.oneshot(req).await.unwrap().status(), 200);
    assert_eq!(pairs(&got)[2..], expected(&[("", "once")]));
}

#[tokio::test]
async fn hyper_repeats_a_body_that_cannot_be_cloned() {
    let got = Got::default();
    let addr = http_server(Arc::clone(&got)).await;
    let replay = HttpReplay::new().any_method().cloned_by(ReplayBody::try_clone);
    let retry = Retry::http(RetrySettings::DEFAULT).replayed_by(replay);
    let client = ServiceBuilder::new()
        .layer(retry)
        .layer(ErrorLayer)
        .service(Client::builder(TokioExecutor::new()).build_http());
    // As it comes from another connection, for instance.
    let body = Full::new(Bytes::from("charge")).boxed_unsync();
    let req = Request::post(format!("http://{addr}/"));
    let req = req.body(ReplayBody::new(body, 65_536)).unwrap();
    assert_eq!(client.oneshot(req).await.unwrap().status(), 200);
    assert_eq!(pairs(&got), expected(&[("1", "charge"), ("2", "charge")]));
}

#[tokio::test]
async fn the_answer_stands_when_the_body_was_too_long_to_send_again() {
    let got = Got::default();
    let addr = http_server(Arc::clone(&got)).await;
    let replay = HttpReplay::new().cloned_by(ReplayBody::try_clone);
    let client = ServiceBuilder::new()
        .layer(Retry::http(RetrySettings::DEFAULT).replayed_by(replay))
        .layer(ErrorLayer)
        .service(Client::builder(TokioExecutor::new()).build_http());
    let body = Full::new(Bytes::from("charge")).boxed_unsync();
    let req = Request::put(format!("http://{addr}/")).body(ReplayBody::new(body, 5)).unwrap();
    assert_eq!(client.oneshot(req).await.unwrap().status(), 503);
    assert_eq!(pairs(&got), expected(&[("1", "charge")]));
}

#[tokio::test]
async fn a_connection_that_fails_is_an_error_of_the_client() {
    // Nobody listens on a port that was free a moment ago.
    let addr = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let client = ServiceBuilder::new()
        .layer(Retry::http(RetrySettings::DEFAULT.attempts(2)))
        .layer(ErrorLayer)
        .service(Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>());
    let req = Request::get(format!("http://{addr}/")).body(Full::default()).unwrap();
    let error = client.oneshot(req).await.unwrap_err();
    assert!(error.into_inner().is_some_and(|error| error.is_connect()));
}

/// A service of gRPC whose messages are strings: it fails every first attempt, after it has read
/// all messages.
#[derive(Clone)]
struct Joiner(Got);

impl NamedService for Joiner {
    const NAME: &'static str = "test.Joiner";
}

impl ClientStreamingService<String> for Joiner {
    type Response = String;
    type Future = BoxFuture<tonic::Response<String>, Status>;

    fn call(&mut self, req: tonic::Request<Streaming<String>>) -> Self::Future {
        let Self(got) = self.clone();
        Box::pin(async move {
            let (fields, _, mut messages) = req.into_parts();
            let attempt = attempt(fields.as_ref());
            let mut joined = String::new();
            while let Some(message) = messages.message().await? {
                joined.push_str(&message);
            }
            got.lock().unwrap().push((attempt.clone(), joined.clone()));
            match attempt.as_str() {
                "1" => Err(Status::unavailable("not yet")),
                _ => Ok(tonic::Response::new(joined)),
            }
        })
    }
}

impl Service<Request<Body>> for Joiner {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, req: Request<Body>) -> Self::Future {
        let joiner = self.clone();
        Box::pin(async move {
            let codec = ProstCodec::<String, String>::default();
            Ok(tonic::server::Grpc::new(codec).client_streaming(joiner, req).await)
        })
    }
}

async fn grpc_server(got: Got) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let served = Server::builder().add_service(Joiner(got));
    tokio::spawn(served.serve_with_incoming(TcpListenerStream::new(listener)));
    addr
}

/// Sends messages through the stack, of which up to so many bytes are kept.
async fn join(addr: SocketAddr, messages: &[&str], kept_max: usize) -> Result<String, Status> {
    let channel = Endpoint::from_shared(format!("http://{addr}")).unwrap().connect_lazy();
    let retry =
        Retry::grpc(RetrySettings::DEFAULT).replayed_by(GrpcReplay::new().kept_max(kept_max));
    let channel = ServiceBuilder::new()
        .map_err(grpc::status)
        .layer(Timeout::new(std::time::Duration::from_secs(20)))
        .layer(retry)
        .layer(ErrorLayer)
        .service(channel);
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await?;
    let messages: Vec<String> = messages.iter().map(|message| (*message).to_owned()).collect();
    let path = PathAndQuery::from_static("/test.Joiner/Join");
    let codec = ProstCodec::<String, String>::default();
    let req = tonic::Request::new(tokio_stream::iter(messages));
    Ok(client.client_streaming(req, path, codec).await?.into_inner())
}

#[tokio::test]
async fn tonic_repeats_a_call_with_all_its_messages() {
    let got = Got::default();
    let addr = grpc_server(Arc::clone(&got)).await;
    let joined = join(addr, &["hello, ", "you"], 1_000).await.unwrap();
    assert_eq!(joined, "hello, you");
    assert_eq!(pairs(&got), expected(&[("1", "hello, you"), ("2", "hello, you")]));
}

#[tokio::test]
async fn tonic_does_not_repeat_a_call_that_is_too_long_to_keep() {
    let got = Got::default();
    let addr = grpc_server(Arc::clone(&got)).await;
    let failed = join(addr, &["hello, ", "you"], 10).await.unwrap_err();
    assert_eq!((failed.code(), failed.message()), (Code::Unavailable, "not yet"));
    assert_eq!(pairs(&got), expected(&[("1", "hello, you")]));
}
