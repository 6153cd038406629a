//! Signals of the process.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Signals that end the process: the first one drains, a second one forces.
#[derive(Debug)]
pub struct Termination {
    term: Signal,
    int: Signal,
}

impl Termination {
    /// Starts listening; from now on neither signal kills the process by itself.
    ///
    /// # Errors
    ///
    /// When the system refuses the handler.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self { term: signal(SignalKind::terminate())?, int: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next one and names it.
    ///
    /// Cancel safe.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.term.recv() => "SIGTERM",
            _ = self.int.recv() => "SIGINT",
        }
    }
}
