//! The mesh: captured connections, detection, and proxies that talk to each other.

mod calls;
mod chain;
mod demand;
mod detection;
mod explicit;
mod external;
mod inbound;
mod log;
mod mirrors;
mod origination;
mod peers;
mod replays;

use weft_testkit::MeshAuthority;

use super::harness::Proxy;

/// Where the services of tests have their addresses.
const PAYMENTS: &str = "payments.shop.svc.cluster.local";
const PAYMENTS_ADDR: &str = "10.78.0.1:80";

fn authority() -> MeshAuthority {
    MeshAuthority::new("mesh")
}

/// The proxy of a workload on all of whose ports anything is spoken.
async fn callee(authority: &MeshAuthority, account: &str) -> Proxy {
    let destinations = [super::harness::inbound(None, weft_model::mesh::Protocol::Detect)];
    Proxy::start(authority, account, &destinations, &[]).await
}
