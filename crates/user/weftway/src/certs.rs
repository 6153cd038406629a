//! `weftway certs`: every certificate of a mesh, its age, what would break when, and the rotation
//! of the root.

mod rotate;
#[cfg(test)]
mod tests;

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use weft_admin_api::certificates::{DutyView, HeldCertificateView, HolderView};
use weft_admin_api::rotation::{HindranceView, PhaseView, StepName};
use weft_admin_api::{CertificatesView, RotationView, TokenRequest, TokenView};
use weft_runtime::worker;

use crate::args::{AskedArgs, CertsArgs, CertsCommand, IntermediateArgs, ListFormat, TokenArgs};
use crate::authority;
use crate::print_line;
use crate::status::{Answer, StatusClient};
use crate::table::{short, span, table};

/// Does what is asked for; the exit code is 1 when a rotation does not come to its end.
pub(crate) fn run(args: &CertsArgs) -> anyhow::Result<ExitCode> {
    worker::block_on(ask(args)).context("the runtime cannot be started")?
}

async fn ask(args: &CertsArgs) -> anyhow::Result<ExitCode> {
    let asked = &args.asked;
    let client = StatusClient::new(asked.state.as_deref());
    match &args.command {
        None => print_as(asked, &client.show("/certificates").await?, certificates)?,
        Some(CertsCommand::Status) => print_as(asked, &client.show("/rotation").await?, rotation)?,
        Some(CertsCommand::Roots) => {
            print_line(String::from_utf8_lossy(&client.text("/roots").await?).trim_end());
        }
        Some(CertsCommand::Token(wanted)) => {
            print_as(asked, &token(&client, wanted).await?, |it| it.token.clone())?;
        }
        Some(CertsCommand::Intermediate(wanted)) => {
            print_as(asked, &intermediate(&client, wanted).await?, certificates)?;
        }
        Some(CertsCommand::Rotate(wanted)) => {
            let way = rotate::Way::Forward(authority::supplied(&wanted.supply)?);
            return rotate::run(&client, asked, wanted.turn, &way).await;
        }
        Some(CertsCommand::Cancel(turn)) => {
            return rotate::run(&client, asked, *turn, &rotate::Way::Back).await;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn print_as<T: serde::Serialize>(
    asked: &AskedArgs,
    view: &T,
    render: impl FnOnce(&T) -> String,
) -> anyhow::Result<()> {
    match asked.output {
        ListFormat::Table => print_line(&render(view)),
        ListFormat::Json => print_line(&serde_json::to_string_pretty(view)?),
    }
    Ok(())
}

async fn token(client: &StatusClient, wanted: &TokenArgs) -> anyhow::Result<TokenView> {
    let lifetime_secs = wanted.lifetime.as_secs();
    let request = TokenRequest { scope: wanted.scope.clone(), lifetime_secs };
    match client.change("/tokens", &request).await? {
        Answer::Done(token) => Ok(token),
        Answer::Refused(refusal) => bail!(refusal.message),
    }
}

async fn intermediate(
    client: &StatusClient,
    wanted: &IntermediateArgs,
) -> anyhow::Result<CertificatesView> {
    let request = authority::intermediate_of(&wanted.chain, &wanted.key)?;
    match client.change("/intermediate", &request).await? {
        Answer::Done(view) => Ok(view),
        Answer::Refused(refusal) => bail!(refusal.message),
    }
}

fn certificates(view: &CertificatesView) -> String {
    let header = ["HOLDER", "DUTY", "SUBJECT", "ROOT", "AGE", "ENDS IN", "BREAKS THEN", "REMEDY"];
    let row = |held: &HeldCertificateView| {
        [
            match &held.holder {
                HolderView::Root => "root".to_owned(),
                HolderView::Intermediate => "intermediate".to_owned(),
                HolderView::Proxy { workload } => workload.clone(),
            },
            match held.duty {
                DutyView::Signing => "signs",
                DutyView::Next => "will sign",
                DutyView::Previous => "has signed",
                DutyView::Presented => "presented",
            }
            .to_owned(),
            held.subject.clone(),
            short(&held.root),
            span(held.age_secs),
            if held.left_secs == 0 { "ended".to_owned() } else { span(held.left_secs) },
            held.breaks.clone(),
            held.remedy.clone(),
        ]
    };
    let text = table(header, view.certificates.iter().map(row));
    let outage = match view.outage_in_secs {
        0 => "nothing can be signed any more: the mesh stands still".to_owned(),
        left => format!("if nobody does anything, the mesh stands still in {}", span(left)),
    };
    format!("{text}\n\n{outage}")
}

fn rotation(view: &RotationView) -> String {
    let signing = short(&view.signing);
    let other = view.other.as_deref().map(short).unwrap_or_default();
    let since = span(view.since_secs.unwrap_or_default());
    let phase = match view.phase {
        PhaseView::Steady => format!("no rotation is under way; root {signing} signs"),
        PhaseView::Prepared => {
            format!("for {since} root {other} has been trusted beside root {signing}, which signs")
        }
        PhaseView::Switched => format!(
            "for {since} root {signing} has signed; root {other}, which signed before, is trusted"
        ),
    };
    let next = view.steps.first();
    let hindrances = next.map(|next| next.hindrances.as_slice()).unwrap_or_default();
    let waits = match (hindrances, next) {
        ([], Some(next)) if next.step == StepName::Prepare => String::new(),
        ([], Some(next)) => {
            format!("\nnothing is in the way of the next step, {}", done(next.step))
        }
        (_, Some(next)) => format!("\nin the way of the next step, {}:", done(next.step)),
        (_, None) => String::new(),
    };
    phase + &waits + &listed(hindrances)
}

/// What a step does.
fn done(step: StepName) -> &'static str {
    match step {
        StepName::Prepare => "a new root is trusted beside the old one",
        StepName::Switch => "the new root signs",
        StepName::Retire => "the old root is dropped",
        StepName::Cancel => "the new root is dropped",
        StepName::Revert => "the old root signs again",
    }
}

/// Who is in the way, a line each.
fn listed(hindrances: &[HindranceView]) -> String {
    let line = |hindrance: &HindranceView| {
        let gone = if hindrance.is_connected { "" } else { ", and is out of reach" };
        format!("\n  {}{gone}", hindrance.why)
    };
    hindrances.iter().map(line).collect()
}
