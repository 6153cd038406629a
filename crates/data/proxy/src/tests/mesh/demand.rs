//! Services that are dialled for the first time.

use std::time::Duration;

use weft_model::id::ServiceName;
use weft_model::mesh::Protocol;

use super::super::harness::{
    Client, Http, Origin, Proxy, TcpApp, endpoint, entry, is_reset, read_exactly, run_bounded,
    service, until,
};
use super::{PAYMENTS, PAYMENTS_ADDR, authority};

#[test]
fn a_service_is_asked_for_when_it_is_first_dialled() {
    run_bounded(async {
        let app = Origin::echo(Http::One).await;
        let services = [entry(PAYMENTS, PAYMENTS_ADDR)];
        let mut ours = Proxy::start(&authority(), "front", &[], &services).await;
        let (one, two) = (ours.dial(PAYMENTS_ADDR).await, ours.dial(PAYMENTS_ADDR).await);
        assert_eq!(ours.demanded.recv().await, Some(ServiceName::new(PAYMENTS)));
        until("both connections", || ours.metric("weftway_connections_open") == 2.0).await;
        assert!(ours.demanded.try_recv().is_err(), "one question is enough");
        // A plan without it changes nothing.
        ours.apply(2, &[], &services).await;
        let payments =
            service(PAYMENTS, PAYMENTS_ADDR, Protocol::Detect, &[endpoint(app.addr, None)]);
        ours.apply(3, &[payments], &services).await;
        for stream in [one, two] {
            let mut client = Client::over(Http::One, stream).await;
            assert_eq!(client.get("/").await.status, 200);
        }
        assert_eq!(ours.refused("unlearned"), 0.0);
    });
}

#[test]
fn a_service_of_which_nothing_is_learned_fails_within_a_second() {
    run_bounded(async {
        let services = [entry(PAYMENTS, PAYMENTS_ADDR)];
        let ours = Proxy::start(&authority(), "front", &[], &services).await;
        for http in [Http::One, Http::Two] {
            let mut client = Client::over(http, ours.dial(PAYMENTS_ADDR).await).await;
            let answer = client.get("/").await;
            let body = String::from_utf8(answer.body).unwrap();
            let expected =
                "nothing is known about the service yet: payments.shop.svc.cluster.local\n";
            assert_eq!((answer.status, &*body), (503, expected), "{http:?}");
            assert!(client.closed().await);
        }
        let mut stream = ours.dial(PAYMENTS_ADDR).await;
        assert!(is_reset(&mut stream).await);
        assert_eq!(ours.refused("unlearned"), 3.0);
    });
}

#[test]
fn services_in_use_are_known() {
    run_bounded(async {
        let app = TcpApp::start("220 ready\r\n").await;
        let payments = service(PAYMENTS, PAYMENTS_ADDR, Protocol::Tcp, &[endpoint(app.addr, None)]);
        let ours = Proxy::start(&authority(), "front", &[payments], &[]).await;
        assert_eq!(ours.unused_for("other"), None);
        until("some time", || ours.unused_for(PAYMENTS) > Some(Duration::ZERO)).await;
        let mut stream = ours.dial(PAYMENTS_ADDR).await;
        assert_eq!(read_exactly(&mut stream, 11).await, "220 ready\r\n");
        assert_eq!(ours.unused_for(PAYMENTS), Some(Duration::ZERO));
        drop(stream);
        until("the end", || ours.unused_for(PAYMENTS) > Some(Duration::ZERO)).await;
    });
}
