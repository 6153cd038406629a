use std::time::SystemTime;

use rustls_pki_types::{IpAddr, Ipv4Addr, ServerName};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use weft_testkit::{MeshAuthority, Svid};

use super::*;
use crate::mesh::MeshTls;

const CONTROL: &str = "spiffe://cluster.local/ns/weftway-system/sa/control";
const CART: &str = "spiffe://cluster.local/ns/shop/sa/cart";

const HOUR: Duration = Duration::from_secs(3600);

fn credentials(svid: &Svid, id: &str, authority: &MeshAuthority) -> Credentials {
    Credentials {
        chain: svid.chain.clone(),
        key: (&svid.key).into(),
        bundle: vec![authority.root().clone()],
        identity: id.parse().unwrap(),
        not_after: svid.not_after,
    }
}

/// A leaf that ends at that moment.
fn ending(authority: &MeshAuthority, end: SystemTime) -> Svid {
    authority.svid_with(CART, |leaf| {
        (leaf.not_before, leaf.not_after) = ((end - 24 * HOUR).into(), end.into());
    })
}

/// Whom an authority that takes leafs back for an hour sees at the other end.
async fn seen(authority: &MeshAuthority, client: &Svid, trusted: &MeshAuthority) -> Option<Caller> {
    let clock = Arc::new(rustls::time_provider::DefaultTimeProvider);
    let own = credentials(&authority.svid(CONTROL), CONTROL, authority);
    let server = AuthorityTls::build(&own, clock, HOUR).unwrap();
    let client = MeshTls::build(&credentials(client, CART, trusted)).unwrap();
    let config = client.client_config(&[CONTROL.parse().unwrap()], Offer::Tunnels);
    let (near, far) = tokio::io::duplex(1 << 16);
    let name = ServerName::IpAddress(IpAddr::V4(Ipv4Addr::from([127, 0, 0, 1])));
    let accepted = TlsAcceptor::from(server.server_config().clone()).accept(near);
    let (accepted, _connected) =
        tokio::join!(accepted, TlsConnector::from(config).connect(name, far));
    server.caller(accepted.ok()?.get_ref().1).unwrap()
}

#[tokio::test]
async fn a_certificate_that_has_ended_not_long_ago_proves_who_one_was() {
    let authority = MeshAuthority::new("mesh");
    let now = weft_runtime::time::wall();
    let at = async |end| seen(&authority, &ending(&authority, end), &authority).await;
    let caller = at(now + HOUR).await.unwrap();
    assert_eq!(caller.identity.identity().to_string(), CART);
    assert!(!caller.has_ended);
    let caller = at(now - HOUR / 2).await.unwrap();
    assert_eq!(caller.identity.identity().to_string(), CART);
    assert!(caller.has_ended && caller.not_after < now);
    assert_eq!(at(now - 2 * HOUR).await, None, "that is too long ago");
    // Of somebody else's authority nothing is taken, ended or not.
    let other = MeshAuthority::new("other");
    for end in [now + HOUR, now - HOUR / 2] {
        assert_eq!(seen(&authority, &ending(&other, end), &authority).await, None);
    }
}
