//! A real client of reqwest, under the layers and by the plain functions.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests outside of the proxy: they spawn servers, and fail where they unwrap"
)]

#[path = "../examples/reqwest/adapter.rs"]
mod adapter;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::any;
use reqwest::{Body, Client, Method, Request, Response};
use resilience_tower::balance::{BalanceSettings, Tried, Wanted};
use resilience_tower::classify::{Class, Classify};
use resilience_tower::retry::RetrySettings;
use resilience_tower::settings::{ActiveBudget, BudgetSettings};
use resilience_tower::{
    Balance, Breaker, Endpoints, Error, ErrorLayer, Refused, Retry, Timeout, breaker, hop, retry,
    timeout,
};
use tokio::net::TcpListener;
use tower::{Layer, Service, ServiceBuilder, ServiceExt};

use crate::adapter::{Outcome, Reqwest, judge};

/// What a server has got: which attempt it was, and its body.
type Got = Arc<Mutex<Vec<(String, String)>>>;

fn client() -> Client {
    Client::builder().no_proxy().retry(reqwest::retry::never()).build().unwrap()
}

/// Fails first attempts; `/slow` never answers, `/bad` always fails.
async fn server(got: &Got) -> SocketAddr {
    let record = |got: &Got, fields: &HeaderMap, body| {
        let attempt = fields.get(hop::ATTEMPT).map_or("", |value| value.to_str().unwrap());
        got.lock().unwrap().push((attempt.to_owned(), body));
        attempt == "1"
    };
    let first_fails = async move |State(got): State<Got>, fields: HeaderMap, body: String| {
        let is_first = record(&got, &fields, body);
        if is_first { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK }
    };
    let bad = async move |State(got): State<Got>, fields: HeaderMap, body: String| {
        record(&got, &fields, body);
        StatusCode::INTERNAL_SERVER_ERROR
    };
    let routes = Router::new()
        .route("/", any(first_fails))
        .route("/bad", any(bad))
        .route("/slow", any(async || std::future::pending::<StatusCode>().await))
        .with_state(Arc::clone(got));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, routes).await });
    addr
}

fn request(addr: SocketAddr, method: Method, path: &str, body: impl Into<Body>) -> Request {
    client().request(method, format!("http://{addr}{path}")).body(body).build().unwrap()
}

fn retrying(
    settings: RetrySettings,
) -> impl Service<Request, Response = Response, Error = Error<reqwest::Error>> + Clone {
    let retry = Retry::new(settings).classified_by(Reqwest).replayed_by(Reqwest);
    ServiceBuilder::new().layer(retry).layer(ErrorLayer).service(client())
}

fn pairs(got: &Got) -> Vec<(String, String)> {
    got.lock().unwrap().clone()
}

fn expected(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(attempt, body)| ((*attempt).to_owned(), (*body).to_owned())).collect()
}

#[tokio::test]
async fn reqwest_repeats_a_request_with_its_body_if_it_may() {
    let got = Got::default();
    let addr = server(&got).await;
    let client = retrying(RetrySettings::DEFAULT);
    let answer = client.clone().oneshot(request(addr, Method::PUT, "/", "charge")).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(pairs(&got), expected(&[("1", "charge"), ("2", "charge")]));

    // What must not be repeated is not, and carries no number; neither does a stream.
    client.clone().oneshot(request(addr, Method::POST, "/", "once")).await.unwrap();
    let stream = Body::wrap(http_body_util::Full::new(bytes::Bytes::from("stream")));
    client.oneshot(request(addr, Method::PUT, "/", stream)).await.unwrap();
    assert_eq!(pairs(&got)[2..], expected(&[("", "once"), ("", "stream")]));
}

#[tokio::test]
async fn reqwest_keeps_to_the_budget() {
    let got = Got::default();
    let addr = server(&got).await;
    let none = ActiveBudget { ratio: 0.0, retries_min: 0, interval: Duration::ZERO };
    let settings = RetrySettings::DEFAULT.budget(BudgetSettings::Active(none));
    let client = retrying(settings);
    let answer = client.oneshot(request(addr, Method::GET, "/", "")).await.unwrap();
    assert_eq!(answer.status(), 503);
    assert_eq!(answer.headers()[hop::RETRIED], "1");
    assert_eq!(pairs(&got), expected(&[("1", "")]));
}

#[tokio::test]
async fn reqwest_ends_in_time() {
    let addr = server(&Got::default()).await;
    let limit = Duration::from_millis(50);
    let stack = ServiceBuilder::new().layer(Timeout::new(limit)).layer(ErrorLayer);
    let stack = stack.service(client());
    let late = stack.oneshot(request(addr, Method::GET, "/slow", "")).await.unwrap_err();
    assert!(matches!(late, Error::Refused(Refused::Timeout { .. })), "{late}");

    let call = client().get(format!("http://{addr}/slow")).send();
    let late = timeout(limit, call).await.unwrap_err();
    assert!(matches!(late, Error::Refused(Refused::Timeout { .. })), "{late}");
}

#[tokio::test]
async fn reqwest_stops_calling_what_fails() {
    let got = Got::default();
    let addr = server(&got).await;
    let breaker = Breaker::new(&breaker::on_failure_ratio(0.5, 5)).classified_by(Reqwest);
    let stack = ServiceBuilder::new().layer(breaker.clone()).layer(ErrorLayer).service(client());
    let get = || stack.clone().oneshot(request(addr, Method::GET, "/bad", ""));
    for _ in 0..5 {
        assert_eq!(get().await.unwrap().status(), 500);
    }
    assert_eq!(breaker.state(), breaker::State::Open);
    let refused = get().await.unwrap_err();
    assert!(matches!(refused, Error::Refused(Refused::BreakerOpen { .. })), "{refused}");
    assert_eq!(pairs(&got).len(), 5);

    // The same by its function, with a breaker of its own.
    let breaker = Breaker::new(&breaker::on_failure_ratio(0.5, 5)).classified_by(judge);
    let get = || breaker.call(client().get(format!("http://{addr}/bad")).send());
    for _ in 0..5 {
        assert_eq!(get().await.unwrap().status(), 500);
    }
    assert!(get().await.is_err());
    assert_eq!(pairs(&got).len(), 10);
}

#[tokio::test]
async fn plain_calls_of_reqwest_are_repeated_and_spread() {
    let got = Got::default();
    let (good, bad) = (server(&got).await, server(&got).await);
    let endpoints = Endpoints::new(BalanceSettings::DEFAULT).classified_by(judge);
    endpoints.insert("good", format!("http://{good}/"));
    endpoints.insert("bad", format!("http://{bad}/bad"));
    let client = client();
    let any_failure = |outcome: &Outcome| {
        let verdict = Reqwest.classify(outcome);
        verdict.retryable(verdict.class != Class::Success)
    };
    let policy = Retry::new(RetrySettings::DEFAULT).classified_by(any_failure);
    for _ in 0..5 {
        let tried = Tried::default();
        let call = async |url: String| client.put(url).body("charge").send().await;
        let attempt = || endpoints.call_for(Wanted::new().tried(&tried), call);
        assert_eq!(retry(&policy, attempt).await.unwrap().status(), 200);
    }
    assert!(pairs(&got).iter().all(|(_, body)| body == "charge"));
}

#[tokio::test]
async fn clients_of_reqwest_are_spread_over_endpoints() {
    let got = Got::default();
    let addr = server(&got).await;
    let endpoints = Endpoints::new(BalanceSettings::DEFAULT).classified_by(Reqwest);
    (0..3).for_each(|key| endpoints.insert(key, ErrorLayer.layer(client())));
    let retry = Retry::new(RetrySettings::DEFAULT).classified_by(Reqwest).replayed_by(Reqwest);
    let stack = retry.layer(Balance::new(endpoints.clone()));
    for _ in 0..5 {
        let answer = stack.clone().oneshot(request(addr, Method::GET, "/", "")).await.unwrap();
        assert_eq!(answer.status(), 200);
    }
    assert_eq!((0..3).map(|key| endpoints.calls(&key)).collect::<Vec<_>>(), [Some(0); 3]);
}
