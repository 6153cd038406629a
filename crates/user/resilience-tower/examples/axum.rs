//! A server with limits, and a client that copes with them.
//!
//! The server is axum: it answers ten requests per second to one user, as many at one time as do
//! not slow each other down, and says so with 429, 503 and `retry-after`. The client is hyper's,
//! with a timeout, retries that wait as long as they are asked to, and a breaker.
//!
//! ```text
//! cargo run -p resilience-tower --example axum
//! ```
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "an example is a program of its own"
)]

use std::error::Error;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::routing::get;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use resilience_tower::observe::Event;
use resilience_tower::retry::RetrySettings;
use resilience_tower::settings::{AdaptiveSettings, RateSettings};
use resilience_tower::{
    AnswerLayer, Breaker, ConcurrencyLimit, ErrorLayer, RateLimitByKey, Retry, Timeout, breaker,
};
use tokio::net::TcpListener;
use tower::{ServiceBuilder, ServiceExt};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let addr = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, server()).await });

    // Any number of clones of it share what it knows.
    let client = ServiceBuilder::new()
        .layer(Timeout::new(Duration::from_secs(5)))
        .layer(Retry::http(RetrySettings::DEFAULT).observed_by(tell))
        .layer(Timeout::new(Duration::from_secs(1)))
        .layer(Breaker::http(&breaker::on_failure_ratio(0.5, 20)).observed_by(tell))
        .layer(ErrorLayer)
        .service(Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>());

    for number in 1..=12 {
        let req = http::Request::get(format!("http://{addr}/hello"))
            .header("x-user", "7")
            .body(Full::default())?;
        let answer = client.clone().oneshot(req).await?;
        let status = answer.status();
        let text = answer.into_body().collect().await?.to_bytes();
        println!("request {number}: {status} {}", String::from_utf8_lossy(&text).trim_end());
    }
    Ok(())
}

/// Limits around all routes. Their refusals are answers, so the router's errors stay as they were.
fn server() -> Router {
    let rate = RateSettings { average: 10, period: Duration::from_secs(1), burst: 8 };
    let user = |req: &Request| {
        req.headers().get("x-user").map(|user| user.as_bytes().to_vec()).unwrap_or_default()
    };
    let limits = ServiceBuilder::new()
        .layer(AnswerLayer)
        .layer(RateLimitByKey::new(rate, user))
        .layer(ConcurrencyLimit::adaptive(AdaptiveSettings::DEFAULT))
        .layer(Timeout::new(Duration::from_millis(500)))
        .layer(ErrorLayer);
    Router::new().route("/hello", get(async || "hello\n")).layer(limits)
}

/// In place of metrics.
fn tell(event: &Event<'_>) {
    match event {
        Event::Retry { number, wait } => println!("  attempt {number} in {wait:?}"),
        Event::GaveUp { attempts, stop } => println!("  gave up after {attempts}: {stop}"),
        Event::Breaker { state } => println!("  the breaker is now {state:?}"),
        _ => {}
    }
}
