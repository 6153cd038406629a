//! Requests that are sent more than once: replays, retries, fallbacks.

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use weft_http::{BodyEvent, Leg};
use weft_message::ResponseHead;
use weft_message::h1::BodyFraming;
use weft_model::backend::HostHeader;
use weft_model::policy::{RetryPolicy, StepKind};
use weft_model::route::{Failover, Mirror, Mirrors, Target};
use weft_resilience::settings::{BudgetSettings, LimitSettings, RecentBudget};
use weft_runtime::time;

use super::harness::{
    Begun, Client, Http, Origin, SPOOL_BYTES_MAX, Setup, backend, backend_target, begin, finish,
    make_time_fly, make_time_walk, matrix, pattern, read, reply, run, until,
};

fn retry() -> RetryPolicy {
    RetryPolicy {
        attempts: 3,
        body_bytes_max: 1 << 20,
        on_network_error: true,
        ..RetryPolicy::NEVER
    }
}

/// Fails so many requests in a row by `fail`, and echoes the next.
async fn flaky<F>(http: Http, failures: u32, fail: impl Fn(Leg) -> F + Clone + 'static) -> Origin
where
    F: Future<Output = Option<Leg>> + 'static,
{
    let left = Rc::new(Cell::new(failures));
    Origin::start(http, move |begun| {
        let (left, fail) = (left.clone(), fail.clone());
        async move {
            let Begun { mut leg, .. } = begun;
            let body = read(&mut leg).await?;
            if left.get() > 0 {
                left.set(left.get() - 1);
                return fail(leg).await;
            }
            reply(leg, 200, &body).await
        }
    })
    .await
}

#[test]
fn a_pooled_connection_that_was_closed_costs_no_request_that_can_be_replayed() {
    run(async {
        // The second request on each connection is read and dropped, as by a server whose patience
        // ended just then.
        let origin = Origin::start(Http::One, |begun| async move {
            let Begun { mut leg, place, .. } = begun;
            let body = read(&mut leg).await?;
            if place == 2 {
                return None;
            }
            reply(leg, 200, &body).await
        })
        .await;
        let gateway = Setup::new(Http::One, &[origin.addr]).start().await;
        let mut client = Client::connect(Http::One, gateway.addr).await;
        for _ in 0..5 {
            assert_eq!(client.get("/").await.status, 200);
        }
        assert_eq!(gateway.metric("weftway_upstream_replays_total{backend=\"one\"}"), 4.0);
        // What may not be sent twice is sent once.
        let before = origin.requests().len();
        assert_eq!(client.send("POST", "/", b"x").await.status, 502);
        assert_eq!(origin.requests().len(), before + 1);
        gateway.until_idle().await;
    });
}

#[test]
fn a_connection_that_the_upstream_has_closed_is_not_used() {
    matrix(|down, up| async move {
        let origin = Origin::start(up, |begun| async move {
            let leg = reply(begun.leg, 200, b"ok").await?;
            // Closes after each answer, without having said so.
            time::sleep(Duration::from_millis(2)).await;
            drop(leg);
            None
        })
        .await;
        let gateway = Setup::new(up, &[origin.addr]).start().await;
        let mut client = Client::connect(down, gateway.addr).await;
        for _ in 0..5 {
            assert_eq!(client.send("POST", "/", b"x").await.status, 200, "{down:?} to {up:?}");
            time::sleep(Duration::from_millis(10)).await;
        }
        gateway.until_idle().await;
    });
}

#[test]
fn a_retry_sends_the_whole_body_again() {
    for framing in [BodyFraming::Length(100_000), BodyFraming::Chunked] {
        matrix(|down, up| async move {
            let origin = flaky(up, 2, |_| async { None }).await;
            let gateway =
                Setup::new(up, &[origin.addr]).step(StepKind::Retry(retry())).start().await;
            let mut client = Client::connect(down, gateway.addr).await;
            let body = pattern(100_000);
            let mut call = client.begin("PUT", "/", &[], framing).await;
            call.send(&body).await;
            call.finish(None).await;
            let answer = client.answer(call).await;
            assert_eq!(answer.status, 200, "{down:?} to {up:?}");
            assert!(answer.body == body, "{down:?} to {up:?}");
            assert_eq!(origin.requests().len(), 3);
            assert_eq!(gateway.metric("weftway_upstream_retries_total{backend=\"one\"}"), 2.0);
            gateway.until_idle().await;
        });
    }
}

#[test]
fn a_retry_in_the_middle_of_a_body_goes_on_with_the_rest() {
    matrix(|down, up| async move {
        let failed = Rc::new(Cell::new(false));
        let once = failed.clone();
        let origin = Origin::start(up, move |begun| {
            let once = once.clone();
            async move {
                let Begun { mut leg, .. } = begun;
                if !once.replace(true) {
                    // Gives up after the first part.
                    poll_fn(|cx| leg.poll_body(cx)).await.ok()?;
                    return None;
                }
                let body = read(&mut leg).await?;
                reply(leg, 200, &body).await
            }
        })
        .await;
        let gateway = Setup::new(up, &[origin.addr]).step(StepKind::Retry(retry())).start().await;
        let mut client = Client::connect(down, gateway.addr).await;
        let mut call = client.begin("PUT", "/", &[], BodyFraming::Chunked).await;
        call.send(b"first part, ").await;
        until("the second attempt", || origin.requests().len() == 2).await;
        call.send(b"second part").await;
        call.finish(None).await;
        let answer = client.answer(call).await;
        assert_eq!(answer.body, b"first part, second part", "{down:?} to {up:?}");
    });
}

#[test]
fn a_body_beyond_the_bound_is_sent_once() {
    matrix(|down, up| async move {
        let origin = flaky(up, 2, |_| async { None }).await;
        let policy = RetryPolicy { body_bytes_max: 10_000, ..retry() };
        let gateway = Setup::new(up, &[origin.addr]).step(StepKind::Retry(policy)).start().await;
        let mut client = Client::connect(down, gateway.addr).await;
        let answer = client.send("PUT", "/", &pattern(10_001)).await;
        assert_eq!(answer.status, 502, "{down:?} to {up:?}");
        assert_eq!(origin.requests().len(), 1);
        assert_eq!(client.send("PUT", "/", &pattern(10_000)).await.status, 200);
        assert_eq!(origin.requests().len(), 3);
    });
}

#[test]
fn a_large_body_is_kept_in_a_file() {
    run(async {
        let origin = flaky(Http::One, 1, |_| async { None }).await;
        let policy = RetryPolicy { body_bytes_max: u64::MAX, ..retry() };
        let gateway =
            Setup::new(Http::One, &[origin.addr]).step(StepKind::Retry(policy)).start().await;
        let mut client = Client::connect(Http::One, gateway.addr).await;
        let body = pattern(6_000_000);
        let answer = client.send("PUT", "/", &body).await;
        assert!(answer.status == 200 && answer.body == body);
        assert_eq!(origin.requests().len(), 2);
        assert_eq!(gateway.metric("weftway_spool_files_total"), 1.0);
        until("the end of the file", || gateway.metric("weftway_spool_bytes") == 0.0).await;
        // One for which there is no room is sent once.
        let body = pattern(SPOOL_BYTES_MAX as usize + (5 << 20));
        let answer = client.send("PUT", "/", &body).await;
        assert!(answer.status == 200 && answer.body == body);
        assert_eq!(gateway.metric("weftway_spool_bytes"), 0.0);
    });
}

/// A budget of so many retries an hour, however many requests there are.
fn budget(retries_min: u32) -> Option<BudgetSettings> {
    let retries_min_interval = Duration::from_secs(3_600);
    let never = RecentBudget { ratio: 0.0, ..RecentBudget::DEFAULT };
    Some(BudgetSettings::Recent(RecentBudget { retries_min, retries_min_interval, ..never }))
}

#[test]
fn retries_beyond_the_budget_are_not_made() {
    matrix(|down, up| async move {
        let origin = Origin::start(up, |begun| async move {
            let Begun { mut leg, .. } = begun;
            read(&mut leg).await?;
            reply(leg, 503, b"busy").await
        })
        .await;
        let policy = RetryPolicy { statuses: vec![(503, 503)], ..retry() };
        let gateway = Setup::new(up, &[origin.addr])
            .calling(|calling| calling.retry_budget = budget(3))
            .step(StepKind::Retry(policy))
            .start()
            .await;
        let mut client = Client::connect(down, gateway.addr).await;
        for sent in [3, 5, 6] {
            let answer = client.get("/").await;
            assert_eq!((answer.status, &*answer.body), (503, &b"busy"[..]), "{down:?} to {up:?}");
            assert_eq!(origin.requests().len(), sent, "{down:?} to {up:?}");
        }
        let count = |what| gateway.metric(&format!("weftway_upstream_{what}{{backend=\"one\"}}"));
        assert_eq!((count("retries_total"), count("retries_denied_total")), (3.0, 2.0));
    });
}

#[test]
fn a_replay_on_a_stale_connection_is_not_charged() {
    run(async {
        let origin = Origin::start(Http::One, |begun| async move {
            let Begun { leg, place, .. } = begun;
            if place == 2 { None } else { reply(leg, 200, b"ok").await }
        })
        .await;
        // With a policy that covers such failures, and without one.
        for policy in [retry(), RetryPolicy { on_network_error: false, ..retry() }] {
            let gateway = Setup::new(Http::One, &[origin.addr])
                .calling(|calling| calling.retry_budget = budget(0))
                .step(StepKind::Retry(policy))
                .start()
                .await;
            let mut client = Client::connect(Http::One, gateway.addr).await;
            for _ in 0..6 {
                assert_eq!(client.get("/").await.status, 200);
            }
            let denied = "weftway_upstream_retries_denied_total{backend=\"one\"}";
            assert_eq!(gateway.metric(denied), 0.0);
        }
    });
}

#[test]
fn a_stream_of_questions_and_answers_is_not_held_up_by_a_retry_policy() {
    matrix(|down, up| async move {
        let origin = Origin::echo(up).await;
        let gateway = Setup::new(up, &[origin.addr]).step(StepKind::Retry(retry())).start().await;
        let mut client = Client::connect(down, gateway.addr).await;
        let mut call = client.begin("POST", "/", &[], BodyFraming::Chunked).await;
        call.send(b"question 1").await;
        call.head().await.expect("the answer begins before the request ends");
        for question in ["question 1", "question 2", "question 3"] {
            if question != "question 1" {
                call.send(question.as_bytes()).await;
            }
            let mut answer = Vec::new();
            while answer.len() < question.len() {
                let event = poll_fn(|cx| call.leg.poll_body(cx)).await.expect("it is read");
                assert_eq!(event, BodyEvent::Data);
                answer.extend_from_slice(call.leg.chunk());
                let count = call.leg.chunk().len();
                call.leg.consume(count);
            }
            assert_eq!(answer, question.as_bytes(), "{down:?} to {up:?}");
        }
        call.finish(None).await;
        assert!(call.body().await.expect("it is whole").is_empty());
    });
}

#[test]
fn a_policy_for_statuses_leaves_stale_connections_to_replays() {
    run(async {
        let origin = Origin::start(Http::One, |begun| async move {
            let Begun { leg, place, .. } = begun;
            if place == 2 { None } else { reply(leg, 200, b"ok").await }
        })
        .await;
        let policy = RetryPolicy { statuses: vec![(503, 503)], on_network_error: false, ..retry() };
        let gateway =
            Setup::new(Http::One, &[origin.addr]).step(StepKind::Retry(policy)).start().await;
        let mut client = Client::connect(Http::One, gateway.addr).await;
        for _ in 0..4 {
            assert_eq!(client.get("/").await.status, 200);
        }
    });
}

#[test]
fn a_request_that_reached_nobody_goes_to_another_endpoint() {
    matrix(|down, up| async move {
        let origin = Origin::echo(up).await;
        let closed = Origin::echo(up).await;
        closed.stop();
        time::sleep(Duration::from_millis(1)).await;
        let gateway = Setup::new(up, &[closed.addr, origin.addr]).start().await;
        for _ in 0..4 {
            let mut client = Client::connect(down, gateway.addr).await;
            // Even one whose body is still to come: none of it was sent.
            let mut call = client.begin("POST", "/", &[], BodyFraming::Chunked).await;
            call.send(b"body").await;
            call.finish(None).await;
            let answer = client.answer(call).await;
            assert_eq!((answer.status, &answer.body[..]), (200, &b"body"[..]));
        }
        assert!(gateway.metric("weftway_upstream_connect_failures_total{backend=\"one\"}") >= 1.0);
    });
}

#[test]
fn a_bound_of_the_backend_refuses_once_and_one_of_an_endpoint_leaves_the_others() {
    run(async {
        let origins = [Origin::echo(Http::One).await, Origin::echo(Http::One).await];
        let addrs = origins.each_ref().map(|origin| origin.addr);
        let none = LimitSettings::default();
        let (full, closed) = (
            LimitSettings { pending: Some(0), ..none },
            LimitSettings { connections: Some(0), ..none },
        );
        for (limits, each, bound, scope, times) in [
            (full, none, "pending", "backend", 1.0),
            (closed, none, "connections", "backend", 1.0),
            (none, full, "pending", "endpoint", 2.0),
            (none, closed, "connections", "endpoint", 2.0),
        ] {
            let connect_timeout = Duration::from_secs(10);
            let gateway = Setup::new(Http::One, &addrs)
                .calling(|calling| {
                    (calling.limits, calling.endpoint_limits) = (limits, each);
                    calling.pool.connect_timeout = connect_timeout;
                })
                .start()
                .await;
            let mut client = Client::connect(Http::One, gateway.addr).await;
            let call = client.begin("GET", "/", &[], BodyFraming::None).await;
            until("the request", || {
                gateway.metric("weftway_upstream_requests_total{backend=\"one\"}") == 1.0
            })
            .await;
            let begun = time::now();
            make_time_fly();
            assert_eq!(client.answer(call).await.status, 503, "{bound} {scope}");
            let waited = time::now() - begun;
            make_time_walk();
            let refused = format!(
                "weftway_upstream_refused_total{{backend=\"one\",bound=\"{bound}\",scope=\"{scope}\"}}"
            );
            assert_eq!(gateway.metric(&refused), times, "{bound} {scope}");
            let is_waited_for_twice = waited > connect_timeout * 3 / 2;
            assert_eq!(is_waited_for_twice, (bound, scope) == ("connections", "endpoint"));
        }
    });
}

#[test]
fn an_http2_stream_that_was_refused_is_sent_again() {
    for down in [Http::One, Http::Two] {
        run(async {
            let refused = Rc::new(Cell::new(0));
            let count = refused.clone();
            let origin = Origin::start(Http::Two, move |begun| {
                let count = count.clone();
                async move {
                    let Begun { mut leg, head, .. } = begun;
                    if head.path() == "/refuse" && count.get() < 1 {
                        count.set(count.get() + 1);
                        leg.abort(weft_http::h2::Reason::REFUSED_STREAM);
                        return None;
                    }
                    let body = read(&mut leg).await?;
                    reply(leg, 200, &body).await
                }
            })
            .await;
            let gateway = Setup::new(Http::Two, &[origin.addr]).start().await;
            let mut client = Client::connect(down, gateway.addr).await;
            assert_eq!(client.get("/").await.status, 200);
            // Whatever the method: the upstream has said that it did nothing.
            let mut call = client.begin("POST", "/refuse", &[], BodyFraming::None).await;
            call.finish(None).await;
            assert_eq!(client.answer(call).await.status, 200, "{down:?}");
            assert_eq!(refused.get(), 1);
        });
    }
}

#[test]
fn a_fallback_gets_the_request_as_the_client_sent_it() {
    matrix(|down, up| async move {
        let main = flaky(up, 2, |leg| async { reply(leg, 503, b"down").await }).await;
        let other = Origin::echo(up).await;
        let mut second = backend("two", up, &[other.addr]);
        second.host = HostHeader::Pass;
        let failover = Failover {
            main: backend_target("one"),
            fallback: backend_target("two"),
            statuses: vec![(500, 599)],
            body_bytes_max: 1 << 20,
        };
        let gateway = Setup::new(up, &[main.addr])
            .change_backend(|backend| backend.host = HostHeader::Set("main.example".into()))
            .backend(second)
            .change_route(|route| route.target = Target::Failover(Arc::new(failover)))
            .start()
            .await;
        let mut client = Client::connect(down, gateway.addr).await;
        let body = pattern(50_000);
        let answer = client.send("POST", "/", &body).await;
        assert_eq!(answer.status, 200, "{down:?} to {up:?}");
        assert!(answer.body == body, "{down:?} to {up:?}");
        assert_eq!(main.field(0, "host").as_deref(), Some("main.example"));
        assert_eq!(other.field(0, "host").as_deref(), Some("a.example"));
        gateway.until_idle().await;
    });
}

#[test]
fn mirrors_get_copies_with_their_bodies() {
    matrix(|down, up| async move {
        let main = flaky(up, 0, |_| async { None }).await;
        let bodies = Rc::new(std::cell::RefCell::new(Vec::new()));
        let seen = bodies.clone();
        let copy = Origin::start(up, move |begun| {
            let seen = seen.clone();
            async move {
                let Begun { mut leg, .. } = begun;
                let body = read(&mut leg).await?;
                seen.borrow_mut().push(body);
                reply(leg, 500, b"nobody sees this").await
            }
        })
        .await;
        let mirrors = Mirrors {
            main: backend_target("one"),
            mirrors: vec![Mirror { parts_per_million: 1_000_000, target: backend_target("two") }],
            body: true,
            body_bytes_max: Some(60_000),
            compared: None,
        };
        let gateway = Setup::new(up, &[main.addr])
            .backend(backend("two", up, &[copy.addr]))
            .change_route(|route| route.target = Target::Mirror(Arc::new(mirrors)))
            .start()
            .await;
        let mut client = Client::connect(down, gateway.addr).await;
        let body = pattern(50_000);
        for body in [&body[..], b"", &pattern(60_001)] {
            let answer = client.send("POST", "/", body).await;
            assert!(answer.status == 200 && answer.body == body, "{down:?} to {up:?}");
        }
        until("the copies", || bodies.borrow().len() == 2).await;
        assert!(*bodies.borrow() == [body, Vec::new()], "the larger one is not copied");
        let in_flight = "weftway_upstream_requests_in_flight{backend=\"two\"}";
        until("the end of the copies", || gateway.metric(in_flight) == 0.0).await;
    });
}

#[test]
fn an_answer_that_is_retried_leaves_its_connection_usable() {
    run(async {
        let origin = flaky(Http::One, 2, |mut leg| async {
            let mut head = ResponseHead::default();
            head.set_status(503);
            begin(&mut leg, &mut head, BodyFraming::Length(0));
            finish(&mut leg, None).await?;
            Some(leg)
        })
        .await;
        let policy = RetryPolicy { statuses: vec![(503, 503)], ..retry() };
        let gateway =
            Setup::new(Http::One, &[origin.addr]).step(StepKind::Retry(policy)).start().await;
        let mut client = Client::connect(Http::One, gateway.addr).await;
        assert_eq!(client.get("/").await.status, 200);
        assert_eq!((origin.requests().len(), origin.connections()), (3, 1));
    });
}
