//! How long a request may take, as it says itself, as its route says, and as its upstream is told.

use std::future::poll_fn;
use std::time::Duration;

use weft_message::ResponseHead;
use weft_message::h1::BodyFraming;
use weft_resilience::settings::OutlierSettings;

use super::harness::{
    Begun, Client, Http, Origin, Setup, begin, make_time_fly, make_time_walk, matrix, until,
};

const GRPC: [(&str, &str); 2] = [("content-type", "application/grpc"), ("te", "trailers")];

/// Never answers; waits until it is let go.
async fn silent(http: Http) -> Origin {
    Origin::start(http, |begun| async move {
        let Begun { mut leg, .. } = begun;
        poll_fn(|cx| leg.poll_gone(cx)).await;
        None
    })
    .await
}

/// Begins an answer and says no more.
async fn stalling(http: Http) -> Origin {
    Origin::start(http, |begun| async move {
        let Begun { mut leg, .. } = begun;
        let mut head = ResponseHead::default();
        head.set_status(200);
        begin(&mut leg, &mut head, BodyFraming::Chunked);
        poll_fn(|cx| leg.poll_send(cx, b"part")).await.ok()?;
        poll_fn(|cx| leg.poll_flush(cx)).await.ok()?;
        poll_fn(|cx| leg.poll_gone(cx)).await;
        None
    })
    .await
}

#[test]
fn a_request_says_how_long_its_client_waits() {
    matrix(|down, up| async move {
        let origin = silent(up).await;
        let minute = Some(Duration::from_secs(60));
        for (fields, by_route) in [
            ([("x-envoy-expected-rq-timeout-ms", "7000"), ("accept", "*/*")], None),
            ([("x-envoy-expected-rq-timeout-ms", "7000"), ("accept", "*/*")], minute),
            ([("grpc-timeout", "7S"), ("accept", "*/*")], minute),
            // The lesser of the two holds.
            ([("grpc-timeout", "1H"), ("x-envoy-expected-rq-timeout-ms", "7000")], None),
        ] {
            let gateway = Setup::new(up, &[origin.addr])
                .change_route(|route| route.timeouts.request = by_route)
                .start()
                .await;
            let mut client = Client::connect(down, gateway.addr).await;
            let before = origin.requests().len();
            let mut call = client.begin("GET", "/", &fields, BodyFraming::None).await;
            until("the request", || origin.requests().len() > before).await;
            make_time_fly();
            let (head, ..) = call.head().await.expect("there is an answer");
            assert_eq!(head.status(), 504, "{fields:?} {down:?} to {up:?}");
            assert_eq!(gateway.failures("request_timeout"), 1.0, "{fields:?}");
            make_time_walk();
        }
    });
}

#[test]
fn a_client_in_a_hurry_has_no_endpoint_set_aside() {
    matrix(|down, up| async move {
        let origins = [silent(up).await, silent(up).await];
        let second = Some(Duration::from_secs(1));
        let outlier = OutlierSettings {
            consecutive: Some(1),
            ejected_ratio_max: 1.0,
            ..OutlierSettings::NONE
        };
        for (field, by_route, ejected) in
            [("grpc-timeout", None, 0.0), ("grpc-timeout", second, 0.0), ("accept", second, 1.0)]
        {
            let gateway = Setup::new(up, &origins.each_ref().map(|origin| origin.addr))
                .calling(|calling| calling.outlier = Some(outlier))
                .change_route(|route| route.timeouts.request = by_route)
                .start()
                .await;
            let asked = || origins.iter().map(|origin| origin.requests().len()).sum::<usize>();
            let before = asked();
            let mut client = Client::connect(down, gateway.addr).await;
            let mut call = client.begin("GET", "/", &[(field, "500m")], BodyFraming::None).await;
            until("the request", || asked() > before).await;
            make_time_fly();
            let (head, ..) = call.head().await.expect("there is an answer");
            make_time_walk();
            assert_eq!(head.status(), 504);
            let what = format!("{field} {by_route:?} {down:?} to {up:?}");
            let set_aside =
                "weftway_upstream_ejections_total{backend=\"one\",trigger=\"consecutive\"}";
            assert_eq!(gateway.metric(set_aside), ejected, "{what}");
        }
    });
}

#[test]
fn a_client_that_dawdles_has_no_endpoint_set_aside() {
    matrix(|down, up| async move {
        let origin = silent(up).await;
        let outlier = OutlierSettings {
            consecutive: Some(1),
            ejected_ratio_max: 1.0,
            ..OutlierSettings::NONE
        };
        let second = Some(Duration::from_secs(1));
        for (by_try, sends, ejected) in
            [(None, false, 0.0), (second, false, 0.0), (None, true, 1.0), (second, true, 1.0)]
        {
            let gateway = Setup::new(up, &[origin.addr])
                .calling(|calling| calling.outlier = Some(outlier))
                .change_route(|route| {
                    route.timeouts.request = Some(Duration::from_secs(2));
                    route.timeouts.attempt = by_try;
                })
                .start()
                .await;
            let before = origin.requests().len();
            let mut client = Client::connect(down, gateway.addr).await;
            let mut call = client.begin("POST", "/", &[], BodyFraming::Length(1)).await;
            until("the request", || origin.requests().len() > before).await;
            if sends {
                call.send(b"x").await;
                call.finish(None).await;
            }
            make_time_fly();
            let (head, ..) = call.head().await.expect("there is an answer");
            make_time_walk();
            assert_eq!(head.status(), 504);
            let what = format!("{by_try:?} {sends} {down:?} to {up:?}");
            let set_aside =
                "weftway_upstream_ejections_total{backend=\"one\",trigger=\"consecutive\"}";
            assert_eq!(gateway.metric(set_aside), ejected, "{what}");
        }
    });
}

#[test]
fn grpc_is_told_of_a_deadline_in_its_own_words() {
    matrix(|down, up| async move {
        let origin = silent(up).await;
        let gateway = Setup::new(up, &[origin.addr]).start().await;
        let mut client = Client::connect(down, gateway.addr).await;
        let fields = [GRPC[0], GRPC[1], ("grpc-timeout", "7S")];
        let mut call = client.begin("POST", "/a.B/C", &fields, BodyFraming::None).await;
        until("the request", || origin.requests().len() == 1).await;
        make_time_fly();
        let (head, ..) = call.head().await.expect("there is an answer");
        let status = head.fields.get_str("grpc-status");
        assert_eq!((head.status(), status), (200, Some("4")), "{down:?} to {up:?}");
    });
}

#[test]
fn the_upstream_is_told_what_is_left() {
    matrix(|down, up| async move {
        let origin = Origin::echo(up).await;
        let gateway = Setup::new(up, &[origin.addr]).start().await;
        let mut client = Client::connect(down, gateway.addr).await;
        let fields = [("grpc-timeout", "20S"), ("x-envoy-expected-rq-timeout-ms", "30000")];
        let call = client.begin("GET", "/", &fields, BodyFraming::None).await;
        assert_eq!(client.answer(call).await.status, 200);
        let told = |name| origin.field(0, name).expect("it is told");
        let grpc = told("grpc-timeout");
        let millis: u64 = grpc.strip_suffix('m').expect("milliseconds").parse().expect("a number");
        assert!(millis > 0 && millis < 20_000, "{grpc}");
        // Both say the same, since the lesser holds.
        let envoy: u64 = told("x-envoy-expected-rq-timeout-ms").parse().expect("a number");
        assert_eq!(envoy, millis);
        // Who says nothing is not spoken for outside of a mesh.
        client.get("/").await;
        assert_eq!(origin.field(1, "grpc-timeout"), None);
        assert_eq!(origin.field(1, "x-envoy-expected-rq-timeout-ms"), None);
    });
}

#[test]
fn a_service_may_be_called_whatever_time_its_callers_have() {
    matrix(|down, up| async move {
        let origin = Origin::echo(up).await;
        for (ignores, status) in [(true, 200), (false, 504)] {
            let gateway = Setup::new(up, &[origin.addr])
                .calling(|calling| calling.ignores_deadlines = ignores)
                .start()
                .await;
            let mut client = Client::connect(down, gateway.addr).await;
            let fields = [("grpc-timeout", "1n"), ("x-envoy-expected-rq-timeout-ms", "30000")];
            let call = client.begin("GET", "/", &fields, BodyFraming::None).await;
            assert_eq!(client.answer(call).await.status, status, "{down:?} to {up:?}");
        }
        for name in ["grpc-timeout", "x-envoy-expected-rq-timeout-ms"] {
            assert_eq!(origin.field(0, name), None, "{down:?} to {up:?}");
        }
        assert_eq!(origin.requests().len(), 1, "no time was left for the other");
    });
}

#[test]
fn an_answer_has_the_time_that_its_route_gives_it() {
    matrix(|down, up| async move {
        let seven = Some(Duration::from_secs(7));
        let slow = silent(up).await;
        let gateway = Setup::new(up, &[slow.addr])
            .change_route(|route| route.timeouts.response = seven)
            .start()
            .await;
        let mut client = Client::connect(down, gateway.addr).await;
        let mut call = client.begin("POST", "/", &[], BodyFraming::Length(1)).await;
        call.send(b"x").await;
        call.finish(None).await;
        until("the request", || slow.requests().len() == 1).await;
        make_time_fly();
        let (head, ..) = call.head().await.expect("there is an answer");
        assert_eq!(head.status(), 504, "{down:?} to {up:?}");
        assert_eq!(gateway.failures("upstream_timeout"), 1.0);
        make_time_walk();

        let stalling = stalling(up).await;
        let gateway = Setup::new(up, &[stalling.addr])
            .change_route(|route| route.timeouts.response = seven)
            .start()
            .await;
        let mut client = Client::connect(down, gateway.addr).await;
        let mut call = client.begin("GET", "/", &[], BodyFraming::None).await;
        call.head().await.expect("there is an answer");
        make_time_fly();
        assert!(call.body().await.is_err(), "{down:?} to {up:?}");
        assert_eq!(gateway.failures("upstream_timeout"), 1.0);
    });
}

#[test]
fn silence_ends_where_the_route_bounds_it() {
    matrix(|down, up| async move {
        let idle = Some(Duration::from_secs(7));
        for origin in [silent(up).await, stalling(up).await] {
            let gateway = Setup::new(up, &[origin.addr])
                .change_route(|route| route.timeouts.idle = idle)
                .start()
                .await;
            let mut client = Client::connect(down, gateway.addr).await;
            let mut call = client.begin("GET", "/", &[], BodyFraming::None).await;
            until("the request", || origin.requests().len() == 1).await;
            make_time_fly();
            match call.head().await {
                Ok((head, ..)) if head.status() == 504 => {}
                Ok(_) => assert!(call.body().await.is_err(), "{down:?} to {up:?}"),
                Err(error) => panic!("{error} {down:?} to {up:?}"),
            }
            assert_eq!(gateway.failures("upstream_timeout"), 1.0);
            make_time_walk();
        }
    });
}
