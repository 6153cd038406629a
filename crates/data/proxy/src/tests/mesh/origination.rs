//! TLS that an application leaves to the proxy beside it.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::AsyncWriteExt as _;
use weft_model::backend::UpstreamTls;
use weft_model::listener::Certificate;
use weft_model::mesh::Protocol;
use weft_testkit::{Certificates, H2Origin, Leaf, RawOrigin, TcpOrigin};

use super::super::harness::{
    Client, Destined, Http, Proxy, endpoint, read_exactly, run_bounded, service,
};
use super::{PAYMENTS, PAYMENTS_ADDR, authority};

const HOST: &str = "api.example.com";

fn simple(root: &Certificates, name: &str) -> UpstreamTls {
    UpstreamTls {
        server_name: Some(name.into()),
        roots_pem: Some(root.pem().as_bytes().into()),
        ..UpstreamTls::default()
    }
}

fn mutual(root: &Certificates, name: &str, client: &Leaf) -> UpstreamTls {
    let certificate = Certificate {
        origin: "Secret shop/client".into(),
        chain_pem: client.chain.as_bytes().into(),
        key_pem: client.key.as_bytes().into(),
        names: Vec::new(),
    };
    UpstreamTls { client: Some(Arc::new(certificate)), ..simple(root, name) }
}

/// A service outside of the mesh, at that address, that is called by TLS.
fn outside(protocol: Protocol, addr: SocketAddr, tls: UpstreamTls) -> Destined {
    let destined = service(PAYMENTS, PAYMENTS_ADDR, protocol, &[endpoint(addr, None)]);
    destined.calling(|calling| calling.tls = Some(Arc::new(tls)))
}

async fn status(destined: Destined, http: Http) -> u16 {
    let ours = Proxy::start(&authority(), "front", &[destined], &[]).await;
    let mut client = Client::over(http, ours.dial(PAYMENTS_ADDR).await).await;
    client.get("/").await.status
}

#[test]
fn a_plain_call_goes_out_by_tls_and_the_other_side_is_verified() {
    let (root, stranger) = (Certificates::new("root"), Certificates::new("stranger"));
    let leaf = root.leaf(&[HOST]);
    let origin = RawOrigin::builder("one").tls(&leaf).start();
    let h2 = H2Origin::start_tls("two", &leaf);
    for http in [Http::One, Http::Two] {
        for addr in [origin.addr(), h2.addr()] {
            run_bounded(async {
                let outside = |tls| outside(Protocol::Http, addr, tls);
                assert_eq!(status(outside(simple(&root, HOST)), http).await, 200, "{http:?}");
                let other_name = simple(&root, "evil.example.com");
                assert_eq!(status(outside(other_name), http).await, 502, "{http:?}");
                let other_root = simple(&stranger, HOST);
                assert_eq!(status(outside(other_root), http).await, 502, "{http:?}");
            });
        }
    }
}

#[test]
fn it_shows_a_certificate_where_one_is_wanted() {
    let (root, clients) = (Certificates::new("root"), Certificates::new("clients"));
    let leaf = root.leaf(&[HOST]);
    let origin = RawOrigin::builder("one").mutual_tls(&leaf, clients.roots()).start();
    run_bounded(async {
        let outside = |tls| outside(Protocol::Http, origin.addr(), tls);
        let shown = mutual(&root, HOST, &clients.leaf(&["front"]));
        assert_eq!(status(outside(shown), Http::One).await, 200);
        let of_another = mutual(&root, HOST, &root.leaf(&["front"]));
        assert_eq!(status(outside(of_another), Http::One).await, 502);
        assert_eq!(status(outside(simple(&root, HOST)), Http::One).await, 502);
    });
}

#[test]
fn bytes_go_out_by_tls_too() {
    let root = Certificates::new("root");
    let origin = TcpOrigin::start_tls("database", &root.leaf(&[HOST]));
    run_bounded(async {
        let database = outside(Protocol::Tcp, origin.addr(), simple(&root, HOST));
        let ours = Proxy::start(&authority(), "front", &[database], &[]).await;
        let mut stream = ours.dial(PAYMENTS_ADDR).await;
        assert_eq!(read_exactly(&mut stream, 9).await, "database\n");
        stream.write_all(b"select 1").await.expect("it is open");
        assert_eq!(read_exactly(&mut stream, 8).await, "select 1");
    });
}
