//! TLS on both sides: server configurations by server name, verification of upstreams, and a
//! stream that owns no buffer while it is idle.
//!
//! rustls with aws-lc-rs does the cryptography. The provider is passed explicitly everywhere;
//! [`install_provider`] exists for libraries that look for a process default.
//!
//! A terminated connection goes: [`handshake::read_hello`], [`ServerTls::select`] by its server
//! name, [`handshake::accept`]. A passed-through one stops after the first step and forwards the
//! bytes that the inbox holds. Towards an upstream it is [`handshake::connect`].
//!
//! Between proxies of a mesh it is [`mesh::accept`] and [`mesh::connect`], which verify identities
//! instead of names.
//!
//! The stream stands on rustls's unbuffered form: TLS records live in buffers of the worker's pool
//! while they are handled, so that an idle connection costs its keys and little more.

pub mod certificate;
pub mod client;
pub mod client_hello;
mod clock;
#[cfg(test)]
mod fixtures;
pub mod handshake;
pub mod mesh;
mod names;
pub mod server;
mod signatures;
pub mod stream;

pub use client::ClientTls;
pub use client_hello::{Hello, Peek, parse_client_hello};
pub use clock::Clock;
pub use handshake::{HandshakeError, accept, connect};
pub use mesh::{MeshTls, MeshTlsCell, PeerIdentity};
pub use names::InvalidOptions;
pub use server::{Selected, ServerTls};
pub use stream::{PeerFacts, TlsStream};

/// Makes aws-lc-rs the default provider of the process, for libraries that ask for one.
///
/// Does nothing when there is one already.
pub fn install_provider() {
    // An error says that a default exists, which is what is wanted.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
