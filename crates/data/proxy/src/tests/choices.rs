//! Steps of single targets.

use std::sync::Arc;

use weft_message::FieldName;
use weft_model::id::PolicyId;
use weft_model::outcome::Reason;
use weft_model::policy::{HeaderEdits, Refusal, Step, StepKind};
use weft_model::route::{Choice, Target, Weighted};

use super::harness::{Client, Http, Origin, Setup, backend_target, run_bounded};

/// A choice of one, with steps.
pub(super) fn only(target: Target, kinds: impl IntoIterator<Item = StepKind>) -> Target {
    let step = |(index, kind)| {
        // Limits are kept by the id, so it has to be another one for each.
        let id = PolicyId::new(format!("{kind:?}-{index}"));
        Arc::new(Step { id, kind })
    };
    let steps = kinds.into_iter().enumerate().map(step).collect();
    let choice = Choice { name: "only".into(), weight: 1, steps, target };
    Target::Weighted(Arc::new(Weighted { choices: vec![choice], sticky: None }))
}

fn edits(name: &str) -> HeaderEdits {
    let name = FieldName::new(name).expect("valid");
    HeaderEdits { add: vec![(name, "1".into())], ..HeaderEdits::default() }
}

/// A step that adds a field to the request.
pub(super) fn tells(name: &str) -> StepKind {
    StepKind::RequestHeaders(edits(name))
}

/// A step that adds a field to the response.
pub(super) fn answers(name: &str) -> StepKind {
    StepKind::ResponseHeaders(edits(name))
}

/// A step that refuses.
pub(super) fn refuses() -> StepKind {
    let detail = "by its choice".into();
    StepKind::Refuse(Refusal { reason: Reason::RateLimited, detail })
}

#[test]
fn every_choice_on_the_way_has_its_steps() {
    run_bounded(async {
        let origin = Origin::echo(Http::One).await;
        let inner = only(backend_target("one"), [tells("x-inner"), answers("x-inner")]);
        let outer = only(inner, [tells("x-outer"), answers("x-outer")]);
        let gateway = Setup::new(Http::One, &[origin.addr])
            .change_route(|route| route.target = outer)
            .start()
            .await;
        let answer = Client::connect(Http::One, gateway.addr).await.get("/").await;
        assert_eq!(answer.status, 200);
        for name in ["x-inner", "x-outer"] {
            assert_eq!(origin.field(0, name).as_deref(), Some("1"), "{name}");
            assert_eq!(answer.fields.get_str(name), Some("1"), "{name}");
        }
    });
}

#[test]
fn a_refusal_passes_the_steps_before_it_only() {
    run_bounded(async {
        let origin = Origin::echo(Http::One).await;
        let inner = only(backend_target("one"), [answers("x-inner")]);
        let outer = only(inner, [answers("x-before"), refuses(), answers("x-after")]);
        let gateway = Setup::new(Http::One, &[origin.addr])
            .step(answers("x-route"))
            .change_route(|route| route.target = outer)
            .start()
            .await;
        let answer = Client::connect(Http::One, gateway.addr).await.get("/").await;
        assert_eq!(answer.status, 429);
        for (name, is_passed) in
            [("x-route", true), ("x-before", true), ("x-after", false), ("x-inner", false)]
        {
            assert_eq!(answer.fields.contains(name), is_passed, "{name}");
        }
    });
}
