//! Who the clients of a gateway are.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use weft_http::io::Io;
use weft_model::identity::Identity;
use weft_model::listener::{ClientAuth, TlsEntry, TlsOptions, TlsTable};
use weft_model::policy::{LocalRateLimit, StepKind};
use weft_net::BufferPool;
use weft_resilience::settings::RateSettings;
use weft_testkit::MeshAuthority;
use weft_tls::MeshTlsCell;
use weft_tls::mesh::{MeshHandshakeError, Offer, Target, connect};

use super::harness::{Client, Http, Origin, Setup, mesh_tls, prove, run_bounded};

/// A server that shows the certificate of the mesh for every name.
fn of_mesh() -> TlsTable {
    let options = TlsOptions { client_auth: ClientAuth::Mesh, ..TlsOptions::modern() };
    let entry = TlsEntry {
        host: "".into(),
        deep: true,
        certificates: Vec::new(),
        options: Arc::new(options),
        site: "mesh".into(),
    };
    TlsTable { entries: Vec::new(), default: Some(entry) }
}

/// A client that proves to be what is in `cell`.
async fn client(
    addr: SocketAddr,
    cell: &MeshTlsCell,
    expected: &Identity,
) -> Result<Client, MeshHandshakeError> {
    let tls = cell.current().expect("there are credentials");
    let stream = TcpStream::connect(addr).await.expect("it accepts");
    let expected = std::slice::from_ref(expected);
    let target = Target { ip: addr.ip(), expected, offer: Offer::Tunnels };
    let made = connect(Io::Tcp(stream), &tls, &target, &BufferPool::default()).await?;
    Ok(Client::on(Http::Two, Io::Other(Box::new(made.stream))).await)
}

#[test]
fn a_server_may_show_the_certificate_of_the_mesh_and_knows_its_members() {
    run_bounded(async {
        let authority = MeshAuthority::new("root");
        let origin = Origin::echo(Http::One).await;
        let rate = RateSettings { average: 1, period: Duration::from_secs(3_600), burst: 1 };
        let limit = LocalRateLimit { identity: Some(rate), ..LocalRateLimit::default() };
        let mut setup =
            Setup::new(Http::One, &[origin.addr]).step(StepKind::LocalRateLimit(Box::new(limit)));
        setup.tls = Some(of_mesh());
        let (edge, own) = prove(&authority, "edge");
        let gateway = setup.clone().start().await;
        let (_, front) = prove(&authority, "front");
        // Without credentials of its own it serves nobody, and says so.
        let error = client(gateway.addr, &front, &edge).await.err().expect("it has none");
        assert!(error.to_string().contains("perhaps no certificate yet"), "{error}");

        setup.mesh = own.clone();
        let gateway = setup.start().await;
        let mut caller = client(gateway.addr, &front, &edge).await.expect("they know each other");
        assert_eq!(caller.get("/").await.status, 200);
        // Another connection of the same member is the same client, whatever is rotated between.
        own.set(mesh_tls(&authority, "edge").1);
        let mut again = client(gateway.addr, &front, &edge).await.expect("they know each other");
        assert_eq!(again.get("/").await.status, 429);
        let (_, other) = prove(&authority, "other");
        let mut other = client(gateway.addr, &other, &edge).await.expect("they know each other");
        assert_eq!(other.get("/").await.status, 200);
    });
}

#[test]
fn whoever_is_not_of_the_mesh_is_not_served() {
    run_bounded(async {
        let (authority, foreign) = (MeshAuthority::new("root"), MeshAuthority::new("foreign"));
        let origin = Origin::echo(Http::One).await;
        let (edge, own) = prove(&authority, "edge");
        let mut setup = Setup::new(Http::One, &[origin.addr]);
        (setup.tls, setup.mesh) = (Some(of_mesh()), own);
        let gateway = setup.start().await;
        let (_, stranger) = prove(&foreign, "front");
        assert!(client(gateway.addr, &stranger, &edge).await.is_err());
        assert_eq!(origin.connections(), 0);
    });
}
