//! Which backend, of those a route's target names.

use std::rc::Rc;

use weft_http::Leg;
use weft_policy::sticky;
use weft_resilience::pick::Ask;
use weft_upstream::Backend;

use crate::exchange::Exchange;
use crate::fallback::Fallback;
use crate::request::{Scope, Stop};
use crate::runtime::{ChoiceRuntime, StepRuntime, TargetRuntime, WeightedRuntime};
use crate::steps;
use crate::worker::Worker;

/// Targets nest; users do so two or three deep.
const DEPTH_MAX: usize = 16;

/// A walk down a target.
struct Walk {
    target: TargetRuntime,
    /// How many more may be met.
    left: usize,
}

/// How far a walk has led.
enum Stage {
    /// To the end.
    Backend(Rc<Backend>),
    /// To the steps of what was chosen: the request passes them before it goes on.
    Steps(Rc<[StepRuntime]>),
}

/// Walks down a target to a backend, through the steps of what is chosen on the way. What else it
/// meets (mirrors, a second target) is noted in the exchange.
pub(crate) async fn select(
    scope: &Scope<'_>,
    x: &mut Exchange,
    down: &mut Leg,
    target: &TargetRuntime,
) -> Result<Rc<Backend>, Stop> {
    let mut walk = Walk { target: target.clone(), left: DEPTH_MAX };
    loop {
        match walk.next(scope, x)? {
            Stage::Backend(backend) => return Ok(backend),
            Stage::Steps(steps) => steps::pass(scope, x, down, &steps).await?,
        }
    }
}

/// Walks down a target to a backend for a request of our own, which has no steps and decides nothing
/// for the client's. `key` is what choices by address go by; without one chance decides.
pub(crate) fn aside(
    worker: &Worker,
    target: &TargetRuntime,
    key: Option<u64>,
) -> Option<Rc<Backend>> {
    let mut target = target.clone();
    for _ in 0..DEPTH_MAX {
        target = match target {
            TargetRuntime::Backend(backend) => return Some(backend),
            TargetRuntime::Refuse(_) => return None,
            TargetRuntime::Weighted(weighted) => {
                let index = weighted.pick(worker, || key)?;
                weighted.choices[index].target.clone()
            }
            TargetRuntime::Mirror(main, _) => (*main).clone(),
            TargetRuntime::Failover(main, fallback) => match main.is_available(worker) {
                true => (*main).clone(),
                false => fallback.target.clone(),
            },
        };
    }
    None
}

/// True for so many of a million requests.
pub(crate) fn draw(scope: &Scope<'_>, parts_per_million: u32) -> bool {
    parts_per_million >= 1_000_000
        || scope.conn.worker.rng.below(1_000_000) < parts_per_million as usize
}

// === impl Walk ===

impl Walk {
    /// Goes on to the next thing that has to be done, or to the end.
    fn next(&mut self, scope: &Scope<'_>, x: &mut Exchange) -> Result<Stage, Stop> {
        while let Some(left) = self.left.checked_sub(1) {
            self.left = left;
            let next = match &self.target {
                TargetRuntime::Backend(backend) => return Ok(Stage::Backend(backend.clone())),
                TargetRuntime::Refuse(refusal) => return Err(Stop::refuse((**refusal).clone())),
                TargetRuntime::Weighted(weighted) => {
                    let choice = choose(scope, x, weighted)?;
                    let steps = choice.steps.clone();
                    self.target = choice.target.clone();
                    if steps.is_empty() {
                        continue;
                    }
                    return Ok(Stage::Steps(steps));
                }
                TargetRuntime::Mirror(main, mirrors) => {
                    for (parts_per_million, mirror) in mirrors.iter() {
                        if draw(scope, *parts_per_million) {
                            x.decided.mirrors.push(mirror.clone());
                        }
                    }
                    (**main).clone()
                }
                TargetRuntime::Failover(main, fallback) => {
                    if main.is_available(&scope.conn.worker) {
                        x.decided.fallbacks.push(Fallback::new(x, fallback.clone()));
                        (**main).clone()
                    } else {
                        fallback.target.clone()
                    }
                }
            };
            self.target = next;
        }
        Err(Stop::internal("targets are nested too deep"))
    }
}

fn choose<'w>(
    scope: &Scope<'_>,
    x: &mut Exchange,
    weighted: &'w WeightedRuntime,
) -> Result<&'w ChoiceRuntime, Stop> {
    let worker = &scope.conn.worker;
    let named = weighted.sticky.as_ref().and_then(|sticky| sticky::read(sticky, &x.req.fields));
    let stays = named.and_then(|value| {
        let fits = |choice: &&ChoiceRuntime| {
            choice.mark == value && choice.weight > 0.0 && choice.target.is_available(worker)
        };
        weighted.choices.iter().find(fits)
    });
    if let Some(choice) = stays {
        return Ok(choice);
    }
    let picked = weighted.pick(worker, || Some(scope.conn.client_key()));
    let Some(index) = picked else {
        return Err(Stop::invalid_backend("all weights are zero"));
    };
    let choice = &weighted.choices[index];
    if let Some(sticky) = &weighted.sticky {
        x.decided.marks.push((sticky.clone(), choice.mark));
    }
    Ok(choice)
}

// === impl WeightedRuntime ===

impl WeightedRuntime {
    /// One of the choices; `None` when all have a weight of nothing. `key` is asked for where the
    /// client's address counts.
    fn pick(&self, worker: &Worker, key: impl FnOnce() -> Option<u64>) -> Option<usize> {
        let key = if self.by_address { key() } else { None };
        self.picker.pick(self, &Ask { key, ..Ask::new(worker.now()) }, &worker.rng)
    }
}
