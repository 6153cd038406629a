//! Which backend, of those a route's target names.

use std::rc::Rc;

use weft_policy::sticky;
use weft_resilience::pick::Ask;
use weft_upstream::Backend;

use crate::exchange::Exchange;
use crate::request::{Scope, Stop};
use crate::runtime::{ChoiceRuntime, TargetRuntime, WeightedRuntime};

/// Targets nest; users do so two or three deep.
const DEPTH_MAX: usize = 16;

/// Walks down a target to a backend. What it meets on the way (steps of a choice, mirrors, a
/// fallback) is noted in the exchange.
pub(crate) fn select(
    scope: &Scope<'_>,
    x: &mut Exchange,
    target: &TargetRuntime,
) -> Result<Rc<Backend>, Stop> {
    let worker = &scope.conn.worker;
    let mut target = target.clone();
    for _ in 0..DEPTH_MAX {
        target = match target {
            TargetRuntime::Backend(backend) => return Ok(backend),
            TargetRuntime::Refuse(refusal) => return Err(Stop::refuse((*refusal).clone())),
            TargetRuntime::Weighted(weighted) => choose(scope, x, &weighted)?,
            TargetRuntime::Mirror(main, mirrors) => {
                for (parts_per_million, mirror) in mirrors.iter() {
                    if draw(scope, *parts_per_million) {
                        x.decided.mirrors.push(mirror.clone());
                    }
                }
                (*main).clone()
            }
            TargetRuntime::Failover(main, fallback) => {
                if main.is_available(worker) {
                    x.decided.fallback = Some(fallback);
                    (*main).clone()
                } else {
                    fallback.target.clone()
                }
            }
        };
    }
    Err(Stop::internal("targets are nested too deep"))
}

/// True for so many of a million requests.
pub(crate) fn draw(scope: &Scope<'_>, parts_per_million: u32) -> bool {
    parts_per_million >= 1_000_000
        || scope.conn.worker.rng.below(1_000_000) < parts_per_million as usize
}

fn choose(
    scope: &Scope<'_>,
    x: &mut Exchange,
    weighted: &Rc<WeightedRuntime>,
) -> Result<TargetRuntime, Stop> {
    let worker = &scope.conn.worker;
    let named = weighted.sticky.as_ref().and_then(|sticky| sticky::read(sticky, &x.req.fields));
    let stays = named.and_then(|value| {
        let fits = |choice: &ChoiceRuntime| {
            choice.cookie == value && choice.weight > 0.0 && choice.target.is_available(worker)
        };
        weighted.choices.iter().position(fits)
    });
    let index = match stays {
        Some(index) => index,
        None => {
            let key = weighted.by_address.then(|| scope.conn.client_key());
            let picked = weighted.picker.pick(
                &**weighted,
                &Ask { key, ..Ask::new(worker.now()) },
                &worker.rng,
            );
            let Some(index) = picked else {
                return Err(Stop::invalid_backend("all weights are zero"));
            };
            if let Some(sticky) = &weighted.sticky {
                x.decided.set_cookies.push((sticky.clone(), weighted.choices[index].cookie));
            }
            index
        }
    };
    let choice = &weighted.choices[index];
    if !choice.steps.is_empty() {
        x.decided.choice_steps.push(choice.steps.clone());
    }
    Ok(choice.target.clone())
}
