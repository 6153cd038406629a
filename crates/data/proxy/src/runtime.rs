//! What one worker makes of a compiled route when it first serves it.

use std::rc::Rc;
use std::sync::Arc;

use weft_model::id::BackendId;
use weft_model::outcome::Reason;
use weft_model::policy::{
    BasicAuth, Buffering, Compress, ErrorPages, Fault, ForwardAuth, Refusal, RetryExpression,
    RetryPolicy, SourceCriterion, Step, StepKind,
};
use weft_model::route::{Affinity, Choice, Route, Target};
use weft_policy::sticky::Mark;
use weft_resilience::breaker::Breaker;
use weft_resilience::bucket::{ClientBuckets, KeyedBuckets};
use weft_resilience::hash;
use weft_resilience::hedge::Hedge;
use weft_resilience::inflight::KeyedInFlight;
use weft_resilience::pick::{Candidates, Picker};
use weft_resilience::settings::PickerKind;
use weft_upstream::Backend;

use crate::exchange::{FallbackPlan, MirrorPlan};
use crate::metrics::RouteCells;
use crate::worker::Worker;

/// A route with its handles resolved.
#[derive(Debug)]
pub(crate) struct RouteRuntime {
    pub(crate) route: Arc<Route>,
    pub(crate) steps: Rc<[StepRuntime]>,
    pub(crate) target: TargetRuntime,
    pub(crate) retry: Option<Rc<RetryPolicy>>,
    pub(crate) cells: Arc<RouteCells>,
}

/// A step with its handles resolved.
#[derive(Debug)]
pub(crate) struct StepRuntime {
    pub(crate) step: Arc<Step>,
    pub(crate) kind: StepRuntimeKind,
}

/// What the request path has to do for a step.
#[derive(Debug)]
pub(crate) enum StepRuntimeKind {
    /// Let `policy` evaluate it.
    Pure,
    /// Take a token.
    Rate(Arc<KeyedBuckets>, SourceCriterion),
    /// Take a token of all, and one of the client.
    Clients(Arc<ClientBuckets>),
    /// Take a place.
    InFlight(Arc<KeyedInFlight>, SourceCriterion),
    /// Ask the breaker, and tell it in the end.
    Breaker(Arc<Breaker>, u16),
    /// Check a password.
    BasicAuth(Box<BasicAuth>),
    /// Ask another service.
    ForwardAuth(Box<ForwardAuth>, Option<Rc<Backend>>),
    /// Put a retry policy in force for what follows.
    Retry(Rc<RetryPolicy>),
    /// Send a second try beside a slow one.
    Hedge(Arc<Hedge>),
    /// Hold the request up, or answer it.
    Fault(Fault),
    /// Hold bodies; send again when the expression holds.
    Buffering(Box<Buffering>, Option<Rc<RetryExpression>>),
    /// Replace error answers.
    Errors(Box<ErrorPages>, TargetRuntime),
    /// Compress responses.
    Compress(Compress),
    /// Send a copy.
    Mirror(u32, Rc<MirrorPlan>),
}

/// A target with its backends resolved.
#[derive(Debug, Clone)]
pub(crate) enum TargetRuntime {
    /// A backend.
    Backend(Rc<Backend>),
    /// One of several.
    Weighted(Rc<WeightedRuntime>),
    /// The first, and copies to the others.
    Mirror(Rc<TargetRuntime>, Rc<[(u32, Rc<MirrorPlan>)]>),
    /// The first, unless it fails.
    Failover(Rc<TargetRuntime>, Rc<FallbackPlan>),
    /// An answer of our own.
    Refuse(Rc<Refusal>),
}

/// Several targets to choose from.
#[derive(Debug)]
pub(crate) struct WeightedRuntime {
    pub(crate) choices: Vec<ChoiceRuntime>,
    pub(crate) picker: Picker,
    /// Chosen by the client's address.
    pub(crate) by_address: bool,
    pub(crate) sticky: Option<Rc<Affinity>>,
}

/// One of several targets.
#[derive(Debug)]
pub(crate) struct ChoiceRuntime {
    pub(crate) hash: u64,
    /// What clients are kept on it by.
    pub(crate) mark: Mark,
    pub(crate) weight: f64,
    pub(crate) steps: Rc<[StepRuntime]>,
    pub(crate) target: TargetRuntime,
}

// === impl RouteRuntime ===

impl RouteRuntime {
    pub(crate) fn new(worker: &Worker, route: &Arc<Route>) -> Rc<Self> {
        Rc::new(Self {
            steps: steps(worker, &route.steps),
            target: TargetRuntime::new(worker, &route.target),
            retry: route.timeouts.retry.clone().map(Rc::new),
            cells: worker.metrics.route(&route.id),
            route: route.clone(),
        })
    }
}

fn steps(worker: &Worker, steps: &[Arc<Step>]) -> Rc<[StepRuntime]> {
    steps.iter().map(|step| StepRuntime::new(worker, step)).collect()
}

// === impl StepRuntime ===

impl StepRuntime {
    fn new(worker: &Worker, step: &Arc<Step>) -> Self {
        let live = &worker.live;
        let kind = match &step.kind {
            StepKind::AddPrefix(_)
            | StepKind::StripPrefix(_)
            | StepKind::StripPrefixRegex(_)
            | StepKind::ReplacePath(_)
            | StepKind::ReplacePathRegex { .. }
            | StepKind::Rewrite(_)
            | StepKind::RedirectScheme { .. }
            | StepKind::RedirectRegex { .. }
            | StepKind::Redirect(_)
            | StepKind::RequestHeaders(_)
            | StepKind::ResponseHeaders(_)
            | StepKind::SecureHeaders(_)
            | StepKind::Cors(_)
            | StepKind::IpAllowList(_)
            | StepKind::Respond(_)
            | StepKind::Refuse(_) => StepRuntimeKind::Pure,
            StepKind::RateLimit { settings, source } => {
                StepRuntimeKind::Rate(live.rate(&step.id, *settings), source.clone())
            }
            StepKind::LocalRateLimit(limit) => {
                StepRuntimeKind::Clients(live.clients(&step.id, limit))
            }
            StepKind::InFlight { amount, source } => {
                StepRuntimeKind::InFlight(live.in_flight(&step.id, *amount), source.clone())
            }
            StepKind::CircuitBreaker(settings) => {
                StepRuntimeKind::Breaker(live.breaker(&step.id, settings), settings.response_code)
            }
            StepKind::BasicAuth(basic) => StepRuntimeKind::BasicAuth(Box::new(basic.clone())),
            StepKind::ForwardAuth(auth) => {
                let backend = worker.backends.backend(&auth.backend, worker.now());
                StepRuntimeKind::ForwardAuth(auth.clone(), backend)
            }
            StepKind::Retry(policy) => StepRuntimeKind::Retry(Rc::new(policy.clone())),
            StepKind::Hedge(settings) => StepRuntimeKind::Hedge(live.hedge(&step.id, *settings)),
            StepKind::Fault(fault) => StepRuntimeKind::Fault(fault.clone()),
            StepKind::Buffering(buffering) => {
                let retry = buffering.retry.clone().map(Rc::new);
                StepRuntimeKind::Buffering(Box::new(buffering.clone()), retry)
            }
            StepKind::Errors(pages) => {
                let target = TargetRuntime::new(worker, &pages.target);
                StepRuntimeKind::Errors(pages.clone(), target)
            }
            StepKind::Compress(compress) => StepRuntimeKind::Compress(compress.clone()),
            StepKind::Mirror { parts_per_million, backend, compared } => {
                let target = TargetRuntime::backend(worker, backend);
                let compared = *compared;
                let plan = MirrorPlan { target, body: true, body_bytes_max: None, compared };
                StepRuntimeKind::Mirror(*parts_per_million, Rc::new(plan))
            }
        };
        Self { step: step.clone(), kind }
    }
}

// === impl TargetRuntime ===

impl TargetRuntime {
    pub(crate) fn new(worker: &Worker, target: &Target) -> Self {
        match target {
            Target::Backend(id) => Self::backend(worker, id),
            Target::Weighted(weighted) => Self::Weighted(Rc::new(WeightedRuntime {
                choices: choices(worker, &weighted.choices),
                picker: Picker::new(PickerKind::RoundRobin),
                by_address: false,
                sticky: weighted.sticky.clone().map(Rc::new),
            })),
            Target::HighestRandomWeight(those) => Self::Weighted(Rc::new(WeightedRuntime {
                choices: choices(worker, those),
                picker: Picker::new(PickerKind::Rendezvous),
                by_address: true,
                sticky: None,
            })),
            Target::Mirror(mirrors) => {
                let copies = mirrors
                    .mirrors
                    .iter()
                    .map(|mirror| {
                        let plan = MirrorPlan {
                            target: Self::new(worker, &mirror.target),
                            body: mirrors.body,
                            body_bytes_max: mirrors.body_bytes_max,
                            compared: mirrors.compared,
                        };
                        (mirror.parts_per_million, Rc::new(plan))
                    })
                    .collect();
                Self::Mirror(Rc::new(Self::new(worker, &mirrors.main)), copies)
            }
            Target::Failover(failover) => {
                let plan = FallbackPlan {
                    target: Self::new(worker, &failover.fallback),
                    statuses: failover.statuses.clone(),
                    body_bytes_max: failover.body_bytes_max,
                };
                Self::Failover(Rc::new(Self::new(worker, &failover.main)), Rc::new(plan))
            }
            Target::Refuse(refusal) => Self::Refuse(Rc::new(refusal.clone())),
        }
    }

    fn backend(worker: &Worker, id: &BackendId) -> Self {
        match worker.backends.backend(id, worker.now()) {
            Some(backend) => Self::Backend(backend),
            None => Self::Refuse(Rc::new(Refusal {
                reason: Reason::InvalidBackend,
                detail: format!("backend {id} could not be put in force").into(),
            })),
        }
    }

    /// Whether a request sent there now would find an endpoint.
    pub(crate) fn is_available(&self, worker: &Worker) -> bool {
        match self {
            Self::Backend(backend) => backend.is_available(worker.now()),
            Self::Weighted(weighted) => {
                weighted.choices.iter().any(|choice| choice.target.is_available(worker))
            }
            Self::Mirror(main, _) => main.is_available(worker),
            Self::Failover(main, plan) => {
                main.is_available(worker) || plan.target.is_available(worker)
            }
            Self::Refuse(_) => false,
        }
    }
}

fn choices(worker: &Worker, choices: &[Choice]) -> Vec<ChoiceRuntime> {
    choices
        .iter()
        .map(|choice| ChoiceRuntime {
            hash: hash::stable(choice.name.as_bytes()),
            mark: Mark::of(&choice.name),
            weight: f64::from(choice.weight),
            steps: steps(worker, &choice.steps),
            target: TargetRuntime::new(worker, &choice.target),
        })
        .collect()
}

// === impl WeightedRuntime ===

impl Candidates for WeightedRuntime {
    fn len(&self) -> usize {
        self.choices.len()
    }

    fn weight(&self, index: usize) -> f64 {
        self.choices[index].weight
    }

    fn usable(&self, index: usize) -> bool {
        self.choices[index].weight > 0.0
    }

    fn load(&self, _index: usize) -> f64 {
        0.0
    }

    fn hash(&self, index: usize) -> u64 {
        self.choices[index].hash
    }
}
