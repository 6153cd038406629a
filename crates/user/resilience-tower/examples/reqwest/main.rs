//! A client of reqwest, under the layers and by the plain functions.
//!
//! `reqwest::Client` is a service of requests of its own. What the layers want to know of those and
//! of the answers is said once, in [`Reqwest`]; then everything is as with any
//! other client.
//!
//! ```text
//! cargo run -p resilience-tower --example reqwest
//! ```
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "an example is a program of its own"
)]

mod adapter;

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use reqwest::Client;
use resilience_tower::observe::Event;
use resilience_tower::retry::RetrySettings;
use resilience_tower::{BoxError, Breaker, ErrorLayer, Retry, Timeout, breaker, hop, retry};
use tokio::net::TcpListener;
use tower::{ServiceBuilder, ServiceExt};

use crate::adapter::{Reqwest, judge};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let addr = serve().await?;
    // Its own retries would hide from the budget.
    let client = Client::builder().no_proxy().retry(reqwest::retry::never()).build()?;

    let stack = ServiceBuilder::new()
        .layer(Timeout::new(Duration::from_secs(5)))
        .layer(
            Retry::new(RetrySettings::DEFAULT)
                .classified_by(Reqwest)
                .replayed_by(Reqwest)
                .observed_by(tell),
        )
        .layer(Timeout::new(Duration::from_secs(1)))
        .layer(Breaker::new(&breaker::on_failure_ratio(0.8, 20)).classified_by(Reqwest))
        .layer(ErrorLayer)
        .service(client.clone());
    for _ in 0..3 {
        let req = client.get(format!("http://{addr}/hello")).build()?;
        let answer = stack.clone().oneshot(req).await?;
        print!("by the layers: {} {}", answer.status(), answer.text().await?);
    }

    let policy = Retry::new(RetrySettings::DEFAULT).classified_by(judge).observed_by(tell);
    for _ in 0..3 {
        let mut attempt = 0;
        let call = || {
            attempt += 1;
            client.get(format!("http://{addr}/hello")).header(hop::ATTEMPT, attempt).send()
        };
        let answer = retry(&policy, call).await?;
        print!("by the function: {} {}", answer.status(), answer.text().await?);
    }
    Ok(())
}

/// A server that fails each first attempt.
async fn serve() -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let addr = listener.local_addr()?;
    let hello = async |fields: HeaderMap| match fields.get(hop::ATTEMPT) {
        Some(attempt) if attempt == "1" => Err(StatusCode::SERVICE_UNAVAILABLE),
        _ => Ok("hello\n"),
    };
    let routes = Router::new().route("/hello", get(hello));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    Ok(addr)
}

/// In place of metrics.
fn tell(event: &Event<'_>) {
    if let Event::Retry { number, wait } = event {
        println!("  attempt {number} in {wait:?}");
    }
}
