//! Second targets: nothing of the first is left when a request goes on with them.

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use weft_message::h1::BodyFraming;
use weft_model::policy::{
    Buffering, IpAllowList, IpStrategy, RetryPolicy, SourceCriterion, StepKind,
};
use weft_model::route::{Choice, Failover, Mirror, Mirrors, Target, Weighted};
use weft_resilience::settings::{BreakerExpression, BreakerSettings, Measure, Operator};

use super::choices::{answers, only, refuses, tells};
use super::harness::{
    Begun, Client, Gateway, Http, Origin, Setup, backend, backend_target, matrix, pattern, read,
    reply, run_bounded, until,
};
use super::matrix::sticky;

/// `one`, or else `two`.
fn failover(main: Target, fallback: Target) -> Target {
    Target::Failover(Arc::new(Failover {
        main,
        fallback,
        statuses: vec![(503, 503)],
        body_bytes_max: 1 << 20,
    }))
}

/// An origin that reads the first part of a body and breaks off.
async fn breaking(http: Http) -> Origin {
    Origin::start(http, |begun| async move {
        let Begun { mut leg, .. } = begun;
        poll_fn(|cx| leg.poll_body(cx)).await.ok()?;
        None
    })
    .await
}

/// An origin that answers with a status.
async fn saying(status: u16) -> Origin {
    Origin::start(Http::One, move |begun| reply_to(begun, status)).await
}

async fn reply_to(begun: Begun, status: u16) -> Option<weft_http::Leg> {
    reply(begun.leg, status, b"").await
}

/// A gateway with this target, whose backends `one`, `two` and `three` are these origins.
async fn gateway(http: Http, target: Target, origins: &[&Origin]) -> Gateway {
    let mut setup = Setup::new(http, &[origins[0].addr]);
    for (id, origin) in ["two", "three", "four"].into_iter().zip(&origins[1..]) {
        setup = setup.backend(backend(id, http, &[origin.addr]));
    }
    setup.change_route(|route| route.target = target).start().await
}

/// Waits until the first target, `one`, was asked and is asked no more.
async fn until_left(gateway: &Gateway, one: &Origin) {
    until("the first target", || one.requests().len() == 1).await;
    gateway.until_idle().await;
}

fn buffering(request_bytes_max: u64) -> StepKind {
    StepKind::Buffering(Buffering {
        request_bytes_max: Some(request_bytes_max),
        response_bytes_max: None,
        request_memory_bytes: 1 << 20,
        response_memory_bytes: 1 << 20,
        retry: None,
    })
}

#[test]
fn a_second_target_has_the_steps_of_its_choice() {
    run_bounded(async {
        let (one, two) = (saying(503).await, saying(200).await);
        for (steps, status) in [(vec![], 200), (vec![refuses()], 429)] {
            let target = failover(backend_target("one"), only(backend_target("two"), steps));
            let gateway = gateway(Http::One, target, &[&one, &two]).await;
            let mut client = Client::connect(Http::One, gateway.addr).await;
            assert_eq!(client.get("/").await.status, status);
        }
    });
}

#[test]
fn a_second_target_holds_a_body_from_its_beginning() {
    for framing in [BodyFraming::Length(100_000), BodyFraming::Chunked] {
        matrix(|down, up| async move {
            let (one, two) = (breaking(up).await, Origin::echo(up).await);
            let second = only(backend_target("two"), [buffering(1 << 20)]);
            let target = failover(backend_target("one"), second);
            let gateway = gateway(up, target, &[&one, &two]).await;
            let mut client = Client::connect(down, gateway.addr).await;
            let body = pattern(100_000);
            let mut call = client.begin("PUT", "/", &[], framing).await;
            call.send(&body[..30_000]).await;
            until_left(&gateway, &one).await;
            call.send(&body[30_000..]).await;
            call.finish(None).await;
            let answer = client.answer(call).await;
            assert_eq!(answer.status, 200, "{down:?} to {up:?}");
            assert!(answer.body == body, "{down:?} to {up:?}");
            gateway.until_idle().await;
        });
    }
}

#[test]
fn what_was_read_for_the_first_target_counts_for_the_bound_of_the_second() {
    run_bounded(async {
        let two = Origin::echo(Http::One).await;
        for (max, status) in [(99, 413), (100, 200)] {
            let one = breaking(Http::One).await;
            let second = only(backend_target("two"), [buffering(max)]);
            let target = failover(backend_target("one"), second);
            let gateway = gateway(Http::One, target, &[&one, &two]).await;
            let mut client = Client::connect(Http::One, gateway.addr).await;
            let mut call = client.begin("PUT", "/", &[], BodyFraming::Chunked).await;
            call.send(&pattern(100)).await;
            until_left(&gateway, &one).await;
            // Nothing more has to come for a refusal.
            if status == 200 {
                call.finish(None).await;
            }
            assert_eq!(client.answer(call).await.status, status, "{max}");
        }
    });
}

#[test]
fn a_second_target_gets_nothing_that_was_meant_for_the_first() {
    run_bounded(async {
        let (one, two) = (saying(503).await, saying(200).await);
        let main = [StepKind::AddPrefix("/main".into()), tells("x-main"), answers("x-main")];
        let second = [tells("x-second"), answers("x-second")];
        let choice = Choice {
            name: "main".into(),
            weight: 1,
            steps: Arc::new([]),
            target: only(backend_target("one"), main),
        };
        // Who comes again is not led to what has just failed.
        let main = Weighted { choices: vec![choice], sticky: Some(sticky()) };
        let inside =
            failover(Target::Weighted(Arc::new(main)), only(backend_target("two"), second));
        let around = only(inside, [tells("x-around"), answers("x-around")]);
        let gateway = gateway(Http::One, around, &[&one, &two]).await;
        let answer = Client::connect(Http::One, gateway.addr).await.get("/path").await;
        assert_eq!(answer.status, 200);
        assert_eq!(one.requests(), ["GET /main/path"]);
        assert_eq!(two.requests(), ["GET /path"]);
        for (name, is_there) in [("x-around", true), ("x-main", false), ("x-second", true)] {
            let value = is_there.then_some("1");
            assert_eq!(two.field(0, name).as_deref(), value, "{name}");
            assert_eq!(answer.fields.get_str(name), value, "{name}");
        }
        assert_eq!(two.field(0, "x-forwarded-for").as_deref(), Some("127.0.0.1"));
        assert!(!answer.fields.contains("set-cookie"));
    });
}

#[test]
fn an_allow_list_before_a_second_target_counts_addresses_as_before_the_first() {
    run_bounded(async {
        let (one, two) = (saying(503).await, saying(200).await);
        // The client names nobody before it, so nobody stands at that depth.
        let list = StepKind::IpAllowList(IpAllowList {
            ranges: vec!["127.0.0.0/8".parse().expect("valid")],
            strategy: IpStrategy { depth: 1, ..IpStrategy::default() },
            reject_status: 403,
        });
        let listed = |id| only(backend_target(id), [list.clone()]);
        for target in [listed("two"), failover(backend_target("one"), listed("two"))] {
            let gateway = gateway(Http::One, target, &[&one, &two]).await;
            let mut client = Client::connect(Http::One, gateway.addr).await;
            assert_eq!(client.get("/").await.status, 403);
        }
        assert_eq!((one.requests().len(), two.requests().len()), (1, 0));
    });
}

#[test]
fn a_client_that_was_told_to_send_its_body_is_not_asked_again() {
    run_bounded(async {
        let (one, two) = (saying(503).await, Origin::echo(Http::One).await);
        let main = only(backend_target("one"), [buffering(1 << 20)]);
        let gateway =
            gateway(Http::One, failover(main, backend_target("two")), &[&one, &two]).await;
        let mut client = Client::connect(Http::One, gateway.addr).await;
        let fields = [("expect", "100-continue")];
        let mut call = client.begin("PUT", "/", &fields, BodyFraming::Length(4)).await;
        call.send(b"body").await;
        call.finish(None).await;
        let answer = client.answer(call).await;
        assert_eq!((answer.status, &answer.body[..]), (200, &b"body"[..]));
        assert_eq!(two.field(0, "expect"), None);
    });
}

#[test]
fn places_on_the_way_to_the_first_target_are_free_while_the_second_answers() {
    run_bounded(async {
        let one = saying(503).await;
        // Answers when two requests are there.
        let arrived = Rc::new(Cell::new(0));
        let two = Origin::start(Http::One, move |begun| {
            arrived.set(arrived.get() + 1);
            let arrived = arrived.clone();
            async move {
                until("both requests", || arrived.get() == 2).await;
                reply(begun.leg, 200, b"").await
            }
        })
        .await;
        let one_at_a_time = StepKind::InFlight { amount: 1, source: SourceCriterion::All };
        let main = only(backend_target("one"), [one_at_a_time]);
        let gateway =
            gateway(Http::One, failover(main, backend_target("two")), &[&one, &two]).await;
        let mut first = Client::connect(Http::One, gateway.addr).await;
        let mut second = Client::connect(Http::One, gateway.addr).await;
        let call = first.begin("GET", "/", &[], BodyFraming::None).await;
        until("the first request", || two.requests().len() == 1).await;
        assert_eq!(second.get("/").await.status, 200);
        assert_eq!(first.answer(call).await.status, 200);
    });
}

#[test]
fn a_breaker_before_the_first_target_is_told_how_that_ended() {
    run_bounded(async {
        let (one, two) = (saying(503).await, saying(200).await);
        let failures = Measure::ResponseCodeRatio { from: 500, to: 600, div_from: 0, div_to: 600 };
        let breaker = StepKind::CircuitBreaker(Box::new(BreakerSettings {
            expression: BreakerExpression::Compare(failures, Operator::Greater, 0.5),
            check_period: Duration::ZERO,
            fallback_duration: Duration::from_secs(600),
            recovery_duration: Duration::from_secs(600),
            response_code: 509,
        }));
        let main = only(backend_target("one"), [breaker]);
        let gateway =
            gateway(Http::One, failover(main, backend_target("two")), &[&one, &two]).await;
        let mut client = Client::connect(Http::One, gateway.addr).await;
        assert_eq!(client.get("/").await.status, 200);
        assert_eq!(client.get("/").await.status, 509, "it is open");
    });
}

#[test]
fn a_second_target_has_tries_of_its_own() {
    run_bounded(async {
        let one = breaking(Http::One).await;
        let tries = Rc::new(Cell::new(0));
        let two = Origin::start(Http::One, move |begun| {
            tries.set(tries.get() + 1);
            let status = if tries.get() < 3 { 502 } else { 200 };
            reply_to(begun, status)
        })
        .await;
        let retry = |policy| [StepKind::Retry(policy)];
        let main = RetryPolicy { attempts: 2, on_network_error: true, ..RetryPolicy::NEVER };
        let second = RetryPolicy { attempts: 3, statuses: vec![(502, 502)], ..RetryPolicy::NEVER };
        let target = failover(
            only(backend_target("one"), retry(main)),
            only(backend_target("two"), retry(second)),
        );
        let gateway = gateway(Http::One, target, &[&one, &two]).await;
        let answer = Client::connect(Http::One, gateway.addr).await.get("/").await;
        assert_eq!(answer.status, 200);
        assert_eq!((one.requests().len(), two.requests().len()), (2, 3));
        let numbers = |origin: &Origin, count| -> Vec<_> {
            (0..count).map(|index| origin.field(index, "x-envoy-attempt-count").unwrap()).collect()
        };
        assert_eq!(numbers(&one, 2), ["1", "2"]);
        assert_eq!(numbers(&two, 3), ["1", "2", "3"]);
    });
}

#[test]
fn a_second_target_without_a_policy_is_tried_once() {
    run_bounded(async {
        let (one, two) = (breaking(Http::One).await, breaking(Http::One).await);
        let policy = RetryPolicy { attempts: 2, on_network_error: true, ..RetryPolicy::NEVER };
        let main = only(backend_target("one"), [StepKind::Retry(policy)]);
        let gateway =
            gateway(Http::One, failover(main, backend_target("two")), &[&one, &two]).await;
        assert_eq!(Client::connect(Http::One, gateway.addr).await.get("/").await.status, 502);
        assert_eq!((one.requests().len(), two.requests().len()), (2, 1));
    });
}

#[test]
fn what_a_second_target_may_have_to_send_again_is_kept() {
    matrix(|down, up| async move {
        let one = breaking(up).await;
        let has_failed = Rc::new(Cell::new(false));
        let two = Origin::start(up, move |begun| {
            let fails = !has_failed.replace(true);
            async move {
                let Begun { mut leg, .. } = begun;
                let body = read(&mut leg).await?;
                if fails { None } else { reply(leg, 200, &body).await }
            }
        })
        .await;
        let policy = RetryPolicy {
            attempts: 2,
            on_network_error: true,
            body_bytes_max: 1 << 20,
            ..RetryPolicy::NEVER
        };
        let target = Target::Failover(Arc::new(Failover {
            main: backend_target("one"),
            fallback: only(backend_target("two"), [StepKind::Retry(policy)]),
            statuses: Vec::new(),
            // Less than the policy.
            body_bytes_max: 40_000,
        }));
        let gateway = gateway(up, target, &[&one, &two]).await;
        let mut client = Client::connect(down, gateway.addr).await;
        let body = pattern(100_000);
        let mut call = client.begin("PUT", "/", &[], BodyFraming::Chunked).await;
        call.send(&body[..10_000]).await;
        until_left(&gateway, &one).await;
        call.send(&body[10_000..]).await;
        call.finish(None).await;
        let answer = client.answer(call).await;
        assert_eq!(answer.status, 200, "{down:?} to {up:?}");
        assert!(answer.body == body, "{down:?} to {up:?}");
        assert_eq!(two.requests().len(), 2);
    });
}

#[test]
fn second_targets_nest() {
    run_bounded(async {
        let (down, broken) = (saying(503).await, breaking(Http::One).await);
        let (up, other) = (saying(200).await, saying(500).await);
        let two_first = failover(backend_target("one"), backend_target("two"));
        let target = Target::Failover(Arc::new(Failover {
            main: two_first,
            fallback: backend_target("three"),
            statuses: vec![(500, 503)],
            body_bytes_max: 0,
        }));
        for (origins, status, asked) in [
            ([&down, &up, &other], 200, 2),
            ([&down, &down, &up], 200, 3),
            ([&broken, &down, &up], 200, 3),
            ([&broken, &broken, &other], 500, 3),
            // The inner one is not for this status.
            ([&other, &down, &up], 200, 2),
        ] {
            let count = || {
                [&down, &broken, &up, &other].iter().map(|one| one.requests().len()).sum::<usize>()
            };
            let before = count();
            let gateway = gateway(Http::One, target.clone(), &origins).await;
            let answer = Client::connect(Http::One, gateway.addr).await.get("/").await;
            assert_eq!((answer.status, count() - before), (status, asked));
        }
    });
}

#[test]
fn copies_are_sent_to_the_mirrors_of_the_target_that_answers() {
    run_bounded(async {
        let (one, two) = (saying(503).await, saying(200).await);
        let (three, four) = (saying(200).await, saying(200).await);
        let mirrored = |main, mirror| {
            let mirror = Mirror { parts_per_million: 1_000_000, target: backend_target(mirror) };
            Target::Mirror(Arc::new(Mirrors {
                main: backend_target(main),
                mirrors: vec![mirror],
                body: true,
                body_bytes_max: None,
                compared: None,
            }))
        };
        let target = failover(mirrored("one", "three"), mirrored("two", "four"));
        let gateway = gateway(Http::One, target, &[&one, &two, &three, &four]).await;
        let mut client = Client::connect(Http::One, gateway.addr).await;
        for _ in 0..2 {
            assert_eq!(client.get("/").await.status, 200);
        }
        until("the copies", || four.requests().len() == 2).await;
        assert_eq!(three.requests().len(), 0);
    });
}
