//! The idea of a sidecar in some lines: something that wraps a plain call and adds retries, so that
//! the application has no line about failures.
//!
//! [`in_process_sidecar`](https://github.com/weftway/weftway/tree/main/crates/user/resilience-tower/examples)
//! is the same over HTTP, with discovery, a breaker and telemetry.
//!
//! ```text
//! cargo run -p resilience-tower --example sidecar_in_miniature
//! ```
#![expect(clippy::print_stdout, reason = "an example is a program of its own")]

use std::cell::Cell;

use resilience_tower::retry::RetrySettings;
use resilience_tower::{Retry, retry};

/// The application makes plain calls by this, and knows nothing of policy.
trait Caller {
    async fn get(&self) -> Result<String, String>;
}

/// Service B as the application reaches it. There is no word about failures in here either.
#[derive(Default)]
struct ServiceB {
    attempts: Cell<u32>,
}

impl Caller for ServiceB {
    async fn get(&self) -> Result<String, String> {
        self.attempts.set(self.attempts.get() + 1);
        match self.attempts.get() {
            // An unsteady upstream: the first two tries fail.
            1 | 2 => Err("connection reset".to_owned()),
            _ => Ok("200 OK from service B".to_owned()),
        }
    }
}

/// Wraps a caller, is one itself, and adds what a mesh would.
struct Sidecar<C> {
    inner: C,
    policy: Retry,
}

impl<C: Caller> Sidecar<C> {
    fn new(inner: C, retries: u32) -> Self {
        let settings = RetrySettings::DEFAULT.attempts(1 + retries);
        Self { inner, policy: Retry::new(settings) }
    }
}

impl<C: Caller> Caller for Sidecar<C> {
    async fn get(&self) -> Result<String, String> {
        let mut attempt = 0;
        let call = || {
            attempt += 1;
            async move {
                let answer = self.inner.get().await;
                match &answer {
                    Ok(_) => println!("[sidecar] success on attempt {attempt}"),
                    Err(error) => println!("[sidecar] retry {attempt} after: {error}"),
                }
                answer
            }
        };
        retry(&self.policy, call).await.map_err(|given_up| given_up.into_last())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    // The one line in which a sidecar comes in; the application below stays as it is.
    let service_b = Sidecar::new(ServiceB::default(), 3);
    app(&service_b).await;
}

async fn app(service_b: &impl Caller) {
    match service_b.get().await {
        Ok(answer) => println!("app sees: {answer}"),
        Err(error) => println!("app sees: {error}"),
    }
}
