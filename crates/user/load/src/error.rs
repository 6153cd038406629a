//! Why a run could not be started.

use std::io;

/// A run that could not be started, or could not be carried on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The URL cannot be read, or its scheme is neither `http` nor `https`.
    #[error("invalid URL {url:?}: {reason}")]
    InvalidUrl {
        /// The URL as given.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The host of the URL has no address.
    #[error("cannot resolve {host:?}")]
    Resolve {
        /// The host that was looked up.
        host: String,
        /// What the resolver said.
        #[source]
        source: io::Error,
    },
    /// The method is not a token (RFC 9110 section 9.1).
    #[error("invalid method {0:?}")]
    InvalidMethod(String),
    /// A header has an invalid name or value, or sets the message framing, which is ours.
    #[error("invalid header {name:?}: {reason}")]
    InvalidHeader {
        /// The name as given.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A number among the options makes no sense (zero connections for instance).
    #[error("invalid option {option}: {reason}")]
    InvalidOption {
        /// The field of [`Options`](crate::Options).
        option: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The given root certificates cannot be read.
    #[error("cannot read the root certificates: {0}")]
    Roots(String),
    /// TLS refused its settings.
    #[error("cannot set up TLS")]
    Tls(#[from] rustls::Error),
    /// The machine refused a thread, a runtime or a timer.
    #[error("cannot start a worker")]
    Worker(#[from] io::Error),
    /// A worker thread died: a bug in the load generator.
    #[error("a worker thread died")]
    WorkerDied,
}
