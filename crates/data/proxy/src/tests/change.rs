//! Changes of the configuration, and the end.

use std::future::poll_fn;
use std::time::Duration;

use weft_http::BodyEvent;
use weft_message::h1::BodyFraming;
use weft_runtime::drain::Drained;
use weft_runtime::time;

use super::harness::{
    Begun, Client, Http, Origin, Setup, backend, make_time_fly, matrix, reply, route, run, until,
};

/// Answers when a body has come whole, so that a test can hold a request up.
async fn patient(http: Http) -> Origin {
    Origin::start(http, |begun| async move {
        let Begun { mut leg, .. } = begun;
        while poll_fn(|cx| leg.poll_body(cx)).await.ok()? == BodyEvent::Data {
            let count = leg.chunk().len();
            leg.consume(count);
        }
        reply(leg, 200, b"done").await
    })
    .await
}

#[test]
fn a_drain_finishes_what_runs_and_takes_nothing_new() {
    matrix(|down, up| async move {
        let origin = patient(up).await;
        let mut gateway = Setup::new(up, &[origin.addr]).start().await;
        let mut idle = Client::connect(down, gateway.addr).await;
        idle.get("/").await;
        let mut busy = Client::connect(down, gateway.addr).await;
        let mut call = busy.begin("POST", "/", &[], BodyFraming::Chunked).await;
        call.send(b"first").await;
        until("the request", || origin.requests().len() == 2).await;
        let drained = gateway.drain(Duration::from_secs(30));
        assert!(idle.closed().await, "{down:?} to {up:?}");
        drop(idle);
        call.send(b"second").await;
        call.finish(None).await;
        let answer = call.answer().await.expect("it is whole");
        assert_eq!((answer.status, &answer.body[..]), (200, &b"done"[..]));
        if down == Http::One {
            assert_eq!(answer.fields.get_str("connection"), Some("close"));
        }
        busy.take_back(call);
        assert!(busy.closed().await);
        drop(busy);
        gateway.ended().await;
        assert_eq!(drained.await, Ok(Drained::InTime), "{down:?} to {up:?}");
    });
}

#[test]
fn what_outlives_a_drain_is_cut_off() {
    matrix(|down, up| async move {
        let origin = patient(up).await;
        let mut gateway = Setup::new(up, &[origin.addr]).start().await;
        let mut client = Client::connect(down, gateway.addr).await;
        let mut call = client.begin("POST", "/", &[], BodyFraming::Chunked).await;
        call.send(b"first").await;
        until("the request", || origin.requests().len() == 1).await;
        let drained = gateway.drain(Duration::from_secs(30));
        make_time_fly();
        let start = time::now();
        gateway.ended().await;
        let took = time::now() - start;
        assert!(took < Duration::from_secs(33), "{down:?} to {up:?}: {took:?}");
        assert_eq!(drained.await, Ok(Drained::Forced));
        drop(call);
    });
}

#[test]
fn silent_connections_do_not_hold_up_a_drain() {
    run(async {
        let origin = patient(Http::One).await;
        let mut gateway = Setup::new(Http::One, &[origin.addr]).start().await;
        // Browsers open connections that they never use.
        let silent = tokio::net::TcpStream::connect(gateway.addr).await.expect("it accepts");
        until("it", || gateway.metric("weftway_connections_open") == 1.0).await;
        let drained = gateway.drain(Duration::from_secs(30));
        make_time_fly();
        let start = time::now();
        gateway.ended().await;
        assert!(time::now() - start < Duration::from_secs(3));
        assert_eq!(drained.await, Ok(Drained::InTime));
        drop(silent);
    });
}

#[test]
fn a_request_that_comes_with_the_drain_is_served() {
    run(async {
        let origin = patient(Http::One).await;
        let mut gateway = Setup::new(Http::One, &[origin.addr]).start().await;
        let mut used = Client::connect(Http::One, gateway.addr).await;
        used.get("/").await;
        let mut fresh = Client::connect(Http::One, gateway.addr).await;
        until("both", || gateway.metric("weftway_connections_open") == 2.0).await;
        let drained = gateway.drain(Duration::from_secs(30));
        // Sent before the gateway has told anybody.
        let call = used.begin("GET", "/", &[], BodyFraming::None).await;
        let answer = used.answer(call).await;
        assert_eq!((answer.status, answer.fields.get_str("connection")), (200, Some("close")));
        let answer = fresh.get("/").await;
        assert_eq!((answer.status, answer.fields.get_str("connection")), (200, Some("close")));
        drop((used, fresh));
        gateway.ended().await;
        assert_eq!(drained.await, Ok(Drained::InTime));
    });
}

#[test]
fn idle_connections_of_a_listener_that_is_gone_end() {
    for down in [Http::One, Http::Two] {
        run(async {
            let origin = patient(Http::One).await;
            let mut gateway = Setup::new(Http::One, &[origin.addr]).start().await;
            let mut idle = Client::connect(down, gateway.addr).await;
            idle.get("/").await;
            let mut busy = Client::connect(down, gateway.addr).await;
            let mut call = busy.begin("POST", "/", &[], BodyFraming::Chunked).await;
            call.send(b"first").await;
            until("the request", || origin.requests().len() == 2).await;
            gateway.remove_listener().await;
            assert!(idle.closed().await, "{down:?}");
            call.finish(None).await;
            assert_eq!(busy.answer(call).await.status, 200, "{down:?}");
            drop((idle, busy));
            gateway.until_closed().await;
        });
    }
}

#[test]
fn a_change_keeps_connections_and_moves_requests() {
    matrix(|down, up| async move {
        let (one, two) = (patient(up).await, patient(up).await);
        let setup = Setup::new(up, &[one.addr]);
        let mut gateway = setup.clone().start().await;
        let mut client = Client::connect(down, gateway.addr).await;
        client.get("/1").await;
        // Other settings, the same way of connecting: the connection stays.
        let slower = setup.clone().calling(|calling| {
            calling.pool.connect_timeout = Duration::from_secs(9);
        });
        gateway.apply(2, &slower).await;
        client.get("/2").await;
        assert_eq!(one.connections(), 1, "{down:?} to {up:?}");
        // A request under way finishes where it began.
        let mut call = client.begin("POST", "/3", &[], BodyFraming::Chunked).await;
        call.send(b"first").await;
        until("the request", || one.requests().len() == 3).await;
        let moved = Setup {
            backends: vec![backend("one", up, &[two.addr])],
            routes: vec![route("all", super::harness::backend_target("one"))],
            ..setup.clone()
        };
        gateway.apply(3, &moved).await;
        call.finish(None).await;
        assert_eq!(client.answer(call).await.status, 200);
        client.get("/4").await;
        assert_eq!((one.requests().len(), two.requests().len()), (3, 1), "{down:?} to {up:?}");
        gateway.until_idle().await;
    });
}
