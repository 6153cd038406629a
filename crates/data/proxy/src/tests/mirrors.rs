//! Copies of requests whose answers are compared with the main one.

use std::future::poll_fn;
use std::sync::Arc;

use tokio::net::TcpListener;
use weft_http::BodyEvent;
use weft_message::h1::BodyFraming;
use weft_message::{Fields, ResponseHead};
use weft_model::id::BackendId;
use weft_model::policy::{AnswerDiff, StepKind};
use weft_resilience::settings::{LimitSettings, OutlierSettings};
use weft_upstream::COPIES_BYTES_MAX;

use super::harness::{
    Client, Gateway, Http, Origin, Setup, backend, begin, finish, matrix, reply, reply_with, run,
    until,
};

const ALWAYS: u32 = 1_000_000;

const STATUS: AnswerDiff =
    AnswerDiff { parts_per_million: ALWAYS, status: true, headers: false, body: false };

fn mirror(backend: &str, compared: AnswerDiff) -> StepKind {
    let backend = BackendId::new(backend);
    StepKind::Mirror { parts_per_million: ALWAYS, backend, compared: Some(compared) }
}

async fn compared(gateway: &Gateway, outcome: &str, times: f64) {
    let series = format!("weftway_mirror_comparisons_total{{outcome=\"{outcome}\"}}");
    until(outcome, || gateway.metric(&series) == times).await;
}

/// Answers each path in its own way; the mirror does so otherwise.
async fn origin(http: Http, is_mirror: bool) -> Origin {
    Origin::start(http, move |begun| async move {
        let path = begun.head.path().to_owned();
        let other = |one: &'static str, two: &'static str| if is_mirror { two } else { one };
        match &*path {
            "/status" => reply(begun.leg, if is_mirror { 500 } else { 200 }, b"x").await,
            "/headers" => {
                let fields = [("content-type", other("text/plain", "text/html"))];
                reply_with(begun.leg, 200, &fields, b"x").await
            }
            "/body" => reply(begun.leg, 200, other("one", "two").as_bytes()).await,
            "/large" => reply(begun.leg, 200, &vec![u8::from(is_mirror); 2 << 20]).await,
            "/lost" if is_mirror => None,
            _ => reply_with(begun.leg, 200, &[("date", other("a", "b"))], b"same").await,
        }
    })
    .await
}

#[test]
fn answers_of_mirrors_are_compared() {
    matrix(|down, up| async move {
        let (main, copy) = (origin(up, false).await, origin(up, true).await);
        let gateway = Setup::new(up, &[main.addr])
            .backend(backend("two", up, &[copy.addr]))
            .step(mirror("two", AnswerDiff { headers: true, body: true, ..STATUS }))
            .start()
            .await;
        let mut client = Client::connect(down, gateway.addr).await;
        for (path, outcome) in [
            ("/", "same"),
            ("/status", "status"),
            ("/headers", "headers"),
            ("/body", "body"),
            ("/lost", "failed"),
        ] {
            assert_eq!(client.get(path).await.status, 200, "{down:?} to {up:?}");
            compared(&gateway, outcome, 1.0).await;
        }
    });
}

#[test]
fn answers_are_compared_by_what_is_asked_for_alone() {
    matrix(|down, up| async move {
        let (main, copy) = (origin(up, false).await, origin(up, true).await);
        let headers = AnswerDiff { status: false, headers: true, ..STATUS };
        let body = AnswerDiff { status: false, body: true, ..STATUS };
        for (how, differs) in [(STATUS, "/status"), (headers, "/headers"), (body, "/body")] {
            let gateway = Setup::new(up, &[main.addr])
                .backend(backend("two", up, &[copy.addr]))
                .step(mirror("two", how))
                .start()
                .await;
            let mut client = Client::connect(down, gateway.addr).await;
            let paths = ["/status", "/headers", "/body"];
            for path in paths {
                assert_eq!(client.get(path).await.status, 200, "{down:?} to {up:?}");
            }
            compared(&gateway, differs.trim_start_matches('/'), 1.0).await;
            compared(&gateway, "same", 2.0).await;
            // Of an answer that is too large to be compared whole, the head is there.
            assert_eq!(client.get("/large").await.status, 200, "{down:?} to {up:?}");
            match how.body {
                true => compared(&gateway, "failed", 1.0).await,
                false => compared(&gateway, "same", 3.0).await,
            }
        }
    });
}

#[test]
fn copies_of_grpc_calls_that_succeed_have_no_endpoint_set_aside() {
    matrix(|down, up| async move {
        let main = Origin::echo(up).await;
        let copy = Origin::start(up, |begun| async move {
            let mut leg = begun.leg;
            let mut head = ResponseHead::default();
            head.set_status(200);
            head.fields.append("content-type", b"application/grpc").expect("valid");
            begin(&mut leg, &mut head, BodyFraming::Chunked);
            let mut trailers = Fields::new();
            trailers.append("grpc-status", b"0").expect("valid");
            finish(&mut leg, Some(&trailers)).await?;
            Some(leg)
        })
        .await;
        let outlier = OutlierSettings {
            consecutive: Some(1),
            ejected_ratio_max: 1.0,
            ..OutlierSettings::NONE
        };
        let mut two = backend("two", up, &[copy.addr]);
        Arc::make_mut(&mut two.calling).outlier = Some(outlier);
        let gateway = Setup::new(up, &[main.addr])
            .backend(two)
            .step(mirror("two", AnswerDiff { status: false, ..STATUS }))
            .start()
            .await;
        let mut client = Client::connect(down, gateway.addr).await;
        for times in [1.0, 2.0] {
            assert_eq!(client.get("/").await.status, 200);
            compared(&gateway, "same", times).await;
        }
        assert_eq!(copy.requests().len(), 2, "{down:?} to {up:?}");
    });
}

#[test]
fn copies_say_that_trailers_are_taken_as_the_call_did() {
    run(async {
        let (main, copy) = (Origin::echo(Http::Two).await, Origin::echo(Http::Two).await);
        let gateway = Setup::new(Http::Two, &[main.addr])
            .backend(backend("two", Http::Two, &[copy.addr]))
            .step(mirror("two", STATUS))
            .start()
            .await;
        let mut client = Client::connect(Http::Two, gateway.addr).await;
        let grpc = [("content-type", "application/grpc"), ("te", "trailers")];
        let mut call = client.begin("POST", "/Pay/One", &grpc, BodyFraming::Chunked).await;
        call.send(b"message").await;
        call.finish(None).await;
        assert_eq!(client.answer(call).await.body, b"message");
        compared(&gateway, "same", 1.0).await;
        assert_eq!(copy.field(0, "te").as_deref(), Some("trailers"));
        assert_eq!(copy.field(0, "content-length").as_deref(), Some("7"), "it is there whole");
        // Who does not take them says nothing.
        assert_eq!(client.get("/").await.status, 200);
        compared(&gateway, "same", 2.0).await;
        assert_eq!(copy.field(1, "te"), None);
    });
}

#[test]
fn a_mirror_that_hangs_holds_so_much_and_no_more() {
    const BODY: usize = 4 << 20;
    run(async {
        let main = Origin::start(Http::One, |begun| async move {
            let mut leg = begun.leg;
            while poll_fn(|cx| leg.poll_body(cx)).await.ok()? == BodyEvent::Data {
                let count = leg.chunk().len();
                leg.consume(count);
            }
            reply(leg, 200, b"x").await
        })
        .await;
        // The kernel takes connections for it, and nobody reads.
        let hanging = TcpListener::bind("127.0.0.1:0").await.expect("there is a free port");
        let copy = hanging.local_addr().expect("it is bound");
        let gateway = Setup::new(Http::One, &[main.addr])
            .backend(backend("two", Http::One, &[copy]))
            .step(mirror("two", STATUS))
            .start()
            .await;
        let mut client = Client::connect(Http::One, gateway.addr).await;
        let under_way = "weftway_upstream_requests_in_flight{backend=\"two\"}";
        let dropped = "weftway_upstream_refused_total{backend=\"two\",bound=\"copies\",\
                       scope=\"backend\"}";
        let fitting = usize::try_from(COPIES_BYTES_MAX).expect("it is small") / BODY;
        for _ in 0..fitting + 2 {
            assert_eq!(client.send("POST", "/", &vec![0; BODY]).await.status, 200);
        }
        until("the copies", || gateway.metric(under_way) == fitting as f64).await;
        assert_eq!(gateway.metric(dropped), 2.0);
    });
}

#[test]
fn a_bound_that_is_reached_is_named_in_the_answer() {
    run(async {
        let origin = Origin::start(Http::One, |begun| async move {
            let mut leg = begun.leg;
            poll_fn(|cx| leg.poll_gone(cx)).await;
            None
        })
        .await;
        let gateway = Setup::new(Http::One, &[origin.addr])
            .calling(|calling| {
                calling.limits = LimitSettings { requests: Some(1), ..LimitSettings::default() };
            })
            .start()
            .await;
        let mut first = Client::connect(Http::One, gateway.addr).await;
        let call = first.begin("GET", "/", &[], BodyFraming::None).await;
        until("the request", || origin.requests().len() == 1).await;
        let mut second = Client::connect(Http::One, gateway.addr).await;
        let answer = second.get("/").await;
        assert_eq!(answer.status, 503);
        assert_eq!(answer.fields.get_str("x-envoy-overloaded"), Some("true"));
        assert_eq!(answer.body, b"the service has too many requests\n");
        assert_eq!(gateway.failures("requests_overflow"), 1.0);
        drop(call);
    });
}
