//! The process log, on standard error. The access log is not part of it.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts the process log. `filter` is in the form of `RUST_LOG` (`info`, `weft_proxy=debug`);
/// what cannot be read falls back to `info`. Calling it twice has no effect.
pub fn init(filter: &str, format: Format) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // Colours are for people; files and pipes get plain text.
        .with_ansi(std::io::stderr().is_terminal());
    // A second start, in tests that share a process, keeps the first.
    let _ = match format {
        Format::Text => builder.with_target(false).try_init(),
        Format::Json => builder.json().try_init(),
    };
}
