//! Spawning, in one place: every task has a name, and an end somebody can await.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// A running task. Dropping it lets the task go on.
#[derive(Debug)]
pub struct Task<T>(tokio::task::JoinHandle<T>);

/// The task panicked or was aborted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended;

/// Spawns onto the present worker; `name` shows up in debug logs.
///
/// # Panics
///
/// Outside a worker or control runtime.
#[expect(clippy::disallowed_methods, reason = "the one place that may spawn")]
pub fn spawn<F>(name: &'static str, future: F) -> Task<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    tracing::trace!(task = name, "spawned");
    Task(tokio::task::spawn_local(future))
}

/// Runs work that blocks (password hashing, file reading) on tokio's blocking threads.
#[expect(clippy::disallowed_methods, reason = "the one place that may spawn")]
pub fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Task<T> {
    Task(tokio::task::spawn_blocking(work))
}

// === impl Task ===

impl<T> Task<T> {
    /// Stops the task at its next await.
    pub fn abort(&self) {
        self.0.abort();
    }
}

impl<T> Future for Task<T> {
    type Output = Result<T, Ended>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(|result| result.map_err(|_| Ended))
    }
}
