//! Driven fakes, sample origins, raw clients and certificates for tests.
//!
//! Everything listens on `127.0.0.1` with a port of the system's choice, runs on threads of its
//! own, and is shut down when it is dropped. Waiting is always on a condition with a deadline
//! ([`wait`]), never for a time.
//!
//! The parts:
//!
//! - [`RawOrigin`]: an HTTP/1.1 server that keeps the exact bytes it got and answers by script; it
//!   echoes requests as JSON ([`Echo`]) where no script fits.
//! - [`H2Origin`]: the same over HTTP/2, and a gRPC service of all four kinds.
//! - [`TcpOrigin`]: greets, then echoes bytes.
//! - [`RawClient`], [`H2Client`], [`H2Frames`]: clients for exact bytes, for HTTP/2 as it should
//!   be, and for HTTP/2 as an attacker writes it.
//! - [`Certificates`]: an authority and its leaves; [`MeshAuthority`]: one for the identities of a
//!   mesh.
//! - [`Gateway`]: the real binary on a folder of documents.
//!
//! A broken expectation panics: this crate is linked into tests only.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "test support: it owns threads and clocks, and a broken expectation ends the test"
)]

mod background;
mod certificates;
pub mod conformance;
pub mod documents;
mod echo;
mod gateway;
mod grpc;
mod h2_client;
mod h2_frames;
mod h2_origin;
pub mod program;
mod raw_client;
mod raw_origin;
mod response;
mod stream;
mod svids;
mod tcp_origin;
pub mod wait;

pub use certificates::{Certificates, Leaf};
pub use echo::Echo;
pub use gateway::{Gateway, GatewayBuilder, Reserved};
pub use grpc::{GrpcReply, decode_messages, encode_message};
pub use h2_client::{H2Client, H2Exchange, H2Request, H2Response};
pub use h2_frames::{Frame, H2Frames, Outcome, flags, kind};
pub use h2_origin::{H2Origin, H2Recorded};
pub use raw_client::RawClient;
pub use raw_origin::{
    ConnectionLog, Exchange, Gate, Next, RawOrigin, RawOriginBuilder, RawRequest,
};
pub use response::Response;
pub use stream::{TlsDial, dial_tls};
pub use svids::{MeshAuthority, Svid};
pub use tcp_origin::TcpOrigin;

/// What the system calls this machine; empty if that is no text.
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_str().unwrap_or_default().to_owned()
}

/// What was compressed by gzip.
///
/// # Panics
///
/// When the bytes are not whole and right.
pub fn gunzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(bytes), &mut out)
        .expect("the bytes are gzip");
    out
}
