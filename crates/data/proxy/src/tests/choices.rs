//! Steps of single targets.

use std::sync::Arc;

use weft_model::id::PolicyId;
use weft_model::outcome::Reason;
use weft_model::policy::{Refusal, Step, StepKind};
use weft_model::route::{Choice, Failover, Target, Weighted};

use super::harness::{Client, Http, Origin, Setup, backend, backend_target, run_bounded};

/// A choice of one, with a step that refuses unless it is not carried out.
fn refusing(target: Target) -> Target {
    let detail = "by its choice".into();
    let kind = StepKind::Refuse(Refusal { reason: Reason::RateLimited, detail });
    only(target, [Arc::new(Step { id: PolicyId::new("refuse"), kind })])
}

fn only(target: Target, steps: impl Into<Arc<[Arc<Step>]>>) -> Target {
    let choice = Choice { name: "only".into(), weight: 1, steps: steps.into(), target };
    Target::Weighted(Arc::new(Weighted { choices: vec![choice], sticky: None }))
}

/// The status that a gateway with this target answers, whose `two` is an origin and whose `one`
/// refuses connections.
async fn status(target: Target) -> u16 {
    let origin = Origin::echo(Http::One).await;
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let gone = nobody.local_addr().expect("it is bound");
    drop(nobody);
    let gateway = Setup::new(Http::One, &[gone])
        .backend(backend("two", Http::One, &[origin.addr]))
        .change_route(|route| route.target = target)
        .start()
        .await;
    Client::connect(Http::One, gateway.addr).await.get("/").await.status
}

#[test]
fn every_choice_on_the_way_has_its_steps() {
    run_bounded(async {
        let headers = StepKind::RequestHeaders(Default::default());
        let inner = only(
            backend_target("two"),
            [Arc::new(Step { id: PolicyId::new("inner"), kind: headers })],
        );
        assert_eq!(status(inner.clone()).await, 200);
        assert_eq!(status(refusing(inner)).await, 429);
    });
}

#[test]
fn a_second_target_has_the_steps_of_its_choice() {
    run_bounded(async {
        let failover = |fallback| {
            Target::Failover(Arc::new(Failover {
                main: backend_target("one"),
                fallback,
                statuses: Vec::new(),
                body_bytes_max: 1 << 10,
            }))
        };
        assert_eq!(status(failover(backend_target("two"))).await, 200);
        assert_eq!(status(failover(refusing(backend_target("two")))).await, 429);
    });
}
