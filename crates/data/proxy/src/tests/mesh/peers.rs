//! What a proxy lets other proxies of the mesh do.

use std::net::SocketAddr;

use tokio::net::TcpStream;
use weft_http::buffers::Buffers;
use weft_http::h2::{self, OpenError, Tunnel};
use weft_http::io::Io;
use weft_message::Fields;
use weft_message::h1::{BodyFraming, HeadLimits};
use weft_model::listener::Destination;
use weft_model::mesh::{Mtls, Protocol};
use weft_model::outcome::Reason;
use weft_model::policy::Refusal;
use weft_net::BufferPool;
use weft_runtime::task;
use weft_testkit::MeshAuthority;
use weft_tls::mesh::{Offer, Target, connect};

use super::super::harness::{Client, Http, Origin, Proxy, TcpApp, inbound, run_bounded};
use super::authority;

/// A proxy and its peer.
async fn pair(
    authority: &MeshAuthority,
    port: u16,
    change: impl FnOnce(&mut Destination),
) -> (Proxy, Proxy) {
    let destinations = [inbound(Some(port), Protocol::Detect).change(change)];
    let proxy = Proxy::start(authority, "cart", &destinations, &[]).await;
    (proxy, Proxy::start(authority, "front", &[], &[]).await)
}

/// A connection of `from`'s to `proxy`.
async fn peer(from: &Proxy, proxy: &Proxy, offer: Offer) -> h2::Client {
    let addr = proxy.addrs["mesh"];
    let stream = TcpStream::connect(addr).await.unwrap();
    let expected = std::slice::from_ref(&proxy.identity);
    let target = Target { ip: addr.ip(), expected, offer };
    let pool = BufferPool::default();
    let made = connect(Io::Tcp(stream), &from.tls, &target, &pool).await.unwrap();
    let io = Io::Other(Box::new(made.stream));
    let (client, connection) =
        h2::Client::handshake(io, 1 << 20, &Buffers::new(pool)).await.unwrap();
    task::spawn("peer", async move {
        let _ = connection.await;
    });
    client
}

async fn status(client: &h2::Client, fields: &[(&str, &str)]) -> u16 {
    let mut client = Client::Two(client.clone());
    let call = client.begin("GET", "/", fields, BodyFraming::None).await;
    client.answer(call).await.status
}

async fn refusal(client: &mut h2::Client, addr: SocketAddr) -> u16 {
    match Tunnel::open(client, addr, Fields::new(), &HeadLimits::DEFAULT).await {
        Err(OpenError::Refused(head)) => head.status(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_peer_is_led_to_the_workload_alone() {
    run_bounded(async {
        let app = Origin::echo(Http::One).await;
        let (proxy, caller) = pair(&authority(), app.addr.port(), |_| {}).await;
        let mut client = peer(&caller, &proxy, Offer::Requests).await;
        let own = app.addr.to_string();
        let mesh = proxy.addrs["mesh"].to_string();
        for (destination, expected) in [
            (&*own, 200),
            ("127.0.0.2:80", 421),
            ("192.0.2.1:80", 421),
            // The proxy itself.
            (&*mesh, 421),
            // A port for which nothing stands.
            ("127.0.0.1:1", 502),
            ("payments", 400),
            (&*own, 200),
        ] {
            let got = status(&client, &[("weftway-destination", destination)]).await;
            assert_eq!(got, expected, "{destination}");
        }
        assert_eq!(status(&client, &[]).await, 400);
        let twice = [("weftway-destination", &*own), ("weftway-destination", &*own)];
        assert_eq!(status(&client, &twice).await, 400);
        assert_eq!(refusal(&mut client, "127.0.0.2:80".parse().unwrap()).await, 421);
        assert_eq!(refusal(&mut client, proxy.addrs["inbound"]).await, 421);
        assert!(proxy.refused("not_ours") >= 3.0);
        assert_eq!(app.requests(), ["GET /", "GET /"]);
    });
}

#[test]
fn a_tunnel_opens_when_the_application_has_taken_it() {
    run_bounded(async {
        let app = TcpApp::start("").await;
        let (proxy, caller) = pair(&authority(), app.addr.port(), |_| {}).await;
        let mut client = peer(&caller, &proxy, Offer::Tunnels).await;
        let opened = Tunnel::open(&mut client, app.addr, Fields::new(), &HeadLimits::DEFAULT).await;
        assert_eq!(app.connections(), 1);
        drop(opened.unwrap());
        let dead = app.stop().await;
        assert_eq!(refusal(&mut client, dead).await, 503);
    });
}

#[test]
fn http_in_a_tunnel_is_http() {
    for http in [Http::One, Http::Two] {
        run_bounded(async {
            let app = Origin::echo(http).await;
            let (proxy, caller) = pair(&authority(), app.addr.port(), |_| {}).await;
            let mut client = peer(&caller, &proxy, Offer::Tunnels).await;
            let tunnel =
                Tunnel::open(&mut client, app.addr, Fields::new(), &HeadLimits::DEFAULT).await;
            let io = Io::Other(Box::new(tunnel.unwrap()));
            let mut inside = Client::on(http, io).await;
            let forged = [("x-forwarded-client-cert", "URI=spiffe://evil")];
            let call = inside.begin("GET", "/", &forged, BodyFraming::None).await;
            assert_eq!(inside.answer(call).await.status, 200);
            let told = app.field(0, "x-forwarded-client-cert").unwrap();
            assert!(told.ends_with(";URI=spiffe://cluster.local/ns/shop/sa/front"), "{told}");
            let route = format!("inbound/{}", app.addr.port());
            let series = format!("weftway_requests_total{{route=\"{route}\",status=\"2xx\"}}");
            assert_eq!(proxy.metric(&series), 1.0);
        });
    }
}

#[test]
fn policies_hold_for_peers() {
    let closed = |destination: &mut Destination| {
        destination.closed =
            Some(Refusal { reason: Reason::PolicyUnenforceable, detail: "unsupported".into() });
    };
    let check = |change: fn(&mut Destination), expected| {
        run_bounded(async move {
            let app = Origin::echo(Http::One).await;
            let (proxy, caller) = pair(&authority(), app.addr.port(), change).await;
            let mut client = peer(&caller, &proxy, Offer::Requests).await;
            let own = app.addr.to_string();
            assert_eq!(status(&client, &[("weftway-destination", &own)]).await, expected);
            assert_eq!(refusal(&mut client, app.addr).await, expected);
            assert_eq!(app.connections(), 0);
        });
    };
    check(closed, 503);
    check(|destination| destination.mtls = Mtls::Disable, 403);
}

#[test]
fn strict_ports_take_peers() {
    run_bounded(async {
        let app = Origin::echo(Http::One).await;
        let strict = |destination: &mut Destination| destination.mtls = Mtls::Strict;
        let (proxy, caller) = pair(&authority(), app.addr.port(), strict).await;
        let client = peer(&caller, &proxy, Offer::Requests).await;
        let own = app.addr.to_string();
        assert_eq!(status(&client, &[("weftway-destination", &own)]).await, 200);
    });
}

#[test]
fn strangers_are_refused() {
    run_bounded(async {
        let app = Origin::echo(Http::One).await;
        let (proxy, _) = pair(&authority(), app.addr.port(), |_| {}).await;
        let stranger = Proxy::start(&authority(), "front", &[], &[]).await;
        let addr = proxy.addrs["mesh"];
        let stream = TcpStream::connect(addr).await.unwrap();
        let expected = std::slice::from_ref(&proxy.identity);
        let target = Target { ip: addr.ip(), expected, offer: Offer::Requests };
        let pool = BufferPool::default();
        assert!(connect(Io::Tcp(stream), &stranger.tls, &target, &pool).await.is_err());
        super::super::harness::until("a refusal", || proxy.refused("handshake") == 1.0).await;
    });
}
