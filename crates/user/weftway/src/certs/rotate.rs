//! A whole rotation of the root, step by step, as fast as the proxies follow.
//!
//! The control plane decides whether a step may be made, and keeps how far it is; what is here only
//! asks it again and again. So the command can be interrupted at any moment, and goes on where it
//! was when it is given again.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use weft_admin_api::rotation::{HindranceView, PhaseView, RefusalView, StepName};
use weft_admin_api::{IssuerRequest, RotationView};
use weft_runtime::signal::Termination;
use weft_runtime::time;

use super::{done, listed, rotation};
use crate::args::{AskedArgs, ListFormat, TurnArgs};
use crate::authority;
use crate::status::{Answer, StatusClient};
use crate::{print_error, print_line};

/// Between two looks at what the proxies have reported.
const LOOK: Duration = Duration::from_millis(200);

/// Where a rotation goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Way {
    /// To a new root: the operator's, or one that is made. Begins a rotation when none is under way.
    Forward(Option<IssuerRequest>),
    /// To the root that there was before.
    Back,
}

/// Brings the rotation to its end, or as far as it goes.
pub(super) async fn run(
    client: &StatusClient,
    asked: &AskedArgs,
    turn: TurnArgs,
    way: &Way,
) -> anyhow::Result<ExitCode> {
    let mut termination = Termination::listen().context("signals cannot be handled")?;
    let mut progress = Progress::new(asked.output)?;
    let turned = tokio::select! {
        turned = go(client, turn, way, &mut progress) => turned,
        _ = termination.next() => Err(anyhow!(
            "interrupted: the rotation stays where it is; {GOES_ON}"
        )),
    };
    progress.bar.finish_and_clear();
    match turned {
        Ok(view) => {
            match asked.output {
                ListFormat::Table => print_line(&rotation(&view)),
                ListFormat::Json => print_line(&serde_json::to_string_pretty(&view)?),
            }
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            print_error(&error);
            Ok(ExitCode::FAILURE)
        }
    }
}

const GOES_ON: &str =
    "`weftway certs rotate` goes on from there, `weftway certs cancel` takes it back";

async fn go(
    client: &StatusClient,
    turn: TurnArgs,
    way: &Way,
    progress: &mut Progress,
) -> anyhow::Result<RotationView> {
    let mut view: RotationView = client.show("/rotation").await?;
    if let Way::Forward(Some(supplied)) = way {
        check_root(&view, supplied)?;
    }
    let mut is_begun = false;
    let mut waiting = Waiting::new(time::now());
    loop {
        let Some(step) = next(view.phase, way, is_begun) else {
            ensure!(is_begun, "no rotation is under way");
            return Ok(view);
        };
        match make(client, step, way, view).await? {
            Made::Done(after) => {
                progress.say(done(step));
                if turn.step {
                    return Ok(after);
                }
                (view, is_begun, waiting) = (after, true, Waiting::new(time::now()));
            }
            Made::Hindered(by) => {
                // Nothing has been done before the first step: it would have to wait half done.
                let is_first = step == StepName::Prepare;
                if is_first || waiting.is_over(&by, turn.timeout, time::now()) {
                    bail!(stranded(step, &by));
                }
                progress.wait(step, &by);
                time::sleep(LOOK).await;
                view = client.show("/rotation").await?;
            }
        }
    }
}

/// Whether a rotation that is under way leads to the root that the operator names.
fn check_root(view: &RotationView, supplied: &IssuerRequest) -> anyhow::Result<()> {
    let leads_to = match view.phase {
        PhaseView::Steady => return Ok(()),
        PhaseView::Prepared => view.other.as_deref(),
        PhaseView::Switched => Some(&*view.signing),
    };
    let named = authority::root_of(supplied)?.certificate().fingerprint().to_string();
    ensure!(
        leads_to == Some(&*named),
        "a rotation to another root than {} is under way: {GOES_ON}",
        supplied.root.name
    );
    Ok(())
}

/// Makes a step unless something is in its way.
async fn make(
    client: &StatusClient,
    step: StepName,
    way: &Way,
    view: RotationView,
) -> anyhow::Result<Made> {
    let hindrances = |view: &RotationView| {
        let found = view.hindrances(step).unwrap_or_default();
        (!found.is_empty()).then(|| Made::Hindered(found.to_vec()))
    };
    if let Some(hindered) = hindrances(&view) {
        return Ok(hindered);
    }
    let supplied = match (step, way) {
        (StepName::Prepare, Way::Forward(supplied)) => supplied.as_ref(),
        _ => None,
    };
    match client.change(&format!("/rotation/{}", step.as_str()), &supplied).await? {
        Answer::Done(after) => Ok(Made::Done(after)),
        // A proxy may have come since the view was made.
        Answer::Refused(RefusalView { message, rotation }) => {
            rotation.as_ref().and_then(hindrances).ok_or_else(|| anyhow!(message))
        }
    }
}

/// The step that leads on; none at the end.
fn next(phase: PhaseView, way: &Way, is_begun: bool) -> Option<StepName> {
    match (phase, way) {
        (PhaseView::Steady, Way::Forward(_)) if !is_begun => Some(StepName::Prepare),
        (PhaseView::Steady, _) => None,
        (PhaseView::Prepared, Way::Forward(_)) => Some(StepName::Switch),
        (PhaseView::Prepared, Way::Back) => Some(StepName::Cancel),
        (PhaseView::Switched, Way::Forward(_)) => Some(StepName::Retire),
        (PhaseView::Switched, Way::Back) => Some(StepName::Revert),
    }
}

/// Why it stops, and the way out.
fn stranded(step: StepName, hindrances: &[HindranceView]) -> String {
    let count = hindrances.len();
    let proxies = if count == 1 { "1 live proxy is" } else { &format!("{count} live proxies are") };
    let mut text = format!("{} only when no live proxy is stranded; ", done(step));
    text += &format!("{proxies} in the way:{}", listed(hindrances));
    let gone = hindrances.iter().filter(|hindrance| !hindrance.is_connected);
    if let Some(left_secs) = gone.map(|hindrance| hindrance.left_secs).max() {
        text += &format!(
            "\nstart again what is out of reach, or wait until its certificate has ended (in {})",
            crate::table::span(left_secs)
        );
    }
    if hindrances.iter().any(|hindrance| hindrance.is_connected) {
        text += "\nwhat is connected follows by itself; its log says what keeps it";
    }
    text + &match step {
        StepName::Prepare => "\nnothing has been changed".to_owned(),
        _ => format!("\nthe rotation stays where it is; {GOES_ON}"),
    }
}

/// What became of a step.
enum Made {
    /// It was made, and this is how things are then.
    Done(RotationView),
    /// These live proxies are in its way.
    Hindered(Vec<HindranceView>),
}

/// How long nothing has changed.
struct Waiting {
    since: Instant,
    for_whom: Vec<String>,
}

/// What the user sees meanwhile: a line for each step, and what is waited for.
struct Progress {
    bar: ProgressBar,
    format: ListFormat,
    /// What is waited for, as it was last said.
    waiting: String,
}

// === impl Waiting ===

impl Waiting {
    fn new(now: Instant) -> Self {
        Self { since: now, for_whom: Vec::new() }
    }

    fn is_over(&mut self, hindrances: &[HindranceView], timeout: Duration, now: Instant) -> bool {
        let for_whom: Vec<_> = hindrances.iter().map(|it| it.workload.clone()).collect();
        if self.for_whom != for_whom {
            *self = Self { since: now, for_whom };
        }
        now - self.since >= timeout
    }
}

// === impl Progress ===

impl Progress {
    /// Moves on a terminal only, and on standard error, so that results can be piped.
    fn new(format: ListFormat) -> anyhow::Result<Self> {
        let style = ProgressStyle::with_template("{spinner} {elapsed_precise} {msg}")?;
        let bar = ProgressBar::new_spinner().with_style(style);
        Ok(Self { bar, format, waiting: String::new() })
    }

    fn say(&self, text: &str) {
        if self.format == ListFormat::Table {
            self.bar.suspend(|| print_line(text));
        }
    }

    fn wait(&mut self, step: StepName, hindrances: &[HindranceView]) {
        let first = hindrances.first().map_or("", |hindrance| &hindrance.workload);
        let others = match hindrances.len() {
            0 | 1 => String::new(),
            count => format!(" and {} more", count - 1),
        };
        let waiting = format!("waiting for {first}{others}, before {}", done(step));
        if self.bar.is_hidden() && self.waiting != waiting {
            let _ = writeln!(std::io::stderr(), "{waiting}");
        }
        self.bar.set_message(waiting.clone());
        self.bar.tick();
        self.waiting = waiting;
    }
}

#[cfg(test)]
mod tests;
