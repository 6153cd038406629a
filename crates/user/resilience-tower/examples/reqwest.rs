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

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use reqwest::{Client, Request, Response};
use resilience_tower::classify::{Class, Classify, HttpClassifier, Verdict};
use resilience_tower::observe::Event;
use resilience_tower::replay::{HttpReplay, Replay};
use resilience_tower::retry::RetrySettings;
use resilience_tower::{
    AsRefused, BoxError, Breaker, Error, ErrorLayer, Retry, Stop, Timeout, breaker, hop, retry,
};
use tokio::net::TcpListener;
use tower::{ServiceBuilder, ServiceExt};

/// How a call under the layers ends.
type Outcome = Result<Response, Error<reqwest::Error>>;

/// What the layers want to know of requests and answers of reqwest: which requests may be repeated
/// and how, and how calls have ended.
#[derive(Debug, Clone, Copy)]
struct Reqwest;

impl Replay<Request> for Reqwest {
    type Kept = Request;

    fn keep(&self, req: Request) -> (Request, Result<Request, Stop>) {
        let permitted = HttpReplay::new().permits(req.method(), req.headers());
        let kept = permitted.and_then(|()| req.try_clone().ok_or(Stop::NotRepeatable));
        (req, kept)
    }

    fn again(&self, kept: &Request) -> Option<Request> {
        kept.try_clone()
    }

    fn number(&self, req: &mut Request, attempt: u32) {
        hop::set_attempt(req.headers_mut(), attempt);
    }
}

impl Classify<Outcome> for Reqwest {
    fn classify(&self, outcome: &Outcome) -> Verdict {
        match outcome {
            Ok(answer) => HttpClassifier::new().judge(answer.status(), answer.headers()),
            Err(error) => match error.as_refused() {
                Some(refused) => Verdict::of_refusal(refused),
                None => Verdict::failure(Class::Unreachable),
            },
        }
    }

    fn mark_final(&self, outcome: &mut Outcome) {
        if let Ok(answer) = outcome {
            hop::forbid_retry(answer.headers_mut());
        }
    }
}

/// The same for the plain functions, around whose calls there is no layer that refuses.
fn judge(outcome: &Result<Response, reqwest::Error>) -> Verdict {
    match outcome {
        Ok(answer) => HttpClassifier::new().judge(answer.status(), answer.headers()),
        Err(_) => Verdict::failure(Class::Unreachable),
    }
}

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
