//! The mesh's certificate authority.
//!
//! A [`Root`] is what proxies trust, an [`Intermediate`] under it is what signs, an [`Issuer`] is
//! the pair. [`Authority`] signs the requests of attested workloads, and lets a new root take over
//! without a moment in which two proxies refuse each other ([`Rotation`]). [`Forecast`] tells which
//! certificate ends when and what would break then. [`JoinTokens`] attest those who come without
//! any other proof. [`Seal`] turns the whole [`State`] into bytes that only a [`Secret`] opens.
//!
//! On the other side of the wire, [`KeyRequest`] makes a key and asks for its certificate,
//! [`renew_at`] says when to ask again, and [`TrustBundle`] verifies what others present.
//!
//! Certificates are X.509 SVIDs (SPIFFE X509-SVID specification) in the profile of RFC 5280.
//!
//! No clock and no files: `now` and bytes are arguments. Randomness, which keys, serial numbers,
//! salts and tokens are made of, comes from aws-lc.

mod authority;
mod bundle;
mod certificate;
mod csr;
mod der;
mod encode;
mod fingerprint;
mod fleet;
mod forecast;
mod hex;
mod issuer;
mod key;
mod lifetimes;
mod pem;
mod random;
mod renewal;
mod rotation;
mod seal;
mod signature;
mod span;
mod state;
mod token;
mod validity;

#[cfg(test)]
mod fixtures;

pub use authority::{Authority, CannotIssue, Issued};
pub use bundle::{InvalidBundle, TrustBundle, Untrusted, Verified};
pub use certificate::{CaCertificate, UnfitCa};
pub use csr::{CSR_BYTES_MAX, InvalidCsr, KeyRequest, ProvenKey, prove_possession};
pub use fingerprint::{Fingerprint, InvalidFingerprint};
pub use fleet::{LeafReport, ProxyReport};
pub use forecast::{Breaks, Duty, Entry, Forecast, Holder, Remedy};
pub use issuer::{Intermediate, InvalidSupply, Issuer, NoRootKey, Root, Supply, Unusable};
pub use lifetimes::{InvalidLifetimes, Lifetimes};
pub use pem::Pem;
pub use renewal::renew_at;
pub use rotation::{Hindrance, Phase, RefusedRotation, Rotation, Step, Stranded, Why};
pub use seal::{CannotOpen, InvalidSecret, Seal, Secret};
pub use span::Span;
pub use state::{InvalidState, State};
pub use token::{
    IdentityPattern, InvalidPattern, JoinToken, JoinTokens, RefusedToken, TooManyTokens,
};
pub use validity::Validity;
