//! The control plane's sockets.
//!
//! [`ControlPlane`] serves three calls over gRPC: the delta discovery stream, by which proxies get
//! the mesh as far as they use it ([`weft_distribute`] decides what each is owed); `Sign`, by which
//! they get certificates; and `Roots`, by which they hear whom to trust and say whom they do. They
//! come by a Unix socket, where the kernel says who they are, or by TCP with TLS, where their
//! certificate does, or a join token before they have one.
//!
//! On a socket of its own it serves the SPIFFE Workload API, by which applications get identities for
//! TLS of their own.
//!
//! [`Keeper`] holds the certificate authority and writes every change of it to a sealed file before
//! the change takes effect. [`Registry`] is what is known of the proxies, which decides how far a
//! rotation of the root may go.
//!
//! All of it lives on the control thread. Numbers of generations must not come again after a
//! restart: proxies tell generations apart by them.

mod applications;
mod attest;
mod certificates;
mod discovery;
mod fleet;
mod grpc;
mod keeper;
mod metrics;
mod pace;
mod places;
mod plane;
mod registry;
mod rotation;
mod serve;
mod settings;
mod upkeep;
mod workload_api;

pub use attest::{Attest, Attested, ByUid, Claim, NotAttested, Process, Side};
pub use keeper::{CannotChange, CannotKeep, Keeper, Opened, Vacancy};
pub use metrics::{Metrics, Store};
pub use plane::{CannotStart, ControlPlane};
pub use registry::{FleetStatus, ProxyEntry, ProxyPhase, Registry};
pub use serve::Listener;
pub use settings::{Limits, Settings};
