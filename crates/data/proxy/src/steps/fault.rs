//! Faults that are injected. A request meets the step once, before anything is sent, so shares are
//! of requests, however often those are tried then.

use std::time::Duration;

use weft_model::outcome::Reason;
use weft_model::policy::Fault;
use weft_policy::{answer, deadline};
use weft_runtime::time;

use crate::exchange::Exchange;
use crate::request::{Scope, Stop};
use crate::{respond, select};

/// Whether this request has any fault at all.
pub(super) fn draw(scope: &Scope<'_>, fault: &Fault) -> Fault {
    let Fault { delay, abort } = fault;
    let is_drawn = |parts_per_million| select::draw(scope, parts_per_million);
    Fault {
        delay: delay.filter(|(_, share)| is_drawn(*share)),
        abort: abort.filter(|(_, share)| is_drawn(*share)),
    }
}

/// Holds the request up, answers it, or both.
pub(super) async fn inject(scope: &Scope<'_>, x: &mut Exchange, fault: Fault) -> Result<(), Stop> {
    if let Some((delay, _)) = fault.delay {
        wait(scope, x, delay).await?;
        x.decided.delayed += delay;
        x.record.detail = Some(format!("a delay of {delay:?} was injected").into());
    }
    match fault.abort {
        Some((abort, _)) => {
            let answer =
                answer::abort(abort, respond::asker(scope, x)).with_detail("an abort was injected");
            Err(Stop::Answer(Box::new(answer)))
        }
        None => Ok(()),
    }
}

/// Waits, but no longer than the client does.
async fn wait(scope: &Scope<'_>, x: &Exchange, delay: Duration) -> Result<(), Stop> {
    let (said, _) = deadline::read(&x.req.fields);
    let spent =
        x.record.started.map_or(Duration::ZERO, |started| scope.conn.worker.now() - started);
    let left = said.map(|said| said.saturating_sub(spent)).filter(|left| *left < delay);
    time::sleep(left.unwrap_or(delay)).await;
    match left {
        Some(_) => {
            Err(Stop::because(Reason::RequestTimeout, "it ended in a delay that was injected"))
        }
        None => Ok(()),
    }
}
